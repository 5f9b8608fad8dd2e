//! Where a new key is to live, as the command line says it.

use std::path::{Path, PathBuf};

use clap::Args;
use koshin_issuance::{Curve, FileSigner, Signer, pem};
use koshin_operator::{
    key::{self, KeyPlace, TokenPlace},
    machine,
};
use zeroize::Zeroizing;

use super::files::Files;

/// In a file, encrypted or not, or in a token.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyFlags {
    /// Encrypt the CA's key under the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "pkcs11_module")]
    passphrase_file: Option<PathBuf>,
    /// Make the CA's key in a PKCS#11 token instead: the module of the token
    #[arg(long, value_name = "FILE", requires_all = ["pkcs11_token", "pkcs11_label"])]
    pkcs11_module: Option<PathBuf>,
    /// The token's label
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_token: Option<String>,
    /// The new key's label
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_label: Option<String>,
    /// The file with the token's user PIN
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pin_file: Option<PathBuf>,
    /// Use the key pair of that label which is in the token already, an RSA one for example, instead of making one
    #[arg(long, requires = "pkcs11_module")]
    pkcs11_existing: bool,
}

impl KeyFlags {
    /// In a file, encrypted where a passphrase is named.
    pub(super) fn of_file(passphrase_file: Option<&Path>) -> Self {
        Self {
            passphrase_file: passphrase_file.map(Path::to_owned),
            pkcs11_module: None,
            pkcs11_token: None,
            pkcs11_label: None,
            pin_file: None,
            pkcs11_existing: false,
        }
    }

    /// The place; `file` is where the key goes without a token, relative to the configuration.
    pub(crate) fn place(&self, file: &str) -> KeyPlace {
        match (&self.pkcs11_module, &self.pkcs11_token, &self.pkcs11_label) {
            (Some(module), Some(token), Some(label)) => KeyPlace::Token(TokenPlace {
                module: if module.components().count() == 1 { module.clone() } else { absolute(module) },
                token: token.clone(),
                label: label.clone(),
                pin_file: self.pin_file.as_deref().map(absolute),
                patience_seconds: 10,
            }),
            _ => KeyPlace::File { file: file.into(), passphrase_file: self.passphrase_file.as_deref().map(absolute) },
        }
    }
}

/// What was typed is relative to where it was typed, what stands in the configuration is relative to that.
fn absolute(path: &Path) -> PathBuf {
    if path.to_string_lossy().starts_with("credential:") {
        return path.to_owned();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A new key: made in the token, or in memory, to be written with the other files. `config` is the file that names it.
pub(crate) fn make(
    flags: &KeyFlags,
    place: &KeyPlace,
    config: &Path,
    curve: Curve,
    files: &mut Files,
) -> anyhow::Result<Box<dyn Signer>> {
    let KeyPlace::File { file, passphrase_file } = place else {
        return if flags.pkcs11_existing { place.load(config) } else { place.generate(config, curve) };
    };
    let (signer, der) = FileSigner::generate(curve, machine::random())?;
    let text = match passphrase_file {
        Some(from) => {
            let from = koshin_operator::config::resolve(config, from);
            key::encrypt(&der, &key::passphrase(&from)?)?
        }
        None => pem("PRIVATE KEY", &der),
    };
    files.private(file, Zeroizing::new(text));
    Ok(Box::new(signer))
}
