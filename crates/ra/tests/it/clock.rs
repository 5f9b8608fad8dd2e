//! The clock guard: what a wrong clock stops, and what it does not.

use std::{sync::Arc, time::Duration as Elapsed};

use koshin_expiry::{ClockDoubt, ClockGuard};
use koshin_ra::{
    Access, Actor, ChangeError, Chronicle as _, ClockWatch, EnrolError, IssuanceError, Jump, Ra, Reading, SignInError,
};
use koshin_renewal::{Admission, Dialog, Refused, State};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, RevocationReason};
use time::{Duration, UtcDateTime};

use crate::town::{NOW, PASSWORD, Town, enrolled_for, key, operator, sha256};

/// A town whose registration authority watches its clock, and the clocks of its machine.
struct Guarded {
    town: Town,
    ra: Ra,
    watch: Arc<ClockWatch>,
}

fn reading(system: UtcDateTime, monotonic: Duration) -> Reading {
    Reading { system, monotonic: Elapsed::try_from(monotonic).unwrap() }
}

impl Guarded {
    /// A process that starts while the clock says `system`.
    async fn start(town: Town, system: UtcDateTime) -> Self {
        let watch = ClockWatch::begin(town.store.clone(), ClockGuard::default(), reading(system, Duration::ZERO));
        let watch = Arc::new(watch.await.unwrap());
        let ra = town.ra.clone().watched_by(Arc::clone(&watch));
        Self { town, ra, watch }
    }

    async fn restart(self, system: UtcDateTime) -> Self {
        Self::start(self.town, system).await
    }

    /// The instant of a request.
    fn now(&self, system: UtcDateTime, monotonic: Duration) -> UtcDateTime {
        self.watch.instant(reading(system, monotonic))
    }

    async fn keep(&self, system: UtcDateTime, monotonic: Duration) {
        self.watch.keep(reading(system, monotonic)).await.unwrap();
    }

    async fn largest(&self) -> Option<UtcDateTime> {
        self.town.store.recorded().await.unwrap().largest
    }

    /// Nothing irreversible is done at `now` for this holder, and nothing is written.
    async fn refuses(&self, access: &Access, id: RenewalId, pending: &Fingerprint, now: UtcDateTime) {
        let before = (self.town.store.audit(), self.town.store.mails());
        let request = self.ra.request_certificate(access, id, &key(), ProtectionLevel::File, now).await;
        assert!(matches!(request, Err(IssuanceError::Change(ChangeError::Clock(_)))), "{request:?}");
        let activation = self.ra.activate(pending, now).await;
        assert!(matches!(activation, Err(ChangeError::Clock(_))), "{activation:?}");
        let sign_in = self.ra.sign_in(Some(pending), "U-2", PASSWORD, now).await;
        assert!(matches!(sign_in, Err(SignInError::Change(ChangeError::Clock(_)))), "{sign_in:?}");
        let sweep = self.ra.sweep(now).await;
        assert!(matches!(sweep, Err(ChangeError::Clock(_))), "{sweep:?}");
        let again = self.ra.start_again(access, id, now).await;
        assert!(matches!(again, Err(ChangeError::Clock(_))), "{again:?}");
        let enrolment = self.ra.begin_enrolment("U-2", PASSWORD, now).await;
        assert!(matches!(enrolment, Err(EnrolError::Change(ChangeError::Clock(_)))), "{enrolment:?}");
        assert_eq!((self.town.store.audit(), self.town.store.mails()), before);
    }
}

/// U-1 in the middle of a renewal that began before `NOW`, U-2 with a certificate that waits for its activation.
async fn busy_town() -> (Town, Fingerprint, RenewalId, Fingerprint) {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(8)).await;
    let access = town.sign_in("U-1", &mine, NOW - Duration::MINUTE).await.access;
    let id = town.ra.start_renewal(&access, NOW - Duration::MINUTE).await.unwrap();
    town.ra.administration().permit(&"U-2".parse().unwrap(), &operator(), NOW).await.unwrap();
    let (_, enrolling, enrolment) = town.prove("U-2", NOW).await;
    let pending = sha256(&town.request(&enrolling, enrolment, &key(), NOW).await.certificate);
    (town, mine, id, pending)
}

