//! `koshin-ca audit`.

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
    /// Verify the log, and compare every record with what is stored
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
    let (AuditArguments { json, place }, replay) = match command {
        AuditCommand::Verify(arguments) => (arguments, false),
        AuditCommand::Replay(arguments) => (arguments, true),
    };
    let desk = place.open().await?;
    let report = if replay { desk.store.audit_replay().await } else { desk.store.audit_verify().await };
    desk.close().await;
    let AuditReport { head, subjects } = report?;
    let head_hash = head.hash.to_string();
    Form::new(json).one(&if replay {
        json!({"ok": true, "records": head.sequence, "head": head_hash, "entries": subjects})
    } else {
        json!({"ok": true, "records": head.sequence, "head": head_hash})
    })
}
