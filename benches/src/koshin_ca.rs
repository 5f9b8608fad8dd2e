//! The real `koshin-ca` in a process of its own, and what a registration authority sends it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use koshin_types::Rfc3339;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use time::{Duration, UtcDateTime};

use crate::{
    load::{Endpoint, Shot},
    measure,
    peers::{self, Peer},
    rim,
    town::ClientKey,
};

/// An installation on disk.
pub struct Installation {
    program: PathBuf,
    folder: PathBuf,
    config: PathBuf,
}

/// A running CA.
pub struct Running {
    /// Its process, and the port of its API.
    pub peer: Peer,
    /// The port of what it publishes.
    pub publication: u16,
}

impl Installation {
    /// Makes one with a client called `portal`. `program` is a built `koshin-ca`.
    ///
    /// # Errors
    ///
    /// When the program is missing or fails.
    pub fn make(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("koshin-ca");
        ensure!(program.exists(), "{} is missing: cargo build --release -p koshin-ca", program.display());
        let mut init = Command::new(program);
        init.args(["init", "--organization", "Koshin Benches", "--client", "portal", "--json", "--dir"]).arg(&folder);
        peers::run(&mut init)?;
        let config = folder.join("koshin-ca.toml");
        Ok(Self { program: program.to_owned(), folder, config })
    }

    /// Starts it on free ports, on a core if one is named, and waits until its API listens.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn serve(&self, core: Option<&str>) -> anyhow::Result<Running> {
        let (api, publication) = (peers::free_port()?, peers::free_port()?);
        let listening: String = fs::read_to_string(&self.config)?
            .lines()
            .map(|line| match line {
                line if line.starts_with("api = ") => format!("api = \"127.0.0.1:{api}\"\n"),
                line if line.starts_with("publication = ") => format!("publication = \"127.0.0.1:{publication}\"\n"),
                line => format!("{line}\n"),
            })
            .collect();
        fs::write(&self.config, listening)?;
        let mut command = measure::pinned(&self.program, core);
        command.arg("serve").arg("--config").arg(&self.config);
        Ok(Running { peer: Peer::start(command, api)?, publication })
    }

    /// The API as the client `portal` reaches it.
    ///
    /// # Errors
    ///
    /// When a file is missing.
    pub fn api(&self, port: u16) -> anyhow::Result<Endpoint> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(self.file("clients/portal.pem")).and_then(Iterator::collect);
        let key = PrivateKeyDer::from_pem_file(self.file("clients/portal.key")).context("the client has no key")?;
        let anchor = CertificateDer::from_pem_file(self.file("tls/api-ca.pem")).context("the API has no anchor")?;
        Endpoint::mutual(port, anchor, certificates.context("the client has no certificate")?, key)
    }

    /// A file of the installation.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// So many orders of P-256 certificates for one year, each with a key of its own.
///
/// # Errors
///
/// When a key is not made.
pub fn orders(count: usize, now: UtcDateTime) -> anyhow::Result<Vec<Shot>> {
    let first = now.truncate_to_second();
    let last = first.saturating_add(Duration::days(365)).saturating_sub(Duration::SECOND);
    let order = |at: usize| {
        let renewal: [u8; 16] = rim::octets()?;
        let renewal: String = renewal.iter().map(|octet| format!("{octet:02x}")).collect();
        let body = json!({
            "renewal_id": renewal,
            "profile": "user",
            "subject": { "organization": "更新商店株式会社", "id": format!("U-{at:06}") },
            "mail": format!("u-{at:06}@example.co.jp"),
            "not_before": Rfc3339(first).to_string(),
            "not_after": Rfc3339(last).to_string(),
            "now": Rfc3339(now).to_string(),
            "request": STANDARD.encode(ClientKey::new()?.request),
        });
        Ok(Shot::post("/v1/issue", "application/json", body.to_string()))
    };
    (0..count).map(order).collect()
}

/// The certificate in an answer, DER.
///
/// # Errors
///
/// When there is none.
pub fn certificate(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let answer: Value = serde_json::from_slice(body)?;
    let text = answer.get("certificate").and_then(Value::as_str).context("the answer has no certificate")?;
    Ok(STANDARD.decode(text)?)
}
