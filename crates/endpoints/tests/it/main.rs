//! The endpoints over a real socket, asked by openssl and curl's equals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bench;
mod history;
mod ledger;
mod ocsp;
mod publication;
mod publisher;
mod responder;
mod revocations;
