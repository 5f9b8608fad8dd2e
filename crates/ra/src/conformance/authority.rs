//! What every [`Authority`] has to do, as tests that any implementation runs on itself: see
//! [`authority_conformance!`](crate::authority_conformance).

use async_trait::async_trait;
use koshin_issuance::{Certificate, CertificationRequest, Gate, IssuerCertificate, VerifyError};
use koshin_types::{RevocationReason, SerialNumber, Validity};
use time::{Duration, UtcDateTime};

use super::world::renewal_id;
use crate::{Authority, AuthorityError, Order, Revocation};

/// A CA on the bench: what the tests need beside the port. It has issued nothing yet.
#[async_trait]
pub trait AuthorityRig: Send + Sync {
    /// The CA under test.
    fn authority(&self) -> &dyn Authority;
    /// Its certificate.
    fn issuer(&self) -> &IssuerCertificate;
    /// An instant within its validity that its own clock would not dispute.
    fn now(&self) -> UtcDateTime;
    /// A request for a new key each time, DER.
    fn request(&self) -> Vec<u8>;
    /// Revokes at the CA, past the port.
    async fn revoke_there(&self, serial: SerialNumber, reason: RevocationReason);
}

/// Makes one `#[test]` of each test of the suite. Takes the path of an `async fn() -> impl AuthorityRig` that gives a new CA
/// each time. The crate that uses it needs `koshin-notify`, whose suite lends the runtime.
#[macro_export]
macro_rules! authority_conformance {
    ($make:path) => {
        $crate::authority_conformance!(@ $make:
            an_order_gives_what_it_says, the_same_order_gives_the_same_certificate,
            orders_at_once_give_one_certificate, a_renewal_has_one_key_and_a_key_one_renewal,
            an_order_that_is_too_old_is_stale, a_bad_request_is_refused, revoking_again_changes_nothing,
            what_is_revoked_is_told_in_order, a_revoked_certificate_is_handed_out_to_nobody,
        );
    };
    (@ $make:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            koshin_notify::conformance::run(async { $crate::conformance::authority::$case(&$make().await).await });
        })+
    };
}

/// An order for a new key: 365 days from now.
fn order(rig: &dyn AuthorityRig, number: u32) -> Order {
    let request = rig.request();
    let at = rig.now().truncate_to_millisecond();
    let not_before = at.replace_nanosecond(0).unwrap();
    let not_after = (not_before + Duration::days(365) - Duration::SECOND).min(rig.issuer().not_after());
    Order {
        renewal: renewal_id(number),
        spki: CertificationRequest::from_der(&request, &Gate::new()).unwrap().spki_fingerprint(),
        organization: "緑商事株式会社".into(),
        subject: format!("U-{number}").parse().unwrap(),
        mail: Some("taro@example.co.jp".into()),
        validity: Validity::new(not_before, not_after).unwrap(),
        request,
        at,
    }
}

fn verified(rig: &dyn AuthorityRig, order: &Order, der: Vec<u8>) -> Result<Certificate, VerifyError> {
    rig.issuer().verify(der, &order.ordered(&order.subject_name().unwrap()))
}

async fn issued(rig: &dyn AuthorityRig, order: &Order) -> Certificate {
    let der = rig.authority().issue(order, rig.now()).await.unwrap();
    verified(rig, order, der).unwrap()
}

async fn revocations(rig: &dyn AuthorityRig) -> Vec<(SerialNumber, RevocationReason)> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let (next, page) = rig.authority().changes(after).await.unwrap();
        assert!(next >= after, "the sequence only grows");
        all.extend(page.iter().map(|one| (one.serial, one.reason)));
        if next == after {
            assert_eq!(page, []);
            return all;
        }
        after = next;
    }
}

fn is_refused<T: std::fmt::Debug>(answer: &Result<T, AuthorityError>) -> bool {
    matches!(answer, Err(AuthorityError::Refused { code }) if !code.is_empty())
}

/// The certificate bears the CA's signature, and says what was ordered.
pub async fn an_order_gives_what_it_says(rig: &dyn AuthorityRig) {
    let first = order(rig, 1);
    let certificate = issued(rig, &first).await;
    assert_eq!((certificate.validity(), certificate.spki_fingerprint()), (first.validity, first.spki));
    let second = Order { mail: None, ..order(rig, 2) };
    assert_ne!(issued(rig, &second).await.serial(), certificate.serial());
    assert_eq!(revocations(rig).await, []);
}

/// Whatever validity and address the second order says: a lost answer is asked for again, and the first order counted.
pub async fn the_same_order_gives_the_same_certificate(rig: &dyn AuthorityRig) {
    let first = order(rig, 1);
    let certificate = issued(rig, &first).await;
    for _ in 0..3 {
        assert_eq!(issued(rig, &first).await, certificate);
    }
    let shorter = Validity::new(first.validity.not_before(), first.validity.not_after() - Duration::DAY).unwrap();
    let changed = Order { mail: None, validity: shorter, ..first };
    let again = rig.authority().issue(&changed, rig.now()).await.unwrap();
    assert_eq!(again, certificate.der());
    assert!(matches!(verified(rig, &changed, again), Err(VerifyError::Differs { .. })));
}

