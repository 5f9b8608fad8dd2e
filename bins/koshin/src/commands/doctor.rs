//! `koshin doctor`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use koshin_operator::{
    evidence::{Sources, said},
    exit::{Fault, Status},
    instant::rfc3339,
    machine,
    output::Form,
};
use koshin_ra::Authority as _;
use koshin_sqlite::{ReconcileError, Standing, Store};
use serde_json::json;
use time::UtcDateTime;

use super::desk::{self, ConfigFile};
use crate::{
    clock::{Clock, Confirms},
    config::{Checked, LoadedCa},
    service::CRL_NAME,
};

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The database was put back from a backup: bring it up to what was issued, revoked and published since
    #[arg(long)]
    after_restore: bool,
    /// The newest revocation list that relying parties could fetch; without it what lies in storage.lists
    #[arg(long, value_name = "FILE", requires = "after_restore", conflicts_with = "crl_lost")]
    crl: Option<PathBuf>,
    /// No newest revocation list can be had: what was revoked since the backup is lost
    #[arg(long, requires = "after_restore")]
    crl_lost: bool,
    /// A folder with certificates of this CA that were found, in PEM
    #[arg(long, value_name = "DIR", requires = "after_restore")]
    certificates: Option<PathBuf>,
    /// Who does this, for the audit log
    #[arg(long, value_name = "NAME", env = "KOSHIN_OPERATOR", default_value = "operator")]
    operator: String,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(crate) async fn run(arguments: DoctorArguments) -> anyhow::Result<()> {
    let checked = arguments.file.read()?;
    let form = Form::new(arguments.json);
    if !arguments.after_restore {
        return examine(&checked, form).await;
    }
    let issuers = checked.issuers()?;
    let lists = match (arguments.crl_lost, arguments.crl) {
        (true, _) => None,
        (false, Some(file)) => Some(vec![file]),
        (false, None) => Some(vec![checked.lists().join(CRL_NAME)]),
    };
    let issuers = issuers.iter().map(Vec::as_slice).collect();
    let evidence = Sources { issuers, lists, certificates: arguments.certificates };
    let evidence = evidence.gather(|what| eprintln!("koshin: {what}"))?;
    let store = desk::open(&checked.database()).await?;
    let clock = Clock::open(&store, Confirms::Operator).await?;
    clock.trusted()?;
    if let Standing::Behind(behind) = store.standing().await? {
        eprintln!("koshin: the database: {}", said(&behind));
    }
    let by = format!("operator:{}", arguments.operator);
    let done = match store.reconcile(evidence, &by, clock.now()).await {
        Err(ReconcileError::StillValid { serials }) => {
            for listed in &serials {
                eprintln!("koshin: {} is revoked by the list ({}), and valid here", listed.serial, listed.reason);
            }
            let reason = "revoke these first (`koshin certificate list`, `koshin subject revoke`), then again";
            return Err(Fault::new(Status::State, reason).into());
        }
        other => other?,
    };
    if let Some(audit) = &checked.config.audit {
        match audit.set_aside(|file| checked.path(file), done.epoch) {
            Ok(None) => {}
            Ok(Some(aside)) => eprintln!("koshin: the heads of the audit log until now are in {}", aside.display()),
            Err(error) => eprintln!("koshin: {error:#}"),
        }
    }
    form.one(&json!({
        "reconciled": true,
        "adopted": done.adopted,
        "revoked": done.revoked,
        "recovered": done.recovered,
        "abandoned": done.abandoned,
        "epoch": done.epoch,
    }))?;
    eprintln!("koshin: certificates are issued again; holders of those that were adopted have to enrol anew");
    store.shut_down().await;
    Ok(())
}

/// What was found at an installation.
#[derive(Debug, Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    /// An error may say several things, one on each line.
    fn note(&mut self, error: &anyhow::Error) {
        self.problems.extend(format!("{error:#}").lines().map(|line| line.trim().to_owned()));
    }
}

