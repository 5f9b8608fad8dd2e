//! The registry, the sessions, the directory, the chronicle and the correspondence in memory.

mod authority;
mod correspondence;
mod preferences;

pub use authority::MemoryAuthority;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use koshin_notify::{Mail, MemoryOutbox};
use koshin_renewal::{Fact, Status};
use koshin_types::{Fingerprint, OrganizationId, RenewalId, Role, SerialNumber, SubjectId};
use time::UtcDateTime;

use crate::conformance::Recorded;
use crate::{
    Actor, AuditNote, Beginning, Begun, ChangeSeen, Chronicle, ClockRecord, Commit, CommitError, Directory,
    DirectoryError, Document, Jump, Order, Organization, Progress, Proof, Registry, Revocation, SentCode, Session,
    SessionKey, SessionKind, Sessions, Settled, StorageError, Subject, SubjectFile, Trace, Tries,
};

/// A [`Registry`], [`Sessions`], [`Directory`], [`Chronicle`] and [`Correspondence`](crate::Correspondence) that forgets
/// everything when it is dropped: for tests, rehearsals and the reading of the ports.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    outbox: Arc<MemoryOutbox>,
}

#[derive(Debug, Default)]
struct State {
    organizations: BTreeMap<OrganizationId, Organization>,
    opted_out: BTreeSet<OrganizationId>,
    files: BTreeMap<SubjectId, Arc<SubjectFile>>,
    wake_at: BTreeMap<SubjectId, UtcDateTime>,
    holders: BTreeMap<Fingerprint, SubjectId>,
    renewals: BTreeMap<RenewalId, SubjectId>,
    keys: BTreeMap<Fingerprint, RenewalId>,
    documents: BTreeMap<SerialNumber, Document>,
    /// Serial numbers that stand revoked without a certificate here.
    strays: BTreeSet<SerialNumber>,
    /// By the order in which they came.
    orders: Vec<Order>,
    progress: Progress,
    changes: Vec<ChangeSeen>,
    audit: Vec<Recorded>,
    mails: Vec<Mail>,
    sessions: BTreeMap<SessionKey, Session>,
    tries: BTreeMap<String, Tries>,
    clock: ClockRecord,
    /// The audit record up to which the clock's record speaks.
    clocked: usize,
}

impl MemoryStore {
    /// The outbox that mails of commits go to.
    pub fn outbox(&self) -> Arc<MemoryOutbox> {
        Arc::clone(&self.outbox)
    }

    /// Every mail that was ever owed, in order.
    pub fn mails(&self) -> Vec<Mail> {
        self.state().mails.clone()
    }

    /// The audit log, oldest record first.
    pub fn audit(&self) -> Vec<Recorded> {
        self.state().audit.clone()
    }

    /// Takes a serial number for revoked for ever whose certificate is not here, as the reconciliation of a registry that
    /// was put back does.
    pub fn adopt(&self, serial: SerialNumber) {
        self.state().strays.insert(serial);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owe(&self, state: &mut State, mails: Vec<Mail>, due: UtcDateTime) {
        for mail in mails {
            if self.outbox.put(mail.clone(), due) {
                state.mails.push(mail);
            }
        }
    }
}

impl State {
    fn record(&mut self, at: UtcDateTime, actor: &Actor, subject: Option<&SubjectId>, word: &str) -> u64 {
        let sequence = self.audit.len() as u64 + 1;
        let (actor, subject) = (actor.clone(), subject.cloned());
        self.audit.push(Recorded { sequence, at: whole(at), actor, subject, word: word.to_owned() });
        sequence
    }

    fn note(&mut self, note: &AuditNote, at: UtcDateTime) {
        self.record(at, &note.actor, note.subject.as_ref(), note.word);
    }

    /// Whether password and address still are those of this subject.
    fn knows(&self, subject: &Subject) -> bool {
        let same = |now: &Subject| (&now.password_hash, &now.address) == (&subject.password_hash, &subject.address);
        self.files.get(&subject.id).is_some_and(|file| same(&file.subject))
    }

    fn admit(&mut self, session: &Session) -> Result<(), StorageError> {
        self.sessions.retain(|_, other| other.ends_at > session.opened_at);
        if self.sessions.contains_key(&session.key) {
            return Err(taken());
        }
        self.sessions.insert(session.key, session.clone());
        Ok(())
    }

