//! From a decision on a subject's file to one commit, with the mails it owes.

use std::sync::Arc;

use koshin_expiry::ClockDoubt;
use koshin_notify::{Audience, Mail, Notice, Way};
use koshin_renewal::{Basis, Change, Effect, Fact, State, Why};
use koshin_types::{RenewalId, Role, SerialNumber, SubjectId};
use time::UtcDateTime;

use crate::{
    Actor, Administration, Certified, ChangeError, Commit, CommitError, Intent, NoEntropy, Order, Owed, StorageError,
    Subject, SubjectFile, clock::is_irreversible,
};

/// A decision on a file: the change, and what has to be stored with it.
pub(crate) struct Decided {
    pub(crate) change: Change,
    pub(crate) order: Option<Order>,
    pub(crate) intent: Option<Intent>,
    pub(crate) certified: Option<Certified>,
    pub(crate) mails: Vec<Mail>,
}

impl Decided {
    /// Whether there is anything to commit.
    fn acts(&self) -> bool {
        !self.change.facts.is_empty() || !self.mails.is_empty() || self.order.is_some()
    }
}

impl From<Change> for Decided {
    fn from(change: Change) -> Self {
        Self { change, order: None, intent: None, certified: None, mails: Vec::new() }
    }
}

/// How often a lost race is run again. Each loss means that somebody else's commit went through.
const ATTEMPTS: usize = 16;

/// When a file was read.
#[derive(PartialEq, Eq)]
enum Reading {
    Before,
    Now,
}

/// What came of a decision.
pub(crate) struct Changed {
    /// The file after it. It is not read again: the version it was decided on is the one it was committed on.
    pub(crate) file: Arc<SubjectFile>,
    pub(crate) owed: Owed,
    /// The order that was stored with it.
    pub(crate) order: Option<Order>,
    /// The intent that was stored with it.
    pub(crate) intent: Option<Intent>,
}

impl Administration {
    /// Reads a subject's file, decides, commits; again from the start when somebody else was faster.
    pub(crate) async fn change<E: From<ChangeError>>(
        &self,
        id: &SubjectId,
        actor: &Actor,
        now: UtcDateTime,
        decide: impl Fn(&SubjectFile) -> Result<Decided, E>,
    ) -> Result<Changed, E> {
        let file = self.read(id).await?;
        self.change_as_of(file, Reading::Now, actor, now, decide).await
    }

    /// The same, beginning with a file that was read before. A commit finds out by the version when it is out of date;
    /// a refusal, and finding nothing to do, are only believed of the file as it stands now.
    pub(crate) async fn change_from<E: From<ChangeError>>(
        &self,
        file: Arc<SubjectFile>,
        actor: &Actor,
        now: UtcDateTime,
        decide: impl Fn(&SubjectFile) -> Result<Decided, E>,
    ) -> Result<Changed, E> {
        self.change_as_of(file, Reading::Before, actor, now, decide).await
    }

    async fn change_as_of<E: From<ChangeError>>(
        &self,
        mut file: Arc<SubjectFile>,
        mut reading: Reading,
        actor: &Actor,
        now: UtcDateTime,
        decide: impl Fn(&SubjectFile) -> Result<Decided, E>,
    ) -> Result<Changed, E> {
        for _ in 0..ATTEMPTS {
            let decided = decide(&file);
            let acts = decided.as_ref().is_ok_and(Decided::acts);
            if !acts && reading == Reading::Before {
                let read = self.read(&file.subject.id).await?;
                reading = Reading::Now;
                if read.version != file.version {
                    file = read;
                    continue;
                }
            }
            if let Some(changed) = self.commit(&file, actor, now, decided?).await? {
                return Ok(changed);
            }
            file = self.read(&file.subject.id).await?;
            reading = Reading::Now;
        }
        Err(ChangeError::Contended.into())
    }

    async fn read(&self, id: &SubjectId) -> Result<Arc<SubjectFile>, ChangeError> {
        self.registry.subject(id).await?.ok_or_else(|| ChangeError::NoSubject(id.clone()))
    }

