//! The portal over a town's folder, put together as `koshin serve` does, without its mailer.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future};
use koshin_edge::{Edge, GreetingVerifier, Limits, serve, tls_config};
use koshin_sqlite::{Options, Store};
use koshin_web::{
    portal::{CompletionKey, Portal},
    screens::{Bilingual, Brand, Clocked, Contact, Host, Hosts, Texts},
};
use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::Notify};

use crate::{
    authority::{self, Authorities, HOST},
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

/// The portal's hosts, in the order of their listeners.
pub const HOSTS: [Host; 3] = [Host::Portal, Host::Public, Host::Activate];

/// A free port on loopback for each host.
///
/// # Errors
///
/// When there is none.
pub async fn listen() -> anyhow::Result<([TcpListener; 3], [u16; 3])> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [bind().await?, bind().await?, bind().await?];
    let [portal, public, activate] = &listeners;
    let ports = [portal.local_addr()?.port(), public.local_addr()?.port(), activate.local_addr()?.port()];
    Ok((listeners, ports))
}

/// Serves the portal's hosts until `shutdown` is ready.
///
/// # Errors
///
/// When the folder is none of a town.
pub async fn run(
    folder: &Path,
    (listeners, ports): ([TcpListener; 3], [u16; 3]),
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let authorities = authority::load(folder)?;
    let store = Arc::new(Store::open(&folder.join(DATABASE), &Options::default()).await?);
    let tls = Tls::new(&authorities)?;
    let public = tls_config(authorities.chain.clone(), authorities.key.clone_key(), None)?;
    let portal = Arc::new(portal(&store, &authorities, ports)?);
    let beside = tokio::spawn(beside(Arc::clone(&portal)));
    let shutdown = shutdown.shared();
    let serving = listeners.into_iter().zip(HOSTS).map(|(listener, host)| {
        let (config, verifier, router) = match host {
            Host::Portal => (&tls.config, Some(&tls.verifier), Arc::clone(&portal).portal_router()),
            Host::Public => (&public, None, Arc::clone(&portal).public_router()),
            Host::Activate => (&tls.config, Some(&tls.verifier), Arc::clone(&portal).activation_router()),
        };
        let edge = Edge {
            connections: portal.connections.clone(),
            // All of the load comes from one address.
            limits: Limits { max_connections: 16_384, max_connections_per_peer: 16_384, ..Limits::default() },
            verifier: verifier.cloned(),
            refuse: Arc::clone(&portal).refusal(host),
            ..Edge::new(Arc::new(rim::now))
        };
        serve(listener, Some(Arc::clone(config)), router, edge, shutdown.clone())
    });
    future::join_all(serving).await;
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

fn portal(store: &Arc<Store>, authorities: &Authorities, ports: [u16; 3]) -> anyhow::Result<Portal> {
    let both = |ja: &str, en: &str| Bilingual { ja: ja.into(), en: en.into() };
    let [portal, public, activate] = ports.map(|port| format!("https://{HOST}:{port}"));
    Ok(Portal {
        ra: town::ra(store, Arc::clone(&authorities.ca))?,
        texts: Texts::load()?,
        brand: Brand {
            operator: both("こうしん信用金庫", "Koshin Shinkin Bank"),
            portal: both("こうしんビジネスWeb", "Koshin Business Web"),
        },
        contact: Contact { name: both("サポートデスク", "Support desk"), telephone: None, hours: None },
        hosts: Hosts { portal, public, activate },
        zone: Box::new(Clocked::jst()),
        connections: koshin_edge::Connections::default(),
        completion: CompletionKey::new(&rim::octets()?),
        // No load asks for one.
        calendar: Box::new(|_| String::new()),
        mail: Arc::new(Notify::new()),
        est: koshin_web::portal::HolderEst::Off,
    })
}
