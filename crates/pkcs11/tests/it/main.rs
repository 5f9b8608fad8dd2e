//! The signer over real tokens: SoftHSM, in this process's place and behind a proxy that can be killed and stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bench;
mod signer;