    /// Commits a decision made on `file`; `None` when somebody else was faster.
    async fn commit(
        &self,
        file: &Arc<SubjectFile>,
        actor: &Actor,
        now: UtcDateTime,
        decided: Decided,
    ) -> Result<Option<Changed>, ChangeError> {
        if !decided.acts() {
            let file = Arc::clone(file);
            return Ok(Some(Changed { file, owed: Owed::default(), order: None, intent: None }));
        }
        if is_irreversible(&decided.change.facts, actor) {
            self.clock_is_trusted()?;
        }
        let Decided { change, order, intent, certified, mut mails } = decided;
        mails.extend(self.mails(file, &change).await?);
        let close = change.effects.iter().filter_map(|effect| match effect {
            Effect::CloseCertificate { fingerprint } => Some(*fingerprint),
            _ => None,
        });
        let owed = Owed { close: close.collect(), mail: !mails.is_empty() };
        let wake_at = self.wake_at(&change, now);
        let after = SubjectFile {
            subject: file.subject.clone(),
            organization: file.organization.clone(),
            holding: change.next.clone(),
            version: file.version + 1,
        };
        let plain = Commit::new(file, change, actor.clone(), now);
        let commit = Commit { wake_at, order: order.clone(), intent: intent.clone(), certified, mails, ..plain };
        match self.registry.commit(commit).await {
            Ok(()) => Ok(Some(Changed { file: Arc::new(after), owed, order, intent })),
            Err(CommitError::Conflict { .. } | CommitError::SerialUsed { .. }) => Ok(None),
            Err(CommitError::KeySeen { spki }) => Err(ChangeError::KeySeen { spki }),
            Err(CommitError::SerialRevoked { serial }) => Err(ChangeError::SerialRevoked { serial }),
            Err(CommitError::NoSubject(id)) => Err(ChangeError::NoSubject(id)),
            Err(CommitError::Storage(error)) => Err(error.into()),
        }
    }

    /// An owed signature is looked at again at once, everything else at its deadline.
    fn wake_at(&self, change: &Change, now: UtcDateTime) -> Option<UtcDateTime> {
        let open = change.next.open_renewal()?;
        let deadline = open.deadline(&self.settings.deadlines);
        match open.state {
            State::Requested { .. } | State::Intended { .. } => Some(deadline.map_or(now, |at| at.min(now))),
            _ => deadline,
        }
    }

    /// The mails that the effects of a change owe.
    async fn mails(&self, file: &SubjectFile, change: &Change) -> Result<Vec<Mail>, StorageError> {
        let mut mails = Vec::new();
        for effect in &change.effects {
            match *effect {
                Effect::TellIssued { serial } => self.tell_issued(file, change, serial, &mut mails).await?,
                Effect::TellActivated { serial } => {
                    let predecessor = change.facts.iter().find_map(|fact| match fact {
                        Fact::Superseded { serial, .. } => Some(*serial),
                        _ => None,
                    });
                    let notice = Notice::CertificateActivated { serial, predecessor };
                    mails.extend(mail_to(&file.subject, &file.subject, notice, &serial.to_string()));
                }
                Effect::TellRevoked { serial, reason } => {
                    let again =
                        change.facts.iter().any(|fact| matches!(fact, Fact::Abandoned { why: Why::StartedAgain, .. }));
                    let notice =
                        if again { Notice::StartedAgain { serial } } else { Notice::Revoked { serial, reason } };
                    mails.extend(mail_to(&file.subject, &file.subject, notice, &serial.to_string()));
                }
                _ => {}
            }
        }
        Ok(mails)
    }

    /// A renewal is confirmed by its activation; an enrolment is told to holder and administrators at once, because
    /// it is what somebody with a stolen password would do.
    async fn tell_issued(
        &self,
        file: &SubjectFile,
        change: &Change,
        serial: SerialNumber,
        mails: &mut Vec<Mail>,
    ) -> Result<(), StorageError> {
        let enrolment =
            change.next.renewal.as_ref().is_some_and(|renewal| matches!(renewal.basis, Basis::Enrolment { .. }));
        let held = change.next.certificates.iter().find(|held| held.serial == serial);
        let (true, Some(held)) = (enrolment, held) else { return Ok(()) };
        let notice =
            |audience| Notice::CertificateIssued { serial, validity: held.validity, audience, way: Way::Enrolment };
        mails.extend(mail_to(&file.subject, &file.subject, notice(Audience::Holder), &serial.to_string()));
        for other in self.directory.subjects(Some(&file.organization.id), Some(Role::Administrator)).await? {
            if other.subject.id != file.subject.id {
                let key = format!("{serial} {}", other.subject.id);
                mails.extend(mail_to(&other.subject, &file.subject, notice(Audience::Administrator), &key));
            }
        }
        Ok(())
    }

    /// For what cannot be undone, nor stopped by the refusal of a commit.
    pub(crate) fn clock_is_trusted(&self) -> Result<(), ClockDoubt> {
        self.clock.as_ref().map_or(Ok(()), |clock| clock.trusted())
    }

    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], NoEntropy> {
        let mut octets = [0; N];
        (self.entropy)(&mut octets)?;
        Ok(octets)
    }

    pub(crate) fn new_renewal_id(&self) -> Result<RenewalId, NoEntropy> {
        self.random().map(RenewalId::new)
    }
}

/// A mail to `recipient` about `about`, if the recipient has an address.
pub(crate) fn mail_to(recipient: &Subject, about: &Subject, notice: Notice, key: &str) -> Option<Mail> {
    let address = recipient.address.clone()?;
    Some(Mail::new(notice, key, address, recipient.language, about.id.clone()))
}
