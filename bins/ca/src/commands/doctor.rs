//! `koshin-ca doctor`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use koshin_issuance::RevocationList;
use koshin_operator::{output::Form, pem};
use koshin_sqlite::{
    Behind, Evidence, FoundCertificate, ListEdition, ListedRevocation, NewestList, PublishedList, Standing, Why,
};
use koshin_types::SerialNumber;
use serde_json::json;
use time::UtcDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    client::fingerprint,
    crl, desk,
    desk::{Desk, Place},
    status::in_full,
};
use crate::{
    config::Opened,
    exit::{Fault, Status},
};

#[derive(Debug, Args)]
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
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(arguments: DoctorArguments) -> anyhow::Result<()> {
    let DoctorArguments { after_restore, crl, crl_lost, certificates, json, place } = arguments;
    let desk = place.open().await?;
    if !after_restore {
        return examine(desk, json).await;
    }
    let (opened, now) = (desk.checked.open()?, desk.believed()?);
    if let Standing::Behind(behind) = desk.store.standing().await? {
        eprintln!("koshin-ca: {}", said(&behind));
    }
    let lists = desk.checked.path(&desk.checked.config.storage.lists);
    let files = match crl.as_slice() {
        [] => opened.authorities.iter().map(|loaded| lists.join(loaded.list())).collect(),
        named => named.to_vec(),
    };
    let list = if crl_lost { NewestList::Lost } else { NewestList::Found(newest(&opened, &files)?) };
    let certificates = certificates.as_deref().map(|folder| found(&opened, folder)).transpose()?.unwrap_or_default();
    let evidence = Evidence { list, certificates };
    let done = desk.store.reconcile(evidence, &desk.by, now).await?;
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

/// Looks at everything that can be looked at.
async fn examine(desk: Desk, json: bool) -> anyhow::Result<()> {
    let (opened, now) = (desk.checked.open()?, desk.clock.now());
    let mut problems: Vec<String> = Vec::new();
    if let Err(doubt) = desk.clock.trusted() {
        problems.push(format!("clock: {doubt}; if it is right, `koshin-ca clock confirm`"));
    }
    if let Standing::Behind(behind) = desk.store.standing().await? {
        problems.push(format!("ledger: {}", said(&behind)));
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

fn said(behind: &Behind) -> String {
    let why = match behind.why {
        Why::NoWitness => "its witness is gone",
        Why::Copy => "it is a copy, and nothing shows that the original did not go on",
        Why::Older => "it ends before what its witness saw",
        Why::Forked => "it holds another record where its witness looked",
        Why::List => "a revocation list was published that it does not know",
        _ => "it is not the one that was written last",
    };
    let records = behind.head.sequence;
    match &behind.witness {
        Some(seen) => format!(
            "the ledger may lack something: {why}; it has {records} audit records, the witness saw {}",
            seen.head.sequence
        ),
        None => format!("the ledger may lack something: {why}; it has {records} audit records"),
    }
}

/// What the newest lists say, taken together: the CAs of one ledger count their lists together.
fn newest(opened: &Opened, files: &[PathBuf]) -> anyhow::Result<PublishedList> {
    let mut all: Option<PublishedList> = None;
    for file in files {
        let der = fs::read(file).with_context(|| {
            format!("{} cannot be read; name the newest list with --crl, or say --crl-lost", file.display())
        })?;
        let read = opened.authorities.iter().find_map(|loaded| {
            let list = RevocationList::read(&der, loaded.ca.certificate_der()).ok()?;
            let checked = loaded.ca.check_crl(&fs::File::open(file).ok()?, |_| {}).ok()?;
            Some((list, checked.edition))
        });
        let (list, edition) = read.with_context(|| format!("{} is no list of one of these CAs", file.display()))?;
        let entries = list.entries().iter().map(|entry| ListedRevocation {
            serial: entry.serial,
            at: entry.revoked_at,
            reason: entry.reason,
            invalidity_date: entry.invalidity_date,
        });
        let edition = ListEdition {
            number: edition.number,
            this_update: edition.this_update.truncate_to_second(),
            next_update: edition.next_update.truncate_to_second(),
        };
        let all = all.get_or_insert(PublishedList { edition, entries: Vec::new() });
        all.entries.extend(entries);
        if all.edition.number < edition.number {
            all.edition = edition;
        }
    }
    all.context("no revocation list is named")
}

/// Certificates in a folder that one of the CAs has signed. Others are left out, and said.
fn found(opened: &Opened, folder: &Path) -> anyhow::Result<Vec<FoundCertificate>> {
    let mut found = Vec::new();
    let read = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for file in read {
        let file = file?.path();
        if !file.is_file() {
            continue;
        }
        for der in pem::chain(&file)? {
            match certificate(opened, &der) {
                Some(certificate) => found.push(certificate),
                None => eprintln!("koshin-ca: {} holds a certificate of somebody else", file.display()),
            }
        }
    }
    Ok(found)
}

fn certificate(opened: &Opened, der: &[u8]) -> Option<FoundCertificate> {
    let (_, read) = X509Certificate::from_der(der).ok()?;
    let ours = opened.authorities.iter().any(|loaded| {
        X509Certificate::from_der(loaded.ca.certificate_der()).is_ok_and(|(_, ca)| {
            read.issuer().as_raw() == ca.subject().as_raw() && read.verify_signature(Some(ca.public_key())).is_ok()
        })
    });
    if !ours {
        return None;
    }
    Some(FoundCertificate {
        serial: SerialNumber::from_be_bytes(read.raw_serial()).ok()?,
        spki: fingerprint(read.public_key().raw),
        not_after: UtcDateTime::from_unix_timestamp(read.validity().not_after.timestamp()).ok()?,
        der: der.to_vec(),
    })
}
