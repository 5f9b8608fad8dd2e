//! The port `Preferences`.

use async_trait::async_trait;
use koshin_notify::Digests;
use koshin_ra::{AuditNote, DirectoryError, Preferences, StorageError};
use koshin_types::OrganizationId;
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{Columns, millis},
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

struct PreferDigests {
    organization: OrganizationId,
    digests: Digests,
    note: Entry,
    at: UtcDateTime,
}

#[async_trait]
impl Job for PreferDigests {
    type Done = ();
    type Refused = DirectoryError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<DirectoryError>> {
        let change =
            Script::one("/* PreferDigests::run */ UPDATE organizations SET digests = ? WHERE id = ? RETURNING number")
                .with(i64::from(self.digests == Digests::Wanted))
                .with(self.organization.as_str());
        let changed = tx.write(change).await?;
        let Some(row) = changed.first() else {
            let id = self.organization.to_string();
            return Err(Failed::Refused(DirectoryError::Missing { what: "organization", id }));
        };
        let number: i64 = Columns::of(row).get("organizations.number")?;
        let mut script = Script::default();
        self.note.clone().append(&mut tx.head, &mut script);
        if self.digests == Digests::OptedOut {
            // There will be no digest to tell it.
            script.push(
                "/* PreferDigests::run */ UPDATE outbox SET state = 'waiting', claimable_from = ?, disposition = NULL, \
                 recorded_at = NULL WHERE disposition = 'suppressed_in_digest' AND settled = 0 \
                 AND addressee IN (SELECT number FROM subjects WHERE organization = ?)",
            );
            script.bind(millis(self.at)).bind(number);
        }
        tx.write_last(script).await?;
        Ok(())
    }
}

#[async_trait]
impl Preferences for Store {
    async fn digests(&self, organization: &OrganizationId) -> Result<Option<Digests>, StorageError> {
        let query = "/* Store::digests */ SELECT digests FROM organizations WHERE id = ?";
        let row = self.readers().one(Script::one(query).with(organization.as_str())).await?;
        let Some(row) = row else { return Ok(None) };
        let wanted: bool = Columns::of(&row).get("organizations.digests")?;
        Ok(Some(if wanted { Digests::Wanted } else { Digests::OptedOut }))
    }

    async fn prefer_digests(
        &self,
        organization: &OrganizationId,
        digests: Digests,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError> {
        let (organization, note) = (organization.clone(), Entry::note(&note, at));
        self.write(PreferDigests { organization, digests, note, at }).await
    }
}
