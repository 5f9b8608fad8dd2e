//! The use cases on storage in memory, and the storage's own conformance.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod agent;
mod authority;
mod clock;
mod dealings;
mod elsewhere;
mod faulty;
mod invariants;
mod load;
mod people;
mod renewal;
mod ticket;
mod town;
