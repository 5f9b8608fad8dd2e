//! `koshin policy`: what the expiry policy says, for one certificate or for a batch.

mod eval;
mod explain;
mod lines;
mod replay;
mod tables;
mod validity;

use clap::Subcommand;

pub(crate) use self::lines::WrongLine;

/// What the expiry policy says. No installation is needed.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say where a certificate stands, what comes next, and when
    Explain(Box<explain::ExplainArguments>),
    /// Read certificates as JSON lines from standard input and write one decision for each
    Eval,
    /// Read instants of issue as JSON lines from standard input and write one validity for each
    Validity,
    /// Read scripts of events as JSON lines from standard input, run the mailer through each, and write its mails
    #[command(long_about = replay::HELP)]
    Replay,
}

pub(crate) fn run(command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Explain(arguments) => explain::run(&arguments),
        PolicyCommand::Eval => lines::map(&mut eval::Evaluator::default()),
        PolicyCommand::Validity => lines::map(&mut validity::Calculator::default()),
        PolicyCommand::Replay => lines::map(&mut replay::Rehearsal::new()?),
    }
}
