//! One subject whose certificate is about to end, and the renewal of it.

use koshin_expiry::Policy;
use koshin_renewal::{
    Admission, Basis, Change, Deadlines, Event, Fact, HeldCertificate, Holding, Key, Refused, Renewal, State, Status,
};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, Validity};
use time::{Duration, UtcDateTime, macros::utc_datetime};

/// The instant of the renewal.
pub const NOW: UtcDateTime = utc_datetime!(2026-11-22 3:00);

const ID: RenewalId = RenewalId::new([7; 16]);
const PREDECESSOR: Fingerprint = Fingerprint::new([1; 32]);
const SUCCESSOR: Fingerprint = Fingerprint::new([3; 32]);

/// A subject eight days before the end, and everything that a renewal takes.
#[derive(Debug, Clone)]
pub struct Renewing {
    policy: Policy,
    deadlines: Deadlines,
    /// What the subject holds: one certificate, in use.
    pub holding: Holding,
    renewal: Renewal,
    request: Event,
    serial: SerialNumber,
    validity: Validity,
}

impl Renewing {
    /// Under the default policy and deadlines.
    ///
    /// # Errors
    ///
    /// When a validity is none.
    pub fn new() -> anyhow::Result<Self> {
        let predecessor = SerialNumber::from_time_and_random(1, [1; 13]);
        let validity = Validity::new(NOW - Duration::days(357), NOW + Duration::days(8))?;
        let held = HeldCertificate {
            serial: predecessor,
            validity,
            fingerprint: PREDECESSOR,
            key: Key { spki: PREDECESSOR, protection: ProtectionLevel::File },
            issued_at: validity.not_before(),
            status: Status::Active { since: validity.not_before() },
            deferred: 0,
        };
        let key = Key { spki: Fingerprint::new([2; 32]), protection: ProtectionLevel::File };
        Ok(Self {
            policy: Policy::default_jst(),
            deadlines: Deadlines::default(),
            holding: Holding { certificates: vec![held], renewal: None, grant: None },
            renewal: Renewal::new(ID, Basis::Renewal { predecessor, end: validity.end() }, NOW),
            request: Event::Request { key },
            serial: SerialNumber::from_time_and_random(2, [2; 13]),
            validity: Validity::new(NOW, NOW + Duration::days(365))?,
        })
    }

    /// One step of the machine: the request.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn step(&self, now: UtcDateTime) -> Result<State, Refused> {
        self.renewal.step(&self.request, now, &self.deadlines)
    }

    /// One command on the holding: the start.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn start(&self, now: UtcDateTime) -> Result<Change, Refused> {
        self.holding.start(ID, &self.policy, now)
    }

    /// Every command of a renewal, from the start to the activation, with the change of each.
    ///
    /// # Errors
    ///
    /// When one is refused.
    pub fn whole(&self, now: UtcDateTime) -> Result<[Change; 6], Refused> {
        let started = self.start(now)?;
        let step = |change: &Change, event: &Event| change.next.step(ID, event, now, &self.deadlines);
        let requested = step(&started, &self.request)?;
        let intended = step(&requested, &Event::Intend { serial: self.serial })?;
        let issued = intended.next.issue(ID, self.serial, SUCCESSOR, self.validity, now, &self.deadlines)?;
        let delivered = step(&issued, &Event::Deliver)?;
        let activated = step(&delivered, &Event::Activate { fingerprint: SUCCESSOR })?;
        Ok([started, requested, intended, issued, delivered, activated])
    }

    /// What a renewal records.
    ///
    /// # Errors
    ///
    /// As [`Self::whole`].
    pub fn facts(&self) -> Result<Vec<Fact>, Refused> {
        Ok(self.whole(NOW)?.into_iter().flat_map(|change| change.facts).collect())
    }

    /// The facts folded over what the subject held before.
    pub fn replay(&self, facts: &[Fact], at: UtcDateTime) -> Holding {
        let mut holding = self.holding.clone();
        for fact in facts {
            holding.apply(fact, at);
        }
        holding
    }

    /// What the certificate in use may do in a handshake.
    pub fn admission(&self, now: UtcDateTime) -> Admission {
        self.holding.admission(&PREDECESSOR, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_goes_through_and_is_replayed() {
        let renewing = Renewing::new().unwrap();
        assert!(matches!(renewing.step(NOW).unwrap(), State::Requested { .. }));
        assert_eq!(renewing.admission(NOW), Admission::Login);
        let last = renewing.whole(NOW).unwrap()[5].next.clone();
        assert_eq!(last.current().unwrap().fingerprint, SUCCESSOR);
        assert_eq!(renewing.replay(&renewing.facts().unwrap(), NOW), last);
    }
}
