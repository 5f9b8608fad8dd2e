//! Where one certificate stands at one instant.

use alloc::vec::Vec;

use koshin_types::{CertificateStatus, Validity};
use time::UtcDateTime;

use crate::{
    policy::{Mode, Policy},
    zone::next_date_change,
};

/// How far the renewal of a certificate has come, as far as the policy cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RenewalProgress {
    /// No renewal is open.
    #[default]
    None,
    /// A renewal was started and has no certificate yet.
    Started,
    /// The successor is issued or delivered, but has not yet logged in.
    Issued,
    /// The successor has logged in: it is installed and this certificate is no longer in use.
    Activated,
}

/// What is known of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing<'a> {
    /// From when to when it is valid.
    pub validity: Validity,
    /// Its status in the registry.
    pub status: CertificateStatus,
    /// Its renewal.
    pub successor: RenewalProgress,
    /// Whether a permission to enrol is open for its subject.
    pub grant: bool,
    /// The mail thresholds that were sent, found undeliverable or closed for this very certificate, in any order.
    pub closed: &'a [u16],
}

impl Standing<'_> {
    /// An active certificate about which nothing else is known: no renewal, no grant, no mail.
    pub const fn active(validity: Validity) -> Self {
        Self {
            validity,
            status: CertificateStatus::Active,
            successor: RenewalProgress::None,
            grant: false,
            closed: &[],
        }
    }

    /// Active and not replaced by an installed successor.
    fn in_use(&self) -> bool {
        self.status == CertificateStatus::Active && self.successor != RenewalProgress::Activated
    }
}

/// Where an instant lies in a validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Before notBefore.
    NotYetValid,
    /// From notBefore through the whole second of notAfter.
    Valid,
    /// From the second after notAfter on.
    Expired,
}

/// What holds for one certificate at one instant.
#[expect(clippy::struct_excessive_bools, reason = "independent answers to different questions, not a state")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Where the instant lies in the validity.
    pub phase: Phase,
    /// The certificate may log in.
    pub login: bool,
    /// The notice is shown. Always equal to `renewal`: no screen offers what the server refuses.
    pub notice: bool,
    /// A renewal may be started and requested.
    pub renewal: bool,
    /// The subject may enrol: it has a grant, or the certificate ended not too long ago.
    pub enrolment: bool,
    /// The one threshold whose mail is due.
    pub mail_due: Option<u16>,
    /// The thresholds that are to be closed together with the one that is due, in the order in which they opened.
    pub mails_closed: Vec<u16>,
    /// The local date of notAfter minus the local date of the instant, or `None` from the end on.
    pub days_left: Option<u32>,
    /// The instant at which the renewal window opens by the policy; it may lie before notBefore.
    pub window_opens: UtcDateTime,
    /// The first instant at which the certificate is no longer valid: notAfter + 1 s.
    pub ends: UtcDateTime,
    /// The least later instant at which another field of this decision changes; `None` when none ever does.
    pub next_change: Option<UtcDateTime>,
}

impl Policy {
    /// What holds for a certificate at `now`, and until when.
    pub fn decide(&self, standing: &Standing<'_>, now: UtcDateTime) -> Decision {
        let window_opens = self.opening(standing.validity, self.notice_days());
        let answers = self.answers(standing, window_opens, now);
        Decision {
            phase: answers.phase,
            login: answers.login,
            notice: answers.renewal,
            renewal: answers.renewal,
            enrolment: answers.enrolment,
            mail_due: answers.mail_due,
            mails_closed: self.closed_with(standing, answers.mail_due),
            days_left: answers.days_left,
            window_opens,
            ends: standing.validity.end(),
            next_change: self.next_change(standing, window_opens, now, answers),
        }
    }

