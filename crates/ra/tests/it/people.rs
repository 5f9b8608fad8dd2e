//! Sign-in and enrolment.

use koshin_notify::{Audience, Notice};
use koshin_ra::{EnrolError, SessionError, SignInError};
use koshin_renewal::Admission;
use time::Duration;

use crate::town::{NOW, PASSWORD, Town, enrolled_for, key, operator, sha256};

#[tokio::test]
async fn certificate_id_and_password_belong_together() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(100)).await;
    let other = town.enrolled("U-2", enrolled_for(100)).await;
    assert!(matches!(town.ra.sign_in(None, "U-1", PASSWORD, NOW).await, Err(SignInError::NoCertificate)));
    let unknown = sha256(b"not ours");
    let answer = town.ra.sign_in(Some(&unknown), "U-1", PASSWORD, NOW).await;
    assert!(matches!(answer, Err(SignInError::Certificate(Admission::Unknown))));
    for (id, password) in [("U-1", "wrong password"), ("U-2", PASSWORD), ("U-9", PASSWORD), ("", "")] {
        let answer = town.ra.sign_in(Some(&mine), id, password, NOW).await;
        assert!(matches!(answer, Err(SignInError::Wrong)), "{id}");
    }
    let signed_in = town.sign_in("U-1", &mine, NOW).await;
    for certificate in [None, Some(&other), Some(&unknown)] {
        let answer = town.ra.session(&signed_in.token, certificate, NOW).await;
        assert!(matches!(answer, Err(SessionError::OtherCertificate)));
    }
}

#[tokio::test]
async fn wrong_passwords_are_slowed_down_and_forgotten_after_a_right_one() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(100)).await;
    for _ in 0..5 {
        assert!(matches!(town.ra.sign_in(Some(&mine), "U-1", "wrong", NOW).await, Err(SignInError::Wrong)));
    }
    let retry = NOW + Duration::seconds(30);
    let answer = town.ra.sign_in(Some(&mine), "U-1", PASSWORD, retry - Duration::MILLISECOND).await;
    assert!(matches!(answer, Err(SignInError::TooMany { retry_at }) if retry_at == retry));
    town.sign_in("U-1", &mine, retry).await;
    assert!(matches!(town.ra.sign_in(Some(&mine), "U-1", "wrong", retry).await, Err(SignInError::Wrong)));
    town.sign_in("U-1", &mine, retry).await;
}

#[tokio::test]
async fn sessions_end_when_idle_in_all_and_with_the_certificate() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(100)).await;
    let token = town.sign_in("U-1", &mine, NOW).await.token;
    let at = |minutes| NOW + Duration::minutes(minutes);
    let idle = town.ra.session(&token, Some(&mine), at(15)).await;
    assert!(matches!(idle, Err(SessionError::Idle { .. })));
    let mut now = NOW;
    while now + Duration::minutes(14) < at(12 * 60) {
        now += Duration::minutes(14);
        town.ra.session(&token, Some(&mine), now).await.unwrap();
    }
    let ended = town.ra.session(&token, Some(&mine), at(12 * 60)).await;
    assert!(matches!(ended, Err(SessionError::Ended { .. })));

    let end = town.holding("U-1").await.certificates[0].validity.end();
    let late = end - Duration::minutes(5);
    let token = town.sign_in("U-1", &mine, late).await.token;
    assert!(town.ra.session(&token, Some(&mine), end - Duration::MILLISECOND).await.is_ok());
    let ended = town.ra.session(&token, Some(&mine), end).await;
    assert!(matches!(ended, Err(SessionError::Certificate(Admission::Expired { .. }))));
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(100)).await;
    let signed_in = town.sign_in("U-1", &mine, NOW).await;
    town.ra.sign_out(&signed_in.access, NOW).await.unwrap();
    assert!(matches!(town.ra.session(&signed_in.token, Some(&mine), NOW).await, Err(SessionError::None)));
}

#[tokio::test]
async fn a_pending_certificate_is_activated_by_its_first_sign_in() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let new = sha256(&town.request(&access, id, &key(), NOW).await.certificate);
    assert!(town.ra.sign_in(Some(&new), "U-1", "wrong", NOW).await.is_err());
    assert_eq!(town.holding("U-1").await.admission(&old, NOW), Admission::Login);
    let signed_in = town.sign_in("U-1", &new, NOW).await;
    assert_eq!(signed_in.owed.close, vec![old]);
    assert!(town.ra.session(&signed_in.token, Some(&new), NOW).await.is_ok());
}

#[tokio::test]
async fn the_expired_enrol_and_everybody_is_told() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(-3)).await;
    let before = town.holding("U-1").await;
    let answer = town.ra.sign_in(Some(&old), "U-1", PASSWORD, NOW).await;
    assert!(matches!(answer, Err(SignInError::Certificate(Admission::Expired { .. }))));
    let (_, access, id) = town.prove("U-1", NOW).await;
    let bundle = town.request(&access, id, &key(), NOW).await;
    let told: Vec<_> = town
        .store
        .mails()
        .into_iter()
        .filter_map(|mail| match mail.kind {
            Notice::CertificateIssued { serial, audience, .. } if serial == bundle.serial => {
                Some((audience, mail.to.as_str().to_owned()))
            }
            _ => None,
        })
        .collect();
    let expected = [(Audience::Holder, "u-1@example.jp".into()), (Audience::Administrator, "a-1@example.jp".into())];
    assert_eq!(told, expected);
    let new = sha256(&bundle.certificate);
    town.sign_in("U-1", &new, NOW).await;
    let after = town.holding("U-1").await;
    assert_eq!(after.certificates.len(), before.certificates.len() + 1);
}

