//! The registry.

use koshin_notify::{Mail, Notice};
use koshin_renewal::Event;
use koshin_types::{CertificateStatus, Language};
use time::Duration;

use super::{
    Rig,
    world::{World, at, bare, commit, hash, id, renewal_id, serial, validity},
};
use crate::{Actor, Certified, ChangeSeen, Commit, CommitError, Document, Intent, Settled, StorageError};

/// What nobody stored is not found, and no error.
pub async fn unknown_things_are_not_found(rig: &dyn Rig) {
    let registry = rig.registry();
    assert_eq!(registry.subject(&id("U-1")).await.unwrap(), None);
    assert_eq!(registry.holder(&hash(1)).await.unwrap(), None);
    assert_eq!(registry.renewal(&renewal_id(1)).await.unwrap(), None);
    assert_eq!(registry.document(&serial(1)).await.unwrap(), None);
    assert_eq!(registry.overdue(at(0), 10).await.unwrap(), []);
    assert_eq!(registry.changes(0, 9).await.unwrap(), (0, vec![]));
    let world = World::with(rig, &["U-1"]).await;
    let file = world.file("U-1").await;
    assert_eq!((file.version, &file.organization.name[..]), (0, "緑商事株式会社"));
    let stranger = Commit { subject: id("U-2"), ..bare(&file, at(0)) };
    assert!(matches!(registry.commit(stranger).await, Err(CommitError::NoSubject(found)) if found == id("U-2")));
}

/// Permission, enrolment, intent, issue, delivery, activation, renewal, revocation: after each commit the file is what
/// was committed, and every certificate, renewal and document is found by its name.
pub async fn a_life_is_read_as_it_was_committed(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2"]).await;
    let other = world.file("U-2").await;
    world.permitted("U-1", at(0)).await;
    let enrolment = world.enrolling("U-1", at(1)).await;
    let first = world.issuing("U-1", at(2)).await;
    let registry = rig.registry();
    assert_eq!(registry.renewal(&enrolment).await.unwrap(), Some(id("U-1")));
    let document = registry.document(&serial(first)).await.unwrap().unwrap();
    let tbs = format!("to be signed {first}").into_bytes();
    let intent =
        Intent { renewal: enrolment, serial: serial(first), spki: hash(first), validity: validity(at(2)), tbs };
    let certificate = Some(format!("certificate {first}").into_bytes());
    assert_eq!(document, Document { intent, certificate });
    let pending = registry.holder(&hash(first)).await.unwrap().unwrap();
    assert_eq!(pending.holding.certificates[0].status.word(), CertificateStatus::Pending);
    assert_eq!(pending.holding.grant, None, "used up");
    world.event("U-1", &Event::Deliver, at(3)).await;
    world.event("U-1", &Event::Activate { fingerprint: hash(first) }, at(4)).await;

    let later = at(0) + Duration::days(20);
    let second = world.renewed("U-1", later).await;
    for number in [first, second] {
        let file = registry.holder(&hash(number)).await.unwrap().unwrap();
        assert_eq!(file, world.file("U-1").await, "found by a certificate whatever its status");
        assert_eq!(file.holding.certificates[0].status.word(), CertificateStatus::Superseded);
        assert_eq!(file.holding.certificates[1].status.word(), CertificateStatus::Active);
    }
    world.revoked("U-1", later + Duration::hours(1)).await;
    let file = world.file("U-1").await;
    assert_eq!(file.holding.certificates[1].status.word(), CertificateStatus::Revoked);
    assert_eq!(file.holding.certificates[0].status.word(), CertificateStatus::Superseded);
    assert_eq!(world.file("U-2").await, other, "nobody else's file changed");
}

/// "Start again" ends one renewal and begins another in one commit; both are still found.
pub async fn starting_again_keeps_both_renewals(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1"]).await;
    world.permitted("U-1", at(0)).await;
    let first = world.enrolling("U-1", at(1)).await;
    let number = world.issuing("U-1", at(2)).await;
    let (file, second) = (world.file("U-1").await, renewal_id(world.number()));
    let change = file.holding.start_again(first, second, at(3), &world.deadlines).unwrap();
    world.commit(commit(&file, change, at(3))).await;
    for renewal in [first, second] {
        assert_eq!(rig.registry().renewal(&renewal).await.unwrap(), Some(id("U-1")));
    }
    let file = world.file("U-1").await;
    assert_eq!(file.holding.renewal.as_ref().map(|renewal| renewal.id), Some(second));
    assert_eq!(file.holding.certificate(&hash(number)).unwrap().status.word(), CertificateStatus::Revoked);
    world.issuing("U-1", at(4)).await;
}

