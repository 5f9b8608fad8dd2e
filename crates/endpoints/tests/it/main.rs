//! The endpoints over a real socket, asked by openssl and curl's equals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "api")]
mod api;
mod bench;
mod ca;
mod est;
mod history;
mod judges;
mod ledger;
mod ocsp;
mod publication;
mod publisher;
#[cfg(all(feature = "api", feature = "client"))]
mod remote;
mod responder;
mod revocations;
mod serials;
