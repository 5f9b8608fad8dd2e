//! The schedule in memory, together with its outbox, the people who are told, and what they have to be told.

mod matters;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use koshin_types::{CertificateStatus, SerialNumber};
use time::{Duration, UtcDateTime};

use super::{Ahead, InUse, Look, Next, Page, Place, Plan, PolicyMark, Schedule, ScheduleError, Scheduled, Stage};
use crate::{
    Address, Claimed, Disposition, Fence, Mail, MailId, MemoryOutbox, Notice, Outbox, OutboxError, Reply, Suppression,
};

/// A [`Schedule`] with the [`Outbox`] that it plans into: for tests, rehearsals and the reading of the ports. It forgets
/// everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemorySchedule {
    state: Mutex<State>,
    // Locked after `state`, never before it.
    outbox: MemoryOutbox,
}

#[derive(Debug, Default)]
struct State {
    policy: Option<PolicyMark>,
    rows: BTreeMap<u64, Row>,
    /// Whom a planned mail is about.
    about: BTreeMap<MailId, u64>,
    /// Everybody, and what has to be told.
    people: matters::People,
}

#[derive(Debug)]
struct Row {
    certificate: InUse,
    status: CertificateStatus,
    planning: Planning,
    next_look: Option<UtcDateTime>,
    revision: u64,
    notices: BTreeMap<u16, Record>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planning {
    Unplanned,
    Planned,
    Outdated,
}

#[derive(Debug, Clone, Copy)]
enum Record {
    Mail(MailId),
    NoAddress,
    Closed { with: u16 },
}

impl MemorySchedule {
    /// Puts a certificate on the schedule that is in use from now on.
    pub fn activate(&self, certificate: InUse) {
        let mut state = self.state();
        let number = state.rows.len() as u64 + 1;
        state.people.meet(&certificate);
        let row = Row {
            certificate,
            status: CertificateStatus::Active,
            planning: Planning::Unplanned,
            next_look: None,
            revision: 0,
            notices: BTreeMap::new(),
        };
        state.rows.insert(number, row);
    }

    /// Takes a certificate off the schedule: it was superseded or revoked.
    pub fn retire(&self, serial: &SerialNumber, status: CertificateStatus) {
        let State { rows, about, people, .. } = &mut *self.state();
        if let Some((number, row)) = rows.iter_mut().find(|(_, row)| row.certificate.serial == *serial) {
            row.status = status;
            about.iter().filter(|(_, other)| *other == number).for_each(|(id, _)| self.outbox.overtake(*id));
            people.forget_certificate(*number);
        }
    }

    /// Registers another address of the holder of a certificate, or none.
    #[expect(clippy::needless_pass_by_value, reason = "callers have one to give")]
    pub fn readdress(&self, serial: &SerialNumber, address: Option<crate::Address>) {
        let holder = |row: &&Row| row.certificate.serial == *serial;
        let holder = self.state().rows.values().find(holder).map(|row| row.certificate.subject_id.clone());
        if let Some(holder) = holder {
            self.readdress_id(&holder, address.as_ref());
        }
    }

    /// What became of the thresholds of a certificate, in ascending order of days, with the mails where there are some.
    pub fn notices(&self, serial: &SerialNumber) -> Vec<(u16, Stage, Option<MailId>)> {
        let state = self.state();
        let row = state.rows.values().find(|row| row.certificate.serial == *serial);
        let notices = row.into_iter().flat_map(|row| &row.notices);
        notices
            .map(|(days, record)| {
                let mail = if let Record::Mail(id) = record { Some(*id) } else { None };
                (*days, self.stage(record), mail)
            })
            .collect()
    }

    /// The outbox that plans put mails into. A mailer works on the schedule itself, which knows whom not to tell.
    pub fn outbox(&self) -> &MemoryOutbox {
        &self.outbox
    }

