//! One certificate under one policy.

use std::sync::Arc;

use koshin_expiry::{Decision, FixedOffset, Mode, Policy, PolicyConfig, Standing};
use koshin_types::Validity;
use time::{Duration, UtcDateTime, macros::utc_datetime};

/// A policy with the default numbers in Japan Standard Time, and a certificate of a year.
#[derive(Debug, Clone)]
pub struct Life {
    /// The policy.
    pub policy: Policy,
    /// The certificate's validity.
    pub validity: Validity,
}

impl Life {
    /// In calendar or in instant mode.
    ///
    /// # Errors
    ///
    /// When the default numbers are not accepted.
    pub fn new(mode: Mode) -> anyhow::Result<Self> {
        let config = PolicyConfig { mode, ..PolicyConfig::default() };
        let policy = Policy::new(config, Arc::new(FixedOffset::JST))?;
        let validity = policy.validity_for(utc_datetime!(2026-03-01 3:00), utc_datetime!(2040-01-01 0:00))?;
        Ok(Self { policy, validity })
    }

    /// The instant so many whole days before notAfter, or after it when the number is negative.
    pub fn days_left(&self, days: i64) -> UtcDateTime {
        self.validity.not_after() - Duration::days(days)
    }

    /// How the certificate stands.
    pub fn standing(&self) -> Standing<'static> {
        Standing::active(self.validity)
    }

    /// One decision.
    pub fn decide(&self, now: UtcDateTime) -> Decision {
        self.policy.decide(&self.standing(), now)
    }

    /// The instant of the next mail.
    pub fn next_mail(&self, now: UtcDateTime) -> Option<UtcDateTime> {
        self.policy.next_mail(&self.standing(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_through_its_phases() {
        for mode in [Mode::Calendar, Mode::Instant] {
            let life = Life::new(mode).unwrap();
            let renewal = [200, 8, -3].map(|days| life.decide(life.days_left(days)).renewal);
            assert_eq!(renewal, [false, true, false], "{mode:?}");
            assert!(life.next_mail(life.days_left(200)).is_some());
            assert!(life.next_mail(life.days_left(-3)).is_none());
        }
    }
}
