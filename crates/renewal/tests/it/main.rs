//! The machine's table, its invariants and its boundaries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod boundaries;
mod fixtures;
mod history;
#[cfg(feature = "serde")]
mod json;
mod model;
mod properties;
mod purity;
mod replay;
mod situations;
mod table;
