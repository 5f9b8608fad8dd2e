//! Renewal, from the notice to the activation.

use std::sync::atomic::Ordering;

use koshin_expiry::ValidityRefused;
use koshin_ra::{ChangeError, Commit, IssuanceError, Registry, SessionError, Subject};
use koshin_renewal::{Admission, Refused, State, Status};
use koshin_types::{ProtectionLevel, RevocationReason, SubjectId};
use time::Duration;

use crate::town::{NOW, Town, enrolled_for, key, operator, sha256};

const DAY: Duration = Duration::DAY;

#[tokio::test]
async fn notice_renewal_activation() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(30)).await;
    let signed_in = town.sign_in("U-1", &old, NOW).await;
    assert!(signed_in.notice);
    let access = signed_in.access;
    town.ra.defer(&access, NOW).await.unwrap();
    assert_eq!(town.holding("U-1").await.certificates[0].deferred, 1);
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let csr = key();
    let bundle = town.request(&access, id, &csr, NOW).await;
    // The root is left out: who relies on it has it.
    assert_eq!(bundle.chain, [town.ra.ca().certificate_der()]);
    // A lost answer, a second tab, a retry: the same bytes.
    assert_eq!(town.request(&access, id, &csr, NOW + Duration::MINUTE).await, bundle);
    let access = town.ra.session(&signed_in.token, Some(&old), NOW).await.unwrap();
    assert_eq!(town.ra.certificate(&access, id).await.unwrap(), bundle);
    town.ra.deliver(&access, id, NOW).await.unwrap();

    let new = sha256(&bundle.certificate);
    // The old one works until the new one is proven.
    assert_eq!(town.holding("U-1").await.admission(&old, NOW), Admission::Login);
    let (serial, owed) = town.ra.activate(&new, NOW + DAY).await.unwrap();
    assert_eq!((serial, owed.close), (bundle.serial, vec![old]));
    let replaced = town.ra.session(&signed_in.token, Some(&old), NOW + DAY).await.unwrap_err();
    assert!(matches!(replaced, SessionError::Certificate(Admission::Superseded { by, .. }) if by == serial));
    assert!(!town.sign_in("U-1", &new, NOW + DAY).await.notice);
    let (again, owed) = town.ra.activate(&new, NOW + DAY).await.unwrap();
    assert_eq!((again, owed.close), (serial, vec![]));
}

#[tokio::test]
async fn invariant_30_parallel_confirmations_give_one_certificate() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let csr = key();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (ra, access, csr) = (town.ra.clone(), access.clone(), csr.clone());
        tasks.spawn(async move { ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await });
    }
    let mut bundles = Vec::new();
    while let Some(result) = tasks.join_next().await {
        bundles.push(result.unwrap().unwrap().0);
    }
    assert_eq!(bundles.len(), 16);
    assert!(bundles.iter().all(|bundle| *bundle == bundles[0]));
    assert_eq!(town.holding("U-1").await.certificates.len(), 2);
}

#[tokio::test]
async fn two_tabs_start_one_renewal() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let (a, b) = tokio::join!(town.ra.start_renewal(&access, NOW), town.ra.start_renewal(&access, NOW));
    assert_eq!(a.unwrap(), b.unwrap());
}

#[tokio::test]
async fn invariant_31_a_key_is_certified_once() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let other = town.enrolled("U-2", enrolled_for(8)).await;
    let first = town.sign_in("U-1", &old, NOW).await.access;
    let second = town.sign_in("U-2", &other, NOW).await.access;
    let csr = key();
    let id = town.ra.start_renewal(&first, NOW).await.unwrap();
    town.request(&first, id, &csr, NOW).await;
    // Another key for the same renewal, the same key for another subject's.
    let refused = town.ra.request_certificate(&first, id, &key(), ProtectionLevel::File, NOW).await.unwrap_err();
    assert!(matches!(refused, IssuanceError::Change(ChangeError::Refused(Refused::OtherKey { .. }))), "{refused:?}");
    let id = town.ra.start_renewal(&second, NOW).await.unwrap();
    let refused = town.ra.request_certificate(&second, id, &csr, ProtectionLevel::File, NOW).await.unwrap_err();
    assert!(matches!(refused, IssuanceError::Change(ChangeError::KeySeen { .. })), "{refused:?}");
    assert_eq!(town.holding("U-2").await.renewal.unwrap().state, State::Started);
}

#[tokio::test]
async fn a_signer_that_is_down_loses_nothing() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let csr = key();
    town.signer_down.store(true, Ordering::Release);
    let failed = town.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await.unwrap_err();
    assert!(matches!(failed, IssuanceError::Issue(_)), "{failed:?}");
    let State::Intended { serial, .. } = town.holding("U-1").await.renewal.unwrap().state else {
        panic!("the intent is not kept");
    };
    town.signer_down.store(false, Ordering::Release);
    // Time passes, the sweeper finds the owed signature; the page asks again and gets what was signed.
    let _ = town.ra.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert!(
        matches!(town.holding("U-1").await.renewal.unwrap().state, State::Issued { issued } if issued.serial == serial)
    );
    let bundle = town.request(&access, id, &csr, NOW + Duration::MINUTE).await;
    assert_eq!(bundle.serial, serial);
    assert_eq!(town.holding("U-1").await.certificates.len(), 2);
}

