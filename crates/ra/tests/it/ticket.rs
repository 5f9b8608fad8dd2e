//! Renewal by a program: what a ticket opens, and what it does not.

use koshin_notify::{Notice, Way};
use koshin_ra::{Access, ChangeError, IssuanceError, SessionError, Sessions as _, TicketError};
use koshin_renewal::{Admission, Refused, Status};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, RevocationReason};
use time::{Duration, UtcDateTime};

use crate::town::{NOW, PASSWORD, Town, enrolled_for, key, operator, sha256};

/// A subject with a certificate in its last 30 days, signed in, and a ticket.
struct Program {
    certificate: Fingerprint,
    access: Access,
    ticket: String,
    renewal: RenewalId,
}

impl Town {
    async fn program(&self, id: &str) -> Program {
        let certificate = self.enrolled(id, enrolled_for(8)).await;
        let access = self.sign_in(id, &certificate, NOW).await.access;
        let ticket = self.ra.renewal_ticket(&access, NOW).await.unwrap();
        assert_eq!(ticket.until, NOW + Duration::minutes(15));
        Program { certificate, access, ticket: ticket.token.reveal().to_owned(), renewal: ticket.renewal }
    }

    async fn show(
        &self,
        certificate: &Fingerprint,
        shown: Option<(&str, &str)>,
        now: UtcDateTime,
    ) -> Result<(Access, RenewalId), TicketError> {
        self.ra.ticket_access(Some(certificate), shown, now).await
    }

    /// Audit records with this word.
    fn noted(&self, word: &str) -> usize {
        self.store.audit().iter().filter(|record| record.word == word).count()
    }
}

#[tokio::test]
async fn a_ticket_renews_and_only_a_sign_in_activates() {
    let town = Town::new().await;
    let Program { certificate, ticket, renewal, .. } = town.program("U-1").await;
    let csr = key();
    let shown = Some(("U-1", ticket.as_str()));
    let (access, bound) = town.show(&certificate, shown, NOW).await.unwrap();
    assert_eq!(bound, renewal);
    let told = town.store.mails().len();
    let (bundle, owed) = town.ra.request_by_program(&access, renewal, &csr, NOW).await.unwrap();
    assert!(owed.mail);
    let mails = town.store.mails();
    assert_eq!(mails.len(), told + 1, "the holder is told at the issue");
    let way = match &mails.last().unwrap().kind {
        Notice::CertificateIssued { serial, way, .. } if *serial == bundle.serial => *way,
        other => panic!("{other:?}"),
    };
    assert_eq!(way, Way::Renewal);

    // The answer was lost: the same request gets the same certificate, and no second mail.
    let (access, _) = town.show(&certificate, shown, NOW + Duration::MINUTE).await.unwrap();
    let again = town.ra.request_by_program(&access, renewal, &csr, NOW).await.unwrap();
    assert_eq!((again.0, again.1.mail), (bundle.clone(), false));
    assert_eq!(town.store.mails().len(), told + 1);

    // Whoever has the files alone cannot put the certificate into use.
    let new = sha256(&bundle.certificate);
    assert!(matches!(town.ra.activate(&new, NOW).await, Err(ChangeError::PasswordNeeded)));
    assert_eq!(town.holding("U-1").await.certificate(&new).unwrap().status, Status::Pending);
    town.ra.sign_in(Some(&new), "U-1", "wrong password", NOW).await.unwrap_err();
    assert_eq!(town.holding("U-1").await.certificate(&new).unwrap().status, Status::Pending);
    let signed_in = town.sign_in("U-1", &new, NOW).await;
    assert_eq!(signed_in.owed.close, [certificate]);
    let held = town.holding("U-1").await;
    let held = held.certificate(&new).unwrap();
    assert!(matches!(held.status, Status::Active { .. }) && held.key.protection == ProtectionLevel::File);
    let again = town.ra.activate(&new, NOW).await.unwrap().1;
    assert!(again.close.is_empty() && !again.mail);
    for word in ["ticket_made", "requested_by_program"] {
        assert_eq!(town.noted(word), 1, "{word}");
    }
}

#[tokio::test]
async fn a_stolen_file_renews_nothing() {
    let town = Town::new().await;
    let Program { certificate, .. } = town.program("U-1").await;
    let before = town.holding("U-1").await;
    assert!(matches!(town.show(&certificate, None, NOW).await, Err(TicketError::Needed)));
    for (id, secret) in [("U-1", PASSWORD), ("U-1", ""), ("U-1", &"0".repeat(64)), ("", "")] {
        assert!(matches!(town.show(&certificate, Some((id, secret)), NOW).await, Err(TicketError::Wrong)), "{secret}");
    }
    assert_eq!(town.holding("U-1").await, before);
    assert_eq!(town.noted("ticket_refused"), 4);
}

