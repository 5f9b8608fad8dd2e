//! The planner: which notice of expiry is owed to whom, decided by the policy alone.

use koshin_expiry::{Decision, Policy, RenewalProgress, Standing};
use koshin_types::CertificateStatus;
use time::{Duration, UtcDateTime};

use crate::{
    Look, Mail, Next, Notice, Owed, Place, Plan, PolicyMark, Schedule, ScheduleError, Scheduled, Stage, Wake, horizon,
};

/// Plans the notices of expiry. Any number of planners may share one schedule, as long as their policy is the same.
///
/// It looks at a certificate when a threshold opens and not in between: a run costs what is due, however many
/// certificates there are.
///
/// ```
/// use koshin_expiry::Policy;
/// use koshin_notify::{InUse, MemorySchedule, Planner, Stage, Wake};
/// use koshin_types::{Language, Validity};
/// use std::sync::Arc;
/// use time::{Duration, UtcDateTime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let validity = Validity::new(UtcDateTime::UNIX_EPOCH, UtcDateTime::UNIX_EPOCH + Duration::days(365))?;
/// let certificate = InUse {
///     serial: "1A2B".parse()?,
///     validity,
///     subject_id: "U-1001".parse()?,
///     language: Language::Ja,
///     address: Some("taro@example.co.jp".parse()?),
/// };
/// let (schedule, policy) = (Arc::new(MemorySchedule::default()), Policy::default_jst());
/// schedule.activate(certificate.clone());
///
/// // First looked at when 8 days are left: the mail of 10 days is due, and that of 30 days is closed with it.
/// let planner = Planner::new(Arc::clone(&schedule), policy);
/// assert_eq!(planner.run(validity.not_after() - Duration::days(8)).await?, Wake::Idle);
/// let stages: Vec<_> = schedule.notices(&certificate.serial).iter().map(|(days, stage, _)| (*days, *stage)).collect();
/// assert_eq!(stages, [(10, Stage::Waiting), (30, Stage::Closed { with: 10 })]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Planner<S> {
    schedule: S,
    policy: Policy,
    mark: PolicyMark,
    /// `None` for a policy without thresholds, by which nothing ever has to be looked at.
    horizon: Option<Duration>,
}

/// Certificates that are read and planned at once.
const BATCH: usize = 500;
/// Pages after which a run ends, so that the mails of a great day begin to leave before all are planned.
const PAGES: usize = 20;
/// How long a row that could not be planned is left alone.
const REST: Duration = Duration::MINUTE;

impl<S: Schedule> Planner<S> {
    /// Puts a planner together.
    pub fn new(schedule: S, policy: Policy) -> Self {
        let mark = PolicyMark::of(&policy);
        let horizon = policy.mail_days().last().copied().map(horizon);
        Self { schedule, policy, mark, horizon }
    }

    /// Plans everything that is due at `now`, and says when to run again. What a run plans is in the outbox when it
    /// returns, to be sent from `now` on.
    ///
    /// Run it before [`Mailer::run`](crate::Mailer::run): it withdraws what a more urgent notice or another policy
    /// has put out of date.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`]. Nothing is lost, run again later.
    pub async fn run(&self, now: UtcDateTime) -> Result<Wake, ScheduleError> {
        let mut ahead = self.schedule.ahead(now).await?;
        if ahead.policy != Some(self.mark) {
            while !self.schedule.adopt(self.mark).await? {}
            tracing::info!("the notices are planned by a new policy");
            ahead = self.schedule.ahead(now).await?;
        }
        let mut pages = PAGES;
        if ahead.outdated.is_some() {
            pages = self.plan_all(Look::Outdated, now, pages).await?;
        }
        if ahead.next_look.is_some_and(|at| at <= now) {
            pages = self.plan_all(Look::Due, now, pages).await?;
        }
        if let Some(horizon) = self.horizon {
            let until = now.saturating_add(horizon);
            if ahead.unplanned.is_some_and(|not_after| not_after <= until) {
                pages = self.plan_all(Look::Unplanned { until }, now, pages).await?;
            }
        }
        if pages == 0 {
            return Ok(Wake::Now);
        }
        let ahead = self.schedule.ahead(now).await?;
        let enters = self.horizon.and_then(|horizon| Some(ahead.unplanned?.saturating_sub(horizon)));
        let outdated = ahead.outdated.map(|_| now);
        Ok(match ahead.next_look.into_iter().chain(outdated).chain(enters).min() {
            // What is still due was left out: it cannot be read, or somebody else is at it.
            Some(at) if at <= now => Wake::At(now.saturating_add(REST)),
            Some(at) => Wake::At(at),
            None => Wake::Idle,
        })
    }

    /// The notices of expiry that a run at `at` would owe, in no special order, without storing anything: those that
    /// nobody was told yet, and those that wait already.
    ///
    /// It knows of a certificate what is known now: who renews or is told before `at` is in the list all the same.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::OtherPolicy`] when the plans were made by another policy than this planner's, which would have
    /// to be adopted first.
    pub async fn rehearse(&self, at: UtcDateTime) -> Result<Vec<Mail>, ScheduleError> {
        let ahead = self.schedule.ahead(at).await?;
        if ahead.policy.is_some_and(|policy| policy != self.mark) {
            return Err(ScheduleError::OtherPolicy);
        }
        let unplanned = self.horizon.map(|horizon| Look::Unplanned { until: at.saturating_add(horizon) });
        let mut mails = Vec::new();
        for look in [Look::Due, Look::Outdated].into_iter().chain(unplanned) {
            let mut after: Option<Place> = None;
            loop {
                let page = self.schedule.look(look, at, after, BATCH).await?;
                let owed = page.rows.iter().filter_map(|row| plan(&self.policy, row, at).due?.mail);
                mails.extend(owed);
                match page.more {
                    Some(place) => after = Some(place),
                    None => break,
                }
            }
        }
        Ok(mails)
    }

