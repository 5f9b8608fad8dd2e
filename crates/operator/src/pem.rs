//! Certificates and private keys out of PEM files.

use std::{fs, path::Path};

use anyhow::Context as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::secret;

/// The DER of the one certificate in a file.
///
/// # Errors
///
/// When there is another number of them, or the file cannot be read.
pub fn certificate(file: &Path) -> anyhow::Result<Vec<u8>> {
    let [certificate] = <[_; 1]>::try_from(chain(file)?)
        .map_err(|several| anyhow::anyhow!("{} holds {} certificates, not one", file.display(), several.len()))?;
    Ok(certificate.to_vec())
}

/// All certificates in a file, at least one.
///
/// # Errors
///
/// When there is none, or the file cannot be read.
pub fn chain(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.with_context(|| format!("{} is no PEM", file.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", file.display());
    Ok(chain)
}

/// A private key in a file that its owner alone can read.
///
/// # Errors
///
/// When there is none, or others can read it.
pub fn private_key(file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let pem = secret::read_private(file)?;
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).with_context(|| format!("{} holds no private key", file.display()))
}
