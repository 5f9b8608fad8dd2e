//! What every [`KeyStore`] has to do, as tests that any implementation runs on itself.
//!
//! A back end says how one case is run, since many a store is one for its whole process and is told by environment variables
//! where it lies: its runner may begin a process of its own for the case.
//!
//! ```
//! use koshin_keystore::{KeyStore, MemoryKeyStore, conformance::{Case, Rig}};
//! use koshin_types::ProtectionLevel;
//! use std::sync::Arc;
//!
//! struct Memory(MemoryKeyStore);
//!
//! impl Rig for Memory {
//!     fn store(&self) -> Box<dyn KeyStore> {
//!         Box::new(self.0.clone())
//!     }
//! }
//!
//! /// Runs a case; its name is the test's path.
//! fn run(_name: &str, case: Case) {
//!     case(&Memory(MemoryKeyStore::new(Arc::new(ring::rand::SystemRandom::new()), ProtectionLevel::File)));
//! }
//!
//! koshin_keystore::keystore_conformance!(run);
//! # fn main() { run("", koshin_keystore::conformance::a_new_key_signs) }
//! ```

#![expect(clippy::missing_panics_doc, reason = "a test of the suite fails by panicking")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test of the suite fails by panicking")]

use std::collections::BTreeSet;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData, SerialNumber};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use time::{OffsetDateTime, macros::datetime};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

use crate::{
    CertificateFault, Entry, InstallError, KeyError, KeyId, KeyPresence, KeyStore, PublicPoint, Removed, SignError,
    StoredKey,
};

/// A store on the bench: the place is empty at first and lasts as long as the rig.
pub trait Rig {
    /// The store as another run of the program opens it, at the same place each time.
    fn store(&self) -> Box<dyn KeyStore>;
}

/// One test of the suite.
pub type Case = fn(&dyn Rig);

/// Makes one `#[test]` of each test of the suite. Takes the path of a `fn(&str, Case)` that runs a case on a new, empty store;
/// the text is the test's path as the test program knows it, but for the crate's name in front.
#[macro_export]
macro_rules! keystore_conformance {
    ($run:path) => {
        $crate::keystore_conformance!(@ $run:
            a_new_key_signs, a_key_is_found_by_its_identifier, a_request_proves_possession,
            a_key_without_certificate_is_listed, a_certificate_lies_beside_its_key, what_does_not_fit_is_refused,
            certificates_of_one_subject_stay_apart, removal_is_final, a_chain_goes_along, threads_share_a_key,
            labels_are_for_people,
        );
    };
    (@ $run:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            $run(concat!(module_path!(), "::", stringify!($case)), $crate::conformance::$case);
        })+
    };
}

const MESSAGE: &[u8] = b"proof of possession";
const NOT_BEFORE: OffsetDateTime = datetime!(2026-04-01 00:00:00 UTC);
const NOT_AFTER: OffsetDateTime = datetime!(2027-03-31 23:59:59 UTC);

/// A CA that certifies whatever it is shown, below a root of its own.
pub struct Authority {
    key: KeyPair,
    parameters: CertificateParams,
    der: Vec<u8>,
    root: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = named("Conformance Root", true);
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let parameters = named("Conformance CA", true);
        let der = parameters.signed_by(&key, &Issuer::from_params(&root, &root_key)).unwrap().der().to_vec();
        Self { key, parameters, der, root: root_der }
    }
}

impl Authority {
    /// Certifies a key under a subject's common name, valid from 2026-04-01 to 2027-03-31, and returns the DER.
    pub fn certify(&self, key: &StoredKey, subject: &str, serial: u64) -> Vec<u8> {
        let mut parameters = named(subject, false);
        parameters.serial_number = Some(SerialNumber::from(serial));
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.parameters, &self.key);
        parameters.signed_by(&Public(key.point()), &issuer).unwrap().der().to_vec()
    }

    /// The CA's own certificate, and its root's, both DER.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.der.clone(), self.root.clone()]
    }
}

struct Public(PublicPoint);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_sec1()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

fn named(name: &str, authority: bool) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    (parameters.not_before, parameters.not_after) = (NOT_BEFORE, NOT_AFTER);
    parameters.distinguished_name.push(DnType::CommonName, name);
    if authority {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    parameters
}

fn verifies(key: &StoredKey, message: &[u8], signature: &[u8]) -> bool {
    let point = key.point();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.as_sec1());
    public.verify(message, signature).is_ok()
}

fn entry(store: &dyn KeyStore, id: KeyId) -> Vec<Entry> {
    store.list().unwrap().into_iter().filter(|entry| entry.id == id).collect()
}

