//! The store on real files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests panic when they fail"
)]

mod audit;
mod backup;
mod bench;
mod conformance;
mod editions;
mod fresh;
mod group_commit;
mod kill;
mod ledger;
mod ledger_kill;
mod mail_kill;
mod matters;
mod opening;
mod order_kill;
mod post;
mod restore;
mod restore_store;
mod schedule;
mod sessions;
mod tables;
mod tasks;
mod witness;
