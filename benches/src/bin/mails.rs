//! Mails a second: the real mailer with the real SMTP client over the real outbox, into a sink on loopback that answers at
//! once or after the round trip of a network.
//!
//! ```text
//! cargo run --release -p koshin-benches --bin mails
//! ```
//!
//! The mails are notices of expiry that the real planner has put into the outbox of a file with many certificates. Several
//! connections are several runs of one mailer, each of which sends one mail after the other. The sink is a process of its own;
//! there is no TLS, which costs a handshake for each hundred mails.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use koshin_benches::{
    crowd::{Crowd, Gathered, planner},
    measure::{self, Disk},
    place,
    sink::{self, Manner},
    stage,
};
use koshin_notify::{
    Bilingual, Mailer, Sender, SmtpTransport, Wake, Zone,
    smtp::{SmtpConfig, Tls},
};
use time::UtcOffset;

const AT_ONCE: [u32; 3] = [1, 4, 16];
const ROUND_TRIPS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(10)];
/// Mails of a round without delay, and for each connection of one with.
const MAILS: u32 = 3_000;
const MAILS_EACH: u32 = 150;

fn main() -> ExitCode {
    stage::main("mails", run)
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let quick = match arguments {
        [] => false,
        ["--test"] => true,
        ["sink", millis, pipelines] => {
            let round_trip = Duration::from_millis(millis.parse()?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let manner = Manner { round_trip, pipelines: pipelines.parse()? };
            return runtime.block_on(sink::serve(manner, |port| println!("{port}")));
        }
        other => anyhow::bail!("usage: mails, not {other:?}"),
    };
    let (mails, each, all_at_once) = if quick { (40, 2, &AT_ONCE[..2]) } else { (MAILS, MAILS_EACH, &AT_ONCE[..]) };
    let patience = Duration::from_secs(if quick { 0 } else { 15 });
    let folder = place::folder()?;
    let cores = measure::cores();
    if let Some((core, _)) = cores {
        measure::pin_self(core)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let crowd = Crowd { certificates: mails * 25, due: mails };
    let gathered = runtime.block_on(crowd.gather(folder.path()))?;
    let mut day = 0;
    println!(
        "| round trip | connections | PIPELINING | mails/s | a connection | of 1/(trips x RTT) | CPU us each | machine |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for round_trip in ROUND_TRIPS {
        for pipelines in [false, true] {
            for &at_once in all_at_once {
                day += 1;
                let count = if round_trip.is_zero() { mails } else { mails.min(each * at_once) };
                let sink = Sink::start(Manner { round_trip, pipelines }, cores.map(|(_, core)| core))?;
                let disk = Disk::measure(folder.path(), patience / 30)?;
                let quiet = measure::quiet(patience)?;
                let round = Round { day, count, at_once };
                let (wall, cpu) = runtime.block_on(round.send(&gathered, sink.port))?;
                let rate = f64::from(count) / wall.as_secs_f64();
                // MAIL, RCPT and DATA in one or in three, and the message.
                let trips = if pipelines { 2.0 } else { 4.0 };
                let ideal = 1.0 / (trips * round_trip.as_secs_f64());
                let share = if round_trip.is_zero() {
                    "–".to_owned()
                } else {
                    format!("{:.2}", rate / f64::from(at_once) / ideal)
                };
                println!(
                    "| {} ms | {at_once} | {pipelines} | {rate:.0} | {:.1} | {share} | {:.0} | {disk}; {quiet} |",
                    round_trip.as_millis(),
                    rate / f64::from(at_once),
                    cpu.as_secs_f64() * 1e6 / f64::from(count),
                );
            }
        }
    }
    Ok(())
}

struct Round {
    day: u32,
    count: u32,
    at_once: u32,
}

impl Round {
    /// Sends so many mails of the day's, and answers how long it took and what it cost.
    async fn send(self, gathered: &Gathered, port: u16) -> anyhow::Result<(Duration, Duration)> {
        let now = Gathered::morning(self.day)?;
        let store = gathered.open().await?;
        while planner(&store).run(now).await? == Wake::Now {}
        store.shut_down().await;
        gathered.mark_sent(now, self.count).await?;

        let store = gathered.open().await?;
        let names = |ja: &str, en: &str| Bilingual::new(ja, en);
        let sender = Sender::new(
            "noreply@midori.example".parse()?,
            names("みどり信用金庫", "Midori Bank"),
            names("みどりビジネスWeb", "Midori Business Web"),
            names("お客様サポート 03-0000-0000", "Customer support, 03-0000-0000"),
            Zone::fixed(UtcOffset::from_hms(9, 0, 0)?, "JST"),
        )?;
        let config = SmtpConfig { port, tls: Tls::None, hello: Some("koshin".into()), ..SmtpConfig::new("127.0.0.1") };
        let mailer = Mailer::new(Arc::new(store.clone()), SmtpTransport::new(config)?, sender);
        let (cpu, begun) = (measure::used(std::process::id())?, Instant::now());
        let runs = (0..self.at_once).map(|_| async {
            while mailer.run(now).await? == Wake::Now {}
            anyhow::Ok(())
        });
        try_join_all(runs).await?;
        let took = begun.elapsed();
        let cpu = measure::used(std::process::id())?.saturating_sub(cpu);
        let tally = mailer.tally();
        ensure!(tally.sent == u64::from(self.count), "{tally:?} instead of {} sent", self.count);
        store.shut_down().await;
        Ok((took, cpu))
    }
}

/// The sink, until this is dropped.
struct Sink {
    child: Child,
    port: u16,
}

impl Sink {
    fn start(manner: Manner, core: Option<&str>) -> anyhow::Result<Self> {
        let Manner { round_trip, pipelines } = manner;
        let mut command = measure::pinned(&std::env::current_exe()?, core);
        command.args(["sink", &round_trip.as_millis().to_string(), &pipelines.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().context("the sink says nothing")?;
        let mut sink = Self { child, port: 0 };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        sink.port = line.trim().parse().context("the sink names no port")?;
        Ok(sink)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
