//! A CA in a folder of its own, its RA clients, and people who want certificates.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use crate::program::{Ended, Server, run, run_with};

pub(crate) struct Site {
    folder: tempfile::TempDir,
    name: &'static str,
    pub(crate) environment: Vec<(String, String)>,
}

/// What curl brought back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    pub(crate) fn serial(&self) -> String {
        self.ok()["serial"].as_str().unwrap().to_owned()
    }
}

impl Site {
    /// All at once, with one client, on free ports.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(more: &[&str]) -> Self {
        let site = Self::empty();
        site.init(more);
        site
    }

    pub(crate) fn empty() -> Self {
        Self::at(tempfile::tempdir().unwrap(), "ca-site")
    }

    /// One that was made already, in a folder of this name.
    pub(crate) fn at(folder: tempfile::TempDir, name: &'static str) -> Self {
        Self { folder, name, environment: Vec::new() }
    }

    pub(crate) fn init(&self, more: &[&str]) {
        let words = ["init", "--dir", "ca-site", "--organization", "みどり信用金庫", "--client", "portal", "--json"];
        self.ca(words.iter().chain(more).copied()).done();
        self.use_free_ports();
    }

    pub(crate) fn use_free_ports(&self) {
        let text = fs::read_to_string(self.config()).unwrap();
        fs::write(
            self.config(),
            text.replace("127.0.0.1:8450", "127.0.0.1:0").replace("\"127.0.0.1:8451\"", "\"127.0.0.1:0\""),
        )
        .unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(self.name).join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("koshin-ca.toml")
    }

    pub(crate) fn ca<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ended {
        run_with(self.folder(), env!("CARGO_BIN_EXE_koshin-ca"), words, &self.environment)
    }

    /// A command on this installation.
    pub(crate) fn run(&self, words: &str) -> Ended {
        let config = self.config();
        self.ca(words.split_whitespace().chain(["--config", config.to_str().unwrap()]))
    }

    pub(crate) fn serve(&self) -> Server {
        Server::start(self.folder(), &self.config(), &self.environment)
    }

    /// A request for a new key of this kind, as Base64 of its DER.
    pub(crate) fn request(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("request-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let key = format!("{name}.key");
        let make = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key];
        run(self.folder(), "openssl", make).done();
        let sign = ["req", "-new", "-key", &key, "-subj", "/CN=x", "-outform", "DER", "-out", &name];
        run(self.folder(), "openssl", sign).done();
        run(self.folder(), "base64", ["-w0", &name]).done().out.trim().to_owned()
    }

    /// What an RA posts for one renewal.
    pub(crate) fn order(&self, renewal: u32) -> Value {
        let at = |when: &str| run(self.folder(), "date", ["-u", "-d", when, "+%FT%TZ"]).done().out.trim().to_owned();
        json!({
            "renewal_id": format!("{renewal:032x}"),
            "profile": "user",
            "subject": {"organization": "緑商店", "id": format!("U-{renewal}")},
            "mail": "taro@example.jp",
            "not_before": at("now"),
            "not_after": at("+364 days"),
            "now": at("now"),
            "request": self.request(),
        })
    }

    pub(crate) fn post(&self, server: &Server, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.api(server, "portal", path, &["-H", "content-type: application/json", "--data-binary", &body])
    }

    pub(crate) fn issue(&self, server: &Server, order: &Value) -> Answer {
        self.post(server, "/v1/issue", order)
    }

    /// By curl over mutual TLS.
    pub(crate) fn api(&self, server: &Server, client: &str, path: &str, more: &[&str]) -> Answer {
        let file = |ending: &str| self.path(&format!("clients/{client}.{ending}")).to_str().unwrap().to_owned();
        let (certificate, key) = (file("pem"), file("key"));
        let more: Vec<_> = ["--cert", &certificate, "--key", &key].iter().chain(more).copied().collect();
        self.api_without(server, path, &more)
    }

    /// The same, showing no certificate.
    pub(crate) fn api_without(&self, server: &Server, path: &str, more: &[&str]) -> Answer {
        let anchor = self.path("tls/api-ca.pem");
        let url = format!("https://localhost:{}{path}", server.api);
        let words = ["--cacert", anchor.to_str().unwrap()];
        self.curl(&url, &words.iter().chain(more).copied().collect::<Vec<_>>())
    }

    pub(crate) fn published(&self, server: &Server, path: &str) -> Answer {
        self.curl(&format!("http://127.0.0.1:{}{path}", server.publication), &[])
    }

    /// Status 0 when there was no answer at all.
    fn curl(&self, url: &str, more: &[&str]) -> Answer {
        let words = ["-s", "-m", "20", "-w", "\n%{http_code}", url];
        let ended = run(self.folder(), "curl", words.iter().chain(more));
        let (body, status) = ended.out.rsplit_once('\n').unwrap_or(("", "0"));
        Answer { status: status.parse().unwrap_or(0), body: body.to_owned() }
    }

    /// Writes an answered certificate as PEM.
    pub(crate) fn keep(&self, answer: &Answer, name: &str) {
        let base64 = answer.ok()["certificate"].as_str().unwrap().to_owned();
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        fs::write(self.folder().join(name), pem).unwrap();
    }

    /// What openssl says of a certificate by OCSP: `good`, `revoked` or `unknown`. The answer's signature has to hold.
    pub(crate) fn ocsp(&self, server: &Server, certificate: &str, stem: &str) -> String {
        let (issuer, root) = (self.path(&format!("ca/{stem}.pem")), self.path("ca/root.pem"));
        let url = format!("http://127.0.0.1:{}/ocsp/{stem}", server.publication);
        let (issuer, root) = (issuer.to_str().unwrap(), root.to_str().unwrap());
        let words = ["ocsp", "-issuer", issuer, "-cert", certificate, "-url", &url, "-CAfile", root];
        let ended = run(self.folder(), "openssl", words.into_iter().chain(["-verify_other", issuer]));
        assert!(ended.err.contains("Response verify OK"), "{ended:?}");
        let line = ended.out.lines().next().unwrap_or_default();
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Fetches the published list as PEM.
    pub(crate) fn fetch_list(&self, server: &Server, stem: &str) -> String {
        let url = format!("http://127.0.0.1:{}/{stem}.crl", server.publication);
        run(self.folder(), "curl", ["-s", "-f", "-o", "list.der", &url]).done();
        run(self.folder(), "openssl", ["crl", "-inform", "DER", "-in", "list.der", "-out", "list.pem"]).done();
        run(self.folder(), "openssl", ["crl", "-in", "list.pem", "-noout", "-text"]).done().out
    }

    /// As a relying party checks a certificate, with the list that was fetched last.
    pub(crate) fn verify(&self, certificate: &str, stem: &str) -> Ended {
        let (issuer, root) = (self.path(&format!("ca/{stem}.pem")), self.path("ca/root.pem"));
        let words = ["verify", "-x509_strict", "-purpose", "sslclient", "-crl_check", "-CRLfile", "list.pem"];
        let files = ["-CAfile", root.to_str().unwrap(), "-untrusted", issuer.to_str().unwrap(), certificate];
        run(self.folder(), "openssl", words.iter().chain(&files))
    }
}