/// What a new key signs, its public key verifies; and no two keys are the same.
pub fn a_new_key_signs(rig: &dyn Rig) {
    let store = rig.store();
    let (key, other) = (store.generate("one").unwrap(), store.generate("two").unwrap());
    assert_eq!(key.protection(), store.protection());
    assert_eq!(key.id(), KeyId::of_point(&key.point()));
    assert_ne!(key.id(), other.id());
    // r and s are of many lengths; their first bit is set every other time.
    for length in 0..16 {
        let message = vec![7; length * 31];
        let signature = key.sign(&message).unwrap();
        assert!(verifies(&key, &message, &signature), "a signature over {} octets", message.len());
        assert!(!verifies(&key, MESSAGE, &signature));
        assert!(!verifies(&other, &message, &signature));
    }
    assert!(!store.describe().is_empty());
}

/// Another run of the program finds the keys of this one, each under its own identifier.
pub fn a_key_is_found_by_its_identifier(rig: &dyn Rig) {
    let made: Vec<StoredKey> = {
        let store = rig.store();
        (0..3).map(|_| store.generate("same").unwrap()).collect()
    };
    let store = rig.store();
    for key in &made {
        let found = store.key(key.id()).unwrap();
        assert_eq!((found.id(), found.spki()), (key.id(), key.spki()));
        assert_eq!(found.protection(), key.protection());
        assert!(verifies(key, MESSAGE, &found.sign(MESSAGE).unwrap()));
    }
    let unknown = KeyId::new([7; 20]);
    let missing = store.key(unknown);
    assert!(matches!(missing, Err(KeyError::Missing { id }) if id == unknown), "{missing:?}");
}

/// The request is signed with the key that it names, and names nobody.
pub fn a_request_proves_possession(rig: &dyn Rig) {
    let key = rig.store().generate("request").unwrap();
    let der = key.certification_request().unwrap();
    let (rest, request) = X509CertificationRequest::from_der(&der).unwrap();
    assert!(rest.is_empty());
    let info = &request.certification_request_info;
    assert_eq!(info.subject_pki.raw, key.spki());
    assert_eq!(info.subject.iter().count(), 0);
    assert!(verifies(&key, info.raw, &request.signature_value.data));
}

/// A key whose certificate never came is seen, so that it can be used or removed later.
pub fn a_key_without_certificate_is_listed(rig: &dyn Rig) {
    assert_eq!(rig.store().list().unwrap(), []);
    let key = rig.store().generate("waiting").unwrap();
    let entries = rig.store().list().unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].id, entries[0].key, &entries[0].certificate), (key.id(), KeyPresence::Here, &None));
}

/// An installed certificate is listed with its key, byte by byte, once.
pub fn a_certificate_lies_beside_its_key(rig: &dyn Rig) {
    let (authority, store) = (Authority::default(), rig.store());
    let key = store.generate("installed").unwrap();
    let der = authority.certify(&key, "U-1001", 0x1001);
    let installed = store.install(key.id(), &der, &[]).unwrap();
    assert_eq!((installed.der(), installed.serial().to_string()), (&der[..], "1001".to_owned()));
    assert_eq!(installed.validity().not_before().unix_timestamp(), NOT_BEFORE.unix_timestamp());
    assert_eq!(installed.validity().not_after().unix_timestamp(), NOT_AFTER.unix_timestamp());
    for _again in 0..2 {
        let store = rig.store();
        let entries = store.list().unwrap();
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!((entries[0].id, entries[0].key), (key.id(), KeyPresence::Here));
        assert_eq!(entries[0].certificate.as_ref(), Some(&installed));
        store.install(key.id(), &der, &[]).unwrap();
    }
    assert!(verifies(&key, MESSAGE, &key.sign(MESSAGE).unwrap()));
}

/// A certificate of another key, for a key that is not there, or that is none, leaves no trace.
pub fn what_does_not_fit_is_refused(rig: &dyn Rig) {
    let (authority, store) = (Authority::default(), rig.store());
    let (key, other) = (store.generate("key").unwrap(), store.generate("other").unwrap());
    let of_other = authority.certify(&other, "U-1001", 2);
    let refused = store.install(key.id(), &of_other, &[]);
    let fits = matches!(&refused, Err(InstallError::OtherKey { key: wanted, certified })
        if (*wanted, *certified) == (key.id(), other.id()));
    assert!(fits, "{refused:?}");
    store.remove(other.id()).unwrap();
    let refused = store.install(other.id(), &of_other, &[]);
    assert!(matches!(&refused, Err(InstallError::NoKey { key }) if *key == other.id()), "{refused:?}");
    for garbage in [&b""[..], b"no certificate", &[&of_other[..], &[0]].concat()] {
        let refused = store.install(key.id(), garbage, &[]);
        let fault = CertificateFault::Unreadable { octets: garbage.len() };
        assert!(matches!(&refused, Err(InstallError::Certificate(found)) if *found == fault), "{refused:?}");
    }
    let entries = store.list().unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].id, &entries[0].certificate), (key.id(), &None));
}

