//! The policy against its specification: boundary instants, real zones, and properties with slow oracles.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod boundaries;
mod clock;
mod config;
mod invariants;
mod mails;
mod oracle;
mod real_zones;
mod validity;
mod zones;