#[tokio::test]
async fn invariant_41_a_clock_that_is_behind_stops_what_cannot_be_undone() {
    let (town, mine, id, pending) = busy_town().await;
    let wrong = NOW - Duration::DAY;
    let guarded = Guarded::start(town, wrong).await;
    assert_eq!(guarded.watch.trusted(), Err(ClockDoubt::Behind { now: wrong, recorded: NOW }));
    let now = guarded.now(wrong, Duration::SECOND);
    assert_eq!(now, NOW, "time goes on from the largest instant");

    // Login goes on, and so does what can be undone.
    let signed_in = guarded.ra.sign_in(Some(&mine), "U-1", PASSWORD, now).await.unwrap();
    let access = guarded.ra.session(&signed_in.token, Some(&mine), now).await.unwrap();
    assert_eq!(guarded.ra.start_renewal(&access, now).await.unwrap(), id);
    guarded.ra.decline(&access, id, Dialog::Key, now).await.unwrap();
    guarded.refuses(&access, id, &pending, now).await;
    assert!(matches!(guarded.town.holding("U-1").await.renewal.unwrap().state, State::Started), "it keeps its state");
    // What the operator revokes is revoked.
    let (other, reason) = ("U-2".parse().unwrap(), RevocationReason::KeyCompromise);
    let revoked = guarded.ra.administration().revoke(&other, reason, &operator(), now).await.unwrap();
    assert_eq!(revoked.close, [pending]);

    // The clock is set right again, and everything goes on where it was.
    let right = NOW + Duration::minutes(2);
    let now = guarded.now(right, Duration::minutes(2));
    assert_eq!((now, guarded.watch.trusted()), (right, Ok(())));
    let _ = guarded.ra.request_certificate(&access, id, &key(), ProtectionLevel::File, now).await.unwrap().0;
    assert_eq!(guarded.ra.sweep(now).await.unwrap().close, []);
}

/// What a holder may take back goes on; an enrolment waits, and its code is not used up.
#[tokio::test]
async fn invariant_41_what_can_be_undone_goes_on_and_an_enrolment_waits() {
    let town = Town::new().await;
    let mine = town.enrolled("U-1", enrolled_for(8)).await;
    town.ra.administration().permit(&"U-2".parse().unwrap(), &operator(), NOW).await.unwrap();
    let token = town.ra.begin_enrolment("U-2", PASSWORD, NOW).await.unwrap();
    let wrong = NOW - Duration::DAY;
    let guarded = Guarded::start(town, wrong).await;
    let now = guarded.now(wrong, Duration::ZERO);

    let access = guarded.ra.sign_in(Some(&mine), "U-1", PASSWORD, now).await.unwrap().access;
    guarded.ra.defer(&access, now).await.unwrap();
    guarded.ra.start_renewal(&access, now).await.unwrap();
    guarded.ra.administration().permit(&"U-2".parse().unwrap(), &operator(), now).await.unwrap();
    guarded.ra.sign_out(&access, now).await.unwrap();
    let code = guarded.town.code();
    let waits = guarded.ra.prove_enrolment(&token, &code, now).await;
    assert!(matches!(waits, Err(EnrolError::Change(ChangeError::Clock(_)))), "{waits:?}");
    assert_eq!(guarded.town.holding("U-2").await.renewal, None);

    let now = guarded.now(NOW, Duration::MINUTE);
    let (_, renewal, _) = guarded.ra.prove_enrolment(&token, &code, now).await.unwrap();
    assert_eq!(guarded.town.holding("U-2").await.renewal.map(|open| open.id), Some(renewal));
}

#[tokio::test]
async fn invariant_41_the_guard_is_an_hour_to_the_millisecond() {
    let (town, ..) = busy_town().await;
    let guarded = Guarded::start(town, NOW - Duration::HOUR).await;
    assert_eq!((guarded.now(NOW - Duration::HOUR, Duration::ZERO), guarded.watch.trusted()), (NOW, Ok(())));
    let behind = NOW - Duration::HOUR - Duration::MILLISECOND;
    guarded.now(behind, Duration::ZERO);
    assert_eq!(guarded.watch.trusted(), Err(ClockDoubt::Behind { now: behind, recorded: NOW }));
}

