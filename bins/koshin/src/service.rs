//! The portal, and with it whatever else this process is to be: the CA, the publisher of its lists, the mailer.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration as Wait};

use anyhow::Context as _;
use koshin_edge::{Connections, Edge, GreetingVerifier, Limits, serve, tls_config};
use koshin_endpoints::{CrlSettings, OcspService, Place, Publication, Publisher, Readings};
use koshin_expiry::Policy;
use koshin_issuance::{Ca, Gate};
use koshin_notify::Sender;
use koshin_operator::{heads::HeadFile, machine::Hangups, post::Mailing, zone::NamedZone};
use koshin_ra::{ChangeError, Issuing, Passwords, Ra, Settings, Settled};
use koshin_sqlite::Store;
use koshin_web::{
    portal::{Calendar, CompletionKey, HolderEst, Portal},
    screens::{Brand, Contact, Host, Hosts, Texts},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    clock::{Clock, entropy},
    ocsp::{self, OCSP_PATH},
    shown::Shown,
};

/// Everything the service is made of. Each field is a choice that the caller names.
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    /// Who issues: the CA's key in this process, or a CA elsewhere.
    pub(crate) issuing: Issuing,
    /// What requests have to pass.
    pub(crate) gate: Arc<Gate>,
    /// Where the CA in this process publishes its lists and answers about its certificates. A CA elsewhere does so itself.
    pub(crate) publishing: Option<Publishing>,
    /// Who judges client certificates.
    pub(crate) verifier: Arc<GreetingVerifier>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) zone: NamedZone,
    pub(crate) settings: Settings,
    pub(crate) brand: Brand,
    pub(crate) contact: Contact,
    pub(crate) hosts: Hosts,
    /// Whether programs may obtain and renew certificates for holders.
    pub(crate) est: HolderEst,
    /// Who makes calendar files, in the words of the mails.
    pub(crate) calendar: Calendar,
    /// How mails leave; `None` where another process sends what is owed.
    pub(crate) mailing: Option<Mailing>,
    pub(crate) identity: ServerIdentity,
    pub(crate) listeners: Listeners,
    pub(crate) upkeep: Upkeep,
}

/// What an installation needs as the years go by, and a demonstration does not.
#[derive(Default)]
pub(crate) struct Upkeep {
    /// Where the heads of the audit log go.
    pub(crate) heads: Option<HeadFile>,
    /// Makes the gate anew when the service is asked to read its files again.
    pub(crate) gate_again: Option<GateAgain>,
}

/// Reads what the gate knows, again.
pub(crate) type GateAgain = Box<dyn Fn() -> anyhow::Result<Gate> + Send + Sync>;

/// The TLS certificate of the three hosts, with its chain and key.
pub(crate) struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// A CA and the socket, plain HTTP, for its revocation list, its certificates and OCSP.
pub(crate) struct Publishing {
    pub(crate) ca: Arc<Ca>,
    pub(crate) listener: TcpListener,
    /// The folder of the revocation list; it is made where it is missing.
    pub(crate) folder: PathBuf,
}

/// The sockets of the three hosts, bound but not yet served.
pub(crate) struct Listeners {
    pub(crate) portal: TcpListener,
    pub(crate) public: TcpListener,
    pub(crate) activate: TcpListener,
}

/// Calendar files in the words of a sender.
pub(crate) fn calendar(sender: Sender) -> Calendar {
    Box::new(move |dates| {
        koshin_notify::calendar(&dates.serial, dates.validity, dates.window_opens, dates.language, &sender, dates.now)
    })
}

/// The names under which relying parties fetch the CA's files.
pub(crate) const CRL_NAME: &str = "issuing.crl";
pub(crate) const CA_NAME: &str = "issuing.cer";
pub(crate) const ROOT_NAME: &str = "root.cer";

/// How often other processes' changes are looked for, overdue renewals and mails too.
const CHANGES_EVERY: Wait = Wait::from_millis(200);
/// How often a CA elsewhere is asked what it revoked.
const FOLLOW_EVERY: Wait = Wait::from_millis(500);
const SWEEP_EVERY: Wait = Wait::from_secs(1);

impl Parts {
    /// The registration authority of these parts.
    pub(crate) fn ra(&self) -> anyhow::Result<Ra> {
        let mut salt = [0; 16];
        entropy(&mut salt)?;
        let ra = Ra::new(
            self.store.clone(),
            self.store.clone(),
            self.store.clone(),
            self.issuing.clone(),
            Arc::clone(&self.gate),
            Arc::clone(&self.policy),
            Passwords::new(&salt)?,
            entropy,
            self.settings,
        );
        Ok(ra.watched_by(self.clock.watch()).with_tasks(self.store.clone()))
    }

