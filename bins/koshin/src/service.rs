//! Portal, CA and mailer in one process.

use std::{net::SocketAddr, sync::Arc, time::Duration as Wait};

use anyhow::Context as _;
use koshin_edge::{Connections, Edge, GreetingVerifier, Limits, serve, tls_config};
use koshin_endpoints::{OcspService, Publication};
use koshin_expiry::Policy;
use koshin_issuance::{Ca, CrlEdition, Gate, RevokedCertificate};
use koshin_notify::{Mailer, Planner, Sender, Transport, Wake};
use koshin_ra::{ChangeError, Directory as _, Passwords, Ra, Revocation, Settings, Settled};
use koshin_sqlite::Store;
use koshin_web::{
    portal::{CompletionKey, Portal},
    screens::{Brand, Contact, Host, Hosts, Texts},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, UtcDateTime};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    clock::{Clock, entropy},
    ocsp::{self, OCSP_PATH},
    zone::NamedZone,
};

/// Everything the service is made of. Each field is a choice that the caller names.
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) ca: Arc<Ca>,
    /// Who judges client certificates.
    pub(crate) verifier: Arc<GreetingVerifier>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) zone: NamedZone,
    pub(crate) settings: Settings,
    pub(crate) brand: Brand,
    pub(crate) contact: Contact,
    pub(crate) hosts: Hosts,
    pub(crate) sender: Sender,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) identity: ServerIdentity,
    pub(crate) listeners: Listeners,
}

/// The TLS certificate of the three hosts, with its chain and key.
pub(crate) struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// The sockets, bound but not yet served.
pub(crate) struct Listeners {
    pub(crate) portal: TcpListener,
    pub(crate) public: TcpListener,
    pub(crate) activate: TcpListener,
    /// Plain HTTP for revocation list and CA certificates.
    pub(crate) publication: TcpListener,
}

/// The names under which relying parties fetch the CA's files.
pub(crate) const CRL_NAME: &str = "issuing.crl";
pub(crate) const CA_NAME: &str = "issuing.cer";
pub(crate) const ROOT_NAME: &str = "root.cer";

/// How long a revocation list is valid, and how often a new one is made at least.
const CRL_VALIDITY: Duration = Duration::days(7);
const CRL_INTERVAL: Duration = Duration::hours(12);
/// How soon one that could not be made is tried again.
const CRL_RETRY: Duration = Duration::seconds(5);
/// How long a fetched revocation list may be kept.
const CRL_MAX_AGE: u32 = 3600;

/// How often other processes' changes are looked for, overdue renewals and mails too.
const CHANGES_EVERY: Wait = Wait::from_millis(200);
const SWEEP_EVERY: Wait = Wait::from_secs(1);
const MAIL_EVERY: Wait = Wait::from_secs(2);

impl Parts {
    /// The registration authority of these parts.
    pub(crate) fn ra(&self) -> anyhow::Result<Ra> {
        let mut salt = [0; 16];
        entropy(&mut salt)?;
        let ra = Ra::new(
            self.store.clone(),
            self.store.clone(),
            self.store.clone(),
            Arc::clone(&self.ca),
            Arc::new(Gate::new()),
            Arc::clone(&self.policy),
            Passwords::new(&salt)?,
            entropy,
            self.settings,
        );
        Ok(ra.watched_by(self.clock.watch()))
    }

    /// Serves until `shutdown` is ready; then ends connections in order and returns. `ready` is called once everything
    /// works that has to, the first revocation list too.
    pub(crate) async fn serve(
        self,
        ready: impl FnOnce() -> anyhow::Result<()>,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let ra = self.ra()?;
        let Self {
            store,
            clock,
            ca,
            verifier,
            policy,
            zone,
            brand,
            contact,
            hosts,
            sender,
            transport,
            identity,
            listeners,
            ..
        } = self;
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
            zone: Box::new(zone),
            connections: connections.clone(),
            completion: CompletionKey::new(&key),
            mail: Arc::clone(&mail),
        });
        let publication = Publication::default();
        publication.certificate(CA_NAME, ca.certificate_der().to_vec());
        if let Some(root) = ca.chain_der().last() {
            publication.certificate(ROOT_NAME, root.clone());
        }
        let ocsp = ocsp::service(&store, &clock);
        // Before the first list, so that what changes while it is made is noticed too.
        let (seen, _) = ra.changes(u64::MAX).await?;
        let mut lists =
            Lists { store: store.clone(), clock: clock.clone(), ca: Arc::clone(&ca), publication, ocsp, number: 0 };
        let next_crl = match clock.trusted() {
            Ok(()) => lists.publish().await?,
            Err(_) => UtcDateTime::MIN,
        };

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        serve_hosts(&mut tasks, &portal, &lists, &verifier, identity, listeners, &stopping)?;
        tasks.spawn(clock.clone().keep(stopped(stopping.clone())));
        let responder = ocsp::keep(lists.ocsp.clone(), ca, store.clone(), clock.clone(), stopped(stopping.clone()));
        tasks.spawn(responder);
        tasks.spawn(watch_changes(ra, seen, connections, lists, next_crl, stopping.clone()));
        tasks.spawn(sweep(portal, clock.clone(), stopping.clone()));
        let post = Post {
            planner: Planner::new(store.clone(), Policy::clone(&policy)),
            mailer: Mailer::new(store, transport, sender),
        };
        tasks.spawn(send_mails(post, clock, mail, stopping));
        ready()?;
        shutdown.await;
        stop.send_replace(true);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

