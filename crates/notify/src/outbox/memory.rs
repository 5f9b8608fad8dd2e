//! The outbox in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use time::{Duration, UtcDateTime};

use super::{Claimed, Disposition, Fence, Outbox, OutboxError, Suppression};
use koshin_types::{OrganizationId, SubjectId};

use crate::{Address, Bounce, DaySummary, Mail, MailId, Stage, Task, Tasks, Trouble, Urgency, Whose, goes_to_holder};

/// An [`Outbox`] that forgets everything when it is dropped: for tests, rehearsals and the reading of the port.
#[derive(Debug, Default)]
pub struct MemoryOutbox {
    rows: Mutex<BTreeMap<MailId, Row>>,
    // Locked before `rows`, never after it.
    members: Mutex<BTreeMap<SubjectId, OrganizationId>>,
}

#[derive(Debug)]
struct Row {
    /// How many rows there were before it.
    order: usize,
    mail: Mail,
    /// Whose registered address it goes to, where that was said.
    addressee: Option<SubjectId>,
    state: State,
    fence: Fence,
    attempts: u32,
    unanswered: u32,
    /// When what stands in `state` was recorded; `None` before the first record.
    recorded_at: Option<UtcDateTime>,
    /// What was said last.
    said: String,
    settled: bool,
}

#[derive(Debug)]
enum State {
    Waiting { due: UtcDateTime },
    Claimed { lease: Duration, over: UtcDateTime },
    Transmitting { over: UtcDateTime },
    Done { disposition: Disposition },
}

impl State {
    /// When the row can be claimed; `None` when it is done with.
    const fn claimable_from(&self) -> Option<UtcDateTime> {
        match self {
            Self::Waiting { due: from } | Self::Claimed { over: from, .. } | Self::Transmitting { over: from } => {
                Some(*from)
            }
            Self::Done { .. } => None,
        }
    }
}

impl Row {
    /// Ends the row without sending it. What may have arrived is not known to have been suppressed.
    fn suppress(&mut self, why: Suppression) {
        let doubtful = self.unanswered > 0 || matches!(self.state, State::Transmitting { .. });
        let disposition = if doubtful { Disposition::Unknown } else { Disposition::Suppressed { why } };
        self.mail = self.mail.clone().without_secret();
        self.state = State::Done { disposition };
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::Transmitting { over } => Stage::OnItsWay { until: *over },
            State::Waiting { .. } | State::Claimed { .. } if self.unanswered > 0 => Stage::Doubtful,
            State::Waiting { .. } | State::Claimed { .. } => Stage::Waiting,
            State::Done { disposition: Disposition::Suppressed { why } } if *why != Suppression::Unreadable => {
                Stage::Withdrawn
            }
            State::Done { .. } => Stage::Counts,
        }
    }
}

impl Row {
    fn task(&self) -> Option<Task> {
        let State::Done { disposition } = &self.state else { return None };
        let trouble = Trouble::of(disposition.word()).filter(|_| !self.settled)?;
        let (mail, kind, subject_id) = (self.mail.id, self.mail.kind.word().to_owned(), self.mail.subject_id.clone());
        Some(Task { mail, kind, subject_id, trouble, at: self.recorded_at?, said: self.said.clone() })
    }

    /// Whose registered address it went to; `None` for that of an operator, or of an administrator who was not named.
    fn went_to(&self) -> Option<&SubjectId> {
        let holder = goes_to_holder(self.mail.kind.word()).then_some(&self.mail.subject_id);
        self.addressee.as_ref().or(holder)
    }
}

impl MemoryOutbox {
    /// Puts a mail in, to be sent from `due` on. `false`, and no change, when a mail of this id was ever put in.
    pub fn put(&self, mail: Mail, due: UtcDateTime) -> bool {
        self.put_to(mail, None, due)
    }

