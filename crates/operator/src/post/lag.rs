//! How late mails are.

use koshin_expiry::Policy;
use koshin_notify::{Mail, Notice};
use koshin_sqlite::Delivered;
use time::{Duration, UtcDateTime};

/// How late the mails of the last day were, from the instant at which each should have gone out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// How many they are.
    pub mails: usize,
    /// Half of them were no later than this.
    pub median: Duration,
    /// Nine of ten were no later than this.
    pub ninth: Duration,
    /// The latest.
    pub most: Duration,
}

/// The mails of how long are looked at.
const DAY: Duration = Duration::DAY;

impl Lag {
    /// Of what was sent in the day before `now`; `None` when that is nothing.
    pub fn of(delivered: &[Delivered], policy: &Policy, now: UtcDateTime) -> Option<Self> {
        let from = now.saturating_sub(DAY);
        let lately = delivered.iter().filter(|mail| mail.sent > from);
        let mut late: Vec<Duration> =
            lately.map(|one| (one.sent - ideal(&one.mail, one.due, policy)).max(Duration::ZERO)).collect();
        late.sort_unstable();
        let at = |tenths: usize| late.get((late.len() * tenths).div_ceil(10).saturating_sub(1)).copied();
        Some(Self { mails: late.len(), median: at(5)?, ninth: at(9)?, most: at(10)? })
    }
}

/// When a mail should have gone out that was put into the outbox at `due`: a notice of expiry when its threshold opened,
/// every other at once.
pub fn ideal(mail: &Mail, due: UtcDateTime, policy: &Policy) -> UtcDateTime {
    match &mail.kind {
        Notice::Expiry { threshold_days, validity, .. } => {
            policy.opening(*validity, *threshold_days).max(validity.not_before()).min(due)
        }
        _ => due,
    }
}

#[cfg(test)]
mod tests {
    use koshin_types::{Language, Validity};

    use super::*;

    #[test]
    fn a_notice_is_late_from_the_opening_of_its_threshold_on() {
        let policy = Policy::default_jst();
        let begun = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
        let validity = Validity::new(begun, begun + Duration::days(365)).unwrap();
        let opening = policy.opening(validity, 30);
        let mail = |kind| Mail::new(kind, "1", "a@b.jp".parse().unwrap(), Language::Ja, "U-1".parse().unwrap());
        let notice = mail(Notice::Expiry { threshold_days: 30, validity, days_left: 30, renewal_opens: None });
        let now = opening + Duration::hours(9);
        let sent = |mail: &Mail, due, minutes| Delivered {
            mail: mail.clone(),
            due,
            sent: now - Duration::HOUR + Duration::minutes(minutes),
        };
        // Two days after the server came up again, planned and sent at once: eight hours late all the same.
        let one = sent(&notice, now - Duration::HOUR, 0);
        let lag = Lag::of(&[one], &policy, now).unwrap();
        assert_eq!((lag.mails, lag.median, lag.most), (1, Duration::hours(8), Duration::hours(8)));
        let told = mail(Notice::AddressChanged { at: begun });
        let many: Vec<_> = (1..=10).map(|minutes| sent(&told, now - Duration::HOUR, minutes)).collect();
        let lag = Lag::of(&many, &policy, now).unwrap();
        let minutes = Duration::minutes;
        assert_eq!((lag.mails, lag.median, lag.ninth, lag.most), (10, minutes(5), minutes(9), minutes(10)));
        assert_eq!(Lag::of(&many, &policy, now + Duration::days(2)), None);
    }
}
