//! Keys of Windows: CNG, beside the certificates that Edge, Chrome and the system offer (store `MY` of the current user).
//!
//! A new key is made in the TPM where there is one (Platform provider, [`ProtectionLevel::Hardware`]), else by the Software provider
//! ([`ProtectionLevel::Os`]: an administrator of the PC can take it out). Neither lets it be exported.
//!
//! A key bears a name that begins as all of its place do, so a key whose certificate never came is found again. The key of a
//! certificate from elsewhere, for example of an imported file, can be used and removed too; it is [`ProtectionLevel::File`].
//!
//! **What was run:** this is compiled, linted and its suite built for `x86_64-pc-windows-gnu` with every change. No Windows has run
//! it yet.

mod certificates;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use koshin_types::ProtectionLevel;

use crate::{
    CertificateNames, Entry, InstallError, KeyError, KeyHandle, KeyId, KeyPresence, KeyStore, PublicPoint, Removed,
    SignError, StoreError, StoredCertificate, StoredKey,
};
use certificates::{Bound, Certificates};
use keys::{Code, Key, Provider};

/// A provider of keys that comes with Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CngProvider {
    /// The TPM, by "Microsoft Platform Crypto Provider".
    Platform,
    /// "Microsoft Software Key Storage Provider".
    Software,
}

impl CngProvider {
    /// Best first.
    const ALL: [Self; 2] = [Self::Platform, Self::Software];

    const fn name(self) -> &'static str {
        match self {
            Self::Platform => "Microsoft Platform Crypto Provider",
            Self::Software => "Microsoft Software Key Storage Provider",
        }
    }

    const fn protection(self) -> ProtectionLevel {
        match self {
            Self::Platform => ProtectionLevel::Hardware,
            Self::Software => ProtectionLevel::Os,
        }
    }
}

/// The keys and certificates of the current user.
#[derive(Debug, Clone)]
pub struct CngKeyStore {
    provider: CngProvider,
    place: Place,
}

/// Which certificates and keys belong to a store.
#[derive(Debug, Clone)]
struct Place {
    /// The system store of certificates.
    certificates: String,
    /// The system store of the certificates of CAs.
    authorities: String,
    /// How the names of its keys begin.
    prefix: String,
}

impl CngKeyStore {
    /// The user's own store. New keys are made in the TPM if that can be, else in software.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when Windows offers neither provider.
    pub fn open() -> Result<Self, StoreError> {
        Self::at(Place { certificates: "MY".to_owned(), authorities: "CA".to_owned(), prefix: "koshin".to_owned() })
    }

    /// The user's own store, with new keys made by one provider.
    pub fn with(provider: CngProvider) -> Self {
        let place = Place { certificates: "MY".to_owned(), authorities: "CA".to_owned(), prefix: "koshin".to_owned() };
        Self { provider, place }
    }

    fn at(place: Place) -> Result<Self, StoreError> {
        let offers = |provider: &CngProvider| Provider::open(provider.name()).is_ok_and(|offered| offered.makes_p256());
        let provider = CngProvider::ALL.into_iter().find(offers);
        let none = || failed(CngProvider::Software.name(), "neither provider makes keys on P-256");
        Ok(Self { provider: provider.ok_or_else(none)?, place })
    }

    /// The keys that were made for this place, by both providers.
    fn own(&self) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for kind in CngProvider::ALL {
            // A PC without a TPM offers no keys of one.
            let Ok(provider) = Provider::open(kind.name()) else { continue };
            let fault = |code: Code| failed(kind.name(), code);
            for name in provider.names().map_err(fault)? {
                let Some(label) = self.place.label_in(&name) else { continue };
                let opened = provider.key(&name).map_err(fault)?;
                let Some(point) = opened.and_then(|key| key.point()) else { continue };
                let bound = Bound { provider: kind.name().to_owned(), key: name.clone() };
                found.push(Found { point, label: label.to_owned(), bound, protection: kind.protection() });
            }
        }
        Ok(found)
    }

    /// The key of an identifier: one of this place, or the one that a certificate of it names.
    fn find(&self, id: KeyId) -> Result<Option<Found>, StoreError> {
        let fits = |found: &Found| KeyId::of_point(&found.point) == id;
        if let Some(own) = self.own()?.into_iter().find(fits) {
            return Ok(Some(own));
        }
        for certificate in self.certificates()?.all() {
            let Ok(read) = StoredCertificate::read(certificate.der()) else { continue };
            if let Some(bound) = certificate.bound().filter(|_| read.key_id() == id)
                && bound.open().is_ok_and(|key| key.is_some())
            {
                let (point, label) = (read.point(), certificate.label());
                return Ok(Some(Found { point, label, bound, protection: ProtectionLevel::File }));
            }
        }
        Ok(None)
    }

    fn certificates(&self) -> Result<Certificates, StoreError> {
        Certificates::open(&self.place.certificates).map_err(|error| failed(&self.place.certificates, error))
    }

    fn stored(found: &Found) -> StoredKey {
        let handle = Handle { id: KeyId::of_point(&found.point), bound: found.bound.clone() };
        StoredKey::new(found.point, found.protection, Arc::new(handle))
    }

    /// Puts the CAs' certificates where Windows looks for them when it builds a chain.
    fn accompany(&self, chain: &[Vec<u8>]) {
        let Ok(authorities) = Certificates::open(&self.place.authorities) else { return };
        for issuer in chain {
            if CertificateNames::read(issuer).is_ok_and(|names| !names.is_self_issued()) {
                // It may be there already, or for an administrator to decide. The certificate works without it.
                drop(authorities.add(issuer));
            }
        }
    }
}

