//! The CA as a service: what is recorded of each certificate, who may ask for one, and what is done then.

mod client;
mod clock;
pub mod conformance;
mod issue;
mod ledger;
mod memory;
mod order;
mod parts;
mod profile;
mod refused;
mod room;
mod service;
mod signer;
mod status;
mod turns;

pub use client::{Client, ClientError, Right};
pub use ledger::{
    Change, ChangeKind, Changes, Entry, IntendError, Intent, IssuedError, Ledger, LedgerError, OrderKey, Recorded,
    Revocation, RevokeError, Standing, Status,
};
pub use memory::MemoryLedger;
pub use order::{ChangesPage, Finished, IssueRequest, Issued, RevocationRequest};
pub use parts::{CaParts, ServiceError, Signing};
pub use profile::{IssuingProfile, KeyClass};
pub use refused::{ChangesRefused, IssueRefused, RevocationRefused, Unsignable};
pub use service::CaService;
pub use signer::SharedSigner;
pub use status::LedgerStatus;
