//! `koshin serve`, and `koshin-web` for the portal alone.

use std::process::ExitCode;

use clap::{Args, Parser};
use koshin_operator::{
    exit::{Fault, STATUSES},
    heads::{AuditKey, HeadFile},
    machine,
    post::{Mailing, Porter},
};

use super::desk::{self, ConfigFile};
use crate::{
    clock::{Clock, Confirms},
    config::{Checked, Listen, LoadedCa},
    service::{Listeners, Parts, Publishing, Upkeep, bind, calendar},
};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// `koshin-web`: the portal alone. Certificates come from the `koshin-ca` that the configuration names in `[ca.remote]`; mails
/// are recorded here, and sent by another process on the same database.
#[derive(Debug, Parser)]
#[command(name = "koshin-web", version, max_term_width = 100, after_help = STATUSES)]
pub(crate) struct WebArguments {
    /// What to log, such as `info` or `koshin_web=debug`.
    #[arg(long, env = "KOSHIN_LOG", default_value = "warn", value_name = "FILTER", value_parser = machine::log_filter)]
    log: String,
    #[command(flatten)]
    file: ConfigFile,
}

impl WebArguments {
    pub(crate) fn logging(&self) {
        machine::start_logging(&self.log);
    }

    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let checked = self.file.read()?;
        if checked.config.ca.remote.is_none() {
            let file = checked.file.display();
            let reason =
                format!("{file}: koshin-web holds no CA's key and needs [ca.remote]; `koshin serve` issues by itself");
            return Err(Fault::usage(reason).into());
        }
        serve("koshin-web", checked, Mails::AreSentElsewhere).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Who sends what is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mails {
    AreSentHere,
    AreSentElsewhere,
}

/// Serves until it is asked to end.
pub(crate) async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    serve("koshin", arguments.file.read()?, Mails::AreSentHere).await
}

async fn serve(program: &str, checked: Checked, mails: Mails) -> anyhow::Result<()> {
    let loaded = checked.load()?;
    for warning in checked.warnings(&loaded, machine::now()) {
        eprintln!("{program}: {warning}");
    }
    let store = desk::open(&checked.database()).await?;
    let clock = Clock::open(&store, Confirms::Operator).await?;
    let listeners = listen(&checked.config.listen).await?;
    let issuing = loaded.ca.issuing(&store);
    let publishing = publishing(&checked, loaded.ca).await?;
    let est = checked.config.est.holders.into();
    let calendar = calendar(loaded.sender.clone());
    let mailing = if mails == Mails::AreSentHere && checked.config.mail.sent_by == Porter::Koshin {
        let metrics = match checked.config.mail.metrics {
            Some(address) => Some(bind("the figures of the mails", address).await?),
            None => None,
        };
        Some(Mailing {
            sender: loaded.sender,
            transport: loaded.transport,
            settings: checked.config.mail.settings(),
            overview: checked.config.mail.overview(),
            wording: Some(checked.wording(loaded.returns.as_ref())),
            returns: loaded.returns,
            limits: Some(checked.config.mail.limits()),
            metrics,
        })
    } else {
        None
    };
    let upkeep = upkeep(&checked, loaded.audit_key)?;
    let Checked { policy, zone, settings, hosts, brand, contact, .. } = checked;
    let open = format!("{program}: {} is open; {} issues certificates", hosts.portal, issuing.issuer().issuer_name());
    let parts = Parts {
        store: store.clone(),
        clock,
        issuing,
        gate: loaded.gate,
        publishing,
        verifier: loaded.verifier,
        policy,
        zone,
        settings,
        brand,
        contact,
        hosts,
        est,
        calendar,
        mailing,
        identity: loaded.identity,
        listeners,
        upkeep,
    };
    let interrupted = machine::interrupted()?;
    let ready = || {
        eprintln!("{open}");
        machine::tell_ready();
        Ok(())
    };
    let shutdown = async {
        interrupted.await;
        machine::tell_stopping();
    };
    parts.serve(ready, shutdown).await?;
    store.shut_down().await;
    Ok(())
}

async fn publishing(checked: &Checked, ca: LoadedCa) -> anyhow::Result<Option<Publishing>> {
    let LoadedCa::Here { ca, .. } = ca else { return Ok(None) };
    let listener = bind("the CA's files", checked.config.listen.publication).await?;
    Ok(Some(Publishing { ca, listener, folder: checked.lists() }))
}

fn upkeep(checked: &Checked, audit_key: Option<AuditKey>) -> anyhow::Result<Upkeep> {
    let heads = match (audit_key, &checked.config.audit) {
        (Some(key), Some(audit)) => Some(HeadFile::open(key, &checked.path(&audit.heads))?),
        _ => None,
    };
    Ok(Upkeep { heads, gate_again: Some(Box::new(checked.gate_again())) })
}

async fn listen(listen: &Listen) -> anyhow::Result<Listeners> {
    Ok(Listeners {
        portal: bind("the portal", listen.portal).await?,
        public: bind("the public host", listen.public).await?,
        activate: bind("the activation host", listen.activate).await?,
    })
}
