//! The mailer: claim, render, transmit, record.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use time::{Duration, UtcDateTime};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    Claimed, Disposition, Mail, Notice, Outbox, OutboxError, Outcome, Reply, Sender, Suppression, Transport, Urgency,
    compose,
};

/// Sends what is due. Any number of mailers may share one outbox.
pub struct Mailer<O, T> {
    outbox: O,
    transport: T,
    sender: Sender,
    settings: Settings,
    counters: Counters,
    observer: Option<Arc<dyn Observer>>,
    halted: watch::Sender<bool>,
}

impl<O: fmt::Debug, T: fmt::Debug> fmt::Debug for Mailer<O, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer")
            .field("outbox", &self.outbox)
            .field("transport", &self.transport)
            .field("settings", &self.settings)
            .field("tally", &self.counters.read())
            .finish_non_exhaustive()
    }
}

/// Hears what becomes of mails, as soon as it is recorded: for figures, and for who watches.
pub trait Observer: Send + Sync {
    /// It was recorded of a mail. What was given back untried is not heard of.
    fn recorded(&self, mail: &Mail, disposition: &Disposition);
}

/// How a mailer works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names this mailer in the outbox, for people.
    pub worker: String,
    /// How long a claim holds. A run begins no transmission after half of it and cuts one off after nine tenths, so
    /// that no other mailer takes a mail that is on its way. What is less than a minute counts as one; 10 minutes by
    /// default.
    pub lease: Duration,
    /// Rows claimed at once; 0 counts as 1; 20 by default.
    pub batch: usize,
    /// How many mails one address gets on one day of the sender's zone, at most; what is more waits for the next day,
    /// the least urgent of what is due. `None`, the default, sets no limit. Mails that somebody waits for are neither
    /// held back nor counted, and a mail that would be of no use by the next day goes out all the same: a limit delays
    /// and never silences. Several mailers at once may exceed it by one mail each.
    pub per_address_per_day: Option<NonZeroU32>,
}

impl Default for Settings {
    /// ```
    /// let settings = koshin_notify::Settings::default();
    /// assert_eq!((settings.lease.whole_minutes(), settings.batch), (10, 20));
    /// ```
    fn default() -> Self {
        Self { worker: "mailer".to_owned(), lease: Duration::minutes(10), batch: 20, per_address_per_day: None }
    }
}

/// When to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// At once, with a fresh `now`: there is more than fits one run.
    Now,
    /// At this instant.
    At(UtcDateTime),
    /// When something is put into the outbox.
    Idle,
}

/// How many mails ended how since the mailer was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Taken by the next hop.
    pub sent: u64,
    /// Refused for now.
    pub retried: u64,
    /// Refused for ever.
    pub undeliverable: u64,
    /// Answers lost, to be repeated once.
    pub quarantined: u64,
    /// Answers lost twice.
    pub unknown: u64,
    /// Not sent, on purpose.
    pub suppressed: u64,
    /// Put off to the next day, because the address had its share.
    pub postponed: u64,
    /// Claims that another mailer had taken over.
    pub overtaken: u64,
}

/// Mails in a row that no server spoke about, after which a run takes the server to be away.
const OUTAGE: u32 = 3;
/// How long a mail may still take once the mailer is to end.
const HALT: std::time::Duration = std::time::Duration::from_secs(15);
/// How long a mailer rests when the server is away.
const REST: Duration = Duration::minutes(1);
/// Transmissions after which a mail without an end of its own is given up: about six days.
const PATIENCE: u32 = 40;

impl<O: Outbox, T: Transport> Mailer<O, T> {
    /// Puts a mailer together.
    pub fn new(outbox: O, transport: T, sender: Sender) -> Self {
        Self {
            outbox,
            transport,
            sender,
            settings: Settings::default(),
            counters: Counters::default(),
            observer: None,
            halted: watch::Sender::new(false),
        }
    }

