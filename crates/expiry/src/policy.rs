//! The numbers of a policy, and the instants that follow from them.

use alloc::{borrow::ToOwned, sync::Arc, vec, vec::Vec};
use core::{fmt, str::FromStr};

use koshin_types::Validity;
use time::{Date, Duration, UtcDateTime};

use crate::{
    ParseError,
    rule::{ValidityRefused, ValidityRule, validity_for},
    zone::{Day, FixedOffset, TimeZone, wall_clock},
};

/// How a number of days before the end becomes an instant.
///
/// ```
/// use koshin_expiry::Mode;
/// assert_eq!(["calendar".parse(), "instant".parse()], [Ok(Mode::Calendar), Ok(Mode::Instant)]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// `calendar`: the first instant of the local date that lies so many days before the local date of notAfter.
    #[default]
    Calendar,
    /// `instant`: so many times 86,400 s before the end, whatever the zone does.
    Instant,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calendar => "calendar",
            Self::Instant => "instant",
        })
    }
}

impl FromStr for Mode {
    type Err = ParseError;

    fn from_str(value: &str) -> Result<Self, ParseError> {
        match value {
            "calendar" => Ok(Self::Calendar),
            "instant" => Ok(Self::Instant),
            _ => Err(ParseError { value: value.to_owned(), expected: "calendar, instant" }),
        }
    }
}

/// The numbers of a policy as somebody wrote them; [`Policy::new`] checks them.
///
/// ```
/// use koshin_expiry::{Mode, PolicyConfig, ValidityRule};
/// let config = PolicyConfig::default();
/// assert_eq!((config.mode, config.validity), (Mode::Calendar, ValidityRule::OneYear));
/// assert_eq!((config.notice_days, config.mail_days), (30, vec![30, 10]));
/// assert_eq!((config.enrolment_days, config.backdate.as_secs()), (Some(90), 5 * 60));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyConfig {
    /// How days become instants. Default: calendar.
    pub mode: Mode,
    /// The window: days before the end in which the notice is shown and renewal is possible. Default: 30.
    pub notice_days: u16,
    /// The thresholds at which a mail is due, in days before the end, 0 being the last date. Default: 30 and 10.
    pub mail_days: Vec<u16>,
    /// For how many days of 86,400 s after its end a certificate's holder may enrol without a grant; `None` means for
    /// ever. Default: 90.
    pub enrolment_days: Option<u32>,
    /// How long a new certificate lives. Default: one year.
    pub validity: ValidityRule,
    /// How far before its issue a certificate begins, in whole seconds. Default: 5 minutes.
    pub backdate: core::time::Duration,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Calendar,
            notice_days: 30,
            mail_days: vec![30, 10],
            enrolment_days: Some(90),
            validity: ValidityRule::OneYear,
            backdate: core::time::Duration::from_secs(5 * 60),
        }
    }
}

/// A policy that does not contradict itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy {
    mode: Mode,
    notice_days: u16,
    /// Ascending, that is the most urgent first, and each once.
    mail_days: Arc<[u16]>,
    enrolment_days: Option<u32>,
    validity: ValidityRule,
    backdate: core::time::Duration,
    zone: Arc<dyn TimeZone>,
}

impl Policy {
    /// Checks a configuration.
    ///
    /// The window and the thresholds may not be longer than the shortest validity that the rule gives.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use koshin_expiry::{FixedOffset, Policy, PolicyConfig, PolicyError};
    /// let config = PolicyConfig { mail_days: vec![60, 400], ..PolicyConfig::default() };
    /// let error = Policy::new(config, Arc::new(FixedOffset::JST)).unwrap_err();
    /// assert_eq!(error, PolicyError::ThresholdBeyondValidity { days: 400, validity_days: 365 });
    /// assert_eq!(error.key(), "mail_days");
    /// ```
    ///
    /// # Errors
    ///
    /// [`PolicyError`] names the key and the values that contradict each other.
    pub fn new(config: PolicyConfig, zone: Arc<dyn TimeZone>) -> Result<Self, PolicyError> {
        let validity_days = config.validity.least_days();
        if validity_days == 0 {
            return Err(PolicyError::NoValidity { rule: config.validity });
        }
        if u32::from(config.notice_days) > validity_days {
            return Err(PolicyError::WindowBeyondValidity { days: config.notice_days, validity_days });
        }
        if let Some(&days) = config.mail_days.iter().find(|days| u32::from(**days) > validity_days) {
            return Err(PolicyError::ThresholdBeyondValidity { days, validity_days });
        }
        let policy = Self::sorted(config, zone);
        let mut pairs = policy.mail_days.iter().zip(policy.mail_days.iter().skip(1));
        match pairs.find(|(first, second)| first == second) {
            Some((&days, _)) => Err(PolicyError::DuplicateThreshold { days }),
            None => Ok(policy),
        }
    }

    /// The defaults of [`PolicyConfig`] in Japan Standard Time.
    pub fn default_jst() -> Self {
        Self::sorted(PolicyConfig::default(), Arc::new(FixedOffset::JST))
    }

    fn sorted(mut config: PolicyConfig, zone: Arc<dyn TimeZone>) -> Self {
        config.mail_days.sort_unstable();
        Self {
            mode: config.mode,
            notice_days: config.notice_days,
            mail_days: config.mail_days.into(),
            enrolment_days: config.enrolment_days,
            validity: config.validity,
            backdate: config.backdate,
            zone,
        }
    }

    /// How days become instants.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The window in days before the end.
    pub const fn notice_days(&self) -> u16 {
        self.notice_days
    }

