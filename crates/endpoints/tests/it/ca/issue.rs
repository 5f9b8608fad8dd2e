//! One order, one certificate; and everything that is none.

use std::{collections::BTreeSet, sync::Arc};

use koshin_endpoints::ca::{
    CaService, ChangeKind, IssueRefused, IssueRequest, KeyClass, Ledger as _, OrderKey, Standing,
};
use koshin_issuance::{CertificationRequest, Gate, KeyKind, PrepareError, Rejected};
use koshin_types::Validity;
use rcgen::KeyPair;
use time::Duration;

use super::{
    Bench,
    crash::{Fault, Faulty},
    csr, csr_of, days, now, order, renewal,
};

#[tokio::test]
async fn invariant_22_sixteen_same_requests_at_once_get_one_certificate() {
    let bench = Bench::new();
    let service = Arc::new(bench.over(Faulty::new(&bench.ledger, Fault::Slow, 0)));
    let request = order(1);
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let (service, request, portal) = (Arc::clone(&service), request.clone(), bench.portal().clone());
            tokio::spawn(async move { service.issue(&portal, &request, now()).await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for one in asking {
        answers.push(one.await.unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(bench.signatures(), 1, "the others waited for the first");
    assert_eq!(bench.ledger.audited(), 2, "an intent and a certificate");
}

#[tokio::test]
async fn invariant_22_two_processes_on_one_ledger_make_one_certificate() {
    let bench = Bench::new();
    let process = || bench.over(Faulty::new(&bench.ledger, Fault::Slow, 0));
    let (one, two) = (process(), process());
    for number in 0..50 {
        let request = order(number);
        let (first, second) =
            tokio::join!(one.issue(bench.portal(), &request, now()), two.issue(bench.portal(), &request, now()),);
        assert_eq!(first.unwrap(), second.unwrap());
    }
    assert_eq!(bench.ledger.audited(), 100);
    assert_eq!(bench.signatures(), 100, "both signed, and one signature counted each time");
}

#[tokio::test]
async fn an_order_that_another_ca_issued_into_the_same_ledger_has_that_cas_chain() {
    // They have one name, and keys of their own.
    let (former, new) = (Bench::new(), Bench::new());
    let chain = |bench: &Bench| vec![bench.certificate.clone(), bench.root.clone()];
    let request = order(1);
    let old = former.service().issue(former.portal(), &request, now()).await.unwrap();
    let alone = new.over(Arc::clone(&former.ledger) as _);
    assert_eq!(alone.chain_of(&old.certificate), chain(&new), "it knows of no other");
    let service = new.over(Arc::clone(&former.ledger) as _).beside(vec![chain(&Bench::new()), chain(&former)]);
    let again = service.issue(new.portal(), &request, now()).await.unwrap();
    assert_eq!(again, old);
    assert_eq!(service.chain_of(&again.certificate), chain(&former));
    let own = service.issue(new.portal(), &order(2), now()).await.unwrap();
    assert_eq!(service.chain_of(&own.certificate), chain(&new));
    assert_eq!(service.chain_of(b"no certificate"), chain(&new));
}

#[tokio::test]
async fn invariant_25_the_same_order_gets_the_same_bytes_for_ever() {
    let bench = Bench::new();
    let request = order(1);
    let first = bench.service().issue(bench.portal(), &request, now()).await.unwrap();
    assert_eq!(first.validity, request.validity);
    // Later, after a restart, by another request for the same key, with other wishes.
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let kept = IssueRequest { request: csr_of(&key), ..order(2) };
    let second = bench.service().issue(bench.portal(), &kept, now()).await.unwrap();
    let later = now() + Duration::days(100);
    let validity = Validity::new(later, later + Duration::days(30)).unwrap();
    let again = IssueRequest { request: csr_of(&key), now: later, validity, mail: None, ..kept.clone() };
    assert_ne!(again.request, kept.request, "another signature over the same key");
    assert_eq!(bench.service().issue(bench.portal(), &again, later).await.unwrap(), second);
    let request = IssueRequest { now: later, ..request };
    assert_eq!(bench.service().issue(bench.portal(), &request, later).await.unwrap(), first);
}

#[tokio::test]
async fn what_differs_in_a_known_order_is_refused() {
    let mut bench = Bench::new();
    bench.clients[0].profiles.insert("machine".to_owned());
    let service = bench.service();
    let request = order(1);
    service.issue(bench.portal(), &request, now()).await.unwrap();
    let differs = |refused: IssueRefused| match refused {
        IssueRefused::OrderDiffers { field } => field,
        other => panic!("{other:?}"),
    };
    let other = IssueRequest { subject: "U-2".to_owned(), ..request.clone() };
    assert_eq!(differs(service.issue(bench.portal(), &other, now()).await.unwrap_err()), "subject");
    let other = IssueRequest { profile: "machine".to_owned(), ..request.clone() };
    assert_eq!(differs(service.issue(bench.portal(), &other, now()).await.unwrap_err()), "profile");
    // An organization may have been renamed meanwhile; that keeps nobody from their certificate.
    let renamed = IssueRequest { organization: "新しい商店".to_owned(), ..request };
    service.issue(bench.portal(), &renamed, now()).await.unwrap();
}

#[tokio::test]
async fn invariant_22_a_renewal_has_one_key_and_a_key_one_renewal() {
    let bench = Bench::new();
    let service = bench.service();
    let request = order(1);
    service.issue(bench.portal(), &request, now()).await.unwrap();
    let second_key = IssueRequest { request: csr(), ..request.clone() };
    let refused = service.issue(bench.portal(), &second_key, now()).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::RenewalTaken { recorded, asked } if recorded != asked), "{refused:?}");
    let second_renewal = IssueRequest { renewal: renewal(2), ..request.clone() };
    let refused = service.issue(bench.portal(), &second_renewal, now()).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::KeySeen { .. }), "{refused:?}");
    // Nor does somebody else get what was issued for the portal.
    let refused = service.issue(bench.other(), &request, now()).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::KeySeen { .. }), "{refused:?}");
    assert!(!refused.is_transient());
    assert_eq!((bench.signatures(), bench.ledger.audited()), (1, 2));
}

