//! `koshin serve`, from the first connection to the last signal.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    config::server_certificate,
    program::{Site, koshin},
};

/// A running service that is not left behind by a test that fails.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// What stands first on standard output. Can be asked once.
    pub(crate) fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn serve(site: &Site) -> Self {
        let config = site.folder().join("koshin.toml");
        Self::start(&["serve", "--config", config.to_str().unwrap()])
    }

    pub(crate) fn start(arguments: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_koshin"))
            .args(arguments)
            .env_remove("KOSHIN_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Sends a signal and waits for the end; what was said on standard error.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let sent = Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{signal} does not end the service");
            sleep(Duration::from_millis(20));
        };
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

/// Gives the installation ports that are free now; the one of the CA's files.
pub(crate) fn choose_ports(site: &Site) -> u16 {
    choose_ports_in(site.folder())
}

pub(crate) fn choose_ports_in(folder: &Path) -> u16 {
    let free: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = free.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let file = folder.join("koshin.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (usual, port) in (8443..).zip(&ports) {
        let usual: u16 = usual;
        text = text.replace(&usual.to_string(), &port.to_string());
    }
    fs::write(file, text).unwrap();
    ports[3]
}

/// Fetches a file over plain HTTP, as soon as somebody answers.
pub(crate) fn fetch(port: u16, path: &str) -> Vec<u8> {
    let begun = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
        sleep(Duration::from_millis(20));
    };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    answer
}

#[test]
fn serves_until_it_is_told_to_end_while_others_administer() {
    let site = Site::new();
    server_certificate(&site);
    let port = choose_ports(&site);
    for signal in ["TERM", "INT"] {
        let service = Running::serve(&site);
        assert!(!fetch(port, "/issuing.crl").is_empty());
        let id = format!("C-{signal}");
        assert_eq!(site.run(&format!("organization add {id} x --json")).one()["id"], id.as_str());
        // The sockets belong to the running service.
        assert!(site.run("serve").refused(1).contains("cannot be listened on"));
        let (status, said) = service.end(signal);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("みどり信用金庫 Issuing CA issues certificates"), "{said}");
    }
    assert_eq!(site.run("organization list --json").json().len(), 2);
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_ends() {
    let site = Site::new();
    server_certificate(&site);
    choose_ports(&site);
    let path = site.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let said = || {
        let mut octets = [0; 64];
        let length = socket.recv(&mut octets).unwrap();
        String::from_utf8_lossy(&octets[..length]).into_owned()
    };
    let config = site.folder().join("koshin.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_koshin"));
    command.args(["serve", "--config"]).arg(config).env("NOTIFY_SOCKET", &path);
    let service = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(said(), "READY=1\n");
    // At once: who is ready can also be told to end.
    assert_eq!(service.end("TERM").0, Some(0));
    assert_eq!(said(), "STOPPING=1\n");
}

/// Five ports in a row that are free now.
pub(crate) fn five_ports() -> u16 {
    let bind = |port: u16| TcpListener::bind(("127.0.0.1", port));
    for _ in 0..100 {
        let first = bind(0).unwrap().local_addr().unwrap().port();
        if first < 65_000 && (first..first + 5).all(|port| bind(port).is_ok()) {
            return first;
        }
    }
    panic!("no five ports in a row are free");
}

#[test]
fn somebody_is_revoked_while_the_demonstration_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let base = five_ports();
    let mut demo = Running::start(&["demo", "--json", "--data", data, "--port-base", &base.to_string()]);
    let ready: Value = serde_json::from_str(&demo.first_line()).unwrap();
    assert_eq!(ready["event"], "ready");
    let expiring = koshin(["certificate", "list", "--expiring", "30d", "--json", "--data", data]).json();
    assert_eq!(expiring.iter().map(|held| held["subject"].clone()).collect::<Vec<_>>(), ["U-0008", "U-0030"]);

    // Without a terminal nothing final is done unless it is said that it is meant.
    let revoke = ["subject", "revoke", "U-0030", "--reason", "keyCompromise", "--json", "--data", data];
    assert!(koshin(revoke).refused(2).contains("--yes"));
    let revoked = koshin(revoke.into_iter().chain(["--yes"])).one();
    assert_eq!((&revoked["revoked"], &revoked["reason"]), (&1.into(), &"keyCompromise".into()));
    // The running process learns of it, and says so to relying parties.
    let serial = expiring[1]["serial"].as_str().unwrap();
    let octets: Vec<u8> =
        (0..serial.len()).step_by(2).map(|at| u8::from_str_radix(&serial[at..at + 2], 16).unwrap()).collect();
    // DER of a positive INTEGER; the time at its front begins with a zero octet that is left out.
    let significant = octets.iter().position(|octet| *octet != 0).unwrap();
    let listed =
        || fetch(base + 3, "/issuing.crl").windows(octets.len() - significant).any(|w| *w == octets[significant..]);
    let begun = Instant::now();
    while !listed() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the revocation list does not name {serial}");
        sleep(Duration::from_millis(50));
    }
    koshin(["subject", "revoke", "U-0030", "--yes", "--data", data]).refused(4);
    let again = koshin(["subject", "reissue", "U-0030", "--revoke", "keyCompromise", "--json", "--data", data]).one();
    assert_eq!(again["revoked"], 0);
    let shown = koshin(["subject", "show", "U-0030", "--json", "--data", data]).one();
    assert_eq!((&shown["state"], &shown["enrolment"]), (&"revoked".into(), &true.into()));
    assert_eq!(shown["certificates"][0]["reason"], "keyCompromise");
    koshin(["subject", "reissue", "U-0100", "--data", data]).refused(4);
    assert_eq!(koshin(["audit", "replay", "--json", "--data", data]).one()["subjects"], 5);
    let (status, said) = demo.end("TERM");
    assert_eq!(status, Some(0), "{said}");
}
