//! The holder's helper on a PC: it makes the key where it can be kept best, fetches the certificate for it, and removes the old one.
//!
//! A portal's page starts it by a `koshin:` link. It talks to configured portals only, asks the holder twice, and goes on where it was
//! when it is killed. `docs/agent.md` says how the two talk.

mod ask;
mod cli;
mod commands;
mod config;
mod exit;
mod http;
mod journey;
mod link;
mod origin;
mod places;
mod register;
mod state;
mod stores;
mod texts;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(arguments.run()),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
