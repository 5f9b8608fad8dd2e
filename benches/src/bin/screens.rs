//! Every screen of the portal and every step between two of them, asked for by 500 people over connections that are kept
//! open: mutual TLS on the portal and on the host that proves a new certificate, plain TLS where people enrol.
//!
//! ```text
//! cargo run --release -p koshin-benches --bin screens
//! cargo run -p koshin-benches --bin screens -- --test               # seconds; says only that it works
//! ```
//!
//! Everybody goes the same way, screen by screen, first one at a time, then sixteen. The time of one is from the first
//! octet of the request to the last of the answer, as the browser sees it: the server's, and the loopback's, without any
//! handshake. Sixteen at a time keep the server's core busy all the time, so that most of what they see is each other. Whatever
//! checks a password or a one-time code (Argon2id) is left out: sign-in and the proof were done before.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use koshin_benches::{
    client::{Answer, Connection, Sent, Target},
    measure::{self, Latencies},
    rim,
    server::{self, Server},
    stage::{self, Stage},
    town::{Newcomer, Resident},
};
use rustls::ClientConfig;

/// What somebody does on a screen.
#[derive(Clone, Copy)]
enum Act {
    /// Opens a page without a session, again and again.
    Arrive,
    /// Opens a page while the one-time code is on its way, again and again.
    Wait,
    /// Opens a page, again and again.
    Open,
    /// Submits a form, once.
    Submit(&'static str),
    /// Lets the page's script submit one.
    Script,
    /// Lets the page's script send the request for a certificate.
    Request,
}

/// One screen: its name, its path (`~` is the renewal's place), what is done, and the status that answers it.
struct Screen(&'static str, &'static str, Act, u16);

/// From the login page to the end of a renewal.
const PORTAL: &[Screen] = &[
    Screen("login page", "/", Act::Arrive, 200),
    Screen("doctor", "/doctor", Act::Open, 200),
    Screen("notice", "/notice", Act::Open, 200),
    Screen("later", "/notice/later", Act::Submit(""), 303),
    Screen("main", "/main", Act::Open, 200),
    Screen("renew now", "/renewals", Act::Submit(""), 303),
    Screen("preparation", "~", Act::Open, 200),
    Screen("start", "~/start", Act::Open, 200),
    Screen("no", "~/declined", Act::Submit("step=1"), 200),
    Screen("request", "~/request", Act::Request, 200),
    Screen("certificate again", "~/certificate", Act::Open, 200),
    Screen("start again", "~/start-again", Act::Open, 200),
    Screen("main, waiting", "/main", Act::Open, 200),
    Screen("delivered", "~/delivered", Act::Script, 204),
    Screen("completion", "~/complete", Act::Open, 200),
    Screen("status", "~/status", Act::Open, 200),
    Screen("logout", "/logout", Act::Submit(""), 200),
    Screen("no such page", "/nowhere", Act::Open, 404),
];

/// With the new certificate.
const ACTIVATE: &[Screen] = &[
    Screen("new certificate seen", "/", Act::Open, 200),
    Screen("activation", "/activate", Act::Submit(""), 200),
    Screen("in use", "/", Act::Open, 200),
];

/// An enrolment.
const PUBLIC: &[Screen] = &[
    Screen("enrolment home", "/", Act::Open, 200),
    Screen("enrolment ID", "/enrol", Act::Open, 200),
    Screen("enrolment code", "/enrol/code", Act::Wait, 200),
    Screen("enrolment preparation", "~", Act::Open, 200),
    Screen("enrolment start", "~/start", Act::Open, 200),
    Screen("enrolment request", "~/request", Act::Request, 200),
    Screen("enrolment delivered", "~/delivered", Act::Script, 204),
    Screen("enrolment completion", "~/complete", Act::Open, 200),
    Screen("enrolment logout", "/logout", Act::Submit(""), 200),
];

/// How long a run is.
#[derive(Clone, Copy)]
struct Extent {
    people: usize,
    /// How often everybody opens each page.
    again: usize,
    /// How long to wait for a quiet machine before a round.
    patience: Duration,
}

fn main() -> ExitCode {
    stage::main("screens", |arguments| match arguments {
        [] => load(Extent { people: 500, again: 4, patience: Duration::from_secs(15) }),
        ["--test"] => load(Extent { people: 2, again: 2, patience: Duration::ZERO }),
        ["serve", folder] => server::serve(Path::new(folder)),
        other => Err(anyhow::anyhow!("usage: screens [--test], not {other:?}")),
    })
}

fn load(extent: Extent) -> anyhow::Result<()> {
    let Extent { people, patience, .. } = extent;
    eprintln!("twice {people} people enrol, a year ago, and as many come half the way ...");
    let (stage, (mut residents, mut newcomers)) = Stage::set(async |town| {
        let residents = town.settle(2 * people, rim::now()).await?;
        anyhow::Ok((residents, town.welcome(2 * people, rim::now()).await?))
    })?;
    let server = stage.server()?;
    for at_once in [1, 16] {
        println!("{people} people, {at_once} at a time; {}", measure::quiet(patience)?);
        let (left, right) = (residents.len().saturating_sub(people), newcomers.len().saturating_sub(people));
        let (residents, newcomers) = (residents.split_off(left), newcomers.split_off(right));
        let mut round = Round { server: &server, at_once, again: extent.again, worst: (0.0, "") };
        stage.runtime.block_on(round.run(residents, newcomers))?;
        let (millis, name) = round.worst;
        println!("  the slowest, by p99: {name}, {millis:.2} ms");
    }
    Ok(())
}

/// Everybody goes through all screens once.
struct Round<'a> {
    server: &'a Server,
    at_once: usize,
    again: usize,
    worst: (f64, &'static str),
}

impl Round<'_> {
    async fn run(&mut self, residents: Vec<Resident>, newcomers: Vec<Newcomer>) -> anyhow::Result<()> {
        let Server { portal, public, activate, .. } = self.server;
        let mut visitors = Vec::with_capacity(residents.len());
        let mut keys = Vec::with_capacity(residents.len());
        for Resident { pkcs8, certificate, session, next, .. } in residents {
            let browser = portal.holding(&pkcs8, &certificate)?;
            visitors.push(Visitor::enter(portal, browser, session.reveal(), next.request).await?);
            keys.push(next.pkcs8);
        }
        let visitors = self.walk(PORTAL, visitors).await?;
        let mut proving = Vec::with_capacity(visitors.len());
        for (visitor, key) in visitors.into_iter().zip(&keys) {
            let browser = activate.holding(key, &visitor.certificate)?;
            proving.push(Visitor::enter(activate, browser, "", Vec::new()).await?);
            visitor.connection.close().await;
        }
        leave(self.walk(ACTIVATE, proving).await?).await;
        let mut enrolling = Vec::with_capacity(newcomers.len());
        for Newcomer { waiting, session, renewal, key, .. } in newcomers {
            let mut visitor = Visitor::enter(public, public.stranger()?, session.reveal(), key.request).await?;
            visitor.place = format!("/renewals/{renewal}");
            visitor.waiting = Some(waiting.reveal().to_owned());
            enrolling.push(visitor);
        }
        leave(self.walk(PUBLIC, enrolling).await?).await;
        Ok(())
    }

