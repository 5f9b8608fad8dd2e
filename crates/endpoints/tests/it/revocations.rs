//! Revocations in memory, by the suite that every source has to pass.

use async_trait::async_trait;
use koshin_endpoints::{MemoryRevocations, RevocationSource, Revoked, publisher::conformance::Rig};

struct Memory(MemoryRevocations);

#[async_trait(?Send)]
impl Rig for Memory {
    fn source(&self) -> &dyn RevocationSource {
        &self.0
    }

    async fn revoke(&self, revoked: Revoked) {
        self.0.revoke(revoked);
    }

    async fn reopen(self) -> Self {
        self
    }
}

async fn empty() -> Memory {
    Memory(MemoryRevocations::default())
}

koshin_endpoints::revocations_conformance!(empty);
