//! The gate, the CA and its ceremonies, judged from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod ceremony;
mod crl;
mod foreign;
mod gate;
mod golden;
mod issue;
mod issuer;
mod ocsp;
mod reference;
mod support;
