//! A CA elsewhere that is away, slow, forgetful or wrong, and a town without the key of any CA.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration as Wait,
};

use async_trait::async_trait;
use koshin_issuance::{Ca, CertificationRequest, Gate, IssuerCertificate, SubjectName, new_serial};
use koshin_ra::{
    Access, Authority, AuthorityError, IssuanceError, Issuing, MemoryAuthority, MemoryStore, Order, Ra, Revocation,
};
use koshin_renewal::{State, Status};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, Validity};
use time::{Duration, UtcDateTime};

use crate::town::{NOW, Town, authority, enrolled_for, entropy, key, registration};

/// What goes wrong with the next answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nothing arrives.
    Down,
    /// It takes its time.
    Slow,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// The order is called too old.
    Stale,
    /// It is refused for good.
    Refused,
    /// One renewal's order is declined as things are configured; all others are served.
    DeclinedFor(RenewalId),
    /// Something comes back that was not ordered.
    Wrong(Wrong),
    /// The same for one renewal; all others are served.
    WrongFor(RenewalId, Wrong),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Noise,
    Key,
    Subject,
    Organization,
    Validity,
    Mail,
    Ca,
    Signature,
    SignedBytes,
}

pub(crate) const WRONG: [Wrong; 9] = [
    Wrong::Noise,
    Wrong::Key,
    Wrong::Subject,
    Wrong::Organization,
    Wrong::Validity,
    Wrong::Mail,
    Wrong::Ca,
    Wrong::Signature,
    Wrong::SignedBytes,
];

/// A CA elsewhere, with a fault that can be switched.
pub(crate) struct Faulty {
    pub(crate) sound: MemoryAuthority,
    pub(crate) ca: Arc<Ca>,
    fault: Mutex<Fault>,
    /// How often it was asked for a certificate.
    pub(crate) asked: AtomicUsize,
}

impl Faulty {
    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::AcqRel)
    }

    /// What it has issued and not revoked.
    pub(crate) fn good(&self) -> Vec<(RenewalId, SerialNumber)> {
        let revoked = self.sound.revoked();
        let issued = self.sound.issued().into_iter().map(|(renewal, der)| (renewal, serial_of(&der)));
        issued.filter(|(_, serial)| !revoked.iter().any(|revocation| revocation.serial == *serial)).collect()
    }

    /// A certificate that nobody has ordered and nobody has recorded.
    fn made(&self, order: &Order, wrong: Wrong) -> Vec<u8> {
        let request = if wrong == Wrong::Key { key() } else { order.request.clone() };
        let request = CertificationRequest::from_der(&request, &Gate::new()).unwrap();
        let (mut organization, mut subject) = (order.organization.as_str(), order.subject.as_str());
        let (mut mail, mut validity) = (order.mail.as_deref(), order.validity);
        match wrong {
            Wrong::Noise => return b"certificate".to_vec(),
            Wrong::Organization => organization = "他店",
            Wrong::Subject => subject = "U-9",
            Wrong::Mail => mail = Some("mallory@example.jp"),
            Wrong::Validity => {
                let longer = validity.not_after() + Duration::SECOND;
                validity = Validity::new(validity.not_before(), longer).unwrap();
            }
            _ => {}
        }
        let name = SubjectName::new(organization, subject).unwrap();
        let serial = new_serial(NOW, &ring::rand::SystemRandom::new()).unwrap();
        let other = authority(10).0;
        let ca = if wrong == Wrong::Ca { &other } else { &self.ca };
        let prepared = ca.prepare(request, &name, mail, serial, validity).unwrap();
        let mut der = ca.issue(prepared.recorded()).unwrap().into_der();
        let end = der.len();
        match wrong {
            Wrong::Signature => der[end - 1] ^= 1,
            // In the middle of the serial number.
            Wrong::SignedBytes => der[20] ^= 1,
            _ => {}
        }
        der
    }
}