    /// Goes through one look, page by page. Answers with how many pages are left of those it may read.
    async fn plan_all(&self, look: Look, now: UtcDateTime, mut pages: usize) -> Result<usize, ScheduleError> {
        let mut after: Option<Place> = None;
        while pages > 0 {
            pages -= 1;
            let page = self.schedule.look(look, now, after, BATCH).await?;
            let plans: Vec<_> = page.rows.iter().map(|row| plan(&self.policy, row, now)).collect();
            let owed = plans.iter().filter(|plan| plan.due.is_some()).count();
            if !plans.is_empty() {
                let looked = plans.len();
                let stored = self.schedule.plan(self.mark, plans, now).await?;
                tracing::info!(looked, stored, owed, "certificates looked at");
            }
            match page.more {
                Some(place) => after = Some(place),
                None => return Ok(pages.max(1)),
            }
        }
        Ok(0)
    }
}

/// What is to be done about one certificate at `now`. A pure function.
fn plan(policy: &Policy, row: &Scheduled, now: UtcDateTime) -> Plan {
    let validity = row.certificate.validity;
    let counting = row.counting();
    let decision = policy.decide(&standing(row, &counting), now);
    let ended = now >= validity.end();
    let outdated = row.notices.iter().filter(|(days, _)| Some(*days) != decision.mail_due);
    let mut withdraw = Vec::new();
    for (days, stage) in outdated {
        match stage {
            // Two must not be under way at once: the more urgent one might arrive first.
            Stage::OnItsWay { until } if *until > now && decision.mail_due.is_some() => {
                let next = Next::At(*until);
                return Plan {
                    number: row.place.number,
                    revision: row.revision,
                    withdraw: Vec::new(),
                    due: None,
                    next,
                };
            }
            Stage::OnItsWay { .. } | Stage::Doubtful if decision.mail_due.is_some() => withdraw.push(*days),
            // The mailer ends by itself what waits for an end that is past.
            Stage::Waiting if !ended => withdraw.push(*days),
            _ => {}
        }
    }
    let due = decision.mail_due.map(|days| Owed {
        threshold_days: days,
        mail: mail(policy, row, &decision, days, now),
        closes: decision.mails_closed.iter().copied().filter(|days| row.may_close(*days)).collect(),
    });
    let mut closed = counting;
    closed.extend(decision.mail_due);
    closed.extend(&decision.mails_closed);
    let next = match policy.next_mail(&standing(row, &closed), now) {
        Some(at) => Next::At(at),
        None if ended => Next::Ended,
        None => Next::Never,
    };
    Plan { number: row.place.number, revision: row.revision, withdraw, due, next }
}

fn standing<'a>(row: &Scheduled, closed: &'a [u16]) -> Standing<'a> {
    Standing {
        validity: row.certificate.validity,
        // A certificate that is not in use any more is not on the schedule; a renewal that is under way silences nothing.
        status: CertificateStatus::Active,
        successor: RenewalProgress::None,
        grant: false,
        closed,
    }
}

fn mail(policy: &Policy, row: &Scheduled, decision: &Decision, threshold_days: u16, now: UtcDateTime) -> Option<Mail> {
    let holder = &row.certificate;
    let days_left = policy.days_left(holder.validity, now).unwrap_or_default();
    let notice = Notice::Expiry {
        threshold_days,
        validity: holder.validity,
        days_left: u16::try_from(days_left).unwrap_or(u16::MAX),
        renewal_opens: (!decision.renewal).then_some(decision.window_opens),
    };
    let key = holder.notice_key(threshold_days);
    Some(Mail::new(notice, &key, holder.address.clone()?, holder.language, holder.subject_id.clone()))
}

impl Scheduled {
    /// The thresholds that count as sent or closed.
    fn counting(&self) -> Vec<u16> {
        counting(&self.notices)
    }

    /// Whether a threshold has no record of its own: none at all, or that of having been closed with another one.
    fn may_close(&self, days: u16) -> bool {
        let own = self.notices.iter().find(|(other, _)| *other == days);
        own.is_none_or(|(_, stage)| matches!(stage, Stage::Closed { .. }))
    }
}

/// The thresholds that count as sent or closed, of what became of all of them.
pub(crate) fn counting(notices: &[(u16, Stage)]) -> Vec<u16> {
    let stage = |days: u16| notices.iter().find(|(other, _)| *other == days).map(|(_, stage)| *stage);
    let counts = |stage| match stage {
        // A mail that may have arrived counts: nothing less urgent may follow it.
        Stage::Counts | Stage::Doubtful | Stage::OnItsWay { .. } => true,
        Stage::Waiting | Stage::Withdrawn | Stage::Closed { .. } => false,
    };
    let known = notices.iter().filter(|(_, known)| match *known {
        Stage::Closed { with } => stage(with).is_some_and(counts),
        own => counts(own),
    });
    known.map(|(days, _)| *days).collect()
}
