//! F02 to F05: the CA dies, or the ledger fails, at every point of an issue. Whatever happens, one serial number comes of it.

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use async_trait::async_trait;
use koshin_endpoints::ca::{
    Changes, Entry, IntendError, Intent, IssueRefused, IssuedError, Ledger, LedgerError, MemoryLedger, OrderKey,
    Recorded, Revocation, RevokeError, Standing, Status,
};
use koshin_types::{RevocationReason, SerialNumber};
use time::UtcDateTime;

use super::{Bench, now, order};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails, and nothing was done.
    Before,
    /// It was done, and its answer is lost.
    After,
    /// Whoever asked died before anything was done.
    DiedBefore,
    /// It was done, and whoever asked died.
    DiedAfter,
    /// Nothing goes wrong, but others get their turn before each call.
    Slow,
}

/// A ledger whose n-th call goes wrong.
pub(super) struct Faulty {
    ledger: Arc<MemoryLedger>,
    fault: Fault,
    until: AtomicUsize,
}

impl Faulty {
    pub(super) fn new(ledger: &Arc<MemoryLedger>, fault: Fault, nth: usize) -> Arc<Self> {
        Arc::new(Self { ledger: Arc::clone(ledger), fault, until: AtomicUsize::new(nth) })
    }

    async fn call<T, E: From<LedgerError>>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if self.fault == Fault::Slow {
            tokio::task::yield_now().await;
            return call.await;
        }
        if self.until.fetch_sub(1, Ordering::Relaxed) != 1 {
            return call.await;
        }
        let lost = || E::from(LedgerError::Unavailable("the answer is lost".into()));
        match self.fault {
            Fault::Before | Fault::Slow => Err(lost()),
            Fault::After => {
                drop(call.await);
                Err(lost())
            }
            Fault::DiedBefore => pending().await,
            Fault::DiedAfter => {
                drop(call.await);
                pending().await
            }
        }
    }
}

#[async_trait]
impl Ledger for Faulty {
    async fn find(&self, order: &OrderKey) -> Result<Option<Entry>, LedgerError> {
        self.call(self.ledger.find(order)).await
    }
    async fn intend(&self, intent: Intent) -> Result<Recorded, IntendError> {
        self.call(self.ledger.intend(intent)).await
    }
    async fn issued(&self, serial: &SerialNumber, der: &[u8], now: UtcDateTime) -> Result<Vec<u8>, IssuedError> {
        self.call(self.ledger.issued(serial, der, now)).await
    }
    async fn revoke(&self, serial: &SerialNumber, of: &Revocation, now: UtcDateTime) -> Result<Standing, RevokeError> {
        self.call(self.ledger.revoke(serial, of, now)).await
    }
    async fn status(&self, serial: &SerialNumber) -> Result<Option<Status>, LedgerError> {
        self.call(self.ledger.status(serial)).await
    }
    async fn changes(&self, after: u64, limit: u32) -> Result<Changes, LedgerError> {
        self.call(self.ledger.changes(after, limit)).await
    }
    async fn unfinished(&self, limit: u32) -> Result<Vec<Intent>, LedgerError> {
        self.call(self.ledger.unfinished(limit)).await
    }
}

/// What became of one poll of a whole issue: all that a ledger in memory can keep waiting is death.
pub(super) fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn one_serial_number_comes_of_every_crash_and_every_lost_answer() {
    for fault in [Fault::Before, Fault::After, Fault::DiedBefore, Fault::DiedAfter] {
        // find, changes (the clock), intend, issued.
        for nth in 1..=4 {
            for recovered in [false, true] {
                let bench = Bench::new();
                let request = order(1);
                let service = bench.over(Faulty::new(&bench.ledger, fault, nth));
                let died = matches!(fault, Fault::DiedBefore | Fault::DiedAfter);
                match once(service.issue(bench.portal(), &request, now())) {
                    Some(Err(refused)) => assert!(!died && refused.is_transient(), "{fault:?} {nth}: {refused:?}"),
                    Some(Ok(_)) => panic!("{fault:?} {nth}: the call did not go wrong"),
                    None => assert!(died, "{fault:?} {nth}"),
                }
                drop(service);
                let after = bench.service();
                if recovered {
                    let finished = once(after.finish_unfinished(now())).unwrap().unwrap();
                    assert!(finished.stopped.is_none() && finished.abandoned.is_empty());
                    assert_eq!(once(bench.ledger.unfinished(10)).unwrap().unwrap(), []);
                }
                let issued = once(after.issue(bench.portal(), &request, now())).unwrap().unwrap();
                let again = once(after.issue(bench.portal(), &request, now())).unwrap().unwrap();
                assert_eq!(issued, again, "{fault:?} {nth}");
                assert_eq!(bench.ledger.audited(), 2, "{fault:?} {nth}: one intent, one certificate");
            }
        }
        let bench = Bench::new();
        let service = bench.over(Faulty::new(&bench.ledger, fault, 5));
        assert!(once(service.issue(bench.portal(), &order(1), now())).unwrap().is_ok(), "an issue takes four calls");
    }
}

