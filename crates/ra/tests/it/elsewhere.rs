//! Certificates from a CA elsewhere that is away, slow, forgetful or wrong.

use std::sync::atomic::Ordering;

use koshin_issuance::VerifyError;
use koshin_ra::{AuthorityError, Correspondence as _, IssuanceError, Registry as _};
use koshin_renewal::{Admission, State};
use koshin_types::ProtectionLevel;
use time::Duration;

use crate::{
    faulty::{Fault, WRONG, Wrong, ask, renewing, restarted, serial_of, state, town},
    town::{NOW, key, registration, sha256},
};

#[tokio::test]
async fn a_renewal_goes_through_without_the_key_of_a_ca() {
    let (town, there) = town().await;
    let (old, access, id) = renewing(&town, "U-1").await;
    let csr = key();
    let before = town.store.audit().len();
    let (bundle, _) = town.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await.unwrap();
    assert_eq!(bundle.chain, [town.ca.certificate_der()]);
    // Request, then intent and issue in one commit.
    let words: Vec<_> = town.store.audit()[before..].iter().map(|record| record.word.clone()).collect();
    assert_eq!(words, ["requested", "intended", "issued"]);
    assert_eq!(town.ra.subject(access.id()).await.unwrap().unwrap().version, access.file.version + 3, "with the start");
    let document = town.store.document(&bundle.serial).await.unwrap().unwrap();
    assert_eq!(document.certificate.as_ref(), Some(&bundle.certificate));
    assert!(bundle.certificate.windows(document.intent.tbs.len()).any(|bytes| bytes == document.intent.tbs));
    assert_eq!((document.intent.renewal, document.intent.validity), (id, bundle.validity));
    // The same bytes again, and the CA is not asked for them.
    assert_eq!(there.asked(), 2);
    assert_eq!(town.request(&access, id, &csr, NOW + Duration::MINUTE).await, bundle);
    assert_eq!((there.asked(), town.store.waiting_since().await.unwrap().is_some()), (0, false));
    let (serial, owed) = town.ra.activate(&sha256(&bundle.certificate), NOW).await.unwrap();
    assert_eq!((serial, owed.close), (bundle.serial, vec![old]));
}

#[tokio::test]
async fn invariant_30_parallel_confirmations_give_one_certificate_elsewhere() {
    let (town, there) = town().await;
    for (fault, who) in [(Fault::None, "U-1"), (Fault::Slow, "U-2")] {
        let (_, access, id) = renewing(&town, who).await;
        there.set(fault);
        let csr = key();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (ra, access, csr) = (town.ra.clone(), access.clone(), csr.clone());
            tasks.spawn(async move { ask(&ra, &access, id, &csr, NOW).await });
        }
        let mut all = Vec::new();
        while let Some(result) = tasks.join_next().await {
            all.push(result.unwrap().unwrap());
        }
        assert!(all.len() == 16 && all.iter().all(|der| *der == all[0]), "{fault:?}");
        assert_eq!(town.holding(who).await.certificates.len(), 2);
        there.set(Fault::None);
    }
    assert_eq!(there.sound.issued().len(), 4);
}

/// F02: the request is stored and nothing is signed; after the restart the same request is answered, once.
#[tokio::test]
async fn what_was_asked_is_asked_again_after_a_crash_and_answered_once() {
    for fault in [Fault::Down, Fault::AnswerLost] {
        let (town, there) = town().await;
        let (old, access, id) = renewing(&town, "U-1").await;
        let csr = key();
        let issued = there.sound.issued().len();
        there.set(fault);
        let failed = ask(&town.ra, &access, id, &csr, NOW).await.unwrap_err();
        let unavailable = matches!(failed, IssuanceError::Authority(AuthorityError::Unavailable { .. }));
        assert!(unavailable && !failed.is_final(), "{failed:?}");
        let order = town.store.order(&id).await.unwrap().unwrap();
        there.asked();

        // As long as it lasts: one question each sweep, the same one, and nothing else changes.
        let restarted = restarted(&town, &there);
        for minute in 1..5 {
            let now = NOW + Duration::MINUTE * minute;
            assert!(restarted.sweep(now).await.unwrap().close.is_empty());
            assert_eq!(there.asked(), 1);
            assert!(matches!(state(&town, "U-1").await, State::Requested { .. }));
            assert_eq!(town.store.order(&id).await.unwrap().as_ref(), Some(&order));
            assert_eq!(town.holding("U-1").await.admission(&old, now), Admission::Login);
            town.sign_in("U-1", &old, now).await;
        }
        // It is back: the sweep obtains the certificate, and the page that asks again gets it.
        there.set(Fault::None);
        let now = NOW + Duration::minutes(5);
        let _ = restarted.sweep(now).await.unwrap();
        assert!(matches!(state(&town, "U-1").await, State::Issued { .. }));
        let der = ask(&restarted, &access, id, &csr, now).await.unwrap();
        assert_eq!(there.asked(), 1);
        assert_eq!(there.sound.issued().len(), issued + 1, "{fault:?}");
        assert!(there.sound.issued().contains(&(id, der)));
        assert!(town.store.waiting_since().await.unwrap().is_none());
        let _ = restarted.sweep(now + Duration::MINUTE).await.unwrap();
        assert_eq!(there.asked(), 0);
    }
}