    /// The thresholds of the mails in days before the end, ascending: the most urgent first.
    pub fn mail_days(&self) -> &[u16] {
        &self.mail_days
    }

    /// Days of 86,400 s after the end in which enrolment needs no grant; `None` means for ever.
    pub const fn enrolment_days(&self) -> Option<u32> {
        self.enrolment_days
    }

    /// How long a new certificate lives.
    pub const fn validity_rule(&self) -> ValidityRule {
        self.validity
    }

    /// How far before its issue a certificate begins.
    pub const fn backdate(&self) -> core::time::Duration {
        self.backdate
    }

    /// The zone that says which local date an instant belongs to.
    pub fn zone(&self) -> &dyn TimeZone {
        &*self.zone
    }

    /// The date on the calendar of the policy's zone.
    pub fn local_date(&self, at: UtcDateTime) -> Date {
        wall_clock(self.zone(), at).date()
    }

    /// The instant at which a threshold or window of `days` days opens for a certificate.
    ///
    /// In calendar mode it is the least instant whose local date is that of notAfter minus `days`, or later: the first
    /// instant that exists where midnight or the whole date does not. It never lies after notAfter. In instant mode it
    /// is the end minus `days` times 86,400 s. It may lie before notBefore.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use koshin_expiry::{FixedOffset, Mode, Policy, PolicyConfig};
    /// use koshin_types::Validity;
    /// use time::{Duration, UtcDateTime};
    /// let noon = UtcDateTime::UNIX_EPOCH + Duration::hours(365 * 24 + 3); // in Tokyo
    /// let validity = Validity::new(UtcDateTime::UNIX_EPOCH, noon)?;
    /// let calendar = Policy::default_jst();
    /// assert_eq!(calendar.opening(validity, 0), noon - Duration::hours(12));
    /// assert_eq!(calendar.opening(validity, 30), noon - Duration::hours(12 + 30 * 24));
    /// let config = PolicyConfig { mode: Mode::Instant, ..PolicyConfig::default() };
    /// let instant = Policy::new(config, Arc::new(FixedOffset::JST))?;
    /// assert_eq!(validity.end() - instant.opening(validity, 30), Duration::seconds(30 * 86_400));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn opening(&self, validity: Validity, days: u16) -> UtcDateTime {
        match self.mode {
            Mode::Calendar => Day::at(self.zone(), validity.not_after()).back(days).first_instant(self.zone()),
            Mode::Instant => validity.end().saturating_sub(Duration::days(i64::from(days))),
        }
    }

    /// The days a screen shows: the local date of notAfter minus the local date of `now`, in both modes.
    ///
    /// `None` once the certificate has ended. 0 on the last local date, and never less: a zone that puts its clocks back
    /// over midnight can show the date after that of notAfter for a moment.
    pub fn days_left(&self, validity: Validity, now: UtcDateTime) -> Option<u32> {
        let last = Day::at(self.zone(), validity.not_after());
        (now < validity.end()).then(|| last.days_since(Day::at(self.zone(), now)))
    }

    /// The instant from which the holder of a certificate can no longer enrol without a grant; `None` means never.
    ///
    /// ```
    /// use koshin_expiry::Policy;
    /// use koshin_types::Validity;
    /// use time::{Duration, UtcDateTime};
    /// let validity = Validity::new(UtcDateTime::UNIX_EPOCH, UtcDateTime::UNIX_EPOCH)?;
    /// let closes = Policy::default_jst().enrolment_closes(validity);
    /// assert_eq!(closes, Some(validity.end() + Duration::seconds(90 * 86_400)));
    /// # Ok::<(), koshin_types::ValidityError>(())
    /// ```
    pub fn enrolment_closes(&self, validity: Validity) -> Option<UtcDateTime> {
        self.enrolment_days.map(|days| validity.end().saturating_add(Duration::days(i64::from(days))))
    }

    /// The validity of a certificate that is issued at `issue` by a CA whose certificate ends at `ca_not_after`.
    ///
    /// See [`validity_for`](crate::validity_for).
    ///
    /// # Errors
    ///
    /// [`ValidityRefused`] when such a certificate must not or cannot be issued.
    pub fn validity_for(&self, issue: UtcDateTime, ca_not_after: UtcDateTime) -> Result<Validity, ValidityRefused> {
        validity_for(self.zone(), self.validity, self.backdate, issue, ca_not_after)
    }
}

/// How a policy contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The window is longer than the shortest validity.
    #[error("notice_days: a window of {days} days is longer than the validity of {validity_days} days")]
    WindowBeyondValidity {
        /// `notice_days`.
        days: u16,
        /// The days which every certificate lasts at least.
        validity_days: u32,
    },
    /// A mail threshold is longer than the shortest validity.
    #[error("mail_days: a threshold of {days} days is longer than the validity of {validity_days} days")]
    ThresholdBeyondValidity {
        /// The threshold.
        days: u16,
        /// The days which every certificate lasts at least.
        validity_days: u32,
    },
    /// A mail threshold is named twice.
    #[error("mail_days: the threshold of {days} days is named twice")]
    DuplicateThreshold {
        /// The threshold.
        days: u16,
    },
    /// The rule gives certificates of no length at all.
    #[error("validity: {rule} is no time at all")]
    NoValidity {
        /// The rule.
        rule: ValidityRule,
    },
}

impl PolicyError {
    /// The key of the configuration that is wrong.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::WindowBeyondValidity { .. } => "notice_days",
            Self::ThresholdBeyondValidity { .. } | Self::DuplicateThreshold { .. } => "mail_days",
            Self::NoValidity { .. } => "validity",
        }
    }
}