    /// Everybody sees a screen before anybody sees the next. They come back in the order in which they went.
    async fn walk(&mut self, screens: &[Screen], mut visitors: Vec<Visitor>) -> anyhow::Result<Vec<Visitor>> {
        for screen in screens {
            let times = if matches!(screen.2, Act::Arrive | Act::Wait | Act::Open) { self.again } else { 1 };
            let before = self.server.used()?;
            let visits = stream::iter(visitors).map(|visitor| visitor.visit(screen, times));
            let visited: Vec<_> = visits.buffered(self.at_once).try_collect().await?;
            let cpu = self.server.used()?.saturating_sub(before);
            let mut latencies = Latencies::default();
            visitors = Vec::with_capacity(visited.len());
            for (visitor, took) in visited {
                latencies.merge(took);
                visitors.push(visitor);
            }
            self.print(screen.0, latencies, cpu);
        }
        Ok(visitors)
    }

    fn print(&mut self, name: &'static str, mut latencies: Latencies, cpu: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let each = cpu.as_secs_f64() * 1e6 / latencies.len() as f64;
        let (p50, p99) = (latencies.millis(500), latencies.millis(990));
        println!("  {name:<22} p50 {p50:>6.2} ms, p99 {p99:>6.2} ms, CPU {each:>5.0} us each ({})", latencies.len());
        if p99 > self.worst.0 {
            self.worst = (p99, name);
        }
    }
}

/// Somebody with a connection that stays open.
struct Visitor {
    connection: Connection,
    session: Option<String>,
    /// The session of an enrolment that waits for the one-time code.
    waiting: Option<String>,
    /// The request for a certificate, PKCS#10 DER, until it is sent.
    request: Vec<u8>,
    /// The path of the renewal, once there is one.
    place: String,
    /// The certificate, DER, once there is one.
    certificate: Vec<u8>,
}

impl Visitor {
    /// Shakes hands, and looks at a page before the clock starts.
    async fn enter(host: &Target, browser: Arc<ClientConfig>, session: &str, request: Vec<u8>) -> anyhow::Result<Self> {
        let mut connection = host.connect(browser).await?;
        connection.get("/", None).await?;
        let session = (!session.is_empty()).then(|| session.to_owned());
        Ok(Self { connection, session, waiting: None, request, place: String::new(), certificate: Vec::new() })
    }

    async fn visit(mut self, screen: &Screen, times: usize) -> anyhow::Result<(Self, Latencies)> {
        let Screen(name, path, act, status) = screen;
        let path = path.replace('~', &self.place);
        let mut latencies = Latencies::default();
        for _ in 0..times {
            let sent = match act {
                Act::Arrive | Act::Wait | Act::Open => Sent::Nothing,
                Act::Submit(form) => Sent::Form(form),
                Act::Script => Sent::ScriptForm(""),
                Act::Request => Sent::Request(std::mem::take(&mut self.request)),
            };
            let session = match act {
                Act::Arrive => None,
                Act::Wait => self.waiting.as_deref(),
                _ => self.session.as_deref(),
            };
            let start = Instant::now();
            let answer = self.connection.send(&path, session, sent).await?;
            latencies.push(start.elapsed());
            ensure!(answer.status.as_u16() == *status, "{name} is answered with {}", answer.status);
            self.learn(*act, &answer)?;
        }
        Ok((self, latencies))
    }

    /// Keeps what the next screens need.
    fn learn(&mut self, act: Act, answer: &Answer) -> anyhow::Result<()> {
        if let Some(place) = answer.leads_to().filter(|place| place.starts_with("/renewals/")) {
            place.clone_into(&mut self.place);
        }
        if matches!(act, Act::Request) {
            let bundle: serde_json::Value = serde_json::from_slice(&answer.body)?;
            let certificate = bundle.get("certificate").and_then(serde_json::Value::as_str);
            self.certificate = STANDARD.decode(certificate.context("no certificate came")?)?;
        }
        Ok(())
    }
}

async fn leave(visitors: Vec<Visitor>) {
    for visitor in visitors {
        visitor.connection.close().await;
    }
}
