//! The ledger in memory, by the suite that every ledger has to pass.

use async_trait::async_trait;
use koshin_endpoints::ca::{Ledger, MemoryLedger, conformance::Rig};

struct Memory(MemoryLedger);

#[async_trait]
impl Rig for Memory {
    fn ledger(&self) -> &dyn Ledger {
        &self.0
    }

    async fn audited(&self) -> u64 {
        self.0.audited()
    }
}

async fn empty() -> Memory {
    Memory(MemoryLedger::default())
}

koshin_endpoints::ledger_conformance!(empty);
