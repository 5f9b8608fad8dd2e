//! When a client certificate is valid, noticed and renewable, which mail is due, and when any of that changes.
//!
//! A [`Policy`] is a checked set of numbers and a time zone. Asked about one certificate ([`Standing`]) at one instant
//! it gives one [`Decision`]; asked for a new certificate it gives a [`Validity`](koshin_types::Validity). Everything
//! here is a pure and total function: no clock, no I/O, no zone data. The instant is an argument, and the zone is a
//! [`TimeZone`] which the caller brings; only fixed offsets ([`FixedOffset`]) are built in.
//!
//! The crate does not know people, mail, keys or storage: it says *what holds*, and leaves it to others to act.
//!
//! By default a certificate lives one calendar year, its renewal opens 30 calendar days before it ends, mails are due
//! 30 and 10 days before, and for 90 days after its end the holder may enrol again:
//!
//! ```
//! use koshin_expiry::{Phase, Policy, Standing};
//! use time::{Date, Duration, Month, UtcDateTime};
//!
//! fn utc(year: i32, month: Month, day: u8, hour: u8) -> UtcDateTime {
//!     Date::from_calendar_date(year, month, day).unwrap().with_hms(hour, 0, 0).unwrap().as_utc()
//! }
//!
//! let policy = Policy::default_jst();
//! let ca_not_after = utc(2040, Month::January, 1, 0);
//! let validity = policy.validity_for(utc(2026, Month::March, 1, 3), ca_not_after)?;
//! assert_eq!(validity.not_after(), utc(2027, Month::March, 1, 3) - Duration::SECOND);
//!
//! // Renewal opens with the local date, here at midnight in Tokyo, and not a millisecond earlier.
//! let standing = Standing::active(validity);
//! let opens = policy.opening(validity, 30);
//! assert_eq!(opens, utc(2027, Month::January, 29, 15));
//! let before = policy.decide(&standing, opens - Duration::MILLISECOND);
//! assert!(before.login && !before.notice && !before.renewal);
//! assert_eq!((before.mail_due, before.next_change), (None, Some(opens)));
//! let after = policy.decide(&standing, opens);
//! assert!(after.login && after.notice && after.renewal);
//! assert_eq!((after.mail_due, after.days_left), (Some(30), Some(30)));
//!
//! // The second after notAfter is the first in which the certificate is dead, and enrolment takes over for 90 days.
//! let dead = policy.decide(&standing, validity.end());
//! assert_eq!((dead.phase, dead.login, dead.renewal, dead.enrolment), (Phase::Expired, false, false, true));
//! assert_eq!(dead.next_change, Some(validity.end() + Duration::days(90)));
//! # Ok::<(), koshin_expiry::ValidityRefused>(())
//! ```
#![no_std]

extern crate alloc;

mod clock;
mod decision;
mod policy;
mod rule;
mod watch;
mod zone;

pub use clock::{ClockDoubt, ClockGuard, Since, go_on_with};
pub use decision::{Decision, Phase, RenewalProgress, Standing};
pub use policy::{Mode, Policy, PolicyConfig, PolicyError};
pub use rule::{ValidityRefused, ValidityRule, validity_for};
pub use watch::{ClockDues, ClockRecord, Jump, Reading, Watch};
pub use zone::{FixedOffset, TimeZone};

/// A word in a configuration that names neither a [`Mode`] nor a [`ValidityRule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is none of {expected}")]
pub struct ParseError {
    /// The text that was given.
    pub value: alloc::string::String,
    /// What may stand there.
    pub expected: &'static str,
}