    /// Serves until `shutdown` is ready; then ends connections in order and returns. `ready` is called once everything
    /// works that has to, the first revocation list too.
    pub(crate) async fn serve(
        self,
        ready: impl FnOnce() -> anyhow::Result<()>,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let ra = self.ra()?;
        let elsewhere = matches!(self.issuing, Issuing::Elsewhere { .. });
        let Self { store, clock, publishing, verifier, policy, zone, brand, contact, hosts, mailing, .. } = self;
        let connections = Connections::default();
        let mail = Arc::new(Notify::new());
        let mut key = [0; 32];
        entropy(&mut key)?;
        let portal = Arc::new(Portal {
            ra: ra.clone(),
            texts: Texts::load()?,
            brand,
            contact,
            hosts,
            zone: Box::new(Shown(zone)),
            connections: connections.clone(),
            completion: CompletionKey::new(&key),
            calendar: self.calendar,
            mail: Arc::clone(&mail),
            est: self.est,
        });
        // Before the first list, so that what changes while it is made is noticed too.
        let (seen, _) = ra.changes(u64::MAX).await?;
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let lists = match publishing {
            Some(publishing) => Some(publish(&mut tasks, publishing, &store, &clock, &stopping).await?),
            None => None,
        };
        serve_hosts(&mut tasks, &portal, &clock, &verifier, self.identity, self.listeners, &stopping)?;
        tasks.spawn(clock.clone().keep(stopped(stopping.clone())));
        let heads = self.upkeep.heads.map(|heads| {
            let (log, watch) = (Arc::clone(&store), clock.clone());
            let head = move || {
                let log = Arc::clone(&log);
                async move { log.audit_head().await }
            };
            heads.begin(head, move || watch.now())
        });
        if let (Some(again), Some(hangups)) = (self.upkeep.gate_again, Hangups::listen()) {
            tasks.spawn(reread(ra.clone(), again, hangups, stopping.clone()));
        }
        tasks.spawn(watch_changes(ra, seen, connections, lists, stopping.clone()));
        tasks.spawn(sweep(Arc::clone(&portal), clock.clone(), stopping.clone()));
        if elsewhere {
            tasks.spawn(follow(portal, clock.clone(), stopping.clone()));
        }
        if let Some(mailing) = mailing {
            mailing.begin(&mut tasks, &store, &policy, &clock.believed(), mail, &stopping);
        }
        ready()?;
        shutdown.await;
        stop.send_replace(true);
        while tasks.join_next().await.is_some() {}
        if let Some(heads) = heads {
            heads.end().await;
        }
        Ok(())
    }
}

/// Reads the block list again whenever the service is asked to. A bad one changes nothing.
async fn reread(ra: Ra, again: GateAgain, mut hangups: Hangups, stopping: watch::Receiver<bool>) {
    let again = Arc::new(again);
    loop {
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = hangups.next() => {}
        }
        let reading = Arc::clone(&again);
        let read = tokio::task::spawn_blocking(move || reading()).await;
        match read.unwrap_or_else(|error| Err(error.into())) {
            Ok(gate) => {
                let blocked = gate.blocked();
                ra.set_gate(gate);
                tracing::warn!(blocked, "the block list was read again");
            }
            Err(error) => tracing::error!(error = format!("{error:#}"), "the block list stays as it was"),
        }
    }
}