    /// The same for a mail to the registered address of this ID, whoever it speaks of.
    pub(crate) fn put_to(&self, mail: Mail, addressee: Option<SubjectId>, due: UtcDateTime) -> bool {
        let mut rows = self.rows();
        if rows.contains_key(&mail.id) {
            return false;
        }
        let row = Row {
            order: rows.len(),
            state: State::Waiting { due },
            fence: Fence(0),
            attempts: 0,
            unanswered: 0,
            recorded_at: None,
            said: String::new(),
            settled: false,
            addressee,
            mail,
        };
        rows.insert(row.mail.id, row);
        true
    }

    /// Says to which organization an ID belongs, for its list of tasks.
    pub fn join(&self, subject: SubjectId, organization: OrganizationId) {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).insert(subject, organization);
    }

    /// The mail as it is stored, without its secret once it is done with.
    pub fn mail(&self, id: MailId) -> Option<Mail> {
        self.rows().get(&id).map(|row| row.mail.clone())
    }

    /// The terminal disposition of a mail, once it has one.
    pub fn end(&self, id: MailId) -> Option<Disposition> {
        match &self.rows().get(&id)?.state {
            State::Done { disposition } => Some(disposition.clone()),
            _ => None,
        }
    }

    /// The words of the terminal dispositions of the mails of a kind ([`Notice::word`](crate::Notice::word)), in the order
    /// in which they were put in.
    pub fn ends(&self, kind: &str) -> Vec<String> {
        let rows = self.rows();
        let mut ended: Vec<_> = rows.values().filter(|row| row.mail.kind.word() == kind).collect();
        ended.sort_by_key(|row| row.order);
        let word = |row: &&Row| match &row.state {
            State::Done { disposition } => Some(disposition.word().to_owned()),
            _ => None,
        };
        ended.iter().filter_map(word).collect()
    }

    /// As [`MemoryOutbox::put`], and puts a mail in again that was withdrawn without having been on its way.
    pub(crate) fn put_again(&self, mail: Mail, due: UtcDateTime) {
        if let Some(row) = self.rows().get_mut(&mail.id) {
            if row.stage() == Stage::Withdrawn {
                (row.state, row.mail) = (State::Waiting { due }, mail);
            }
            return;
        }
        self.put(mail, due);
    }

    /// Ends a mail that must not go out any more, unless it is on its way.
    pub(crate) fn withdraw(&self, id: MailId, now: UtcDateTime) {
        if let Some(row) = self.rows().get_mut(&id) {
            row.recorded_at = Some(now);
            match row.state {
                State::Done { .. } => {}
                State::Transmitting { over } if now < over => {}
                _ => row.suppress(Suppression::Withdrawn),
            }
        }
    }

    /// Closes a mail that was just put in: an administrator's digest will tell it.
    pub(crate) fn leave_to_digest(&self, id: MailId, now: UtcDateTime) {
        if let Some(row) = self.rows().get_mut(&id) {
            row.suppress(Suppression::InDigest);
            row.recorded_at = Some(now);
        }
    }

    /// Lets a mail go out by itself that was left to a digest.
    pub(crate) fn let_go(&self, id: MailId, now: UtcDateTime) {
        if let Some(row) = self.rows().get_mut(&id)
            && matches!(row.state, State::Done { disposition: Disposition::Suppressed { why: Suppression::InDigest } })
        {
            (row.state, row.recorded_at) = (State::Waiting { due: now }, None);
        }
    }

    /// Closes the tasks of mails to the registered address of an ID: it is another one now.
    pub(crate) fn settle_to(&self, id: &SubjectId) {
        self.rows()
            .values_mut()
            .filter(|row| row.went_to() == Some(id))
            .for_each(|row| row.settled |= row.task().is_some());
    }

    /// The IDs to whose registered addresses a mail was refused or came back.
    pub(crate) fn refused(&self) -> BTreeSet<SubjectId> {
        let rows = self.rows();
        let refused = rows
            .values()
            .filter(|row| row.task().is_some_and(|task| matches!(task.trouble, Trouble::Refused | Trouble::Bounced)));
        refused.filter_map(Row::went_to).cloned().collect()
    }

    /// What became of mails in a time.
    pub(crate) fn day(&self, from: UtcDateTime, until: UtcDateTime) -> DaySummary {
        let rows = self.rows();
        let count = |word: &str| {
            let ended = |row: &&Row| {
                let then = row.recorded_at.is_some_and(|at| (from..until).contains(&at));
                then && matches!(&row.state, State::Done { disposition } if disposition.word() == word)
            };
            rows.values().filter(ended).count() as u64
        };
        DaySummary {
            sent: count("sent"),
            refused: count("undeliverable"),
            bounced: count("bounced"),
            unknown: count("unknown"),
            waiting: rows.values().filter(|row| !matches!(row.state, State::Done { .. })).count() as u64,
            tasks: rows.values().filter(|row| row.task().is_some()).count() as u64,
            ..DaySummary::default()
        }
    }

    pub(crate) fn stage(&self, id: MailId) -> Option<Stage> {
        self.rows().get(&id).map(Row::stage)
    }

    /// Claims as [`Outbox::claim`] does. `judge` may address a mail anew, or say how it ends instead.
    pub(crate) fn claim_judged(
        &self,
        now: UtcDateTime,
        lease: Duration,
        limit: usize,
        mut judge: impl FnMut(&mut Mail) -> Option<Disposition>,
    ) -> Vec<Claimed> {
        let mut rows = self.rows();
        let mut due: Vec<_> = rows
            .values()
            .filter_map(|row| Some((row.mail.kind.urgency(), row.state.claimable_from()?, row.mail.id)))
            .filter(|(_, from, _)| *from <= now)
            .collect();
        due.sort_unstable();
        let mut claimed = Vec::new();
        for (_, _, id) in due {
            if claimed.len() >= limit {
                break;
            }
            let Some(row) = rows.get_mut(&id) else { continue };
            if let Some(end) = judge(&mut row.mail) {
                row.recorded_at = Some(now);
                match end {
                    Disposition::Suppressed { why } => row.suppress(why),
                    disposition => {
                        row.said = said(&disposition);
                        row.state = State::Done { disposition };
                    }
                }
                continue;
            }
            row.unanswered += u32::from(matches!(row.state, State::Transmitting { .. }));
            row.fence.0 += 1;
            row.state = State::Claimed { lease, over: now.saturating_add(lease) };
            let Row { mail, fence, attempts, unanswered, .. } = row;
            claimed.push(Claimed { mail: mail.clone(), fence: *fence, attempts: *attempts, unanswered: *unanswered });
        }
        claimed
    }

    pub(crate) fn note_transmitting(&self, id: MailId, fence: Fence, now: UtcDateTime) -> Result<(), OutboxError> {
        match self.rows().get_mut(&id) {
            Some(Row { state, fence: newest, attempts, .. }) if *newest == fence => match *state {
                State::Claimed { lease, over } if now < over => {
                    *state = State::Transmitting { over: now.saturating_add(lease) };
                    *attempts += 1;
                    Ok(())
                }
                _ => Err(OutboxError::LeaseLost { id, fence }),
            },
            _ => Err(OutboxError::LeaseLost { id, fence }),
        }
    }

    /// Takes a claim back that was not used yet.
    pub(crate) fn overtake(&self, id: MailId) {
        if let Some(row) = self.rows().get_mut(&id)
            && matches!(row.state, State::Claimed { .. })
        {
            row.fence.0 += 1;
            row.state = State::Waiting { due: UtcDateTime::MIN };
        }
    }

    pub(crate) fn note_end(
        &self,
        id: MailId,
        fence: Fence,
        disposition: &Disposition,
        now: UtcDateTime,
    ) -> Result<(), OutboxError> {
        let mut rows = self.rows();
        let row = rows.get_mut(&id).filter(|row| {
            row.fence == fence && matches!(row.state, State::Claimed { .. } | State::Transmitting { .. })
        });
        let Some(row) = row else { return Err(OutboxError::LeaseLost { id, fence }) };
        (row.recorded_at, row.said) = (Some(now), said(disposition));
        row.state = match disposition {
            Disposition::Retry { at, .. } => State::Waiting { due: *at },
            Disposition::Quarantined { until } => {
                row.unanswered += 1;
                State::Waiting { due: *until }
            }
            end => {
                row.mail = row.mail.clone().without_secret();
                State::Done { disposition: end.clone() }
            }
        };
        Ok(())
    }

    pub(crate) fn note_bounce(&self, id: MailId, bounce: &Bounce, now: UtcDateTime) -> bool {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&id).filter(|row| row.attempts > 0) else { return false };
        let done = match &row.state {
            State::Done { disposition: Disposition::Sent | Disposition::Unknown } => true,
            State::Done { .. } => return false,
            _ => false,
        };
        match bounce {
            Bounce::Failed { reply } => {
                row.fence.0 += 1;
                row.state = State::Done { disposition: Disposition::Bounced { reply: reply.clone() } };
                row.mail = row.mail.clone().without_secret();
                (row.recorded_at, row.said) = (Some(now), reply.to_string());
            }
            Bounce::Delayed { reply } if done => row.said = reply.to_string(),
            Bounce::Delayed { .. } => {}
        }
        true
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<MailId, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn claim(
        &self,
        now: UtcDateTime,
        _worker: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, OutboxError> {
        Ok(self.claim_judged(now, lease, limit, |_| None))
    }

    async fn transmitting(&self, id: MailId, fence: Fence, now: UtcDateTime) -> Result<(), OutboxError> {
        self.note_transmitting(id, fence, now)
    }

    async fn record(
        &self,
        id: MailId,
        fence: Fence,
        disposition: &Disposition,
        now: UtcDateTime,
    ) -> Result<(), OutboxError> {
        self.note_end(id, fence, disposition, now)
    }

    async fn next_wake(&self, _now: UtcDateTime) -> Result<Option<UtcDateTime>, OutboxError> {
        Ok(self.rows().values().filter_map(|row| row.state.claimable_from()).min())
    }

    async fn told(&self, to: &Address, since: UtcDateTime) -> Result<u32, OutboxError> {
        let counts = |row: &&Row| {
            let recent = row.recorded_at.is_some_and(|at| at >= since);
            let went = match &row.state {
                State::Transmitting { .. } => true,
                State::Waiting { .. } | State::Claimed { .. } => recent && row.unanswered > 0,
                State::Done { disposition } => {
                    let went =
                        matches!(disposition, Disposition::Sent | Disposition::Unknown | Disposition::Bounced { .. });
                    recent && went
                }
            };
            went && row.mail.to.is_like(to) && row.mail.kind.urgency() != Urgency::Awaited
        };
        Ok(u32::try_from(self.rows().values().filter(counts).count()).unwrap_or(u32::MAX))
    }
}

