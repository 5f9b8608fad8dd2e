//! `koshin-mailer status`.

use clap::Args;
use koshin_expiry::ClockDoubt;
use koshin_operator::{
    instant::rfc3339,
    output::Form,
    post::{Lag, Standing},
};
use serde::Serialize;
use time::{Duration, UtcDateTime};

use crate::{
    clock::Clock,
    config::ConfigFile,
    exit::{Fault, Status},
};

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(crate) async fn run(StatusArguments { json, file }: StatusArguments) -> anyhow::Result<()> {
    let checked = file.read()?;
    let view = checked.view().await?;
    let (now, verdict) = Clock::begin(&view).await?.judged();
    let mut standing = Standing::look(&view, &checked.policy, checked.mail.limits(), now).await?;
    if verdict.is_err() {
        standing = standing.with_doubted_clock();
    }
    view.shut_down().await;
    Form::new(json).one(&View::of(&standing, verdict))?;
    let reasons: Vec<_> = standing.alarms.iter().map(|alarm| format!("{}: {alarm}", alarm.code())).collect();
    match reasons.as_slice() {
        [] => Ok(()),
        reasons => Err(Fault::new(Status::Failure, reasons.join("\n")).into()),
    }
}

/// How the mails stand. The JSON is a contract: members are only added.
#[derive(Debug, Serialize)]
struct View {
    now: String,
    /// `trusted`, `behind` or `ahead`.
    clock: &'static str,
    waiting: u64,
    claimed: u64,
    quarantined: u64,
    /// That reached nobody, until somebody has seen to it.
    undeliverable: u64,
    /// When the oldest became due that is not done with.
    oldest: Option<String>,
    oldest_seconds: Option<i64>,
    /// Since when one could be sent.
    oldest_due: Option<String>,
    oldest_due_seconds: Option<i64>,
    /// Since when a notice of expiry is to be planned.
    unplanned: Option<String>,
    last_sent: Option<String>,
    lag: Option<LagView>,
    /// Why somebody has to look.
    alarms: Vec<&'static str>,
}

/// How late the mails of the last day were.
#[derive(Debug, Serialize)]
struct LagView {
    mails: usize,
    median_seconds: i64,
    ninth_seconds: i64,
    most_seconds: i64,
}

impl View {
    fn of(standing: &Standing, verdict: Result<(), ClockDoubt>) -> Self {
        let Standing { now, counts, unplanned, lag, alarms } = standing;
        let age = |since: Option<UtcDateTime>| since.map(|since| (*now - since).max(Duration::ZERO).whole_seconds());
        Self {
            now: rfc3339(*now),
            clock: match verdict {
                Ok(()) => "trusted",
                Err(ClockDoubt::Behind { .. }) => "behind",
                Err(ClockDoubt::Ahead { .. }) => "ahead",
            },
            waiting: counts.waiting,
            claimed: counts.claimed,
            quarantined: counts.quarantined,
            undeliverable: counts.undeliverable,
            oldest: counts.oldest.map(rfc3339),
            oldest_seconds: age(counts.oldest),
            oldest_due: counts.oldest_due.map(rfc3339),
            oldest_due_seconds: age(counts.oldest_due),
            unplanned: unplanned.map(rfc3339),
            last_sent: counts.last_sent.map(rfc3339),
            lag: lag.map(|Lag { mails, median, ninth, most }| LagView {
                mails,
                median_seconds: median.whole_seconds(),
                ninth_seconds: ninth.whole_seconds(),
                most_seconds: most.whole_seconds(),
            }),
            alarms: alarms.iter().map(koshin_operator::post::Alarm::code).collect(),
        }
    }
}
