//! What the use cases need from storage.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use koshin_notify::{Address, Mail};
use koshin_renewal::{Change, Fact, Holding, State};
use koshin_types::{
    Fingerprint, Language, OrganizationId, RenewalId, RevocationReason, Role, SerialNumber, SubjectId, Validity,
};
use time::UtcDateTime;

use crate::{AgentRight, Beginning, Begun, Order, Trace};

/// One contract with its administrators and users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its identifier.
    pub id: OrganizationId,
    /// Its name as it stands in certificates and on screens: 1 to 64 characters (RFC 5280, ub-organization-name).
    pub name: String,
}

/// One administrator or user ID.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// The ID, as typed at login.
    pub id: SubjectId,
    /// The organization it belongs to.
    pub organization: OrganizationId,
    /// What it may do there.
    pub role: Role,
    /// The holder's name for the main screen; may be empty.
    pub name: String,
    /// The language of mails, and of screens after the login unless another one was chosen on a page.
    pub language: Language,
    /// The registered mail address.
    pub address: Option<Address>,
    /// Until when a changed mail address opens no enrolment.
    pub address_rests_until: Option<UtcDateTime>,
    /// Argon2id in PHC string format; `None` until a password is set.
    pub password_hash: Option<String>,
    /// When the subject last signed in.
    pub last_sign_in: Option<UtcDateTime>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses and password hashes stay out of logs.
        f.debug_struct("Subject").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Everything that is decided together: one subject, its organization, what it holds, under one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectFile {
    /// The subject.
    pub subject: Subject,
    /// Its organization.
    pub organization: Organization,
    /// What it holds.
    pub holding: Holding,
    /// Grows by one with every commit.
    pub version: u64,
}

/// On whose behalf something was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The subject itself.
    Holder(SubjectId),
    /// An administrator of its organization.
    Administrator(SubjectId),
    /// The operator, under a name.
    Operator(String),
    /// Koshin itself: time passed, recovery after a crash.
    System,
}

/// An audit record about something that is no [`Fact`] of the holding: a sign-in, a refusal, a code that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditNote {
    /// On whose behalf.
    pub actor: Actor,
    /// Whom it is about, where that is known.
    pub subject: Option<SubjectId>,
    /// A stable word, such as `signed_in`.
    pub word: &'static str,
    /// Further facts by name; never an address, a key, a code or a request.
    pub details: BTreeMap<&'static str, String>,
}

/// The serial number and the to-be-signed bytes, stored before they are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The renewal it belongs to.
    pub renewal: RenewalId,
    /// The serial number; never used for anything else.
    pub serial: SerialNumber,
    /// SHA-256 of the `SubjectPublicKeyInfo`; never seen before in any renewal of anybody.
    pub spki: Fingerprint,
    /// The validity that will be certified.
    pub validity: Validity,
    /// DER of the `TBSCertificate`.
    pub tbs: Vec<u8>,
}

/// A signed certificate on its way into the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Its serial number.
    pub serial: SerialNumber,
    /// SHA-256 of the DER.
    pub fingerprint: Fingerprint,
    /// The certificate.
    pub der: Vec<u8>,
}

/// One commit about one subject: all of it becomes durable, or none.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Whom it is about.
    pub subject: SubjectId,
    /// The version the decision was made on.
    pub version: u64,
    /// When, for every row of it.
    pub at: UtcDateTime,
    /// On whose behalf.
    pub actor: Actor,
    /// What became true: one audit record each, in order.
    pub facts: Vec<Fact>,
    /// The holding after these facts.
    pub next: Holding,
    /// When the sweeper has to look at this subject again, at the latest.
    pub wake_at: Option<UtcDateTime>,
    /// An order to store: what a CA elsewhere will be asked. It takes the place of an older one of the same renewal.
    pub order: Option<Order>,
    /// An intent to store.
    pub intent: Option<Intent>,
    /// A certificate to store. The order that it answers is forgotten.
    pub certified: Option<Certified>,
    /// Mails that are owed.
    pub mails: Vec<Mail>,
}

impl Commit {
    /// A commit of a change of this file, with nothing beside the change.
    pub fn new(file: &SubjectFile, change: Change, actor: Actor, at: UtcDateTime) -> Self {
        let Change { next, facts, .. } = change;
        Self {
            subject: file.subject.id.clone(),
            version: file.version,
            at,
            actor,
            facts,
            next,
            wake_at: None,
            order: None,
            intent: None,
            certified: None,
            mails: Vec::new(),
        }
    }

