//! The clock guard from outside: a database that remembers another time than the machine's.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    thread::sleep,
    time::{Duration as Wait, Instant},
};

use koshin_ra::{Actor, AuditNote, Chronicle as _};
use koshin_sqlite::{Options, Store};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use time::{Duration, UtcDateTime};

use crate::{
    config::server_certificate,
    program::{Ended, Site, koshin},
    serve::{Running, choose_ports, five_ports},
};

#[expect(clippy::disallowed_methods, reason = "the program that is tested asks the same clock")]
fn now() -> UtcDateTime {
    UtcDateTime::now()
}

/// Lets a database remember that it was `offset` from now, as if the machine had worked on it then.
pub(crate) fn remember(database: &std::path::Path, offset: Duration) -> UtcDateTime {
    let at = now() + offset;
    let note = AuditNote { actor: Actor::System, subject: None, word: "clock_confirmed", details: [].into() };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let store = Store::open(database, &Options::default()).await.unwrap();
        store.confirm(at, note).await.unwrap();
        store.shut_down().await;
    });
    at
}

/// Whoever answers is who was asked: it listens on this machine, and its certificate is no matter of these tests.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Sends ID and password to the public host; the head of its answer and the page.
fn enrol(port: u16) -> String {
    let begun = Instant::now();
    let stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(begun.elapsed() < Wait::from_secs(20), "{error}"),
        }
        sleep(Wait::from_millis(20));
    };
    stream.set_read_timeout(Some(Wait::from_secs(20))).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Anybody(ring::default_provider())));
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let body = "id=U-1&password=correct+horse";
    let head = format!(
        "POST /enrol HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: https://localhost:{port}\r\n\
         Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The end of the connection need not be said.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of a file of the CA.
fn status(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Wait::from_secs(20))).unwrap();
    write!(stream, "GET /issuing.crl HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[9..12]).into_owned()
}

fn peopled() -> Site {
    let site = Site::new();
    server_certificate(&site);
    let done = |ended: Ended| assert_eq!(ended.status, 0, "{ended:?}");
    done(site.run("organization add C-1 x"));
    let add = "subject add U-1 --organization C-1 --address taro@example.co.jp --password-file -";
    done(site.run_reading("correct horse\n", add));
    done(site.run("subject permit U-1"));
    site
}

fn mails(site: &Site) -> usize {
    fs::read_dir(site.folder().join("mail/new")).map_or(0, Iterator::count)
}

/// A service on this database issues, mails and publishes nothing until the clock is confirmed.
fn nothing_until_confirmed(offset: Duration, state: &str) {
    let site = peopled();
    let remembered = remember(&site.folder().join("koshin.db"), offset);
    let told = site.run("clock status --json");
    assert_eq!(told.status, 4, "{told:?}");
    let view: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&view["state"], told.err.contains("`koshin clock confirm`")), (&state.into(), true), "{told:?}");
    let recorded = view["recorded"].as_str().unwrap();
    assert!(recorded.starts_with(&remembered.date().to_string()), "{recorded} is not {remembered}");

    let publication = choose_ports(&site);
    let config = fs::read_to_string(site.folder().join("koshin.toml")).unwrap();
    let public = config.split("public = \"https://localhost:").nth(1).unwrap();
    let public = public.split('"').next().unwrap().parse().unwrap();
    let service = Running::serve(&site);
    let refused = enrol(public);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(
        refused.contains("server.clock") && refused.to_lowercase().contains("\r\nretry-after: 300\r\n"),
        "{refused}"
    );
    // Longer than the mailer, the sweeper and the revocation list wait.
    sleep(Wait::from_millis(2_500));
    assert_eq!((status(publication).as_str(), mails(&site)), ("404", 0));

    let confirmed = site.run("clock confirm --json").one();
    assert_eq!((&confirmed["state"], &confirmed["confirmed"]), (&"trusted".into(), &true.into()));
    let begun = Instant::now();
    while status(publication) != "200" || mails(&site) == 0 {
        assert!(begun.elapsed() < Wait::from_secs(20), "the service does not learn that the clock was confirmed");
        sleep(Wait::from_millis(50));
    }
    let taken = enrol(public);
    assert!(taken.starts_with("HTTP/1.1 303 "), "{taken}");
    assert_eq!(site.run("clock status --json").one()["state"], "trusted");
    let again = site.run("clock confirm --json").one();
    assert_eq!(again["confirmed"], false, "there is nothing left to confirm");
    assert_eq!(site.run("audit verify --json").one()["ok"], true);
    let (ended, said) = service.end("TERM");
    assert_eq!(ended, Some(0), "{said}");
    for part in ["koshin clock confirm", recorded, "the clock is believed again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn invariant_44_nothing_irreversible_after_31_days_until_the_clock_is_confirmed() {
    nothing_until_confirmed(Duration::days(-31), "ahead");
}

#[test]
fn invariant_41_nothing_irreversible_by_a_clock_two_hours_behind_until_it_is_confirmed() {
    nothing_until_confirmed(Duration::hours(2), "behind");
}

#[test]
fn a_clock_that_is_right_needs_no_confirmation() {
    let site = peopled();
    for offset in [Duration::days(-29), Duration::minutes(50)] {
        remember(&site.folder().join("koshin.db"), offset);
        assert_eq!(site.run("clock status --json").one()["state"], "trusted");
        let records = || site.run("audit verify --json").one()["records"].clone();
        let before = records();
        assert_eq!(site.run("clock confirm --json").one()["confirmed"], false);
        assert_eq!(records(), before, "and leaves no record");
    }
    let plain = site.run("clock status").out;
    let words: Vec<_> = plain.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(words, ["now", "recorded", "state"]);
}

/// The operator goes on working, whatever the clock says; and is told.
#[test]
fn the_operator_works_on_by_a_wrong_clock_and_is_told() {
    let site = peopled();
    let remembered = remember(&site.folder().join("koshin.db"), Duration::hours(3));
    let permitted = site.run("subject permit U-1 --json");
    assert!(permitted.err.contains("koshin clock confirm"), "{permitted:?}");
    // 80 days from the largest instant, not from the clock's.
    let until = (remembered + Duration::days(80)).date().to_string();
    assert!(permitted.one()["permitted_until"].as_str().unwrap().starts_with(&until), "{permitted:?}");
}

/// Waits until a demonstration says that it is ready.
fn ready(demo: &mut Running) {
    let mut line = String::new();
    BufReader::new(demo.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
}

/// A demonstration that lay still for months says so and goes on.
#[test]
fn an_old_demonstration_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let base = five_ports().to_string();
    let demo = || Running::start(&["demo", "--json", "--data", data, "--port-base", &base]);
    let mut first = demo();
    ready(&mut first);
    assert_eq!(first.end("TERM").0, Some(0));
    remember(&folder.path().join("koshin.db"), Duration::days(-200));
    let mut second = demo();
    ready(&mut second);
    assert_eq!(koshin(["clock", "status", "--json", "--data", data]).one()["state"], "trusted");
    assert_eq!(status(base.parse::<u16>().unwrap() + 3), "200");
    let (ended, said) = second.end("TERM");
    assert_eq!(ended, Some(0), "{said}");
    assert!(said.contains("the demonstration goes on with what the clock says"), "{said}");
}
