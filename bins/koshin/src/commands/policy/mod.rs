//! `koshin policy`: what the expiry policy says, for one certificate or for a batch.

mod eval;
mod explain;
mod lines;
mod replay;
mod tables;
mod validity;

use clap::Subcommand;

pub(crate) use self::lines::WrongLine;

// A line without blanks stays in one piece, however narrow the terminal is.
const EXPLAIN: &str = "\
Example:
koshin policy explain --not-before 2026-01-01T00:00:00Z --not-after 2026-12-22T14:59:59Z";
const EVAL: &str = "\
Example:
koshin policy eval <<'END'
{\"id\":1,\"not_before\":\"2026-01-01T00:00:00Z\",\"not_after\":\"2026-12-22T14:59:59Z\",\"now\":\"2026-11-22T00:00:00Z\"}
END";
const VALIDITY: &str = "\
Example:
koshin policy validity <<'END'
{\"id\":1,\"issue\":\"2026-01-01T00:00:00Z\",\"rule\":\"p1y-eod\"}
END";
const REPLAY: &str = "\
Example:
koshin policy replay <<'END'
{\"id\":1,\"not_before\":\"2026-01-01T00:00:00Z\",\"not_after\":\"2026-12-22T14:59:59Z\",\"events\":[{\"do\":\"run\",\"at\":\"2026-11-22T00:00:00Z\"}]}
END";

/// What the expiry policy says. No installation is needed.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say where a certificate stands, what comes next, and when
    #[command(after_help = EXPLAIN)]
    Explain(Box<explain::ExplainArguments>),
    /// Read certificates as JSON lines from standard input and write one decision for each
    #[command(after_help = EVAL)]
    Eval,
    /// Read instants of issue as JSON lines from standard input and write one validity for each
    #[command(after_help = VALIDITY)]
    Validity,
    /// Read scripts of events as JSON lines from standard input, run the mailer through each, and write its mails
    #[command(long_about = replay::HELP, after_help = REPLAY)]
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
