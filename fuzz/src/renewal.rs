//! Any sequence of commands on what one subject holds.

use koshin_expiry::Policy;
use koshin_renewal::{Admission, Change, Deadlines, Dialog, Event, Fact, Holding, Key, Refused, Status};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::script::Script;

/// Whatever is asked in whatever order: a refusal changes nothing, a repetition changes nothing more, nobody is locked
/// out, revocation is final, and the recorded facts give the holding again.
pub fn renewal_events(data: &[u8]) {
    let mut script = Script::new(data);
    let mut walk = Walk::new(script.byte());
    while script.goes_on() {
        walk.command(&mut script);
    }
    walk.replay();
}

/// One subject, its log, and what a CA would never hand out twice.
struct Walk {
    policy: Policy,
    deadlines: Deadlines,
    now: UtcDateTime,
    holding: Holding,
    log: Vec<(UtcDateTime, Fact)>,
    used: u64,
}

impl Walk {
    /// A subject that was permitted to enrol, a while ago.
    fn new(weeks: u8) -> Self {
        let start = UtcDateTime::from_unix_timestamp(1_790_000_000).unwrap();
        let mut walk = Self {
            policy: Policy::default_jst(),
            deadlines: Deadlines::default(),
            now: start,
            holding: Holding::default(),
            log: Vec::new(),
            used: 0,
        };
        walk.accept(walk.holding.permit(start + Duration::days(80), start));
        walk.now += Duration::weeks(i64::from(weeks % 16));
        walk
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let (command, detail) = (script.byte() % 14, script.byte());
        let signed_in = self.can_sign_in();
        let fresh = self.fresh_id();
        let outcome = match command {
            0 => self.holding.start(fresh, &self.policy, self.now),
            1 => self.holding.enrol(fresh, &self.policy, self.now),
            2 => self.holding.start_again(self.current_id(detail), fresh, self.now, &self.deadlines),
            3 => self.holding.defer(&self.policy, self.now),
            4 => self.holding.revoke(RevocationReason::ALL[usize::from(detail) % 6], self.now),
            5 => Ok(self.holding.permit(self.now + Duration::days(i64::from(detail)), self.now)),
            6 => Ok(self.holding.sweep(self.now, &self.deadlines)),
            7 => self.issue(detail),
            8 => {
                self.now += Duration::minutes(i64::from(detail));
                return;
            }
            9 => {
                self.now += Duration::days(i64::from(detail));
                return;
            }
            _ => self.step(command, detail),
        };
        if let Ok(change) = outcome {
            self.accept(change);
        }
        // I-24: as long as nobody revokes it, whoever could sign in still can.
        assert!(command == 4 || !signed_in || self.can_sign_in(), "locked out by command {command}");
    }

    /// An event, twice: the second time changes nothing (I-21).
    fn step(&mut self, command: u8, detail: u8) -> Result<Change, Refused> {
        let event = self.event(command, detail);
        let id = self.current_id(detail);
        let change = self.holding.step(id, &event, self.now, &self.deadlines)?;
        if let Ok(again) = change.next.step(id, &event, self.now, &self.deadlines) {
            assert_eq!(again.next, change.next, "{event:?} was not idempotent");
            assert!(again.effects.is_empty(), "{event:?} owed something twice");
        }
        Ok(change)
    }

    fn issue(&mut self, detail: u8) -> Result<Change, Refused> {
        let id = self.current_id(detail);
        let serial = self.bound_serial(detail);
        let fingerprint = self.fresh_fingerprint();
        let far = UtcDateTime::from_unix_timestamp(100_000_000_000).unwrap();
        let validity = self.policy.validity_for(self.now, far).unwrap();
        let change = self.holding.issue(id, serial, fingerprint, validity, self.now, &self.deadlines)?;
        let again = change.next.issue(id, serial, fingerprint, validity, self.now, &self.deadlines);
        assert_eq!(again.map(|again| again.facts), Ok(Vec::new()), "issued twice");
        Ok(change)
    }

    fn event(&mut self, command: u8, detail: u8) -> Event {
        let pending = self.holding.open_renewal().and_then(koshin_renewal::Renewal::pending);
        match (command, detail % 4) {
            (10, _) => Event::Request {
                key: Key { spki: Fingerprint::new([detail % 3; 32]), protection: ProtectionLevel::File },
            },
            (11, _) => Event::Intend { serial: self.bound_serial(detail) },
            (12, 0) => Event::Deliver,
            (12, 1) => Event::Decline { dialog: Dialog::Key },
            (12, 2) => Event::Decline { dialog: Dialog::Install },
            (12, _) => Event::Refuse,
            (_, 0) => Event::Tick,
            (_, other) => {
                let unknown = Fingerprint::new([0xee; 32]);
                let proven = pending.filter(|_| other != 3).map_or(unknown, |issued| issued.fingerprint);
                Event::Activate { fingerprint: proven }
            }
        }
    }

    fn accept(&mut self, change: Change) {
        for held in &self.holding.certificates {
            let after = change.next.certificates.iter().find(|after| after.serial == held.serial);
            let after = after.expect("rows are only added");
            if matches!(held.status, Status::Revoked { .. } | Status::Superseded { .. }) {
                assert_eq!(after.status, held.status, "an end was left");
            }
        }
        let count =
            |wanted: fn(&Status) -> bool| change.next.certificates.iter().filter(|held| wanted(&held.status)).count();
        assert!(count(|status| matches!(status, Status::Active { .. })) <= 1, "two active certificates");
        assert!(count(|status| matches!(status, Status::Pending)) <= 1, "two certificates await activation");
        assert!(!change.facts.is_empty() || change.next == self.holding, "a change without a record");
        self.log.extend(change.facts.into_iter().map(|fact| (self.now, fact)));
        self.holding = change.next;
    }

    /// I-35: the log gives the holding.
    fn replay(&self) {
        let mut replayed = Holding::default();
        for (at, fact) in &self.log {
            replayed.apply(fact, *at);
        }
        assert_eq!(replayed, self.holding);
    }

    fn can_sign_in(&self) -> bool {
        let admitted = |print| self.holding.admission(print, self.now) == Admission::Login;
        self.holding.certificates.iter().any(|held| admitted(&held.fingerprint))
    }

    fn fresh_fingerprint(&mut self) -> Fingerprint {
        self.used += 1;
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&self.used.to_be_bytes());
        Fingerprint::new(octets)
    }

    fn fresh_id(&mut self) -> RenewalId {
        self.used += 1;
        RenewalId::new(u128::from(self.used).to_be_bytes())
    }

    /// The renewal's identifier, or now and then a foreign one.
    fn current_id(&self, detail: u8) -> RenewalId {
        let foreign = RenewalId::new([0xff; 16]);
        self.holding.renewal.as_ref().filter(|_| detail < 250).map_or(foreign, |renewal| renewal.id)
    }

    /// The serial number the renewal is bound to, or a new one.
    fn bound_serial(&mut self, detail: u8) -> SerialNumber {
        self.used += 1;
        let fresh = SerialNumber::from_be_bytes(&self.used.to_be_bytes()).unwrap();
        let bound = self.holding.renewal.as_ref().and_then(|renewal| renewal.state.serial());
        bound.filter(|_| detail < 240).unwrap_or(fresh)
    }
}
