//! Walks through what can happen to a CA: requests, revocations, crashes, lost answers, a key that comes and goes, two
//! processes. Wherever a walk ends, the ledger holds what was promised, and nobody was told two different things.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{LazyLock, atomic::Ordering},
};

use koshin_endpoints::ca::{
    CaService, ChangeKind, IssueRefused, IssueRequest, Issued, Ledger as _, OrderKey, Revocation, Standing,
};
use koshin_issuance::{CertificationRequest, Gate};
use koshin_types::{Fingerprint, RevocationReason, SerialNumber};
use proptest::prelude::*;

use super::{
    Bench,
    crash::{Fault, Faulty, once},
    csr, now, order, renewal,
};

/// Few renewals and keys, so that walks come back to the same ones.
const RENEWALS: u8 = 3;
const KEYS: usize = 4;

static REQUESTS: LazyLock<Vec<(Vec<u8>, Fingerprint)>> = LazyLock::new(|| {
    let spki = |request: &[u8]| CertificationRequest::from_bytes(request, &Gate::new()).unwrap().spki_fingerprint();
    (0..KEYS).map(|_| csr()).map(|request| (request.clone(), spki(&request))).collect()
});

#[derive(Debug, Clone, Copy)]
enum Op {
    Issue { renewal: u8, key: usize, client: usize, fault: Option<(Fault, usize)> },
    Revoke { nth: usize, reason: RevocationReason, fault: Option<(Fault, usize)> },
    Finish { fault: Option<(Fault, usize)> },
    KeyAway(bool),
    Hold(bool),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let kinds = prop_oneof![Just(Fault::Before), Just(Fault::After), Just(Fault::DiedBefore), Just(Fault::DiedAfter)];
    let fault = || prop::option::of((kinds.clone(), 1_usize..=5));
    prop_oneof![
        6 => (0..RENEWALS, 0..KEYS, prop::bool::weighted(0.1), fault())
            .prop_map(|(renewal, key, other, fault)| Op::Issue { renewal, key, client: usize::from(other), fault }),
        2 => (0_usize..8, prop::sample::select(&RevocationReason::ALL[..]), fault())
            .prop_map(|(nth, reason, fault)| Op::Revoke { nth, reason, fault }),
        1 => fault().prop_map(|fault| Op::Finish { fault }),
        1 => any::<bool>().prop_map(Op::KeyAway),
        1 => any::<bool>().prop_map(Op::Hold),
        1 => Just(Op::Restart),
    ]
}

/// What has been told to anybody.
#[derive(Default)]
struct Told {
    issued: BTreeMap<OrderKey, Issued>,
    /// Serial numbers that somebody knows of, also of what was not signed.
    serials: Vec<SerialNumber>,
    revoked: BTreeMap<SerialNumber, Revocation>,
}

struct Walk {
    bench: Bench,
    service: CaService,
    told: Told,
}

impl Walk {
    fn new() -> Self {
        static BENCH: LazyLock<Bench> = LazyLock::new(Bench::new);
        let bench = BENCH.anew();
        Self { service: bench.service(), bench, told: Told::default() }
    }

    /// A process of its own, in which something goes wrong, or the one that runs on.
    fn with<T>(&self, fault: Option<(Fault, usize)>, act: impl AsyncFnOnce(&CaService) -> T) -> Option<T> {
        match fault {
            None => once(act(&self.service)),
            Some((fault, nth)) => once(act(&self.bench.over(Faulty::new(&self.bench.ledger, fault, nth)))),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::KeyAway(away) => self.bench.key.away.store(away, Ordering::Relaxed),
            Op::Hold(held) => self.service.hold(held.then(|| "held".to_owned())),
            Op::Restart => self.service = self.bench.service(),
            Op::Finish { fault } => drop(self.with(fault, async |ca| ca.finish_unfinished(now()).await)),
            Op::Issue { renewal: number, key, client, fault } => self.issue(number, key, client, fault),
            Op::Revoke { nth, reason, fault } => self.revoke(nth, reason, fault),
        }
    }

