//! The files that a configuration names: keys, certificates, the relay's password.

use std::{path::Path, sync::Arc};

use koshin_edge::{GreetingVerifier, tls_config};
use koshin_issuance::{Ca, Gate, IssuerCertificate, Profile};
use koshin_notify::{Sender, Transport};
use koshin_operator::{config::Problems, heads::AuditKey, pem, post::Returns, profile};
use koshin_ra::{Issuing, LocalAuthority};
use koshin_sqlite::Store;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Checked, schema::Config};
use crate::{exit, remote::RemoteAuthority, service::ServerIdentity};

/// Everything that `serve` reads from files beside the configuration itself.
pub(crate) struct Loaded {
    pub(crate) ca: LoadedCa,
    /// Knows the certificates of the issuing CA and of those before it. Which of them may log in is the ledger's to say.
    pub(crate) verifier: Arc<GreetingVerifier>,
    pub(crate) identity: ServerIdentity,
    pub(crate) transport: Arc<dyn Transport>,
    /// Who sends, in the operator's words.
    pub(crate) sender: Sender,
    pub(crate) returns: Option<Returns>,
    /// What requests have to pass.
    pub(crate) gate: Arc<Gate>,
    /// What the heads of the audit log are signed with.
    pub(crate) audit_key: Option<AuditKey>,
}

/// The issuing CA, as far as this process has to do with it.
pub(crate) enum LoadedCa {
    /// Its key is used here.
    Here { ca: Arc<Ca>, authority: LocalAuthority },
    /// Another process has its key.
    Elsewhere { issuer: Arc<IssuerCertificate>, authority: Arc<RemoteAuthority> },
}

impl LoadedCa {
    /// Its certificate.
    pub(crate) fn issuer(&self) -> &IssuerCertificate {
        match self {
            Self::Here { authority, .. } => authority.issuer(),
            Self::Elsewhere { issuer, .. } => issuer,
        }
    }

    /// Who issues, for a registration authority on this storage.
    pub(crate) fn issuing(&self, store: &Arc<Store>) -> Issuing {
        match self {
            Self::Here { authority, .. } => authority.clone().into(),
            Self::Elsewhere { issuer, authority } => Issuing::Elsewhere {
                authority: Arc::clone(authority) as _,
                issuer: Arc::clone(issuer),
                correspondence: Arc::clone(store) as _,
            },
        }
    }
}

impl Checked {
    /// Reads every file that the configuration names. All that is wrong is said at once.
    pub(crate) fn load(&self) -> anyhow::Result<Loaded> {
        let mut problems = Problems::new(&self.file, exit::known);
        let ca = self.ca(&mut problems);
        let verifier = ca.as_ref().and_then(|ca| self.verifier(ca, &mut problems));
        let identity = self.identity(&mut problems);
        let transport = self.config.mail.transport(&self.file, &mut problems);
        let gate = self.gate(&mut problems);
        let words = self.config.mail.words(&self.file, self.sender.clone(), &mut problems);
        let returns = self.config.mail.returns(&self.file, &mut problems);
        let audit = self.config.audit.as_ref();
        let audit_key = audit.and_then(|audit| problems.note("audit.key", AuditKey::read(&self.path(&audit.key))));
        let (Some(ca), Some(verifier), Some(identity), Some(transport), Some(gate), Some(words), true) =
            (ca, verifier, identity, transport, gate, words, problems.is_empty())
        else {
            return Err(problems.into());
        };
        let sender = match &returns {
            Some(returns) => words.with_verp(returns.verp.clone()),
            None => words,
        };
        let (verifier, gate) = (Arc::new(verifier), Arc::new(gate));
        Ok(Loaded { ca, verifier, identity, transport, sender, returns, gate, audit_key })
    }

    /// The certificates of the issuing CA and of those before it, DER.
    pub(crate) fn issuers(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let ca = &self.config.ca;
        std::iter::once(&ca.certificate).chain(&ca.former).map(|file| certificate_of(self, file)).collect()
    }