#[async_trait]
impl Tasks for MemoryOutbox {
    async fn bounced(&self, id: MailId, bounce: &Bounce, now: UtcDateTime) -> Result<bool, OutboxError> {
        Ok(self.note_bounce(id, bounce, now))
    }

    async fn open_tasks(
        &self,
        of: Whose<'_>,
        after: Option<(UtcDateTime, MailId)>,
        limit: usize,
    ) -> Result<Vec<Task>, OutboxError> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = self.rows();
        let asked = |row: &&Row| match of {
            Whose::All => true,
            Whose::About(id) => row.mail.subject_id == *id,
            Whose::To(id) => row.went_to() == Some(id),
            Whose::Organization(id) => members.get(&row.mail.subject_id) == Some(id),
        };
        let mut tasks: Vec<_> = rows.values().filter(asked).filter_map(Row::task).collect();
        tasks.retain(|task| after.is_none_or(|after| (task.at, task.mail) > after));
        tasks.sort_unstable_by_key(|task| (task.at, task.mail));
        tasks.truncate(limit);
        Ok(tasks)
    }

    async fn settle(&self, id: MailId) -> Result<bool, OutboxError> {
        let mut rows = self.rows();
        let Some(row) = rows.get_mut(&id).filter(|row| row.task().is_some()) else { return Ok(false) };
        row.settled = true;
        Ok(true)
    }
}

fn said(disposition: &Disposition) -> String {
    match disposition {
        Disposition::Undeliverable { reply }
        | Disposition::Bounced { reply }
        | Disposition::Retry { reply: Some(reply), .. } => reply.to_string(),
        _ => String::new(),
    }
}