/// Publishes what the CA of this process owes to relying parties, the first revocation list too.
async fn publish(
    tasks: &mut JoinSet<()>,
    publishing: Publishing,
    store: &Arc<Store>,
    clock: &Clock,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<Lists> {
    let Publishing { ca, listener, folder } = publishing;
    std::fs::create_dir_all(&folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let publication = Publication::new(clock.edge());
    publication.certificate(CA_NAME, ca.certificate_der().to_vec());
    if let Some(root) = ca.chain_der().last() {
        publication.certificate(ROOT_NAME, root.clone());
    }
    let (source, place) = (Arc::clone(store), Place::new(folder, CRL_NAME));
    let publisher = Publisher::new(Arc::clone(&ca), source, publication.clone(), place, CrlSettings::default());
    publisher.resume().await.context("the revocation list cannot be published")?;
    publisher.tend(clock.reading()).await;
    let ocsp = ocsp::service(store, clock);
    let files = publication.router().nest(&format!("/{OCSP_PATH}"), ocsp.router());
    let edge = Edge { limits: Limits::default(), ..Edge::new(clock.edge()) };
    let serving = serve(listener, None, files, edge, stopped(stopping.clone()));
    tasks.spawn(async move {
        let _ = serving.await;
    });
    let watched = clock.clone();
    let readings = Readings::new(move || watched.reading());
    tasks.spawn(publisher.clone().keep(readings.clone(), stopped(stopping.clone())));
    tasks.spawn(ocsp::keep(ocsp.clone(), ca, store.clone(), readings, stopped(stopping.clone())));
    Ok(Lists { publisher, ocsp })
}

fn serve_hosts(
    tasks: &mut JoinSet<()>,
    portal: &Arc<Portal>,
    clock: &Clock,
    verifier: &Arc<GreetingVerifier>,
    identity: ServerIdentity,
    listeners: Listeners,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let edge = Edge { connections: portal.connections.clone(), limits: Limits::default(), ..Edge::new(clock.edge()) };
    let with_certificates = tls_config(identity.chain.clone(), identity.key.clone_key(), Some(Arc::clone(verifier)))?;
    let without = tls_config(identity.chain, identity.key, None)?;
    let hosts = [
        (listeners.portal, Host::Portal, Arc::clone(portal).portal_router()),
        (listeners.public, Host::Public, Arc::clone(portal).public_router()),
        (listeners.activate, Host::Activate, Arc::clone(portal).activation_router()),
    ];
    for (listener, host, router) in hosts {
        let asks = host != Host::Public;
        let edge = Edge {
            verifier: asks.then(|| Arc::clone(verifier)),
            refuse: Arc::clone(portal).refusal(host),
            ..edge.clone()
        };
        let tls = if asks { &with_certificates } else { &without };
        let serving = serve(listener, Some(Arc::clone(tls)), router, edge, stopped(stopping.clone()));
        tasks.spawn(async move {
            let _ = serving.await;
        });
    }
    Ok(())
}

/// Waits until the service is to stop.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Ends the connections of certificates that any process superseded or revoked, and publishes the list anew.
async fn watch_changes(
    ra: Ra,
    mut seen: u64,
    connections: Connections,
    lists: Option<Lists>,
    stopping: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(CHANGES_EVERY) => {}
        }
        loop {
            let (sequence, changes) = match ra.changes(seen).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(error = ?error, "changes of other processes cannot be read");
                    break;
                }
            };
            for change in &changes {
                connections.close(&change.fingerprint);
            }
            // A superseded certificate is refused by the ledger and stands on no list.
            if let Some(lists) = &lists
                && changes.iter().any(|change| change.settled == Settled::Revoked)
            {
                lists.outdated();
            }
            seen = sequence;
            if (changes.len() as u64) < u64::from(Ra::CHANGES_AT_ONCE) {
                break;
            }
        }
    }
}

/// What the CA of this process says about revocations.
struct Lists {
    publisher: Publisher,
    ocsp: OcspService,
}

impl Lists {
    /// Something was revoked.
    fn outdated(&self) {
        self.ocsp.forget();
        self.publisher.revoked();
    }
}

/// Ends what is overdue, and signs what a crash left behind.
async fn sweep(portal: Arc<Portal>, clock: Clock, stopping: watch::Receiver<bool>) {
    // What stands between the CA and the revocations that it has to know of. Said when it changes.
    let mut untold = None;
    loop {
        match portal.ra.sweep(clock.now()).await {
            Ok(owed) => portal.settle(&owed),
            // Said where the clock is kept.
            Err(ChangeError::Clock(_)) => {}
            Err(error) => tracing::error!(error = ?error, "overdue renewals cannot be read"),
        }
        match portal.ra.tell_authority(clock.now()).await {
            Ok(()) if untold.take().is_some() => tracing::warn!("the CA was told of every revocation"),
            Ok(()) => {}
            Err(error) => {
                let reason = Some(error.to_string());
                if untold != reason {
                    tracing::error!(error = ?error, "the CA was not told of every revocation; it is tried again");
                    untold = reason;
                }
            }
        }
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// Revokes here what was revoked at a CA elsewhere.
async fn follow(portal: Arc<Portal>, clock: Clock, stopping: watch::Receiver<bool>) {
    let mut silent = false;
    loop {
        match portal.ra.follow_authority(clock.now()).await {
            Ok(owed) => {
                if std::mem::take(&mut silent) {
                    tracing::warn!("the CA answers again");
                }
                portal.settle(&owed);
            }
            // Once for each time: logins and notices go on without it.
            Err(error) if !silent => {
                silent = true;
                tracing::error!(error = ?error, "the CA does not say what it revoked; it is asked again");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
        }
    }
}

/// Binds a socket, with an error that says which.
pub(crate) async fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} for {what} cannot be listened on"))
}
