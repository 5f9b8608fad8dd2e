//! A CA elsewhere, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use koshin_issuance::{Ca, CertificationRequest, Gate, IssueError, PrepareError};
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::{Authority, AuthorityError, Entropy, Order, Revocation, authority::millis};

/// An [`Authority`] whose ledger is forgotten when it is dropped: for tests, rehearsals and the reading of the port.
pub struct MemoryAuthority {
    ca: Arc<Ca>,
    gate: Gate,
    entropy: Entropy,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    keys: BTreeMap<Fingerprint, RenewalId>,
    issued: BTreeMap<RenewalId, (Fingerprint, SerialNumber, Vec<u8>)>,
    revoked: Vec<Revocation>,
}

impl MemoryAuthority {
    /// How long before the issue a validity may begin: 10 minutes.
    ///
    /// ```
    /// assert_eq!(koshin_ra::MemoryAuthority::BACKDATE.whole_minutes(), 10);
    /// ```
    pub const BACKDATE: Duration = Duration::minutes(10);

    /// A CA that has issued nothing yet.
    pub fn new(ca: Arc<Ca>, entropy: Entropy) -> Self {
        Self { ca, gate: Gate::new(), entropy, ledger: Mutex::default() }
    }

    /// Every certificate that was ever issued, DER, by renewal.
    pub fn issued(&self) -> Vec<(RenewalId, Vec<u8>)> {
        self.ledger().issued.iter().map(|(renewal, (_, _, der))| (*renewal, der.clone())).collect()
    }

    /// Every revocation, in order.
    pub fn revoked(&self) -> Vec<Revocation> {
        self.ledger().revoked.clone()
    }

    /// What the operator of the CA does: `false` when there is no such certificate, or it was revoked before.
    pub fn revoke_there(&self, serial: SerialNumber, reason: RevocationReason, at: UtcDateTime) -> bool {
        let mut ledger = self.ledger();
        let revocable = ledger.knows(&serial) && !ledger.is_revoked(&serial);
        if revocable {
            ledger.revoked.push(Revocation { serial, at, reason });
        }
        revocable
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The CA's own judgement of an order that it has not seen before.
    fn make(&self, order: &Order, now: UtcDateTime) -> Result<(SerialNumber, Vec<u8>), AuthorityError> {
        let request = CertificationRequest::from_bytes(&order.request, &self.gate)
            .map_err(|rejected| refused(rejected.code()))?;
        if request.spki_fingerprint() != order.spki {
            return Err(refused("other_key"));
        }
        if order.validity.not_before().saturating_add(Self::BACKDATE) < now {
            return Err(AuthorityError::Stale);
        }
        let subject = order.subject_name().map_err(|_| refused("name"))?;
        let mut random = [0; 13];
        (self.entropy)(&mut random).map_err(unavailable)?;
        let serial = SerialNumber::from_time_and_random(millis(now), random);
        let prepared = self.ca.prepare(request, &subject, order.mail.as_deref(), serial, order.validity);
        let prepared = prepared.map_err(|error| match error {
            PrepareError::BeyondCa { .. } => AuthorityError::Stale,
            _ => refused("profile"),
        })?;
        let certificate = self.ca.issue(prepared.recorded()).map_err(|error: IssueError| unavailable(error))?;
        Ok((serial, certificate.into_der()))
    }
}

impl Ledger {
    fn knows(&self, serial: &SerialNumber) -> bool {
        self.issued.values().any(|(_, issued, _)| issued == serial)
    }

    fn is_revoked(&self, serial: &SerialNumber) -> bool {
        self.revoked.iter().any(|revocation| revocation.serial == *serial)
    }
}

#[async_trait]
impl Authority for MemoryAuthority {
    async fn issue(&self, order: &Order, now: UtcDateTime) -> Result<Vec<u8>, AuthorityError> {
        let mut ledger = self.ledger();
        match ledger.issued.get(&order.renewal) {
            Some((spki, ..)) if *spki != order.spki => return Err(refused("renewal_taken")),
            Some((_, serial, _)) if ledger.is_revoked(serial) => return Err(refused("revoked")),
            Some((_, _, der)) => return Ok(der.clone()),
            None if ledger.keys.contains_key(&order.spki) => return Err(refused("key_seen")),
            None => {}
        }
        let (serial, der) = self.make(order, now)?;
        ledger.keys.insert(order.spki, order.renewal);
        ledger.issued.insert(order.renewal, (order.spki, serial, der.clone()));
        Ok(der)
    }

    async fn revoke(&self, revocation: &Revocation, _now: UtcDateTime) -> Result<(), AuthorityError> {
        let mut ledger = self.ledger();
        if !ledger.knows(&revocation.serial) {
            return Err(refused("unknown"));
        }
        if !ledger.is_revoked(&revocation.serial) {
            ledger.revoked.push(*revocation);
        }
        Ok(())
    }

    async fn changes(&self, after: u64) -> Result<(u64, Vec<Revocation>), AuthorityError> {
        let ledger = self.ledger();
        let newer = usize::try_from(after).ok().and_then(|after| ledger.revoked.get(after..));
        Ok((ledger.revoked.len() as u64, newer.unwrap_or_default().to_vec()))
    }
}

impl std::fmt::Debug for MemoryAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryAuthority").field("ca", &self.ca).finish_non_exhaustive()
    }
}

fn refused(code: &str) -> AuthorityError {
    AuthorityError::Refused { code: code.to_owned() }
}

fn unavailable(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Unavailable { detail: error.to_string() }
}