#[tokio::test]
async fn the_profile_limits_what_may_be_asked_for() {
    let mut bench = Bench::new();
    bench.keys = BTreeSet::from([KeyClass::P384]);
    let refused = bench.service().issue(bench.portal(), &order(1), now()).await.unwrap_err();
    assert!(matches!(&refused, IssueRefused::KeyKind { kind: KeyKind::P256, allowed } if allowed.len() == 1));
    assert_eq!(refused.to_string(), "the profile takes no key of the kind P256, only p384");
    bench.keys = KeyClass::ALL.into();
    let service = bench.service();
    let from = |start: Duration, length: Duration| Validity::new(now() + start, now() + start + length).unwrap();
    let ask = async |validity| {
        let request = IssueRequest { validity, ..order(1) };
        service.issue(bench.portal(), &request, now()).await.map(|_| ())
    };
    // 398 days, both ends included.
    let longest = Duration::days(398) - Duration::SECOND;
    let refused = ask(from(Duration::ZERO, longest + Duration::SECOND)).await.unwrap_err();
    let IssueRefused::ValidityTooLong { asked, limit } = refused else { panic!("{refused:?}") };
    assert_eq!((asked, limit), (Duration::days(398) + Duration::SECOND, Duration::days(398)));
    let refused = ask(from(Duration::SECOND, Duration::DAY)).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::NotBeforeAhead { .. }), "{refused:?}");
    let refused = ask(from(-Duration::hours(1) - Duration::SECOND, Duration::DAY)).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::Backdated { limit, .. } if limit == Duration::hours(1)), "{refused:?}");
    assert_eq!(bench.ledger.audited(), 0, "nothing that is refused is recorded");
    ask(from(-Duration::hours(1), longest)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_stand_in_a_certificate_is_refused() {
    let bench = Bench::new();
    let service = bench.service();
    let ask = async |request: IssueRequest| service.issue(bench.portal(), &request, now()).await.unwrap_err();
    let refused = ask(IssueRequest { organization: String::new(), ..order(1) }).await;
    assert!(matches!(refused, IssueRefused::Name(_)), "{refused:?}");
    let refused = ask(IssueRequest { mail: Some("山田@例え.jp".to_owned()), ..order(1) }).await;
    assert!(matches!(refused, IssueRefused::Mail(_)), "{refused:?}");
    let refused = ask(IssueRequest { request: b"none".to_vec(), ..order(1) }).await;
    assert!(matches!(refused, IssueRefused::Request(Rejected::NotARequest)), "{refused:?}");
    // A large one takes the other way to the same gate.
    let refused = ask(IssueRequest { request: vec![b'0'; 4000], ..order(1) }).await;
    assert!(matches!(refused, IssueRefused::Request(_)), "{refused:?}");
    assert_eq!(bench.ledger.audited(), 0);

    // At the end of its life the CA cannot promise more than it has.
    let end = now() + Duration::days(3650) - Duration::days(100);
    let validity = Validity::new(end, end + Duration::days(200)).unwrap();
    let request = IssueRequest { validity, now: end, ..order(1) };
    let refused = service.issue(bench.portal(), &request, end).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::Prepare(PrepareError::BeyondCa { .. })), "{refused:?}");
}

