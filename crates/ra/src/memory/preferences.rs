//! What organizations chose, in memory.

use async_trait::async_trait;
use koshin_notify::Digests;
use koshin_types::OrganizationId;
use time::UtcDateTime;

use super::MemoryStore;
use crate::{AuditNote, DirectoryError, Preferences, StorageError};

#[async_trait]
impl Preferences for MemoryStore {
    async fn digests(&self, organization: &OrganizationId) -> Result<Option<Digests>, StorageError> {
        let state = self.state();
        let opted_out = state.opted_out.contains(organization);
        let known = state.organizations.contains_key(organization);
        Ok(known.then_some(if opted_out { Digests::OptedOut } else { Digests::Wanted }))
    }

    async fn prefer_digests(
        &self,
        organization: &OrganizationId,
        digests: Digests,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError> {
        let mut state = self.state();
        if !state.organizations.contains_key(organization) {
            return Err(DirectoryError::Missing { what: "organization", id: organization.to_string() });
        }
        match digests {
            Digests::OptedOut => state.opted_out.insert(organization.clone()),
            Digests::Wanted => state.opted_out.remove(organization),
        };
        state.note(&note, at);
        Ok(())
    }
}
