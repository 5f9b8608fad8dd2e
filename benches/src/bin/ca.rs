//! What a `koshin-ca` costs, beside programs that Debian packages and that do the same jobs: issuing over mutual TLS
//! into a durable ledger, OCSP prepared and signed per answer, start, memory.
//!
//! ```text
//! cargo build --release -p koshin-ca && cargo run --release -p koshin-benches --bin ca
//! cargo run --release -p koshin-benches --bin ca -- issue           # or ocsp, start
//! cargo build -p koshin-ca && cargo run -p koshin-benches --bin ca -- --test   # seconds; says only that it works
//! ```
//!
//! A peer that is not installed is left out, and said so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use koshin_benches::{
    floor::Floor,
    koshin_ca::{self, Installation},
    load::{self, Connections, Endpoint, Reply, Shot},
    measure::{self, Disk},
    peers::{self, CfsslFiles, Kept, Peer},
    place, rim, stage,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    stage::main("ca", |arguments| {
        let whole = Scale { orders: 4000, answers: 40_000, patience: Duration::from_secs(15), restarts: 10 };
        let small = Scale { orders: 8, answers: 16, patience: Duration::ZERO, restarts: 1 };
        match arguments {
            [] => Bench::new(whole)?.run(&["issue", "ocsp", "start"]),
            ["--test"] => Bench::new(small)?.run(&["issue", "ocsp", "start"]),
            parts if parts.iter().all(|part| ["issue", "ocsp", "start"].contains(part)) => {
                Bench::new(whole)?.run(parts)
            }
            other => Err(anyhow::anyhow!("usage: ca [--test | issue | ocsp | start], not {other:?}")),
        }
    })
}

/// How much is done.
struct Scale {
    orders: usize,
    answers: usize,
    patience: Duration,
    restarts: usize,
}

struct Bench {
    scale: Scale,
    program: PathBuf,
    folder: TempDir,
    /// For the load: one thread, on its core.
    runtime: Runtime,
    core: Option<&'static str>,
}

/// An answer that a good CA gives.
fn done(reply: &Reply) -> bool {
    reply.status == StatusCode::OK && !reply.body.is_empty()
}

/// An OCSP answer about a certificate: status successful, and a signature.
fn answered(reply: &Reply) -> bool {
    done(reply) && reply.body.len() > 100 && reply.body.windows(3).any(|three| three == [0x0a, 1, 0])
}

