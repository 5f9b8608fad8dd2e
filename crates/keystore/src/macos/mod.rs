//! Keys of macOS: in the Secure Enclave, as `CryptoTokenKit` identities that Safari and Chrome offer.
//!
//! An application of its own cannot make keys there that others see: that takes an entitlement, and the keys stay the
//! application's. The system's `sc_auth` can (macOS 15 and later), so it makes, certifies and deletes; signing goes through the
//! Security framework, which finds the same key by the hash of its public point. `sc_auth` gives each new key a certificate
//! that it signs itself; such a one is not listed.
//!
//! Certificates of CAs are not installed: whoever needs one in between adds it to the keychain with `security add-certificates`.
//!
//! **Not run.** This was written from the manual page of `sc_auth` and the documentation of the Security framework, and compiled for
//! `aarch64-apple-darwin`. No Mac has run it, and its suite has not either.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    process::Command,
    sync::Arc,
};

use koshin_types::ProtectionLevel;
use security_framework::{
    base::Error,
    item::{ItemClass, ItemSearchOptions, KeyClass, Limit, Reference, SearchResult},
    key::{Algorithm, SecKey},
};

use crate::{
    CertificateFault, Entry, InstallError, KeyError, KeyHandle, KeyId, KeyPresence, KeyStore, PublicPoint, Removed,
    SignError, StoreError, StoredCertificate, StoredKey,
};

/// The tool by its full path: which one a search path would find is for others to decide.
const TOOL: &str = "/usr/sbin/sc_auth";
const STORE: &str = "the Secure Enclave";
/// `errSecItemNotFound`.
const NOT_FOUND: i32 = -25_300;

/// The current user's keys in the Secure Enclave.
#[derive(Debug, Clone, Copy, Default)]
pub struct CtkKeyStore;

impl KeyStore for CtkKeyStore {
    fn protection(&self) -> ProtectionLevel {
        ProtectionLevel::Hardware
    }

    fn describe(&self) -> String {
        STORE.to_owned()
    }

    fn generate(&self, label: &str) -> Result<StoredKey, StoreError> {
        let before = identifiers()?;
        // `-ne`: not to be exported. Without a finger on the sensor: the agent asks for consent itself.
        tool(&["create-ctk-identity", "-l", label, "-k", "p-256-ne", "-t", "none", "-N", label])?;
        let made: Vec<KeyId> = identifiers()?.difference(&before).copied().collect();
        let id = match made.as_slice() {
            [id] => *id,
            made => return Err(failed(format!("{} keys came into being instead of one", made.len()))),
        };
        self.key(id).map_err(|error| match error {
            KeyError::Store(error) => error,
            error => failed(error),
        })
    }

    fn key(&self, id: KeyId) -> Result<StoredKey, KeyError> {
        let key = find(id)?.ok_or(KeyError::Missing { id })?;
        let point = key.public_key().and_then(|public| public.external_representation());
        let point = point.and_then(|point| PublicPoint::from_sec1(point.bytes()).ok());
        let point = point.filter(|point| KeyId::of_point(point) == id).ok_or(KeyError::Kind { id })?;
        Ok(StoredKey::new(point, self.protection(), Arc::new(Handle { id })))
    }

    fn install(&self, key: KeyId, certificate: &[u8], _chain: &[Vec<u8>]) -> Result<StoredCertificate, InstallError> {
        let certificate = StoredCertificate::read(certificate)?;
        let certified = certificate.key_id();
        if certified != key {
            return Err(InstallError::OtherKey { key, certified });
        }
        if find(key)?.is_none() {
            return Err(InstallError::NoKey { key });
        }
        let mut file = tempfile::NamedTempFile::with_suffix(".cer").map_err(failed)?;
        file.write_all(certificate.der()).and_then(|()| file.flush()).map_err(failed)?;
        let path = file.path().to_str().ok_or_else(|| failed("the temporary folder's name is not UTF-8"))?;
        tool(&["import-ctk-certificate", "-f", path])?;
        Ok(certificate)
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let mut keys = identifiers()?;
        let mut entries = Vec::new();
        for certificate in certificates()? {
            let id = certificate.key_id();
            let key = if keys.contains(&id) { KeyPresence::Here } else { KeyPresence::Absent };
            entries.push(Entry { id, label: label(id)?, key, certificate: Some(certificate) });
        }
        for entry in &entries {
            keys.remove(&entry.id);
        }
        for id in keys {
            // A key that is not on P-256 is not one of ours.
            if self.key(id).is_ok() {
                entries.push(Entry { id, label: label(id)?, key: KeyPresence::Here, certificate: None });
            }
        }
        Ok(entries)
    }

