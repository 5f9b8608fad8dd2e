//! `koshin-ca serve`.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use koshin_operator::{
    heads::{AuditKey, HeadFile},
    machine,
};
use tokio::net::TcpListener;

use super::{config::ConfigFile, desk};
use crate::{clock::Clock, service::Parts};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    file: ConfigFile,
}

/// Serves until it is asked to end.
pub(crate) async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let checked = arguments.file.read()?;
    desk::complete(&checked)?;
    let opened = checked.open()?;
    let store = desk::open(&checked).await?;
    let clock = Clock::open(&store).await?;
    for warning in desk::warnings(&checked, &opened, &store, clock.now()).await? {
        eprintln!("koshin-ca: {warning}");
    }
    let api = bind("the API", checked.config.listen.api).await?;
    let publication = bind("what is published", checked.config.listen.publication).await?;
    let names: Vec<_> = opened.authorities.iter().map(|loaded| loaded.ca.issuer_name().to_owned()).collect();
    let issuing = names.get(checked.issuing(clock.now())).cloned().unwrap_or_default();
    let (at, open) = (api.local_addr()?, publication.local_addr()?);
    let heads = match &checked.config.audit {
        Some(audit) => Some(HeadFile::open(AuditKey::read(&checked.path(&audit.key))?, &checked.path(&audit.heads))?),
        None => None,
    };
    let (interrupted, hangups) = (machine::interrupted()?, machine::Hangups::listen());
    let ready = || {
        eprintln!("koshin-ca: {issuing} issues at https://{at}, and publishes at http://{open}");
        machine::tell_ready();
    };
    let shutdown = async {
        interrupted.await;
        machine::tell_stopping();
    };
    Parts { checked, opened, store: store.clone(), clock, api, publication, hangups, heads }
        .serve(ready, shutdown)
        .await?;
    store.shut_down().await;
    Ok(())
}

async fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{what} cannot listen on {address}"))
}
