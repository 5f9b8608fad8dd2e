//! A person's keys in tokens: the store that Chromium reads on Linux (NSS), a TPM, a smart card.
//!
//! | opened by | where keys lie | protection |
//! | --- | --- | --- |
//! | [`TokenKeyStore::nss`] | the NSS database of a user, through libsoftokn3 | `os`: whoever has the files has the keys |
//! | [`TokenKeyStore::tpm`] | this PC's TPM, through tpm2-pkcs11 | `hardware`: the files are of no use beside another TPM |
//! | [`TokenKeyStore::token`] | any token, by its module | `hardware` when the operator says so, else `os` |
//!
//! NSS marks keys as not extractable and its own tools export them nevertheless, so its keys are never called bound to the PC. A
//! key that a token did not make itself is `file` wherever it lies now.
//!
//! A module is one for the whole process, and so is what it was initialized with: of two NSS databases a process uses one
//! at a time.

mod objects;
mod open;
mod places;

use std::sync::Arc;

use koshin_keystore::{
    Entry, InstallError, KeyError, KeyHandle, KeyId, KeyPresence, KeyStore, PublicPoint, Removed, SignError,
    StoreError, StoredCertificate, StoredKey,
};
use koshin_types::ProtectionLevel;

pub use open::{CardConfig, ModuleKind, PinRequest, PinSource, TpmConfig, Tries};
pub use places::{Places, nss_folder, softoken, tpm_module};

use objects::Names;
use open::{Fault, Token};

/// A store of keys in one token. A clone is the same store.
///
/// The token is opened with the first call, and anew after its session was lost. A PIN that it refused is never tried again by this
/// store: whoever wants another try opens another one.
#[derive(Debug, Clone)]
pub struct TokenKeyStore {
    token: Arc<Token>,
}

impl TokenKeyStore {
    fn stored(&self, point: PublicPoint, made_here: bool) -> StoredKey {
        let protection = if made_here { self.token.protection() } else { ProtectionLevel::File };
        let handle = Handle { token: Arc::clone(&self.token), id: KeyId::of_point(&point) };
        StoredKey::new(point, protection, Arc::new(handle))
    }
}

impl KeyStore for TokenKeyStore {
    fn protection(&self) -> ProtectionLevel {
        self.token.protection()
    }

    fn describe(&self) -> String {
        self.token.describe()
    }

    fn generate(&self, label: &str) -> Result<StoredKey, StoreError> {
        let point = self.token.ask(|session| objects::generate(session, label))?;
        Ok(self.stored(point, true))
    }

    fn key(&self, id: KeyId) -> Result<StoredKey, KeyError> {
        let found = self.token.ask(|session| {
            let Some(key) = objects::private_key(session, id)? else { return Ok(None) };
            Ok(Some((objects::point(session, id)?, objects::made_here(session, key))))
        });
        match found? {
            None => Err(KeyError::Missing { id }),
            Some((None, _)) => Err(KeyError::Kind { id }),
            Some((Some(point), made_here)) => Ok(self.stored(point, made_here)),
        }
    }

    fn install(&self, key: KeyId, certificate: &[u8], chain: &[Vec<u8>]) -> Result<StoredCertificate, InstallError> {
        let certificate = StoredCertificate::read(certificate)?;
        let certified = certificate.key_id();
        if certified != key {
            return Err(InstallError::OtherKey { key, certified });
        }
        let names = Names::read(certificate.der())?;
        let installed = self.token.ask(|session| {
            let Some(private) = objects::private_key(session, key)? else { return Ok(false) };
            objects::put_certificate(session, &objects::label(session, private)?, certificate.der(), &names)?;
            Ok(true)
        })?;
        if !installed {
            return Err(InstallError::NoKey { key });
        }
        for issuer in chain {
            self.accompany(issuer);
        }
        Ok(certificate)
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        self.token.ask(|session| {
            let keys = objects::private_keys(session)?;
            let presence = |id| if keys.contains_key(&id) { KeyPresence::Here } else { KeyPresence::Absent };
            let mut entries = Vec::new();
            for (label, certificate) in objects::certificates(session)? {
                let id = certificate.key_id();
                entries.push(Entry { id, label, key: presence(id), certificate: Some(certificate) });
            }
            for (id, key) in &keys {
                // A key of another kind may bear any identifier.
                if !entries.iter().any(|entry| entry.id == *id) && objects::point(session, *id)?.is_some() {
                    let label = objects::label(session, *key)?;
                    entries.push(Entry { id: *id, label, key: KeyPresence::Here, certificate: None });
                }
            }
            Ok(entries)
        })
    }

    fn remove(&self, id: KeyId) -> Result<Removed, StoreError> {
        self.token.ask(|session| objects::remove(session, id))
    }
}

impl TokenKeyStore {
    /// Puts a CA's certificate beside, if there is room for it: whoever talks to the browser needs it as well or has it.
    fn accompany(&self, issuer: &[u8]) {
        let Ok(names) = Names::read(issuer) else { return };
        if names.is_self_issued() {
            return;
        }
        if let Err(error) =
            self.token.ask(|session| objects::put_certificate(session, &names.common_name, issuer, &names))
        {
            tracing::debug!(%error, "a token did not take the certificate of an issuer");
        }
    }
}

/// A key of a token, found anew for every signature: another program may have removed it.
#[derive(Debug)]
struct Handle {
    token: Arc<Token>,
    id: KeyId,
}

impl KeyHandle for Handle {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let digest = koshin_keystore::digest(message);
        let halves = self.token.ask(|session| match objects::private_key(session, self.id)? {
            Some(key) => objects::sign_digest(session, key, &digest).map(Some),
            None => Ok(None),
        })?;
        koshin_keystore::signature_of_halves(&halves.ok_or(SignError::Gone { id: self.id })?)
    }
}

/// What the operator of a token does not see: errors of calls inside.
type Asked<T> = Result<T, Fault>;