#[tokio::test]
async fn invariant_41_an_intent_is_not_signed_by_a_wrong_clock() {
    let (town, mine, id, _) = busy_town().await;
    let access = town.sign_in("U-1", &mine, NOW).await.access;
    town.signer_down.store(true, std::sync::atomic::Ordering::Release);
    let csr = key();
    let failed = town.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await;
    assert!(matches!(failed, Err(IssuanceError::Issue(_))));
    town.signer_down.store(false, std::sync::atomic::Ordering::Release);

    let guarded = Guarded::start(town, NOW - Duration::DAY).await;
    let access = Access { file: guarded.ra.subject(access.id()).await.unwrap().unwrap(), ..access };
    let now = guarded.now(NOW - Duration::DAY, Duration::ZERO);
    let refused = guarded.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, now).await;
    assert!(matches!(refused, Err(IssuanceError::Change(ChangeError::Clock(_)))));
    assert!(matches!(guarded.town.holding("U-1").await.renewal.unwrap().state, State::Intended { .. }));
    assert!(guarded.watch.confirm(operator(), reading(NOW, Duration::ZERO)).await.is_ok_and(|confirmed| !confirmed));
    let _ = guarded.ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await.unwrap().0;
}

#[tokio::test]
async fn invariant_42_nothing_unexpires() {
    let (town, mine, ..) = busy_town().await;
    let ends = NOW - Duration::days(365 - 8) + Duration::days(365);
    let guarded = Guarded::start(town, NOW).await;
    guarded.keep(NOW, Duration::ZERO).await;
    // Days pass. The certificate expires, the renewal of it too, and that was acted on.
    let after = ends + Duration::HOUR;
    let begun = guarded.ra.sign_in(Some(&mine), "U-1", PASSWORD, NOW).await.unwrap();
    assert_eq!(guarded.now(after, after - NOW), after);
    let _ = guarded.ra.sweep(after).await.unwrap();
    assert!(matches!(guarded.town.holding("U-1").await.renewal.unwrap().state, State::Expired));
    let renewal_is_closed = async |guarded: &Guarded, now| {
        assert!(matches!(
            guarded.ra.session(&begun.token, Some(&mine), now).await,
            Err(koshin_ra::SessionError::Certificate(Admission::Expired { .. }))
        ));
        let access =
            Access { file: guarded.ra.subject(begun.access.id()).await.unwrap().unwrap(), ..begun.access.clone() };
        let started = guarded.ra.start_renewal(&access, now).await;
        assert!(matches!(started, Err(ChangeError::Refused(Refused::Ended { .. }))), "{started:?}");
    };
    renewal_is_closed(&guarded, guarded.now(after, after - NOW)).await;
    // No smaller instant comes out of the watch, whether the clock goes back a little or a lot, with or without a
    // restart, although nothing but the commits has recorded the time since.
    let mut guarded = guarded;
    for back in [Duration::SECOND, 2 * Duration::HOUR, Duration::DAY, Duration::days(400)] {
        assert_eq!(guarded.now(after - back, after - NOW), after);
        guarded = guarded.restart(after - back).await;
        assert_eq!(guarded.now(after - back, Duration::ZERO), after);
        renewal_is_closed(&guarded, after).await;
    }
}

