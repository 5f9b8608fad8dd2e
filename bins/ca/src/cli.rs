//! The command line.

use clap::{Parser, Subcommand};
use koshin_operator::machine;

use crate::{
    commands::{client, config, init, serve},
    exit::{PROGRAM, STATUSES},
};

/// The CA of Koshin: it signs what RA clients ask for, and publishes what relying parties need.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, about, max_term_width = 100, after_help = STATUSES)]
pub(crate) struct Arguments {
    /// What to log, such as `info` or `koshin_endpoints=debug`.
    #[arg(long, global = true, env = "KOSHIN_LOG", default_value = "warn", value_name = "FILTER", value_parser = machine::log_filter)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a CA: all at once, or in two steps with an offline root
    Init(Box<init::InitArguments>),
    /// Serve the API, and what is published, until asked to end
    Serve(serve::ServeArguments),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Make a key and a certificate for an RA client, on the RA's machine
    Client(client::ClientArguments),
}

impl Arguments {
    pub(crate) fn logging(&self) {
        machine::start_logging(&self.log);
    }

    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Init(arguments) => init::run(*arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Config(command) => config::run(command),
            Command::Client(arguments) => client::run(&arguments),
        }
    }
}
