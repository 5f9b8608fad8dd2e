//! The program, on a real database, before a real SMTP server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what is not as expected fails the test"
)]

mod clock;
mod end;
mod figures;
mod once;
mod rehearsal;
mod relay;
mod site;
mod standing;
mod texts;
mod two;
