//! People, matters and summaries in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use koshin_expiry::RenewalProgress;
use koshin_types::{CertificateStatus, OrganizationId, Role, SubjectId};
use time::{Duration, UtcDateTime};

use super::{InUse, MemorySchedule, Record, Row, State};
use crate::{
    Address, Bounce, By, Coming, Conclusion, DaySummary, Digested, Digests, Disposition, Gathering, Mail, MailId,
    Matter, MatterPage, Matters, Member, MemoryOutbox, OutboxError, Parties, Party, Past, Place, Task, Tasks, Telling,
    Then, What, Whose, goes_to_holder, reminder_opens,
};

/// Everybody, and what has to be told.
#[derive(Debug, Default)]
pub(super) struct People {
    all: BTreeMap<SubjectId, Person>,
    organizations: BTreeMap<OrganizationId, Contract>,
    matters: BTreeMap<u64, Open>,
    /// Whose address a mail goes to.
    addressees: BTreeMap<MailId, SubjectId>,
    summarized: Option<UtcDateTime>,
}

#[derive(Debug)]
struct Person {
    party: Party,
    role: Role,
    organization: Option<OrganizationId>,
    permission: Option<UtcDateTime>,
    renewal: RenewalProgress,
}

#[derive(Debug, Default)]
struct Contract {
    digests: Digests,
    /// For when the last digest was due.
    last: Option<UtcDateTime>,
    /// What is left to the next one.
    left: BTreeSet<MailId>,
}

#[derive(Debug)]
struct Open {
    about: SubjectId,
    kind: Kind,
    look_at: Option<UtcDateTime>,
    over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The number of the certificate.
    Ignored(u64),
    Permission(UtcDateTime),
    Address(UtcDateTime),
}

impl People {
    /// Knows the holder of a certificate, if it did not before.
    pub(super) fn meet(&mut self, certificate: &InUse) {
        let party = Party {
            subject_id: certificate.subject_id.clone(),
            language: certificate.language,
            address: certificate.address.clone(),
            refused: false,
        };
        let renewal = RenewalProgress::None;
        let person = Person { party, role: Role::User, organization: None, permission: None, renewal };
        self.all.entry(certificate.subject_id.clone()).or_insert(person);
    }

    pub(super) fn addressee(&self, mail: &Mail) -> Option<&Party> {
        self.all.get(self.addressees.get(&mail.id)?).map(|person| &person.party)
    }

    pub(super) fn permission(&self, id: &SubjectId) -> Option<UtcDateTime> {
        self.all.get(id)?.permission
    }

    pub(super) fn forget_certificate(&mut self, number: u64) {
        self.matters.retain(|_, open| open.kind != Kind::Ignored(number));
    }

    /// Opens a matter, or asks for another look at one that rests.
    fn open(&mut self, about: &SubjectId, kind: Kind, look_at: UtcDateTime) {
        let same = |open: &&mut Open| match (open.kind, kind) {
            (Kind::Address(_), Kind::Address(_)) => open.about == *about,
            (one, other) => one == other && open.about == *about,
        };
        match self.matters.values_mut().find(same) {
            Some(Open { kind: Kind::Ignored(_), look_at: again, over: false, .. }) => *again = Some(look_at),
            Some(_) => {}
            None => {
                let number = self.matters.last_key_value().map_or(1, |(last, _)| last + 1);
                let open = Open { about: about.clone(), kind, look_at: Some(look_at), over: false };
                self.matters.insert(number, open);
            }
        }
    }

    /// A second notice about a certificate may be the one after which it is escalated.
    pub(super) fn look_at_certificate(&mut self, number: u64, row: &Row, now: UtcDateTime) {
        let silent = row.notices.values().any(|record| !matches!(record, Record::Mail(_)));
        if row.notices.len() > 1 && silent {
            self.open(&row.certificate.subject_id, Kind::Ignored(number), now);
        }
    }
}

