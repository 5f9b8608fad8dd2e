//! The integration tests of koshin-web.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod agent;
mod est;
mod portal;
mod samples;
mod screens;
#[path = "../../../ra/tests/it/town.rs"]
mod town;