#[tokio::test]
async fn nothing_wrong_is_stored() {
    let (town, there) = town().await;
    let (old, access, id) = renewing(&town, "U-1").await;
    let csr = key();
    let (certificates, serials) = (town.holding("U-1").await.certificates, there.good());
    for (minute, wrong) in (0..).zip(WRONG) {
        there.set(Fault::Wrong(wrong));
        let now = NOW + Duration::MINUTE * minute;
        let failed = ask(&town.ra, &access, id, &csr, now).await.unwrap_err();
        let IssuanceError::Verify(error) = failed else { panic!("{wrong:?}: {failed:?}") };
        let as_it_should = match wrong {
            Wrong::Noise => error == VerifyError::Structure,
            Wrong::Ca | Wrong::Signature | Wrong::SignedBytes => error == VerifyError::Signature,
            Wrong::Key => error == VerifyError::Differs { field: "public key" },
            Wrong::Validity => error == VerifyError::Differs { field: "validity" },
            Wrong::Mail => error == VerifyError::Differs { field: "subjectAltName" },
            Wrong::Subject | Wrong::Organization => error == VerifyError::Differs { field: "subject" },
        };
        assert!(as_it_should, "{wrong:?}: {error:?}");
        assert!(!IssuanceError::from(error).is_final());
        let _ = town.ra.sweep(now + Duration::seconds(30)).await.unwrap();
        assert!(matches!(state(&town, "U-1").await, State::Requested { .. }));
        assert_eq!(town.holding("U-1").await.certificates, certificates, "{wrong:?}");
        assert_eq!(town.holding("U-1").await.admission(&old, now), Admission::Login);
    }
    there.set(Fault::None);
    let der = ask(&town.ra, &access, id, &csr, NOW + Duration::HOUR).await;
    // By now the order is too old for this CA, and another one took its place.
    let serial = serial_of(&der.unwrap());
    assert_eq!(town.holding("U-1").await.certificates[1].serial, serial);
    assert_eq!(there.good().len(), serials.len() + 1);
}

#[tokio::test]
async fn an_order_that_is_too_old_is_followed_by_one_of_today() {
    let (town, there) = town().await;
    let (_, access, id) = renewing(&town, "U-1").await;
    let csr = key();
    there.set(Fault::Down);
    ask(&town.ra, &access, id, &csr, NOW).await.unwrap_err();
    let first = town.store.order(&id).await.unwrap().unwrap();
    there.set(Fault::None);
    let now = NOW + Duration::days(2);
    let _ = town.ra.sweep(now).await.unwrap();
    let State::Issued { issued } = state(&town, "U-1").await else { panic!("it was not issued") };
    let held = town.holding("U-1").await.certificate(&issued.fingerprint).unwrap().clone();
    let backdated = first.at - first.validity.not_before();
    assert_eq!(held.validity.not_before(), now - backdated);
    assert!(held.validity.not_after() > first.validity.not_after());
    assert_eq!(there.sound.issued().iter().filter(|(renewal, _)| *renewal == id).count(), 1);
}

