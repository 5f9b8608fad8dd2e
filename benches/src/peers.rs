//! Other programs that do the same jobs, as Debian packages them: cfssl, openssl, nginx. Each runs in a folder of its own
//! on the server's core, and ends with its value.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::measure;

/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a process of its own.
pub struct Peer {
    child: Child,
    /// Where it listens on loopback.
    pub port: u16,
    /// From the start until connections are accepted.
    pub accepted_after: Duration,
}

impl Peer {
    /// Starts a program and waits until it listens on `port`. Nobody connects meanwhile: openssl's responder never gets over a
    /// connection that ends without a request.
    ///
    /// # Errors
    ///
    /// When it does not start, or does not listen in time.
    pub fn start(mut command: Command, port: u16) -> anyhow::Result<Self> {
        let name = command.get_program().display().to_string();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let mut child = command.spawn().with_context(|| format!("{name} does not start"))?;
        while !listens(port)? {
            let gone = child.try_wait()?;
            if gone.is_some() || begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                anyhow::bail!("{name} does not listen: {gone:?}");
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Self { child, port, accepted_after: begun.elapsed() })
    }

    /// CPU time it has used so far.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn used(&self) -> anyhow::Result<Duration> {
        measure::used(self.child.id())
    }

    /// MiB that it has resident.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn resident(&self) -> anyhow::Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let mebi = measure::memory(self.child.id())?.0 as f64 / 1024.0;
        Ok(mebi)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether somebody listens on a port (`proc(5)`): from then on the kernel accepts connections.
fn listens(port: u16) -> anyhow::Result<bool> {
    const LISTEN: &str = "0A";
    let address = format!(":{port:04X}");
    let is_it = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&address)) && fields.nth(1) == Some(LISTEN)
    };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    // A kernel without IPv6 has no second one.
    let [tables, also] = tables;
    Ok(tables?.lines().any(is_it) || also.is_ok_and(|also| also.lines().any(is_it)))
}

/// A port that nobody listens on.
///
/// # Errors
///
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Whether a program is installed.
pub fn is_there(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
        || Path::new("/usr/sbin").join(program).exists()
}

/// Runs a tool to its end.
///
/// # Errors
///
/// When it fails, with what it said.
pub fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{} does not start", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", command.get_program().display());
    Ok(output.stdout)
}

/// What cfssl keeps of the certificates it issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// A row for each, in SQLite.
    Sqlite,
}

/// The tables that cfssl's SQLite store needs.
const CFSSL_TABLES: &str = "
CREATE TABLE certificates (
    serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob, status blob NOT NULL,
    reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
    PRIMARY KEY (serial_number, authority_key_identifier)
);
CREATE TABLE ocsp_responses (
    serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, body blob NOT NULL, expiry timestamp,
    PRIMARY KEY (serial_number, authority_key_identifier),
    FOREIGN KEY (serial_number, authority_key_identifier)
        REFERENCES certificates (serial_number, authority_key_identifier)
);";

/// The files that a cfssl with mutual TLS needs, in PEM.
pub struct CfsslFiles<'a> {
    /// The CA's certificate and its key.
    pub ca: [&'a Path; 2],
    /// The server's certificate with its chain, and its key.
    pub tls: [&'a Path; 2],
    /// Whom its clients' certificates are from.
    pub clients: &'a Path,
}

/// A cfssl that signs P-256 client certificates for one year, over mutual TLS.
///
/// # Errors
///
/// When it does not start.
pub fn cfssl(folder: &Path, files: &CfsslFiles<'_>, kept: Kept, core: Option<&str>) -> anyhow::Result<Peer> {
    let config = folder.join("cfssl.json");
    let usages = r#"{"signing":{"default":{"expiry":"8760h","usages":["digital signature","client auth"]}}}"#;
    fs::write(&config, usages)?;
    let port = free_port()?;
    let mut command = measure::pinned(Path::new("cfssl"), core);
    // A runtime of another language would take more threads than it has cores.
    command.env("GOMAXPROCS", "1").current_dir(folder).args(["serve", "-loglevel", "5", "-address", "127.0.0.1"]);
    command.args(["-port", &port.to_string()]).arg("-config").arg(&config);
    command.arg("-ca").arg(files.ca[0]).arg("-ca-key").arg(files.ca[1]);
    command.arg("-tls-cert").arg(files.tls[0]).arg("-tls-key").arg(files.tls[1]);
    command.arg("-mutual-tls-ca").arg(files.clients);
    if kept == Kept::Sqlite {
        let database = folder.join("cfssl.db");
        run(Command::new("sqlite3").arg(&database).arg(CFSSL_TABLES))?;
        let place = serde_json::json!({ "driver": "sqlite3", "data_source": database });
        let file = folder.join("db.json");
        fs::write(&file, place.to_string())?;
        command.arg("-db-config").arg(file);
    }
    Peer::start(command, port)
}

/// cfssl's responder over prepared answers: each in base64, with a line of dashes between them.
///
/// # Errors
///
/// When it does not start.
pub fn cfssl_ocsp(folder: &Path, answers: &Path, core: Option<&str>) -> anyhow::Result<Peer> {
    let port = free_port()?;
    let mut command = measure::pinned(Path::new("cfssl"), core);
    command.env("GOMAXPROCS", "1").current_dir(folder).args(["ocspserve", "-loglevel", "5", "-address", "127.0.0.1"]);
    command.args(["-port", &port.to_string()]).arg("-responses").arg(answers);
    Peer::start(command, port)
}

/// openssl's responder, which signs every answer.
///
/// # Errors
///
/// When it does not start.
pub fn openssl_ocsp(
    folder: &Path,
    index: &Path,
    ca: &Path,
    responder: [&Path; 2],
    core: Option<&str>,
) -> anyhow::Result<Peer> {
    let port = free_port()?;
    let mut command = measure::pinned(Path::new("openssl"), core);
    command.current_dir(folder).args(["ocsp", "-port", &port.to_string(), "-ignore_err"]).arg("-index").arg(index);
    command.arg("-CA").arg(ca).arg("-rsigner").arg(responder[0]).arg("-rkey").arg(responder[1]);
    Peer::start(command, port)
}

/// nginx with a folder of static files, one worker.
///
/// # Errors
///
/// When it does not start.
pub fn nginx(folder: &Path, files: &Path, core: Option<&str>) -> anyhow::Result<Peer> {
    let port = free_port()?;
    let place = folder.display();
    let files = files.display();
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {place}/nginx.pid; error_log /dev/null;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 1000000; default_type application/ocsp-response;
 client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place}; uwsgi_temp_path {place};
 scgi_temp_path {place};
 open_file_cache max=100; server {{ listen 127.0.0.1:{port}; root {files}; }} }}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = measure::pinned(Path::new("/usr/sbin/nginx"), core);
    command.arg("-c").arg(&file).arg("-e").arg(folder.join("nginx.error"));
    Peer::start(command, port)
}
