//! Invariants that need more than one subject, or more than the machine.

use koshin_issuance::{CrlEdition, RevocationList, RevokedCertificate};
use koshin_ra::{Access, ChangeError, Directory as _, IssuanceError, SignInError};
use koshin_renewal::{Admission, Refused};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, RevocationReason};
use time::{Duration, UtcDateTime};

use crate::town::{NOW, PASSWORD, Town, enrolled_for, key, operator, sha256};

const DAY: Duration = Duration::DAY;

#[tokio::test]
async fn invariant_25_what_was_issued_is_the_same_for_ever_and_for_its_subject_alone() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let other = town.enrolled("U-2", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let id = town.ra.start_renewal(&access, NOW).await.unwrap();
    let csr = key();
    let none_yet = town.ra.certificate(&access, id).await.unwrap_err();
    assert!(matches!(none_yet, IssuanceError::Change(ChangeError::Refused(Refused::NoRenewal { .. }))));
    let bundle = town.request(&access, id, &csr, NOW).await;
    let new = sha256(&bundle.certificate);
    for days in 0..8 {
        let now = NOW + DAY * days;
        let access = town.sign_in("U-1", &old, now).await.access;
        assert_eq!(town.ra.certificate(&access, id).await.unwrap(), bundle);
        assert_eq!(town.request(&access, id, &csr, now).await, bundle);
        if days == 3 {
            town.ra.deliver(&access, id, now).await.unwrap();
        }
        // Nobody else gets it, whatever they know.
        let stranger = town.sign_in("U-2", &other, now).await.access;
        let fetched = town.ra.certificate(&stranger, id).await.unwrap_err();
        assert!(matches!(fetched, IssuanceError::Change(ChangeError::Refused(Refused::NoRenewal { .. }))));
        let requested = town.ra.request_certificate(&stranger, id, &csr, ProtectionLevel::File, now).await.unwrap_err();
        assert!(matches!(requested, IssuanceError::Change(ChangeError::Refused(Refused::NoRenewal { .. }))));
    }
    // Activated after the predecessor's end, and a year on.
    let _ = town.ra.activate(&new, NOW + DAY * 9).await.unwrap();
    for days in [9, 100, 360] {
        let access = town.sign_in("U-1", &new, NOW + DAY * days).await.access;
        assert_eq!(town.ra.certificate(&access, id).await.unwrap(), bundle);
        assert_eq!(town.request(&access, id, &csr, NOW + DAY * days).await, bundle);
    }
    assert_eq!(town.holding("U-1").await.certificates.len(), 2);
}

/// Somebody on the way through a renewal, one step at a time.
struct Person {
    id: &'static str,
    old: Option<Fingerprint>,
    access: Option<Access>,
    renewal: Option<RenewalId>,
    new: Option<Fingerprint>,
}

impl Person {
    const STEPS: u8 = 7;

    fn new(id: &'static str) -> Self {
        Self { id, old: None, access: None, renewal: None, new: None }
    }

    /// Each step has its own instant, whatever others have done before it.
    async fn step(&mut self, town: &Town, number: u8) {
        let now = NOW + Duration::MINUTE * number;
        let access = || self.access.clone().unwrap();
        match number {
            0 => self.old = Some(town.enrolled(self.id, enrolled_for(8)).await),
            1 => self.access = Some(town.sign_in(self.id, &self.old.unwrap(), now).await.access),
            2 => town.ra.defer(&access(), now).await.unwrap(),
            3 => self.renewal = Some(town.ra.start_renewal(&access(), now).await.unwrap()),
            4 => {
                let bundle = town.request(&access(), self.renewal.unwrap(), &key(), now).await;
                self.new = Some(sha256(&bundle.certificate));
            }
            5 => assert!(matches!(
                town.ra.sign_in(self.old.as_ref(), self.id, "wrong", now).await,
                Err(SignInError::Wrong)
            )),
            _ => assert_eq!(town.ra.activate(&self.new.unwrap(), now).await.unwrap().1.close, [self.old.unwrap()]),
        }
    }
}

