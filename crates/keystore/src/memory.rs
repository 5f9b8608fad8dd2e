//! A store that lasts as long as the process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use koshin_types::ProtectionLevel;
use ring::{
    rand::SecureRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};

use crate::{
    Entry, InstallError, KeyError, KeyHandle, KeyId, KeyPresence, KeyStore, PublicPoint, Removed, SignError,
    StoreError, StoredCertificate, StoredKey, WrongPoint,
};

/// A cryptographic random source, named by the program.
pub type Random = Arc<dyn SecureRandom + Send + Sync>;

/// Keys in memory, for tests and for whoever tries a thing out. A clone is the same store.
#[derive(Clone)]
pub struct MemoryKeyStore {
    random: Random,
    protection: ProtectionLevel,
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    keys: BTreeMap<KeyId, (String, Arc<EcdsaKeyPair>)>,
    certificates: Vec<(String, StoredCertificate)>,
}

impl MemoryKeyStore {
    /// An empty store. The protection level is what a test wants it to say; nothing protects these keys.
    pub fn new(random: Random, protection: ProtectionLevel) -> Self {
        Self { random, protection, content: Arc::default() }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, pair: &Arc<EcdsaKeyPair>) -> Result<StoredKey, WrongPoint> {
        let point = PublicPoint::from_sec1(pair.public_key().as_ref())?;
        let (content, random) = (Arc::clone(&self.content), Arc::clone(&self.random));
        let handle = Handle { id: KeyId::of_point(&point), content, random };
        Ok(StoredKey::new(point, self.protection, Arc::new(handle)))
    }
}

impl fmt::Debug for MemoryKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryKeyStore")
    }
}

impl KeyStore for MemoryKeyStore {
    fn protection(&self) -> ProtectionLevel {
        self.protection
    }

    fn describe(&self) -> String {
        STORE.to_owned()
    }

    fn generate(&self, label: &str) -> Result<StoredKey, StoreError> {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let random = self.random.as_ref();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), random).map_err(failed)?;
        let pair = Arc::new(pair);
        let key = self.stored(&pair).map_err(failed)?;
        self.content().keys.insert(key.id(), (label.to_owned(), pair));
        Ok(key)
    }

    fn key(&self, id: KeyId) -> Result<StoredKey, KeyError> {
        let pair = self.content().keys.get(&id).map(|(_, pair)| Arc::clone(pair)).ok_or(KeyError::Missing { id })?;
        self.stored(&pair).map_err(|_| KeyError::Kind { id })
    }

    fn install(&self, key: KeyId, certificate: &[u8], _chain: &[Vec<u8>]) -> Result<StoredCertificate, InstallError> {
        let certificate = StoredCertificate::read(certificate)?;
        let certified = certificate.key_id();
        if certified != key {
            return Err(InstallError::OtherKey { key, certified });
        }
        let mut content = self.content();
        let (label, _) = content.keys.get(&key).ok_or(InstallError::NoKey { key })?;
        let label = label.clone();
        if !content.certificates.iter().any(|(_, known)| *known == certificate) {
            content.certificates.push((label, certificate.clone()));
        }
        Ok(certificate)
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let content = self.content();
        let certified = content.certificates.iter().map(|(label, certificate)| Entry {
            id: certificate.key_id(),
            label: label.clone(),
            key: KeyPresence::Here,
            certificate: Some(certificate.clone()),
        });
        let mut entries: Vec<Entry> = certified.collect();
        for (id, (label, _)) in &content.keys {
            if !entries.iter().any(|entry| entry.id == *id) {
                entries.push(Entry { id: *id, label: label.clone(), key: KeyPresence::Here, certificate: None });
            }
        }
        Ok(entries)
    }

    fn remove(&self, id: KeyId) -> Result<Removed, StoreError> {
        let mut content = self.content();
        let keys = usize::from(content.keys.remove(&id).is_some());
        let before = content.certificates.len();
        content.certificates.retain(|(_, certificate)| certificate.key_id() != id);
        Ok(Removed { keys, certificates: before - content.certificates.len() })
    }
}

struct Handle {
    id: KeyId,
    content: Arc<Mutex<Content>>,
    random: Random,
}

impl KeyHandle for Handle {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, pair) = content.keys.get(&self.id).ok_or(SignError::Gone { id: self.id })?;
        let signature = pair.sign(self.random.as_ref(), message).map_err(failed)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.id)
    }
}

const STORE: &str = "the memory of this process";

fn failed(error: impl fmt::Display) -> StoreError {
    StoreError::Failed { store: STORE.to_owned(), source: error.to_string().into() }
}