#[tokio::test]
async fn invariant_44_a_jump_forward_waits_for_the_operator() {
    let (town, mine, id, pending) = busy_town().await;
    let guarded = Guarded::start(town, NOW).await;
    guarded.keep(NOW, Duration::ZERO).await;
    let access = guarded.ra.sign_in(Some(&mine), "U-1", PASSWORD, NOW).await.unwrap().access;
    // Two hours in a minute.
    let expected = NOW + Duration::MINUTE;
    let wrong = NOW + 2 * Duration::HOUR;
    let now = guarded.now(wrong, Duration::MINUTE);
    assert_eq!(now, wrong);
    let doubt = ClockDoubt::Ahead { now: wrong, expected };
    assert_eq!(guarded.watch.trusted(), Err(doubt));
    guarded.refuses(&access, id, &pending, now).await;
    guarded.ra.sign_in(Some(&mine), "U-1", PASSWORD, now).await.unwrap();
    // It is written down, and what a wrong clock records does not count.
    guarded.keep(wrong, 2 * Duration::MINUTE).await;
    assert_eq!(guarded.largest().await, Some(expected));
    assert_eq!(guarded.town.store.recorded().await.unwrap().jump, Some(Jump { expected, found: wrong }));
    // Neither a clock that is right again nor a restart makes up for it.
    guarded.now(NOW + 3 * Duration::MINUTE, 3 * Duration::MINUTE);
    assert_eq!(guarded.watch.trusted(), Err(doubt));
    let guarded = guarded.restart(NOW + 4 * Duration::MINUTE).await;
    assert_eq!(guarded.watch.trusted(), Err(doubt));

    // The operator confirms in another process, and this one learns of it.
    let right = NOW + 5 * Duration::MINUTE;
    let other = ClockWatch::begin(guarded.town.store.clone(), ClockGuard::default(), reading(right, Duration::ZERO));
    let other = other.await.unwrap();
    assert!(other.confirm(operator(), reading(right, Duration::ZERO)).await.unwrap());
    assert!(!other.confirm(operator(), reading(right, Duration::ZERO)).await.unwrap(), "once");
    let record = guarded.town.store.audit().pop().unwrap();
    assert_eq!((&record.word[..], record.at, record.actor), ("clock_confirmed", right, Actor::Operator("test".into())));
    guarded.keep(right, Duration::MINUTE).await;
    assert_eq!(guarded.watch.trusted(), Ok(()));
    let now = guarded.now(right, Duration::MINUTE);
    assert_eq!(now, right);
    let _ = guarded.ra.request_certificate(&access, id, &key(), ProtectionLevel::File, now).await.unwrap().0;
    assert_eq!(guarded.ra.activate(&pending, now).await.unwrap().1.close, []);
}

#[tokio::test]
async fn invariant_44_downtime_is_no_jump_up_to_thirty_days() {
    let (town, ..) = busy_town().await;
    let guarded = Guarded::start(town, NOW + Duration::days(30)).await;
    assert_eq!(guarded.watch.trusted(), Ok(()));
    let late = NOW + Duration::days(30) + Duration::MILLISECOND;
    let guarded = guarded.restart(late).await;
    assert_eq!(guarded.watch.trusted(), Err(ClockDoubt::Ahead { now: late, expected: NOW }));
    // As a jump of a running process, it is kept until somebody says that the machine was off for so long.
    guarded.keep(late, Duration::SECOND).await;
    let guarded = guarded.restart(late).await;
    assert!(guarded.watch.trusted().is_err());
    assert!(guarded.watch.confirm(operator(), reading(late, Duration::ZERO)).await.unwrap());
    assert_eq!((guarded.watch.trusted(), guarded.largest().await), (Ok(()), Some(late)));
    assert_eq!(guarded.restart(late).await.watch.trusted(), Ok(()));
}

/// A machine without a clock of its own starts in 1970 and is set right by the network some time later.
#[tokio::test]
async fn a_clock_that_was_behind_at_the_start_is_believed_when_it_is_right() {
    let (town, ..) = busy_town().await;
    let guarded = Guarded::start(town, UtcDateTime::UNIX_EPOCH).await;
    guarded.keep(UtcDateTime::UNIX_EPOCH, Duration::SECOND).await;
    assert!(guarded.watch.trusted().is_err());
    let right = NOW + 3 * Duration::DAY;
    guarded.keep(right, Duration::MINUTE).await;
    assert_eq!((guarded.watch.trusted(), guarded.largest().await), (Ok(()), Some(right)));
    // From then on it is a running process.
    guarded.keep(right + 2 * Duration::HOUR, 2 * Duration::MINUTE).await;
    assert!(guarded.watch.trusted().is_err());
}

/// The record is written once a minute, not once a second and not once a request.
#[tokio::test]
async fn the_time_is_recorded_every_minute() {
    let (town, ..) = busy_town().await;
    let guarded = Guarded::start(town, NOW).await;
    let mut written = Vec::new();
    for second in 0..180 {
        let at = NOW + Duration::seconds(second);
        guarded.keep(at, Duration::seconds(second)).await;
        if guarded.largest().await == Some(at) {
            written.push(second);
        }
    }
    assert_eq!(written, [0, 60, 120]);
}
