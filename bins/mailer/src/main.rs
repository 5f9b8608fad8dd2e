//! The mailer as a program of its own: what is owed by a portal's database it plans and sends, and says when that fails.

mod cli;
mod clock;
mod commands;
mod config;
mod exit;
mod progress;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    arguments.logging();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(arguments.run()),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