    /// What goes into the audit log beside the facts: that an order took the place of an older one, which comes with no fact.
    pub fn note(&self) -> Option<AuditNote> {
        let order = self.order.as_ref()?;
        if self.facts.iter().any(|fact| matches!(fact, Fact::Requested { .. })) {
            return None;
        }
        let details = [
            ("renewal", order.renewal.to_string()),
            ("not_before", order.validity.not_before().unix_timestamp().to_string()),
            ("not_after", order.validity.not_after().unix_timestamp().to_string()),
        ];
        Some(AuditNote {
            actor: self.actor.clone(),
            subject: Some(self.subject.clone()),
            word: "order_replaced",
            details: details.into(),
        })
    }

    /// Checks the commit against the holding it was decided on, as every implementation does before it stores one: the
    /// facts lead from `before` to `next`, so that the audit log can be replayed; an intent comes with the fact that it
    /// was stored and a certificate with the fact that it was issued; an order is for the key that the renewal has been
    /// requested for; instants are whole milliseconds.
    ///
    /// # Errors
    ///
    /// [`StorageError::Damaged`] with a sentence. It is a mistake of the caller.
    pub fn check(&self, before: &Holding) -> Result<(), StorageError> {
        let whole = |at: UtcDateTime| at.nanosecond().is_multiple_of(1_000_000);
        let (mut intended, mut issued) = (Vec::new(), Vec::new());
        let mut next = before.clone();
        let mut instants: Vec<_> = std::iter::once(self.at).chain(self.order.as_ref().map(|order| order.at)).collect();
        for fact in &self.facts {
            next.apply(fact, self.at);
            match *fact {
                Fact::Intended { id, serial } => {
                    intended.push((id, serial, next.renewal.as_ref().and_then(|r| r.state.key())));
                }
                Fact::Issued { serial, fingerprint, .. } => issued.push((serial, fingerprint)),
                Fact::RenewalStarted { chain_started_at, .. } => instants.push(chain_started_at),
                Fact::Permitted { until } => instants.push(until),
                _ => {}
            }
        }
        let intent = self.intent.iter().map(|intent| (intent.renewal, intent.serial, Some(intent.spki)));
        let certified = self.certified.iter().map(|certified| (certified.serial, certified.fingerprint));
        let ordered = self.order.as_ref().is_none_or(|order| {
            next.renewal.as_ref().is_some_and(|renewal| {
                let requested = matches!(renewal.state, State::Requested { key } if key.spki == order.spki);
                renewal.id == order.renewal && requested && order.subject == self.subject
            })
        });
        let checks = [
            (next == self.next, "the holding after the commit is not the one before it with the facts applied"),
            (ordered, "the order is not for the key that was requested"),
            (
                intended.into_iter().map(|(id, serial, key)| (id, serial, key.map(|key| key.spki))).eq(intent),
                "the intent is not the one that the facts speak of",
            ),
            (issued.into_iter().eq(certified), "the certificate is not the one that the facts speak of"),
            (instants.into_iter().all(whole), "an instant is not in whole milliseconds"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(StorageError::Damaged { what: format!("commit: {what}") }),
            None => Ok(()),
        }
    }
}

/// What the ledger keeps about one serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The intent.
    pub intent: Intent,
    /// DER of the certificate, once it was issued.
    pub certificate: Option<Vec<u8>>,
}

/// A certificate that was superseded or revoked, as another process learns of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeSeen {
    /// Its place in the order of commits.
    pub sequence: u64,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// What became of it.
    pub settled: Settled,
}

/// What ended a certificate before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its successor was activated.
    Superseded,
    /// It was revoked, and belongs on the revocation list.
    Revoked,
}

/// One revoked certificate, as revocation lists and status answers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Its serial number.
    pub serial: SerialNumber,
    /// When it was revoked.
    pub at: UtcDateTime,
    /// Why.
    pub reason: RevocationReason,
}

/// Who is who and who holds what: the registry of subjects and the ledger of certificates.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The file of a subject.
    async fn subject(&self, id: &SubjectId) -> Result<Option<Arc<SubjectFile>>, StorageError>;

    /// The file of the subject that holds the certificate with this SHA-256, whatever its status. Asked at every
    /// request, so it may be answered from memory: with every commit of this process, and within a second with those of
    /// others. A decision on an older file is refused by its commit.
    async fn holder(&self, certificate: &Fingerprint) -> Result<Option<Arc<SubjectFile>>, StorageError>;

    /// Whose renewal this is.
    async fn renewal(&self, id: &RenewalId) -> Result<Option<SubjectId>, StorageError>;

    /// What the ledger keeps about a serial number.
    async fn document(&self, serial: &SerialNumber) -> Result<Option<Document>, StorageError>;

    /// Makes a commit durable. When it returns `Ok`, neither `kill -9` nor a power cut takes it back.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// Subjects that time has to change: `wake_at <= now`, most overdue first, at most `limit`.
    async fn overdue(&self, now: UtcDateTime, limit: u32) -> Result<Vec<SubjectId>, StorageError>;

    /// Certificates superseded or revoked after a sequence number, in order, at most `limit`; with the sequence number to
    /// ask after the next time: that of the last one while there may be more, else the newest of all.
    async fn changes(&self, after: u64, limit: u32) -> Result<(u64, Vec<ChangeSeen>), StorageError>;
}

