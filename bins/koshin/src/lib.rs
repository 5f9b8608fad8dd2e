//! Koshin's programs: `koshin` (the service, a demonstration of it, the operator's work) and `koshin-web` (the portal
//! alone). Both are one library, because the portal alone is the service without a CA's key and without a mailer.

mod cli;
mod clock;
mod commands;
mod config;
mod demo;
mod exit;
mod nss;
mod ocsp;
mod p12;
mod remote;
mod service;
mod shown;

use std::process::ExitCode;

use clap::Parser as _;

/// The program `koshin`.
pub fn koshin() -> ExitCode {
    let arguments = cli::Arguments::parse();
    arguments.logging();
    block_on("koshin", arguments.run())
}

/// The program `koshin-web`.
pub fn koshin_web() -> ExitCode {
    let arguments = commands::serve::WebArguments::parse();
    arguments.logging();
    block_on("koshin-web", arguments.run())
}

fn block_on(program: &str, work: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(code) => code,
        Err(error) => exit::report(program, &error),
    }
}
