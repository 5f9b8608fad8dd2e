//! The command line.

use clap::{Parser, Subcommand};
use koshin_operator::machine;

use crate::{
    commands::{audit, backup, client, clock, config, crl, doctor, init, ocsp, revoke, rollover, serve, status},
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
    /// Revoke a certificate; final
    Revoke(revoke::RevokeArguments),
    #[command(subcommand)]
    Crl(crl::CrlCommand),
    #[command(subcommand)]
    Ocsp(ocsp::OcspCommand),
    #[command(subcommand)]
    Rollover(rollover::RolloverCommand),
    /// Say how everything stands: keys, lists, responder, ledger, clock; status 4 when somebody has to act
    Status(status::StatusArguments),
    /// Look at everything; after a restore, bring the ledger up to what was published since
    Doctor(doctor::DoctorArguments),
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// Copy the ledger, as it stands now, into a new file that only you can read
    Backup(backup::BackupArguments),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
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
            Command::Revoke(arguments) => revoke::run(arguments).await,
            Command::Crl(command) => crl::run(command).await,
            Command::Ocsp(command) => ocsp::run(command).await,
            Command::Rollover(command) => rollover::run(command).await,
            Command::Status(arguments) => status::run(arguments).await,
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Clock(command) => clock::run(command).await,
            Command::Backup(arguments) => backup::run(arguments).await,
            Command::Audit(command) => audit::run(command).await,
            Command::Config(command) => config::run(command),
            Command::Client(arguments) => client::run(&arguments),
        }
    }
}
