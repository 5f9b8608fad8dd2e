//! The crate from outside: words, messages, mailer, transports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[cfg(feature = "bounces")]
mod bounces;
mod calendar;
mod digest;
mod fixture;
mod invariants;
mod limit;
mod logs;
mod mailer;
mod matters;
mod message;
mod outbox;
mod payload;
mod planner;
mod schedule;
#[cfg(feature = "smtp")]
mod smtp;
#[cfg(feature = "smtp")]
mod smtp_trouble;
mod transports;
mod words;
