//! One step of the renewal machine, and the commands on a subject's holding that a renewal consists of.

use std::hint::black_box;

use criterion::Criterion;
use koshin_expiry::Policy;
use koshin_renewal::{Basis, Deadlines, Event, HeldCertificate, Holding, Key, Renewal, Status};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, Validity};
use time::{Duration, UtcDateTime, macros::utc_datetime};

const NOW: UtcDateTime = utc_datetime!(2026-11-22 3:00);
const ID: RenewalId = RenewalId::new([7; 16]);
const KEY: Key = Key { spki: Fingerprint::new([2; 32]), protection: ProtectionLevel::File };

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let (policy, deadlines) = (Policy::default_jst(), Deadlines::default());
    let predecessor = SerialNumber::from_time_and_random(1, [1; 13]);
    let successor = SerialNumber::from_time_and_random(2, [2; 13]);
    let issued = Fingerprint::new([3; 32]);
    let validity = Validity::new(NOW - Duration::days(357), NOW + Duration::days(8))?;
    let next_year = Validity::new(NOW, NOW + Duration::days(365))?;

    let renewal = Renewal::new(ID, Basis::Renewal { predecessor, end: validity.end() }, NOW);
    let request = Event::Request { key: KEY };
    renewal.step(&request, NOW, &deadlines)?;
    criterion.bench_function("machine/step", |b| {
        b.iter(|| black_box(&renewal).step(black_box(&request), black_box(NOW), &deadlines));
    });

    let held = HeldCertificate {
        serial: predecessor,
        validity,
        fingerprint: Fingerprint::new([1; 32]),
        key: Key { spki: Fingerprint::new([1; 32]), protection: ProtectionLevel::File },
        issued_at: validity.not_before(),
        status: Status::Active { since: validity.not_before() },
        deferred: 0,
    };
    let holder = Holding { certificates: vec![held], renewal: None, grant: None };
    let whole = |holding: &Holding| -> anyhow::Result<Holding> {
        let open = holding.start(ID, &policy, NOW)?.next;
        let open = open.step(ID, &request, NOW, &deadlines)?.next;
        let open = open.step(ID, &Event::Intend { serial: successor }, NOW, &deadlines)?.next;
        let open = open.issue(ID, successor, issued, next_year, NOW, &deadlines)?.next;
        let open = open.step(ID, &Event::Deliver, NOW, &deadlines)?.next;
        Ok(open.step(ID, &Event::Activate { fingerprint: issued }, NOW, &deadlines)?.next)
    };
    let done = whole(&holder)?;
    anyhow::ensure!(done.current().is_some_and(|held| held.serial == successor), "the successor is not in use");
    criterion.bench_function("machine/holding: start", |b| {
        b.iter(|| black_box(&holder).start(ID, &policy, black_box(NOW)));
    });
    criterion.bench_function("machine/holding: a whole renewal", |b| b.iter(|| whole(black_box(&holder))));
    criterion.bench_function("machine/holding: admission", |b| {
        let fingerprint = Fingerprint::new([1; 32]);
        b.iter(|| black_box(&holder).admission(black_box(&fingerprint), black_box(NOW)));
    });
    criterion.final_summary();
    Ok(())
}
