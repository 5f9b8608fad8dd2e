//! Logins with mutual TLS against a portal in a process of its own: a full handshake, the login page with the ledger's
//! answer about the certificate, close. Beside it the bare handshake in memory, in the same run.
//!
//! ```text
//! cargo run --release -p koshin-benches --bin logins
//! cargo run -p koshin-benches --bin logins -- --test                # seconds; says only that it works
//! ```
//!
//! "First" are certificates that the portal has not seen since its start, "again" the same ones a second time, when it
//! remembers that their path is sound.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use koshin_benches::{
    authority, handshake,
    measure::{self, Latencies},
    rim,
    server::{self, Server},
    service::Tls,
    stage::{self, Stage},
};
use koshin_edge::ClientCertificate;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

fn main() -> ExitCode {
    stage::main("logins", |arguments| match arguments {
        [] => load(1000, 2, Duration::from_secs(15)),
        ["--test"] => load(8, 1, Duration::ZERO),
        ["serve", folder] => server::serve(Path::new(folder)),
        other => Err(anyhow::anyhow!("usage: logins [--test], not {other:?}")),
    })
}

fn load(people: usize, rounds: usize, patience: Duration) -> anyhow::Result<()> {
    eprintln!("{people} people enrol, a year ago ...");
    let (stage, residents) = Stage::set(async |town| town.settle(people, rim::now()).await)?;
    for _ in 0..rounds {
        // A new process has seen nobody yet.
        let server = stage.server()?;
        let browsers = residents.iter().map(|one| server.portal.browser(one)).collect::<anyhow::Result<Vec<_>>>()?;
        let quiet = measure::quiet(patience)?;
        let bare = bare(stage.folder.path(), &browsers)?;
        println!("in memory, server's side: {:.0} us (rustls's verifier), {quiet}", bare.rustls);
        println!("in memory, server's side: {:.0} us first, {:.0} us again (the portal's)", bare.first, bare.again);
        for name in ["first", "again"] {
            let before = server.used()?;
            let start = Instant::now();
            let mut latencies = stage.runtime.block_on(logins(&server, &browsers))?;
            let (wall, cpu) = (start.elapsed(), server.used()?.saturating_sub(before));
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let count = browsers.len() as f64;
            let each = cpu.as_secs_f64() * 1e6 / count;
            println!(
                "logins {name}: {:.0}/s, CPU {each:.0} us each = {:.0} per core-second, {:.2} of the handshake in memory \
                 ({:.2} of the same certificates'), p50 {:.2} ms, p99 {:.2} ms",
                count / wall.as_secs_f64(),
                1e6 / each,
                bare.rustls / each,
                if name == "first" { bare.first / each } else { bare.again / each },
                latencies.millis(500),
                latencies.millis(990),
            );
        }
    }
    Ok(())
}

/// Everybody opens the login page over a connection of its own, sixteen at a time.
async fn logins(server: &Server, browsers: &[Arc<ClientConfig>]) -> anyhow::Result<Latencies> {
    let logins = stream::iter(browsers).map(|browser| async move {
        let start = Instant::now();
        let mut connection = server.portal.connect(Arc::clone(browser)).await?;
        let page = connection.get("/", None).await?;
        ensure!(page.body.len() > 1000, "the login page is empty");
        connection.close().await;
        anyhow::Ok(start.elapsed())
    });
    let mut latencies = Latencies::default();
    for took in logins.buffer_unordered(16).try_collect::<Vec<_>>().await? {
        latencies.push(took);
    }
    Ok(latencies)
}

/// Microseconds of the server's side of a handshake in memory.
struct Bare {
    /// With the verifier that comes with rustls, the issuing CA as its anchor.
    rustls: f64,
    /// With the portal's, the path found sound for the first time.
    first: f64,
    /// With the portal's, the path remembered.
    again: f64,
}

fn bare(folder: &Path, browsers: &[Arc<ClientConfig>]) -> anyhow::Result<Bare> {
    let authorities = authority::load(folder)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut anchors = RootCertStore::empty();
    anchors.add(authorities.ca.certificate_der().to_vec().into())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), Arc::clone(&provider)).build()?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut plain = builder
        .with_client_cert_verifier(verifier)
        .with_single_cert(authorities.chain.clone(), authorities.key.clone_key())?;
    plain.session_storage = Arc::new(NoServerSessionStorage {});
    plain.send_tls13_tickets = 0;
    plain.alpn_protocols = vec![b"http/1.1".to_vec()];
    let plain = Arc::new(plain);
    let portal = Tls::new(&authorities)?;
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    let [rustls, first, again] = &mut times;
    for browser in browsers {
        rustls.push(handshake::in_memory(&plain, browser)?.0);
        for times in [&mut *first, &mut *again] {
            let (spent, session) = handshake::in_memory(&portal.config, browser)?;
            let start = Instant::now();
            let judged = portal.verifier.judge(session.peer_certificates().unwrap_or_default(), rim::now());
            times.push(spent + start.elapsed());
            ensure!(matches!(judged, ClientCertificate::Presented(_)), "the certificate is not judged");
        }
    }
    let [rustls, first, again] = times.map(median);
    Ok(Bare { rustls, first, again })
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