/// SHA-256 of a session's token. The token itself is only in the cookie.
pub type SessionKey = Fingerprint;

/// A session of the portal or of the enrolment host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of its token.
    pub key: SessionKey,
    /// What it is good for.
    pub kind: SessionKind,
    /// When it was opened.
    pub opened_at: UtcDateTime,
    /// When it was last used, to within a minute.
    pub seen_at: UtcDateTime,
    /// The first instant at which it is void whatever its use.
    pub ends_at: UtcDateTime,
}

/// What a session is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionKind {
    /// The portal, with the certificate it was opened with and no other.
    Portal {
        /// Who signed in.
        subject: SubjectId,
        /// SHA-256 of the certificate.
        certificate: Fingerprint,
        /// When the subject had signed in before that: shown, so that a sign-in by somebody else is noticed.
        previous_sign_in: Option<UtcDateTime>,
    },
    /// One enrolment on the host without certificates.
    Enrolment {
        /// Who says to be enrolling. `None` when ID or password were wrong: nobody can tell from outside.
        subject: Option<SubjectId>,
        /// How far the proof has come.
        proof: Proof,
    },
    /// A renewal ticket, which a program shows beside the certificate. It is nobody's cookie.
    Ticket {
        /// Whose it is.
        subject: SubjectId,
        /// SHA-256 of the certificate that may be renewed with it.
        certificate: Fingerprint,
        /// The renewal it is good for.
        renewal: RenewalId,
        /// The session it was made in. It ends with that.
        session: SessionKey,
    },
    /// The mark of a key that a program asked a certificate for; never the session of anybody, and it has no end.
    ProgramKey {
        /// The renewal in which the program asked.
        renewal: RenewalId,
    },
    /// A ticket for an agent on the holder's computer, or the exchange that it has opened. It is nobody's cookie.
    Agent {
        /// Whose it is. `None` in an enrolment of nobody.
        subject: Option<SubjectId>,
        /// The session that the ticket was made in. Both end with it.
        session: SessionKey,
        /// What it is good for.
        right: AgentRight,
    },
    /// The mark of a key that an agent asked a certificate for; never the session of anybody, and it has no end.
    AgentKey {
        /// The renewal in which the agent asked.
        renewal: RenewalId,
    },
}

impl SessionKind {
    /// Whose session it is.
    pub const fn subject(&self) -> Option<&SubjectId> {
        match self {
            Self::Portal { subject, .. } | Self::Ticket { subject, .. } => Some(subject),
            Self::Enrolment { subject, .. } | Self::Agent { subject, .. } => subject.as_ref(),
            // They outlive a change of the password.
            Self::ProgramKey { .. } | Self::AgentKey { .. } => None,
        }
    }
}

/// How far the proof of an enrolment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A one-time code was sent. The session ends with it.
    CodeSent(SentCode),
    /// The code was right and this enrolment was opened, in a session of its own. Until the code's end the same code in
    /// the same browser leads there again: the answer may have been lost.
    CodeUsed {
        /// The code.
        sent: SentCode,
        /// The enrolment.
        renewal: RenewalId,
    },
    /// The session of this enrolment, and of no other.
    Proven {
        /// The enrolment.
        renewal: RenewalId,
    },
}

/// A one-time code, as far as storage knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentCode {
    /// SHA-256 of session token and code together.
    pub code: Fingerprint,
    /// How often a code was entered. Counted before it is compared.
    pub tries: u8,
    /// The first instant at which the code is void.
    pub until: UtcDateTime,
    /// SHA-256 of the ID as it was typed, whether there is one or not: tries are counted under it.
    pub typed_id: Fingerprint,
}

/// Failed tries under one key, such as the wrong passwords of one ID on the public host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// How many there were since the last success.
    pub failures: u32,
    /// When the last one was, in milliseconds since 1970; 0 when there was none.
    pub last_at: i64,
}

