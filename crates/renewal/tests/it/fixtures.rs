//! Small values the tests share.

use koshin_expiry::Policy;
use koshin_renewal::{Basis, Deadlines, Event, Fact, HeldCertificate, Holding, Issued, Key, Status};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, Validity};
use time::{Duration, UtcDateTime, macros::utc_datetime};

/// Noon of a day in November, Japanese time.
pub(crate) const NOW: UtcDateTime = utc_datetime!(2026-11-22 03:00);

pub(crate) fn serial(n: u8) -> SerialNumber {
    SerialNumber::from_be_bytes(&[1, n]).unwrap()
}

pub(crate) fn fingerprint(n: u8) -> Fingerprint {
    Fingerprint::new([n; 32])
}

pub(crate) fn key(n: u8) -> Key {
    Key { spki: fingerprint(n), protection: ProtectionLevel::File }
}

pub(crate) fn id(n: u8) -> RenewalId {
    RenewalId::new([n; 16])
}

pub(crate) fn issued(n: u8, at: UtcDateTime) -> Issued {
    Issued { key: key(n), serial: serial(n), fingerprint: fingerprint(n), at }
}

pub(crate) fn renewal_basis(end: UtcDateTime) -> Basis {
    Basis::Renewal { predecessor: serial(0), end }
}

pub(crate) fn year_until(not_after: UtcDateTime) -> Validity {
    Validity::new(not_after - Duration::days(365), not_after).unwrap()
}

/// A subject whose certificate number 0 ends `days` after [`NOW`].
pub(crate) fn holder(days: i64) -> Holding {
    let validity = year_until(NOW + Duration::days(days));
    let certificate = HeldCertificate {
        serial: serial(0),
        validity,
        fingerprint: fingerprint(0),
        key: key(0),
        issued_at: validity.not_before(),
        status: Status::Active { since: validity.not_before() },
        deferred: 0,
    };
    Holding { certificates: vec![certificate], renewal: None, grant: None }
}

pub(crate) fn policy() -> Policy {
    Policy::default_jst()
}

/// Starts a renewal and brings it to a pending certificate `n`.
pub(crate) fn with_pending(holding: &Holding, n: u8, now: UtcDateTime) -> Holding {
    let deadlines = Deadlines::default();
    let open = holding.start(id(n), &policy(), now).unwrap().next;
    let open = open.step(id(n), &Event::Request { key: key(n) }, now, &deadlines).unwrap().next;
    let open = open.step(id(n), &Event::Intend { serial: serial(n) }, now, &deadlines).unwrap().next;
    let validity = year_until(now + Duration::days(365));
    open.issue(id(n), serial(n), fingerprint(n), validity, now, &deadlines).unwrap().next
}

pub(crate) fn words(facts: &[Fact]) -> Vec<&'static str> {
    facts.iter().map(Fact::as_str).collect()
}
