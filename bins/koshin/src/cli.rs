//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use koshin_operator::machine;

use crate::{
    commands::{
        audit, backup, certificate, clock, config, doctor, init, mail, organization, policy, request, serve, subject,
        task,
    },
    demo, exit,
};

/// Koshin runs the life of the client certificates that people log in to a portal with.
#[derive(Debug, Parser)]
#[command(name = "koshin", version, about, max_term_width = 100, after_help = exit::STATUSES)]
pub(crate) struct Arguments {
    /// What to log, such as `info` or `koshin_web=debug`.
    #[arg(long, global = true, env = "KOSHIN_LOG", default_value = "warn", value_name = "FILTER", value_parser = machine::log_filter)]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run portal, CA and a mailbox on this machine, with people whose certificates are about to expire
    Demo(demo::DemoArguments),
    /// Make a root, an issuing CA, a configuration and an empty database
    Init(init::InitArguments),
    /// Run portal, CA and mailer in one process
    Serve(serve::ServeArguments),
    /// Look at everything; after a restore, bring the database up to what was published since
    Doctor(doctor::DoctorArguments),
    /// Copy the database, as it stands now, into a new file that only you can read
    Backup(backup::BackupArguments),
    #[command(subcommand)]
    Organization(organization::OrganizationCommand),
    #[command(subcommand)]
    Subject(subject::SubjectCommand),
    #[command(subcommand)]
    Certificate(certificate::CertificateCommand),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Request(request::RequestCommand),
    #[command(subcommand)]
    Mail(mail::MailCommand),
    #[command(subcommand)]
    Task(task::TaskCommand),
}

impl Arguments {
    pub(crate) fn logging(&self) {
        machine::start_logging(&self.log);
    }

    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Demo(arguments) => return demo::run(arguments).await,
            Command::Init(arguments) => init::run(arguments).await,
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Backup(arguments) => backup::run(arguments).await,
            Command::Organization(command) => organization::run(command).await,
            Command::Subject(command) => subject::run(command).await,
            Command::Certificate(command) => certificate::run(command).await,
            Command::Audit(command) => audit::run(command).await,
            Command::Clock(command) => clock::run(command).await,
            Command::Config(command) => config::run(command),
            Command::Policy(command) => policy::run(command),
            Command::Request(command) => request::run(command),
            Command::Mail(command) => mail::run(command).await,
            Command::Task(command) => task::run(command).await,
        }?;
        Ok(ExitCode::SUCCESS)
    }
}