/// A decision on an old version changes nothing, and the error names both versions.
pub async fn a_stale_decision_changes_nothing(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1"]).await;
    let stale = world.file("U-1").await;
    world.permitted("U-1", at(0)).await;
    let late = Commit {
        mails: vec![mail("late")],
        wake_at: Some(at(0)),
        ..commit(&stale, stale.holding.permit(at(99), at(1)), at(1))
    };
    let error = world.refused(late).await;
    assert!(matches!(error, CommitError::Conflict { expected: 0, found: 1 }), "{error:?}");
    assert_eq!(rig.registry().overdue(at(1000), 10).await.unwrap(), []);
    let file = world.file("U-1").await;
    let early = Commit { version: file.version + 1, ..bare(&file, at(2)) };
    assert!(matches!(world.refused(early).await, CommitError::Conflict { expected: 2, found: 1 }));
}

/// Of two decisions on one version that arrive together, exactly one is stored.
pub async fn of_two_decisions_one_wins(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1"]).await;
    for version in 0..8 {
        let file = world.file("U-1").await;
        let permit = |day| commit(&file, file.holding.permit(at(day), at(0)), at(0));
        let (a, b) = tokio::join!(rig.registry().commit(permit(1)), rig.registry().commit(permit(2)));
        assert!(a.is_ok() ^ b.is_ok(), "{a:?} {b:?}");
        let lost = if a.is_ok() { b } else { a };
        let stored = version + 1;
        assert!(
            matches!(lost, Err(CommitError::Conflict { expected, found }) if (expected, found) == (version, stored))
        );
        assert_eq!(world.file("U-1").await.version, stored);
    }
}

/// A key is good for one renewal of one subject, for ever (I-31).
pub async fn a_key_is_seen_once(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2"]).await;
    let number = world.enrolled("U-1", at(0)).await;
    world.permitted("U-2", at(1)).await;
    world.enrolling("U-2", at(1)).await;
    let (file, fresh) = (world.file("U-2").await, world.number());
    let theirs = world.intended(&file, number, fresh, at(2));
    let error = world.refused(theirs).await;
    assert!(matches!(error, CommitError::KeySeen { spki } if spki == hash(number)), "{error:?}");
    assert_eq!(rig.registry().document(&serial(fresh)).await.unwrap(), None);

    let later = at(0) + Duration::days(20);
    world.renewing("U-1", later).await;
    let file = world.file("U-1").await;
    let own = world.intended(&file, number, fresh, later);
    assert!(matches!(world.refused(own).await, CommitError::KeySeen { .. }), "also one's own");
    world.issuing("U-1", later).await;
}

/// A serial number is used once, whether anything was signed or not (I-70, I-72).
pub async fn a_serial_number_is_used_once(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2"]).await;
    for name in ["U-1", "U-2"] {
        world.permitted(name, at(0)).await;
        world.enrolling(name, at(0)).await;
    }
    let file = world.file("U-1").await;
    world.commit(world.intended(&file, 101, 100, at(1))).await;
    let file = world.file("U-2").await;
    let again = world.intended(&file, 102, 100, at(2));
    let error = world.refused(again).await;
    assert!(matches!(error, CommitError::SerialUsed { serial: found } if found == serial(100)), "{error:?}");
    world.commit(world.intended(&file, 102, 103, at(3))).await;
}

/// A commit whose parts contradict each other is the caller's mistake, and is not stored.
pub async fn a_commit_that_does_not_add_up_is_refused(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1"]).await;
    world.permitted("U-1", at(0)).await;
    world.enrolling("U-1", at(0)).await;
    let file = world.file("U-1").await;
    let good = world.intended(&file, 7, 7, at(1));
    let fraction = at(1) + Duration::microseconds(1);
    let bad = [
        Commit { next: file.holding.clone(), ..good.clone() },
        Commit { facts: Vec::new(), ..good.clone() },
        Commit { intent: None, ..good.clone() },
        Commit { intent: good.intent.clone().map(|intent| Intent { serial: serial(8), ..intent }), ..good.clone() },
        Commit { intent: good.intent.clone().map(|intent| Intent { spki: hash(8), ..intent }), ..good.clone() },
        Commit { certified: Some(Certified { serial: serial(7), fingerprint: hash(7), der: vec![1] }), ..good.clone() },
        commit(&file, file.holding.permit(at(9), fraction), fraction),
        commit(&file, file.holding.permit(fraction, at(1)), at(1)),
    ];
    for (number, commit) in bad.into_iter().enumerate() {
        let error = world.refused(commit).await;
        assert!(matches!(error, CommitError::Storage(StorageError::Damaged { .. })), "{number}: {error:?}");
    }
    world.commit(good).await;
}

