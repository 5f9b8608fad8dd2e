//! Delivery through mail servers that others wrote, on loopback: what they take arrives and reads as it was meant, what they
//! refuse is noticed, and what they give back later comes to the mail that it is about.
//!
//! `cargo xtask ci postfix` and `cargo xtask ci opensmtpd` run this as root: both servers start as nobody else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod far;
#[allow(dead_code, reason = "a part of the people and mails is enough here")]
#[path = "../it/fixture.rs"]
mod fixture;
mod judges;
mod opensmtpd;
mod postfix;
mod relay;
mod scenario;
