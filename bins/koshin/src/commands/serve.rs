//! `koshin serve`.

use clap::Args;
use koshin_operator::machine;

use super::desk::{self, ConfigFile};
use crate::{
    clock::{Clock, Confirms},
    config::{Checked, Listen},
    service::{Listeners, Parts, bind},
};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// Serves until it is asked to end.
pub(crate) async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let checked = arguments.file.read()?;
    let loaded = checked.load()?;
    for warning in checked.warnings(&loaded, machine::now()) {
        eprintln!("koshin: {warning}");
    }
    let store = desk::open(&checked.database()).await?;
    let clock = Clock::open(&store, Confirms::Operator).await?;
    let listeners = listen(&checked.config.listen).await?;
    let Checked { policy, zone, settings, hosts, brand, contact, sender, .. } = checked;
    let open = format!("koshin: {} is open; {} issues certificates", hosts.portal, loaded.ca.issuer_name());
    let parts = Parts {
        store: store.clone(),
        clock,
        ca: loaded.ca,
        verifier: loaded.verifier,
        policy,
        zone,
        settings,
        brand,
        contact,
        hosts,
        sender,
        transport: loaded.transport,
        identity: loaded.identity,
        listeners,
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

async fn listen(listen: &Listen) -> anyhow::Result<Listeners> {
    Ok(Listeners {
        portal: bind("the portal", listen.portal).await?,
        public: bind("the public host", listen.public).await?,
        activate: bind("the activation host", listen.activate).await?,
        publication: bind("the CA's files", listen.publication).await?,
    })
}
