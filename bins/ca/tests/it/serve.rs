//! The service over real sockets.

use std::{fs, os::unix::net::UnixDatagram, time::Duration};

use koshin_sqlite::{LedgerStore, Options};
use serde_json::json;

use crate::{
    program::{eventually, run},
    site::Site,
};

#[test]
fn issues_publishes_and_revokes() {
    let site = Site::new();
    let server = site.serve();
    assert_eq!(site.published(&server, "/livez").status, 200);
    eventually("it gets ready", || site.published(&server, "/readyz").status == 200);
    let order = site.order(1);
    let issued = site.issue(&server, &order);
    assert_eq!(site.issue(&server, &order).body, issued.body, "the same order gets the same certificate");
    site.keep(&issued, "user.pem");
    site.fetch_list(&server, "issuing");
    assert_eq!(site.verify("user.pem", "issuing").status, 0);
    eventually("there is a responder", || {
        let answer =
            run(site.folder(), "curl", ["-s", &format!("http://127.0.0.1:{}/ocsp/issuing", server.publication)]);
        answer.status == 0 && site.published(&server, "/readyz").status == 200
    });
    assert_eq!(site.ocsp(&server, "user.pem", "issuing"), "good");
    // The CA's own certificate is where the user's says.
    run(
        site.folder(),
        "curl",
        ["-s", "-f", "-o", "aia.der", &format!("http://127.0.0.1:{}/issuing.cer", server.publication)],
    )
    .done();
    run(site.folder(), "openssl", ["x509", "-inform", "DER", "-in", "aia.der", "-noout"]).done();

    let serial = issued.serial();
    let body = json!({"serial": serial, "reason": "keyCompromise", "revoked_at": order["now"], "now": order["now"]});
    let revoked = site.post(&server, "/v1/revoke", &body).ok();
    assert_eq!(revoked["reason"], "keyCompromise");
    eventually("the list has it", || site.fetch_list(&server, "issuing").contains(&serial));
    assert!(site.verify("user.pem", "issuing").err.contains("certificate revoked"));
    assert_eq!(site.ocsp(&server, "user.pem", "issuing"), "revoked");
    let changes = site.api(&server, "portal", "/v1/changes?since=0", &[]).ok();
    let kinds: Vec<_> = changes["changes"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["issued", "revoked"]);
    server.stop();
    // And after a restart.
    let server = site.serve();
    assert!(site.fetch_list(&server, "issuing").contains(&serial));
    eventually("there is a responder", || site.ocsp(&server, "user.pem", "issuing") == "revoked");
    server.stop();
    // The heads of its audit log were signed and kept.
    let heads = site.path("audit/heads");
    let verified = site.run(&format!("audit verify --json --heads {}", heads.display())).done();
    assert!(verified.out.contains("\"newest_head\""), "{verified:?}");
    let text = fs::read_to_string(&heads).unwrap();
    fs::write(&heads, text.replacen("\"sequence\":", "\"sequence\":1", 1)).unwrap();
    assert_ne!(site.run(&format!("audit verify --json --heads {}", heads.display())).status, 0);
}

#[test]
fn only_the_configured_client_gets_through() {
    let site = Site::new();
    site.ca(["client", "stranger", "--dir", "ca-site/clients"]).done();
    let server = site.serve();
    assert_eq!(site.api(&server, "portal", "/v1/ca", &[]).status, 200);
    assert_eq!(site.api(&server, "stranger", "/v1/ca", &[]).status, 0, "the handshake fails");
    assert_eq!(site.api_without(&server, "/v1/ca", &[]).status, 0);
    // Its certificate alone, which is no secret, does not help either.
    let own = site.path("clients/stranger.key").to_str().unwrap().to_owned();
    let shown = site.path("clients/portal.pem").to_str().unwrap().to_owned();
    assert_eq!(site.api_without(&server, "/v1/ca", &["--cert", &shown, "--key", &own]).status, 0);
    server.stop();
    // Known, but for nothing.
    let digest = run(
        site.folder(),
        "openssl",
        ["x509", "-in", "ca-site/clients/stranger.pem", "-noout", "-fingerprint", "-sha256"],
    );
    let digest = digest.done().out.trim().rsplit('=').next().unwrap().to_owned();
    let text = fs::read_to_string(site.config()).unwrap();
    let table =
        format!("[clients.stranger]\nfingerprints = [\"{digest}\"]\nprofiles = []\nrights = [\"changes\"]\n\n[[ca]]");
    fs::write(site.config(), text.replace("[[ca]]", &table)).unwrap();
    let server = site.serve();
    assert_eq!(site.api(&server, "stranger", "/v1/changes?since=0", &[]).status, 200);
    let order = site.order(1).to_string();
    let words = ["-H", "content-type: application/json", "--data-binary", &order];
    assert_eq!(site.api(&server, "stranger", "/v1/issue", &words).status, 403);
    server.stop();
}

