//! A CA whose key is in a token: SoftHSM, behind a proxy that can be killed.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    program::{eventually, run, run_with},
    site::Site,
};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PROXIED: &str = if cfg!(target_arch = "aarch64") {
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so"
} else {
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
};

/// A token `koshin`, and the variables that say where it is.
fn token() -> Site {
    assert!(Path::new(SOFTHSM).is_file(), "these tests need the Debian package softhsm2");
    let mut site = Site::empty();
    let at = |name: &str| site.folder().join(name);
    fs::create_dir(at("tokens")).unwrap();
    let config =
        format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", at("tokens").display());
    fs::write(at("softhsm2.conf"), config).unwrap();
    fs::write(at("pin"), "1234\n").unwrap();
    fs::set_permissions(at("pin"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let environment = vec![
        ("SOFTHSM2_CONF".to_owned(), at("softhsm2.conf").to_str().unwrap().to_owned()),
        ("P11_KIT_SERVER_ADDRESS".to_owned(), format!("unix:path={}", at("socket").display())),
    ];
    let init = ["--init-token", "--free", "--label", "koshin", "--so-pin", "5678", "--pin", "1234"];
    run_with(site.folder(), "softhsm2-util", init, &environment).done();
    site.environment = environment;
    site
}

/// A process of its own that holds the token, and hands it out over a socket.
struct Proxy(Child);

impl Proxy {
    fn start(site: &Site) -> Self {
        let socket = site.folder().join("socket");
        let _ = fs::remove_file(&socket);
        let mut command = Command::new("p11-kit");
        command.args(["server", "--foreground", "--provider", SOFTHSM, "--name"]).arg(&socket);
        command.arg("pkcs11:token=koshin").envs(site.environment.iter().cloned());
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().expect("these tests need the Debian package p11-kit");
        let until = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            assert!(Instant::now() < until, "the proxy does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It leads a group of its own, with a child for each connection.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn a_token_that_is_killed_and_comes_back() {
    let site = token();
    let proxy = Proxy::start(&site);
    site.init(&["--pkcs11-module", PROXIED, "--pkcs11-token", "koshin", "--pkcs11-label", "ca", "--pin-file", "pin"]);
    assert!(!site.path("ca/issuing.key").exists());
    site.run("config check").done();
    let server = site.serve();
    let first = site.issue(&server, &site.order(1));
    site.keep(&first, "user.pem");
    eventually("there is a list", || site.published(&server, "/issuing.crl").status == 200);
    site.fetch_list(&server, "issuing");
    assert_eq!(site.verify("user.pem", "issuing").status, 0);
    eventually("it is ready", || site.published(&server, "/readyz").status == 200);
    assert_eq!(site.ocsp(&server, "user.pem", "issuing"), "good");

    drop(proxy);
    let order = site.order(2);
    let away = site.issue(&server, &order);
    assert_eq!(away.status, 503, "{away:?}");
    assert!(site.published(&server, "/readyz").body.contains("the key does not sign"));
    // Status goes on: the answers are signed by the responder's own key. So does handing out what there is.
    assert_eq!(site.ocsp(&server, "user.pem", "issuing"), "good");
    assert_eq!(site.published(&server, "/issuing.crl").status, 200);
    let status = site.run("status --json").data();
    assert_eq!(status["authorities"][0]["key"]["signs"], false, "{status}");
    assert_eq!(status["certificates"]["unfinished"], 1);

    // Killed with an intent and no signature, and started while the token is still away.
    server.kill();
    let server = site.serve();
    assert_eq!(site.issue(&server, &order).status, 503);
    // Without the CA's key nobody signs what is asked by OCSP.
    let ready = site.published(&server, "/readyz");
    assert!(ready.status == 503 && ready.body.contains("issuing: ocsp_responder_missing\n"), "{ready:?}");
    let _proxy = Proxy::start(&site);
    eventually("what was recorded is signed without being asked for again", || {
        site.run("status --no-key --json").data()["certificates"]["unfinished"] == 0
    });
    let answer = site.issue(&server, &order);
    let promised = site.run("status --no-key --json").data()["newest_serial"].as_str().unwrap().to_owned();
    assert_eq!(answer.serial(), promised, "the serial number that was recorded before");
    eventually("it is ready again", || site.published(&server, "/readyz").status == 200);
    server.stop();
    assert_eq!(site.run("audit replay --json").one()["entries"], 2);
}

#[test]
fn a_wrong_pin_is_said() {
    let site = token();
    site.init(&["--pkcs11-module", SOFTHSM, "--pkcs11-token", "koshin", "--pkcs11-label", "ca", "--pin-file", "pin"]);
    fs::write(site.folder().join("pin"), "0000\n").unwrap();
    let refused = site.run("config check");
    assert!(refused.refused(5).contains("the token refuses the PIN"), "{refused:?}");
    fs::write(site.folder().join("pin"), "1234\n").unwrap();
    site.run("config check").done();
    // The label is taken.
    let words = ["init", "root", "--dir", "r", "--organization", "x", "--pkcs11-module", SOFTHSM];
    let more = ["--pkcs11-token", "koshin", "--pkcs11-label", "ca", "--pin-file", "pin"];
    assert!(site.ca(words.into_iter().chain(more)).refused(4).contains("already"));
}

#[test]
fn an_rsa_key_that_is_in_the_token_already() {
    let site = token();
    let make = ["--module", SOFTHSM, "--token-label", "koshin", "--login", "--pin", "1234", "--keypairgen"];
    let kind = ["--key-type", "rsa:2048", "--label", "made elsewhere", "--id", "01"];
    run_with(site.folder(), "pkcs11-tool", make.into_iter().chain(kind), &site.environment).done();
    let there = ["--pkcs11-module", SOFTHSM, "--pkcs11-token", "koshin", "--pkcs11-label", "made elsewhere"];
    site.init(&[&there[..], &["--pin-file", "pin", "--pkcs11-existing"]].concat());
    let server = site.serve();
    site.keep(&site.issue(&server, &site.order(1)), "user.pem");
    eventually("there is a list", || site.published(&server, "/issuing.crl").status == 200);
    site.fetch_list(&server, "issuing");
    assert_eq!(site.verify("user.pem", "issuing").status, 0);
    let text = run(site.folder(), "openssl", ["x509", "-in", "user.pem", "-noout", "-text"]).done().out;
    assert!(text.contains("sha256WithRSAEncryption"), "{text}");
    server.stop();
}
