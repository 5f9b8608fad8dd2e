//! Sign-in and enrolment.

use std::sync::{Arc, Mutex};

use koshin_notify::{Audience, Notice, WhyClosed};
use koshin_ra::{
    AuditNote, Beginning, Begun, EnrolError, MemoryStore, Session, SessionError, SessionKey, Sessions, SignInError,
    StorageError, Subject, Trace, Tries,
};
use koshin_renewal::Admission;
use koshin_types::RevocationReason;
use time::{Duration, UtcDateTime};

use crate::town::{NOW, PASSWORD, Town, authority, enrolled_for, key, operator, registration, sha256};

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
    // Only the holder is told why no code comes, where only the holder reads it.
    let mails = town.store.mails().split_off(sent);
    let not_after = town.holding("U-1").await.certificates[0].validity.not_after();
    let told: Vec<_> = mails.into_iter().map(|mail| (mail.kind, mail.to.as_str().to_owned())).collect();
    let why = WhyClosed::StillValid { not_after };
    assert_eq!(told, [(Notice::EnrolmentClosed { why }, "u-1@example.jp".to_owned())]);
}

#[tokio::test]
async fn every_reason_that_keeps_the_door_closed_is_told() {
    let town = Town::new().await;
    let told = async |now: UtcDateTime| {
        let before = town.store.mails().len();
        town.ra.begin_enrolment("U-1", PASSWORD, now).await.unwrap();
        let mails = town.store.mails().split_off(before);
        mails.into_iter().map(|mail| mail.kind).collect::<Vec<_>>()
    };
    let closed = |why| vec![Notice::EnrolmentClosed { why }];
    let (id, desk) = ("U-1".parse().unwrap(), town.ra.administration());
    let then = NOW - Duration::days(800);
    assert_eq!(told(then).await, closed(WhyClosed::NotPermitted));
    let until = desk.permit(&id, &operator(), then).await.unwrap();
    assert_eq!(told(until).await, closed(WhyClosed::PermissionLapsed { until }));
    let enrolled = then + Duration::days(100);
    town.enrolled("U-1", enrolled).await;
    let not_after = town.holding("U-1").await.certificates[0].validity.not_after();
    assert_eq!(told(not_after).await, closed(WhyClosed::StillValid { not_after }));
    let address = Some("new@example.jp".parse().unwrap());
    desk.set_address(&id, address, false, &operator(), not_after).await.unwrap();
    let rests = not_after + Duration::DAY;
    let why = WhyClosed::AddressRests { until: rests };
    assert_eq!(told(rests - Duration::MILLISECOND).await, closed(why));
    assert!(matches!(told(rests).await[..], [Notice::EnrolmentCode { .. }]));
    let owed = desk.revoke(&id, RevocationReason::KeyCompromise, &operator(), rests).await.unwrap();
    assert!(owed.mail);
    assert_eq!(told(rests + Duration::DAY).await, closed(WhyClosed::Revoked));
    desk.set_address(&id, None, true, &operator(), rests).await.unwrap();
    assert_eq!(told(rests + 2 * Duration::DAY).await, []);
}

/// Sessions that everybody reads before anybody writes, as it happens to those who ask at the same moment.
struct AtOnce {
    store: Arc<MemoryStore>,
    /// When others fail between the first look at the tries and what follows.
    others: Mutex<Vec<UtcDateTime>>,
}

impl AtOnce {
    fn over(store: &Arc<MemoryStore>) -> Self {
        Self { store: Arc::clone(store), others: Mutex::default() }
    }
}

#[async_trait::async_trait]
impl Sessions for AtOnce {
    async fn open(&self, session: Session, subject: &Subject, note: AuditNote) -> Result<bool, StorageError> {
        self.store.open(session, subject, note).await
    }

