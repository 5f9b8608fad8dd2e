//! `koshin-ca audit`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use koshin_operator::{
    heads::{Heads, PublicKey},
    output::Form,
};
use koshin_sqlite::AuditReport;
use serde_json::{Map, json};

use super::desk::Place;

/// The log of everything that was done.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Follow the chain of audit records from the first to the last, and find what was changed
    Verify(VerifyArguments),
    /// Verify the log, and compare every record with what is stored
    Replay(AuditArguments),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The signed heads that the service has kept: compare the log with each of them
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    /// The public half of the audit key; without it the key of the configuration
    #[arg(long, value_name = "FILE", requires = "heads")]
    heads_key: Option<PathBuf>,
    #[command(flatten)]
    audit: AuditArguments,
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
        AuditCommand::Verify(arguments) => verify(arguments).await,
        AuditCommand::Replay(AuditArguments { json, place }) => {
            let desk = place.open().await?;
            let report = desk.store.audit_replay().await;
            desk.close().await;
            let AuditReport { head, subjects } = report?;
            let head_hash = head.hash.to_string();
            let report = json!({"ok": true, "records": head.sequence, "head": head_hash, "entries": subjects});
            Form::new(json).one(&report)
        }
    }
}

async fn verify(arguments: VerifyArguments) -> anyhow::Result<()> {
    let VerifyArguments { heads, heads_key, audit: AuditArguments { json, place } } = arguments;
    let desk = place.open().await?;
    let own = desk.checked.config.audit.as_ref().map(|audit| desk.checked.path(&audit.key));
    let known = match (heads, heads_key.or(own)) {
        (None, _) => None,
        (Some(heads), Some(key)) => Some(Heads::read(&heads, &PublicKey::read(&key)?)?),
        (Some(_), None) => anyhow::bail!("the configuration names no [audit] key; name one with --heads-key"),
    };
    let AuditReport { head, .. } = desk.store.audit_verify().await?;
    let whole = [("ok", json!(true)), ("records", json!(head.sequence)), ("head", json!(head.hash.to_string()))];
    let mut report: Map<_, _> = whole.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    if let Some(known) = known {
        let store = &desk.store;
        known
            .compare(head, |sequence| store.audit_hash(sequence))
            .await
            .context("the audit log does not fit its heads")?;
        if known.unreadable > 0 {
            eprintln!("koshin-ca: {} lines of the heads cannot be read", known.unreadable);
        }
        let newest = known.heads.last().map(|last| last.head.sequence);
        let compared = [("heads", json!(known.heads.len())), ("newest_head", json!(newest))];
        report.extend(compared.map(|(name, value)| (name.to_owned(), value)));
    }
    desk.close().await;
    Form::new(json).one(&report)
}