impl State {
    /// What the end of a mail makes a matter.
    pub(super) fn note_matter(&mut self, outbox: &MemoryOutbox, id: MailId, now: UtcDateTime) {
        let (Some(end), Some(mail)) = (outbox.end(id), outbox.mail(id)) else { return };
        if let Some(number) = self.about.get(&id).copied().filter(|_| mail.kind.threshold().is_some())
            && let Some(row) = self.rows.get(&number).filter(|row| row.notices.len() > 1)
            && row.status == CertificateStatus::Active
        {
            self.people.open(&row.certificate.subject_id, Kind::Ignored(number), now);
        }
        let refused = matches!(end, Disposition::Undeliverable { .. } | Disposition::Bounced { .. });
        let holder = goes_to_holder(mail.kind.word()).then(|| mail.subject_id.clone());
        let to = self.people.addressees.get(&id).cloned().or(holder).filter(|_| refused);
        if let Some(to) = to.filter(|to| self.people.all.get(to).is_some_and(|it| it.party.address == Some(mail.to))) {
            self.people.open(&to, Kind::Address(now), now);
        }
    }

    fn party(&self, id: &SubjectId, refused: &BTreeSet<SubjectId>) -> Option<Party> {
        let party = self.people.all.get(id)?.party.clone();
        Some(Party { refused: refused.contains(id), ..party })
    }

    fn administrators(&self, of: Option<&OrganizationId>, refused: &BTreeSet<SubjectId>) -> Vec<Party> {
        let all = self.people.all.iter().filter(|(_, person)| {
            person.role == Role::Administrator && of.is_some() && person.organization.as_ref() == of
        });
        all.filter_map(|(id, _)| self.party(id, refused)).collect()
    }
}

impl MemorySchedule {
    /// Adds an organization, which wants digests.
    pub fn found(&self, organization: &OrganizationId) {
        self.state().people.organizations.entry(organization.clone()).or_default();
    }

    /// Registers a person of an organization. Who holds a certificate without that is of none.
    pub fn register(&self, organization: &OrganizationId, role: Role, party: Party) {
        self.outbox.join(party.subject_id.clone(), organization.clone());
        let people = &mut self.state().people;
        people.organizations.entry(organization.clone()).or_default();
        let (id, renewal) = (party.subject_id.clone(), RenewalProgress::None);
        let person = Person { party, role, organization: Some(organization.clone()), permission: None, renewal };
        people.all.insert(id, person);
    }

    /// Registers another address of a person, or none.
    pub fn readdress_id(&self, id: &SubjectId, address: Option<&Address>) {
        let State { rows, people, .. } = &mut *self.state();
        let Some(person) = people.all.get_mut(id) else { return };
        person.party.address = address.cloned();
        people.matters.retain(|_, open| !matches!(open.kind, Kind::Address(_)) || open.about != *id);
        for row in rows.values_mut().filter(|row| row.certificate.subject_id == *id) {
            row.certificate.address = address.cloned();
            self.overtake(row);
        }
        for (mail, _) in people.addressees.iter().filter(|(_, to)| *to == id) {
            self.outbox.overtake(*mail);
        }
        self.outbox.settle_to(id);
    }

    /// Permits an ID to obtain a certificate, or (`None`) takes that back, or notes that it was used.
    pub fn permit(&self, id: &SubjectId, permission: Option<UtcDateTime>, now: UtcDateTime) {
        let people = &mut self.state().people;
        let Some(person) = people.all.get_mut(id) else { return };
        person.permission = permission;
        people.matters.retain(|_, open| !matches!(open.kind, Kind::Permission(_)) || open.about != *id);
        if let Some(until) = permission {
            people.open(id, Kind::Permission(until), reminder_opens(now, until));
        }
        let reminders = people.addressees.iter().filter(|(_, to)| *to == id);
        reminders.for_each(|(mail, _)| self.outbox.overtake(*mail));
    }

    /// Notes how far the renewal of an ID is.
    pub fn progress(&self, id: &SubjectId, renewal: RenewalProgress) {
        if let Some(person) = self.state().people.all.get_mut(id) {
            person.renewal = renewal;
        }
    }

    /// Notes whether an organization wants digests. Who opts out gets by itself what was left to the next one.
    pub fn prefer(&self, organization: &OrganizationId, digests: Digests, now: UtcDateTime) {
        let people = &mut self.state().people;
        let Some(contract) = people.organizations.get_mut(organization) else { return };
        contract.digests = digests;
        if digests == Digests::OptedOut {
            for mail in std::mem::take(&mut contract.left) {
                self.outbox.let_go(mail, now);
            }
        }
    }

