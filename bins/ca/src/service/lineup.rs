//! The CAs at work, and whose turn it is.

use std::{
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use koshin_edge::{ClientCertificate, Trust};
use koshin_endpoints::api;
use koshin_operator::clock::remedy;
use time::UtcDateTime;
use tower::ServiceExt as _;

use super::authority::{Authority, Ground};
use crate::{
    clock::Clock,
    config::{Checked, Opened},
    exit::PROGRAM,
};

/// The CAs by one configuration, in the order of their turns.
pub(crate) struct Lineup {
    pub(crate) authorities: Vec<Authority>,
    /// The API of each.
    api: Vec<Router>,
    ocsp: Router,
}

/// The present lineup. Clones are one.
#[derive(Clone)]
pub(crate) struct AtWork {
    lineup: Arc<RwLock<Arc<Lineup>>>,
    bar: Bar,
    clock: Clock,
}

/// From when on nothing is signed, because it is the turn of a CA that could not be taken up.
#[derive(Clone, Default)]
pub(super) struct Bar(Arc<RwLock<Option<(UtcDateTime, String)>>>);

impl Bar {
    pub(super) fn set(&self, bar: Option<(UtcDateTime, String)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn at(&self, now: UtcDateTime) -> Option<String> {
        let bar = self.0.read().unwrap_or_else(PoisonError::into_inner);
        bar.as_ref().filter(|(from, _)| *from <= now).map(|(_, why)| why.clone())
    }
}

/// Why nothing is signed now, if that is so.
fn standstill(clock: &Clock, bar: &Bar) -> Option<String> {
    let now = clock.now();
    let doubt = clock.trusted().err().map(|doubt| remedy(doubt, PROGRAM));
    doubt.or_else(|| bar.at(now))
}

impl Lineup {
    /// Those of a configuration. Of those at work already, everything goes on but what the configuration says of them.
    pub(super) fn new(
        ground: &Ground,
        checked: &Checked,
        opened: &Opened,
        bar: &Bar,
        before: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let known = |stem: &str| before.and_then(|lineup| lineup.authorities.iter().find(|it| it.stem == stem));
        let loaded = opened.authorities.iter().enumerate();
        let authorities = loaded.map(|(at, it)| Authority::new(ground, checked, at, opened, it, known(&it.stem)));
        let authorities: Vec<_> = authorities.collect::<Result<_, _>>()?;
        let api = authorities.iter().map(|authority| of_one(authority, &ground.clock, bar)).collect();
        let ocsp = authorities.iter().fold(Router::new(), |router, authority| {
            router.nest(&format!("/ocsp/{}", authority.stem), authority.ocsp.router())
        });
        Ok(Self { authorities, api, ocsp })
    }

    /// Which of them issues at an instant: the last one whose time has come, the first before any has.
    pub(super) fn turn(&self, now: UtcDateTime) -> usize {
        let has_come = |authority: &Authority| authority.share.span().from.is_none_or(|from| from <= now);
        self.authorities.iter().rposition(has_come).unwrap_or_default()
    }
}

impl AtWork {
    pub(super) fn new(lineup: Lineup, bar: Bar, clock: Clock) -> Self {
        Self { lineup: Arc::new(RwLock::new(Arc::new(lineup))), bar, clock }
    }

    pub(crate) fn lineup(&self) -> Arc<Lineup> {
        Arc::clone(&self.lineup.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, lineup: Lineup) {
        *self.lineup.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lineup);
    }

    /// Lets every CA sign, or none, as clock and turns allow.
    pub(super) fn hold(&self) {
        let why = standstill(&self.clock, &self.bar);
        for authority in &self.lineup().authorities {
            authority.service.hold(why.clone());
        }
    }

    /// Why nothing is signed now, because of a CA that could not be taken up.
    pub(crate) fn barred(&self) -> Option<String> {
        self.bar.at(self.clock.now())
    }

    /// The API: of the CA whose turn it is.
    pub(super) fn api(&self) -> Router {
        let at_work = self.clone();
        let choose = move |request: Request| {
            let lineup = at_work.lineup();
            let router = lineup.api.get(lineup.turn(at_work.clock.now())).cloned().unwrap_or_default();
            async move { answer(router, request).await }
        };
        Router::new().fallback(choose).layer(middleware::from_fn(identify))
    }

    /// The OCSP responders of all.
    pub(super) fn ocsp(&self) -> Router {
        let at_work = self.clone();
        Router::new().fallback(move |request: Request| {
            let router = at_work.lineup().ocsp.clone();
            async move { answer(router, request).await }
        })
    }
}

/// The API of one CA.
fn of_one(authority: &Authority, clock: &Clock, bar: &Bar) -> Router {
    let (clock, bar, share) = (clock.clone(), bar.clone(), Arc::clone(&authority.share));
    let service = Arc::clone(&authority.service);
    let now = move || {
        if let Some(why) = standstill(&clock, &bar) {
            service.hold(Some(why));
        }
        share.span().clamp(clock.now())
    };
    api::router(Arc::clone(&authority.service), Arc::new(now))
}

async fn answer(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => absurd(never),
    }
}

const fn absurd(never: Infallible) -> Response {
    match never {}
}

/// Hands over the certificate that the edge has judged at this very request, if it holds.
async fn identify(mut request: Request, next: Next) -> Response {
    let shown = request.extensions().get::<ClientCertificate>().and_then(ClientCertificate::peer);
    if let Some(peer) = shown.filter(|peer| peer.trust == Trust::Verified) {
        let certificate = api::ClientCertificate(peer.leaf_der.clone());
        request.extensions_mut().insert(certificate);
    }
    next.run(request).await
}
