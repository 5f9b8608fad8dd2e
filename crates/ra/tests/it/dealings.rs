//! The dealings with a CA elsewhere beside the issue: revocations both ways, and orders that came to nothing.

use koshin_issuance::{CertificationRequest, Gate};
use koshin_ra::{
    Authority as _, AuthorityError, Correspondence as _, DealingsError, Order, Progress, Registry as _, Revocation,
    SessionError,
};
use koshin_renewal::{Admission, Dialog, Status};
use koshin_types::{Fingerprint, RenewalId, RevocationReason, Role, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::{
    faulty::{Fault, Faulty, Wrong, ask, renewing, restarted, status, town},
    town::{NOW, Town, enrolled_for, key, operator, sha256},
};

async fn revoke(town: &Town, id: &str, reason: RevocationReason, now: UtcDateTime) {
    let owed = town.ra.administration().revoke(&id.parse().unwrap(), reason, &operator(), now).await.unwrap();
    assert!(!owed.close.is_empty());
}

async fn serial(town: &Town, certificate: &Fingerprint) -> SerialNumber {
    town.ra.holder(certificate).await.unwrap().unwrap().holding.certificate(certificate).unwrap().serial
}

fn revoked(there: &Faulty) -> Vec<(SerialNumber, RevocationReason)> {
    there.sound.revoked().iter().map(|one| (one.serial, one.reason)).collect()
}

#[tokio::test]
async fn the_ca_is_told_of_every_revocation_once() {
    let (town, there) = town().await;
    let (old, access, id) = renewing(&town, "U-1").await;
    let other = town.enrolled("U-2", enrolled_for(8)).await;
    let lost = sha256(&ask(&town.ra, &access, id, &key(), NOW).await.unwrap());
    let (again, _) = town.ra.start_again(&access, id, NOW).await.unwrap();
    let new = sha256(&ask(&town.ra, &access, again, &key(), NOW).await.unwrap());
    let _ = town.ra.activate(&new, NOW).await.unwrap();
    // Superseded is not revoked; what nobody has any more is.
    town.ra.tell_authority(NOW).await.unwrap();
    let withdrawn = (serial(&town, &lost).await, RevocationReason::CessationOfOperation);
    assert_eq!(revoked(&there), [withdrawn]);
    assert!(matches!(status(&town, "U-1", &old).await, Status::Superseded { .. }));
    let at = NOW + Duration::MINUTE;
    revoke(&town, "U-2", RevocationReason::KeyCompromise, at).await;
    town.ra.tell_authority(at + Duration::SECOND).await.unwrap();
    let compromised = (serial(&town, &other).await, RevocationReason::KeyCompromise);
    assert_eq!(revoked(&there), [withdrawn, compromised]);
    assert_eq!(there.sound.revoked()[1].at, at, "when the registry did it");
    // Nothing new: nothing is recorded.
    let before = (town.store.progress().await.unwrap(), town.store.audit().len());
    town.ra.tell_authority(at + Duration::MINUTE).await.unwrap();
    assert_eq!((town.store.progress().await.unwrap(), town.store.audit().len()), before);
}

/// Whatever happens between the registry's commit and the CA's answer, the CA is told in the end; logins do not wait for it.
#[tokio::test]
async fn what_the_ca_has_not_acknowledged_is_told_again() {
    for fault in [Fault::Down, Fault::AnswerLost] {
        let (town, there) = town().await;
        let mine = town.enrolled("U-1", enrolled_for(8)).await;
        let other = town.enrolled("U-2", enrolled_for(8)).await;
        let signed_in = town.sign_in("U-1", &mine, NOW).await;
        there.set(fault);
        revoke(&town, "U-1", RevocationReason::KeyCompromise, NOW).await;
        revoke(&town, "U-2", RevocationReason::AffiliationChanged, NOW).await;
        let refused = town.ra.session(&signed_in.token, Some(&mine), NOW).await;
        assert!(matches!(refused, Err(SessionError::Certificate(Admission::Revoked { .. }))));
        for _ in 0..3 {
            let told = restarted(&town, &there).tell_authority(NOW).await;
            assert!(matches!(told, Err(DealingsError::Authority(AuthorityError::Unavailable { .. }))), "{told:?}");
        }
        assert_eq!(town.store.progress().await.unwrap().told, 0);
        there.set(Fault::None);
        restarted(&town, &there).tell_authority(NOW + Duration::HOUR).await.unwrap();
        let both = [
            (serial(&town, &mine).await, RevocationReason::KeyCompromise),
            (serial(&town, &other).await, RevocationReason::AffiliationChanged),
        ];
        assert_eq!(revoked(&there), both, "{fault:?}");
    }
}

/// However many there are: page by page, each once, in their order.
#[tokio::test]
async fn the_ca_is_told_of_more_than_one_page() {
    let (town, there) = town().await;
    let mut all = Vec::new();
    for number in 11..=76 {
        let id = format!("U-{number}");
        town.add(&id, Role::User, enrolled_for(8)).await;
        let mine = town.enrolled(&id, enrolled_for(8)).await;
        revoke(&town, &id, RevocationReason::Superseded, NOW).await;
        all.push((serial(&town, &mine).await, RevocationReason::Superseded));
    }
    town.ra.tell_authority(NOW).await.unwrap();
    assert_eq!(revoked(&there), all);
    let last = town.store.changes(0, 1_000).await.unwrap().1.last().unwrap().sequence;
    assert_eq!(town.store.progress().await.unwrap().told, last);
}

/// What the CA never issued, because another one did before it, holds up nothing.
#[tokio::test]
async fn a_revocation_that_the_ca_knows_nothing_of_is_passed_over() {
    let (town, there) = town().await;
    let here = crate::town::registration(&town.store, town.store.clone(), town.ca.clone());
    let before =
        Town { ra: here, store: town.store.clone(), ca: town.ca.clone(), signer_down: town.signer_down.clone() };
    before.enrolled("U-1", enrolled_for(8)).await;
    let other = town.enrolled("U-2", enrolled_for(8)).await;
    revoke(&town, "U-1", RevocationReason::Superseded, NOW).await;
    revoke(&town, "U-2", RevocationReason::Superseded, NOW).await;
    town.ra.tell_authority(NOW).await.unwrap();
    assert_eq!(revoked(&there), [(serial(&town, &other).await, RevocationReason::Superseded)]);
    assert!(town.store.progress().await.unwrap().told > 0);
    // A CA in this process has nobody to tell and nobody to follow.
    before.ra.tell_authority(NOW).await.unwrap();
    assert_eq!(before.ra.follow_authority(NOW).await.unwrap().close, []);
}

#[tokio::test]
async fn invariant_36_what_is_revoked_at_the_ca_logs_in_no_more() {
    let (town, there) = town().await;
    let (mine, access, id) = renewing(&town, "U-1").await;
    let other = town.enrolled("U-2", enrolled_for(8)).await;
    let pending = sha256(&ask(&town.ra, &access, id, &key(), NOW).await.unwrap());
    let signed_in = town.sign_in("U-1", &mine, NOW).await;
    assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, []);
    let reason = RevocationReason::KeyCompromise;
    assert!(there.sound.revoke_there(serial(&town, &mine).await, reason, NOW));
    let mut owed = town.ra.follow_authority(NOW + Duration::SECOND).await.unwrap();
    owed.close.sort();
    let mut both = [mine, pending];
    both.sort();
    assert_eq!((owed.close, owed.mail), (both.to_vec(), true));
    let refused = town.ra.session(&signed_in.token, Some(&mine), NOW + Duration::SECOND).await;
    let at = NOW + Duration::SECOND;
    assert!(
        matches!(refused, Err(SessionError::Certificate(Admission::Revoked { at: when, reason: why })) if (when, why) == (at, reason))
    );
    let record = town.store.audit().into_iter().rev().find(|record| record.word == "revoked").unwrap();
    assert_eq!(record.actor, koshin_ra::Actor::Operator("ca".into()));
    assert!(matches!(status(&town, "U-2", &other).await, Status::Active { .. }), "nobody else");
    // The CA hears of what followed, and its own echo changes nothing.
    town.ra.tell_authority(NOW + Duration::MINUTE).await.unwrap();
    assert_eq!(revoked(&there).len(), 2);
    let before = town.store.audit();
    assert_eq!(town.ra.follow_authority(NOW + Duration::MINUTE).await.unwrap().close, []);
    assert_eq!(town.ra.follow_authority(NOW + Duration::MINUTE).await.unwrap().close, []);
    assert_eq!(town.store.audit(), before);
    assert_eq!(town.store.progress().await.unwrap().heard, 2);
}

