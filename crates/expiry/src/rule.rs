//! How long a new certificate lives.

use alloc::borrow::ToOwned;
use core::{fmt, str::FromStr};

use koshin_types::{Rfc3339, Validity};
use time::{Duration, UtcDateTime};

use crate::{
    ParseError,
    zone::{TimeZone, instant_of, wall_clock},
};

/// The rule by which notAfter follows from the instant of issue.
///
/// ```
/// use koshin_expiry::ValidityRule;
/// assert_eq!("p1y".parse(), Ok(ValidityRule::OneYear));
/// assert_eq!("p1y-eod".parse(), Ok(ValidityRule::OneYearEndOfDay));
/// assert_eq!("days:365".parse(), Ok(ValidityRule::Days(365)));
/// assert_eq!(ValidityRule::Days(365).to_string(), "days:365");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ValidityRule {
    /// `p1y`: one second before the same wall-clock time one year later; 29 February becomes 28 February.
    #[default]
    OneYear,
    /// `p1y-eod`: 23:59:59 local time of the date one year later.
    OneYearEndOfDay,
    /// `days:N`: N times 86,400 s, the last second inclusive.
    Days(u32),
}

impl ValidityRule {
    /// The whole days which every certificate of this rule lasts at least, counted from its issue.
    ///
    /// ```
    /// use koshin_expiry::ValidityRule;
    /// assert_eq!(ValidityRule::OneYear.least_days(), 365);
    /// assert_eq!(ValidityRule::Days(90).least_days(), 90);
    /// ```
    pub const fn least_days(self) -> u32 {
        match self {
            Self::OneYear | Self::OneYearEndOfDay => 365,
            Self::Days(days) => days,
        }
    }

    /// notAfter for an issue at the whole second `issue`, or `None` beyond the year 9999.
    fn not_after(self, zone: &dyn TimeZone, issue: UtcDateTime) -> Option<UtcDateTime> {
        match self {
            Self::OneYear => instant_of(zone, one_year_later(wall_clock(zone, issue))?).checked_sub(Duration::SECOND),
            Self::OneYearEndOfDay => {
                let last_second = one_year_later(wall_clock(zone, issue))?.replace_time(time::Time::MAX);
                Some(instant_of(zone, last_second.truncate_to_second()))
            }
            Self::Days(days) => issue.checked_add(Duration::days(i64::from(days)).saturating_sub(Duration::SECOND)),
        }
    }
}

impl fmt::Display for ValidityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneYear => f.write_str("p1y"),
            Self::OneYearEndOfDay => f.write_str("p1y-eod"),
            Self::Days(days) => write!(f, "days:{days}"),
        }
    }
}

impl FromStr for ValidityRule {
    type Err = ParseError;

    fn from_str(value: &str) -> Result<Self, ParseError> {
        let days = || {
            let digits = value.strip_prefix("days:")?;
            // `parse` alone would take a leading plus.
            digits.starts_with(|c: char| c.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        match value {
            "p1y" => Ok(Self::OneYear),
            "p1y-eod" => Ok(Self::OneYearEndOfDay),
            _ => days()
                .map(Self::Days)
                .ok_or_else(|| ParseError { value: value.to_owned(), expected: "p1y, p1y-eod, days:N" }),
        }
    }
}

/// The validity of a certificate that is issued at `issue`, which is cut to whole seconds.
///
/// notBefore lies `backdate` (its whole seconds) earlier; notAfter depends on the rule, the zone and the issue alone.
/// A wall-clock time that the zone skips moves forward by the gap, and of two the earlier counts.
///
/// ```
/// use core::time::Duration;
/// use koshin_expiry::{FixedOffset, ValidityRefused, ValidityRule, validity_for};
/// use time::UtcDateTime;
///
/// let issue = UtcDateTime::UNIX_EPOCH;
/// let days = |days, ca_not_after| {
///     validity_for(&FixedOffset::JST, ValidityRule::Days(days), Duration::from_secs(300), issue, ca_not_after)
/// };
/// let last = issue + time::Duration::seconds(2 * 86_400 - 1);
/// let validity = days(2, last)?;
/// assert_eq!((validity.not_before(), validity.not_after()), (issue - time::Duration::minutes(5), last));
/// assert!(matches!(days(3, last), Err(ValidityRefused::BeyondCa { .. })));
/// # Ok::<(), ValidityRefused>(())
/// ```
///
/// # Errors
///
/// [`ValidityRefused`]; above all when the certificate would outlive that of its CA, for it is never shortened.
pub fn validity_for(
    zone: &dyn TimeZone,
    rule: ValidityRule,
    backdate: core::time::Duration,
    issue: UtcDateTime,
    ca_not_after: UtcDateTime,
) -> Result<Validity, ValidityRefused> {
    let issue = issue.truncate_to_second();
    let out_of_range = ValidityRefused::OutOfRange { issue, rule };
    let not_after = rule.not_after(zone, issue).ok_or(out_of_range)?;
    Validity::new(issue, not_after).map_err(|_| ValidityRefused::Empty { issue, not_after, rule })?;
    if not_after > ca_not_after {
        return Err(ValidityRefused::BeyondCa { not_after, ca_not_after });
    }
    let backdate = i64::try_from(backdate.as_secs()).map_err(|_| out_of_range)?;
    let not_before = issue.checked_sub(Duration::seconds(backdate)).ok_or(out_of_range)?;
    Validity::new(not_before, not_after).map_err(|_| out_of_range)
}

/// Why a certificate cannot be issued with the validity of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidityRefused {
    /// The certificate would be valid longer than the certificate of its CA.
    #[error("notAfter {} lies beyond the CA certificate's {}", Rfc3339(*not_after), Rfc3339(*ca_not_after))]
    BeyondCa {
        /// notAfter by the rule.
        not_after: UtcDateTime,
        /// notAfter of the CA certificate.
        ca_not_after: UtcDateTime,
    },
    /// The rule gives not even one second (`days:0`).
    #[error("{rule} from {} ends before it begins, at {}", Rfc3339(*issue), Rfc3339(*not_after))]
    Empty {
        /// The instant of issue in whole seconds.
        issue: UtcDateTime,
        /// notAfter by the rule.
        not_after: UtcDateTime,
        /// The rule.
        rule: ValidityRule,
    },
    /// A certificate cannot carry the result: it lies outside the representable years.
    #[error("{rule} from {} cannot be written in a certificate", Rfc3339(*issue))]
    OutOfRange {
        /// The instant of issue in whole seconds.
        issue: UtcDateTime,
        /// The rule.
        rule: ValidityRule,
    },
}

fn one_year_later(wall: UtcDateTime) -> Option<UtcDateTime> {
    let year = wall.year().checked_add(1)?;
    // Only 29 February has no equal in the next year.
    wall.replace_year(year).or_else(|_| wall.replace_day(28)?.replace_year(year)).ok()
}