#[async_trait]
impl Authority for Faulty {
    async fn issue(&self, order: &Order, now: UtcDateTime) -> Result<Vec<u8>, AuthorityError> {
        self.asked.fetch_add(1, Ordering::AcqRel);
        match self.fault() {
            Fault::Down => Err(down()),
            Fault::Slow => {
                tokio::time::sleep(Wait::from_millis(20)).await;
                self.sound.issue(order, now).await
            }
            Fault::AnswerLost => self.sound.issue(order, now).await.and(Err(down())),
            Fault::Stale => Err(AuthorityError::Stale),
            Fault::Refused => Err(AuthorityError::Refused { code: "key_blocked".into() }),
            Fault::DeclinedFor(id) if id == order.renewal => {
                Err(AuthorityError::Declined { detail: "the validity is too long".into() })
            }
            Fault::None | Fault::DeclinedFor(_) => self.sound.issue(order, now).await,
            Fault::WrongFor(id, _) if id != order.renewal => self.sound.issue(order, now).await,
            Fault::Wrong(wrong) | Fault::WrongFor(_, wrong) => Ok(self.made(order, wrong)),
        }
    }

    async fn revoke(&self, revocation: &Revocation, now: UtcDateTime) -> Result<(), AuthorityError> {
        match self.fault() {
            Fault::Down => Err(down()),
            Fault::AnswerLost => self.sound.revoke(revocation, now).await.and(Err(down())),
            _ => self.sound.revoke(revocation, now).await,
        }
    }

    async fn changes(&self, after: u64) -> Result<(u64, Vec<Revocation>), AuthorityError> {
        match self.fault() {
            Fault::Down | Fault::AnswerLost => Err(down()),
            // Pages of one.
            _ => {
                let (end, mut newer) = self.sound.changes(after).await?;
                let next = if newer.len() > 1 { after + 1 } else { end };
                newer.truncate(1);
                Ok((next, newer))
            }
        }
    }
}

pub(crate) fn down() -> AuthorityError {
    AuthorityError::Unavailable { detail: "switched off by the test".into() }
}

pub(crate) fn serial_of(der: &[u8]) -> SerialNumber {
    // Certificate, TBSCertificate, version, serialNumber: long forms of length before, short ones behind.
    assert_eq!((der[1], der[5], der[8..13].to_vec()), (0x82, 0x82, vec![0xa0, 3, 2, 1, 2]));
    assert_eq!(der[13], 2);
    SerialNumber::from_be_bytes(&der[15..15 + usize::from(der[14])]).unwrap()
}

pub(crate) fn issuing(store: &Arc<MemoryStore>, there: &Arc<Faulty>) -> Issuing {
    Issuing::Elsewhere {
        authority: there.clone(),
        issuer: Arc::new(IssuerCertificate::from(&*there.ca)),
        correspondence: store.clone(),
    }
}

/// A town without the key of any CA.
pub(crate) async fn town() -> (Town, Arc<Faulty>) {
    let (ca, signer_down) = authority(10);
    let sound = MemoryAuthority::new(Arc::clone(&ca), entropy);
    let fault = Mutex::new(Fault::None);
    let there = Arc::new(Faulty { sound, ca: Arc::clone(&ca), fault, asked: AtomicUsize::new(0) });
    let store = Arc::new(MemoryStore::default());
    let ra = registration(&store, store.clone(), issuing(&store, &there));
    (Town { ra, ca, store, signer_down }.founded().await, there)
}

/// The same storage and the same CA after a restart.
pub(crate) fn restarted(town: &Town, there: &Arc<Faulty>) -> Ra {
    registration(&town.store, town.store.clone(), issuing(&town.store, there))
}

/// Somebody whose renewal waits for a key.
pub(crate) async fn renewing(town: &Town, id: &str) -> (Fingerprint, Access, RenewalId) {
    let old = town.enrolled(id, enrolled_for(8)).await;
    let access = town.sign_in(id, &old, NOW).await.access;
    let renewal = town.ra.start_renewal(&access, NOW).await.unwrap();
    (old, access, renewal)
}

pub(crate) async fn ask(
    ra: &Ra,
    access: &Access,
    id: RenewalId,
    csr: &[u8],
    now: UtcDateTime,
) -> Result<Vec<u8>, IssuanceError> {
    let asked = ra.request_certificate(access, id, csr, ProtectionLevel::File, now).await;
    asked.map(|(bundle, _)| bundle.certificate)
}

pub(crate) async fn state(town: &Town, id: &str) -> State {
    town.holding(id).await.renewal.unwrap().state
}

pub(crate) async fn status(town: &Town, id: &str, certificate: &Fingerprint) -> Status {
    town.holding(id).await.certificate(certificate).unwrap().status
}