    fn remove(&self, id: KeyId) -> Result<Removed, StoreError> {
        if !identifiers()?.contains(&id) {
            return Ok(Removed::default());
        }
        let certificates = certificates()?.iter().filter(|certificate| certificate.key_id() == id).count();
        // Key and certificate are one thing to the tool.
        tool(&["delete-ctk-identity", "-h", &id.to_string()])?;
        Ok(Removed { keys: 1, certificates })
    }
}

/// A key by its identifier, found anew for every signature.
#[derive(Debug)]
struct Handle {
    id: KeyId,
}

impl KeyHandle for Handle {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = find(self.id)?.ok_or(SignError::Gone { id: self.id })?;
        let signature = key.create_signature(Algorithm::ECDSASignatureMessageX962SHA256, message);
        Ok(signature.map_err(|error| failed(error.description().to_string()))?)
    }
}

/// The private key of a token whose public point has this hash.
fn find(id: KeyId) -> Result<Option<SecKey>, StoreError> {
    let mut search = ItemSearchOptions::new();
    search.class(ItemClass::key()).key_class(KeyClass::private()).access_group_token();
    search.application_label(id.as_bytes()).load_refs(true);
    let found = searched(&search)?.into_iter().find_map(|result| match result {
        SearchResult::Ref(Reference::Key(key)) => Some(key),
        _ => None,
    });
    Ok(found)
}

/// What people see beside a key.
fn label(id: KeyId) -> Result<String, StoreError> {
    let mut search = ItemSearchOptions::new();
    search.class(ItemClass::key()).key_class(KeyClass::private()).access_group_token();
    search.application_label(id.as_bytes()).load_attributes(true);
    let attributes = searched(&search)?.first().and_then(SearchResult::simplify_dict);
    Ok(attributes.and_then(|mut attributes| attributes.remove("labl")).unwrap_or_default())
}

/// The end-entity certificates on P-256 of tokens, but for those that a key gave itself.
fn certificates() -> Result<Vec<StoredCertificate>, StoreError> {
    let mut search = ItemSearchOptions::new();
    search.class(ItemClass::certificate()).access_group_token().load_refs(true).limit(Limit::All);
    let ders = searched(&search)?.into_iter().filter_map(|result| match result {
        SearchResult::Ref(Reference::Certificate(certificate)) => Some(certificate.to_der()),
        _ => None,
    });
    let read: Vec<Result<StoredCertificate, CertificateFault>> =
        ders.map(|der| StoredCertificate::read(&der)).collect();
    let issued = |found: &StoredCertificate| !found.is_authority() && found.subject() != found.issuer();
    Ok(read.into_iter().filter_map(Result::ok).filter(issued).collect())
}

fn searched(search: &ItemSearchOptions) -> Result<Vec<SearchResult>, StoreError> {
    match search.search() {
        Err(error) if error.code() == NOT_FOUND => Ok(Vec::new()),
        found => found.map_err(|error: Error| failed(error)),
    }
}

/// The identifiers of all identities that the tool knows.
fn identifiers() -> Result<BTreeSet<KeyId>, StoreError> {
    Ok(identifiers_in(&tool(&["list-ctk-identities", "-t", "sha1", "-e", "hex"])?))
}

/// Every word that is the hash of a public key. What else stands in the tool's table is for people, and changes.
fn identifiers_in(table: &str) -> BTreeSet<KeyId> {
    table.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn tool(arguments: &[&str]) -> Result<String, StoreError> {
    let done = Command::new(TOOL).args(arguments).output().map_err(failed)?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(failed(io::Error::other(format!("sc_auth {}: {said}", arguments.first().copied().unwrap_or_default()))))
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Failed { store: STORE.to_owned(), source: source.into() }
}
