//! The portal over a town's folder, put together as `koshin serve` does, without its mailer.

use std::{path::Path, sync::Arc, time::Duration};

use koshin_sqlite::{Options, Store};
use koshin_web::{
    edge::{Edge, GreetingVerifier, Limits, serve, tls_config},
    portal::{CompletionKey, Portal},
    screens::{Bilingual, Brand, Clocked, Contact, Host, Hosts, Texts},
};
use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::Notify};

use crate::{
    authority::{self, Authorities},
    rim,
    town::{self, DATABASE},
};

/// How often overdue renewals and other processes' changes are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const CHANGES_EVERY: Duration = Duration::from_millis(200);

/// The portal's TLS: its configuration, and the verifier in it.
pub struct Tls {
    /// The configuration.
    pub config: Arc<ServerConfig>,
    /// Who judges client certificates.
    pub verifier: Arc<GreetingVerifier>,
}

impl Tls {
    /// As the portal has it.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be used.
    pub fn new(authorities: &Authorities) -> anyhow::Result<Self> {
        let issuing = authorities.ca.certificate_der().to_vec().into();
        let verifier = Arc::new(GreetingVerifier::new(&[issuing])?);
        let (chain, key) = (authorities.chain.clone(), authorities.key.clone_key());
        Ok(Self { config: tls_config(chain, key, Some(Arc::clone(&verifier)))?, verifier })
    }
}

/// Serves the portal until `shutdown` is ready.
///
/// # Errors
///
/// When the folder is none of a town.
pub async fn run(folder: &Path, listener: TcpListener, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let authorities = authority::load(folder)?;
    let store = Arc::new(Store::open(&folder.join(DATABASE), &Options::default()).await?);
    let tls = Tls::new(&authorities)?;
    let portal = Arc::new(portal(&store, &authorities, listener.local_addr()?.port())?);
    let edge = Edge {
        connections: portal.connections.clone(),
        // All of the load comes from one address.
        limits: Limits { max_connections: 16_384, max_connections_per_peer: 16_384, ..Limits::default() },
        verifier: Some(tls.verifier),
        refuse: Arc::clone(&portal).refusal(Host::Portal),
        ..Edge::new(Arc::new(rim::now))
    };
    let beside = tokio::spawn(beside(Arc::clone(&portal)));
    let router = Arc::clone(&portal).portal_router();
    let _stopped = serve(listener, Some(tls.config), router, edge, shutdown).await;
    beside.abort();
    store.shut_down().await;
    Ok(())
}

/// The work that a service does beside its requests.
async fn beside(portal: Arc<Portal>) {
    let (mut sweep, mut look) = (tokio::time::interval(SWEEP_EVERY), tokio::time::interval(CHANGES_EVERY));
    let mut seen = u64::MAX;
    loop {
        tokio::select! {
            _ = sweep.tick() => match portal.ra.sweep(rim::now()).await {
                Ok(owed) => portal.settle(&owed),
                Err(error) => eprintln!("overdue renewals cannot be read: {error}"),
            },
            _ = look.tick() => match portal.ra.changes(seen).await {
                Ok((newest, changed)) => {
                    for change in changed {
                        portal.connections.close(&change.fingerprint);
                    }
                    seen = newest;
                }
                Err(error) => eprintln!("changes cannot be read: {error}"),
            },
        }
    }
}

fn portal(store: &Arc<Store>, authorities: &Authorities, port: u16) -> anyhow::Result<Portal> {
    let both = |ja: &str, en: &str| Bilingual { ja: ja.into(), en: en.into() };
    let url = || format!("https://localhost:{port}");
    Ok(Portal {
        ra: town::ra(store, Arc::clone(&authorities.ca))?,
        texts: Texts::load()?,
        brand: Brand {
            operator: both("こうしん信用金庫", "Koshin Shinkin Bank"),
            portal: both("こうしんビジネスWeb", "Koshin Business Web"),
        },
        contact: Contact { name: both("サポートデスク", "Support desk"), telephone: None, hours: None },
        hosts: Hosts { portal: url(), public: url(), activate: url() },
        zone: Box::new(Clocked::jst()),
        connections: koshin_web::edge::Connections::default(),
        completion: CompletionKey::new(&rim::octets()?),
        mail: Arc::new(Notify::new()),
    })
}
