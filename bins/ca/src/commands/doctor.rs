//! `koshin-ca doctor`.

use std::path::PathBuf;

use clap::Args;
use koshin_operator::{
    clock,
    evidence::{Sources, said},
    output::Form,
};
use koshin_sqlite::{Behind, Standing};
use serde_json::json;

use super::{
    crl, desk,
    desk::{Desk, Place},
    status::in_full,
};
use crate::exit::{Fault, PROGRAM, Status};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch on the command line")]
pub(crate) struct DoctorArguments {
    /// The ledger was put back from a backup: bring it up to what was issued, revoked and published since
    #[arg(long)]
    after_restore: bool,
    /// The newest revocation list of each CA that relying parties could fetch; without it what lies in storage.lists
    #[arg(long, value_name = "FILE", requires = "after_restore", conflicts_with = "crl_lost")]
    crl: Vec<PathBuf>,
    /// No newest revocation list can be had: what was revoked since the backup is lost
    #[arg(long, requires = "after_restore")]
    crl_lost: bool,
    /// A folder with certificates of this CA that were found, in PEM, from the RA for example
    #[arg(long, value_name = "DIR", requires = "after_restore")]
    certificates: Option<PathBuf>,
    /// No certificates can be had: what was issued since the backup stays unknown, and may be issued a second time
    #[arg(long, requires = "after_restore", conflicts_with = "certificates")]
    certificates_lost: bool,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(arguments: DoctorArguments) -> anyhow::Result<()> {
    let DoctorArguments { after_restore, crl, crl_lost, certificates, certificates_lost, json, place } = arguments;
    let desk = place.open().await?;
    if !after_restore {
        return examine(desk, json).await;
    }
    let (opened, now) = (desk.checked.open()?, desk.believed()?);
    if let Standing::Behind(behind) = desk.store.standing().await? {
        eprintln!("koshin-ca: {}", said(&behind));
        let missing = missing(&behind);
        if missing > 0 && certificates.is_none() && !certificates_lost {
            let reason = format!(
                "{missing} audit records are missing, and certificates may have been issued in them that would be issued a \
                 second time; name those that the RA has with --certificates DIR, or say --certificates-lost"
            );
            return Err(Fault::new(Status::State, reason).into());
        }
    }
    let folder = desk.checked.path(&desk.checked.config.storage.lists);
    let lists = match (crl_lost, crl.is_empty()) {
        (true, _) => None,
        (false, true) => Some(opened.authorities.iter().map(|loaded| folder.join(loaded.list())).collect()),
        (false, false) => Some(crl),
    };
    let issuers = opened.authorities.iter().map(|loaded| loaded.ca.certificate_der()).collect();
    let evidence = Sources { issuers, lists, certificates }.gather(|what| eprintln!("koshin-ca: {what}"))?;
    let done = desk.store.reconcile(evidence, &desk.by, now).await?;
    if let Some(audit) = &desk.checked.config.audit {
        match audit.set_aside(|file| desk.checked.path(file), done.epoch) {
            Ok(None) => {}
            Ok(Some(aside)) => eprintln!("koshin-ca: the heads of the audit log until now are in {}", aside.display()),
            Err(error) => eprintln!("koshin-ca: {error:#}"),
        }
    }
    desk.close().await;
    Form::new(json).one(&json!({
        "reconciled": true,
        "adopted": done.adopted,
        "revoked": done.revoked,
        "recovered": done.recovered,
        "abandoned": done.abandoned,
        "epoch": done.epoch,
    }))?;
    eprintln!("koshin-ca: the CA signs again; holders of certificates that were adopted have to enrol anew");
    Ok(())
}

/// How many audit records the witness saw that the ledger lacks.
fn missing(behind: &Behind) -> u64 {
    let seen = behind.witness.as_ref().map_or(0, |seen| seen.head.sequence);
    seen.saturating_sub(behind.head.sequence)
}

/// Looks at everything that can be looked at.
async fn examine(desk: Desk, json: bool) -> anyhow::Result<()> {
    let (opened, now) = (desk.checked.open()?, desk.clock.now());
    let mut problems: Vec<String> = Vec::new();
    if let Err(doubt) = desk.clock.trusted() {
        problems.push(format!("clock: {}", clock::remedy(doubt, PROGRAM)));
    }
    if let Standing::Behind(behind) = desk.store.standing().await? {
        problems.push(format!("ledger: {}", said(&behind)));
    }
    let is_current = desk.store.standing().await? == Standing::Current;
    if let (Some(audit), true) = (&desk.checked.config.audit, is_current) {
        let (store, end) = (&desk.store, desk.store.audit_head());
        let path = |file: &std::path::Path| desk.checked.path(file);
        if let Err(error) = audit.examine(path, end, |sequence| store.audit_hash(sequence)).await {
            problems.push(format!("audit log: {error:#}"));
        }
    }
    if let Err(error) = desk.store.audit_replay().await {
        problems.push(format!("audit log: {}", in_full(&error)));
    }
    for loaded in &opened.authorities {
        if let Err(error) = loaded.ca.try_key() {
            problems.push(format!("{}: {}", loaded.stem, in_full(&error)));
        }
    }
    for list in crl::lists(&desk.checked, now)? {
        if list.condition != "fresh" {
            problems.push(format!("{}: {}", list.list, list.condition));
        }
    }
    let unfinished = desk.store.counts(now).await?.unfinished;
    if unfinished > 0 {
        problems.push(format!("{unfinished} serial numbers wait for their certificate; `koshin-ca serve` signs them"));
    }
    let warnings = desk::warnings(&desk.checked, &opened, &desk.store, now).await?;
    desk.close().await;
    let (ok, count) = (problems.is_empty(), problems.len());
    Form::new(json).one(&json!({"ok": ok, "problems": problems, "warnings": warnings}))?;
    if ok { Ok(()) } else { Err(Fault::new(Status::Failure, format!("{count} problems were found")).into()) }
}