#[test]
fn a_wrong_clock_stops_signing_and_nothing_else() {
    let site = Site::new();
    let server = site.serve();
    let issued = site.issue(&server, &site.order(1));
    site.keep(&issued, "user.pem");
    eventually("there is a responder", || site.published(&server, "/readyz").status == 200);
    server.stop();
    // The clock was two days ahead once, and the ledger has it on record.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = LedgerStore::open(&site.path("koshin-ca.db"), &Options::default()).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the program's own clock is meant")]
        let ahead = time::UtcDateTime::now() + time::Duration::days(2);
        store.confirm_clock("operator:x", ahead.replace_millisecond(0).unwrap()).await.unwrap();
        store.shut_down().await;
    });
    let status = site.run("clock status --json");
    assert_eq!(status.status, 4, "{status:?}");
    assert!(status.out.contains("\"behind\"") && status.err.contains("koshin-ca clock confirm"));
    let server = site.serve();
    let order = site.order(2);
    let held = site.issue(&server, &order);
    assert_eq!(held.status, 503, "{held:?}");
    assert!(site.published(&server, "/readyz").body.contains("clock: in doubt"));
    assert_eq!(site.run("crl publish").status, 4);
    // What is issued already is handed out, and revoking goes on.
    let serial = issued.serial();
    site.run(&format!("revoke {serial} --reason superseded")).done();
    let confirmed = site.run("clock confirm --as somebody --json").one();
    assert_eq!((&confirmed["state"], &confirmed["confirmed"]), (&json!("trusted"), &json!(true)));
    assert_eq!(site.run("clock status --json").one().get("confirmed"), None);
    eventually("it issues again", || site.issue(&server, &order).status == 200);
    eventually("and publishes", || site.fetch_list(&server, "issuing").contains(&serial));
    server.stop();
}

/// However it is sent, an answer says that it is too large. More than a mebibyte is not let in under HTTP/2: the answer is
/// there, but curl may see nothing but the end of the stream behind it.
#[test]
fn a_body_that_is_too_large_is_answered() {
    let site = Site::new();
    let server = site.serve();
    let file = site.folder().join("body");
    let both = [65_537, 100_000, 300_000, 1_000_000].map(|octets| [(octets, "--http1.1"), (octets, "--http2")]);
    for (octets, protocol) in both.into_iter().flatten().chain([(3_000_000, "--http1.1")]) {
        fs::write(&file, vec![b' '; octets]).unwrap();
        let body = format!("@{}", file.display());
        let words = [protocol, "-X", "POST", "-H", "content-type: application/json", "--data-binary", &body];
        for _ in 0..3 {
            let answer = site.api(&server, "portal", "/v1/issue", &words);
            assert_eq!(answer.status, 413, "{octets} {protocol}: {answer:?}");
        }
    }
    server.stop();
}

#[test]
fn systemd_is_told() {
    let mut site = Site::new();
    let socket = site.folder().join("notify");
    let told = UnixDatagram::bind(&socket).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    site.environment = vec![("NOTIFY_SOCKET".to_owned(), socket.to_str().unwrap().to_owned())];
    let heard = || {
        let mut octets = [0; 256];
        let length = told.recv(&mut octets).unwrap();
        String::from_utf8_lossy(&octets[..length]).into_owned()
    };
    let server = site.serve();
    assert!(heard().contains("READY=1"));
    server.stop();
    assert!(heard().contains("STOPPING=1"));
}