fn serve_hosts(
    tasks: &mut JoinSet<()>,
    portal: &Arc<Portal>,
    lists: &Lists,
    verifier: &Arc<GreetingVerifier>,
    identity: ServerIdentity,
    listeners: Listeners,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let edge =
        Edge { connections: portal.connections.clone(), limits: Limits::default(), ..Edge::new(lists.clock.edge()) };
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
    let files = lists.publication.router().nest(&format!("/{OCSP_PATH}"), lists.ocsp.router());
    let serving = serve(listeners.publication, None, files, edge, stopped(stopping.clone()));
    tasks.spawn(async move {
        let _ = serving.await;
    });
    Ok(())
}

/// Waits until the service is to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Ends the connections of certificates that any process superseded or revoked, and publishes the list anew.
async fn watch_changes(
    ra: Ra,
    mut seen: u64,
    connections: Connections,
    mut lists: Lists,
    mut next_crl: UtcDateTime,
    stopping: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(CHANGES_EVERY) => {}
        }
        match ra.changes(seen).await {
            Ok((sequence, changes)) => {
                for change in &changes {
                    connections.close(&change.fingerprint);
                }
                // A superseded certificate is refused by the ledger and stands on no list.
                if changes.iter().any(|change| change.settled == Settled::Revoked) {
                    next_crl = UtcDateTime::MIN;
                    lists.ocsp.forget();
                }
                seen = sequence;
            }
            Err(error) => tracing::error!(error = ?error, "changes of other processes cannot be read"),
        }
        if lists.clock.trusted().is_err() {
            // None by a wrong clock, but one as soon as it is right: it may go back when that is said.
            next_crl = UtcDateTime::MIN;
        } else if next_crl <= lists.clock.now() {
            next_crl = lists.publish().await.unwrap_or_else(|error| {
                tracing::error!(error = ?error, "no revocation list could be published; it is tried again");
                lists.clock.now().saturating_add(CRL_RETRY)
            });
        }
    }
}

/// What revocation lists are made of, and where they go.
struct Lists {
    store: Arc<Store>,
    clock: Clock,
    ca: Arc<Ca>,
    publication: Publication,
    ocsp: OcspService,
    /// The number of the newest list.
    number: u64,
}

impl Lists {
    /// Publishes every revocation there is, and answers when to do so again. Numbers are the milliseconds since 1970, so
    /// they grow over restarts and restores, and by one where time stands still.
    async fn publish(&mut self) -> anyhow::Result<UtcDateTime> {
        let at = self.clock.now();
        let revoked = self.store.revoked().await?;
        let entries: Vec<_> = revoked
            .into_iter()
            .map(|Revocation { serial, at, reason }| RevokedCertificate {
                serial,
                revoked_at: at,
                reason,
                invalidity_date: None,
            })
            .collect();
        self.number =
            u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(1).max(self.number.saturating_add(1));
        let edition = CrlEdition { number: self.number, this_update: at, next_update: at.saturating_add(CRL_VALIDITY) };
        self.publication.revocation_list(CRL_NAME, self.ca.sign_crl(edition, &entries)?.into_der(), CRL_MAX_AGE);
        Ok(at.saturating_add(CRL_INTERVAL))
    }
}

/// Ends what is overdue, and signs what a crash left behind.
async fn sweep(portal: Arc<Portal>, clock: Clock, stopping: watch::Receiver<bool>) {
    loop {
        match portal.ra.sweep(clock.now()).await {
            Ok(owed) => portal.settle(&owed),
            // Said where the clock is kept.
            Err(ChangeError::Clock(_)) => {}
            Err(error) => tracing::error!(error = ?error, "overdue renewals cannot be read"),
        }
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// The planner owes the notices of expiry; the mailer sends whatever is owed.
struct Post<T> {
    planner: Planner<Arc<Store>>,
    mailer: Mailer<Arc<Store>, T>,
}

/// Plans what time makes due, and sends what is owed, as soon as it is planned here and soon after it is planned
/// elsewhere.
async fn send_mails<T: Transport>(post: Post<T>, clock: Clock, planned: Arc<Notify>, stopping: watch::Receiver<bool>) {
    loop {
        let wake = match clock.trusted() {
            Ok(()) => post.run(&clock).await,
            Err(_) => MAIL_EVERY,
        };
        tokio::select! {
            () = stopped(stopping.clone()) => return,
            () = planned.notified() => {}
            () = tokio::time::sleep(wake) => {}
        }
    }
}

impl<T: Transport> Post<T> {
    /// Plans and sends what is due, and answers how long to wait. Mails go out even where none can be planned.
    async fn run(&self, clock: &Clock) -> Wait {
        let planned = self.planner.run(clock.now()).await.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "notices of expiry cannot be planned");
            Wake::Idle
        });
        let sent = self.mailer.run(clock.now()).await.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "mails cannot be sent");
            Wake::Idle
        });
        let wait = |wake| match wake {
            Wake::Now => Wait::ZERO,
            Wake::At(at) => Wait::try_from(at - clock.now()).unwrap_or_default(),
            Wake::Idle => MAIL_EVERY,
        };
        wait(planned).min(wait(sent)).min(MAIL_EVERY)
    }
}

/// Binds a socket, with an error that says which.
pub(crate) async fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} for {what} cannot be listened on"))
}
