//! The TLS edge over real sockets, and its verifier against a foreign corpus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod certificates;
mod demanding;
mod ending;
mod limbo;
mod limits;
mod support;
