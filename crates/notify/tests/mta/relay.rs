//! A mail server of this test alone: its folder, its port, its process.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use koshin_notify::{
    SmtpTransport,
    smtp::{Roots, SmtpConfig, Tls},
};
use tempfile::TempDir;

/// How long anything here may take: a server's start, a delivery, a report.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the people of `people.example` are delivered to, below the folder.
pub(crate) const PEOPLE: &str = "mail/people";
/// Where everything to our own senders is delivered to.
pub(crate) const BOUNCES: &str = "mail/bounces";

/// What a server is made of before it runs.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    tls: Tls,
    /// The certificate of `localhost`, PEM.
    pem: Vec<u8>,
}

impl Place {
    /// A folder that other users may pass through, with `cert.pem` and `key.pem` in it.
    pub(crate) fn new(tls: Tls) -> Self {
        let user = output(Command::new("id").arg("-u"));
        assert_eq!(user.trim(), "0", "mail servers start as root only: run this test as root, or leave it to CI");
        let folder = tempfile::Builder::new().prefix("koshin-mta-").tempdir().unwrap();
        make(Command::new("chmod").arg("755").arg(folder.path()));
        let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let pem = issued.cert.pem().into_bytes();
        fs::write(folder.path().join("cert.pem"), &pem).unwrap();
        fs::write(folder.path().join("key.pem"), issued.signing_key.serialize_pem()).unwrap();
        make(Command::new("chmod").arg("600").arg(folder.path().join("key.pem")));
        Self { folder, port: free_port(), tls, pem }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Relay {
    place: Place,
    child: Child,
    log: PathBuf,
}

impl Relay {
    /// Starts it, and waits until it takes connections. What it says is in the file `log`.
    pub(crate) fn start(place: Place, command: &mut Command, log: PathBuf) -> Self {
        let child = command.spawn().expect("the server starts");
        let mut relay = Self { place, child, log };
        let address = ("127.0.0.1", relay.place.port);
        let up = until(|| {
            assert_eq!(relay.child.try_wait().unwrap(), None, "the server has ended: {}", relay.log());
            TcpStream::connect(address).ok()
        });
        assert!(up.is_some(), "nobody listens: {}", relay.log());
        relay
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Our client; TLS is required and checked if it is asked for.
    pub(crate) fn client(&self) -> SmtpTransport {
        let config = SmtpConfig {
            port: self.place.port,
            tls: self.place.tls,
            roots: Roots::Pem(self.place.pem.clone()),
            hello: Some("koshin.example".into()),
            ..SmtpConfig::new("localhost")
        };
        SmtpTransport::new(config).unwrap()
    }

    /// The messages in a maildir, as soon as there are so many.
    pub(crate) fn messages(&self, maildir: &str, count: usize) -> Vec<PathBuf> {
        let new = self.folder(maildir).join("new");
        let mut found = Vec::new();
        let there = until(|| {
            let entries = fs::read_dir(&new).into_iter().flatten();
            found = entries.map(|entry| entry.unwrap().path()).collect();
            (found.len() >= count).then_some(())
        });
        assert!(there.is_some(), "{} of {count} in {maildir}: {}", found.len(), self.log());
        found
    }
}

impl Drop for Relay {
    /// Asks the server to end, which then ends what it started, and waits for it.
    fn drop(&mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let ended = until(|| self.child.try_wait().ok().flatten());
        if ended.is_none() || asked.is_err() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Tries until there is something, for as long as anything may take.
fn until<T>(mut there: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = there();
        if found.is_some() || begun.elapsed() > PATIENCE {
            return found;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command that has to succeed.
pub(crate) fn make(command: &mut Command) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

/// What a command that has to succeed writes.
pub(crate) fn output(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
