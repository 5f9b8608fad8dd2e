//! Koshin's registry of subjects, ledger of certificates, sessions, audit log and outbox in one SQLite file.
//!
//! A [`Store`] implements the ports [`Registry`](koshin_ra::Registry), [`Sessions`](koshin_ra::Sessions),
//! [`Directory`](koshin_ra::Directory) and [`Chronicle`](koshin_ra::Chronicle) of `koshin-ra` and
//! [`Outbox`](koshin_notify::Outbox) and [`Schedule`](koshin_notify::Schedule) of `koshin-notify`. It is the only crate
//! that knows the tables, and it refuses to know a clock, randomness, HTTP and what a certificate says.
//!
//! - One task owns the connection that writes. What waited while the last commit reached the disk becomes the next
//!   commit (*group commit*); each job of it has its own `SAVEPOINT`, so that a version conflict fails one job only, and
//!   nobody gets an answer before the whole of it is durable (WAL, `synchronous=FULL`).
//! - Readers have their own connections and never wait for the writer. A file is read in one statement, so that its
//!   version and its rows agree, and every commit of every process is seen at once.
//! - Several processes may open the same file. The operator's command writes beside a running server.
//! - The audit log is a hash chain ([`Store::audit_verify`]); every step in it is one that the machine allows, and taking
//!   them again gives the stored holdings ([`Store::audit_replay`]).
//! - A copy of everything is made while everybody goes on ([`Store::backup`]).
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

mod audit;
mod backup;
mod check;
mod clock;
mod codec;
mod commit;
mod directory;
mod file;
mod open;
mod outbox;
mod readers;
mod registry;
mod schedule;
mod script;
mod sessions;
mod status;
mod store;
mod writer;

pub use audit::{AuditHead, AuditRecord};
pub use backup::BackupError;
pub use check::{AuditBreak, AuditError, AuditReport};
pub use open::OpenError;
pub use store::{Options, Store};
pub use writer::Stats;