/// Sessions and failed tries. Both survive a restart and are shared by every process.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Stores a new session together with an audit record; a sign-in also becomes the subject's `last_sign_in`.
    /// Sessions that ended before `session.opened_at`, and failed tries a day older than it, may be deleted by the way.
    /// `subject` is the one whose session it is, as it was when its password was checked: when its password or address is
    /// another one by now, nothing is stored and the answer is `false`.
    async fn open(&self, session: Session, subject: &Subject, note: AuditNote) -> Result<bool, StorageError>;

    /// Counts a try and stores a new session, its trace and its mail, unless it comes too soon.
    async fn begin(&self, beginning: Beginning) -> Result<Begun, StorageError>;

    /// The session with this key, ended or not.
    async fn find(&self, key: &SessionKey) -> Result<Option<Session>, StorageError>;

    /// Stores a changed session if it still is what `before` says; `false` when it is not. `note` goes into the audit
    /// log in the same transaction, where there is one, with its instant.
    async fn replace(
        &self,
        before: &Session,
        after: &Session,
        note: Option<(UtcDateTime, AuditNote)>,
    ) -> Result<bool, StorageError>;

    /// Deletes a session. Where there is none, nothing happens and nothing is recorded.
    async fn close(&self, key: &SessionKey, note: AuditNote, at: UtcDateTime) -> Result<(), StorageError>;

    /// The failed tries under a key.
    async fn tries(&self, key: &str) -> Result<Tries, StorageError>;

    /// Counts a failed try with its instant and its trace, or forgets them all after a success (`None`). Answers with what
    /// is counted then.
    async fn note_try(&self, key: &str, failed: Option<(UtcDateTime, Trace)>) -> Result<Tries, StorageError>;
}

/// The operator's work on organizations and subjects. Every change leaves an audit record in the same transaction.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Adds an organization.
    async fn add_organization(
        &self,
        organization: &Organization,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError>;

    /// Adds a subject with an empty holding, at version 0.
    async fn add_subject(&self, subject: &Subject, note: AuditNote, at: UtcDateTime) -> Result<(), DirectoryError>;

    /// Replaces a subject's own data (not its holding) if its version still is `version`; the version grows by one.
    /// `mails` are owed by it. Another password or address ends all sessions of the subject.
    async fn update_subject(
        &self,
        subject: &Subject,
        version: u64,
        mails: Vec<Mail>,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError>;

    /// All organizations, by identifier.
    async fn organizations(&self) -> Result<Vec<Organization>, StorageError>;

    /// The files of the subjects of one organization, or of all, and with one role, or with any, by identifier.
    async fn subjects(
        &self,
        organization: Option<&OrganizationId>,
        role: Option<Role>,
    ) -> Result<Vec<Arc<SubjectFile>>, StorageError>;

    /// The files of subjects that hold an active certificate whose notAfter lies in `from ..= until`, soonest first.
    async fn expiring(&self, from: UtcDateTime, until: UtcDateTime) -> Result<Vec<Arc<SubjectFile>>, StorageError>;

    /// Every revoked certificate, by serial number.
    async fn revoked(&self) -> Result<Vec<Revocation>, StorageError>;
}

/// Storage did not answer, or what it holds makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// It is not to be had at the moment.
    #[error("storage is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row is not what this program writes.
    #[error("stored data is damaged: {what}")]
    Damaged {
        /// Table and column, or a sentence; never the data.
        what: String,
    },
}

impl StorageError {
    /// Whether a retry may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why a commit changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Somebody else committed first: read the file again and decide anew.
    #[error("the file is at version {found}, the decision was made on {expected}")]
    Conflict {
        /// The version the decision was made on.
        expected: u64,
        /// The version in storage.
        found: u64,
    },
    /// The key was in a request before.
    #[error("the key {spki} was seen before")]
    KeySeen {
        /// SHA-256 of the `SubjectPublicKeyInfo`.
        spki: Fingerprint,
    },
    /// The serial number was used before.
    #[error("the serial number {serial} was used before")]
    SerialUsed {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The certificate's serial number stands revoked, from before the registry was put back: the certificate can never be
    /// stored.
    #[error("the serial number {serial} was revoked before the registry was put back")]
    SerialRevoked {
        /// The serial number.
        serial: SerialNumber,
    },
    /// There is no such subject.
    #[error("there is no subject {0}")]
    NoSubject(SubjectId),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why the operator's change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The identifier is taken.
    #[error("{what} {id} exists already")]
    Exists {
        /// `organization` or `subject`.
        what: &'static str,
        /// The identifier.
        id: String,
    },
    /// There is no such organization or subject.
    #[error("there is no {what} {id}")]
    Missing {
        /// `organization` or `subject`.
        what: &'static str,
        /// The identifier.
        id: String,
    },
    /// Somebody else changed the subject first.
    #[error("the subject changed meanwhile; try again")]
    Conflict,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