/// While the CA is away nothing is known of it, and everything else goes on.
#[tokio::test]
async fn a_ca_that_is_away_stops_no_login() {
    let (town, there) = town().await;
    let (mine, access, id) = renewing(&town, "U-1").await;
    there.set(Fault::Down);
    assert!(matches!(town.ra.follow_authority(NOW).await, Err(DealingsError::Authority(_))));
    assert!(town.sign_in("U-1", &mine, NOW).await.notice);
    town.ra.defer(&access, NOW).await.unwrap();
    town.ra.decline(&access, id, Dialog::Key, NOW).await.unwrap();
    town.ra.begin_enrolment("U-2", crate::town::PASSWORD, NOW).await.unwrap();
    there.set(Fault::None);
    assert!(there.sound.revoke_there(serial(&town, &mine).await, RevocationReason::Superseded, NOW));
    assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, [mine]);
}

/// The CA's operator revokes a certificate whose issue has not been answered: it is not passed over, and keeps nothing back
/// that was revoked after it.
#[tokio::test]
async fn a_certificate_that_is_revoked_before_it_arrives_never_logs_in() {
    let (town, there) = town().await;
    let (old, access, id) = renewing(&town, "U-1").await;
    let csr = key();
    there.set(Fault::AnswerLost);
    ask(&town.ra, &access, id, &csr, NOW).await.unwrap_err();
    there.set(Fault::None);
    let (_, lost) = there.good().into_iter().find(|(renewal, _)| *renewal == id).unwrap();
    assert!(there.sound.revoke_there(lost, RevocationReason::KeyCompromise, NOW));
    let other = town.enrolled("U-2", enrolled_for(8)).await;
    assert!(there.sound.revoke_there(serial(&town, &other).await, RevocationReason::KeyCompromise, NOW));
    assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, [other]);
    for _ in 0..3 {
        assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, []);
        assert_eq!(town.store.progress().await.unwrap(), Progress::default(), "asked about again");
    }
    let failed = ask(&town.ra, &access, id, &csr, NOW).await.unwrap_err();
    assert!(failed.is_final(), "{failed:?}");
    assert_eq!(town.holding("U-1").await.admission(&old, NOW), Admission::Login);
    // What is void is settled, and the place is passed.
    let _ = town.ra.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, []);
    assert_eq!(town.store.progress().await.unwrap().heard, 2);
}