/// One record for each fact, in order, with the instant and the actor of the commit, and no gap (I-35).
pub async fn every_fact_leaves_one_record(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1"]).await;
    let before = rig.audit().await;
    world.enrolled("U-1", at(5)).await;
    let audit = rig.audit().await;
    let words: Vec<_> = audit.iter().skip(before.len()).map(|record| record.word.as_str()).collect();
    let expected = [
        "permitted",
        "renewal_started",
        "requested",
        "intended",
        "issued",
        "permission_used",
        "delivered",
        "activated",
    ];
    assert_eq!(words, expected);
    assert!((1..).zip(&audit).all(|(place, record)| record.sequence == place), "{audit:?}");
    for record in audit.iter().skip(before.len()) {
        assert_eq!((record.at, record.subject.clone()), (at(5), Some(id("U-1"))));
        assert_eq!(record.actor, Actor::Holder(id("U-1")));
    }
    for actor in [Actor::Administrator(id("A-1")), Actor::Operator("suite: ops".into()), Actor::System] {
        let file = world.file("U-1").await;
        let permit = file.holding.permit(at(99), at(6));
        world.commit(Commit { actor: actor.clone(), ..commit(&file, permit, at(6)) }).await;
        assert_eq!(rig.audit().await.pop().unwrap().actor, actor);
    }
}

/// A mail is owed once, however often it is planned; a commit may owe nothing but mails.
pub async fn mails_are_owed_once(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1"]).await;
    let (a, b) = (mail("a"), mail("b"));
    for mails in [vec![a.clone()], vec![a.clone(), b.clone()], vec![b.clone()]] {
        let file = world.file("U-1").await;
        world.commit(Commit { mails, ..bare(&file, at(0)) }).await;
    }
    assert_eq!(rig.mails().await, [a.id, b.id]);
    assert_eq!(world.file("U-1").await.version, 3);
}

/// The sweeper finds whom time has to change, most overdue first, and nobody else.
pub async fn overdue_subjects_come_first(rig: &dyn Rig) {
    let world = World::with(rig, &["U-1", "U-2", "U-3", "U-4"]).await;
    let wake = async |name: &str, wake_at| {
        let file = world.file(name).await;
        world.commit(Commit { wake_at, ..bare(&file, at(0)) }).await;
    };
    wake("U-1", Some(at(30))).await;
    wake("U-2", Some(at(10))).await;
    wake("U-3", Some(at(20))).await;
    wake("U-4", Some(at(5))).await;
    wake("U-4", None).await;
    let overdue = async |now, limit| rig.registry().overdue(now, limit).await.unwrap();
    assert_eq!(overdue(at(10) - Duration::MILLISECOND, 9).await, []);
    assert_eq!(overdue(at(10), 9).await, [id("U-2")], "wake_at <= now");
    assert_eq!(overdue(at(99), 9).await, [id("U-2"), id("U-3"), id("U-1")]);
    assert_eq!(overdue(at(99), 2).await, [id("U-2"), id("U-3")]);
}

