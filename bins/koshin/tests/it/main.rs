//! The program from outside: arguments in, standard output, standard error and exit status out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(unix)]
mod clock;
mod config;
#[cfg(unix)]
mod demo;
#[cfg(unix)]
mod docs;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod est;
#[cfg(unix)]
mod heads;
#[cfg(unix)]
mod mail;
#[cfg(unix)]
mod mailbox;
mod operator;
mod policy;
mod program;
#[cfg(unix)]
mod readme;
mod replay;
mod request;
#[cfg(unix)]
mod serve;
