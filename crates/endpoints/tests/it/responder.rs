//! Who signs the OCSP answers, and for how long.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use koshin_endpoints::{LogUnavailable, Reading, ResponderKeeper, ResponderLog, ResponderSettings};
use koshin_issuance::{OcspFailure, OcspStatus};
use koshin_types::{SerialNumber, Validity};
use time::{Duration, UtcDateTime};

use crate::{
    bench::{Bench, now, random},
    ocsp::{body, post},
};

#[derive(Default)]
struct Log {
    intended: Mutex<Vec<(SerialNumber, Validity)>>,
    away: AtomicBool,
}

#[async_trait]
impl ResponderLog for Log {
    async fn intended(&self, serial: &SerialNumber, validity: &Validity, _: UtcDateTime) -> Result<(), LogUnavailable> {
        if self.away.load(Ordering::Acquire) {
            return Err(LogUnavailable("it is away".into()));
        }
        self.intended.lock().unwrap().push((*serial, *validity));
        Ok(())
    }
}

fn keeper(bench: &Bench) -> (ResponderKeeper, Arc<Log>) {
    let log = Arc::new(Log::default());
    let (service, ca, settings) = (bench.service.clone(), Arc::clone(&bench.ca), ResponderSettings::default());
    (ResponderKeeper::new(service, ca, Arc::clone(&log) as _, random(), settings), log)
}