/// An older copy of the CA's ledger was put back: what it tells is taken from its beginning.
#[tokio::test]
async fn a_ca_that_was_restored_is_followed_again() {
    let (town, there) = town().await;
    let mine = town.enrolled("U-1", enrolled_for(8)).await;
    town.store.reached(koshin_ra::Reached::Heard(1000)).await.unwrap();
    assert!(there.sound.revoke_there(serial(&town, &mine).await, RevocationReason::KeyCompromise, NOW));
    let mut closed = Vec::new();
    for _ in 0..3 {
        closed.extend(town.ra.follow_authority(NOW).await.unwrap().close);
    }
    assert_eq!(closed, [mine]);
    assert_eq!(town.store.progress().await.unwrap().heard, 1);
}

/// A renewal ends while its certificate is on its way. Nobody will ever have it, so it is revoked.
#[tokio::test]
async fn what_arrives_for_a_renewal_that_has_ended_is_revoked() {
    let (town, there) = town().await;
    let (_, access, id) = renewing(&town, "U-1").await;
    there.set(Fault::AnswerLost);
    ask(&town.ra, &access, id, &key(), NOW).await.unwrap_err();
    let (again, _) = town.ra.start_again(&access, id, NOW).await.unwrap();
    // As long as the CA is away the order is kept.
    let _ = town.ra.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert_eq!(town.store.void(9).await.unwrap().len(), 1);
    there.set(Fault::None);
    let bundle = ask(&town.ra, &access, again, &key(), NOW + Duration::MINUTE).await.unwrap();
    let _ = town.ra.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert_eq!((town.store.waiting_since().await.unwrap().is_some(), there.good().len()), (false, 2));
    let orphan = there.sound.issued().into_iter().find(|(renewal, _)| *renewal == id).unwrap().1;
    assert_eq!(revoked(&there).last().unwrap().1, RevocationReason::CessationOfOperation);
    assert!(town.ra.holder(&sha256(&orphan)).await.unwrap().is_none(), "it never was in the registry");
    let _ = town.ra.activate(&sha256(&bundle), NOW + Duration::MINUTE).await.unwrap();
    assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, []);
    assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, []);
}

