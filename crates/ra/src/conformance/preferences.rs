//! What organizations choose.

use std::collections::BTreeMap;

use koshin_notify::Digests;
use time::UtcDateTime;

use crate::{Actor, AuditNote, Directory, DirectoryError, Organization, Preferences};

/// A new organization wants digests, until it says otherwise; each choice leaves a record.
pub async fn an_organization_chooses_its_digests(directory: &dyn Directory, preferences: &dyn Preferences) {
    let organization = Organization { id: "C-7".parse().unwrap(), name: "Sakura".into() };
    assert_eq!(preferences.digests(&organization.id).await.unwrap(), None);
    let note = || AuditNote { actor: Actor::System, subject: None, word: "digests_set", details: BTreeMap::new() };
    let at = UtcDateTime::UNIX_EPOCH;
    let missing = preferences.prefer_digests(&organization.id, Digests::OptedOut, note(), at).await;
    assert!(matches!(missing, Err(DirectoryError::Missing { what: "organization", .. })), "{missing:?}");
    directory.add_organization(&organization, note(), at).await.unwrap();
    assert_eq!(preferences.digests(&organization.id).await.unwrap(), Some(Digests::Wanted));
    for digests in [Digests::OptedOut, Digests::OptedOut, Digests::Wanted] {
        preferences.prefer_digests(&organization.id, digests, note(), at).await.unwrap();
        assert_eq!(preferences.digests(&organization.id).await.unwrap(), Some(digests));
    }
}