/// Of several at once, one is issued and all get it.
pub async fn orders_at_once_give_one_certificate(rig: &dyn AuthorityRig) {
    let order = order(rig, 1);
    let ask = || rig.authority().issue(&order, rig.now());
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let first = a.unwrap();
    for other in [b, c, d] {
        assert_eq!(other.unwrap(), first);
    }
}

/// One renewal gives at most one certificate for one key (I-22), and no key is certified twice (I-31).
pub async fn a_renewal_has_one_key_and_a_key_one_renewal(rig: &dyn AuthorityRig) {
    let first = order(rig, 1);
    let certificate = issued(rig, &first).await;
    let other_key = Order { renewal: first.renewal, ..order(rig, 2) };
    assert!(is_refused(&rig.authority().issue(&other_key, rig.now()).await));
    let other_renewal = Order { renewal: renewal_id(3), ..first.clone() };
    assert!(is_refused(&rig.authority().issue(&other_renewal, rig.now()).await));
    assert_eq!(issued(rig, &first).await, certificate);
}

/// A validity that begins far in the past is not issued; the same renewal and key with another one is.
pub async fn an_order_that_is_too_old_is_stale(rig: &dyn AuthorityRig) {
    let fresh = order(rig, 1);
    let (not_before, not_after) = (fresh.validity.not_before(), fresh.validity.not_after());
    let past = Validity::new(not_before - Duration::days(60), not_after - Duration::days(60)).unwrap();
    let old = Order { validity: past, ..fresh.clone() };
    for _ in 0..2 {
        assert_eq!(rig.authority().issue(&old, rig.now()).await, Err(AuthorityError::Stale));
    }
    let certificate = issued(rig, &fresh).await;
    assert_eq!(
        rig.authority().issue(&old, rig.now()).await.as_deref(),
        Ok(certificate.der()),
        "issued before all else"
    );
}

/// The CA has a gate of its own.
pub async fn a_bad_request_is_refused(rig: &dyn AuthorityRig) {
    let good = order(rig, 1);
    let mut broken = good.request.clone();
    if let Some(last) = broken.last_mut() {
        *last ^= 1;
    }
    for request in [Vec::new(), b"request".to_vec(), broken] {
        let order = Order { request, ..good.clone() };
        assert!(is_refused(&rig.authority().issue(&order, rig.now()).await));
    }
    issued(rig, &good).await;
}

/// Revocation is final, and what was never issued cannot be revoked.
pub async fn revoking_again_changes_nothing(rig: &dyn AuthorityRig) {
    let serial = issued(rig, &order(rig, 1)).await.serial();
    let revoke = |serial, reason| {
        let revocation = Revocation { serial, at: rig.now().truncate_to_millisecond(), reason };
        async move { rig.authority().revoke(&revocation, rig.now()).await }
    };
    assert!(is_refused(&revoke(super::world::serial(9), RevocationReason::KeyCompromise).await));
    assert_eq!(revoke(serial, RevocationReason::KeyCompromise).await, Ok(()));
    assert_eq!(revoke(serial, RevocationReason::CessationOfOperation).await, Ok(()));
    assert_eq!(revocations(rig).await, [(serial, RevocationReason::KeyCompromise)]);
}

/// Whoever asks with the place that came last learns of every revocation once, whoever made it.
pub async fn what_is_revoked_is_told_in_order(rig: &dyn AuthorityRig) {
    let mut serials = Vec::new();
    for number in 1..=3 {
        serials.push(issued(rig, &order(rig, number)).await.serial());
    }
    let reason = RevocationReason::AffiliationChanged;
    rig.revoke_there(serials[2], reason).await;
    let (mut place, mut seen) = (0, Vec::new());
    for _ in 0..10 {
        if seen.is_empty() {
            (place, seen) = rig.authority().changes(place).await.unwrap();
        }
    }
    assert_eq!(seen.iter().map(|one| (one.serial, one.reason)).collect::<Vec<_>>(), [(serials[2], reason)]);
    let own = Revocation { serial: serials[0], at: rig.now().truncate_to_millisecond(), reason };
    rig.authority().revoke(&own, rig.now()).await.unwrap();
    let (_, newer) = rig.authority().changes(place).await.unwrap();
    assert_eq!(newer.iter().map(|one| one.serial).collect::<Vec<_>>(), [serials[0]]);
    assert_eq!(revocations(rig).await, [(serials[2], reason), (serials[0], reason)]);
    // Asked with a place that is not reached yet, as after the restore of an older copy.
    let ahead = place + 1000;
    let (place, none) = rig.authority().changes(ahead).await.unwrap();
    assert!(place < ahead && none.is_empty(), "{place} after {ahead}: {none:?}");
    assert_eq!(rig.authority().changes(place).await.unwrap(), (place, vec![]));
}

/// Nobody is given a certificate that is revoked already.
pub async fn a_revoked_certificate_is_handed_out_to_nobody(rig: &dyn AuthorityRig) {
    let order = order(rig, 1);
    let serial = issued(rig, &order).await.serial();
    rig.revoke_there(serial, RevocationReason::KeyCompromise).await;
    assert!(is_refused(&rig.authority().issue(&order, rig.now()).await));
}