    async fn begin(&self, beginning: Beginning) -> Result<Begun, StorageError> {
        self.store.begin(beginning).await
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Session>, StorageError> {
        let found = self.store.find(key).await;
        tokio::task::yield_now().await;
        found
    }

    async fn replace(
        &self,
        before: &Session,
        after: &Session,
        note: Option<(UtcDateTime, AuditNote)>,
    ) -> Result<bool, StorageError> {
        self.store.replace(before, after, note).await
    }

    async fn close(&self, key: &SessionKey, note: AuditNote, at: UtcDateTime) -> Result<(), StorageError> {
        self.store.close(key, note, at).await
    }

    async fn tries(&self, key: &str) -> Result<Tries, StorageError> {
        let tries = self.store.tries(key).await;
        tokio::task::yield_now().await;
        let others = std::mem::take(&mut *self.others.lock().unwrap());
        for at in others {
            let note = AuditNote { actor: operator(), subject: None, word: "other", details: [].into() };
            self.store.note_try(key, Some((at, note.into()))).await?;
        }
        tries
    }

    async fn note_try(&self, key: &str, failed: Option<(UtcDateTime, Trace)>) -> Result<Tries, StorageError> {
        self.store.note_try(key, failed).await
    }
}

#[tokio::test]
async fn beginnings_that_come_at_once_are_counted_one_by_one() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let ra = registration(&town.store, Arc::new(AtOnce::over(&town.store)), authority(10).0);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let ra = ra.clone();
        tries.spawn(async move { ra.begin_enrolment("U-1", PASSWORD, NOW).await.map(|_| ()) });
    }
    let answers = tries.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5, "{answers:?}");
    let is_late = |answer: &Result<(), EnrolError>| matches!(answer, Err(EnrolError::TooMany { .. }));
    assert_eq!(answers.iter().filter(|answer| is_late(answer)).count(), 15);
}

/// Whoever has the certificate and guesses passwords all at once learns no more than one by one.
#[tokio::test]
async fn passwords_that_come_at_once_are_counted_one_by_one() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(8)).await;
    let ra = registration(&town.store, Arc::new(AtOnce::over(&town.store)), authority(10).0);
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..20 {
        let ra = ra.clone();
        tries.spawn(async move { ra.sign_in(Some(&mine), "U-1", &format!("wrong {number}"), NOW).await.map(|_| ()) });
    }
    let answers = tries.join_all().await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(SignInError::Wrong))).count(), 5, "{answers:?}");
    let is_late = |answer: &Result<(), SignInError>| matches!(answer, Err(SignInError::TooMany { .. }));
    assert_eq!(answers.iter().filter(|answer| is_late(answer)).count(), 15, "{answers:?}");
    assert!(is_late(&ra.sign_in(Some(&mine), "U-1", PASSWORD, NOW).await.map(|_| ())));
    // After the wait everything is as ever, and a right password makes up for all of it.
    let later = NOW + Duration::HOUR;
    ra.sign_in(Some(&mine), "U-1", PASSWORD, later).await.unwrap();
    for _ in 0..5 {
        assert!(matches!(ra.sign_in(Some(&mine), "U-1", "wrong", later).await, Err(SignInError::Wrong)));
    }
    assert!(is_late(&ra.sign_in(Some(&mine), "U-1", PASSWORD, later).await.map(|_| ())));
}

/// The one that is right is among them: it is answered as if it had come after those that were counted meanwhile.
#[tokio::test]
async fn a_right_password_among_many_is_told_from_a_wrong_one_by_nothing() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(8)).await;
    let sessions = Arc::new(AtOnce::over(&town.store));
    let ra = registration(&town.store, sessions.clone(), authority(10).0);
    let mut now = NOW;
    for (others, is_answered) in [(4, true), (5, false)] {
        for password in [PASSWORD, "wrong"] {
            ra.sign_in(Some(&mine), "U-1", PASSWORD, now).await.unwrap();
            *sessions.others.lock().unwrap() = vec![now; others];
            let answer = ra.sign_in(Some(&mine), "U-1", password, now).await;
            match (is_answered, password == PASSWORD) {
                (true, true) => assert!(answer.is_ok(), "{answer:?}"),
                (true, false) => assert!(matches!(answer, Err(SignInError::Wrong)), "{answer:?}"),
                (false, _) => assert!(matches!(answer, Err(SignInError::TooMany { .. })), "{answer:?}"),
            }
            now += Duration::HOUR;
        }
    }
}

/// One code, eight digits: whoever asks often or all at once gets no more tries than a holder.
#[tokio::test]
async fn a_code_is_compared_no_more_often_than_allowed() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let token = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let code = town.code();
    let wrong = if code == "12345678" { "87654321" } else { "12345678" };
    let ra = registration(&town.store, Arc::new(AtOnce::over(&town.store)), authority(10).0);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (ra, token) = (ra.clone(), token.clone());
        tries.spawn(async move { ra.prove_enrolment(&token, wrong, NOW).await.map(|_| ()) });
    }
    let compared = |answer: &Result<(), EnrolError>| matches!(answer, Err(EnrolError::WrongCode { left }) if *left > 0);
    let answers = tries.join_all().await;
    assert!(answers.iter().filter(|answer| compared(answer)).count() <= 4, "{answers:?}");
    let counted = town.store.audit().iter().filter(|record| record.word == "enrolment_code_wrong").count();
    assert!(counted <= 5, "{counted} were compared");
    assert!(
        town.ra.prove_enrolment(&token, &code, NOW).await.is_err(),
        "the tries are used up, also for the right one"
    );
}

