//! `koshin audit`.

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
    /// Verify the log, take every recorded step again, and compare the end with what everybody holds
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
            let AuditReport { head, subjects } = place.open().await?.store.audit_replay().await?;
            let head_hash = head.hash.to_string();
            Form::new(json).one(&json!({
                "ok": true, "records": head.sequence, "head": head_hash, "subjects": subjects,
            }))
        }
    }
}

async fn verify(arguments: VerifyArguments) -> anyhow::Result<()> {
    let VerifyArguments { heads, heads_key, audit: AuditArguments { json, place } } = arguments;
    let known = match (&heads, heads_key) {
        (None, _) => None,
        (Some(heads), Some(key)) => Some(Heads::read(heads, &PublicKey::read(&key)?)?),
        (Some(heads), None) => {
            let key =
                place.audit_key()?.context("the configuration names no [audit] key; name one with --heads-key")?;
            Some(Heads::read(heads, &PublicKey::read(&key)?)?)
        }
    };
    let store = place.open().await?.store;
    let AuditReport { head, .. } = store.audit_verify().await?;
    let whole = [("ok", json!(true)), ("records", json!(head.sequence)), ("head", json!(head.hash.to_string()))];
    let mut report: Map<_, _> = whole.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    if let Some(known) = known {
        known
            .compare(head, |sequence| store.audit_hash(sequence))
            .await
            .context("the audit log does not fit its heads")?;
        if known.unreadable > 0 {
            eprintln!("koshin: {} lines of the heads cannot be read", known.unreadable);
        }
        let newest = known.heads.last().map(|last| last.head.sequence);
        let compared = [("heads", json!(known.heads.len())), ("newest_head", json!(newest))];
        report.extend(compared.map(|(name, value)| (name.to_owned(), value)));
    }
    Form::new(json).one(&report)
}
