//! The suite of `koshin-keystore` over tokens, and what is true of each kind of token beside it.
//!
//! A module is one for its process and is told by environment variables where its tokens are. So each test that touches one begins
//! this program anew with the variables set, for itself alone.

mod login;
mod nss;
mod softhsm;
mod swtpm;
mod tpm;

use std::{
    ffi::OsStr,
    io::Read as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The place of the test's own, in its own process.
const PLACE: &str = "KOSHIN_TEST_PLACE";
/// What is to be done there, where a test has several steps.
const STEP: &str = "KOSHIN_TEST_STEP";

/// The place, when this is the process that the test began for itself.
fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

/// Runs one test of this program in a process of its own, and fails with it. `name` is the test's path, with the crate's name.
fn alone(name: &str, place: &OsStr, variables: &[(&str, &OsStr)]) {
    let (outcome, said) = try_alone(name, place, variables);
    // A test that is not found passes too.
    assert!(outcome && said.contains("1 passed"), "{name} in a process of its own:\n{said}");
}

fn try_alone(name: &str, place: &OsStr, variables: &[(&str, &OsStr)]) -> (bool, String) {
    let (_, path) = name.split_once("::").unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([path, "--exact", "--nocapture"]).env(PLACE, place).envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut output, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).unwrap();
        text
    });
    let limit = Limit::new(child, Duration::from_secs(120));
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    text.extend(reading.join().unwrap());
    (limit.ended_well(), String::from_utf8_lossy(&text).into_owned())
}

/// A process that is killed when its time is over.
struct Limit {
    watch: std::thread::JoinHandle<bool>,
}

impl Limit {
    fn new(mut child: Child, time: Duration) -> Self {
        let until = Instant::now() + time;
        let watch = std::thread::spawn(move || {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status.success();
                }
                if Instant::now() > until {
                    child.kill().unwrap();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { watch }
    }

    fn ended_well(self) -> bool {
        self.watch.join().unwrap()
    }
}

/// Runs a foreign program and returns what it wrote to both outputs.
fn foreign(program: &str, arguments: &[&str], package: &str) -> (bool, String) {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("these tests need the Debian package {package}: {error}"));
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&text).into_owned())
}
