//! A year of one organization, rehearsed in a moment: the rules alone, without storage, screens or a clock.
//!
//! Three people get their certificates in spring. One renews on the first notice, one says "later" every day until the
//! last week, one does nothing. `next_change` says when to look again, so a year is a few hundred steps.

use koshin_expiry::Policy;
use koshin_renewal::{Deadlines, Event, Fact, Holding, Key};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, Validity};
use time::{Duration, UtcDateTime, macros::utc_datetime};

struct Person {
    name: &'static str,
    /// With how many days left the person gives in and renews; never for `None`.
    renews_at: Option<u32>,
    holding: Holding,
    certificates: u8,
}

fn main() -> anyhow::Result<()> {
    let policy = Policy::default_jst();
    let start = utc_datetime!(2026-04-01 01:00);
    let mut people = [person("prompt", Some(30)), person("hesitant", Some(5)), person("absent", None)];
    for (days, person) in (0..).zip(&mut people) {
        person.obtain(&policy, start + Duration::days(days))?;
        println!("{:9} {} obtains a certificate", person.name, start + Duration::days(days));
    }
    for person in &mut people {
        person.live(&policy, start + Duration::days(400))?;
    }
    Ok(())
}

const fn person(name: &'static str, renews_at: Option<u32>) -> Person {
    let holding = Holding { certificates: Vec::new(), renewal: None, grant: None };
    Person { name, renews_at, holding, certificates: 0 }
}

impl Person {
    /// Permission, enrolment, first login.
    fn obtain(&mut self, policy: &Policy, now: UtcDateTime) -> anyhow::Result<()> {
        self.holding = self.holding.permit(now + Duration::days(80), now).next;
        self.holding = self.holding.enrol(self.next_id(), policy, now)?.next;
        self.certify(policy, now)
    }

    /// From the request to the first login with the new certificate.
    fn certify(&mut self, policy: &Policy, now: UtcDateTime) -> anyhow::Result<()> {
        let (id, deadlines) = (self.next_id(), Deadlines::default());
        self.certificates += 1;
        let number = self.certificates;
        let fingerprint = Fingerprint::new([number; 32]);
        let serial = SerialNumber::from_be_bytes(&[number])?;
        let validity: Validity = policy.validity_for(now, utc_datetime!(2040-01-01 00:00))?;
        let key = Key { spki: fingerprint, protection: ProtectionLevel::File };
        for event in [Event::Request { key }, Event::Intend { serial }] {
            self.holding = self.holding.step(id, &event, now, &deadlines)?.next;
        }
        self.holding = self.holding.issue(id, serial, fingerprint, validity, now, &deadlines)?.next;
        self.holding = self.holding.step(id, &Event::Activate { fingerprint }, now, &deadlines)?.next;
        Ok(())
    }

    /// Sleeps from change to change, and tells what happens.
    fn live(&mut self, policy: &Policy, end: UtcDateTime) -> anyhow::Result<()> {
        let mut now = utc_datetime!(2026-04-03 02:00);
        while now < end {
            let outlook = self.holding.outlook(policy, now);
            let Some(decision) = outlook.decision else { break };
            match (decision.days_left, self.renews_at) {
                (Some(left), Some(wish)) if decision.notice && left <= wish => {
                    self.holding = self.holding.start(self.next_id(), policy, now)?.next;
                    self.certify(policy, now)?;
                    println!("{:9} {now} renews with {left} days left", self.name);
                }
                (Some(left), _) if decision.notice => {
                    let change = self.holding.defer(policy, now)?;
                    let later = change.facts.iter().any(|fact| matches!(fact, Fact::Deferred { .. }));
                    if later && left % 10 == 0 {
                        println!("{:9} {now} says later with {left} days left", self.name);
                    }
                    self.holding = change.next;
                }
                (None, _) if outlook.enrolment => {
                    println!("{:9} {now} is locked out; enrolment is open", self.name);
                    return Ok(());
                }
                _ => {}
            }
            now = decision.next_change.unwrap_or(end).max(now + Duration::HOUR);
        }
        Ok(())
    }

    fn next_id(&self) -> RenewalId {
        RenewalId::new([self.certificates + 1; 16])
    }
}