#[test]
fn one_revocation_comes_of_every_crash_and_every_lost_answer() {
    for fault in [Fault::Before, Fault::After, Fault::DiedBefore, Fault::DiedAfter] {
        for nth in 1..=2 {
            let bench = Bench::new();
            let issued = once(bench.service().issue(bench.portal(), &order(1), now())).unwrap().unwrap();
            let service = bench.over(Faulty::new(&bench.ledger, fault, nth));
            let request = super::revoke::request(issued.serial);
            assert!(!matches!(once(service.revoke(bench.portal(), &request, now())), Some(Ok(_))));
            let revoked = once(bench.service().revoke(bench.portal(), &request, now())).unwrap().unwrap();
            assert_eq!(revoked.reason, RevocationReason::KeyCompromise);
            assert_eq!(bench.ledger.audited(), 3, "{fault:?} {nth}");
        }
    }
}

/// Recorded by a program that did not do what this one does: it can never be signed, and it holds nothing up.
#[test]
fn invariant_72_what_can_never_be_signed_is_abandoned_and_told() {
    let bench = Bench::new();
    let (spoilt, sound) = (order(1), order(2));
    for (request, spoil) in [(&spoilt, true), (&sound, false)] {
        // Dies between the intent and the certificate.
        let elsewhere = Bench { ledger: Arc::default(), clients: bench.clients.clone(), ..Bench::new() };
        let from = if spoil { &elsewhere } else { &bench };
        let service = from.over(Faulty::new(&from.ledger, Fault::DiedBefore, 4));
        assert!(once(service.issue(bench.portal(), request, now())).is_none());
        if spoil {
            // An intent of another CA's: its bytes name another issuer.
            let mut foreign = once(from.ledger.unfinished(1)).unwrap().unwrap();
            assert_eq!(once(bench.ledger.intend(foreign.remove(0))).unwrap().unwrap(), Recorded::New);
        }
    }
    let service = bench.service();
    let finished = once(service.finish_unfinished(now())).unwrap().unwrap();
    assert_eq!((finished.issued.len(), finished.abandoned.len()), (1, 1));
    assert!(finished.stopped.is_none());
    let refused = once(service.issue(bench.portal(), &spoilt, now())).unwrap().unwrap_err();
    assert!(matches!(refused, IssueRefused::Abandoned { .. }) && !refused.is_transient(), "{refused:?}");
    once(service.issue(bench.portal(), &sound, now())).unwrap().unwrap();
    let status = once(bench.ledger.status(&finished.abandoned[0].0)).unwrap().unwrap().unwrap();
    assert!(matches!(status.standing, Standing::Abandoned(revocation) if revocation.by == "koshin-ca"));
}

/// The same, found by the request itself.
#[test]
fn invariant_72_a_request_finds_that_nothing_can_come_of_it() {
    let (bench, other) = (Bench::new(), Bench::new());
    let request = order(1);
    let service = other.over(Faulty::new(&other.ledger, Fault::DiedBefore, 4));
    assert!(once(service.issue(bench.portal(), &request, now())).is_none());
    let after_rollover = bench.over(Arc::clone(&other.ledger) as _);
    let refused = once(after_rollover.issue(bench.portal(), &request, now())).unwrap().unwrap_err();
    assert!(matches!(refused, IssueRefused::Unsignable { .. }) && !refused.is_transient(), "{refused:?}");
    let refused = once(after_rollover.issue(bench.portal(), &request, now())).unwrap().unwrap_err();
    assert!(matches!(refused, IssueRefused::Abandoned { .. }), "{refused:?}");
}