#[tokio::test]
async fn a_ticket_is_for_one_subject_one_certificate_one_renewal_and_one_session() {
    let town = Town::new().await;
    let mine = town.program("U-1").await;
    let other = town.program("U-2").await;
    let wrong = async |certificate: &Fingerprint, id: &str, ticket: &str, now| {
        let refused = town.show(certificate, Some((id, ticket)), now).await;
        assert!(matches!(refused, Err(TicketError::Wrong)), "{refused:?}");
    };
    // Another subject's, with either ID and either certificate; the cookie of a session; a ticket as a cookie.
    wrong(&mine.certificate, "U-1", &other.ticket, NOW).await;
    wrong(&mine.certificate, "U-2", &other.ticket, NOW).await;
    wrong(&other.certificate, "U-2", &mine.ticket, NOW).await;
    let cookie = town.sign_in("U-1", &mine.certificate, NOW).await.token;
    wrong(&mine.certificate, "U-1", cookie.reveal(), NOW).await;
    let token = koshin_ra::SessionToken::parse(&mine.ticket).unwrap();
    assert!(matches!(town.ra.session(&token, Some(&mine.certificate), NOW).await, Err(SessionError::None)));
    assert!(matches!(town.ra.enrolment_session(&token, NOW).await, Err(SessionError::None)));

    // In time, and to the last millisecond.
    let last = NOW + Duration::minutes(15) - Duration::MILLISECOND;
    assert!(town.show(&mine.certificate, Some(("U-1", &mine.ticket)), last).await.is_ok());
    wrong(&mine.certificate, "U-1", &mine.ticket, last + Duration::MILLISECOND).await;

    // Another renewal of the same certificate.
    let (renewal, _) = town.ra.start_again(&mine.access, mine.renewal, NOW).await.unwrap();
    wrong(&mine.certificate, "U-1", &mine.ticket, NOW).await;
    let next = town.ra.renewal_ticket(&mine.access, NOW).await.unwrap();
    assert_eq!(next.renewal, renewal);
    assert!(town.show(&mine.certificate, Some(("U-1", next.token.reveal())), NOW).await.is_ok());

    // The session that it was made in has ended.
    town.ra.sign_out(&mine.access, NOW).await.unwrap();
    wrong(&mine.certificate, "U-1", next.token.reveal(), NOW).await;

    // With the password goes everything that was made with it.
    let id = "U-2".parse().unwrap();
    town.ra.administration().set_password(&id, "another password", &operator(), NOW).await.unwrap();
    wrong(&other.certificate, "U-2", &other.ticket, NOW).await;
}

#[tokio::test]
async fn a_used_ticket_gets_no_second_certificate() {
    let town = Town::new().await;
    let Program { certificate, access, ticket, renewal } = town.program("U-1").await;
    let shown = Some(("U-1", ticket.as_str()));
    let (by_ticket, _) = town.show(&certificate, shown, NOW).await.unwrap();
    let bundle = town.ra.request_by_program(&by_ticket, renewal, &key(), NOW).await.unwrap().0;
    let (by_ticket, _) = town.show(&certificate, shown, NOW).await.unwrap();
    let other = town.ra.request_by_program(&by_ticket, renewal, &key(), NOW).await;
    assert!(matches!(other, Err(IssuanceError::Change(ChangeError::Refused(Refused::OtherKey { .. })))), "{other:?}");
    assert_eq!(town.holding("U-1").await.certificates.len(), 2);
    assert_eq!(town.noted("requested_by_program"), 1, "nothing is kept of a key that is not taken");

    // Once the successor is in use, the old certificate and its ticket open nothing.
    let new = sha256(&bundle.certificate);
    town.sign_in("U-1", &new, NOW).await;
    for certificate in [&certificate, &new] {
        let refused = town.show(certificate, shown, NOW).await.unwrap_err();
        let expected = matches!(
            refused,
            TicketError::Certificate(Admission::Superseded { .. })
                | TicketError::Change(ChangeError::Refused(Refused::TooEarly { .. }))
        );
        assert!(expected, "{refused:?}");
    }
    town.ra.renewal_ticket(&access, NOW).await.unwrap_err();
}