    /// The same mailer, working otherwise. A lease of less than a minute becomes one of a minute, and a batch of 0 one
    /// of 1: with less, no mail could be sent before its claim is over.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings =
            Settings { lease: settings.lease.max(Duration::MINUTE), batch: settings.batch.max(1), ..settings };
        self
    }

    /// The same mailer, with somebody who hears of every mail.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// From now on in another sender's name and words.
    pub fn reword(&mut self, sender: Sender) {
        self.sender = sender;
    }

    /// Begins no transmission any more: a run that is under way ends after the mail that is on its way, and gives back what
    /// it has claimed beside that. A mail that gets no answer within 15 seconds is then taken for one whose answer was lost.
    pub fn halt(&self) {
        self.halted.send_replace(true);
    }

    /// What would be done about a mail that a mailer claims at `now`: `None` when it would be transmitted. Nothing is
    /// stored.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    pub async fn rehearse(&self, claim: &Claimed, now: UtcDateTime) -> Result<Option<Disposition>, OutboxError> {
        if let Some(end) = hopeless(claim, now) {
            return Ok(Some(end));
        }
        let later = self.tomorrow(&claim.mail, now).await?;
        Ok(later.map(|at| Disposition::Retry { at, reply: None }))
    }

    /// What was done so far.
    pub fn tally(&self) -> Tally {
        self.counters.read()
    }

    /// Sends everything that is due at `now`, as far as half a lease allows, and says when to run again.
    ///
    /// The future may be dropped at any point: a mail that was on its way is then claimed again when its lease is over,
    /// and repeated at most once, with the same Message-ID.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`]: nothing is lost, run again later.
    pub async fn run(&self, now: UtcDateTime) -> Result<Wake, OutboxError> {
        let Settings { worker, lease, batch, .. } = &self.settings;
        // A stopwatch, not a clock: nothing it says is stored.
        let started = Instant::now();
        let mut silent = 0;
        loop {
            if *self.halted.borrow() {
                return Ok(Wake::Now);
            }
            let claimed = self.outbox.claim(now, worker, *lease, *batch).await?;
            let full = claimed.len() >= *batch;
            let mut late = false;
            for claim in claimed {
                late |= started.elapsed() >= lease.unsigned_abs() / 2 || *self.halted.borrow();
                if late || silent >= OUTAGE {
                    self.record(&claim, &Disposition::Retry { at: now, reply: None }, now).await?;
                } else {
                    let cut = (lease.unsigned_abs() * 9 / 10).saturating_sub(started.elapsed());
                    silent = if self.deliver(&claim, now, cut).await? { 0 } else { silent + 1 };
                }
            }
            if silent >= OUTAGE {
                tracing::warn!("no answer from the mail server, resting");
                return Ok(Wake::At(now.saturating_add(REST)));
            }
            if late {
                return Ok(Wake::Now);
            }
            if !full {
                break;
            }
        }
        Ok(match self.outbox.next_wake(now).await? {
            Some(at) if at <= now => Wake::Now,
            Some(at) => Wake::At(at),
            None => Wake::Idle,
        })
    }

    /// Sends one mail. `false` when no server spoke.
    async fn deliver(&self, claim: &Claimed, now: UtcDateTime, cut: std::time::Duration) -> Result<bool, OutboxError> {
        if let Some(end) = hopeless(claim, now) {
            self.record(claim, &end, now).await?;
            return Ok(true);
        }
        if let Some(at) = self.tomorrow(&claim.mail, now).await? {
            self.counters.postponed.fetch_add(1, Ordering::Relaxed);
            self.record(claim, &Disposition::Retry { at, reply: None }, now).await?;
            return Ok(true);
        }
        let composed = match compose(&claim.mail, &self.sender, now) {
            Ok(composed) => composed,
            Err(error) => {
                let reply = Reply::new(None, &error.to_string());
                self.record(claim, &Disposition::Undeliverable { reply }, now).await?;
                return Ok(true);
            }
        };
        match self.outbox.transmitting(claim.mail.id, claim.fence, now).await {
            Ok(()) => {}
            Err(OutboxError::LeaseLost { .. }) => {
                self.counters.overtaken.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        let sending = self.transport.send(&composed.envelope, &composed.mime);
        let outcome = tokio::select! {
            outcome = timeout(cut, sending) => outcome.unwrap_or(Outcome::Unknown),
            () = self.end_of_patience() => Outcome::Unknown,
        };
        let spoke = !matches!(&outcome, Outcome::Transient { reply } if reply.code().is_none());
        self.record(claim, &judge(claim, outcome, now), now).await?;
        Ok(spoke)
    }

    /// Ready a while after the mailer was halted.
    async fn end_of_patience(&self) {
        // The sender lives as long as this mailer, so waiting cannot fail.
        let _ = self.halted.subscribe().wait_for(|halted| *halted).await;
        sleep(HALT).await;
    }

    /// When to send a mail instead, if its address has had its share of this day.
    async fn tomorrow(&self, mail: &Mail, now: UtcDateTime) -> Result<Option<UtcDateTime>, OutboxError> {
        let Some(most) = self.settings.per_address_per_day else { return Ok(None) };
        let (begins, ends) = self.sender.zone.day(now);
        if mail.kind.urgency() == Urgency::Awaited || mail.worthless_from().is_some_and(|from| from <= ends) {
            return Ok(None);
        }
        let told = self.outbox.told(&mail.to, begins).await?;
        Ok((told >= most.get()).then_some(ends))
    }

    async fn record(&self, claim: &Claimed, disposition: &Disposition, now: UtcDateTime) -> Result<(), OutboxError> {
        let (id, kind, attempts) = (claim.mail.id, claim.mail.kind.word(), claim.attempts);
        match self.outbox.record(id, claim.fence, disposition, now).await {
            Ok(()) => {
                self.counters.count(disposition);
                if let Some(observer) = &self.observer
                    && !matches!(disposition, Disposition::Retry { reply: None, .. })
                {
                    observer.recorded(&claim.mail, disposition);
                }
                tracing::info!(mail = %id, kind, attempts, "mail {}", disposition.word());
                Ok(())
            }
            Err(OutboxError::LeaseLost { .. }) => {
                self.counters.overtaken.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(mail = %id, kind, attempts, "mail taken over by another mailer");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// The end of a mail that must not be transmitted any more.
fn hopeless(claim: &Claimed, now: UtcDateTime) -> Option<Disposition> {
    let erased = matches!(&claim.mail.kind, Notice::EnrolmentCode { code, .. } if code.is_erased());
    let over = erased || claim.mail.worthless_from().is_some_and(|from| from <= now);
    match claim.unanswered {
        0 if over => Some(Disposition::Suppressed { why: Suppression::TooLate }),
        0 => None,
        1 if !over => None,
        _ => Some(Disposition::Unknown),
    }
}

fn judge(claim: &Claimed, outcome: Outcome, now: UtcDateTime) -> Disposition {
    let attempts = claim.attempts.saturating_add(1);
    match outcome {
        Outcome::Accepted => Disposition::Sent,
        Outcome::Permanent { reply } => Disposition::Undeliverable { reply },
        Outcome::Transient { reply } => {
            let at = now.saturating_add(retry_delay(&claim.mail, attempts));
            let in_time = claim.mail.worthless_from().map_or(attempts < PATIENCE, |from| at < from);
            match claim.unanswered {
                _ if in_time => Disposition::Retry { at, reply: Some(reply) },
                0 => Disposition::Suppressed { why: Suppression::TooLate },
                _ => Disposition::Unknown,
            }
        }
        Outcome::Unknown if claim.unanswered == 0 => {
            Disposition::Quarantined { until: now.saturating_add(quarantine(&claim.mail)) }
        }
        Outcome::Unknown => Disposition::Unknown,
    }
}

/// 5, 10, 20, 40, 80, 160 and then every 240 minutes; for a code, somebody is waiting: 10, 20, 40 seconds and then every
/// minute.
fn retry_delay(mail: &Mail, attempts: u32) -> Duration {
    let (first, most) = match mail.kind {
        Notice::EnrolmentCode { .. } => (Duration::seconds(10), Duration::MINUTE),
        _ => (Duration::minutes(5), Duration::hours(4)),
    };
    let doublings = attempts.saturating_sub(1).min(10);
    (first * 2_i32.pow(doublings)).min(most)
}

/// How long a mail without an answer rests before its one repeat.
const fn quarantine(mail: &Mail) -> Duration {
    match mail.kind {
        Notice::EnrolmentCode { .. } => Duration::MINUTE,
        _ => Duration::minutes(15),
    }
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    retried: AtomicU64,
    undeliverable: AtomicU64,
    quarantined: AtomicU64,
    unknown: AtomicU64,
    suppressed: AtomicU64,
    postponed: AtomicU64,
    overtaken: AtomicU64,
}

impl Counters {
    fn count(&self, disposition: &Disposition) {
        let counter = match disposition {
            Disposition::Sent => &self.sent,
            Disposition::Undeliverable { .. } | Disposition::Bounced { .. } => &self.undeliverable,
            Disposition::Retry { reply: Some(_), .. } => &self.retried,
            // Given back untried: nothing happened to the mail.
            Disposition::Retry { reply: None, .. } => return,
            Disposition::Quarantined { .. } => &self.quarantined,
            Disposition::Unknown => &self.unknown,
            Disposition::Suppressed { .. } => &self.suppressed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Tally {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            sent: read(&self.sent),
            retried: read(&self.retried),
            undeliverable: read(&self.undeliverable),
            quarantined: read(&self.quarantined),
            unknown: read(&self.unknown),
            suppressed: read(&self.suppressed),
            postponed: read(&self.postponed),
            overtaken: read(&self.overtaken),
        }
    }
}

#[cfg(test)]
mod tests {
    use koshin_types::Language;

    use super::*;
    use crate::Code;

    fn mail(kind: Notice) -> Mail {
        Mail::new(kind, "1", "a@b.jp".parse().unwrap(), Language::Ja, "U-1".parse().unwrap())
    }

    #[test]
    fn delays_grow_and_stop_growing() {
        let at = UtcDateTime::UNIX_EPOCH;
        let notice = mail(Notice::AddressChanged { at });
        let minutes: Vec<_> = (1..=9).map(|attempt| retry_delay(&notice, attempt).whole_minutes()).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 80, 160, 240, 240, 240]);
        let code = mail(Notice::EnrolmentCode { code: Code::new("1").unwrap(), expires: at });
        let seconds: Vec<_> = (1..=5).map(|attempt| retry_delay(&code, attempt).whole_seconds()).collect();
        assert_eq!(seconds, [10, 20, 40, 60, 60]);
        assert_eq!(retry_delay(&notice, u32::MAX), Duration::hours(4));
        let patience: Duration = (1..PATIENCE).map(|attempt| retry_delay(&notice, attempt)).sum();
        assert_eq!(patience.whole_days(), 5);
    }
}