    fn count(&mut self, key: &str, at: UtcDateTime) -> Tries {
        let tries = self.tries.entry(key.to_owned()).or_default();
        tries.failures = tries.failures.saturating_add(1);
        tries.last_at = at.unix_timestamp() * 1000 + i64::from(at.millisecond());
        *tries
    }

    fn trace(&mut self, trace: &Trace, at: UtcDateTime) {
        match trace {
            Trace::Recorded(note) => self.note(note, at),
            Trace::Counted(note) => {
                let count = self.count(note.word, at).failures;
                if let Some(note) = Trace::due(note, count) {
                    self.note(&note, at);
                }
            }
        }
    }

    /// Everything that may speak against a commit, in the order in which it is answered.
    fn decide(&self, commit: &Commit) -> Result<Arc<SubjectFile>, CommitError> {
        let file = self.files.get(&commit.subject).ok_or_else(|| CommitError::NoSubject(commit.subject.clone()))?;
        if file.version != commit.version {
            return Err(CommitError::Conflict { expected: commit.version, found: file.version });
        }
        commit.check(&file.holding)?;
        for fact in &commit.facts {
            if let Fact::Requested { id, spki, .. } = fact
                && self.keys.get(spki).is_some_and(|seen| seen != id)
            {
                return Err(CommitError::KeySeen { spki: *spki });
            }
        }
        match &commit.intent {
            Some(intent) if self.documents.contains_key(&intent.serial) => {
                return Err(CommitError::SerialUsed { serial: intent.serial });
            }
            _ => {}
        }
        match &commit.certified {
            Some(certified) if self.strays.contains(&certified.serial) => {
                Err(CommitError::SerialRevoked { serial: certified.serial })
            }
            _ => Ok(Arc::clone(file)),
        }
    }

    fn fact(&mut self, commit: &Commit, fact: &Fact) {
        let sequence = self.record(commit.at, &commit.actor, Some(&commit.subject), fact.as_str());
        match fact {
            Fact::RenewalStarted { id, .. } => {
                self.renewals.insert(*id, commit.subject.clone());
            }
            Fact::Requested { id, spki, .. } => {
                self.keys.insert(*spki, *id);
            }
            Fact::Superseded { serial, .. } | Fact::Revoked { serial, .. } => {
                let held = commit.next.certificates.iter().find(|held| held.serial == *serial);
                let settled = match fact {
                    Fact::Superseded { .. } => Settled::Superseded,
                    _ => Settled::Revoked,
                };
                self.changes.extend(held.map(|held| ChangeSeen { sequence, fingerprint: held.fingerprint, settled }));
            }
            _ => {}
        }
    }

    fn clocked(&mut self, clock: ClockRecord) {
        (self.clock, self.clocked) = (clock, self.audit.len());
    }

    fn update(&mut self, id: &SubjectId, change: impl FnOnce(&mut SubjectFile)) {
        if let Some(file) = self.files.get_mut(id) {
            change(Arc::make_mut(file));
        }
    }
}

#[async_trait]
impl Registry for MemoryStore {
    async fn subject(&self, id: &SubjectId) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        Ok(self.state().files.get(id).cloned())
    }