/// Looks at everything that can be looked at.
async fn examine(checked: &Checked, form: Form) -> anyhow::Result<()> {
    let mut findings = Findings::default();
    let loaded = checked.load().map_err(|error| findings.note(&error)).ok();
    let now = match desk::open(&checked.database()).await {
        Ok(store) => {
            let now = examine_data(&store, &mut findings).await?;
            examine_heads(checked, &store, &mut findings).await?;
            if let Some(loaded) = &loaded {
                examine_orders(&loaded.ca, &store, now, &mut findings).await?;
            }
            store.shut_down().await;
            now
        }
        Err(error) => {
            findings.note(&error);
            machine::now()
        }
    };
    if let Some(loaded) = &loaded {
        match checked.inspect(loaded, now) {
            Ok(warnings) => findings.warnings = warnings,
            Err(error) => findings.note(&error),
        }
        if let LoadedCa::Here { ca, .. } = &loaded.ca
            && let Err(error) = ca.try_key()
        {
            findings.problems.push(format!("the CA's key: {:#}", anyhow::Error::from(error)));
        }
    }
    let Findings { problems, warnings } = findings;
    let (ok, count) = (problems.is_empty(), problems.len());
    form.one(&json!({"ok": ok, "problems": problems, "warnings": warnings}))?;
    if ok { Ok(()) } else { Err(Fault::new(Status::Failure, format!("{count} problems were found")).into()) }
}

/// How old an order is before it is said to wait, and how many of those are asked for once more.
const WAITS: time::Duration = time::Duration::MINUTE;
const ASKED: u32 = 3;

/// Asks for certificates that have been owed for a while, as the service does again and again, and says why there is none.
async fn examine_orders(ca: &LoadedCa, store: &Store, now: UtcDateTime, findings: &mut Findings) -> anyhow::Result<()> {
    let LoadedCa::Elsewhere { issuer, authority } = ca else { return Ok(()) };
    let (all, orders) = store.waiting_orders(now.saturating_sub(WAITS), ASKED).await?;
    for order in &orders {
        let why = match (authority.issue(order, now).await, order.subject_name()) {
            (Ok(der), Ok(subject)) => match issuer.verify(der, &order.ordered(&subject)) {
                Ok(_) => continue,
                Err(error) => format!("what comes from the CA is not what was ordered: {error}"),
            },
            (Err(error), _) => error.to_string(),
            (_, Err(error)) => error.to_string(),
        };
        let (subject, since) = (&order.subject, rfc3339(order.at));
        findings.problems.push(format!("{subject} waits for a certificate since {since} ({all} in all): {why}"));
    }
    Ok(())
}

/// Compares the audit log with its heads.
async fn examine_heads(checked: &Checked, store: &Store, findings: &mut Findings) -> anyhow::Result<()> {
    let Some(audit) = &checked.config.audit else { return Ok(()) };
    if store.standing().await? != Standing::Current {
        // That it is an older one is said already.
        return Ok(());
    }
    let end = store.audit_head();
    if let Err(error) = audit.examine(|file| checked.path(file), end, |sequence| store.audit_hash(sequence)).await {
        findings.problems.push(format!("audit log: {error:#}"));
    }
    Ok(())
}

/// Looks at the database and at what it remembers of the time; answers with the instant to judge by.
async fn examine_data(store: &Arc<Store>, findings: &mut Findings) -> anyhow::Result<UtcDateTime> {
    let clock = Clock::open(store, Confirms::Operator).await?;
    if let Err(doubt) = clock.trusted() {
        findings.problems.push(format!("clock: {doubt}; if it is right, `koshin clock confirm`"));
    }
    if let Standing::Behind(behind) = store.standing().await? {
        findings.problems.push(format!("database: {}; `koshin doctor --after-restore`", said(&behind)));
    }
    if let Err(error) = store.audit_replay().await {
        findings.problems.push(format!("audit log: {:#}", anyhow::Error::from(error)));
    }
    Ok(clock.now())
}