/// What is stored about a subject, but for numbers that are drawn: those differ from run to run.
async fn shape(town: &Town, id: &str) -> String {
    let holding = town.holding(id).await;
    let certificates: Vec<_> = holding
        .certificates
        .iter()
        .map(|held| (held.status.word(), held.validity, held.issued_at, held.deferred, held.key.protection))
        .collect();
    let renewal = holding.renewal.map(|renewal| (renewal.started_at, renewal.again, renewal.state.as_str()));
    let mine = |subject: Option<&koshin_types::SubjectId>| subject.is_some_and(|subject| subject.as_str() == id);
    let audit = town.store.audit().into_iter().filter(|record| mine(record.subject.as_ref()));
    let audit: Vec<_> = audit.map(|record| (record.at, record.word)).collect();
    let word = |text: String| text.split(' ').next().unwrap().to_owned();
    let mails = town.store.mails().into_iter().filter(|mail| mine(Some(&mail.subject_id)));
    let mails: Vec<_> = mails.map(|mail| (word(format!("{:?}", mail.kind)), mail.to.as_str().to_owned())).collect();
    format!("{certificates:?}\n{renewal:?}\n{:?}\n{audit:?}\n{mails:?}", holding.grant)
}

#[tokio::test]
async fn invariant_29_events_of_different_subjects_commute() {
    let mut outcomes = Vec::new();
    // One after the other, the other way round, in turn, and in two irregular orders; a set bit is a step of U-2.
    for order in
        [0b11_1111_1000_0000, 0b00_0000_0111_1111, 0b10_1010_1010_1010, 0b01_1100_1100_0110, 0b10_0011_0010_1011_u16]
    {
        let town = Town::new().await;
        let mut people = [Person::new("U-1"), Person::new("U-2")];
        let mut done = [0, 0];
        for turn in 0..2 * Person::STEPS {
            let who = usize::from(order >> turn & 1);
            // I-28: nothing of what is stored about the other one moves.
            let other = shape(&town, people[1 - who].id).await;
            people[who].step(&town, done[who]).await;
            assert_eq!(shape(&town, people[1 - who].id).await, other, "{order:b} at {turn}");
            done[who] += 1;
        }
        assert_eq!(done, [Person::STEPS; 2], "{order:b}");
        outcomes.push((shape(&town, "U-1").await, shape(&town, "U-2").await, town.store.audit().len()));
    }
    assert!(outcomes[0].0.contains("Activated") || outcomes[0].0.contains("activated"), "{}", outcomes[0].0);
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:#?}");
}

