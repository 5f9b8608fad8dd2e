//! What operators and administrators do to subjects.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use koshin_notify::{Address, Notice};
use koshin_types::{RevocationReason, SubjectId};
use time::UtcDateTime;

use crate::{
    Actor, ChangeError, ClockWatch, Directory, DirectoryError, Entropy, NoEntropy, Organization, Owed, PasswordError,
    Passwords, Registry, Settings, StorageError, Subject, SubjectFile,
    change::{Decided, mail_to},
    sign_in::note,
};

/// Why the operator's work was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdministerError {
    /// The organization or subject is missing, or there already.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The password is not acceptable.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The operator's work: organizations, subjects, permissions, revocations. It needs neither the CA's key nor sessions, so
/// a command can do it beside a running service. Cheap to clone.
#[derive(Clone)]
pub struct Administration {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) passwords: Passwords,
    pub(crate) entropy: Entropy,
    pub(crate) settings: Settings,
    pub(crate) clock: Option<Arc<ClockWatch>>,
}

impl fmt::Debug for Administration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Administration").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Administration {
    /// Puts it together.
    pub fn new(
        registry: Arc<dyn Registry>,
        directory: Arc<dyn Directory>,
        passwords: Passwords,
        entropy: Entropy,
        settings: Settings,
    ) -> Self {
        Self { registry, directory, passwords, entropy, settings, clock: None }
    }

    /// Permits enrolment for the period of the settings, whatever the status of the subject's certificate: the first
    /// issue permission, or a reissue. The holder is told by mail.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn permit(&self, id: &SubjectId, actor: &Actor, now: UtcDateTime) -> Result<UtcDateTime, ChangeError> {
        let until = now.saturating_add(self.settings.permission);
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            let notice = Notice::EnrolmentPermitted { until };
            let mail = mail_to(&file.subject, &file.subject, notice, &file.version.to_string());
            Ok(Decided { mails: mail.into_iter().collect(), ..file.holding.permit(until, now).into() })
        };
        let owed = self.change(id, actor, now, decide).await?.owed;
        debug_assert!(owed.close.is_empty());
        Ok(until)
    }

    /// Takes an open permission to enrol back, and answers whether there was one. An enrolment that has begun goes on;
    /// [`Administration::revoke`] ends it too.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn withdraw_permission(
        &self,
        id: &SubjectId,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<bool, ChangeError> {
        let open = AtomicBool::new(false);
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            let change = file.holding.withdraw_permission(now);
            open.store(!change.facts.is_empty(), Ordering::Relaxed);
            Ok(change.into())
        };
        self.change(id, actor, now, decide).await?;
        Ok(open.into_inner())
    }

    /// Revokes every certificate of a subject that is active or waits for activation, and takes an open permission to
    /// enrol back. Final.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn revoke(
        &self,
        id: &SubjectId,
        reason: RevocationReason,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<Owed, ChangeError> {
        let decide =
            |file: &SubjectFile| -> Result<Decided, ChangeError> { Ok(file.holding.revoke(reason, now)?.into()) };
        self.change(id, actor, now, decide).await.map(|changed| changed.owed)
    }

    /// Adds an organization.
    ///
    /// # Errors
    ///
    /// [`AdministerError::Directory`] when its identifier is taken.
    pub async fn add_organization(
        &self,
        organization: &Organization,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(), AdministerError> {
        let note = note(actor.clone(), None, "organization_added", [("organization", organization.id.to_string())]);
        Ok(self.directory.add_organization(organization, note, now).await?)
    }

    /// Adds a subject that holds nothing.
    ///
    /// # Errors
    ///
    /// [`AdministerError::Directory`] when its identifier is taken or its organization is missing.
    pub async fn add_subject(&self, subject: &Subject, actor: &Actor, now: UtcDateTime) -> Result<(), AdministerError> {
        let details = [("organization", subject.organization.to_string()), ("role", subject.role.to_string())];
        let note = note(actor.clone(), Some(&subject.id), "subject_added", details);
        Ok(self.directory.add_subject(subject, note, now).await?)
    }

    /// Sets a subject's password.
    ///
    /// # Errors
    ///
    /// [`AdministerError`].
    pub async fn set_password(
        &self,
        id: &SubjectId,
        password: &str,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(), AdministerError> {
        let file = self.file(id).await?;
        let hash = self.passwords.hash(password, self.random()?).await?;
        let subject = Subject { password_hash: Some(hash), ..file.subject.clone() };
        let note = note(actor.clone(), Some(id), "password_set", []);
        Ok(self.directory.update_subject(&subject, file.version, Vec::new(), note, now).await?)
    }

    /// Sets a subject's mail address. Both addresses are told, and the new one opens no enrolment for a while unless
    /// `at_once` says so.
    ///
    /// # Errors
    ///
    /// [`AdministerError`].
    pub async fn set_address(
        &self,
        id: &SubjectId,
        address: Option<Address>,
        at_once: bool,
        actor: &Actor,
        now: UtcDateTime,
    ) -> Result<(), AdministerError> {
        let file = self.file(id).await?;
        let rests = (!at_once).then(|| now.saturating_add(self.settings.address_rest));
        let subject = Subject { address, address_rests_until: rests, ..file.subject.clone() };
        let tell = |about: &Subject, whom: &str| {
            mail_to(about, about, Notice::AddressChanged { at: now }, &format!("{} {whom}", file.version))
        };
        let mails = tell(&file.subject, "old").into_iter().chain(tell(&subject, "new")).collect();
        let note = note(actor.clone(), Some(id), "address_set", [("at_once", at_once.to_string())]);
        Ok(self.directory.update_subject(&subject, file.version, mails, note, now).await?)
    }

    async fn file(&self, id: &SubjectId) -> Result<Arc<SubjectFile>, AdministerError> {
        let missing = || DirectoryError::Missing { what: "subject", id: id.to_string() };
        Ok(self.registry.subject(id).await?.ok_or_else(missing)?)
    }
}