/// Who polls with the newest number it has seen learns of every certificate that was superseded or revoked, once.
pub async fn changes_are_seen_in_order(rig: &dyn Rig) {
    let mut world = World::with(rig, &["U-1", "U-2"]).await;
    let registry = rig.registry();
    let (one, two) = (world.enrolled("U-1", at(0)).await, world.enrolled("U-2", at(0)).await);
    let (start, none) = registry.changes(0, 9).await.unwrap();
    assert_eq!((start, none.len()), (rig.audit().await.len() as u64, 0));
    let later = at(0) + Duration::days(20);
    let successor = world.renewed("U-1", later).await;
    let (next, seen) = registry.changes(start, 9).await.unwrap();
    let what = |seen: &[ChangeSeen]| seen.iter().map(|change| (change.fingerprint, change.settled)).collect::<Vec<_>>();
    assert_eq!(what(&seen), [(hash(one), Settled::Superseded)]);
    assert!(start < seen[0].sequence && seen[0].sequence <= next);
    world.revoked("U-2", later).await;
    world.revoked("U-1", later).await;
    let (last, seen) = registry.changes(next, 9).await.unwrap();
    assert_eq!(what(&seen), [(hash(two), Settled::Revoked), (hash(successor), Settled::Revoked)]);
    assert_eq!(registry.changes(last, 9).await.unwrap(), (last, vec![]));
    assert_eq!(registry.changes(0, 9).await.unwrap().1.len(), 3);
    assert_eq!(registry.changes(last + 1000, 9).await.unwrap(), (last, vec![]), "an older copy was put back");
    // Page by page the same.
    let (mut place, mut paged) = (start, Vec::new());
    for _ in 0..2 {
        let (next, page) = registry.changes(place, 2).await.unwrap();
        assert_eq!(next == last, page.len() < 2, "{page:?}");
        place = next;
        paged.extend(page);
    }
    assert_eq!((place, what(&paged).len()), (last, 3));
    assert_eq!(paged, registry.changes(start, 9).await.unwrap().1);
}

/// 500 random steps of three subjects: whatever is allowed is committed, and read as it was committed (I-35).
pub async fn random_walks_are_read_as_they_were_committed(rig: &dyn Rig) {
    let names = ["U-1", "U-2", "U-3"];
    let mut world = World::with(rig, &names).await;
    let (mut now, mut seed, mut issued) = (at(0), 0x2545_f491_4f6c_dd1d_u64, 0);
    for _ in 0..500 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = seed >> 33;
        let pause = i64::try_from(dice % 41).unwrap();
        now += if pause > 35 { Duration::days(pause - 30) } else { Duration::minutes(pause) };
        let name = names[usize::try_from(dice / 41 % 3).unwrap()];
        let file = world.file(name).await;
        let commit = (0..30).find_map(|more| step(&mut world, &file, (dice / 123 + 7 * more) % 30, now));
        world.commit(commit.unwrap()).await;
        issued += usize::from(world.file(name).await.holding.certificates.len() > file.holding.certificates.len());
    }
    assert!(issued > 30, "only {issued} certificates were issued on the way");
}

fn step(world: &mut World<'_>, file: &crate::SubjectFile, dice: u64, now: time::UtcDateTime) -> Option<Commit> {
    let (number, holding) = (world.number(), &file.holding);
    let renewal = holding.renewal.as_ref().map_or(renewal_id(0), |renewal| renewal.id);
    let fresh = renewal_id(number);
    let key = koshin_renewal::Key { spki: hash(number), protection: koshin_types::ProtectionLevel::Hardware };
    let event = |event| holding.step(renewal, &event, now, &world.deadlines).ok();
    let change = match dice {
        0 => holding.permit(now + Duration::days(9), now),
        1 => holding.enrol(fresh, &world.policy, now).ok()?,
        2 => holding.start(fresh, &world.policy, now).ok()?,
        3 => holding.defer(&world.policy, now).ok()?,
        4 => event(Event::Deliver)?,
        5 => event(Event::Activate { fingerprint: holding.renewal.as_ref()?.state.issued()?.fingerprint })?,
        6 => holding.start_again(renewal, fresh, now, &world.deadlines).ok()?,
        7 if number % 5 == 0 => holding.revoke(koshin_types::RevocationReason::Superseded, now).ok()?,
        8 => holding.sweep(now, &world.deadlines),
        9 => event(Event::Decline { dialog: koshin_renewal::Dialog::Install })?,
        _ => {
            let open = holding.open_renewal()?;
            return match open.state {
                koshin_renewal::State::Started => {
                    event(Event::Request { key })?;
                    Some(world.intended(file, number, number, now))
                }
                koshin_renewal::State::Intended { serial, .. } => {
                    open.step(&Event::Issue { serial, fingerprint: hash(number) }, now, &world.deadlines).ok()?;
                    Some(world.issued(file, number, now))
                }
                _ => None,
            };
        }
    };
    Some(commit(file, change, now)).filter(|commit| !commit.facts.is_empty())
}

fn mail(key: &str) -> Mail {
    let to = "taro@example.co.jp".parse().unwrap();
    Mail::new(Notice::AddressChanged { at: at(0) }, key, to, Language::Ja, id("U-1"))
}