impl Place {
    /// The name of a new key: random, so that no two are the same, with what people see at its end.
    fn name(&self, random: [u8; 16], label: &str) -> String {
        let random: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{}-{random}-{}", self.prefix, label.replace(['\\', '/', '\0'], "_"))
    }

    fn label_in<'a>(&self, name: &'a str) -> Option<&'a str> {
        let rest = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        let (random, label) = rest.split_once('-')?;
        (random.len() == 32 && random.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(label)
    }
}

/// A private key that is there.
struct Found {
    point: PublicPoint,
    label: String,
    bound: Bound,
    protection: ProtectionLevel,
}

impl KeyStore for CngKeyStore {
    fn protection(&self) -> ProtectionLevel {
        self.provider.protection()
    }

    fn describe(&self) -> String {
        format!("{}, certificates in {}", self.provider.name(), self.place.certificates)
    }

    fn generate(&self, label: &str) -> Result<StoredKey, StoreError> {
        let fault = |code: Code| failed(self.provider.name(), code);
        let provider = Provider::open(self.provider.name()).map_err(fault)?;
        let name = self.place.name(keys::random().map_err(fault)?, label);
        let key = provider.generate(&name).map_err(fault)?;
        let point = key.point().ok_or_else(|| failed(self.provider.name(), "the new key has no point on P-256"))?;
        let bound = Bound { provider: self.provider.name().to_owned(), key: name };
        Ok(Self::stored(&Found { point, label: label.to_owned(), bound, protection: self.protection() }))
    }

    fn key(&self, id: KeyId) -> Result<StoredKey, KeyError> {
        let found = self.find(id)?.ok_or(KeyError::Missing { id })?;
        Ok(Self::stored(&found))
    }

    fn install(&self, key: KeyId, certificate: &[u8], chain: &[Vec<u8>]) -> Result<StoredCertificate, InstallError> {
        let certificate = StoredCertificate::read(certificate)?;
        let certified = certificate.key_id();
        if certified != key {
            return Err(InstallError::OtherKey { key, certified });
        }
        let found = self.find(key)?.ok_or(InstallError::NoKey { key })?;
        let store = self.certificates()?;
        let fault = |error| failed(&self.place.certificates, error);
        let added = store.add(certificate.der()).map_err(fault)?;
        added.bind(&found.bound).map_err(fault)?;
        added.name(&found.label).map_err(fault)?;
        self.accompany(chain);
        Ok(certificate)
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let own = self.own()?;
        let mut entries = Vec::new();
        for certificate in self.certificates()?.all() {
            let Ok(read) = StoredCertificate::read(certificate.der()) else { continue };
            if read.is_authority() {
                continue;
            }
            let id = read.key_id();
            let bound = || certificate.bound().is_some_and(|bound| bound.open().is_ok_and(|key| key.is_some()));
            let here = own.iter().any(|found| KeyId::of_point(&found.point) == id) || bound();
            let key = if here { KeyPresence::Here } else { KeyPresence::Absent };
            entries.push(Entry { id, label: certificate.label(), key, certificate: Some(read) });
        }
        for found in own {
            let id = KeyId::of_point(&found.point);
            if !entries.iter().any(|entry| entry.id == id) {
                entries.push(Entry { id, label: found.label, key: KeyPresence::Here, certificate: None });
            }
        }
        Ok(entries)
    }

    fn remove(&self, id: KeyId) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        // A certificate of a file may name another copy of the same key.
        while let Some(found) = self.find(id)? {
            let fault = |code: Code| failed(&found.bound.provider, code);
            if let Some(key) = found.bound.open().map_err(fault)? {
                key.delete().map_err(fault)?;
                removed.keys += 1;
            }
        }
        for certificate in self.certificates()?.all() {
            if StoredCertificate::read(certificate.der()).is_ok_and(|read| read.key_id() == id) {
                certificate.delete().map_err(|error| failed(&self.place.certificates, error))?;
                removed.certificates += 1;
            }
        }
        Ok(removed)
    }
}

impl Bound {
    /// The key itself; `None` when it is gone.
    fn open(&self) -> Result<Option<Key>, Code> {
        Provider::open(&self.provider)?.key(&self.key)
    }
}

/// A key by its name, opened anew for every signature.
#[derive(Debug)]
struct Handle {
    id: KeyId,
    bound: Bound,
}

impl KeyHandle for Handle {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let fault = |code: Code| failed(&self.bound.provider, code);
        let key = self.bound.open().map_err(fault)?.ok_or(SignError::Gone { id: self.id })?;
        let halves = key.sign_digest(&crate::digest(message)).map_err(fault)?;
        crate::signature_of_halves(&halves)
    }
}

fn failed(store: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    let (store, source) = (store.to_owned(), source.into());
    if source.downcast_ref::<Code>().is_some_and(|code| code.is_transient()) {
        return StoreError::Away { store, source };
    }
    StoreError::Failed { store, source }
}
