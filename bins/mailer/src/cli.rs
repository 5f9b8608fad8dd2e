//! The command line.

use clap::{Parser, Subcommand};
use koshin_operator::machine;

use crate::{
    commands::{once, run, status},
    exit::{PROGRAM, STATUSES},
};

/// The mailer of Koshin: it sends what a portal's database owes, each mail once. Any number may work on one database.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, about, max_term_width = 100, after_help = STATUSES)]
pub(crate) struct Arguments {
    /// What to log, such as `info` or `koshin_notify=debug`.
    #[arg(long, global = true, env = "KOSHIN_LOG", default_value = "warn", value_name = "FILTER", value_parser = machine::log_filter)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plan and send until asked to end; SIGHUP reads the texts of the mails again
    Run(run::RunArguments),
    /// Plan and send what is due now, and end
    Once(once::OnceArguments),
    /// Say how the mails stand; status 1 when somebody has to look
    Status(status::StatusArguments),
}

impl Arguments {
    pub(crate) fn logging(&self) {
        machine::start_logging(&self.log);
    }

    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(arguments) => run::run(arguments).await,
            Command::Once(arguments) => once::run(arguments).await,
            Command::Status(arguments) => status::run(arguments).await,
        }
    }
}
