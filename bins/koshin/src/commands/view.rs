//! What the commands say about subjects and certificates. The JSON is a contract: members are only added.

use koshin_expiry::Policy;
use koshin_ra::SubjectFile;
use koshin_renewal::{HeldCertificate, Holding, Status};
use koshin_types::{CertificateStatus, Role};
use serde::Serialize;
use time::UtcDateTime;

use koshin_operator::{instant::rfc3339, output::Row};

/// The most columns that a holder's name takes in a table.
const NAME: usize = 13;

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
    /// The local date of `not_after` in the policy's zone, for tables.
    #[serde(skip)]
    last_day: Option<String>,
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
            last_day: outlook.current.map(|held| policy.local_date(held.validity.not_after()).to_string()),
        }
    }
}

impl Row for SubjectView {
    const HEAD: &'static [&'static str] =
        &["ID", "OF", "ROLE", "NAME", "STATE", "LAST DAY", "DAYS", "ENROLS", "RENEWAL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.organization.clone(),
            if self.role == Role::Administrator.as_str() { "admin" } else { self.role }.to_owned(),
            shortened(&self.name, NAME),
            self.state.to_owned(),
            self.last_day.clone().unwrap_or_default(),
            self.days_left.map(|days| days.to_string()).unwrap_or_default(),
            if self.enrolment { "open" } else { "closed" }.to_owned(),
            self.renewal.unwrap_or_default().to_owned(),
        ]
    }
}

/// How many columns a character takes in a terminal, as far as names go.
const fn width(c: char) -> usize {
    if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{ffdc}' | '\u{1f000}'..) { 2 } else { 1 }
}

/// As much of a text as fits into so many columns.
fn shortened(text: &str, columns: usize) -> String {
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut taken = 1;
    let fits = |c: &char| {
        taken += width(*c);
        taken <= columns
    };
    text.chars().take_while(fits).chain(['…']).collect()
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
    #[serde(skip)]
    last_day: String,
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
            last_day: policy.local_date(held.validity.not_after()).to_string(),
        }
    }
}

impl Row for CertificateView {
    const HEAD: &'static [&'static str] = &["SERIAL", "SUBJECT", "STATE", "LAST DAY", "DAYS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.serial.clone(),
            self.subject.clone(),
            self.state.to_owned(),
            self.last_day.clone(),
            self.days_left.map(|days| days.to_string()).unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use koshin_operator::output::table;

    #[test]
    fn lists_fit_into_eighty_columns() {
        let subject = SubjectView {
            id: "U-10001".into(),
            organization: "C-2001".into(),
            role: "administrator",
            name: "更新商店の代表取締役".into(),
            language: "ja",
            address: None,
            password: true,
            state: "not_enrolled",
            serial: None,
            not_after: None,
            days_left: Some(365),
            enrolment: false,
            permitted_until: None,
            renewal: Some("delivered"),
            last_sign_in: None,
            last_day: Some("2026-12-22".into()),
        };
        let certificate = CertificateView {
            serial: "7F".repeat(20),
            subject: "U-100001".into(),
            organization: "C-2001".into(),
            status: "superseded",
            state: "superseded",
            not_before: String::new(),
            not_after: String::new(),
            days_left: Some(365),
            fingerprint: String::new(),
            protection: "file",
            issued_at: String::new(),
            since: None,
            reason: None,
            superseded_by: None,
            deferred: 0,
            last_day: "2026-12-22".into(),
        };
        for table in [table([subject]), table([certificate])] {
            assert!(table.lines().all(|line| line.chars().map(width).sum::<usize>() <= 80), "\n{table}");
            assert_eq!(table.lines().count(), 2);
        }
        assert_eq!(shortened("更新商店の代表取締役", 13), "更新商店の代…");
        assert_eq!(shortened("Hanako Kanri", 13), "Hanako Kanri");
    }
}
