//! The private key of a CA: where it is, and how it is made and opened.
//!
//! It lives in a file of its owner's, plain or encrypted under a passphrase that comes from another file, or in a PKCS#11
//! token. In a configuration:
//!
//! ```toml
//! key = "ca/issuing.key"
//! key = { file = "ca/issuing.key", passphrase_file = "credential:ca-passphrase" }
//! key = { pkcs11 = { module = "/usr/lib/softhsm/libsofthsm2.so", token = "CA", label = "issuing", pin_file = "pin" } }
//! ```
//!
//! ```
//! use koshin_operator::{config, key::KeyPlace};
//!
//! #[derive(serde::Deserialize)]
//! struct Tables {
//!     key: KeyPlace,
//! }
//!
//! let plain: Tables = config::tables("key = 'ca/issuing.key'").unwrap();
//! assert_eq!(plain.key.to_string(), "ca/issuing.key");
//! let (key, reason) = config::tables::<Tables>("key = { file = 'a', pasphrase_file = 'b' }").err().unwrap();
//! assert!(key.starts_with("key") && reason.contains("pasphrase_file"));
//! ```

mod encrypted;
mod place;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use koshin_issuance::{Curve, FileSigner, Signer, pem};
use koshin_pkcs11::{KeyType, Pin, TokenConfig, TokenError, TokenSigner};
use zeroize::Zeroizing;

pub use self::{
    encrypted::{PBKDF2_ROUNDS, decrypt, encrypt},
    place::{KeyPlace, TokenPlace},
};
use crate::{
    config,
    exit::{Fault, Status},
    machine, secret,
};

impl KeyPlace {
    /// Opens the key now. `config` is the file that names it: relative paths begin in its folder.
    ///
    /// # Errors
    ///
    /// [`Fault`] when it is not there, is not for this passphrase or PIN, or when others can read it.
    pub fn load(&self, config: &Path) -> anyhow::Result<Box<dyn Signer>> {
        match self {
            Self::File { file, passphrase_file } => {
                let passphrase = passphrase_file.as_ref().map(|file| config::resolve(config, file));
                Ok(Box::new(read_key(&config::resolve(config, file), passphrase.as_deref())?))
            }
            Self::Token(token) => {
                let (settings, patience) = token.settings(config)?;
                Ok(Box::new(TokenSigner::open(settings, patience).map_err(|error| token_fault(&error))?))
            }
        }
    }

    /// Opens a key in a file; one in a token is opened with its first signature and has to be this one then, so that a
    /// CA starts while its token is away.
    ///
    /// # Errors
    ///
    /// [`Fault`] as with [`load`](Self::load).
    pub fn load_known(&self, config: &Path, spki: &[u8]) -> anyhow::Result<Box<dyn Signer>> {
        let Self::Token(token) = self else { return self.load(config) };
        let (settings, patience) = token.settings(config)?;
        Ok(Box::new(TokenSigner::of_key(settings, patience, spki).map_err(|error| token_fault(&error))?))
    }

    /// Makes a new key there. A file is encrypted where a passphrase is named; no file and no label is ever used twice.
    ///
    /// # Errors
    ///
    /// [`Fault`] when something is there already, else what file system or token said. Nothing half-made stays.
    pub fn generate(&self, config: &Path, curve: Curve) -> anyhow::Result<Box<dyn Signer>> {
        match self {
            Self::File { file, passphrase_file } => {
                let (signer, der) = FileSigner::generate(curve, machine::random())?;
                let passphrase = passphrase_file.as_ref().map(|file| passphrase(&config::resolve(config, file)));
                write_key(&config::resolve(config, file), &der, passphrase.transpose()?.as_ref())?;
                Ok(Box::new(signer))
            }
            Self::Token(token) => {
                let (settings, patience) = token.settings(config)?;
                let made = TokenSigner::generate(&settings, KeyType::Curve(curve));
                let opened = made.and_then(|()| TokenSigner::open(settings, patience));
                Ok(Box::new(opened.map_err(|error| token_fault(&error))?))
            }
        }
    }
}

impl TokenPlace {
    fn settings(&self, config: &Path) -> anyhow::Result<(TokenConfig, Duration)> {
        let pin = self.pin_file.as_ref().map(|file| secret::read_private(&config::resolve(config, file)));
        let pin = pin.transpose().context("the PIN is not to be had")?;
        // A bare name is one that the system looks for among its libraries.
        let bare = self.module.components().count() == 1;
        let module = if bare { self.module.clone() } else { config::resolve(config, &self.module) };
        let settings = TokenConfig {
            module,
            token: self.token.clone(),
            key: self.label.clone(),
            pin: pin.map(|pin| Pin::new(&pin)),
        };
        Ok((settings, Duration::from_secs(self.patience_seconds.into())))
    }
}

/// Reads a private key out of a PKCS#8 file that its owner alone can read: plain where no passphrase is named, else
/// encrypted under the first line of that file.
///
/// # Errors
///
/// [`Fault`] when the passphrase is not the one, is missing or is there for a plain key, or when others can read the key.
pub fn read_key(file: &Path, passphrase_file: Option<&Path>) -> anyhow::Result<FileSigner> {
    let text = secret::read_private(file)?;
    let name = || file.display().to_string();
    let encrypted = text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----");
    match (encrypted, passphrase_file) {
        (false, None) => FileSigner::from_pkcs8_pem(&text, machine::random()).with_context(name),
        (true, Some(from)) => {
            let der = decrypt(&text, &passphrase(from)?).map_err(|reason| {
                let reason = format!("{}: {reason}; the passphrase is that of {}", name(), from.display());
                Fault::new(Status::NotPermitted, reason)
            })?;
            FileSigner::from_pkcs8_der(&der, machine::random()).with_context(name)
        }
        (true, None) => {
            Err(Fault::usage(format!("{} is encrypted, and no passphrase_file is named for it", name())).into())
        }
        (false, Some(from)) => {
            let from = from.display();
            Err(Fault::usage(format!("{} is not encrypted, although {from} is named as its passphrase", name())).into())
        }
    }
}

/// Writes a private key (DER `PrivateKeyInfo`) to a new file that its owner alone can read, encrypted where there is a
/// passphrase.
///
/// # Errors
///
/// What the system said; nothing half-written stays.
pub fn write_key(file: &Path, pkcs8: &[u8], passphrase: Option<&Zeroizing<String>>) -> anyhow::Result<()> {
    let text = match passphrase {
        Some(passphrase) => Zeroizing::new(encrypt(pkcs8, passphrase)?),
        None => Zeroizing::new(pem("PRIVATE KEY", pkcs8)),
    };
    secret::create(file, text.as_bytes(), true)
}

/// The passphrase in a file: its first line.
///
/// # Errors
///
/// [`Fault`] when there is none or others can read it.
pub fn passphrase(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let text = secret::read_private(file)?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => Err(Fault::usage(format!("{} holds no passphrase in its first line", file.display())).into()),
    }
}

fn token_fault(error: &TokenError) -> Fault {
    let status = match error {
        TokenError::Pin { .. } => Status::NotPermitted,
        TokenError::Module { .. } | TokenError::NoToken { .. } | TokenError::Keys { found: 0, .. } => Status::NotFound,
        TokenError::Taken { .. } => Status::State,
        TokenError::Silent { .. } => Status::TryAgain,
        _ => Status::Failure,
    };
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    Fault::new(status, reason)
}

#[cfg(test)]
mod tests;
