//! Koshin's databases on SQLite. Features say which, none by default:
//!
//! - `registry`: the registry of subjects, ledger of certificates, sessions, audit log and outbox in one file. A `Store`
//!   implements the ports `Registry`, `Sessions`, `Directory` and `Chronicle` of `koshin-ra`. Brings `outbox` with it.
//! - `published`: a `Store` is also `RevocationSource` and `StatusSource` of `koshin-endpoints`, for a CA whose ledger it is.
//! - `outbox`: of the same file what a mailer needs; a `Store` implements `Outbox` and `Schedule` of `koshin-notify`.
//! - `ledger`: the ledger of a CA of its own, in a file of its own. A `LedgerStore` implements `Ledger`, `RevocationSource` and
//!   `StatusSource` of `koshin-endpoints`.
//!
//! It is the only crate that knows the tables, and it refuses to know a clock, randomness, HTTP and what a certificate says.
//!
//! - One task owns the connection that writes. What waited while the last commit reached the disk becomes the next
//!   commit (*group commit*); each job of it has its own `SAVEPOINT`, so that a version conflict fails one job only, and
//!   nobody gets an answer before the whole of it is durable (WAL, `synchronous=FULL`).
//! - Readers have their own connections and never wait for the writer. A file is read in one statement, so that its
//!   version and its rows agree, and every commit of every process is seen at once.
//! - Several processes may open the same file. The operator's command writes beside a running server.
//! - The audit log is a hash chain (`audit_verify`); every step in it is one that the machine allows, and taking
//!   them again gives the stored holdings (`audit_replay`).
//! - A copy of everything is made while everybody goes on (`backup`).
//! - Beside each file lies a witness, which remembers how far it has come. From an older copy that took its place nothing is
//!   signed (`standing`) before it was compared with what was published since (`reconcile`).
//! - The tables themselves refuse a second open renewal, a second active or pending certificate of one subject, a
//!   revocation that is taken back and a changed audit record, whatever program writes.
//!
//! ```
//! use koshin_ra::Registry;
//! use koshin_sqlite::{Options, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let store = Store::open(&folder.path().join("koshin.db"), &Options::default()).await?;
//! assert!(store.subject(&"U-1001".parse()?).await?.is_none());
//! assert_eq!(store.audit_verify().await?.head.sequence, 0);
//! store.shut_down().await;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(all(feature = "ledger", feature = "registry")),
    allow(dead_code, reason = "each feature takes a part of what they share; with all of them nothing is left over")
)]

mod audit;
mod backup;
mod check;
#[cfg(feature = "outbox")]
mod clock;
mod codec;
#[cfg(feature = "registry")]
mod commit;
#[cfg(feature = "registry")]
mod correspondence;
mod database;
#[cfg(feature = "registry")]
mod directory;
#[cfg(feature = "registry")]
mod editions;
mod error;
#[cfg(feature = "registry")]
mod file;
#[cfg(feature = "registry")]
mod fresh;
#[cfg(feature = "ledger")]
mod ledger;
#[cfg(any(feature = "ledger", feature = "registry"))]
mod lists;
#[cfg(feature = "outbox")]
mod matters;
#[cfg(feature = "registry")]
mod note;
mod open;
#[cfg(feature = "outbox")]
mod outbox;
#[cfg(feature = "outbox")]
mod post;
#[cfg(feature = "registry")]
mod preferences;
#[cfg(feature = "published")]
mod published;
mod readers;
#[cfg(feature = "registry")]
mod recent;
#[cfg(feature = "registry")]
mod reconcile;
#[cfg(feature = "registry")]
mod registry;
#[cfg(feature = "registry")]
mod replay;
mod restore;
#[cfg(feature = "outbox")]
mod schedule;
mod script;
#[cfg(feature = "registry")]
mod sessions;
#[cfg(feature = "registry")]
mod status;
#[cfg(feature = "outbox")]
mod store;
#[cfg(feature = "outbox")]
mod tasks;
mod witness;
mod writer;

pub use audit::{AuditHead, AuditRecord};
pub use backup::BackupError;
pub use check::{AuditBreak, AuditError, AuditReport};
pub use database::Options;
pub use error::StoreError;
#[cfg(feature = "ledger")]
pub use ledger::{LedgerCounts, LedgerStore};
#[cfg(any(feature = "ledger", feature = "registry"))]
pub use lists::RecordedLists;
pub use open::OpenError;
#[cfg(feature = "outbox")]
pub use post::{Delivered, DueMail, PostCounts};
pub use restore::{
    Evidence, FoundCertificate, ListedRevocation, NewestList, PublishedList, ReconcileError, Reconciled,
};
#[cfg(feature = "outbox")]
pub use store::Store;
pub use witness::{Behind, ListEdition, NotReconciled, Standing, Why, WitnessSilent, Witnessed};
pub use writer::Stats;
