//! The running CA: the API for RA clients, what is published for everybody, and what has to be done by time alone.

use std::{convert::Infallible, mem, sync::Arc, time::Duration as Wait};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use koshin_edge::{ClientCertificate, Edge, GreetingVerifier, Trust, serve, tls_config_demanding};
use koshin_endpoints::{
    OcspService, OcspSettings, Place, Publication, Publisher, Readings, ResponderKeeper, ResponderSettings, api,
    ca::{CaParts, CaService, ChangeKind, Client, Ledger as _, Signing},
};
use koshin_operator::machine;
use koshin_sqlite::{LedgerStore, Standing};
use time::UtcDateTime;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::Instant};
use tower::ServiceExt as _;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS,
    prelude::{FromDer as _, X509Certificate},
};

use crate::{
    clock::Clock,
    config::{Checked, Identity, Loaded, Opened},
    health::{Health, Watched},
    share::{Share, Span},
};

/// How often other processes' revocations are looked for.
const CHANGES_EVERY: Wait = Wait::from_millis(200);
/// How often a list that another process published, and that could not be shown, is looked for again.
const LOOK_AGAIN: Wait = Wait::from_secs(10);
/// How often clock and ledger compare notes.
const NOTES_EVERY: Wait = Wait::from_secs(1);
/// How often what a crash or a missing key left unsigned is tried again.
const FINISH_EVERY: Wait = Wait::from_secs(2);
/// After how many rounds a doubt that remains is logged again: ten minutes.
const SAY_AGAIN: u32 = 600;

/// Everything the service is made of. Each field is a choice that the caller names.
pub(crate) struct Parts {
    pub(crate) checked: Checked,
    pub(crate) opened: Opened,
    pub(crate) store: LedgerStore,
    pub(crate) clock: Clock,
    pub(crate) api: TcpListener,
    pub(crate) publication: TcpListener,
}

/// One of the CAs at work.
pub(crate) struct Authority {
    pub(crate) stem: String,
    pub(crate) key: Arc<Watched>,
    pub(crate) service: Arc<CaService>,
    pub(crate) publisher: Publisher,
    span: Span,
    ocsp: OcspService,
}