    /// Stores what is told. `about` is the certificate that it may not outlive.
    fn tell(
        &self,
        people: &mut People,
        about: Option<(&mut BTreeMap<MailId, u64>, u64)>,
        telling: Telling,
        now: UtcDateTime,
    ) {
        let Telling { mail, addressee, by } = telling;
        let id = mail.id;
        if !self.outbox.put_to(mail, addressee.clone(), now) {
            return;
        }
        if let Some((about, number)) = about {
            about.insert(id, number);
        }
        let organization = addressee.as_ref().and_then(|to| people.all.get(to)?.organization.clone());
        people.addressees.extend(addressee.map(|to| (id, to)));
        if by == By::Digest {
            self.outbox.leave_to_digest(id, now);
            if let Some(contract) = organization.and_then(|id| people.organizations.get_mut(&id)) {
                contract.left.insert(id);
            }
        }
    }
}

#[async_trait]
impl Matters for MemorySchedule {
    async fn coming(&self) -> Result<Coming, OutboxError> {
        let people = &self.state().people;
        let wanting = people.organizations.values().filter(|contract| contract.digests == Digests::Wanted);
        let digested = match wanting.map(|contract| contract.last).min() {
            None => Past::Nobody,
            Some(None) => Past::Never,
            Some(Some(due)) => Past::Since(due),
        };
        let matter = people.matters.values().filter_map(|open| open.look_at).min();
        Ok(Coming { matter, digested, summarized: people.summarized })
    }

    async fn matters(&self, now: UtcDateTime, after: Option<Place>, limit: usize) -> Result<MatterPage, OutboxError> {
        let state = self.state();
        let refused = self.outbox.refused();
        let place = |(number, open): (&u64, &Open)| Some(Place { at: open.look_at?, number: *number });
        let mut places: Vec<_> = state.people.matters.iter().filter_map(place).collect();
        places.retain(|place| place.at <= now && after.is_none_or(|after| *place > after));
        places.sort_unstable();
        places.truncate(limit);
        let matter = |place: &Place| {
            let open = state.people.matters.get(&place.number)?;
            let person = state.people.all.get(&open.about)?;
            let what = match open.kind {
                Kind::Permission(until) => What::Permission { until },
                Kind::Address(at) => What::Address { at },
                Kind::Ignored(number) => {
                    let row = state.rows.get(&number)?;
                    let notices = row.notices.iter().map(|(days, record)| (*days, self.stage(record))).collect();
                    let InUse { serial, validity, .. } = row.certificate;
                    What::Ignored { serial, validity, notices, renewal: person.renewal }
                }
            };
            let mut administrators = state.administrators(person.organization.as_ref(), &refused);
            administrators.retain(|party| party.subject_id != open.about);
            let contract = person.organization.as_ref().and_then(|id| state.people.organizations.get(id));
            let digests = contract.map_or(Digests::OptedOut, |contract| contract.digests);
            let holder = state.party(&open.about, &refused)?;
            let parties = Parties { holder, role: person.role, administrators, digests };
            Some(Matter { place: *place, what, parties })
        };
        let more = places.last().copied().filter(|_| places.len() == limit);
        Ok(MatterPage { rows: places.iter().filter_map(matter).collect(), more })
    }

    async fn conclude(&self, conclusions: Vec<Conclusion>, now: UtcDateTime) -> Result<usize, OutboxError> {
        let State { about, people, .. } = &mut *self.state();
        let mut stored = 0;
        for Conclusion { place, owed, then } in conclusions {
            let Some(open) = people.matters.get_mut(&place.number).filter(|open| open.look_at == Some(place.at)) else {
                continue;
            };
            (open.look_at, open.over) = match then {
                Then::LookAt(at) => (Some(at), false),
                Then::Rest => (None, false),
                Then::Over => (None, true),
            };
            let certificate = if let Kind::Ignored(number) = open.kind { Some(number) } else { None };
            for telling in owed {
                self.tell(people, certificate.map(|number| (&mut *about, number)), telling, now);
            }
            stored += 1;
        }
        Ok(stored)
    }