    /// The least instant from `now` on at which a mail is due, if the facts stay as they are; `None` when none ever is.
    ///
    /// A mailer may sleep until then. [`Decision::next_change`] would wake it on every local midnight.
    pub fn next_mail(&self, standing: &Standing<'_>, now: UtcDateTime) -> Option<UtcDateTime> {
        let validity = standing.validity;
        if !standing.in_use() {
            return None;
        }
        if validity.contains(now) && self.mail_due(standing, now).is_some() {
            return Some(now);
        }
        let least_closed = standing.closed.iter().min();
        let open = self.mail_days().iter().rev().filter(|days| least_closed.is_none_or(|closed| *days < closed));
        open.map(|&days| self.opening(validity, days))
            .find(|opens| *opens > now && *opens > validity.not_before() && *opens < validity.end())
    }

    fn answers(&self, standing: &Standing<'_>, window_opens: UtcDateTime, now: UtcDateTime) -> Answers {
        let validity = standing.validity;
        let phase = if now < validity.not_before() {
            Phase::NotYetValid
        } else if now < validity.end() {
            Phase::Valid
        } else {
            Phase::Expired
        };
        let login = standing.in_use() && phase == Phase::Valid;
        let enrolment_open = || self.enrolment_closes(validity).is_none_or(|closes| now < closes);
        Answers {
            phase,
            login,
            renewal: login && now >= window_opens,
            enrolment: standing.grant || (standing.in_use() && phase == Phase::Expired && enrolment_open()),
            mail_due: if login { self.mail_due(standing, now) } else { None },
            days_left: self.days_left(validity, now),
        }
    }

    /// The most urgent open threshold, unless it or a more urgent one is closed. For a certificate that may log in.
    fn mail_due(&self, standing: &Standing<'_>, now: UtcDateTime) -> Option<u16> {
        let least_closed = standing.closed.iter().min();
        let more_urgent_than_closed = |days: &&u16| least_closed.is_none_or(|closed| *days < closed);
        let not_before = standing.validity.not_before();
        for &days in self.mail_days().iter().take_while(more_urgent_than_closed) {
            let opens = self.opening(standing.validity, days);
            // A larger threshold opens no later, so what holds for this one holds for the rest.
            if opens <= not_before {
                return None;
            }
            if opens <= now {
                return Some(days);
            }
        }
        None
    }

    fn closed_with(&self, standing: &Standing<'_>, due: Option<u16>) -> Vec<u16> {
        let Some(due) = due else { return Vec::new() };
        let fires = |days: u16| self.opening(standing.validity, days) > standing.validity.not_before();
        let others = self.mail_days().iter().rev().copied().filter(|days| *days > due);
        others.filter(|days| !standing.closed.contains(days) && fires(*days)).collect()
    }

    fn next_change(
        &self,
        standing: &Standing<'_>,
        window_opens: UtcDateTime,
        now: UtcDateTime,
        answers: Answers,
    ) -> Option<UtcDateTime> {
        let mut after = now;
        // Not every candidate changes an answer: a revoked certificate has no window, a sent mail does not fall due.
        loop {
            let candidate = self.next_candidate(standing.validity, window_opens, after)?;
            if self.answers(standing, window_opens, candidate) != answers {
                return Some(candidate);
            }
            after = candidate;
        }
    }

    /// The least instant later than `after` at which any answer can change for any standing.
    fn next_candidate(&self, validity: Validity, window_opens: UtcDateTime, after: UtcDateTime) -> Option<UtcDateTime> {
        let mut least = None;
        let mut consider = |at: UtcDateTime| {
            if at > after && least.is_none_or(|least| at < least) {
                least = Some(at);
            }
        };
        consider(validity.not_before());
        consider(validity.end());
        if let Some(closes) = self.enrolment_closes(validity) {
            consider(closes);
        }
        // In calendar mode every opening before the end is a change of the local date.
        if self.mode() == Mode::Instant {
            consider(window_opens);
            self.mail_days().iter().for_each(|&days| consider(self.opening(validity, days)));
        }
        if after < validity.end()
            && let Some(change) = next_date_change(self.zone(), after)
        {
            consider(change);
        }
        least
    }
}

/// The part of a decision that changes with time. `mails_closed` is missing because it follows from `mail_due`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Answers {
    phase: Phase,
    login: bool,
    renewal: bool,
    enrolment: bool,
    mail_due: Option<u16>,
    days_left: Option<u32>,
}