#[tokio::test]
async fn wrong_codes_and_new_codes_slow_down_the_next_ones() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(-3)).await;
    let mut now = NOW;
    let (mut guesses, mut refused) = (0, 0);
    // A day of somebody who knows the password and guesses codes as fast as the answers come.
    while now < NOW + Duration::DAY {
        let wait = match town.ra.begin_enrolment("U-1", PASSWORD, now).await {
            Ok(token) => loop {
                match town.ra.prove_enrolment(&token, "00000000", now).await {
                    Err(EnrolError::WrongCode { left: 0 }) => break now,
                    Err(EnrolError::WrongCode { .. }) => guesses += 1,
                    Err(EnrolError::TooMany { retry_at }) => {
                        refused += 1;
                        break retry_at;
                    }
                    other => panic!("{other:?}"),
                }
            },
            Err(EnrolError::TooMany { retry_at }) => retry_at,
            Err(other) => panic!("{other:?}"),
        };
        now = wait.max(now);
    }
    assert!(refused > 0 && guesses < 250, "{guesses} guesses a day");
    let answer = town.ra.sign_in(Some(&mine), "U-1", PASSWORD, NOW).await;
    assert!(matches!(answer, Err(SignInError::Certificate(Admission::Expired { .. }))), "no sign-in is slowed down");
}

#[tokio::test]
async fn strangers_do_not_keep_out_who_holds_the_code() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let token = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let code = town.code();
    for _ in 0..4 {
        town.ra.begin_enrolment("U-1", "wrong password", NOW).await.unwrap();
    }
    assert!(matches!(town.ra.begin_enrolment("U-1", PASSWORD, NOW).await, Err(EnrolError::TooMany { .. })));
    assert!(town.ra.prove_enrolment(&token, &code, NOW).await.is_ok());
    town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.expect("forgotten after a right code");
}

/// What can be seen from outside, and what storage is made to do, is the same for right and wrong and nobody.
#[tokio::test]
async fn a_right_password_cannot_be_told_from_a_wrong_one() {
    for (id, password) in [("U-1", PASSWORD), ("U-1", "wrong password"), ("U-9", PASSWORD), ("U-2", PASSWORD)] {
        let town = Town::new().await;
        town.enrolled("U-1", enrolled_for(-3)).await;
        for _ in 0..5 {
            town.ra.begin_enrolment(id, password, NOW).await.unwrap();
        }
        let sixth = town.ra.begin_enrolment(id, password, NOW).await;
        let retry = NOW + Duration::seconds(30);
        assert!(matches!(sixth, Err(EnrolError::TooMany { retry_at }) if retry_at == retry), "{id} {password}");
        let seventh = town.ra.begin_enrolment(id, password, retry).await;
        assert!(seventh.is_ok(), "{id} {password}");
    }
}

#[tokio::test]
async fn invented_ids_leave_next_to_nothing() {
    let town = Town::new().await;
    let before = town.store.audit().len();
    for number in 0..25 {
        let token = town.ra.begin_enrolment(&format!("nobody-{number}"), "password", NOW).await.unwrap();
        let answer = town.ra.prove_enrolment(&token, "00000000", NOW).await;
        assert!(matches!(answer, Err(EnrolError::WrongCode { .. })));
        // The session ends with the code.
        let until = NOW + Duration::minutes(10);
        let answer = town.ra.prove_enrolment(&token, "00000000", until).await;
        assert!(matches!(answer, Err(EnrolError::CodeExpired { .. })));
        let session = town.store.find(&token.key()).await.unwrap().unwrap();
        assert_eq!(session.ends_at, until);
    }
    let words: Vec<_> = town.store.audit().split_off(before).into_iter().map(|record| record.word).collect();
    assert_eq!(words, ["enrolment_refused", "enrolment_code_wrong"], "one each at the tenth");
    town.ra.begin_enrolment("U-1", "wrong password", NOW).await.unwrap();
    assert_eq!(town.store.audit().len(), before + 3, "what is tried with a known ID is recorded");
}

