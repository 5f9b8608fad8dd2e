//! Koshin's command: the service, a demonstration of it, and the operator's work.

mod cli;
mod clock;
mod commands;
mod config;
mod demo;
mod exit;
mod nss;
mod ocsp;
mod p12;
mod service;
mod shown;
mod zone;

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
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
