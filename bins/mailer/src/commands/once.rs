//! `koshin-mailer once`.

use std::sync::Arc;

use clap::Args;
use koshin_notify::{Tally, Wake};
use koshin_operator::{
    machine,
    output::Form,
    post::{GRACE, Post},
};
use koshin_sqlite::Store;
use serde::Serialize;

use super::rehearse;
use crate::{
    clock::Clock,
    config::ConfigFile,
    exit::{Fault, PROGRAM, Status},
    progress::Progress,
};

#[derive(Debug, Args)]
pub(crate) struct OnceArguments {
    /// Say what would be planned, sent and left out, and to whom; nothing is written
    #[arg(long)]
    dry_run: bool,
    /// One line of JSON; with --dry-run one for each mail
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(crate) async fn run(OnceArguments { dry_run, json, file }: OnceArguments) -> anyhow::Result<()> {
    let checked = file.read()?;
    if dry_run {
        return rehearse::run(&checked, json).await;
    }
    let loaded = checked.load()?;
    let store = checked.store().await?;
    let clock = Clock::begin(&store).await?;
    let progress = Arc::new(Progress::new());
    let settings = checked.mail.settings();
    let observer = Arc::clone(&progress) as _;
    let post = Post::new(&store, &checked.policy, loaded.transport, loaded.sender, settings, observer)
        .with_overview(checked.mail.overview());
    let done = work(&store, &clock, &post, &progress).await;
    let waiting = store.post_counts(clock.judged().0).await;
    store.shut_down().await;
    let planned = done?;
    let waiting = waiting?;
    let summary = Summary::new(planned, post.tally(), waiting.waiting + waiting.claimed + waiting.quarantined);
    Form::new(json).one(&summary)?;
    match progress.unreached() {
        0 => Ok(()),
        count => Err(Fault::new(Status::TryAgain, format!("no mail server answered for {count} mails")).into()),
    }
}

/// Plans and sends until nothing is due any more, or somebody wants it to end. Answers how many were planned.
async fn work(store: &Arc<Store>, clock: &Clock, post: &Post, progress: &Progress) -> anyhow::Result<u64> {
    let interrupted = machine::interrupted()?;
    tokio::pin!(interrupted);
    clock.compare_notes().await?;
    let before = store.post_counts(clock.now()?).await?.planned;
    loop {
        let planned = post.plan(clock.now()?).await?;
        post.tell(clock.now()?).await?;
        let count = store.post_counts(clock.now()?).await?.planned - before;
        progress.planned(count);
        let sending = post.send(clock.now()?);
        tokio::pin!(sending);
        let sent = tokio::select! {
            sent = &mut sending => sent?,
            () = &mut interrupted => {
                eprintln!("{PROGRAM}: ends after the mail that is on its way");
                post.halt();
                let _ = tokio::time::timeout(GRACE, sending).await;
                return Ok(count);
            }
        };
        if ![planned, sent].contains(&Wake::Now) {
            return Ok(count);
        }
        clock.compare_notes().await?;
    }
}

/// What came of it. The JSON is a contract: members are only added.
#[derive(Debug, Serialize)]
struct Summary {
    planned: u64,
    sent: u64,
    refused_for_now: u64,
    undeliverable: u64,
    quarantined: u64,
    unknown: u64,
    suppressed: u64,
    postponed: u64,
    /// Taken over by another mailer.
    overtaken: u64,
    /// Not done with, for later.
    left: u64,
}

impl Summary {
    const fn new(planned: u64, tally: Tally, left: u64) -> Self {
        let Tally { sent, retried, undeliverable, quarantined, unknown, suppressed, postponed, overtaken } = tally;
        Self {
            planned,
            sent,
            refused_for_now: retried,
            undeliverable,
            quarantined,
            unknown,
            suppressed,
            postponed,
            overtaken,
            left,
        }
    }
}
