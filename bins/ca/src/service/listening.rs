//! The listeners.

use std::{collections::BTreeSet, sync::Arc};

use axum::Router;
use koshin_edge::{Edge, GreetingVerifier, serve, tls_config_demanding};
use koshin_types::Fingerprint;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::tasks::{stopped, until};
use crate::config::{Identity, Opened};

/// Serves what is for everybody.
pub(super) fn serve_open(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    router: Router,
    edge: &Edge,
    stopping: &watch::Receiver<bool>,
) {
    let serving = serve(listener, None, router, edge.clone(), stopped(stopping.clone()));
    tasks.spawn(async move {
        let _ = serving.await;
    });
}

/// The API's socket, and who gets through its handshake.
pub(super) struct Listening {
    socket: std::net::TcpListener,
    router: Router,
    edge: Edge,
    present: Option<Present>,
}

struct Present {
    identity: Identity,
    pins: BTreeSet<Fingerprint>,
    /// Whoever serves by this stops with it; what is under way is answered.
    _serves: watch::Sender<bool>,
}

impl Listening {
    pub(super) fn new(listener: TcpListener, router: Router, edge: Edge) -> anyhow::Result<Self> {
        Ok(Self { socket: listener.into_std()?, router, edge, present: None })
    }

    /// Serves the API to the clients of a configuration. Where certificate and clients are the same as before, connections
    /// stay; else new ones meet the new certificate, and those that are open end when they have nothing under way.
    /// Without a client there is nobody to serve, and nobody gets through a handshake.
    pub(super) fn serve(
        &mut self,
        tasks: &mut JoinSet<()>,
        opened: &Opened,
        stopping: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let pins: BTreeSet<_> = opened.clients.iter().flat_map(|client| client.certificates.iter().copied()).collect();
        if self.present.as_ref().is_some_and(|it| it.pins == pins && it.identity == opened.identity) {
            return Ok(());
        }
        if pins.is_empty() {
            eprintln!("koshin-ca: no RA client is configured, so nothing can be issued");
            self.present = None;
            return Ok(());
        }
        let identity = opened.identity.copy();
        let verifier = Arc::new(GreetingVerifier::of_clients(pins.iter().copied())?);
        let demanded = verifier.demanded(Arc::clone(&self.edge.now));
        let tls = tls_config_demanding(identity.chain.clone(), identity.key.clone_key(), demanded)?;
        let listener = TcpListener::from_std(self.socket.try_clone()?)?;
        let edge = Edge { verifier: Some(verifier), ..self.edge.clone() };
        let (serves, ends) = watch::channel(false);
        let ended = until(stopping.clone(), stopped(ends));
        let serving = serve(listener, Some(tls), self.router.clone(), edge, ended);
        tasks.spawn(async move {
            let _ = serving.await;
        });
        self.present = Some(Present { identity, pins, _serves: serves });
        Ok(())
    }
}