/// An order that never arrived and is too old now is forgotten; nothing is issued for it.
#[tokio::test]
async fn what_never_arrived_for_a_renewal_that_has_ended_is_forgotten() {
    let (town, there) = town().await;
    let (old, access, id) = renewing(&town, "U-1").await;
    there.set(Fault::Down);
    ask(&town.ra, &access, id, &key(), NOW).await.unwrap_err();
    let end = town.holding("U-1").await.certificate(&old).unwrap().validity.end();
    let _ = town.ra.sweep(end).await.unwrap();
    let _ = town.ra.sweep(end + Duration::MINUTE).await.unwrap();
    assert!(matches!(town.holding("U-1").await.renewal.unwrap().state, koshin_renewal::State::Expired));
    there.set(Fault::None);
    let issued = there.sound.issued().len();
    let _ = town.ra.sweep(end + Duration::HOUR).await.unwrap();
    assert_eq!((town.store.waiting_since().await.unwrap().is_some(), there.sound.issued().len()), (false, issued));
    assert_eq!(revoked(&there), []);
}

/// The same order for another key.
fn for_key(order: Order, request: &[u8]) -> Order {
    let spki = CertificationRequest::from_der(request, &Gate::new()).unwrap().spki_fingerprint();
    Order { spki, request: request.to_vec(), ..order }
}

