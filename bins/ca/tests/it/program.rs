//! Running programs.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;

/// What a run ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The lines of standard output as JSON, after a success.
    pub(crate) fn json(&self) -> Vec<Value> {
        assert_eq!(self.status, 0, "{self:?}");
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only line of standard output as JSON, after a success.
    pub(crate) fn one(&self) -> Value {
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// The only line of standard output as JSON, whatever the status.
    pub(crate) fn data(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails with this status, says so, and writes no data.
    pub(crate) fn refused(&self, status: i32) -> &str {
        assert_eq!((self.status, self.out.as_str()), (status, ""), "{self:?}");
        assert!(!self.err.is_empty());
        &self.err
    }

    pub(crate) fn done(self) -> Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["KOSHIN_CA_CONFIG", "KOSHIN_OPERATOR", "KOSHIN_LOG", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    command
}

/// Runs any program in a folder.
pub(crate) fn run<A: AsRef<OsStr>>(folder: &Path, program: &str, arguments: impl IntoIterator<Item = A>) -> Ended {
    run_with(folder, program, arguments, &[])
}

pub(crate) fn run_with<A: AsRef<OsStr>>(
    folder: &Path,
    program: &str,
    arguments: impl IntoIterator<Item = A>,
    environment: &[(String, String)],
) -> Ended {
    let mut command = command(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).envs(environment.iter().cloned());
    let output = command.output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    Ended { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs `koshin-ca` with words that have no blanks.
pub(crate) fn ca(folder: &Path, words: &str) -> Ended {
    run(folder, env!("CARGO_BIN_EXE_koshin-ca"), words.split_whitespace())
}

/// A running `koshin-ca serve`.
pub(crate) struct Server {
    child: Child,
    pub(crate) api: u16,
    pub(crate) publication: u16,
    /// What it has written to standard error so far.
    log: Arc<Mutex<String>>,
}

impl Server {
    pub(crate) fn start(folder: &Path, config: &Path, environment: &[(String, String)]) -> Self {
        let mut command = command(env!("CARGO_BIN_EXE_koshin-ca"));
        command.args(["serve", "--config"]).arg(config).current_dir(folder).envs(environment.iter().cloned());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (say, log) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&line);
                drop(say.send(line));
            }
        });
        let mut server = Self { child, api: 0, publication: 0, log: said };
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let line = log.recv_timeout(until.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("it does not start: {:?}", server.child.try_wait()));
            let port = |before: &str| -> Option<u16> {
                let rest = line.split_once(before)?.1;
                rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
            };
            if let (Some(api), Some(publication)) = (port("https://127.0.0.1:"), port("http://127.0.0.1:")) {
                (server.api, server.publication) = (api, publication);
                return server;
            }
        }
    }

    /// Whether this stands in what it has written to standard error.
    pub(crate) fn said(&self, what: &str) -> bool {
        self.log.lock().unwrap().contains(what)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a loss of power would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                assert!(ended.success(), "{ended:?}");
                return;
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