    fn issue(&mut self, number: u8, key: usize, client: usize, fault: Option<(Fault, usize)>) {
        let (request, spki) = REQUESTS[key].clone();
        let wish = IssueRequest { request, ..order(number) };
        let asking = &self.bench.clients[client];
        let answer = self.with(fault, async |ca| ca.issue(asking, &wish, now()).await);
        let place = OrderKey { renewal: renewal(number), spki };
        match answer {
            Some(Ok(issued)) => {
                assert!(!self.told.revoked.contains_key(&issued.serial), "what is revoked is not handed out");
                self.told.serials.push(issued.serial);
                let first = self.told.issued.entry(place).or_insert_with(|| issued.clone());
                assert_eq!(*first, issued, "I-25");
            }
            Some(Err(IssueRefused::Unsigned { serial, .. })) => self.told.serials.push(serial),
            Some(Err(IssueRefused::Revoked { serial, .. } | IssueRefused::Abandoned { serial })) => {
                let known = once(self.bench.ledger.status(&serial)).unwrap().unwrap().unwrap();
                assert!(known.standing.revocation().is_some() && known.order == place);
            }
            Some(Err(refused)) => {
                let conflict = matches!(refused, IssueRefused::KeySeen { .. } | IssueRefused::RenewalTaken { .. });
                assert!(conflict || refused.is_transient(), "{refused:?}");
            }
            None => assert!(fault.is_some()),
        }
    }

    fn revoke(&mut self, nth: usize, reason: RevocationReason, fault: Option<(Fault, usize)>) {
        let Some(serial) = self.told.serials.get(nth).copied() else { return };
        let wish = koshin_endpoints::ca::RevocationRequest { reason, ..super::revoke::request(serial) };
        let status = once(self.bench.ledger.status(&serial)).unwrap().unwrap().unwrap();
        let owner = self.service_client(&status.client);
        if let Some(Ok(revoked)) = self.with(fault, async |ca| ca.revoke(owner, &wish, now()).await) {
            let first = self.told.revoked.entry(serial).or_insert_with(|| revoked.clone());
            assert_eq!(*first, revoked, "I-36");
        }
    }

    fn service_client(&self, name: &str) -> &koshin_endpoints::ca::Client {
        self.bench.clients.iter().find(|client| client.name == name).unwrap()
    }

    /// Lets everything come right, and reads the ledger.
    fn end(mut self) {
        self.bench.key.away.store(false, Ordering::Relaxed);
        self.step(Op::Restart);
        let finished = once(self.service.finish_unfinished(now())).unwrap().unwrap();
        assert!(finished.stopped.is_none() && finished.abandoned.is_empty());
        assert_eq!(once(self.bench.ledger.unfinished(100)).unwrap().unwrap(), [], "I-72");

        let changes = once(self.bench.ledger.changes(0, 1000)).unwrap().unwrap().changes;
        let mut issued = BTreeSet::new();
        let mut ended = BTreeMap::new();
        for change in &changes {
            match &change.kind {
                ChangeKind::Issued => assert!(issued.insert(change.serial), "issued once"),
                ChangeKind::Revoked(revocation) => {
                    assert!(issued.contains(&change.serial), "revoked after it was issued");
                    assert!(ended.insert(change.serial, revocation.clone()).is_none(), "revoked once");
                }
                ChangeKind::Abandoned(revocation) => {
                    assert!(!issued.contains(&change.serial));
                    assert!(ended.insert(change.serial, revocation.clone()).is_none(), "abandoned once");
                }
            }
        }
        let abandoned = ended.keys().filter(|serial| !issued.contains(serial)).count();
        let (intents, records) = (issued.len() + abandoned, changes.len());
        assert_eq!(self.bench.ledger.audited(), u64::try_from(intents + records).unwrap(), "I-35");
        assert!(intents <= usize::from(RENEWALS), "I-22: a renewal has one key");

        let (mut renewals, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for (place, told) in &self.told.issued {
            assert!(renewals.insert(place.renewal) && keys.insert(place.spki), "I-22");
            let entry = once(self.bench.ledger.find(place)).unwrap().unwrap().unwrap();
            assert_eq!((entry.intent.serial, entry.certificate.as_ref()), (told.serial, Some(&told.certificate)));
        }
        for (serial, revocation) in &self.told.revoked {
            assert_eq!(ended.get(serial), Some(revocation));
            let status = once(self.bench.ledger.status(serial)).unwrap().unwrap().unwrap();
            assert!(!matches!(status.standing, Standing::Issued | Standing::Intended));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_22_25_36_72_whatever_happens(ops in prop::collection::vec(op(), 0..20)) {
        let mut walk = Walk::new();
        for op in ops {
            walk.step(op);
        }
        walk.end();
    }
}
