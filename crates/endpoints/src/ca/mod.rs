//! The CA as a service: what is recorded of each certificate, and who may ask for one.

pub mod conformance;
mod ledger;
mod memory;

pub use ledger::{
    Change, ChangeKind, Changes, Entry, IntendError, Intent, IssuedError, Ledger, LedgerError, OrderKey, Recorded,
    Revocation, RevokeError, Standing, Status,
};
pub use memory::MemoryLedger;
