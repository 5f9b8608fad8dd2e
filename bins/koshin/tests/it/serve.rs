//! `koshin serve`, from the first connection to the last signal.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{config::server_certificate, program::Site};

/// A running service that is not left behind by a test that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(site: &Site) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_koshin"))
            .args(["serve", "--config"])
            .arg(site.folder().join("koshin.toml"))
            .env_remove("KOSHIN_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Sends a signal and waits for the end; what was said on standard error.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
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
fn choose_ports(site: &Site) -> u16 {
    let free: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = free.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let file = site.folder().join("koshin.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (usual, port) in (8443..).zip(&ports) {
        let usual: u16 = usual;
        text = text.replace(&usual.to_string(), &port.to_string());
    }
    fs::write(file, text).unwrap();
    ports[3]
}

/// Fetches a file over plain HTTP, as soon as somebody answers.
fn fetch(port: u16, path: &str) -> Vec<u8> {
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
        let service = Running::start(&site);
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
