//! `koshin-mailer run`.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use koshin_operator::{machine, post::Mailing};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{clock::Clock, config::ConfigFile, exit::PROGRAM};

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Where the figures can be read, instead of mail.metrics: a second mailer on one machine needs another port
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    file: ConfigFile,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "an address with a port, such as 127.0.0.1:9464".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err(format!("{address} is no loopback address")) }
}

pub(crate) async fn run(RunArguments { metrics, file }: RunArguments) -> anyhow::Result<()> {
    let checked = file.read()?;
    let loaded = checked.load()?;
    let store = checked.store().await?;
    let clock = Clock::begin(&store).await?;
    let metrics = match metrics.or(checked.mail.metrics) {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    let interrupted = machine::interrupted()?;
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mailing = Mailing {
        sender: loaded.sender,
        transport: loaded.transport,
        settings: checked.mail.settings(),
        overview: checked.mail.overview(),
        wording: Some(checked.wording(loaded.returns.as_ref())),
        returns: loaded.returns,
        limits: Some(checked.mail.limits()),
        metrics,
    };
    // What is in doubt now is remembered before anything is sent.
    clock.compare_notes().await.context("the time cannot be recorded")?;
    let planned = Arc::new(Notify::new());
    mailing.begin(&mut tasks, &store, &checked.policy, &clock.believed(), planned, &stopping);
    tasks.spawn(clock.keep(stopped(stopping)));
    eprintln!("{PROGRAM}: sends what {} owes", checked.database()?.display());
    machine::tell_ready();
    interrupted.await;
    machine::tell_stopping();
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    store.shut_down().await;
    Ok(())
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("{address} for the figures of the mails cannot be listened on"))
}