    async fn holder(&self, certificate: &Fingerprint) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        let state = self.state();
        Ok(state.holders.get(certificate).and_then(|id| state.files.get(id)).cloned())
    }

    async fn renewal(&self, id: &RenewalId) -> Result<Option<SubjectId>, StorageError> {
        Ok(self.state().renewals.get(id).cloned())
    }

    async fn document(&self, serial: &SerialNumber) -> Result<Option<Document>, StorageError> {
        Ok(self.state().documents.get(serial).cloned())
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let mut state = self.state();
        state.decide(&commit)?;
        for fact in &commit.facts {
            state.fact(&commit, fact);
        }
        if let Some(note) = commit.note() {
            state.note(&note, commit.at);
        }
        for held in &commit.next.certificates {
            state.holders.insert(held.fingerprint, commit.subject.clone());
        }
        match commit.wake_at.map(whole) {
            Some(at) => state.wake_at.insert(commit.subject.clone(), at),
            None => state.wake_at.remove(&commit.subject),
        };
        if let Some(intent) = commit.intent {
            state.documents.insert(intent.serial, Document { intent, certificate: None });
        }
        if let Some(order) = commit.order {
            match state.orders.iter_mut().find(|other| other.renewal == order.renewal) {
                Some(older) => *older = order,
                None => state.orders.push(order),
            }
        }
        if let Some(certified) = commit.certified
            && let Some(document) = state.documents.get_mut(&certified.serial)
        {
            document.certificate = Some(certified.der);
            let renewal = document.intent.renewal;
            state.orders.retain(|order| order.renewal != renewal);
        }
        self.owe(&mut state, commit.mails, commit.at);
        state.update(&commit.subject, |file| {
            file.holding = commit.next;
            file.version += 1;
        });
        Ok(())
    }

    async fn overdue(&self, now: UtcDateTime, limit: u32) -> Result<Vec<SubjectId>, StorageError> {
        let state = self.state();
        let mut due: Vec<_> = state.wake_at.iter().filter(|(_, at)| **at <= now).collect();
        due.sort_by_key(|(_, at)| **at);
        Ok(due.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).map(|(id, _)| id.clone()).collect())
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<(u64, Vec<ChangeSeen>), StorageError> {
        let state = self.state();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let newer = state.changes.iter().filter(|change| change.sequence > after);
        let seen: Vec<_> = newer.take(limit).copied().collect();
        let last = seen.last().filter(|_| seen.len() == limit).map(|change| change.sequence);
        Ok((last.unwrap_or(state.audit.len() as u64), seen))
    }
}

#[async_trait]
impl Sessions for MemoryStore {
    async fn open(&self, session: Session, subject: &Subject, note: AuditNote) -> Result<bool, StorageError> {
        let mut state = self.state();
        if !state.knows(subject) {
            return Ok(false);
        }
        let session = whole_session(&session);
        state.admit(&session)?;
        if let SessionKind::Portal { subject, .. } = &session.kind {
            state.update(subject, |file| file.subject.last_sign_in = Some(session.opened_at));
        }
        state.note(&note, session.opened_at);
        Ok(true)
    }

