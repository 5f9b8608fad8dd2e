//! When somebody has to look, because mails do not go out.

use std::{fmt, time::Duration as Wait};

use koshin_sqlite::PostCounts;
use koshin_types::Rfc3339;
use time::UtcDateTime;

/// After how long somebody has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// That a mail could be sent, or a notice planned, and nobody does.
    pub overdue: Wait,
    /// That mails wait and none could be sent.
    pub silent: Wait,
}

/// Why somebody has to look. The codes are a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The clock is not believed, so nothing is planned or sent.
    Clock,
    /// Nobody plans the notices.
    Unplanned {
        /// Since when one is to be planned.
        since: UtcDateTime,
    },
    /// Nobody takes up what is to be sent.
    Overdue {
        /// Since when one could be sent.
        since: UtcDateTime,
    },
    /// Mails wait, and none could be sent.
    Silent {
        /// When the oldest became due.
        since: UtcDateTime,
        /// When one was sent last, as far as is known.
        last_sent: Option<UtcDateTime>,
    },
}

impl Alarm {
    /// The word that stands for it in logs and figures.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Clock => "mail.clock",
            Self::Unplanned { .. } => "mail.unplanned",
            Self::Overdue { .. } => "mail.overdue",
            Self::Silent { .. } => "mail.silent",
        }
    }

    /// Every code.
    pub const CODES: [&'static str; 4] = ["mail.clock", "mail.unplanned", "mail.overdue", "mail.silent"];

    /// What has to be looked at by now. `unplanned` is since when a notice of expiry is to be planned.
    pub(super) fn all(
        counts: &PostCounts,
        unplanned: Option<UtcDateTime>,
        limits: Limits,
        now: UtcDateTime,
    ) -> Vec<Self> {
        let longer = |limit: Wait| move |since: &UtcDateTime| Wait::try_from(now - *since).is_ok_and(|age| age > limit);
        let mut alarms = Vec::new();
        alarms.extend(unplanned.filter(longer(limits.overdue)).map(|since| Self::Unplanned { since }));
        alarms.extend(counts.oldest_due.filter(longer(limits.overdue)).map(|since| Self::Overdue { since }));
        let last_sent = counts.last_sent;
        if last_sent.as_ref().is_none_or(longer(limits.silent)) {
            alarms.extend(counts.oldest.filter(longer(limits.silent)).map(|since| Self::Silent { since, last_sent }));
        }
        alarms
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock => f.write_str("the clock is not believed, so no mail is planned or sent"),
            Self::Unplanned { since } => write!(f, "nobody plans the notices that are due since {}", Rfc3339(*since)),
            Self::Overdue { since } => write!(f, "nobody takes up the mails that wait since {}", Rfc3339(*since)),
            Self::Silent { since, last_sent: Some(last) } => {
                write!(f, "mails wait since {}, and none could be sent since {}", Rfc3339(*since), Rfc3339(*last))
            }
            Self::Silent { since, last_sent: None } => {
                write!(f, "mails wait since {}, and none could be sent", Rfc3339(*since))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn each_limit_counts_from_its_own_instant() {
        let now = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
        let limits = Limits { overdue: Wait::from_mins(15), silent: Wait::from_hours(4) };
        let ago = |minutes| Some(now - Duration::minutes(minutes));
        let codes = |counts: PostCounts, unplanned| -> Vec<_> {
            Alarm::all(&counts, unplanned, limits, now).iter().map(Alarm::code).collect()
        };
        let none = PostCounts::default();
        assert!(codes(none, None).is_empty() && codes(none, ago(15)).is_empty());
        assert_eq!(codes(none, ago(16)), ["mail.unplanned"]);
        assert!(codes(PostCounts { oldest_due: ago(15), oldest: ago(15), ..none }, None).is_empty());
        assert_eq!(codes(PostCounts { oldest_due: ago(16), oldest: ago(16), ..none }, None), ["mail.overdue"]);
        // One that is refused for days does no harm while others go out.
        let stuck = PostCounts { oldest: ago(6_000), ..none };
        assert_eq!(codes(stuck, None), ["mail.silent"]);
        assert!(codes(PostCounts { last_sent: ago(239), ..stuck }, None).is_empty());
        assert_eq!(codes(PostCounts { last_sent: ago(241), ..stuck }, None), ["mail.silent"]);
        // Nothing waits: that nothing was sent is no news.
        assert!(codes(PostCounts { last_sent: ago(6_000), ..none }, None).is_empty());
    }
}