/// An order whose answer never verifies keeps neither the void orders behind it back nor what was revoked at the CA.
#[tokio::test]
async fn an_order_that_never_verifies_holds_up_nothing() {
    let (town, there) = town().await;
    let (_, access, stuck) = renewing(&town, "U-1").await;
    there.set(Fault::WrongFor(stuck, Wrong::Ca));
    ask(&town.ra, &access, stuck, &key(), NOW).await.unwrap_err();
    let order = town.store.order(&stuck).await.unwrap().unwrap();
    let _ = town.ra.start_again(&access, stuck, NOW).await.unwrap();
    let (other, access, lost) = renewing(&town, "U-2").await;
    there.set(Fault::AnswerLost);
    ask(&town.ra, &access, lost, &key(), NOW).await.unwrap_err();
    let _ = town.ra.start_again(&access, lost, NOW).await.unwrap();
    there.set(Fault::WrongFor(stuck, Wrong::Ca));
    there.asked();
    for second in 60..80 {
        let _ = town.ra.sweep(NOW + Duration::seconds(second)).await.unwrap();
    }
    let void: Vec<_> = town.store.void(9).await.unwrap().iter().map(|order| order.renewal).collect();
    assert_eq!((void, revoked(&there).len()), (vec![stuck], 1), "the one behind it is settled");
    assert_eq!(there.asked(), 2, "once each");

    // What another registration authority revokes; the first two before anything was ordered that is still waiting.
    let early = NOW - Duration::hours(2);
    for number in 0..130_u8 {
        let foreign = Order { renewal: RenewalId::new([number; 16]), ..order.clone() };
        let foreign = for_key(foreign, &key());
        let der = there.sound.issue(&foreign, NOW).await.unwrap();
        let at = if number < 2 { early } else { NOW };
        assert!(there.sound.revoke_there(crate::faulty::serial_of(&der), RevocationReason::Superseded, at));
    }
    assert!(there.sound.revoke_there(serial(&town, &other).await, RevocationReason::KeyCompromise, NOW));
    let mut closed = Vec::new();
    for _ in 0..2 {
        closed.extend(town.ra.follow_authority(NOW).await.unwrap().close);
    }
    assert_eq!(closed, [other], "behind more pages than are read at once");
    assert_eq!(town.ra.follow_authority(NOW).await.unwrap().close, []);
    let heard = town.store.progress().await.unwrap().heard;
    assert!(heard < 10, "{heard}: what may be the certificate of the order is not recorded as passed");
    // In the end it is settled, and everything is passed.
    there.set(Fault::None);
    let _ = town.ra.sweep(NOW + Duration::minutes(3)).await.unwrap();
    assert_eq!(town.store.waiting_since().await.unwrap(), None);
    let _ = town.ra.follow_authority(NOW).await.unwrap();
    assert!(town.store.progress().await.unwrap().heard > 130);
}

/// A renewal whose answer never verifies is tried less and less often, and not at all as long as it has no other reason.
#[tokio::test]
async fn an_answer_that_never_verifies_is_asked_for_less_and_less_often() {
    let (town, there) = town().await;
    let (_, access, stuck) = renewing(&town, "U-1").await;
    let csr = key();
    there.set(Fault::WrongFor(stuck, Wrong::Ca));
    ask(&town.ra, &access, stuck, &csr, NOW).await.unwrap_err();
    there.asked();
    let start = NOW + Duration::MINUTE;
    let mut asked_at = Vec::new();
    for second in 0..600 {
        let _ = town.ra.sweep(start + Duration::seconds(second)).await.unwrap();
        if there.asked() > 0 {
            asked_at.push(second);
        }
    }
    assert_eq!(asked_at[..7], [0, 4, 12, 28, 60, 120, 180], "{asked_at:?}");
    assert_eq!(asked_at.len(), 13, "{asked_at:?}");
    // It keeps nobody else waiting, and its holder does not have to wait.
    let (_, other, lost) = renewing(&town, "U-2").await;
    let now = start + Duration::seconds(601);
    assert!(ask(&town.ra, &other, lost, &key(), now).await.is_ok());
    there.set(Fault::None);
    assert!(ask(&town.ra, &access, stuck, &csr, now).await.is_ok());
    // Nor does a clock that was set back make it wait.
    town.add("U-3", Role::User, enrolled_for(8)).await;
    let (_, access, stuck) = renewing(&town, "U-3").await;
    there.set(Fault::WrongFor(stuck, Wrong::Ca));
    ask(&town.ra, &access, stuck, &key(), now + Duration::HOUR).await.unwrap_err();
    there.set(Fault::None);
    let _ = town.ra.sweep(now + Duration::minutes(30)).await.unwrap();
    let _ = town.ra.sweep(now + Duration::hours(2)).await.unwrap();
    assert!(matches!(crate::faulty::state(&town, "U-3").await, koshin_renewal::State::Issued { .. }));
}

