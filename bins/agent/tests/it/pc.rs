//! Somebody's PC: a home folder, an NSS database, and a desktop whose dialogs a script answers.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::portal::{Portal, Subject};

/// What a run ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` after a signal.
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn is(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    pub(crate) fn says(&self, part: &str) -> &Self {
        assert!(self.err.contains(part), "{part:?}: {self:?}");
        self
    }
}

pub(crate) struct Pc {
    folder: TempDir,
    language: &'static str,
    /// What else its programs are told.
    pub(crate) environment: Vec<(&'static str, std::ffi::OsString)>,
}

/// Answers the n-th question with the n-th line of `answers`: digits, `yes`, `no`, or `kill` for the end of who asks.
const ZENITY: &str = r#"#!/bin/sh
D=DIR
n=$(( $(/bin/cat "$D/asked" 2>/dev/null || echo 0) + 1 ))
echo "$n" > "$D/asked"
for a in "$@"; do printf '%s\n' "$a"; done >> "$D/shown"
case "$1" in --info) exit 0;; esac
a=$(/bin/sed -n "${n}p" "$D/answers")
case "$a" in
  no) exit 1 ;;
  yes|"") exit 0 ;;
  kill) kill -9 $PPID; exit 1 ;;
  wait) /bin/sleep 3; exit 1 ;;
  blind) echo "cannot open display: :99" >&2; exit 1 ;;
  *) echo "$a" ;;
esac
"#;

impl Pc {
    /// A PC with nothing on it but an empty NSS database.
    pub(crate) fn new() -> Self {
        let pc = Self { folder: tempfile::tempdir().unwrap(), language: "en_US.UTF-8", environment: Vec::new() };
        fs::create_dir_all(pc.home().join(".pki/nssdb")).unwrap();
        fs::create_dir_all(pc.desk()).unwrap();
        tool("certutil", &["-N", "--empty-password", "-d", &pc.nss()]);
        pc.install_dialog("zenity", ZENITY);
        pc
    }

    /// A PC on which somebody has a certificate, and on which the portal is registered.
    pub(crate) fn of(subject: &Subject, portal: &Portal) -> Self {
        let pc = Self::new();
        pc.import(subject);
        pc.register(portal);
        pc
    }

    pub(crate) fn in_japanese(mut self) -> Self {
        self.language = "ja_JP.UTF-8";
        self
    }

    pub(crate) fn import(&self, subject: &Subject) {
        let file = self.folder.path().join("own.p12");
        let (key, certificate) = (self.folder.path().join("key.pem"), self.folder.path().join("own.pem"));
        fs::write(&key, &subject.key_pem).unwrap();
        fs::write(&certificate, &subject.certificate_pem).unwrap();
        let (file, key, certificate) = (text(&file), text(&key), text(&certificate));
        let export = [
            "pkcs12",
            "-export",
            "-name",
            "own",
            "-passout",
            "pass:pw",
            "-inkey",
            &key,
            "-in",
            &certificate,
            "-out",
            &file,
        ];
        tool("openssl", &export);
        tool("pk12util", &["-i", &file, "-d", &self.nss(), "-W", "pw"]);
    }

    pub(crate) fn register(&self, portal: &Portal) {
        let ca = self.folder.path().join("ca.pem");
        fs::write(&ca, portal.ca_pem()).unwrap();
        let (main, public, activation, ca) = (portal.main(), portal.public(), portal.activation(), text(&ca));
        let arguments = ["register", "--portal", &main, "--public", &public, "--activation", &activation, "--ca", &ca];
        self.run(&arguments).is(0);
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn desk(&self) -> PathBuf {
        self.folder.path().join("desk")
    }

    pub(crate) fn nss(&self) -> String {
        format!("sql:{}", self.home().join(".pki/nssdb").display())
    }

    /// Replaces a program for dialogs; `None` takes it away.
    pub(crate) fn install_dialog(&self, name: &str, script: &str) {
        let path = self.desk().join(name);
        fs::write(&path, script.replace("DIR", &text(&self.desk()))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn remove_dialog(&self, name: &str) {
        fs::remove_file(self.desk().join(name)).unwrap();
    }

    /// How the next questions are answered.
    pub(crate) fn answers(&self, answers: &[&str]) {
        fs::write(self.desk().join("answers"), answers.join("\n") + "\n").unwrap();
        let _ = fs::remove_file(self.desk().join("asked"));
        let _ = fs::remove_file(self.desk().join("shown"));
    }

    /// How many questions there were since.
    pub(crate) fn asked(&self) -> usize {
        fs::read_to_string(self.desk().join("asked")).map_or(0, |count| count.trim().parse().unwrap())
    }

    /// What they said.
    pub(crate) fn shown(&self) -> String {
        fs::read_to_string(self.desk().join("shown")).unwrap_or_default()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.home()).env("PATH", self.desk()).env("DISPLAY", ":99");
        command.envs(self.environment.iter().cloned());
        command.env("LANG", self.language).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(AGENT).args(arguments).output().unwrap();
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        Ended { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs the program, which the portal may kill.
    pub(crate) fn run_watched(&self, portal: &Portal, arguments: &[&str]) -> Ended {
        let mut command = self.command(AGENT);
        let child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        portal.watch(child.id());
        let output = child.wait_with_output().unwrap();
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        Ended { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(AGENT).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What `list --json` says.
    pub(crate) fn list(&self) -> Vec<Value> {
        let listed = self.run(&["list", "--json"]);
        listed.is(0);
        listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The serial numbers of the certificates whose keys are here; keys without one are `key_only`.
    pub(crate) fn serials(&self) -> Vec<String> {
        let word = |row: &Value| row["serial"].as_str().unwrap_or("key_only").to_owned();
        let mut all: Vec<_> = self.list().iter().map(word).collect();
        all.sort();
        all
    }

    /// Files of exchanges that are on their way.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let Ok(folder) = fs::read_dir(self.home().join(".local/state/koshin")) else { return Vec::new() };
        let paths = folder.map(|entry| entry.unwrap().path());
        paths.filter(|path| text(path).contains("exchange-")).collect()
    }
}

pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_koshin-agent");

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a program that must succeed, and returns what it said.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

/// Waits until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