#[tokio::test]
async fn nobody_learns_from_outside_whether_an_enrolment_began() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(100)).await;
    let sent = town.store.mails().len();
    // Wrong password, unknown ID, no ID at all, and a certificate that is still valid: the same answer, and no mail.
    for (id, password) in [("U-2", "wrong password"), ("U-9", PASSWORD), ("'; --", PASSWORD), ("U-1", PASSWORD)] {
        let token = town.ra.begin_enrolment(id, password, NOW).await.unwrap();
        let answer = town.ra.prove_enrolment(&token, "00000000", NOW).await;
        assert!(matches!(answer, Err(EnrolError::WrongCode { left: 4 })), "{id}");
    }
    assert_eq!(town.store.mails().len(), sent);
}

#[tokio::test]
async fn a_code_works_once_here_soon_and_after_few_tries() {
    let town = Town::new().await;
    town.ra.administration().permit(&"U-1".parse().unwrap(), &operator(), NOW).await.unwrap();
    let token = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let code = town.code();
    let elsewhere = town.ra.begin_enrolment("U-2", PASSWORD, NOW).await.unwrap();
    assert!(matches!(town.ra.prove_enrolment(&elsewhere, &code, NOW).await, Err(EnrolError::WrongCode { .. })));
    let until = NOW + Duration::minutes(10);
    assert!(matches!(town.ra.prove_enrolment(&token, &code, until).await, Err(EnrolError::CodeExpired { .. })));
    let wrong = if code == "12345678" { "87654321" } else { "12345678" };
    for left in (1..5).rev() {
        let answer = town.ra.prove_enrolment(&token, wrong, NOW).await;
        assert!(matches!(answer, Err(EnrolError::WrongCode { left: now_left }) if now_left == left), "{left}");
    }
    let right = town.ra.prove_enrolment(&token, &code, until - Duration::MILLISECOND).await;
    let (proven, ..) = right.unwrap();
    assert!(matches!(town.ra.prove_enrolment(&token, &code, NOW).await, Err(EnrolError::Session(SessionError::None))));
    assert!(matches!(town.ra.prove_enrolment(&proven, &code, NOW).await, Err(EnrolError::Session(SessionError::None))));

    let token = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let code = town.code();
    let wrong = if code == "12345678" { "87654321" } else { "12345678" };
    for _ in 0..5 {
        assert!(matches!(town.ra.prove_enrolment(&token, wrong, NOW).await, Err(EnrolError::WrongCode { .. })));
    }
    assert!(matches!(town.ra.prove_enrolment(&token, &code, NOW).await, Err(EnrolError::WrongCode { left: 0 })));
}

#[tokio::test]
async fn wrong_passwords_on_the_public_host_do_not_slow_the_portal() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(100)).await;
    for _ in 0..5 {
        town.ra.begin_enrolment("U-1", "wrong password", NOW).await.unwrap();
    }
    assert!(matches!(town.ra.begin_enrolment("U-1", PASSWORD, NOW).await, Err(EnrolError::TooMany { .. })));
    town.sign_in("U-1", &mine, NOW).await;
}

#[tokio::test]
async fn a_changed_address_opens_no_enrolment_for_a_day() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let id = "U-1".parse().unwrap();
    let address = Some("new@example.jp".parse().unwrap());
    town.ra.administration().set_address(&id, address.clone(), false, &operator(), NOW).await.unwrap();
    let told: Vec<_> = town
        .store
        .mails()
        .into_iter()
        .filter(|mail| matches!(mail.kind, Notice::AddressChanged { .. }))
        .map(|mail| mail.to.as_str().to_owned())
        .collect();
    assert_eq!(told, ["u-1@example.jp", "new@example.jp"]);
    let sent = town.store.mails().len();
    let day = NOW + Duration::DAY;
    town.ra.begin_enrolment("U-1", PASSWORD, day - Duration::MILLISECOND).await.unwrap();
    assert_eq!(town.store.mails().len(), sent);
    town.prove("U-1", day).await;
    town.ra.administration().set_address(&id, address, true, &operator(), day).await.unwrap();
    town.prove("U-1", day).await;
}

#[tokio::test]
async fn start_again_goes_on_in_the_same_enrolment_session() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let (token, access, first) = town.prove("U-1", NOW).await;
    let lost = sha256(&town.request(&access, first, &key(), NOW).await.certificate);
    let (second, owed) = town.ra.start_again(&access, first, NOW).await.unwrap();
    assert_eq!(owed.close, vec![lost]);
    let (access, bound) = town.ra.enrolment_session(&token, NOW).await.unwrap();
    assert_eq!(bound, second);
    town.request(&access, second, &key(), NOW).await;
}
