//! `koshin audit`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::desk::Place;
use crate::output::Form;

/// The log of everything that was done.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follow the chain of audit records from the first to the last, and find what was changed
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Also fold the records into what everybody holds, and compare it with what is stored
    #[arg(long)]
    replay: bool,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(command: AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify(arguments) = command;
    let desk = arguments.place.open().await?;
    let report = desk.store.audit_verify().await?;
    let replayed = if arguments.replay { Some(desk.store.audit_replay().await?) } else { None };
    Form::new(arguments.json).one(&json!({
        "ok": true,
        "records": report.head.sequence,
        "head": report.head.hash.to_string(),
        "subjects_replayed": replayed.map(|report| report.subjects),
    }))
}