/// There is no setting that puts superseded certificates on the revocation list, so they never stand there; what is
/// revoked does, with the instant and the reason, and for good.
#[tokio::test]
async fn invariant_37_a_superseded_certificate_is_on_no_revocation_list() {
    let town = Town::new().await;
    let old = town.enrolled("U-1", enrolled_for(8)).await;
    let serial_of = async |fingerprint: &Fingerprint| {
        town.holding("U-1").await.certificate(fingerprint).map(|held| held.serial).unwrap()
    };
    let list = async |number: u64, at: UtcDateTime| {
        let revoked = town.store.revoked().await.unwrap();
        let entries: Vec<_> = revoked
            .iter()
            .map(|one| RevokedCertificate {
                serial: one.serial,
                revoked_at: one.at,
                reason: one.reason,
                invalidity_date: None,
            })
            .collect();
        let edition = CrlEdition { number, this_update: at, next_update: at + DAY };
        let der = town.ca.sign_crl(edition, &entries).unwrap().into_der();
        RevocationList::read(&der, town.ra.ca().certificate_der()).unwrap()
    };
    let access = town.sign_in("U-1", &old, NOW).await.access;
    let first = town.ra.start_renewal(&access, NOW).await.unwrap();
    let unproven = sha256(&town.request(&access, first, &key(), NOW).await.certificate);
    assert_eq!(list(1, NOW).await.entries(), []);
    // Starting again revokes what nobody has proven.
    let again = NOW + Duration::HOUR;
    let (second, _) = town.ra.start_again(&access, first, again).await.unwrap();
    let reason = RevocationReason::CessationOfOperation;
    let withdrawn =
        RevokedCertificate { serial: serial_of(&unproven).await, revoked_at: again, reason, invalidity_date: None };
    assert_eq!(list(2, again).await.entries(), [withdrawn]);
    let new = sha256(&town.request(&access, second, &key(), again).await.certificate);
    let _ = town.ra.activate(&new, again).await.unwrap();
    assert!(matches!(town.holding("U-1").await.admission(&old, again), Admission::Superseded { .. }));
    let after = list(3, again + DAY).await;
    assert_eq!((after.find(&serial_of(&old).await), after.entries()), (None, &[withdrawn][..]));
    // A revocation of everything the subject has does not reach back to it either.
    let (at, reason) = (again + DAY, RevocationReason::KeyCompromise);
    let _ = town.ra.administration().revoke(&"U-1".parse().unwrap(), reason, &operator(), at).await.unwrap();
    let after = list(4, at).await;
    let revoked = RevokedCertificate { serial: serial_of(&new).await, revoked_at: at, reason, invalidity_date: None };
    assert_eq!(after.find(&revoked.serial), Some(&revoked));
    assert_eq!(after.find(&withdrawn.serial), Some(&withdrawn));
    assert_eq!((after.find(&serial_of(&old).await), after.entries().len()), (None, 2));
}

#[tokio::test]
async fn invariant_39_who_is_superseded_revoked_or_expired_gets_nowhere() {
    let town = Town::new().await;
    let superseded = town.enrolled("U-1", enrolled_for(8)).await;
    let revoked = town.enrolled("U-2", enrolled_for(8)).await;
    let stale = town.sign_in("U-1", &superseded, NOW).await;
    let withdrawn = town.sign_in("U-2", &revoked, NOW).await;
    assert!(stale.notice && withdrawn.notice);
    let id = town.ra.start_renewal(&stale.access, NOW).await.unwrap();
    let new = sha256(&town.request(&stale.access, id, &key(), NOW).await.certificate);
    let _ = town.ra.activate(&new, NOW).await.unwrap();
    let reason = RevocationReason::AffiliationChanged;
    let _ = town.ra.administration().revoke(&"U-2".parse().unwrap(), reason, &operator(), NOW).await.unwrap();
    let end = town.holding("U-1").await.certificates[0].validity.end();
    for now in [NOW, end - Duration::MILLISECOND, end, end + DAY * 30] {
        for (certificate, who) in [(&superseded, "U-1"), (&revoked, "U-2")] {
            let answer = town.ra.sign_in(Some(certificate), who, PASSWORD, now).await;
            assert!(matches!(answer, Err(SignInError::Certificate(_))), "{who} at {now}");
        }
        // What was read when everything was in order is of no use either.
        for access in [&stale.access, &withdrawn.access] {
            let started = town.ra.start_renewal(access, now).await;
            assert!(matches!(started, Err(ChangeError::Refused(_))), "{started:?} at {now}");
            let deferred = town.ra.defer(access, now).await;
            assert!(matches!(deferred, Err(ChangeError::Refused(_))), "{deferred:?} at {now}");
        }
    }
    // Expired: from the second after notAfter on, and never again.
    let end = town.holding("U-1").await.certificates[1].validity.end();
    let last = town.sign_in("U-1", &new, end - Duration::MILLISECOND).await;
    assert!(last.notice);
    for now in [end, end + DAY * 30, end + DAY * 1000] {
        let started = town.ra.start_renewal(&last.access, now).await;
        assert!(matches!(started, Err(ChangeError::Refused(Refused::Ended { .. }))), "{started:?} at {now}");
        assert!(town.ra.defer(&last.access, now).await.is_err());
        assert!(matches!(town.ra.sign_in(Some(&new), "U-1", PASSWORD, now).await, Err(SignInError::Certificate(_))));
    }
}