/// What was begun in a registry that was put back, and revoked since, ends; its holder is not kept waiting for ever.
#[tokio::test]
async fn a_serial_number_that_stands_revoked_ends_the_renewal() {
    for swept in [true, false] {
        let town = Town::new().await;
        let old = town.enrolled("U-1", enrolled_for(8)).await;
        let access = town.sign_in("U-1", &old, NOW).await.access;
        let id = town.ra.start_renewal(&access, NOW).await.unwrap();
        let csr = key();
        town.signer_down.store(true, Ordering::Release);
        town.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await.unwrap_err();
        let State::Intended { serial, .. } = town.holding("U-1").await.renewal.unwrap().state else {
            panic!("the intent is not kept");
        };
        town.signer_down.store(false, Ordering::Release);
        town.store.adopt(serial);
        let now = NOW + Duration::MINUTE;
        if swept {
            let _ = town.ra.sweep(now).await.unwrap();
        } else {
            let refused = town.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, now).await.unwrap_err();
            assert!(refused.is_final(), "{refused:?}");
            assert!(matches!(refused, IssuanceError::SerialRevoked { serial: found } if found == serial));
        }
        assert_eq!(town.holding("U-1").await.renewal.unwrap().state, State::Refused);
        assert_eq!(town.holding("U-1").await.admission(&old, now), Admission::Login);
        let again = town.ra.start_renewal(&access, now).await.unwrap();
        assert_ne!(again, id);
        assert_ne!(town.request(&access, again, &key(), now).await.serial, serial);
    }
}

#[tokio::test]
async fn start_again_revokes_the_certificate_nobody_has() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let first = town.ra.start_renewal(&access, NOW).await.unwrap();
    let lost = sha256(&town.request(&access, first, &key(), NOW).await.certificate);
    let (second, owed) = town.ra.start_again(&access, first, NOW).await.unwrap();
    assert_eq!(owed.close, vec![lost]);
    let bundle = town.request(&access, second, &key(), NOW).await;
    let holding = town.holding("U-1").await;
    let reason = RevocationReason::CessationOfOperation;
    assert_eq!(holding.admission(&lost, NOW), Admission::Revoked { at: NOW, reason });
    assert!(town.ra.activate(&lost, NOW).await.is_err());
    assert!(town.ra.activate(&sha256(&bundle.certificate), NOW).await.is_ok());
}

#[tokio::test]
async fn renewal_is_refused_exactly_when_it_is_not_offered() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(200)).await;
    let signed_in = town.sign_in("U-1", &old, NOW).await;
    assert!(!signed_in.notice);
    let refused = town.ra.start_renewal(&signed_in.access, NOW).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Refused(Refused::TooEarly { .. })), "{refused:?}");
    assert!(town.ra.defer(&signed_in.access, NOW).await.is_err());
}

#[tokio::test]
async fn invariant_36_revocation_ends_sessions_at_once() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let signed_in = town.sign_in("U-1", &old, NOW).await;
    let id = town.ra.start_renewal(&signed_in.access, NOW).await.unwrap();
    let pending = sha256(&town.request(&signed_in.access, id, &key(), NOW).await.certificate);
    let reason = RevocationReason::KeyCompromise;
    let owed = town.ra.administration().revoke(&"U-1".parse().unwrap(), reason, &operator(), NOW).await.unwrap();
    assert_eq!(owed.close.len(), 2);
    let refused = town.ra.session(&signed_in.token, Some(&old), NOW).await.unwrap_err();
    assert!(matches!(refused, SessionError::Certificate(Admission::Revoked { .. })), "{refused:?}");
    assert!(town.ra.activate(&pending, NOW).await.is_err());
    let (newest, changes) = town.ra.changes(0).await.unwrap();
    assert!(newest > 0 && changes.iter().any(|change| change.fingerprint == old));
}

#[tokio::test]
async fn invariant_28_nobody_else_is_touched() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    town.enrolled("U-2", enrolled_for(8)).await;
    let before = town.ra.subject(&"U-2".parse().unwrap()).await.unwrap();
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let bundle = town.request(&access, id, &key(), NOW).await;
    let (_, owed) = town.ra.activate(&sha256(&bundle.certificate), NOW).await.unwrap();
    assert_eq!(owed.close, vec![old]);
    assert_eq!(town.ra.subject(&"U-2".parse().unwrap()).await.unwrap(), before);
}

#[tokio::test]
async fn what_is_never_activated_is_revoked_in_time() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let pending = sha256(&town.request(&access, id, &key(), NOW).await.certificate);
    let deadline = NOW + Duration::days(35);
    let _ = town.ra.sweep(deadline).await.unwrap();
    assert_eq!(town.holding("U-1").await.admission(&pending, deadline), Admission::ActivationOnly);
    let _ = town.ra.sweep(deadline + Duration::MINUTE).await.unwrap();
    let status = town.holding("U-1").await.certificate(&pending).unwrap().status;
    assert!(matches!(status, Status::Revoked { .. }));
}