#[tokio::test]
async fn outside_of_the_window_nothing_is_asked_for() {
    let town = Town::new().await;
    let early = town.enrolled("U-1", enrolled_for(31)).await;
    let access = town.sign_in("U-1", &early, NOW).await.access;
    let too_early = |error: &TicketError| matches!(error, TicketError::Change(ChangeError::Refused(Refused::TooEarly { opens, .. })) if NOW < *opens);
    assert!(too_early(&town.ra.renewal_ticket(&access, NOW).await.unwrap_err()));
    assert!(too_early(&town.show(&early, None, NOW).await.unwrap_err()));
    assert_eq!(town.holding("U-1").await.renewal.map(|renewal| renewal.state.is_end()), Some(true));
    let dead = town.enrolled("U-2", enrolled_for(-1)).await;
    let expired = town.show(&dead, None, NOW).await.unwrap_err();
    assert!(matches!(expired, TicketError::Certificate(Admission::Expired { .. })));
    let _ =
        town.ra.administration().revoke(access.id(), RevocationReason::KeyCompromise, &operator(), NOW).await.unwrap();
    let revoked = town.show(&early, None, NOW).await.unwrap_err();
    assert!(matches!(revoked, TicketError::Certificate(Admission::Revoked { .. })));
    let unknown = town.show(&Fingerprint::new([9; 32]), None, NOW).await.unwrap_err();
    assert!(matches!(unknown, TicketError::Certificate(Admission::Unknown)));
    assert!(matches!(town.ra.ticket_access(None, None, NOW).await, Err(TicketError::NoCertificate)));
}

#[tokio::test]
async fn wrong_tickets_are_slowed_down_and_no_sign_in_with_them() {
    let town = Town::new().await;
    let mine = town.program("U-1").await;
    let wrong = "f".repeat(64);
    for _ in 0..5 {
        let refused = town.show(&mine.certificate, Some(("U-1", &wrong)), NOW).await;
        assert!(matches!(refused, Err(TicketError::Wrong)));
    }
    let retry_at = NOW + Duration::seconds(30);
    for (ticket, now) in [(&wrong, NOW), (&mine.ticket, retry_at - Duration::MILLISECOND)] {
        let refused = town.show(&mine.certificate, Some(("U-1", ticket)), now).await;
        assert!(matches!(refused, Err(TicketError::TooMany { retry_at: at }) if at == retry_at), "{refused:?}");
    }
    town.sign_in("U-1", &mine.certificate, NOW).await;
    assert!(town.show(&mine.certificate, Some(("U-1", &mine.ticket)), retry_at).await.is_ok());
    assert_eq!(town.store.tries(&format!("ticket {}", mine.certificate)).await.unwrap().failures, 0);
}

#[tokio::test]
async fn what_the_sweep_signs_for_a_program_is_told_and_waits_for_a_password() {
    let town = Town::new().await;
    let Program { certificate, ticket, renewal, .. } = town.program("U-1").await;
    let (access, _) = town.show(&certificate, Some(("U-1", &ticket)), NOW).await.unwrap();
    town.signer_down.store(true, std::sync::atomic::Ordering::Release);
    let down = town.ra.request_by_program(&access, renewal, &key(), NOW).await;
    assert!(matches!(down, Err(IssuanceError::Issue(_))), "{down:?}");
    town.signer_down.store(false, std::sync::atomic::Ordering::Release);
    let owed = town.ra.sweep(NOW + Duration::MINUTE).await.unwrap();
    assert!(owed.mail);
    let new = town.holding("U-1").await.certificates.last().unwrap().fingerprint;
    assert!(matches!(town.ra.activate(&new, NOW + Duration::MINUTE).await, Err(ChangeError::PasswordNeeded)));
}

#[tokio::test]
async fn an_enrolment_by_a_program_waits_for_a_password_too() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let (_, access, renewal) = town.prove("U-1", NOW).await;
    let bundle = town.ra.request_by_program(&access, renewal, &key(), NOW).await.unwrap().0;
    let new = sha256(&bundle.certificate);
    assert!(matches!(town.ra.activate(&new, NOW).await, Err(ChangeError::PasswordNeeded)));
    town.sign_in("U-1", &new, NOW).await;
}

#[tokio::test]
async fn sessions_of_an_enrolment_make_no_ticket() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let (_, access, _) = town.prove("U-1", NOW).await;
    let refused = town.ra.renewal_ticket(&access, NOW).await;
    assert!(matches!(refused, Err(TicketError::Session(SessionError::None))));
}