/// A CA that calls everything too old is not asked with ever new orders: one a minute, and the state stays.
#[tokio::test]
async fn a_ca_that_calls_everything_too_old_changes_little() {
    let (town, there) = town().await;
    let (_, access, id) = renewing(&town, "U-1").await;
    there.set(Fault::Stale);
    let failed = ask(&town.ra, &access, id, &key(), NOW).await.unwrap_err();
    assert!(matches!(failed, IssuanceError::Authority(AuthorityError::Stale)) && !failed.is_final(), "{failed:?}");
    let version = async || town.ra.subject(access.id()).await.unwrap().unwrap().version;
    let before = version().await;
    for second in 6..=126 {
        let _ = town.ra.sweep(NOW + Duration::seconds(second)).await.unwrap();
    }
    assert_eq!(version().await, before + 2);
    assert!(matches!(state(&town, "U-1").await, State::Requested { .. }));
}

/// What an operator has to put right waits for it with the same order, and keeps nobody else waiting: neither those who
/// are owed a certificate nor void orders.
#[tokio::test]
async fn an_order_that_is_declined_waits_alone() {
    let (town, there) = town().await;
    let (_, access, id) = renewing(&town, "U-1").await;
    let (_, other, behind) = renewing(&town, "U-2").await;
    there.set(Fault::Down);
    ask(&town.ra, &access, id, &key(), NOW).await.unwrap_err();
    ask(&town.ra, &other, behind, &key(), NOW + Duration::SECOND).await.unwrap_err();
    let order = town.store.order(&id).await.unwrap();
    there.set(Fault::DeclinedFor(id));
    for minute in 1..4 {
        let _ = town.ra.sweep(NOW + Duration::MINUTE * minute).await.unwrap();
    }
    assert!(matches!(state(&town, "U-1").await, State::Requested { .. }));
    assert_eq!(town.store.order(&id).await.unwrap(), order, "no other one takes its place");
    assert!(matches!(state(&town, "U-2").await, State::Issued { .. }));
    // The holder of the second one begins again as well: both orders are void.
    let (again, _) = town.ra.start_again(&access, id, NOW + Duration::minutes(4)).await.unwrap();
    there.set(Fault::AnswerLost);
    ask(&town.ra, &access, again, &key(), NOW + Duration::minutes(4)).await.unwrap_err();
    let _ = town.ra.start_again(&access, again, NOW + Duration::minutes(4)).await.unwrap();
    there.set(Fault::DeclinedFor(id));
    let _ = town.ra.sweep(NOW + Duration::minutes(5)).await.unwrap();
    assert_eq!(town.store.void(9).await.unwrap(), Vec::from_iter(order));
    there.set(Fault::None);
    let _ = town.ra.sweep(NOW + Duration::minutes(6)).await.unwrap();
    assert!(town.store.waiting_since().await.unwrap().is_none());
}

#[tokio::test]
async fn what_the_ca_refuses_for_good_ends_and_its_holder_begins_again() {
    let (town, there) = town().await;
    let (old, access, id) = renewing(&town, "U-1").await;
    there.set(Fault::Refused);
    let failed = ask(&town.ra, &access, id, &key(), NOW).await.unwrap_err();
    assert!(failed.is_final(), "{failed:?}");
    assert_eq!(state(&town, "U-1").await, State::Refused);
    assert_eq!(town.holding("U-1").await.admission(&old, NOW), Admission::Login);
    there.set(Fault::None);
    let again = town.ra.start_renewal(&access, NOW).await.unwrap();
    assert_ne!(again, id);
    ask(&town.ra, &access, again, &key(), NOW).await.unwrap();
}

/// What was recorded for one CA is never issued by another, neither way round.
#[tokio::test]
async fn a_change_of_the_ca_ends_what_was_on_its_way() {
    let (town, there) = town().await;
    let (_, access, id) = renewing(&town, "U-1").await;
    there.set(Fault::AnswerLost);
    ask(&town.ra, &access, id, &key(), NOW).await.unwrap_err();
    let here = registration(&town.store, town.store.clone(), town.ca.clone());
    let _ = here.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert_eq!(state(&town, "U-1").await, State::Refused);

    there.set(Fault::None);
    let (_, access, id) = renewing(&town, "U-2").await;
    town.signer_down.store(true, Ordering::Release);
    ask(&here, &access, id, &key(), NOW).await.unwrap_err();
    town.signer_down.store(false, Ordering::Release);
    assert!(matches!(state(&town, "U-2").await, State::Intended { .. }));
    let _ = town.ra.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert_eq!(state(&town, "U-2").await, State::Refused);
}