#[tokio::test]
async fn a_certificate_is_recorded_and_renewed_halfway() {
    let bench = Bench::new();
    let (keeper, log) = keeper(&bench);
    let question = bench.question(&bench.leaf(10, Some(OcspStatus::Good)), &["-no_nonce"]);
    let ask = async || body(post(&bench.service.router(), question.clone()).await).await;
    keeper.tend(Reading::Doubted(now())).await;
    assert_eq!(ask().await, OcspFailure::TryLater.der(), "none by a clock in doubt");
    keeper.tend(Reading::Believed(now())).await;
    assert_ne!(ask().await, OcspFailure::TryLater.der());
    let validity = keeper.validity().await.unwrap();
    assert_eq!(validity, Validity::new(now() - Duration::minutes(5), now() + Duration::days(14)).unwrap());
    for (later, certificates) in [(6, 1), (7, 2), (13, 2), (14, 3)] {
        keeper.tend(Reading::Believed(now() + Duration::days(later))).await;
        let known = log.intended.lock().unwrap().clone();
        assert_eq!(known.len(), certificates, "after {later} days");
        assert_eq!(Some(known[certificates - 1].1), keeper.validity().await);
    }
    let serials: Vec<_> = log.intended.lock().unwrap().iter().map(|(serial, _)| *serial).collect();
    assert!(serials.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_signed_and_the_old_certificate_goes_on_to_its_end() {
    let bench = Bench::new();
    let (keeper, log) = keeper(&bench);
    keeper.tend(Reading::Believed(now())).await;
    let first = keeper.validity().await;
    log.away.store(true, Ordering::Release);
    let question = bench.question(&bench.leaf(10, Some(OcspStatus::Good)), &["-no_nonce"]);
    let end = now() + Duration::days(14);
    for (at, answers) in [(now() + Duration::days(8), true), (end - Duration::MINUTE, true), (end, false)] {
        *bench.clock.lock().unwrap() = at;
        keeper.tend(Reading::Believed(at)).await;
        assert_eq!(keeper.validity().await, first);
        let answer = body(post(&bench.service.router(), question.clone()).await).await;
        assert_eq!(answer != OcspFailure::TryLater.der(), answers, "{at}");
    }
    log.away.store(false, Ordering::Release);
    keeper.tend(Reading::Believed(end + Duration::seconds(59))).await;
    assert_eq!(keeper.validity().await, first, "it is tried again after a minute");
    *bench.clock.lock().unwrap() = end + Duration::MINUTE;
    keeper.tend(Reading::Believed(end + Duration::MINUTE)).await;
    assert_ne!(keeper.validity().await, first);
    assert_ne!(body(post(&bench.service.router(), question).await).await, OcspFailure::TryLater.der());
}

/// A CA's key that is away when the service starts, and comes back.
#[tokio::test]
async fn without_a_certificate_it_is_tried_every_ten_seconds_under_one_serial_number() {
    let (bench, rig, log) = (Bench::new(), crate::publisher::Rig::new(), Arc::new(Log::default()));
    let settings = ResponderSettings::default();
    let service = bench.service.clone();
    let keeper = ResponderKeeper::new(service.clone(), Arc::clone(&rig.ca), Arc::clone(&log) as _, random(), settings);
    rig.signer_down.store(true, Ordering::Release);
    let mut at = now();
    for _ in 0..300 {
        keeper.tend(Reading::Believed(at)).await;
        at += Duration::seconds(10);
    }
    assert_eq!(service.responder_validity(), None);
    assert_eq!(log.intended.lock().unwrap().len(), 1, "3000 seconds of outage");
    rig.signer_down.store(false, Ordering::Release);
    keeper.tend(Reading::Believed(at)).await;
    assert_eq!(service.responder_validity(), Some(log.intended.lock().unwrap()[0].1));
    assert_eq!(log.intended.lock().unwrap().len(), 1);
}

/// F31: an answer that was kept is not given past its nextUpdate, though it is younger than the time for which answers are kept.
#[tokio::test]
async fn a_kept_answer_ends_with_the_responder_that_signed_it() {
    let bench = Bench::new();
    bench.install(1);
    let question = bench.question(&bench.leaf(10, Some(OcspStatus::Good)), &["-no_nonce"]);
    let router = bench.service.router();
    let end = now() + Duration::DAY;
    for (at, answers) in [
        (end - Duration::minutes(10), true),
        (end - Duration::SECOND, true),
        (end, false),
        (end + Duration::minutes(5), false),
    ] {
        *bench.clock.lock().unwrap() = at;
        let answer = body(post(&router, question.clone()).await).await;
        assert_eq!(answer != OcspFailure::TryLater.der(), answers, "{at}");
    }
}

/// A clock that went back does not get answers from the future.
#[tokio::test]
async fn a_kept_answer_is_not_given_before_it_was_made() {
    let bench = Bench::new();
    bench.install(14);
    let question = bench.question(&bench.leaf(10, Some(OcspStatus::Good)), &["-no_nonce"]);
    let router = bench.service.router();
    *bench.clock.lock().unwrap() = now() + Duration::hours(2);
    let future = body(post(&router, question.clone()).await).await;
    *bench.clock.lock().unwrap() = now();
    assert_ne!(body(post(&router, question).await).await, future);
    assert_eq!(bench.known.asked.load(Ordering::Relaxed), 2);
}

/// However many certificates are asked about, what is kept has an end.
#[tokio::test]
async fn no_more_answers_are_kept_than_fit() {
    let bench = Bench::new();
    bench.install(14);
    let question = bench.question(&bench.leaf(10, Some(OcspStatus::Good)), &["-no_nonce"]);
    let serial = SerialNumber::from_time_and_random(crate::bench::NOW * 1000, [10; 13]);
    let place = question.windows(19).position(|octets| octets == serial.as_be_bytes()).unwrap();
    let router = bench.service.router();
    for number in 0..17_000_u32 {
        let mut other = question.clone();
        other[place + 15..place + 19].copy_from_slice(&number.to_be_bytes());
        let serial = SerialNumber::from_be_bytes(&other[place..place + 19]).unwrap();
        bench.known.statuses.lock().unwrap().as_mut().unwrap().insert(serial, OcspStatus::Good);
        body(post(&router, other).await).await;
    }
    assert!(bench.service.kept() <= 16_384, "{}", bench.service.kept());
    assert!(bench.service.kept() >= 8_192, "{}", bench.service.kept());
    bench.service.forget();
    assert_eq!(bench.service.kept(), 0);
}
