//! What the commands say about subjects and certificates. The JSON is a contract: members are only added.

use koshin_expiry::Policy;
use koshin_ra::SubjectFile;
use koshin_renewal::{HeldCertificate, Holding, Status};
use koshin_types::CertificateStatus;
use serde::Serialize;
use time::UtcDateTime;

use crate::{instant::rfc3339, output::Row};

/// One subject, as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct SubjectView {
    pub(crate) id: String,
    pub(crate) organization: String,
    pub(crate) role: &'static str,
    pub(crate) name: String,
    pub(crate) language: &'static str,
    pub(crate) address: Option<String>,
    /// Whether a password is set.
    pub(crate) password: bool,
    /// `not_enrolled`, `active`, `expired`, `revoked`, `superseded`.
    pub(crate) state: &'static str,
    pub(crate) serial: Option<String>,
    pub(crate) not_after: Option<String>,
    pub(crate) days_left: Option<u32>,
    /// Whether the subject may enrol now, and until when it was permitted to.
    pub(crate) enrolment: bool,
    pub(crate) permitted_until: Option<String>,
    /// The word of the open renewal's or enrolment's state.
    pub(crate) renewal: Option<&'static str>,
    pub(crate) last_sign_in: Option<String>,
}

impl SubjectView {
    pub(crate) fn new(file: &SubjectFile, policy: &Policy, now: UtcDateTime) -> Self {
        let outlook = file.holding.outlook(policy, now);
        let subject = &file.subject;
        Self {
            id: subject.id.to_string(),
            organization: subject.organization.to_string(),
            role: subject.role.as_str(),
            name: subject.name.clone(),
            language: subject.language.as_str(),
            address: subject.address.as_ref().map(|address| address.as_str().to_owned()),
            password: subject.password_hash.is_some(),
            state: state(&file.holding, now),
            serial: outlook.current.map(|held| held.serial.to_string()),
            not_after: outlook.current.map(|held| rfc3339(held.validity.not_after())),
            days_left: outlook.decision.and_then(|decision| decision.days_left),
            enrolment: outlook.enrolment,
            permitted_until: file.holding.grant.filter(|grant| now < grant.until).map(|grant| rfc3339(grant.until)),
            renewal: file.holding.open_renewal().map(|open| open.state.as_str()),
            last_sign_in: subject.last_sign_in.map(rfc3339),
        }
    }
}

impl Row for SubjectView {
    const HEAD: &'static [&'static str] =
        &["ID", "ORGANIZATION", "ROLE", "NAME", "STATE", "NOT AFTER", "DAYS LEFT", "ENROLMENT", "RENEWAL"];

    fn cells(&self) -> Vec<String> {
        let optional = |text: Option<&str>| text.unwrap_or_default().to_owned();
        vec![
            self.id.clone(),
            self.organization.clone(),
            self.role.to_owned(),
            self.name.clone(),
            self.state.to_owned(),
            optional(self.not_after.as_deref()),
            self.days_left.map(|days| days.to_string()).unwrap_or_default(),
            if self.enrolment { "open" } else { "closed" }.to_owned(),
            optional(self.renewal),
        ]
    }
}

/// How a subject stands, in one word.
fn state(holding: &Holding, now: UtcDateTime) -> &'static str {
    match holding.current() {
        None => "not_enrolled",
        Some(held) => certificate_state(held, now),
    }
}

/// The status of a certificate, where an active one may have expired.
fn certificate_state(held: &HeldCertificate, now: UtcDateTime) -> &'static str {
    match held.status.word() {
        CertificateStatus::Active if held.validity.end() <= now => "expired",
        word => word.as_str(),
    }
}

/// One certificate.
#[derive(Debug, Serialize)]
pub(crate) struct CertificateView {
    pub(crate) serial: String,
    pub(crate) subject: String,
    pub(crate) organization: String,
    /// `pending`, `active`, `superseded` or `revoked`, whatever the time.
    pub(crate) status: &'static str,
    /// The status, with `expired` for an active one that has ended.
    pub(crate) state: &'static str,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    pub(crate) days_left: Option<u32>,
    pub(crate) fingerprint: String,
    pub(crate) protection: &'static str,
    pub(crate) issued_at: String,
    /// Since when the status holds, where it is not the issue.
    pub(crate) since: Option<String>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) superseded_by: Option<String>,
    /// How often the holder chose "renew later".
    pub(crate) deferred: u32,
}

impl CertificateView {
    pub(crate) fn new(file: &SubjectFile, held: &HeldCertificate, policy: &Policy, now: UtcDateTime) -> Self {
        let (since, reason, by) = match held.status {
            Status::Pending => (None, None, None),
            Status::Active { since } => (Some(since), None, None),
            Status::Superseded { at, by } => (Some(at), None, Some(by)),
            Status::Revoked { at, reason } => (Some(at), Some(reason.as_str()), None),
        };
        Self {
            serial: held.serial.to_string(),
            subject: file.subject.id.to_string(),
            organization: file.subject.organization.to_string(),
            status: held.status.word().as_str(),
            state: certificate_state(held, now),
            not_before: rfc3339(held.validity.not_before()),
            not_after: rfc3339(held.validity.not_after()),
            days_left: policy.days_left(held.validity, now),
            fingerprint: held.fingerprint.to_string(),
            protection: held.key.protection.as_str(),
            issued_at: rfc3339(held.issued_at),
            since: since.map(rfc3339),
            reason,
            superseded_by: by.map(|serial| serial.to_string()),
            deferred: held.deferred,
        }
    }
}

impl Row for CertificateView {
    const HEAD: &'static [&'static str] =
        &["SERIAL", "SUBJECT", "ORGANIZATION", "STATE", "NOT BEFORE", "NOT AFTER", "DAYS LEFT", "DEFERRED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.serial.clone(),
            self.subject.clone(),
            self.organization.clone(),
            self.state.to_owned(),
            self.not_before.clone(),
            self.not_after.clone(),
            self.days_left.map(|days| days.to_string()).unwrap_or_default(),
            self.deferred.to_string(),
        ]
    }
}
