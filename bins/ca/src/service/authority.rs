//! One of the CAs at work.

use std::{iter, sync::Arc};

use koshin_endpoints::{
    OcspService, OcspSettings, Place, Publication, Publisher, Readings, ResponderKeeper, ResponderSettings,
    ca::{CaParts, CaService, Signing},
};
use koshin_operator::machine;
use koshin_sqlite::LedgerStore;
use tokio::{sync::watch, task::JoinSet};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS,
    prelude::{FromDer as _, X509Certificate},
};

use super::tasks::{stopped, until};
use crate::{
    clock::Clock,
    config::{Checked, Loaded, Opened},
    health::Watched,
    share::{Reservations, Share},
};

/// What all CAs of the service share, and every configuration of it.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) store: LedgerStore,
    pub(super) clock: Clock,
    pub(super) files: Publication,
    pub(super) reservations: Reservations,
}

/// One of the CAs at work.
pub(crate) struct Authority {
    pub(crate) stem: String,
    pub(crate) key: Arc<Watched>,
    pub(crate) publisher: Publisher,
    pub(crate) ocsp: OcspService,
    /// By the newest configuration; everything else is the same as long as the CA is at work.
    pub(crate) service: Arc<CaService>,
    pub(super) share: Arc<Share>,
    /// Under which names what is this CA's alone is published.
    names: Vec<String>,
    /// Gone with the last of its kind: then what keeps lists and answers fresh ends.
    leaves: Arc<watch::Sender<bool>>,
}

impl Authority {
    /// The CA in this place of the configuration; `known` is the same one at work by the configuration before.
    pub(super) fn new(
        ground: &Ground,
        checked: &Checked,
        at: usize,
        opened: &Opened,
        loaded: &Loaded,
        known: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let (share, key) = match known {
            Some(known) => (Arc::clone(&known.share), Arc::clone(&known.key)),
            None => (
                Arc::new(Share::new(ground.store.clone(), checked.span(at), ground.reservations.clone())),
                Arc::new(Watched::new(Arc::clone(&loaded.signer))),
            ),
        };
        let table = checked.config.authorities.get(at);
        let service = CaService::new(CaParts {
            certificate: loaded.ca.certificate_der().to_vec(),
            chain: loaded.ca.chain_der().to_vec(),
            signer: key.clone(),
            signing: if loaded.in_token { Signing::token() } else { Signing::Inline },
            random: machine::random(),
            gate: opened.gate.clone(),
            ledger: share.clone(),
            profiles: table.map(|table| checked.profiles(table)).transpose()?.unwrap_or_default(),
            clients: opened.clients.clone(),
        })?;
        let others = opened.authorities.iter().enumerate().filter(|(other, _)| *other != at);
        let service = Arc::new(service.beside(others.map(|(_, other)| other.chain()).collect()));
        let (publisher, ocsp, leaves) = if let Some(known) = known {
            (known.publisher.clone(), known.ocsp.clone(), Arc::clone(&known.leaves))
        } else {
            let place = Place::new(checked.path(&checked.config.storage.lists), &loaded.list());
            let (ca, files) = (Arc::clone(service.ca()), ground.files.clone());
            let publisher = Publisher::new(ca, share.clone(), files, place, checked.crl_settings());
            let ocsp = OcspService::new(share.clone(), ground.clock.function(), OcspSettings::default());
            (publisher, ocsp, Arc::new(watch::Sender::new(false)))
        };
        let names = publish(&ground.files, checked, loaded, &service);
        Ok(Self { stem: loaded.stem.clone(), key, publisher, ocsp, service, share, names, leaves })
    }

    /// Keeps revocation list and responder's certificate made in time, until the CA leaves or the service stops.
    pub(super) fn keep(&self, ground: &Ground, tasks: &mut JoinSet<()>, stopping: &watch::Receiver<bool>) {
        let readings = || {
            let clock = ground.clock.clone();
            Readings::new(move || clock.reading())
        };
        let ended = || {
            let (stopping, leaves) = (stopping.clone(), self.leaves.subscribe());
            async move {
                until(stopping, stopped(leaves)).await;
            }
        };
        tasks.spawn(self.publisher.clone().keep(readings(), ended()));
        let keeper = ResponderKeeper::new(
            self.ocsp.clone(),
            Arc::clone(self.service.ca()),
            Arc::new(ground.store.clone()),
            machine::random(),
            ResponderSettings::default(),
        );
        tasks.spawn(keeper.keep(readings(), ended()));
    }

    /// Publishes nothing of this CA any more.
    pub(super) fn leave(&self, files: &Publication) {
        self.leaves.send_replace(true);
        self.names.iter().for_each(|name| files.withdraw(name));
    }
}

/// Publishes its certificates, and answers under which names what is this CA's alone is published.
fn publish(files: &Publication, checked: &Checked, loaded: &Loaded, service: &CaService) -> Vec<String> {
    let mut names = vec![loaded.list()];
    let mut put = |name: String, der: &[u8], own: bool| {
        files.certificate(&name, der.to_vec());
        if own {
            names.push(name);
        }
    };
    put(format!("{}.cer", loaded.stem), service.ca().certificate_der(), true);
    if let Some(root) = service.ca().chain_der().last() {
        put(format!("{}-root.cer", loaded.stem), root, true);
    }
    // Where the certificates themselves say that the next one above is. Other CAs' may say the same.
    let below = iter::once(service.ca().certificate_der()).chain(service.ca().chain_der().iter().map(Vec::as_slice));
    for (certificate, above) in below.zip(service.ca().chain_der()) {
        if let Some(name) = issuer_file(certificate, &checked.config.publication.url) {
            put(name, above, false);
        }
    }
    names
}

/// The file at this origin that a certificate's authorityInfoAccess (RFC 5280, 4.2.2.1) names for its issuer.
fn issuer_file(certificate: &[u8], origin: &str) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else { return None };
        access.accessdescs.iter().find_map(|description| match description.access_location {
            GeneralName::URI(url) if description.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS => {
                let name = url.strip_prefix(origin)?.strip_prefix('/')?;
                (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
            }
            _ => None,
        })
    })
}