    async fn gatherings(
        &self,
        due: UtcDateTime,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Gathering>, OutboxError> {
        let state = self.state();
        let refused = self.outbox.refused();
        let wanting = state.people.organizations.iter().filter(|(id, contract)| {
            let before = contract.last.is_none_or(|last| last < due);
            contract.digests == Digests::Wanted && before && after.is_none_or(|after| *id > after)
        });
        let gathering = |(id, contract): (&OrganizationId, &Contract)| {
            let held = state.in_use().filter_map(|(_, row)| {
                let subject_id = &row.certificate.subject_id;
                let person = state.people.all.get(subject_id).filter(|it| it.organization.as_ref() == Some(id))?;
                Some(Member {
                    subject_id: subject_id.clone(),
                    validity: Some(row.certificate.validity),
                    renewal: person.renewal,
                    address_refused: refused.contains(subject_id),
                })
            });
            Gathering {
                organization: id.clone(),
                last: contract.last,
                administrators: state.administrators(Some(id), &refused),
                members: held.collect(),
            }
        };
        Ok(wanting.take(limit).map(gathering).collect())
    }

    async fn digest(&self, digested: Digested, due: UtcDateTime, now: UtcDateTime) -> Result<bool, OutboxError> {
        let people = &mut self.state().people;
        let Digested { organization, owed, unreachable } = digested;
        let Some(contract) = people.organizations.get_mut(&organization) else { return Ok(false) };
        if contract.digests == Digests::OptedOut || contract.last.is_some_and(|last| last >= due) {
            return Ok(false);
        }
        contract.last = Some(due);
        for mail in std::mem::take(&mut contract.left) {
            if people.addressees.get(&mail).is_some_and(|to| unreachable.contains(to)) {
                self.outbox.let_go(mail, now);
            }
        }
        for telling in owed {
            self.tell(people, None, telling, now);
        }
        Ok(true)
    }

    async fn day(&self, from: UtcDateTime, until: UtcDateTime) -> Result<DaySummary, OutboxError> {
        let state = self.state();
        let count = |ends: &dyn Fn(UtcDateTime) -> bool| {
            state.in_use().filter(|(_, row)| ends(row.certificate.validity.end())).count() as u64
        };
        let within = |days| count(&|end| end > until && end <= until.saturating_add(Duration::days(days)));
        let began = |row: &&Row| (from..until).contains(&row.certificate.validity.not_before());
        Ok(DaySummary {
            issued: state.rows.values().filter(began).count() as u64,
            revoked: 0,
            ended: count(&|end| end > from && end <= until),
            ending_soon: within(10),
            ending: within(30),
            ..self.outbox.day(from, until)
        })
    }

    async fn summarize(
        &self,
        from: Option<UtcDateTime>,
        until: UtcDateTime,
        mail: Option<Mail>,
        now: UtcDateTime,
    ) -> Result<bool, OutboxError> {
        let people = &mut self.state().people;
        if people.summarized != from {
            return Ok(false);
        }
        people.summarized = Some(until);
        if let Some(mail) = mail {
            self.tell(people, None, Telling { mail, addressee: None, by: By::Itself }, now);
        }
        Ok(true)
    }
}

#[async_trait]
impl Tasks for MemorySchedule {
    async fn bounced(&self, id: MailId, bounce: &Bounce, now: UtcDateTime) -> Result<bool, OutboxError> {
        let mut state = self.state();
        let noted = self.outbox.note_bounce(id, bounce, now);
        if noted {
            state.touch(id);
            state.note_matter(&self.outbox, id, now);
        }
        Ok(noted)
    }

    async fn open_tasks(
        &self,
        of: Whose<'_>,
        after: Option<(UtcDateTime, MailId)>,
        limit: usize,
    ) -> Result<Vec<Task>, OutboxError> {
        self.outbox.open_tasks(of, after, limit).await
    }

    async fn settle(&self, id: MailId) -> Result<bool, OutboxError> {
        self.outbox.settle(id).await
    }
}