    async fn begin(&self, beginning: Beginning) -> Result<Begun, StorageError> {
        let mut state = self.state();
        let Beginning { session, tries, patience, subject, trace, mail } = beginning;
        let session = whole_session(&session);
        let at = session.opened_at;
        let before = state.tries.get(&tries).copied().unwrap_or_default();
        if let Some(retry_at) = patience.blocked_until(before).filter(|retry_at| at < *retry_at) {
            return Ok(Begun::TooSoon { retry_at });
        }
        if subject.is_some_and(|subject| !state.knows(&subject)) {
            return Ok(Begun::Changed);
        }
        state.admit(&session)?;
        state.count(&tries, at);
        state.trace(&trace, at);
        self.owe(&mut state, mail.into_iter().collect(), at);
        Ok(Begun::Opened)
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Session>, StorageError> {
        Ok(self.state().sessions.get(key).cloned())
    }

    async fn replace(
        &self,
        before: &Session,
        after: &Session,
        note: Option<(UtcDateTime, AuditNote)>,
    ) -> Result<bool, StorageError> {
        let mut state = self.state();
        let after = whole_session(after);
        if state.sessions.get(&before.key) != Some(&whole_session(before)) {
            return Ok(false);
        }
        if after.key != before.key && state.sessions.contains_key(&after.key) {
            return Err(taken());
        }
        state.sessions.remove(&before.key);
        state.sessions.insert(after.key, after);
        if let Some((at, note)) = note {
            state.note(&note, at);
        }
        Ok(true)
    }

    async fn close(&self, key: &SessionKey, note: AuditNote, at: UtcDateTime) -> Result<(), StorageError> {
        let mut state = self.state();
        if state.sessions.remove(key).is_some() {
            state.note(&note, at);
        }
        Ok(())
    }

    async fn tries(&self, key: &str) -> Result<Tries, StorageError> {
        Ok(self.state().tries.get(key).copied().unwrap_or_default())
    }

    async fn note_try(&self, key: &str, failed: Option<(UtcDateTime, Trace)>) -> Result<Tries, StorageError> {
        let mut state = self.state();
        let Some((at, trace)) = failed else {
            state.tries.remove(key);
            return Ok(Tries::default());
        };
        state.trace(&trace, at);
        Ok(state.count(key, at))
    }
}

#[async_trait]
impl Directory for MemoryStore {
    async fn add_organization(
        &self,
        organization: &Organization,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError> {
        let mut state = self.state();
        if state.organizations.contains_key(&organization.id) {
            return Err(DirectoryError::Exists { what: "organization", id: organization.id.to_string() });
        }
        state.organizations.insert(organization.id.clone(), organization.clone());
        state.note(&note, at);
        Ok(())
    }

    async fn add_subject(&self, subject: &Subject, note: AuditNote, at: UtcDateTime) -> Result<(), DirectoryError> {
        let mut state = self.state();
        if state.files.contains_key(&subject.id) {
            return Err(DirectoryError::Exists { what: "subject", id: subject.id.to_string() });
        }
        let organization = state.organizations.get(&subject.organization).cloned();
        let organization = organization.ok_or_else(|| missing("organization", &subject.organization.to_string()))?;
        let subject = whole_subject(subject);
        let id = subject.id.clone();
        let file = SubjectFile { subject, organization, holding: koshin_renewal::Holding::default(), version: 0 };
        state.files.insert(id, Arc::new(file));
        state.note(&note, at);
        Ok(())
    }

    async fn update_subject(
        &self,
        subject: &Subject,
        version: u64,
        mails: Vec<Mail>,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError> {
        let mut state = self.state();
        let file = state.files.get(&subject.id).ok_or_else(|| missing("subject", &subject.id.to_string()))?;
        if file.version != version {
            return Err(DirectoryError::Conflict);
        }
        let organization = state.organizations.get(&subject.organization).cloned();
        let organization = organization.ok_or_else(|| missing("organization", &subject.organization.to_string()))?;
        if !state.knows(subject) {
            state.sessions.retain(|_, session| session.kind.subject() != Some(&subject.id));
        }
        state.update(&subject.id, |file| {
            // A sign-in is no change of the file; one since it was read stays.
            let last_sign_in = file.subject.last_sign_in.max(subject.last_sign_in.map(whole));
            file.subject = Subject { last_sign_in, ..whole_subject(subject) };
            file.organization = organization;
            file.version += 1;
        });
        state.note(&note, at);
        self.owe(&mut state, mails, at);
        Ok(())
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StorageError> {
        Ok(self.state().organizations.values().cloned().collect())
    }

    async fn subjects(
        &self,
        organization: Option<&OrganizationId>,
        role: Option<Role>,
    ) -> Result<Vec<Arc<SubjectFile>>, StorageError> {
        let state = self.state();
        let wanted = |file: &&Arc<SubjectFile>| {
            organization.is_none_or(|id| file.organization.id == *id)
                && role.is_none_or(|role| file.subject.role == role)
        };
        Ok(state.files.values().filter(wanted).cloned().collect())
    }

    async fn expiring(&self, from: UtcDateTime, until: UtcDateTime) -> Result<Vec<Arc<SubjectFile>>, StorageError> {
        let state = self.state();
        let end = |file: &Arc<SubjectFile>| {
            let active = file.holding.certificates.iter().find(|held| matches!(held.status, Status::Active { .. }));
            active.map(|held| held.validity.not_after()).filter(|end| (from..=until).contains(end))
        };
        let mut due: Vec<_> = state.files.values().filter_map(|file| Some((end(file)?, Arc::clone(file)))).collect();
        due.sort_by_key(|(end, _)| *end);
        Ok(due.into_iter().map(|(_, file)| file).collect())
    }

    async fn revoked(&self) -> Result<Vec<Revocation>, StorageError> {
        let state = self.state();
        let held = state.files.values().flat_map(|file| &file.holding.certificates);
        let mut revoked: Vec<_> = held
            .filter_map(|held| match held.status {
                Status::Revoked { at, reason } => Some(Revocation { serial: held.serial, at, reason }),
                _ => None,
            })
            .collect();
        revoked.sort_by_key(|revocation| revocation.serial);
        Ok(revoked)
    }
}

#[async_trait]
impl Chronicle for MemoryStore {
    async fn recorded(&self) -> Result<ClockRecord, StorageError> {
        let state = self.state();
        let newer = state.audit.iter().skip(state.clocked).map(|record| record.at).max();
        let newer = newer.filter(|_| state.clock.jump.is_none());
        Ok(ClockRecord { largest: state.clock.largest.max(newer), ..state.clock })
    }

    async fn advance(&self, to: UtcDateTime) -> Result<(), StorageError> {
        let mut state = self.state();
        if state.clock.jump.is_none() {
            let clock = ClockRecord { largest: state.clock.largest.max(Some(whole(to))), ..state.clock };
            state.clocked(clock);
        }
        Ok(())
    }

    async fn doubt(&self, Jump { expected, found }: Jump) -> Result<(), StorageError> {
        let mut state = self.state();
        if state.clock.jump.is_none() {
            let jump = Jump { expected: whole(expected), found: whole(found) };
            let clock = ClockRecord { largest: Some(jump.expected), jump: Some(jump), ..state.clock };
            state.clocked(clock);
        }
        Ok(())
    }

    async fn confirm(&self, at: UtcDateTime, note: AuditNote) -> Result<(), StorageError> {
        let mut state = self.state();
        state.note(&note, at);
        let confirmed = state.audit.len() as u64;
        state.clocked(ClockRecord { largest: Some(whole(at)), jump: None, confirmed });
        Ok(())
    }
}

fn missing(what: &'static str, id: &str) -> DirectoryError {
    DirectoryError::Missing { what, id: id.to_owned() }
}

fn taken() -> StorageError {
    StorageError::Damaged { what: "sessions.key: a new session has the key of another".into() }
}

/// Instants are kept in whole milliseconds.
fn whole(at: UtcDateTime) -> UtcDateTime {
    at.truncate_to_millisecond()
}

fn whole_session(session: &Session) -> Session {
    let kind = match &session.kind {
        SessionKind::Portal { subject, certificate, previous_sign_in } => SessionKind::Portal {
            subject: subject.clone(),
            certificate: *certificate,
            previous_sign_in: previous_sign_in.map(whole),
        },
        SessionKind::Enrolment { subject, proof } => {
            SessionKind::Enrolment { subject: subject.clone(), proof: whole_proof(*proof) }
        }
        // Nothing but what is compared: no instants.
        kind @ (SessionKind::Ticket { .. }
        | SessionKind::ProgramKey { .. }
        | SessionKind::Agent { .. }
        | SessionKind::AgentKey { .. }) => kind.clone(),
    };
    let Session { key, opened_at, seen_at, ends_at, .. } = *session;
    Session { key, kind, opened_at: whole(opened_at), seen_at: whole(seen_at), ends_at: whole(ends_at) }
}

fn whole_proof(proof: Proof) -> Proof {
    let whole = |sent: SentCode| SentCode { until: whole(sent.until), ..sent };
    match proof {
        Proof::CodeSent(sent) => Proof::CodeSent(whole(sent)),
        Proof::CodeUsed { sent, renewal } => Proof::CodeUsed { sent: whole(sent), renewal },
        Proof::Proven { .. } => proof,
    }
}

fn whole_subject(subject: &Subject) -> Subject {
    Subject {
        address_rests_until: subject.address_rests_until.map(whole),
        last_sign_in: subject.last_sign_in.map(whole),
        ..subject.clone()
    }
}

#[cfg(test)]
mod tests {
    use koshin_notify::MailId;

    use super::*;
    use crate::conformance::Rig;

    #[async_trait]
    impl Rig for MemoryStore {
        fn registry(&self) -> &dyn Registry {
            self
        }

        fn sessions(&self) -> &dyn Sessions {
            self
        }

        fn directory(&self) -> &dyn Directory {
            self
        }

        fn chronicle(&self) -> &dyn Chronicle {
            self
        }

        fn correspondence(&self) -> &dyn crate::Correspondence {
            self
        }

        async fn audit(&self) -> Vec<Recorded> {
            Self::audit(self)
        }

        async fn mails(&self) -> Vec<MailId> {
            Self::mails(self).iter().map(|mail| mail.id).collect()
        }
    }

    async fn empty() -> MemoryStore {
        MemoryStore::default()
    }

    crate::store_conformance!(empty);
}