/// What is settled: the registry and the CA agree on every certificate.
async fn agree(town: &Town, there: &Faulty, seed: u64) {
    let good = there.good();
    let revoked = there.sound.revoked();
    for (renewal, der) in there.sound.issued() {
        let held = town.ra.holder(&sha256(&der)).await.unwrap();
        let is_good = good.iter().any(|(id, _)| *id == renewal);
        match held.as_ref().map(|file| file.holding.certificate(&sha256(&der)).unwrap().status) {
            Some(Status::Revoked { .. }) => assert!(!is_good, "{seed}: revoked here, good there"),
            Some(_) => assert!(is_good, "{seed}: good here, revoked there"),
            None => assert!(!is_good, "{seed}: unknown here, good there"),
        }
    }
    for id in ["U-1", "U-2"] {
        for held in town.holding(id).await.certificates {
            let document = town.store.document(&held.serial).await.unwrap().unwrap();
            assert!(there.sound.issued().contains(&(document.intent.renewal, document.certificate.unwrap())), "{seed}");
        }
    }
    let mut serials: Vec<_> = revoked.iter().map(|one: &Revocation| one.serial).collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), revoked.len(), "{seed}: revoked once");
}

/// Random steps of two holders, an operator here, one at the CA, and faults in between. At no moment there are two open
/// certificates for one renewal, and when the faults are over, registry and CA agree on everything.
#[tokio::test]
async fn invariant_22_whatever_goes_wrong_one_renewal_gives_one_certificate() {
    let (mut issued, mut revoked) = (0, 0);
    for seed in 1..=12_u64 {
        let (town, there) = town().await;
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        let mut people = Vec::new();
        for id in ["U-1", "U-2"] {
            let (old, access, renewal) = renewing(&town, id).await;
            people.push((id, old, access, renewal, key()));
        }
        let mut ra = town.ra.clone();
        let mut now = NOW;
        for _ in 0..60 {
            now += Duration::seconds(i64::try_from(roll(90)).unwrap());
            let (id, old, access, renewal, csr) = &mut people[usize::try_from(roll(2)).unwrap()];
            match roll(12) {
                0 => there.set(Fault::None),
                1 => there.set(Fault::Down),
                2 => there.set(Fault::AnswerLost),
                3 => there.set(Fault::Wrong(crate::faulty::WRONG[usize::try_from(roll(9)).unwrap()])),
                4 => ra = restarted(&town, &there),
                5 | 6 => drop(ask(&ra, access, *renewal, csr, now).await),
                7 => drop(ra.sweep(now).await.unwrap()),
                8 => drop(ra.tell_authority(now).await),
                9 => drop(ra.follow_authority(now).await),
                10 if roll(3) == 0 => {
                    if let Ok((again, _)) = ra.start_again(access, *renewal, now).await {
                        (*renewal, *csr) = (again, key());
                    }
                }
                11 if roll(6) == 0 => {
                    let good = there.good();
                    if let Some((_, serial)) = good.get(usize::try_from(roll(9)).unwrap()) {
                        there.sound.revoke_there(*serial, RevocationReason::KeyCompromise, now);
                    }
                }
                _ => {}
            }
            // Before its end nothing but a revocation keeps the old certificate from logging in (I-24).
            let admission = town.holding(id).await.admission(old, now);
            assert!(matches!(admission, Admission::Login | Admission::Revoked { .. }), "{seed}: {admission:?}");
        }
        there.set(Fault::None);
        for _ in 0..4 {
            now += Duration::MINUTE;
            let _ = ra.sweep(now).await.unwrap();
            ra.tell_authority(now).await.unwrap();
            let _ = ra.follow_authority(now).await.unwrap();
        }
        assert!(town.store.waiting_since().await.unwrap().is_none(), "{seed}");
        agree(&town, &there, seed).await;
        issued += there.sound.issued().len();
        revoked += there.sound.revoked().len();
    }
    assert!(issued > 40 && revoked > 12, "{issued} and {revoked}: too little happened");
}