#[tokio::test]
async fn clocks_may_differ_by_an_hour() {
    let bench = Bench::new();
    let service = bench.service();
    for (number, minutes) in [(1, -60), (2, 60)] {
        let theirs = now() + Duration::minutes(minutes);
        let request = IssueRequest { now: theirs, ..order(number) };
        // The validity is judged by the clock of who decided it.
        let validity = Validity::new(theirs, theirs + Duration::DAY).unwrap();
        service.issue(bench.portal(), &IssueRequest { validity, ..request.clone() }, now()).await.unwrap();
        let theirs = theirs + Duration::milliseconds(minutes.signum());
        let refused = service.issue(bench.portal(), &IssueRequest { now: theirs, ..request }, now()).await.unwrap_err();
        let IssueRefused::ClocksDiffer { ra, ca, limit } = refused else { panic!("{refused:?}") };
        assert_eq!((ra, ca, limit), (theirs, now(), Duration::HOUR));
    }
}

#[tokio::test]
async fn invariant_41_a_clock_behind_what_was_recorded_signs_nothing() {
    let bench = Bench::new();
    let at = |minutes: i64| now() + Duration::minutes(minutes);
    let ask = |number: u8, minutes: i64| IssueRequest {
        now: at(minutes),
        validity: Validity::new(at(minutes), at(minutes) + Duration::DAY).unwrap(),
        ..order(number)
    };
    let first = ask(1, 0);
    let issued = bench.service().issue(bench.portal(), &first, at(0)).await.unwrap();
    // Of another process, which has to read it first.
    let service = bench.service();
    service.issue(bench.portal(), &ask(2, -60), at(-60)).await.unwrap();
    let refused = service.issue(bench.portal(), &ask(3, -61), at(-61)).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::ClockBehind { largest, .. } if largest == at(0)), "{refused:?}");
    assert!(refused.is_transient());
    let again = IssueRequest { now: at(-61), ..first };
    assert_eq!(service.issue(bench.portal(), &again, at(-61)).await.unwrap(), issued, "what is there is handed out");
    service.confirm_clock(at(-61)).await.unwrap();
    service.issue(bench.portal(), &ask(3, -61), at(-61)).await.unwrap();
}

#[tokio::test]
async fn invariant_41_what_this_process_recorded_counts_too() {
    let bench = Bench::new();
    let service = bench.service();
    service.issue(bench.portal(), &order(1), now()).await.unwrap();
    let before = now() - CaService::CLOCK_BEHIND - Duration::MILLISECOND;
    let request = IssueRequest { now: before, ..order(2) };
    let refused = service.issue(bench.portal(), &request, before).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::ClockBehind { largest, .. } if largest == now()), "{refused:?}");
}

#[tokio::test]
async fn a_held_ca_signs_nothing_and_hands_out_what_is_there() {
    let bench = Bench::new();
    let service = bench.service();
    let (before, after) = (order(1), order(2));
    let issued = service.issue(bench.portal(), &before, now()).await.unwrap();
    service.hold(Some("restored from a backup".to_owned()));
    let refused = service.issue(bench.portal(), &after, now()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the CA signs nothing at the moment: restored from a backup");
    assert!(refused.is_transient());
    assert_eq!(service.issue(bench.portal(), &before, now()).await.unwrap(), issued);
    service.hold(None);
    service.issue(bench.portal(), &after, now()).await.unwrap();
}

#[tokio::test]
async fn the_ledger_holds_what_was_asked_for() {
    let bench = Bench::new();
    let service = bench.service();
    let request = order(7);
    let issued = service.issue(bench.portal(), &request, now() + Duration::nanoseconds(1_999_999)).await.unwrap();
    let spki = CertificationRequest::from_bytes(&request.request, &Gate::new()).unwrap().spki_fingerprint();
    let entry = bench.ledger.find(&OrderKey { renewal: request.renewal, spki }).await.unwrap().unwrap();
    let intent = entry.intent;
    assert_eq!((intent.client.as_str(), intent.profile.as_str()), ("portal", "client"));
    assert_eq!((intent.organization.as_str(), intent.subject.as_str()), ("更新商店", "U-7"));
    assert_eq!((intent.serial, intent.validity), (issued.serial, days(365)));
    assert_eq!(intent.at, now() + Duration::MILLISECOND, "whole milliseconds");
    assert_eq!((entry.certificate, entry.standing), (Some(issued.certificate), Standing::Issued));
    let changes = bench.ledger.changes(0, 10).await.unwrap().changes;
    assert_eq!(
        changes.iter().map(|change| (change.serial, &change.kind)).collect::<Vec<_>>(),
        [(issued.serial, &ChangeKind::Issued)]
    );
    assert!(!format!("{request:?} {intent:?}").contains("U-7"), "whom it is for stays out of logs");
}
