//! The integration tests of koshin-web.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod edge;
mod samples;
mod screens;
