//! From the start of `koshin demo` to the first accepted connection and to its word that all is ready, and its memory when
//! idle: on a new folder, where the people enrol first, and on the same folder again.
//!
//! ```text
//! cargo build --release -p koshin && cargo run --release -p koshin-benches --bin start
//! cargo run --release -p koshin-benches --bin start -- path/to/koshin
//! ```

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use koshin_benches::{measure, place, stage};

/// Starts on a folder that exists already.
const AGAIN: usize = 5;
/// How long it may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it rests before its memory is looked at.
const REST: Duration = Duration::from_secs(3);
/// Ports that the demo takes from the first on.
const PORTS: u16 = 5;

fn main() -> ExitCode {
    stage::main("start", run)
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let program = match arguments {
        [] => std::env::current_exe()?.with_file_name("koshin"),
        [program] => PathBuf::from(program),
        other => anyhow::bail!("usage: start [PROGRAM], not {other:?}"),
    };
    ensure!(program.exists(), "{} is missing: cargo build --release -p koshin", program.display());
    let folder = place::folder()?;
    println!("{}", measure::quiet(PATIENCE)?);
    once(&program, &folder.path().join("demo"), "a new folder")?;
    for _ in 0..AGAIN {
        once(&program, &folder.path().join("demo"), "the folder again")?;
    }
    Ok(())
}

/// Ends the demo whatever happens.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn once(program: &Path, folder: &Path, what: &str) -> anyhow::Result<()> {
    let base = free_ports()?;
    let start = Instant::now();
    let mut command = Command::new(program);
    command.args(["demo", "--json", "--language", "ja", "--port-base", &base.to_string(), "--data"]).arg(folder);
    let mut demo = Demo(command.stdout(Stdio::piped()).spawn().context("the demo does not start")?);
    let given_up = Arc::new(AtomicBool::new(false));
    let accepted = thread::spawn({
        let given_up = Arc::clone(&given_up);
        move || accepted(base, start, &given_up)
    });
    let mut line = String::new();
    BufReader::new(demo.0.stdout.take().context("the demo has no output")?).read_line(&mut line)?;
    let ready = start.elapsed();
    if !line.contains("\"ready\"") {
        given_up.store(true, Ordering::Relaxed);
    }
    let accepted = accepted.join().ok().flatten().context("the demo accepts no connection")?;
    thread::sleep(REST);
    let (resident, share) = measure::memory(demo.0.id())?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mebi = |kib: u64| kib as f64 / 1024.0;
    println!(
        "{what}: first connection after {:.1} ms, ready after {:.1} ms; idle {:.1} MiB resident, {:.1} MiB proportional",
        accepted.as_secs_f64() * 1e3,
        ready.as_secs_f64() * 1e3,
        mebi(resident),
        mebi(share),
    );
    Ok(())
}

/// Knocks until somebody opens.
fn accepted(port: u16, start: Instant, given_up: &AtomicBool) -> Option<Duration> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while start.elapsed() < PATIENCE && !given_up.load(Ordering::Relaxed) {
        if TcpStream::connect(address).is_ok() {
            return Some(start.elapsed());
        }
        thread::sleep(Duration::from_micros(200));
    }
    None
}

/// The first of some free ports in a row.
fn free_ports() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let base = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if base < u16::MAX - PORTS && (base..base + PORTS).all(free) {
            return Ok(base);
        }
    }
    anyhow::bail!("no free ports")
}
