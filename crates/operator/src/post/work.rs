//! The mails: planned when time makes them due, sent when they are owed, noticed when they come back, and watched over.

use std::{sync::Arc, time::Duration as Wait};

use koshin_expiry::Policy;
use koshin_notify::{
    Mailer, Observer, OutboxError, Planner, ScheduleError, Sender, Settings, Steward, Tally, Transport, Wake,
};
use koshin_sqlite::Store;
use time::UtcDateTime;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{
    Alarm, Believed, Figures, Limits, Overview, Returns, Wording,
    metrics::{self, Source},
};
use crate::machine::Hangups;

/// How often other processes' mails are looked for.
const MAIL_EVERY: Wait = Wait::from_secs(2);
/// How often it is looked for what came back: it took minutes to days to get there.
const RETURNS_EVERY: Wait = Wait::from_mins(1);
/// How long a mail that is on its way may take when everything is to end. One that takes longer counts as unanswered, and
/// is repeated once by whoever sends next.
pub const GRACE: Wait = Wait::from_secs(20);
/// How often it is looked whether somebody has to look.
const WATCH_EVERY: Wait = Wait::from_secs(10);
/// After how many looks an alarm that goes on is logged again: an hour.
const SAY_AGAIN: u32 = 360;

/// Plans and sends. Any number of them may share one database.
pub struct Post {
    planner: Planner<Arc<Store>>,
    steward: Steward<Arc<Store>>,
    mailer: Mailer<Arc<Store>, Arc<dyn Transport>>,
}

impl Post {
    /// Puts it together. `observer` hears what becomes of each mail.
    pub fn new(
        store: &Arc<Store>,
        policy: &Policy,
        transport: Arc<dyn Transport>,
        sender: Sender,
        settings: Settings,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let steward = Steward::new(Arc::clone(store), policy.clone(), sender.zone().clone());
        let mailer = Mailer::new(Arc::clone(store), transport, sender).with_settings(settings).observed_by(observer);
        Self { planner: Planner::new(Arc::clone(store), policy.clone()), steward, mailer }
    }

    /// The same, telling the operator too, and digests then.
    #[must_use]
    pub fn with_overview(mut self, Overview { operator, rhythm }: Overview) -> Self {
        self.steward = self.steward.with_operator(operator).with_rhythm(rhythm);
        self
    }

    /// Plans what is due at `now`.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`]; nothing is lost.
    pub async fn plan(&self, now: UtcDateTime) -> Result<Wake, ScheduleError> {
        self.planner.run(now).await
    }

    /// Owes what is told once, and what is summed up, at `now`.
    ///
    /// # Errors
    ///
    /// [`OutboxError`]; nothing is lost.
    pub async fn tell(&self, now: UtcDateTime) -> Result<Wake, OutboxError> {
        self.steward.run(now).await
    }

    /// Sends what is due at `now`.
    ///
    /// # Errors
    ///
    /// [`OutboxError`]; nothing is lost.
    pub async fn send(&self, now: UtcDateTime) -> Result<Wake, OutboxError> {
        self.mailer.run(now).await
    }

    /// Begins no transmission any more.
    pub fn halt(&self) {
        self.mailer.halt();
    }

    /// What was done so far.
    pub fn tally(&self) -> Tally {
        self.mailer.tally()
    }

    /// Plans and sends what is due, and answers how long to wait. Mails go out even where none can be planned.
    async fn run(&self, clock: &Believed) -> Wait {
        let Some(now) = clock() else { return MAIL_EVERY };
        let planned = self.plan(now).await.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "notices of expiry cannot be planned");
            Wake::Idle
        });
        let Some(now) = clock() else { return MAIL_EVERY };
        let told = self.tell(now).await.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "administrators and operators cannot be told");
            Wake::Idle
        });
        let Some(now) = clock() else { return MAIL_EVERY };
        let sent = self.send(now).await.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "mails cannot be sent");
            Wake::Idle
        });
        let wait = |wake| match wake {
            Wake::Now => Wait::ZERO,
            Wake::At(at) => clock().map_or(MAIL_EVERY, |now| Wait::try_from(at - now).unwrap_or_default()),
            Wake::Idle => MAIL_EVERY,
        };
        wait(planned).min(wait(told)).min(wait(sent)).min(MAIL_EVERY)
    }

    /// Ends a run within a bounded time.
    async fn end(&self, run: impl Future<Output = Wait>) {
        self.halt();
        if tokio::time::timeout(GRACE, run).await.is_err() {
            tracing::warn!("a mail that was on its way got no answer in time; it is repeated once");
        }
    }
}

/// Who sends mails, by which way, how it is noticed that some came back, and that none go out.
pub struct Mailing {
    /// Who sends, in whose words.
    pub sender: Sender,
    /// How mails leave.
    pub transport: Arc<dyn Transport>,
    /// How the mailer works.
    pub settings: Settings,
    /// Whom the steward tells, and when.
    pub overview: Overview,
    /// `None` where nobody listens for what comes back.
    pub returns: Option<Returns>,
    /// Reads the texts again when the process is asked to; `None` where there is nothing to read.
    pub wording: Option<Wording>,
    /// `None` where nobody watches.
    pub limits: Option<Limits>,
    /// Where the figures can be read, if anywhere.
    pub metrics: Option<TcpListener>,
}

