//! The life of a subject's certificates, as a pure state machine.
//!
//! Two layers, both values without a clock, storage or randomness:
//!
//! - [`Renewal`] is one renewal or one enrolment: [`Renewal::step`] takes an [`Event`] and answers with the next
//!   [`State`] or a [`Refused`] that carries the compared values. The whole table is printed in `transitions.md`.
//! - [`Holding`] is everything one subject holds: its certificates by generation, its open renewal, a grant. A command
//!   such as [`Holding::start`] answers with [`Change`]: the [`Fact`]s that are now true and the [`Effect`]s that are
//!   owed outside. Folding facts over an empty holding gives the holding again, and [`Holding::replay`] tells whether the
//!   commands could have recorded them, so an audit log can be checked.
//!
//! "Renewal" is what RFC 3647, 4.7 calls re-key: every successor has a new key. A repeated event leaves everything as
//! it is and is no error; whatever arrives after an end changes nothing. Instants are compared as they are; the caller
//! sees to it that they are whole milliseconds, and that the seconds of a certificate are whole.
//!
//! The feature `serde` (off by default) makes [`Fact`] and what it consists of `Serialize` and `Deserialize`. `no_std`, with
//! `alloc`. `examples/a_log_on_trial.rs` takes the crate as another project would.
//!
//! ```
//! use koshin_renewal::{Basis, Deadlines, Event, Key, Renewal, State};
//! use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber};
//! use time::{Duration, UtcDateTime};
//!
//! let now = UtcDateTime::UNIX_EPOCH;
//! let basis = Basis::Renewal { predecessor: SerialNumber::from_be_bytes(&[7])?, end: now + Duration::days(30) };
//! let renewal = Renewal::new(RenewalId::new([1; 16]), basis, now);
//! let key = Key { spki: Fingerprint::new([2; 32]), protection: ProtectionLevel::File };
//! let next = renewal.step(&Event::Request { key }, now, &Deadlines::default())?;
//! assert_eq!(next, State::Requested { key });
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]
#![doc = ""]
#![doc = include_str!("../transitions.md")]

extern crate alloc;

mod command;
mod fact;
mod fold;
mod holding;
mod machine;
mod refused;
mod replay;

pub use fact::{Effect, Fact};
pub use holding::{Admission, Change, Grant, HeldCertificate, Holding, Outlook, Status};
pub use machine::{Basis, Deadlines, Dialog, Event, Issued, Key, Renewal, State, Why};
pub use refused::Refused;
pub use replay::NotAllowed;