#[tokio::test]
async fn an_address_that_fits_into_no_certificate_keeps_nobody_from_one() {
    let town = Town::new().await;
    let has = |der: &[u8], octets: &[u8]| der.windows(octets.len()).any(|window| window == octets);
    // 2.5.29.17, subjectAltName.
    let san = [0x55, 0x1d, 0x11];
    for (address, fits) in [("\"a..b\"@docomo.example", false), ("山田@例え.jp", false), ("a.b@example.jp", true)] {
        let id = "U-1".parse().unwrap();
        town.ra
            .administration()
            .set_address(&id, Some(address.parse().unwrap()), true, &operator(), NOW)
            .await
            .unwrap();
        town.ra.administration().permit(&id, &operator(), NOW).await.unwrap();
        let (_, access, renewal) = town.prove("U-1", NOW).await;
        let bundle = town.request(&access, renewal, &key(), NOW).await;
        assert_eq!(has(&bundle.certificate, &san), fits, "{address}");
        town.ra.activate(&sha256(&bundle.certificate), NOW).await.unwrap().1.close.clear();
    }
}

#[tokio::test]
async fn what_can_never_be_signed_ends_so_that_its_holder_can_begin_again() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    town.signer_down.store(true, Ordering::Release);
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let csr = key();
    town.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await.unwrap_err();
    // A key that does not answer ends nothing, however often it is asked.
    let _ = town.ra.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert!(matches!(town.holding("U-1").await.renewal.unwrap().state, State::Intended { .. }));
    // What was recorded for one CA is never signed by another.
    let ra = town.with_another_ca();
    let _ = ra.sweep(NOW + Duration::minutes(2)).await.unwrap();
    let holding = town.holding("U-1").await;
    assert_eq!(holding.renewal.as_ref().unwrap().state, State::Refused);
    assert_eq!(holding.admission(&old, NOW), Admission::Login);
    let again = ra.start_renewal(&access, NOW).await.unwrap();
    assert_ne!(again, id);
    let bundle = ra.request_certificate(&access, again, &key(), ProtectionLevel::File, NOW).await.unwrap().0;
    assert!(ra.activate(&sha256(&bundle.certificate), NOW).await.is_ok());
}

#[tokio::test]
async fn the_page_that_asks_again_learns_that_it_was_refused() {
    let town = Town::new().await;
    town.ra.administration().permit(&"U-1".parse().unwrap(), &operator(), NOW).await.unwrap();
    let (_, access, id) = town.prove("U-1", NOW).await;
    town.signer_down.store(true, Ordering::Release);
    let csr = key();
    let failed = town.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await.unwrap_err();
    assert!(!failed.is_final(), "{failed:?}");
    let ra = town.with_another_ca();
    let failed = ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await.unwrap_err();
    assert!(failed.is_final(), "{failed:?}");
    assert_eq!(town.holding("U-1").await.renewal.unwrap().state, State::Refused);
    // The permission is not used up by it.
    let (_, access, again) = town.prove("U-1", NOW).await;
    assert!(ra.request_certificate(&access, again, &key(), ProtectionLevel::File, NOW).await.is_ok());
}

#[tokio::test]
async fn those_who_cannot_be_helped_keep_nobody_back() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    town.ra.start_renewal(&access, NOW).await.unwrap();
    // More than one sweep asks for at once, all of them overdue for longer, and none with anything that it could change.
    let store: &dyn Registry = town.store.as_ref();
    for number in 0..600 {
        let id: SubjectId = format!("S-{number}").parse().unwrap();
        let subject = Subject { id: id.clone(), password_hash: None, ..access.file.subject.clone() };
        town.ra.administration().add_subject(&subject, &operator(), NOW).await.unwrap();
        let file = store.subject(&id).await.unwrap().unwrap();
        let change = file.holding.permit(NOW, NOW);
        let commit = Commit {
            subject: id,
            version: file.version,
            at: NOW,
            actor: operator(),
            facts: change.facts,
            next: change.next,
            wake_at: Some(NOW - DAY),
            order: None,
            intent: None,
            certified: None,
            mails: Vec::new(),
        };
        store.commit(commit).await.unwrap();
    }
    let _ = town.ra.sweep(NOW + 2 * DAY).await.unwrap();
    let state = town.holding("U-1").await.renewal.unwrap().state;
    assert!(matches!(state, State::Abandoned { .. }), "{state:?}");
}

#[tokio::test]
async fn nothing_is_issued_beyond_the_ca_and_the_old_certificate_stays() {
    let town = Town::in_the_last_year_of_its_ca().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let refused = town.ra.request_certificate(&access, id, &key(), ProtectionLevel::File, NOW).await;
    assert!(matches!(refused, Err(IssuanceError::Validity(ValidityRefused::BeyondCa { .. }))));
    let holding = town.holding("U-1").await;
    assert_eq!((holding.certificates.len(), holding.admission(&old, NOW)), (1, Admission::Login));
}
