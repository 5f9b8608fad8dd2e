//! How Koshin's programs talk with their operator, so that all of them do it alike.
//!
//! - [`exit`]: which exit status an error becomes, and how it is said on standard error.
//! - [`output`]: data on standard output, for a person, for `cut`, or as JSON.
//! - [`config`]: a configuration file in TOML, of which everything that is wrong is said at once.
//! - [`secret`] and [`pem`]: passwords, private keys and certificates out of files; who else may read them.
//! - `heads`, with the feature of that name: the heads of an audit log, signed and kept outside of its database.
//! - `key`, with the feature of that name: private keys of CAs, in files and PKCS#11 tokens.
//! - `clock`, with the feature of that name: whether the machine's clock is believed.
//! - `profile`, with the feature of that name: what stands in certificates, and the keys that are blocked.
//! - `post`, with the feature of that name: the mails of an installation.
//! - `zone`, with the feature of that name: the IANA zones in which days begin.
//! - [`machine`]: the machine's clock and random source, its signals, systemd and logs. Libraries name none of them.
//! - [`instant`]: instants as text.
//!
//! It refuses to know what a program does: screens are unknown here, and without a feature so are storage and mail.
//!
//! ```
//! use koshin_operator::{exit::{self, Fault, Status}, output};
//!
//! let error = anyhow::Error::from(Fault::not_found("there is no subject U-1")).context("nothing was revoked");
//! assert_eq!(exit::status(&error, exit::none), Some(Status::NotFound));
//! assert_eq!(output::harmless("a\u{1b}[2Jb"), "a [2Jb");
//! ```

#[cfg(feature = "clock")]
pub mod clock;
pub mod config;
#[cfg(feature = "evidence")]
pub mod evidence;
pub mod exit;
#[cfg(feature = "heads")]
pub mod heads;
pub mod instant;
#[cfg(feature = "key")]
pub mod key;
pub mod machine;
pub mod output;
pub mod pem;
#[cfg(feature = "post")]
pub mod post;
#[cfg(feature = "profile")]
pub mod profile;
pub mod secret;
#[cfg(feature = "zone")]
pub mod zone;
