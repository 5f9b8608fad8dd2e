//! Making a CA's revocation list, in time.

mod source;

pub use source::{Editions, RevocationSource, Revoked, SourceUnavailable};