impl Mailing {
    /// Without limits, without an ear for what comes back, and watched by nobody.
    pub fn new(sender: Sender, transport: Arc<dyn Transport>) -> Self {
        let (settings, overview) = (Settings::default(), Overview::default());
        Self { sender, transport, settings, overview, returns: None, wording: None, limits: None, metrics: None }
    }

    /// Plans, sends, listens and watches until it is to stop. `planned` is told of each mail that this process owes.
    pub fn begin(
        self,
        tasks: &mut JoinSet<()>,
        store: &Arc<Store>,
        policy: &Policy,
        clock: &Believed,
        planned: Arc<Notify>,
        stopping: &watch::Receiver<bool>,
    ) {
        let Self { sender, transport, settings, overview, returns, wording, limits, metrics } = self;
        let figures = Arc::new(Figures::default());
        let post = Post::new(store, policy, transport, sender, settings, Arc::clone(&figures) as _);
        let post = post.with_overview(overview);
        // From here on, before anybody says that the process is ready, a hangup ends nothing.
        let reading = wording.and_then(|wording| Some(Reading { hangups: Hangups::listen()?, wording }));
        tasks.spawn(send_mails(post, reading, Arc::clone(clock), planned, stopping.clone()));
        if let Some(returns) = returns {
            tasks.spawn(listen(returns, Arc::clone(store), Arc::clone(clock), stopping.clone()));
        }
        let Some(limits) = limits else { return };
        let (store, policy, clock) = (Arc::clone(store), policy.clone(), Arc::clone(clock));
        let source = Arc::new(Source { store, policy, limits, clock, figures });
        tasks.spawn(watch_over(Arc::clone(&source), stopping.clone()));
        if let Some(listener) = metrics {
            tasks.spawn(metrics::serve(listener, source, stopping.clone()));
        }
    }
}

/// Waits until everything is to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Plans what time makes due, and sends what is owed, as soon as it is planned here and soon after it is planned
/// elsewhere.
async fn send_mails(
    mut post: Post,
    mut reading: Option<Reading>,
    clock: Believed,
    planned: Arc<Notify>,
    stopping: watch::Receiver<bool>,
) {
    loop {
        let wake = {
            let run = post.run(&clock);
            tokio::pin!(run);
            tokio::select! {
                wake = &mut run => wake,
                () = stopped(stopping.clone()) => return post.end(run).await,
            }
        };
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = planned.notified() => {}
            () = tokio::time::sleep(wake) => {}
            wording = asked_to_read(&mut reading) => reword(&mut post, wording),
        }
    }
}

/// What reads the texts again, and when.
struct Reading {
    hangups: Hangups,
    wording: Wording,
}

/// Ready when somebody wants the texts to be read again.
async fn asked_to_read(reading: &mut Option<Reading>) -> &Wording {
    match reading {
        Some(Reading { hangups, wording }) => {
            hangups.next().await;
            wording
        }
        None => std::future::pending().await,
    }
}

/// Bad texts change nothing: mails go on in the words that were good.
fn reword(post: &mut Post, wording: &Wording) {
    match wording() {
        Ok(sender) => {
            post.mailer.reword(sender);
            tracing::warn!("the texts of the mails were read again");
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(code = "mail.texts", error, "the texts of the mails are not good; the former ones stay");
        }
    }
}

/// Notes which mails came back. While the clock is doubted they wait, because what is noted bears an instant.
async fn listen(returns: Returns, store: Arc<Store>, clock: Believed, stopping: watch::Receiver<bool>) {
    loop {
        let mut wait = RETURNS_EVERY;
        match clock() {
            Some(now) => {
                if let Err(error) = returns.maildir.collect(&returns.verp, &store, now).await {
                    tracing::error!(error = ?error, "what came back cannot be noted");
                }
            }
            None => wait = MAIL_EVERY,
        }
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Says that somebody has to look, when that begins and then every hour, and that nobody has to any more.
async fn watch_over(source: Arc<Source>, stopping: watch::Receiver<bool>) {
    let mut known: Vec<&'static str> = Vec::new();
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
        let Some(standing) = source.standing().await else { continue };
        let codes: Vec<_> = standing.alarms.iter().map(Alarm::code).collect();
        looks = if codes.is_empty() { 0 } else { looks.wrapping_add(1) };
        for alarm in &standing.alarms {
            if !known.contains(&alarm.code()) || looks.is_multiple_of(SAY_AGAIN) {
                tracing::error!(code = alarm.code(), "{alarm}");
            }
        }
        for code in known.iter().filter(|code| !codes.contains(code)) {
            tracing::warn!(code, "the mails go on");
        }
        known = codes;
    }
}
