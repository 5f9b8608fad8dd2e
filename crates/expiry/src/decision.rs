//! Where one certificate stands at one instant.

use alloc::vec::Vec;

use koshin_types::{CertificateStatus, Validity};
use time::UtcDateTime;

use crate::{
    policy::{Mode, Policy},
    zone::{Day, next_date_change},
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

    /// Neither this threshold nor a more urgent one is closed.
    fn leaves_open(&self, days: u16) -> bool {
        self.closed.iter().all(|closed| *closed > days)
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
        let outline = Outline::new(self, standing);
        let answers = outline.answers(now);
        Decision {
            phase: answers.phase,
            login: answers.login,
            notice: answers.renewal,
            renewal: answers.renewal,
            enrolment: answers.enrolment,
            mail_due: answers.mail_due,
            mails_closed: outline.closed_with(answers.mail_due),
            days_left: answers.days_left,
            window_opens: outline.window_opens,
            ends: outline.ends,
            next_change: outline.next_change(now, answers),
        }
    }

    /// The least instant from `now` on at which a mail is due, if the facts stay as they are; `None` when none ever is.
    ///
    /// A mailer may sleep until then. [`Decision::next_change`] would wake it on every local midnight.
    pub fn next_mail(&self, standing: &Standing<'_>, now: UtcDateTime) -> Option<UtcDateTime> {
        let outline = Outline::new(self, standing);
        let openings = self.mail_days().iter().rev().map(|&days| self.opening(standing.validity, days));
        openings.map(|opens| opens.max(now)).find(|at| outline.answers(*at).mail_due.is_some())
    }
}

/// A certificate under a policy, and the instants that do not depend on now.
struct Outline<'a> {
    policy: &'a Policy,
    standing: &'a Standing<'a>,
    last_day: Day,
    ends: UtcDateTime,
    window_opens: UtcDateTime,
    enrolment_closes: Option<UtcDateTime>,
}

impl<'a> Outline<'a> {
    fn new(policy: &'a Policy, standing: &'a Standing<'a>) -> Self {
        Self {
            policy,
            standing,
            last_day: Day::at(policy.zone(), standing.validity.not_after()),
            ends: standing.validity.end(),
            window_opens: policy.opening(standing.validity, policy.notice_days()),
            enrolment_closes: policy.enrolment_closes(standing.validity),
        }
    }

    fn answers(&self, now: UtcDateTime) -> Answers {
        let phase = if now < self.standing.validity.not_before() {
            Phase::NotYetValid
        } else if now < self.ends {
            Phase::Valid
        } else {
            Phase::Expired
        };
        let in_use = self.standing.in_use();
        let login = in_use && phase == Phase::Valid;
        let lately_expired = phase == Phase::Expired && self.enrolment_closes.is_none_or(|closes| now < closes);
        let days_left = || self.last_day.days_since(Day::at(self.policy.zone(), now));
        Answers {
            phase,
            login,
            renewal: login && now >= self.window_opens,
            enrolment: self.standing.grant || (in_use && lately_expired),
            mail_due: if login { self.mail_due(now) } else { None },
            days_left: (phase != Phase::Expired).then(days_left),
        }
    }

    /// Whether `opening(days) <= at`, without calculating the opening where the answer is clear.
    fn is_open(&self, days: u16, at: UtcDateTime) -> bool {
        match self.policy.mode() {
            Mode::Calendar => self.last_day.back(days).has_begun(self.policy.zone(), at),
            Mode::Instant => self.policy.opening(self.standing.validity, days) <= at,
        }
    }

    /// A threshold that is open with the first second never fires.
    fn fires(&self, days: u16) -> bool {
        !self.is_open(days, self.standing.validity.not_before())
    }

    /// The most urgent open threshold, unless it or a more urgent one is closed. For a certificate that may log in.
    fn mail_due(&self, now: UtcDateTime) -> Option<u16> {
        let most_urgent = self.policy.mail_days().iter().copied().find(|days| self.is_open(*days, now))?;
        (self.standing.leaves_open(most_urgent) && self.fires(most_urgent)).then_some(most_urgent)
    }

    fn closed_with(&self, due: Option<u16>) -> Vec<u16> {
        let Some(due) = due else { return Vec::new() };
        let others = self.policy.mail_days().iter().rev().copied().filter(|days| *days > due);
        others.filter(|days| !self.standing.closed.contains(days) && self.fires(*days)).collect()
    }

    fn next_change(&self, now: UtcDateTime, answers: Answers) -> Option<UtcDateTime> {
        let mut after = now;
        // Not every candidate changes an answer: a revoked certificate has no window, a sent mail does not fall due.
        loop {
            let candidate = self.next_candidate(after)?;
            if self.answers(candidate) != answers {
                return Some(candidate);
            }
            after = candidate;
        }
    }

    /// The least instant later than `after` at which any answer can change for any standing.
    fn next_candidate(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        let mut least: Option<UtcDateTime> = None;
        let mut consider = |at: UtcDateTime| {
            if at > after {
                least = Some(least.map_or(at, |least| least.min(at)));
            }
        };
        consider(self.standing.validity.not_before());
        consider(self.ends);
        if let Some(closes) = self.enrolment_closes {
            consider(closes);
        }
        // In calendar mode every opening before the end is a change of the local date.
        if self.policy.mode() == Mode::Instant {
            consider(self.window_opens);
            let mails = self.policy.mail_days().iter();
            mails.for_each(|&days| consider(self.policy.opening(self.standing.validity, days)));
        }
        if after < self.ends {
            consider(next_date_change(self.policy.zone(), after));
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
