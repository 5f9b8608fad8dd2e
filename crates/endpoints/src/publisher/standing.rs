//! How the list stands, for whoever watches over it.

use koshin_issuance::CrlEdition;
use time::{Duration, UtcDateTime};

/// What relying parties can fetch now, and whether that is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The edition that is published, if there is one.
    pub edition: Option<CrlEdition>,
    /// How many certificates it lists.
    pub entries: u64,
    /// Whether it will do.
    pub condition: Condition,
    /// Why the last try to make a newer one failed, if it did.
    pub failure: Option<String>,
}

/// Whether a list will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Less than half of its life is over.
    Fresh,
    /// More than half of its life is over and there is no newer one: somebody has to look, while there is time.
    Late,
    /// Its nextUpdate is past. Relying parties that ask for lists refuse everybody.
    Ended,
    /// None was ever published here.
    Missing,
}

impl Condition {
    /// How an edition stands.
    ///
    /// ```
    /// use koshin_endpoints::Condition;
    /// use koshin_issuance::CrlEdition;
    /// use time::{Duration, UtcDateTime};
    ///
    /// let at = |hours| UtcDateTime::UNIX_EPOCH + Duration::hours(hours);
    /// let edition = CrlEdition { number: 1, this_update: at(0), next_update: at(168) };
    /// let standing = |hours| Condition::of(Some(edition), at(hours));
    /// assert_eq!([83, 84, 167, 168].map(standing), [Condition::Fresh, Condition::Late, Condition::Late, Condition::Ended]);
    /// assert_eq!(Condition::of(None, at(0)), Condition::Missing);
    /// ```
    pub fn of(edition: Option<CrlEdition>, now: UtcDateTime) -> Self {
        let Some(CrlEdition { this_update, next_update, .. }) = edition else { return Self::Missing };
        if next_update <= now {
            Self::Ended
        } else if this_update.saturating_add((next_update - this_update) / 2) <= now {
            Self::Late
        } else {
            Self::Fresh
        }
    }

    /// The code of the alarm, for logs and metrics; `None` when there is nothing to do.
    pub const fn alarm(self) -> Option<&'static str> {
        match self {
            Self::Fresh => None,
            Self::Late => Some("crl_late"),
            Self::Ended => Some("crl_ended"),
            Self::Missing => Some("crl_missing"),
        }
    }
}

/// After how long an alarm that goes on is said again.
const SAY_AGAIN: Duration = Duration::minutes(10);

/// What was said of the list's standing.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<(Condition, UtcDateTime)>);

impl Alarm {
    /// Says once what is wrong, again after a while, and that it is over.
    pub(super) fn watch(&mut self, name: &str, standing: &Standing, now: UtcDateTime) {
        let Standing { edition, condition, failure, .. } = standing;
        let Some(code) = condition.alarm() else {
            if self.0.take().is_some() {
                tracing::warn!(list = name, "the revocation list is fresh again");
            }
            return;
        };
        if self.0.is_some_and(|(said, at)| said == *condition && (at..at.saturating_add(SAY_AGAIN)).contains(&now)) {
            return;
        }
        self.0 = Some((*condition, now));
        let next_update = edition.map(|edition| koshin_types::Rfc3339(edition.next_update).to_string());
        tracing::error!(code, list = name, next_update, failure, "no new revocation list could be published in time");
    }
}