/// Predecessor and successor have the same subject; the one goes, the other stays.
pub fn certificates_of_one_subject_stay_apart(rig: &dyn Rig) {
    let (authority, store) = (Authority::default(), rig.store());
    let keys: Vec<StoredKey> = (0..3).map(|_| store.generate("U-1001").unwrap()).collect();
    for (serial, key) in (1..).zip(&keys) {
        store.install(key.id(), &authority.certify(key, "U-1001", serial), &authority.chain()).unwrap();
    }
    let serials = |store: &dyn KeyStore| -> BTreeSet<String> {
        let listed = store.list().unwrap().into_iter();
        listed.map(|entry| entry.certificate.unwrap().serial().to_string()).collect()
    };
    assert_eq!(serials(store.as_ref()), ["01", "02", "03"].map(str::to_owned).into());
    assert_eq!(store.remove(keys[1].id()).unwrap(), Removed { keys: 1, certificates: 1 });
    let store = rig.store();
    assert_eq!(serials(store.as_ref()), ["01", "03"].map(str::to_owned).into());
    for key in [&keys[0], &keys[2]] {
        let found = store.key(key.id()).unwrap();
        assert!(verifies(key, MESSAGE, &found.sign(MESSAGE).unwrap()));
        assert_eq!(entry(store.as_ref(), key.id()).len(), 1);
    }
}

/// A removed key is gone for everybody, also for who held it, and its certificate with it. Once more is no error.
pub fn removal_is_final(rig: &dyn Rig) {
    let (authority, store) = (Authority::default(), rig.store());
    let (key, bare) = (store.generate("certified").unwrap(), store.generate("bare").unwrap());
    store.install(key.id(), &authority.certify(&key, "U-1001", 1), &[]).unwrap();
    assert_eq!(store.remove(KeyId::new([7; 20])).unwrap(), Removed::default());
    assert_eq!(store.remove(key.id()).unwrap(), Removed { keys: 1, certificates: 1 });
    assert_eq!(store.remove(bare.id()).unwrap(), Removed { keys: 1, certificates: 0 });
    assert_eq!(store.list().unwrap(), []);
    let signed = key.sign(MESSAGE);
    assert!(matches!(&signed, Err(SignError::Gone { id }) if *id == key.id()), "{signed:?}");
    assert!(matches!(bare.certification_request(), Err(SignError::Gone { .. })));
    let store = rig.store();
    assert!(matches!(store.key(key.id()), Err(KeyError::Missing { .. })));
    assert_eq!(store.remove(key.id()).unwrap(), Removed::default());
}

/// Certificates of CAs lie in the store for others to find, and are no entries.
pub fn a_chain_goes_along(rig: &dyn Rig) {
    let (authority, store) = (Authority::default(), rig.store());
    let key = store.generate("chained").unwrap();
    let der = authority.certify(&key, "U-1001", 1);
    for _again in 0..2 {
        store.install(key.id(), &der, &authority.chain()).unwrap();
    }
    let entries = store.list().unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(store.remove(key.id()).unwrap(), Removed { keys: 1, certificates: 1 });
    assert_eq!(rig.store().list().unwrap(), []);
}

/// A TLS client signs on whatever thread it runs.
pub fn threads_share_a_key(rig: &dyn Rig) {
    let store = rig.store();
    let key = store.generate("shared").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (key, store) = (key.clone(), &store);
            scope.spawn(move || {
                for round in 0..4 {
                    let message = [thread, round];
                    assert!(verifies(&key, &message, &key.sign(&message).unwrap()));
                    assert_eq!(store.key(key.id()).unwrap().spki(), key.spki());
                }
            });
        }
    });
}

/// A label is kept as it is, in any script, also beside the certificate; it names nothing.
pub fn labels_are_for_people(rig: &dyn Rig) {
    let (authority, store) = (Authority::default(), rig.store());
    let label = "更新 U-1001";
    let keys: Vec<StoredKey> = (0..2).map(|_| store.generate(label).unwrap()).collect();
    for (serial, key) in (1..).zip(&keys) {
        assert_eq!(entry(store.as_ref(), key.id())[0].label, label);
        store.install(key.id(), &authority.certify(key, &format!("U-{serial}"), serial), &[]).unwrap();
        assert!(!entry(store.as_ref(), key.id())[0].label.is_empty());
    }
    assert_eq!(store.list().unwrap().len(), 2);
}
