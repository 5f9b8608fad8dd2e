//! Whole renewals against a portal in a process of its own: started, requested, delivered, over mutual TLS, on SQLite
//! with synchronous=FULL.
//!
//! ```text
//! cargo run --release -p koshin-benches --bin renewals              # some minutes, most of them for settling people
//! cargo run --release -p koshin-benches --bin renewals -- kept 16 2000    # one round, for a profiler
//! cargo run -p koshin-benches --bin renewals -- --test              # seconds; says only that it works
//! ```
//!
//! A certificate, and so a connection, renews once. "Kept alive" therefore means: as many connections as renewals are
//! opened and used before the clock starts, and the renewals run over them, one or sixteen at a time. "New connection"
//! has the handshake inside. Server and load have a core each, where there are two.

use std::{
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use koshin_benches::{
    client::Connection,
    floor::Floor,
    measure::{self, Disk, Latencies},
    rim,
    server::{self, Server},
    stage::{self, Stage},
    town::Resident,
};

/// One round: everybody renews once.
struct Plan {
    /// Over connections that were opened and used before, or over new ones.
    kept: bool,
    at_once: usize,
    people: usize,
}

/// How long a run is.
struct Extent {
    rounds: Vec<Plan>,
    /// How long to wait for a quiet machine before a round.
    patience: Duration,
    disk: Duration,
    floor: usize,
}

impl Extent {
    fn measured(rounds: Vec<Plan>) -> Self {
        Self { rounds, patience: Duration::from_secs(15), disk: Duration::from_secs(1), floor: 200 }
    }

    fn full() -> Self {
        let one = [(true, 1, 400), (true, 16, 2000), (false, 1, 400), (false, 16, 2000)];
        let twice = one.into_iter().cycle().take(2 * one.len());
        Self::measured(twice.map(|(kept, at_once, people)| Plan { kept, at_once, people }).collect())
    }

    fn test() -> Self {
        let rounds = [(true, 1, 2), (true, 16, 6), (false, 1, 2), (false, 16, 6)];
        let rounds = rounds.into_iter().map(|(kept, at_once, people)| Plan { kept, at_once, people }).collect();
        Self { rounds, patience: Duration::ZERO, disk: Duration::from_millis(20), floor: 2 }
    }

    fn one(kept: bool, at_once: &str, people: &str) -> anyhow::Result<Self> {
        let (at_once, people) = (at_once.parse()?, people.parse()?);
        ensure!(at_once > 0 && people > 0, "nothing to do");
        Ok(Self::measured(vec![Plan { kept, at_once, people }]))
    }
}

fn main() -> ExitCode {
    stage::main("renewals", |arguments| match arguments {
        [] => load(&Extent::full()),
        ["--test"] => load(&Extent::test()),
        ["kept", at_once, people] => load(&Extent::one(true, at_once, people)?),
        ["new", at_once, people] => load(&Extent::one(false, at_once, people)?),
        ["serve", folder] => server::serve(Path::new(folder)),
        other => {
            Err(anyhow::anyhow!("usage: renewals [--test | kept AT_ONCE PEOPLE | new AT_ONCE PEOPLE], not {other:?}"))
        }
    })
}

fn load(extent: &Extent) -> anyhow::Result<()> {
    let people = extent.rounds.iter().map(|plan| plan.people).sum();
    eprintln!("{people} people enrol, a year ago ...");
    let (stage, mut residents) = Stage::set(async |town| town.settle(people, rim::now()).await)?;
    let server = stage.server()?;
    let floor = Floor::new()?;
    for Plan { kept, at_once, people } in &extent.rounds {
        let people = residents.split_off(residents.len().saturating_sub(*people));
        let quiet = measure::quiet(extent.patience)?;
        let floor = floor.micros(extent.floor)?;
        let disk = Disk::measure(stage.folder.path(), extent.disk)?;
        let round = stage.runtime.block_on(round(&server, people, *kept, *at_once))?;
        let after = Disk::measure(stage.folder.path(), extent.disk)?;
        round.print(*kept, *at_once, floor);
        println!("    {disk}; after: {:.0}/s; floor {floor:.0} us; {quiet}", after.per_second);
    }
    let (resident, share) = server.memory()?;
    println!("server: {:.1} MiB resident, {:.1} MiB proportional", mebi(resident), mebi(share));
    Ok(())
}

struct Round {
    latencies: Latencies,
    wall: Duration,
    cpu: Duration,
}

impl Round {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn print(mut self, kept: bool, at_once: usize, floor: f64) {
        let count = self.latencies.len() as f64;
        let cpu = self.cpu.as_secs_f64() * 1e6 / count;
        println!(
            "{} {at_once:>2} at a time: {:>5.0} renewals/s, p50 {:.2} ms, p99 {:.2} ms, CPU {cpu:.0} us each = {:.1} x floor",
            if kept { "kept alive,     " } else { "new connections," },
            count / self.wall.as_secs_f64(),
            self.latencies.millis(500),
            self.latencies.millis(990),
            cpu / floor,
        );
    }
}

/// Everybody renews once.
async fn round(server: &Server, people: Vec<Resident>, kept: bool, at_once: usize) -> anyhow::Result<Round> {
    let browsers: Vec<_> = people.iter().map(|one| server.portal.browser(one)).collect::<anyhow::Result<_>>()?;
    let mut ready = Vec::with_capacity(people.len());
    for (person, browser) in people.into_iter().zip(browsers) {
        let connection = if kept {
            let mut connection = server.portal.connect(Arc::clone(&browser)).await?;
            connection.get("/notice", Some(person.session.reveal())).await?;
            Some(connection)
        } else {
            None
        };
        ready.push((person, browser, connection));
    }
    let before = server.used()?;
    let start = Instant::now();
    let renewals = stream::iter(ready).map(|(person, browser, connection)| async move {
        let start = Instant::now();
        let fresh = connection.is_none();
        let mut connection = match connection {
            Some(connection) => connection,
            None => server.portal.connect(browser).await?,
        };
        let certificate = connection.renew(&person).await?;
        if fresh {
            connection.close().await;
            return Ok((start.elapsed(), certificate, None));
        }
        anyhow::Ok((start.elapsed(), certificate, Some(connection)))
    });
    let done: Vec<_> = renewals.buffer_unordered(at_once).try_collect().await?;
    let wall = start.elapsed();
    let cpu = server.used()?.saturating_sub(before);
    let mut latencies = Latencies::default();
    for (took, certificate, connection) in done {
        latencies.push(took);
        if !certificate.starts_with(b"{") {
            bail!("no certificate came: {}", String::from_utf8_lossy(&certificate));
        }
        if let Some(connection) = connection {
            Connection::close(connection).await;
        }
    }
    Ok(Round { latencies, wall, cpu })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mebi(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
