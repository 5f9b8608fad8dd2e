//! `koshin audit`.

use clap::{Args, Subcommand};
use koshin_operator::output::Form;
use koshin_sqlite::AuditReport;
use serde_json::json;

use super::desk::Place;

/// The log of everything that was done.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follow the chain of audit records from the first to the last, and find what was changed
    Verify(AuditArguments),
    /// Verify the log, take every recorded step again, and compare the end with what everybody holds
    Replay(AuditArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(command: AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify(AuditArguments { json, place }) => {
            let AuditReport { head, .. } = place.open().await?.store.audit_verify().await?;
            Form::new(json).one(&json!({ "ok": true, "records": head.sequence, "head": head.hash.to_string() }))
        }
        AuditCommand::Replay(AuditArguments { json, place }) => {
            let AuditReport { head, subjects } = place.open().await?.store.audit_replay().await?;
            let head_hash = head.hash.to_string();
            Form::new(json).one(&json!({
                "ok": true, "records": head.sequence, "head": head_hash, "subjects": subjects,
            }))
        }
    }
}