impl Bench {
    fn new(scale: Scale) -> anyhow::Result<Self> {
        let cores = measure::cores();
        if let Some((_, core)) = cores {
            measure::pin_self(core)?;
        }
        let program = std::env::current_exe()?.with_file_name("koshin-ca");
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { scale, program, folder: place::folder()?, runtime, core: cores.map(|(core, _)| core) })
    }

    fn run(&self, parts: &[&str]) -> anyhow::Result<()> {
        let installation = Installation::make(&self.program, self.folder.path())?;
        for part in parts {
            println!("## {part}: {}", measure::quiet(self.scale.patience)?);
            match *part {
                "issue" => self.issue(&installation)?,
                "ocsp" => self.ocsp(&installation)?,
                _ => self.start(&installation)?,
            }
        }
        Ok(())
    }

    /// One load on one program.
    fn round(
        &self,
        name: &str,
        peer: &Peer,
        endpoint: &Endpoint,
        connections: Connections,
        shots: &[Shot],
        sound: fn(&Reply) -> bool,
    ) -> anyhow::Result<f64> {
        let before = peer.used()?;
        let (mut latencies, wall) = self.runtime.block_on(load::fire(endpoint, connections, shots, sound))?;
        let cpu = peer.used()?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = shots.len() as f64;
        let each = cpu.as_secs_f64() * 1e6 / count;
        println!(
            "{name}, {connections:?}: {:.0}/s, CPU {each:.1} us each, p50 {:.2} ms, p99 {:.2} ms, {:.1} MiB",
            count / wall.as_secs_f64(),
            latencies.millis(500),
            latencies.millis(990),
            peer.resident()?,
        );
        Ok(each)
    }

    fn issue(&self, installation: &Installation) -> anyhow::Result<()> {
        use Connections::{Kept as Again, New};
        let floor = Floor::new()?.micros(2000)?;
        println!("floor: {floor:.1} us (one P-256 verification, one signature)");
        let running = installation.serve(self.core)?;
        let api = installation.api(running.peer.port)?;
        for connections in [Again(1), Again(16), Again(64), New(16)] {
            let count = if connections == Again(1) { self.scale.orders / 4 } else { self.scale.orders };
            let orders = koshin_ca::orders(count, rim::now())?;
            let disk = Disk::measure(self.folder.path(), Duration::from_millis(300))?;
            let each = self.round("koshin-ca", &running.peer, &api, connections, &orders, done)?;
            println!("    {:.1} x the floor; {disk}", each / floor);
        }
        drop(running);
        if !peers::is_there("cfssl") {
            println!("cfssl is not installed (golang-cfssl): left out");
            return Ok(());
        }
        for (name, kept) in [("cfssl, nothing stored", Kept::Nothing), ("cfssl, SQLite", Kept::Sqlite)] {
            if kept == Kept::Sqlite && !peers::is_there("sqlite3") {
                println!("sqlite3 is not installed: {name} left out");
                continue;
            }
            let folder = self.folder.path().join(if kept == Kept::Sqlite { "cfssl-sqlite" } else { "cfssl" });
            fs::create_dir(&folder)?;
            let [ca, ca_key, tls, tls_key, client] =
                ["ca/issuing.pem", "ca/issuing.key", "tls/api.pem", "tls/api.key", "clients/portal.pem"]
                    .map(|name| installation.file(name));
            let files = CfsslFiles { ca: [&ca, &ca_key], tls: [&tls, &tls_key], clients: &client };
            let peer = peers::cfssl(&folder, &files, kept, self.core)?;
            let endpoint = installation.api(peer.port)?;
            let count = if kept == Kept::Sqlite { self.scale.orders / 4 } else { self.scale.orders };
            let requests = cfssl_requests(count)?;
            for connections in [Again(16), New(16)] {
                let sound = |reply: &Reply| done(reply) && reply.body.windows(14).any(|w| w == b"\"success\":true");
                self.round(name, &peer, &endpoint, connections, &requests, sound)?;
            }
        }
        Ok(())
    }

    fn ocsp(&self, installation: &Installation) -> anyhow::Result<()> {
        let running = installation.serve(self.core)?;
        let api = installation.api(running.peer.port)?;
        let [order] = <[Shot; 1]>::try_from(koshin_ca::orders(1, rim::now())?).map_err(|_| anyhow::anyhow!("one"))?;
        let issued = self.runtime.block_on(async { api.connect().await?.send(&order).await })?;
        let subject = self.folder.path().join("subject.pem");
        fs::write(&subject, koshin_issuance::pem("CERTIFICATE", &koshin_ca::certificate(&issued.body)?))?;
        let ca = installation.file("ca/issuing.pem");
        let plain = self.request(&ca, &subject, &["-no_nonce"])?;
        let endpoint = Endpoint::plain(running.publication);
        let path = "/ocsp/issuing";
        // The responder's certificate is there a moment after the start.
        let first = Shot::post(path, OCSP, plain.clone());
        let mut answer = self.runtime.block_on(one(&endpoint, &first))?;
        for _ in 0..100 {
            if answered(&answer) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
            answer = self.runtime.block_on(one(&endpoint, &first))?;
        }
        ensure!(answered(&answer), "koshin-ca gives no OCSP answer: {}", answer.status);
        let prepared = vec![first; self.scale.answers];
        self.round("koshin-ca, prepared, POST", &running.peer, &endpoint, Connections::Kept(32), &prepared, answered)?;
        let text = STANDARD.encode(&plain).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let get = vec![Shot::get(&format!("{path}/{text}")); self.scale.answers];
        self.round("koshin-ca, prepared, GET", &running.peer, &endpoint, Connections::Kept(32), &get, answered)?;
        let live: Vec<_> = (0..8)
            .map(|_| self.request(&ca, &subject, &["-nonce"]).map(|body| Shot::post(path, OCSP, body)))
            .collect::<Result<_, _>>()?;
        let live: Vec<_> = live.into_iter().cycle().take(self.scale.answers / 4).collect();
        self.round("koshin-ca, nonce: signed each", &running.peer, &endpoint, Connections::Kept(32), &live, answered)?;
        drop(running);
        self.ocsp_peers(installation, &subject, &answer.body, &plain, &live)
    }

    fn ocsp_peers(
        &self,
        installation: &Installation,
        subject: &Path,
        answer: &[u8],
        plain: &[u8],
        live: &[Shot],
    ) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let post = vec![Shot::post("/", OCSP, plain.to_vec()); self.scale.answers];
        if peers::is_there("nginx") {
            let files = folder.join("static");
            fs::create_dir(&files)?;
            fs::write(files.join("answer"), answer)?;
            let peer = peers::nginx(folder, &files, self.core)?;
            let get = vec![Shot::get("/answer"); self.scale.answers];
            let endpoint = Endpoint::plain(peer.port);
            self.round("nginx, a static file", &peer, &endpoint, Connections::Kept(32), &get, done)?;
        } else {
            println!("nginx is not installed: left out");
        }
        if peers::is_there("cfssl") {
            let answers = folder.join("answers");
            fs::write(&answers, format!("{}\n---\n", STANDARD.encode(answer)))?;
            let peer = peers::cfssl_ocsp(folder, &answers, self.core)?;
            let endpoint = Endpoint::plain(peer.port);
            self.round("cfssl ocspserve, prepared", &peer, &endpoint, Connections::Kept(32), &post, answered)?;
        } else {
            println!("cfssl is not installed (golang-cfssl): left out");
        }
        let index = folder.join("index.txt");
        fs::write(&index, index_line(subject)?)?;
        let (ca, key) = (installation.file("ca/issuing.pem"), installation.file("ca/issuing.key"));
        let peer = peers::openssl_ocsp(folder, &index, &ca, [&ca, &key], self.core)?;
        let some: Vec<_> = live.iter().take((self.scale.answers / 16).max(8)).cloned().collect();
        let endpoint = Endpoint::plain(peer.port);
        // It serves one connection after another and closes each.
        let some: Vec<_> = some.into_iter().map(|shot| Shot { path: "/".into(), ..shot }).collect();
        self.round("openssl ocsp, signed each", &peer, &endpoint, Connections::New(8), &some, answered)?;
        Ok(())
    }

    fn start(&self, installation: &Installation) -> anyhow::Result<()> {
        for _ in 0..self.scale.restarts {
            let running = installation.serve(self.core)?;
            std::thread::sleep(Duration::from_secs(1));
            println!(
                "koshin-ca: first connection after {:.1} ms, idle {:.1} MiB",
                running.peer.accepted_after.as_secs_f64() * 1e3,
                running.peer.resident()?
            );
        }
        let running = installation.serve(self.core)?;
        let api = installation.api(running.peer.port)?;
        let orders = koshin_ca::orders(self.scale.orders / 4, rim::now())?;
        self.round("koshin-ca", &running.peer, &api, Connections::Kept(64), &orders, done)?;
        Ok(())
    }

    /// An OCSP request as openssl makes it, DER.
    fn request(&self, ca: &Path, subject: &Path, flags: &[&str]) -> anyhow::Result<Vec<u8>> {
        let file = self.folder.path().join("request.der");
        let mut command = Command::new("openssl");
        command.arg("ocsp").args(flags).arg("-issuer").arg(ca).arg("-cert").arg(subject).arg("-reqout").arg(&file);
        peers::run(&mut command)?;
        Ok(fs::read(file)?)
    }
}

const OCSP: &str = "application/ocsp-request";

async fn one(endpoint: &Endpoint, shot: &Shot) -> anyhow::Result<Reply> {
    endpoint.connect().await?.send(shot).await
}

fn cfssl_requests(count: usize) -> anyhow::Result<Vec<Shot>> {
    let request = |_| {
        let der = koshin_benches::town::ClientKey::new()?.request;
        let pem = koshin_issuance::pem("CERTIFICATE REQUEST", &der);
        let body = serde_json::json!({ "certificate_request": pem });
        Ok(Shot::post("/api/v1/cfssl/sign", "application/json", body.to_string()))
    };
    (0..count).map(request).collect()
}

/// A certificate's line in openssl's database: valid until 2049.
fn index_line(certificate: &Path) -> anyhow::Result<String> {
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-serial", "-in"]).arg(certificate);
    let said = String::from_utf8(peers::run(&mut command)?)?;
    let serial = said.trim().strip_prefix("serial=").context("openssl says no serial number")?;
    Ok(format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=bench\n"))
}
