//! The portal in a process of its own, so that its CPU time can be told from the load's.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    authority,
    client::Target,
    measure,
    service::{self, HOSTS},
};

/// Threads that serve, as the `koshin` command has them.
const WORKERS: usize = 2;

/// What a program does when it is called with `serve FOLDER`: says its ports, serves until standard input ends.
///
/// # Errors
///
/// When the folder is none of a town.
pub fn serve(folder: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(async {
        let hosts = service::listen().await?;
        println!("{}", hosts.1.map(|port| port.to_string()).join(" "));
        std::io::stdout().flush()?;
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        service::run(folder, hosts, async { drop(ended.await) }).await
    })
}

/// The server's process. It ends with this value.
pub struct Server {
    child: Child,
    /// The host with client certificates.
    pub portal: Target,
    /// The host without.
    pub public: Target,
    /// The host that proves a new certificate.
    pub activate: Target,
}

impl Server {
    /// Calls this very program with `serve FOLDER`, on a core of its own if one is named.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(folder: &Path, core: Option<&str>) -> anyhow::Result<Self> {
        let mut command = measure::pinned(&std::env::current_exe()?, core);
        command.arg("serve").arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the server does not start")?;
        let mut ports = String::new();
        BufReader::new(child.stdout.take().context("the server has no output")?).read_line(&mut ports)?;
        let authority = authority::load(folder)?.server_ca;
        let mut ports = ports.split_whitespace();
        let mut target = |host| {
            let port = ports.next().and_then(|port| port.parse().ok()).context("the server says no port")?;
            Target::new(host, port, authority.clone())
        };
        let [portal, public, activate] = HOSTS.map(&mut target);
        Ok(Self { child, portal: portal?, public: public?, activate: activate? })
    }

    /// CPU time it has used so far.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn used(&self) -> anyhow::Result<Duration> {
        measure::used(self.child.id())
    }

    /// KiB it has resident, and its proportional share.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn memory(&self) -> anyhow::Result<(u64, u64)> {
        measure::memory(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
