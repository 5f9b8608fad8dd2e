//! The words Koshin's crates share, and nothing else.
//!
//! This crate names what every other crate has to agree on: the serial number and the validity of a certificate
//! (RFC 5280), the identifiers of organizations, subjects and renewals, roles, languages and levels of key protection.
//! It refuses to know a clock, randomness, storage or text for people. `no_std`, with `alloc`.
//!
//! The feature `serde` (off by default) makes the closed sets of words ([`Role`], [`Language`], [`CertificateStatus`],
//! [`ProtectionLevel`], [`RevocationReason`]) `Serialize` and `Deserialize`, as the words that [`Role::as_str`] and its like
//! give. Everything else displays and parses, and is written as text.
//!
//! ```
//! use koshin_types::{SerialNumber, SubjectId, Validity};
//! use time::{Duration, UtcDateTime};
//!
//! let not_before = UtcDateTime::UNIX_EPOCH;
//! let validity = Validity::new(not_before, not_before + Duration::days(365))?;
//! assert!(validity.contains(validity.not_after()));
//! assert!(!validity.contains(validity.end()));
//! assert_eq!("U-1001".parse::<SubjectId>()?.as_str(), "U-1001");
//! assert_eq!(SerialNumber::from_be_bytes(&[0x1a, 0xff])?.to_string(), "1AFF");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;

mod certificate;
mod id;
mod instant;
mod serial;
mod validity;

pub use certificate::{CertificateStatus, ProtectionLevel, RevocationReason};
pub use id::{Fingerprint, IdError, Language, OrganizationId, RenewalId, Role, SubjectId, UnknownWord};
pub use instant::Rfc3339;
pub use serial::{SerialError, SerialNumber};
pub use validity::{Validity, ValidityError};
