//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use koshin_types::Language;

use crate::{
    commands::{doctor, handler, kept, renew},
    exit::{PROGRAM, STATUSES},
    texts,
};

/// Koshin's helper on this PC: it makes your key, installs your certificate, and removes the old one.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, about, max_term_width = 100, after_help = STATUSES)]
pub(crate) struct Arguments {
    /// The language of questions and messages; the environment's unless it is named
    #[arg(long, global = true, value_name = "LANGUAGE")]
    language: Option<Spoken>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Spoken {
    Ja,
    En,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let this program open koshin: links for you, and let it talk to a portal
    Register(handler::RegisterArguments),
    /// Undo `register`
    Unregister(handler::UnregisterArguments),
    /// Do what a koshin: link asks for; what a browser calls
    Open(renew::OpenArguments),
    /// Renew a certificate with a link from the page, or go on with what is unfinished
    Renew(renew::RenewArguments),
    /// Obtain a certificate without a valid one, with a link from the page and the mailed code
    Enrol(renew::EnrolArguments),
    /// Show the certificates on this PC
    List(kept::ListArguments),
    /// Forget what is unfinished, and remove keys that were made for it
    Forget(kept::ForgetArguments),
    /// Look at everything, and say the one next step
    Doctor(doctor::DoctorArguments),
}

impl Arguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let language = match self.language {
            Some(Spoken::Ja) => Language::Ja,
            Some(Spoken::En) => Language::En,
            None => texts::language_of_environment(),
        };
        match self.command {
            Command::Register(arguments) => handler::register(arguments),
            Command::Unregister(arguments) => handler::unregister(&arguments),
            Command::Open(arguments) => renew::open(arguments, language).await,
            Command::Renew(arguments) => renew::renew(arguments, language).await,
            Command::Enrol(arguments) => renew::enrol(arguments, language).await,
            Command::List(arguments) => kept::list(&arguments, language),
            Command::Forget(arguments) => kept::forget(&arguments, language),
            Command::Doctor(arguments) => doctor::run(&arguments, language).await,
        }
    }
}
