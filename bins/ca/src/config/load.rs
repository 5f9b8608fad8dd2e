//! The files that a configuration names.

use std::sync::Arc;

use koshin_edge::tls_config;
use koshin_endpoints::ca::{Client, SharedSigner};
use koshin_issuance::{Ca, Gate, Profile, ProfileConfig, Signer};
use koshin_operator::{config::Problems, pem};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Authority, Checked};
use crate::exit;

/// Everything that `serve` reads beside the configuration itself.
pub(crate) struct Opened {
    /// In the order of the file.
    pub(crate) authorities: Vec<Loaded>,
    pub(crate) clients: Vec<Client>,
    pub(crate) gate: Gate,
    pub(crate) identity: Identity,
}

/// One of the CAs with its key.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// What its files are called where they are published.
    pub(crate) stem: String,
    /// To sign revocation lists and OCSP responders with.
    pub(crate) ca: Arc<Ca>,
    pub(crate) signer: Arc<dyn Signer>,
    /// Whether the key may be away, or slow.
    pub(crate) in_token: bool,
}

impl Loaded {
    /// What its certificates chain up to, DER, its own certificate first.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        let mut chain = vec![self.ca.certificate_der().to_vec()];
        chain.extend_from_slice(self.ca.chain_der());
        chain
    }
}

/// The TLS certificate of the API, with its chain and key.
#[derive(PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The same once more.
    pub(crate) fn copy(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Checked {
    /// Reads every file that the configuration names. A key in a token is opened with its first signature, so that the
    /// CA starts while its token is away. All that is wrong is said at once.
    pub(crate) fn open(&self) -> anyhow::Result<Opened> {
        self.open_beside(&[])
    }

    /// The same beside CAs that are at work. Those keep their keys and certificates as they were opened.
    pub(crate) fn open_beside(&self, at_work: &[Loaded]) -> anyhow::Result<Opened> {
        let mut problems = Problems::new(&self.file, exit::known);
        let mut authorities = Vec::new();
        for (authority, at) in self.config.authorities.iter().zip(0..) {
            let known = at_work.iter().find(|loaded| loaded.stem == authority.stem());
            authorities.extend(known.cloned().or_else(|| self.authority(authority, at, &mut problems)));
        }
        let clients = self.clients(&mut problems);
        let gate = problems.note("blocked_keys", self.gate());
        let chain = problems.note("tls.certificate", pem::chain(&self.path(&self.config.tls.certificate)));
        let key = problems.note("tls.key", pem::private_key(&self.path(&self.config.tls.key)));
        let identity = chain.zip(key).and_then(|(chain, key)| {
            problems.note("tls", tls_config(chain.clone(), key.clone_key(), None))?;
            Some(Identity { chain, key })
        });
        match identity.zip(gate) {
            Some((identity, gate)) if problems.is_empty() => Ok(Opened { authorities, clients, gate, identity }),
            _ => Err(problems.into()),
        }
    }

    /// One of the CAs with its key.
    pub(crate) fn authority(&self, authority: &Authority, at: usize, problems: &mut Problems) -> Option<Loaded> {
        let key = |part: &str| format!("ca[{at}].{part}");
        let certificate = problems.note(&key("certificate"), pem::certificate(&self.path(&authority.certificate)));
        let chain: anyhow::Result<Vec<_>> =
            authority.chain.iter().map(|file| pem::certificate(&self.path(file))).collect();
        let chain = problems.note(&key("chain"), chain);
        let certificate = certificate?;
        let signer = match X509Certificate::from_der(&certificate) {
            Ok((_, read)) => authority.key.load_known(&self.file, read.public_key().raw),
            Err(error) => Err(error.into()),
        };
        let signer: Arc<dyn Signer> = problems.note(&key("key"), signer)?.into();
        // What stands in certificates is said with each order; lists and answers need no profile.
        let profile = problems.note(&key("certificate"), Profile::new(ProfileConfig::default()))?;
        let shared = Box::new(SharedSigner::new(Arc::clone(&signer)));
        let ca = problems.note(&format!("ca[{at}]"), Ca::load(&certificate, &chain?, shared, profile))?;
        Some(Loaded { stem: authority.stem(), ca: Arc::new(ca), signer, in_token: authority.key.token().is_some() })
    }
}