impl Parts {
    /// Serves until `shutdown` is ready; then ends connections in order and returns. `ready` is called once everything
    /// answers.
    pub(crate) async fn serve(self, ready: impl FnOnce(), shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { checked, opened, store, clock, api, publication } = self;
        let files = Publication::new(clock.function());
        let lists = checked.path(&checked.config.storage.lists);
        make_lists_folder(&lists)?;
        let mut authorities = Vec::new();
        for (at, loaded) in opened.authorities.iter().enumerate() {
            authorities.push(authority(&checked, at, loaded, &opened, &store, &clock, &files)?);
        }
        let authorities: Arc<[Authority]> = authorities.into();
        // Before anything is published, so that what is revoked meanwhile is noticed too.
        let seen = store.changes(u64::MAX, 0).await?.head;
        let behind = is_behind(&store).await;
        for authority in authorities.iter() {
            authority.publisher.resume().await?;
        }
        hold_by_clock(&authorities, &clock);

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let edge = Edge::new(clock.function());
        serve_publication(&mut tasks, publication, &files, &store, &clock, &authorities, &edge, &stopping);
        serve_api(&mut tasks, api, opened.identity, &opened.clients, &authorities, &clock, edge, &stopping)?;
        keep_published(&mut tasks, &authorities, &opened.authorities, &store, &clock, &stopping);
        let (ours, watched) = (Arc::clone(&authorities), store.clone());
        tasks.spawn(until(stopping.clone(), async move { watch_changes(watched, &ours, seen, behind).await }));
        let (ours, notes) = (Arc::clone(&authorities), clock.clone());
        tasks.spawn(until(stopping.clone(), async move { keep_clock(notes, &ours).await }));
        tasks.spawn(until(stopping, async move { finish(clock, &authorities).await }));
        ready();
        shutdown.await;
        stop.send_replace(true);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

fn make_lists_folder(folder: &std::path::Path) -> anyhow::Result<()> {
    use anyhow::Context as _;
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// Puts one CA together.
fn authority(
    checked: &Checked,
    at: usize,
    loaded: &Loaded,
    Opened { authorities, gate, clients, .. }: &Opened,
    store: &LedgerStore,
    clock: &Clock,
    files: &Publication,
) -> anyhow::Result<Authority> {
    let span = checked.span(at);
    let share = Arc::new(Share::new(store.clone(), span));
    let key = Arc::new(Watched::new(Arc::clone(&loaded.signer)));
    let table = checked.config.authorities.get(at);
    let service = CaService::new(CaParts {
        certificate: loaded.ca.certificate_der().to_vec(),
        chain: loaded.ca.chain_der().to_vec(),
        signer: key.clone(),
        signing: if loaded.in_token { Signing::token() } else { Signing::Inline },
        random: machine::random(),
        gate: gate.clone(),
        ledger: share.clone(),
        profiles: table.map(|table| checked.profiles(table)).transpose()?.unwrap_or_default(),
        clients: clients.clone(),
    })?;
    let others = authorities.iter().enumerate().filter(|(other, _)| *other != at);
    let service = Arc::new(service.beside(others.map(|(_, other)| other.chain()).collect()));
    files.certificate(&format!("{}.cer", loaded.stem), service.ca().certificate_der().to_vec());
    if let Some(root) = service.ca().chain_der().last() {
        files.certificate(&format!("{}-root.cer", loaded.stem), root.clone());
    }
    // Where the certificates themselves say that the next one above is.
    let below =
        std::iter::once(service.ca().certificate_der()).chain(service.ca().chain_der().iter().map(Vec::as_slice));
    for (certificate, above) in below.zip(service.ca().chain_der()) {
        if let Some(name) = issuer_file(certificate, &checked.config.publication.url) {
            files.certificate(&name, above.clone());
        }
    }
    let place = Place::new(checked.path(&checked.config.storage.lists), &loaded.list());
    let publisher =
        Publisher::new(Arc::clone(service.ca()), share.clone(), files.clone(), place, checked.crl_settings());
    let ocsp = OcspService::new(share, clock.function(), OcspSettings::default());
    Ok(Authority { stem: loaded.stem.clone(), key, service, publisher, span, ocsp })
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

#[expect(clippy::too_many_arguments, reason = "each is a part that the caller names")]
fn serve_publication(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    files: &Publication,
    store: &LedgerStore,
    clock: &Clock,
    authorities: &Arc<[Authority]>,
    edge: &Edge,
    stopping: &watch::Receiver<bool>,
) {
    let health = Health { store: store.clone(), clock: clock.clone(), authorities: Arc::clone(authorities) };
    let mut router = files.router().merge(health.router());
    for authority in authorities.iter() {
        router = router.nest(&format!("/ocsp/{}", authority.stem), authority.ocsp.router());
    }
    let serving = serve(listener, None, router, edge.clone(), stopped(stopping.clone()));
    tasks.spawn(async move {
        let _ = serving.await;
    });
}

/// The API. Without a client there is nobody to serve, and nobody gets through a handshake.
#[expect(clippy::too_many_arguments, reason = "each is a part that the caller names")]
fn serve_api(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    identity: Identity,
    clients: &[Client],
    authorities: &Arc<[Authority]>,
    clock: &Clock,
    edge: Edge,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let pins: Vec<_> = clients.iter().flat_map(|client| client.certificates.iter().copied()).collect();
    if pins.is_empty() {
        eprintln!("koshin-ca: no RA client is configured, so nothing can be issued");
        return Ok(());
    }
    let verifier = Arc::new(GreetingVerifier::of_clients(pins)?);
    let tls = tls_config_demanding(identity.chain, identity.key, verifier.demanded(Arc::clone(&edge.now)))?;
    let edge = Edge { verifier: Some(verifier), ..edge };
    let router = api_router(authorities, clock);
    let serving = serve(listener, Some(tls), router, edge, stopped(stopping.clone()));
    tasks.spawn(async move {
        let _ = serving.await;
    });
    Ok(())
}

/// One router for each CA, and before them the choice whose turn it is.
fn api_router(authorities: &Arc<[Authority]>, clock: &Clock) -> Router {
    let routers: Vec<(Span, Router)> = authorities
        .iter()
        .map(|authority| {
            let (clock, span, all) = (clock.clone(), authority.span, Arc::clone(authorities));
            let now = move || {
                hold_by_clock(&all, &clock);
                span.clamp(clock.now())
            };
            (authority.span, api::router(Arc::clone(&authority.service), Arc::new(now)))
        })
        .collect();
    let (clock, routers) = (clock.clone(), Arc::new(routers));
    let choose = move |request: Request| {
        let now = clock.now();
        let turn = routers.iter().rfind(|(span, _)| span.from.is_none_or(|from| from <= now)).or(routers.first());
        let router = turn.map(|(_, router)| router.clone()).unwrap_or_default();
        async move {
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => absurd(never),
            }
        }
    };
    Router::new().fallback(choose).layer(middleware::from_fn(identify))
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

/// While the clock is in doubt nothing is signed.
fn hold_by_clock(authorities: &[Authority], clock: &Clock) {
    if let Err(doubt) = clock.trusted() {
        for authority in authorities {
            authority.service.hold(Some(format!("{doubt}; if it is right, `koshin-ca clock confirm`")));
        }
    }
}

/// Revocation lists and responders' certificates, made in time.
fn keep_published(
    tasks: &mut JoinSet<()>,
    authorities: &Arc<[Authority]>,
    loaded: &[Loaded],
    store: &LedgerStore,
    clock: &Clock,
    stopping: &watch::Receiver<bool>,
) {
    for authority in authorities.iter() {
        let readings = || {
            let clock = clock.clone();
            Readings::new(move || clock.reading())
        };
        tasks.spawn(authority.publisher.clone().keep(readings(), stopped(stopping.clone())));
        let keeper = ResponderKeeper::new(
            authority.ocsp.clone(),
            Arc::clone(authority.service.ca()),
            Arc::new(store.clone()),
            machine::random(),
            ResponderSettings::default(),
        );
        tasks.spawn(keeper.keep(readings(), stopped(stopping.clone())));
    }
    debug_assert_eq!(authorities.len(), loaded.len());
}

/// Publishes anew what any process revoked, and shows the list that another process published.
async fn watch_changes(store: LedgerStore, authorities: &[Authority], mut seen: u64, mut behind: bool) {
    use koshin_endpoints::RevocationSource as _;
    let mut sought = Sought::default();
    loop {
        tokio::time::sleep(CHANGES_EVERY).await;
        match store.changes(seen, 1000).await {
            Ok(page) => {
                seen = page.changes.last().map_or(seen, |last| last.sequence);
                // What is found again after a restore is no change of anybody's certificate here.
                let reconciled = mem::replace(&mut behind, is_behind(&store).await) && !behind;
                let revoked = page.changes.iter().any(|change| !matches!(change.kind, ChangeKind::Issued));
                if revoked || reconciled {
                    for authority in authorities {
                        authority.publisher.revoked();
                        authority.ocsp.forget();
                    }
                }
            }
            Err(error) => tracing::error!(error = ?error, "changes of the ledger cannot be read"),
        }
        let Ok(editions) = store.editions().await else { continue };
        let number = |authority: &Authority| authority.publisher.standing(UtcDateTime::MIN).edition.map(|it| it.number);
        let shown = authorities.iter().filter_map(number).max();
        let newer = editions.published.map(|published| published.number).filter(|number| Some(*number) > shown);
        if newer.is_some_and(|number| sought.is_due(number, Instant::now())) {
            for authority in authorities {
                if let Err(error) = authority.publisher.resume().await {
                    tracing::error!(error = ?error, "a revocation list of another process cannot be shown");
                }
            }
        }
    }
}

/// The list of another process that was looked for last. While its file is not there, looking reads a whole list in vain.
#[derive(Debug, Default)]
struct Sought(Option<(u64, Instant)>);

impl Sought {
    /// Whether to look for the list of this number now. If so, it is taken as looked for.
    fn is_due(&mut self, number: u64, now: Instant) -> bool {
        let waits = self.0.is_some_and(|(last, at)| last == number && now.duration_since(at) < LOOK_AGAIN);
        if !waits {
            self.0 = Some((number, now));
        }
        !waits
    }
}

/// Whether the ledger is to be reconciled first.
async fn is_behind(store: &LedgerStore) -> bool {
    matches!(store.standing().await, Ok(Standing::Behind(_)))
}

/// Keeps clock and ledger together, and lets the CA sign again when the clock is believed again.
async fn keep_clock(clock: Clock, authorities: &[Authority]) {
    let mut rounds_in_doubt = 0_u32;
    loop {
        match clock.keep().await {
            Ok(Some(confirmed)) => {
                for authority in authorities {
                    if let Err(error) = authority.service.confirm_clock(confirmed).await {
                        tracing::error!(error = ?error, "the ledger cannot be asked for the recorded time");
                    }
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(error = ?error, "the time cannot be recorded"),
        }
        if let Err(doubt) = clock.trusted() {
            hold_by_clock(authorities, &clock);
            if rounds_in_doubt.is_multiple_of(SAY_AGAIN) {
                tracing::error!(
                    code = "clock_doubted",
                    "{doubt}: nothing is signed; set the clock right, and if it is right run `koshin-ca clock confirm`"
                );
            }
            rounds_in_doubt = rounds_in_doubt.wrapping_add(1);
        } else {
            if rounds_in_doubt > 0 {
                tracing::warn!("the clock is believed again; everything goes on");
                rounds_in_doubt = 0;
            }
            // Also when a doubt came and went between two rounds.
            for authority in authorities {
                authority.service.hold(None);
            }
        }
        tokio::time::sleep(NOTES_EVERY).await;
    }
}

/// Signs what a crash, or a key that was away, left recorded and unsigned.
async fn finish(clock: Clock, authorities: &[Authority]) {
    loop {
        if clock.trusted().is_ok() {
            for authority in authorities {
                let now = authority.span.clamp(clock.now());
                match authority.service.finish_unfinished(now).await {
                    Ok(finished) => {
                        for serial in &finished.issued {
                            tracing::warn!(%serial, "what was recorded before is signed now");
                        }
                        for (serial, why) in &finished.abandoned {
                            tracing::error!(code = "abandoned", %serial, %why, "what was recorded can never be signed");
                        }
                        if let Some(stopped) = &finished.stopped {
                            tracing::warn!(why = %stopped, "what was recorded is not signed yet; it is tried again");
                        }
                    }
                    Err(error) => tracing::error!(error = ?error, "the ledger cannot be asked what is unfinished"),
                }
            }
        }
        tokio::time::sleep(FINISH_EVERY).await;
    }
}

/// Waits until the service is to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn until(stopping: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stopped(stopping) => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_list_is_looked_for_every_ten_seconds_and_a_newer_one_at_once() {
        let (mut sought, start) = (Sought::default(), Instant::now());
        let after = |milliseconds| start + Wait::from_millis(milliseconds);
        let rounds = [(0, 7, true), (200, 7, false), (9_999, 7, false), (10_000, 7, true), (10_200, 7, false)];
        for (milliseconds, number, due) in rounds.into_iter().chain([(10_400, 8, true), (10_600, 8, false)]) {
            assert_eq!(sought.is_due(number, after(milliseconds)), due, "{number} after {milliseconds} ms");
        }
    }
}