    fn verifier(&self, ca: &LoadedCa, problems: &mut Problems) -> Option<GreetingVerifier> {
        let former: anyhow::Result<Vec<_>> =
            self.config.ca.former.iter().map(|file| certificate_of(self, file)).collect();
        let former = problems.note("ca.former", former)?;
        // Each alone first, so that the complaint is about the right one.
        let issuing = CertificateDer::from(ca.issuer().certificate_der());
        problems.note("ca.certificate", GreetingVerifier::new(std::slice::from_ref(&issuing)))?;
        let all: Vec<_> =
            std::iter::once(issuing).chain(former.iter().map(|der| CertificateDer::from(&der[..]))).collect();
        problems.note("ca.former", GreetingVerifier::new(&all))
    }

    /// Kinds of keys that the profile does not take, and blocked keys, are refused before anything is asked for.
    fn gate(&self, problems: &mut Problems) -> Option<Gate> {
        self.gate_of(&self.profile, problems)
    }

    /// Makes the gate anew, from the configuration and its block list as they stand when it is asked. The kinds of keys stay
    /// what they are: they are the CA's.
    pub(crate) fn gate_again(&self) -> impl Fn() -> anyhow::Result<Gate> + Send + Sync + use<> {
        let (file, profile) = (self.file.clone(), self.profile.clone());
        move || {
            let mut problems = Problems::new(&file, exit::known);
            Self::read(&file)?.gate_of(&profile, &mut problems).ok_or_else(|| problems.into())
        }
    }

    fn gate_of(&self, profile: &Profile, problems: &mut Problems) -> Option<Gate> {
        let gate = Gate::new().with_profile(profile);
        match &self.config.ca.blocked_keys {
            Some(file) => problems.note("ca.blocked_keys", profile::block(gate, &self.path(file))),
            None => Some(gate),
        }
    }

    fn ca(&self, problems: &mut Problems) -> Option<LoadedCa> {
        let ca = &self.config.ca;
        let certificate = problems.note("ca.certificate", pem::certificate(&self.path(&ca.certificate)));
        let chain: anyhow::Result<Vec<_>> = ca.chain.iter().map(|file| certificate_of(self, file)).collect();
        let (certificate, chain) = (certificate?, problems.note("ca.chain", chain)?);
        if let Some(remote) = &ca.remote {
            let issuer = problems.note("ca.certificate", IssuerCertificate::read(&certificate, &chain));
            let authority = problems.note("ca.remote", RemoteAuthority::open(remote, |path| self.path(path)));
            return Some(LoadedCa::Elsewhere { issuer: Arc::new(issuer?), authority: Arc::new(authority?) });
        }
        let key = ca.key.as_ref()?;
        let signer = problems.note("ca.key", key.load_known(&self.file, &spki(&certificate)?))?;
        let ca = problems.note("ca", Ca::load(&certificate, &chain, signer, self.profile.clone()))?;
        let ca = Arc::new(ca);
        // What a token takes its time for holds up nobody else.
        let authority = match key.token() {
            Some(_) => LocalAuthority::with_token(Arc::clone(&ca)),
            None => LocalAuthority::new(Arc::clone(&ca)),
        };
        Some(LoadedCa::Here { ca, authority })
    }

    fn identity(&self, problems: &mut Problems) -> Option<ServerIdentity> {
        let chain = problems.note("tls.certificate", pem::chain(&self.path(&self.config.tls.certificate)));
        let key = problems.note("tls.key", pem::private_key(&self.path(&self.config.tls.key)));
        let (chain, key) = (chain?, key?);
        problems.note("tls", tls_config(chain.clone(), key.clone_key(), None))?;
        Some(ServerIdentity { chain, key })
    }
}

impl Config {
    /// A key here, or a CA elsewhere.
    pub(super) fn check_ca(&self, problems: &mut Problems) {
        match (&self.ca.key, &self.ca.remote) {
            (Some(_), Some(_)) => problems.add("ca", "key and remote exclude each other"),
            (None, None) => problems.add("ca", "one of key (a CA in this process) and remote (a koshin-ca) is needed"),
            (Some(_), None) if self.hosts.publication.is_none() => {
                problems.add("hosts.publication", "a CA in this process needs a place for its revocation list");
            }
            _ => {}
        }
    }
}

fn certificate_of(checked: &Checked, file: &Path) -> anyhow::Result<Vec<u8>> {
    pem::certificate(&checked.path(file))
}

/// The public key in a certificate; `None` for what is none, which others complain about.
fn spki(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().raw.to_vec())
}