    /// Takes back what is claimed of the notices about a certificate, to be judged anew.
    fn overtake(&self, row: &Row) {
        for record in row.notices.values() {
            if let Record::Mail(id) = record {
                self.outbox.overtake(*id);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self, record: &Record) -> Stage {
        match record {
            Record::Mail(id) => self.outbox.stage(*id).unwrap_or(Stage::Withdrawn),
            Record::NoAddress => Stage::Counts,
            Record::Closed { with } => Stage::Closed { with: *with },
        }
    }

    fn scheduled(&self, place: Place, row: &Row) -> Scheduled {
        let notices = row.notices.iter().map(|(days, record)| (*days, self.stage(record))).collect();
        Scheduled { place, revision: row.revision, certificate: row.certificate.clone(), notices }
    }

    fn store(&self, row: &mut Row, about: &mut BTreeMap<MailId, u64>, plan: Plan, now: UtcDateTime) {
        for days in plan.withdraw {
            if let Some(Record::Mail(id)) = row.notices.get(&days) {
                self.outbox.withdraw(*id, now);
            }
            row.notices.retain(|_, record| !matches!(record, Record::Closed { with } if *with == days));
        }
        if let Some(owed) = plan.due {
            let record = match owed.mail {
                Some(mail) => {
                    let id = mail.id;
                    about.insert(id, plan.number);
                    self.outbox.put_again(mail, now);
                    Record::Mail(id)
                }
                None => Record::NoAddress,
            };
            row.notices.insert(owed.threshold_days, record);
            for days in owed.closes {
                row.notices.insert(days, Record::Closed { with: owed.threshold_days });
            }
        }
        row.revision += 1;
        (row.planning, row.next_look) = match plan.next {
            Next::At(at) => (Planning::Planned, Some(at)),
            Next::Never => (Planning::Planned, None),
            Next::Ended => (Planning::Unplanned, None),
        };
    }
}

impl State {
    fn in_use(&self) -> impl Iterator<Item = (u64, &Row)> {
        let rows = self.rows.iter().map(|(number, row)| (*number, row));
        rows.filter(|(_, row)| row.status == CertificateStatus::Active)
    }

    fn living(&self, planning: Planning, now: UtcDateTime) -> impl Iterator<Item = Place> {
        let living = self.in_use().filter(move |(_, row)| now < row.certificate.validity.end());
        let these = living.filter(move |(_, row)| row.planning == planning);
        these.map(|(number, row)| Place { at: row.certificate.validity.not_after(), number })
    }

    fn touch(&mut self, id: MailId) {
        if let Some(row) = self.about.get(&id).and_then(|number| self.rows.get_mut(number)) {
            row.revision += 1;
        }
    }

    /// Addresses a mail anew, or says why it is not sent.
    fn judge(&self, mail: &mut Mail) -> Option<Disposition> {
        let suppressed = |why| Some(Disposition::Suppressed { why });
        let row = self.about.get(&mail.id).and_then(|number| self.rows.get(number));
        match row.map(|row| row.status) {
            Some(CertificateStatus::Revoked) => return suppressed(Suppression::Revoked),
            Some(CertificateStatus::Active) | None => {}
            Some(_) => return suppressed(Suppression::Renewed),
        }
        let (language, address) = match (self.people.addressee(mail), row) {
            (Some(person), _) => (person.language, person.address.clone()),
            (None, Some(row)) if mail.kind.threshold().is_some() => {
                (row.certificate.language, row.certificate.address.clone())
            }
            _ => return None,
        };
        if let Notice::EnrolmentReminder { until } = mail.kind
            && self.people.permission(&mail.subject_id) != Some(until)
        {
            return suppressed(Suppression::Withdrawn);
        }
        match address {
            Some(address) => {
                (mail.to, mail.language) = (address, language);
                None
            }
            None => Some(Disposition::Undeliverable { reply: Reply::new(None, "no address is registered") }),
        }
    }
}

#[async_trait]
impl Schedule for MemorySchedule {
    async fn ahead(&self, now: UtcDateTime) -> Result<Ahead, ScheduleError> {
        let state = self.state();
        Ok(Ahead {
            policy: state.policy,
            next_look: state.in_use().filter_map(|(_, row)| row.next_look).min(),
            outdated: state.living(Planning::Outdated, now).map(|place| place.at).min(),
            unplanned: state.living(Planning::Unplanned, now).map(|place| place.at).min(),
        })
    }

    async fn adopt(&self, policy: PolicyMark) -> Result<bool, ScheduleError> {
        let mut state = self.state();
        if state.policy != Some(policy) {
            for row in state.rows.values_mut().filter(|row| row.planning == Planning::Planned) {
                (row.planning, row.next_look) = (Planning::Outdated, None);
                row.revision += 1;
            }
            state.policy = Some(policy);
        }
        Ok(true)
    }

    async fn look(
        &self,
        look: Look,
        now: UtcDateTime,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Page, ScheduleError> {
        let state = self.state();
        let mut places: Vec<Place> = match look {
            Look::Due => {
                let looks = state.in_use().filter_map(|(number, row)| Some(Place { at: row.next_look?, number }));
                looks.filter(|place| place.at <= now).collect()
            }
            Look::Outdated => state.living(Planning::Outdated, now).collect(),
            Look::Unplanned { until } => {
                state.living(Planning::Unplanned, now).filter(|place| place.at <= until).collect()
            }
        };
        places.retain(|place| after.is_none_or(|after| *place > after));
        places.sort_unstable();
        places.truncate(limit);
        let more = places.last().copied().filter(|_| places.len() == limit);
        let row = |place: &Place| Some(self.scheduled(*place, state.rows.get(&place.number)?));
        Ok(Page { rows: places.iter().filter_map(row).collect(), more })
    }

    async fn plan(&self, policy: PolicyMark, plans: Vec<Plan>, now: UtcDateTime) -> Result<usize, ScheduleError> {
        let State { policy: adopted, rows, about, people } = &mut *self.state();
        if *adopted != Some(policy) {
            return Err(ScheduleError::OtherPolicy);
        }
        let mut stored = 0;
        for plan in plans {
            let row = rows.get_mut(&plan.number);
            let unchanged = |row: &&mut Row| row.status == CertificateStatus::Active && row.revision == plan.revision;
            if let Some(row) = row.filter(unchanged) {
                let number = plan.number;
                self.store(row, about, plan, now);
                people.look_at_certificate(number, row, now);
                stored += 1;
            }
        }
        Ok(stored)
    }
}

#[async_trait]
impl Outbox for MemorySchedule {
    async fn claim(
        &self,
        now: UtcDateTime,
        _worker: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, OutboxError> {
        let state = self.state();
        let judge = |mail: &mut Mail| state.judge(mail);
        Ok(self.outbox.claim_judged(now, lease, limit, judge))
    }

    async fn transmitting(&self, id: MailId, fence: Fence, now: UtcDateTime) -> Result<(), OutboxError> {
        let mut state = self.state();
        self.outbox.note_transmitting(id, fence, now)?;
        state.touch(id);
        Ok(())
    }

    async fn record(
        &self,
        id: MailId,
        fence: Fence,
        disposition: &Disposition,
        now: UtcDateTime,
    ) -> Result<(), OutboxError> {
        let mut state = self.state();
        self.outbox.note_end(id, fence, disposition, now)?;
        state.touch(id);
        state.note_matter(&self.outbox, id, now);
        Ok(())
    }

    async fn next_wake(&self, now: UtcDateTime) -> Result<Option<UtcDateTime>, OutboxError> {
        self.outbox.next_wake(now).await
    }

    async fn told(&self, to: &Address, since: UtcDateTime) -> Result<u32, OutboxError> {
        self.outbox.told(to, since).await
    }
}
