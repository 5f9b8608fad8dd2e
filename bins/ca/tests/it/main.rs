//! The program from outside: its commands, and the service over real sockets, judged by curl and openssl.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod ceremony;
mod commands;
mod crash;
mod page;
mod profiles;
mod program;
mod reload;
mod restore;
mod rollover;
mod serve;
mod site;
mod token;