#[tokio::test]
async fn a_changed_password_or_address_ends_what_is_under_way() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(100)).await;
    let (id, desk) = ("U-1".parse().unwrap(), town.ra.administration());
    let portal = town.sign_in("U-1", &mine, NOW).await.token;
    desk.set_password(&id, "another password", &operator(), NOW).await.unwrap();
    assert!(matches!(town.ra.session(&portal, Some(&mine), NOW).await, Err(SessionError::None)));
    desk.set_password(&id, PASSWORD, &operator(), NOW).await.unwrap();

    desk.permit(&id, &operator(), NOW).await.unwrap();
    let token = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let code = town.code();
    let (proven, ..) = town.prove("U-1", NOW).await;
    let address = Some("new@example.jp".parse().unwrap());
    desk.set_address(&id, address, false, &operator(), NOW).await.unwrap();
    let late = town.ra.prove_enrolment(&token, &code, NOW).await;
    assert!(matches!(late, Err(EnrolError::Session(SessionError::None))), "{late:?}");
    assert!(matches!(town.ra.enrolment_session(&proven, NOW).await, Err(SessionError::None)));
}

/// The answer to the first submission may be lost; the second one leads to the same place.
#[tokio::test]
async fn a_code_that_is_submitted_twice_opens_one_enrolment() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let token = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let code = town.code();
    let twice = tokio::join!(town.ra.prove_enrolment(&token, &code, NOW), town.ra.prove_enrolment(&token, &code, NOW));
    let (first, renewal, _) = twice.0.unwrap();
    let (second, same, _) = twice.1.unwrap();
    assert_eq!(renewal, same);
    for proven in [&first, &second] {
        assert_eq!(town.ra.enrolment_session(proven, NOW).await.unwrap().1, renewal);
    }
    let until = NOW + Duration::minutes(10);
    assert!(matches!(town.ra.prove_enrolment(&token, &code, until).await, Err(EnrolError::CodeExpired { .. })));
    // Once that enrolment was followed by another one, the code leads nowhere.
    let (access, _) = town.ra.enrolment_session(&first, NOW).await.unwrap();
    let (next, _) = town.ra.start_again(&access, renewal, NOW).await.unwrap();
    let late = town.ra.prove_enrolment(&token, &code, NOW).await;
    assert!(matches!(late, Err(EnrolError::Session(SessionError::None))), "{late:?}");
    assert_eq!(town.ra.enrolment_session(&first, NOW).await.unwrap().1, next, "who started again goes on");
    let over = town.ra.enrolment_session(&second, NOW).await;
    assert!(matches!(over, Err(SessionError::EnrolmentOver { renewal: old }) if old == renewal), "{over:?}");
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
    assert!(matches!(town.ra.prove_enrolment(&token, &code, NOW).await, Err(EnrolError::WrongCode { left: 0 })));
    assert!(matches!(town.ra.prove_enrolment(&proven, &code, NOW).await, Err(EnrolError::Session(SessionError::None))));

    let token = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let code = town.code();
    let wrong = if code == "12345678" { "87654321" } else { "12345678" };
    for _ in 0..4 {
        assert!(matches!(town.ra.prove_enrolment(&token, wrong, NOW).await, Err(EnrolError::WrongCode { .. })));
    }
    // The beginning counts too.
    let retry = NOW + Duration::seconds(30);
    let soon = town.ra.prove_enrolment(&token, &code, NOW).await;
    assert!(matches!(soon, Err(EnrolError::TooMany { retry_at }) if retry_at == retry), "{soon:?}");
    assert!(matches!(town.ra.prove_enrolment(&token, wrong, retry).await, Err(EnrolError::WrongCode { left: 0 })));
    assert!(matches!(town.ra.prove_enrolment(&token, &code, retry).await, Err(EnrolError::WrongCode { left: 0 })));
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
    let day = NOW + Duration::DAY;
    town.ra.begin_enrolment("U-1", PASSWORD, day - Duration::MILLISECOND).await.unwrap();
    let why = WhyClosed::AddressRests { until: day };
    assert_eq!(town.store.mails().last().unwrap().kind, Notice::EnrolmentClosed { why });
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

#[test]
fn an_organization_chooses_its_digests() {
    let store = MemoryStore::default();
    let chosen = koshin_ra::conformance::an_organization_chooses_its_digests(&store, &store);
    koshin_notify::conformance::run(chosen);
}
