//! Both ceremonies, judged by openssl.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    program::{ca, run},
    site::Site,
};

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

fn secret(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn all_at_once() {
    let site = Site::new();
    let folder = site.path("");
    for (root, certificate) in [("ca/root.pem", "ca/issuing.pem"), ("tls/api-ca.pem", "tls/api.pem")] {
        run(&folder, "openssl", ["verify", "-x509_strict", "-CAfile", root, certificate]).done();
    }
    for private in ["ca/root.key", "ca/issuing.key", "tls/api.key", "clients/portal.key", "koshin-ca.db"] {
        assert_eq!(mode(&site.path(private)), 0o600, "{private}");
    }
    let checked = site.run("config check --json").one();
    assert_eq!(checked["ok"], true);
    let effective = site.run("config show --effective --json").one();
    assert_eq!(effective["crl"]["valid_hours"], 168);
    assert_eq!(effective["ca"][0]["key"], "ca/issuing.key");
    // Nothing is ever replaced.
    let before = fs::read(site.path("ca/issuing.key")).unwrap();
    let again = site.ca(["init", "--dir", "ca-site", "--organization", "x"]);
    assert!(again.refused(4).contains("exists already"));
    assert_eq!(fs::read(site.path("ca/issuing.key")).unwrap(), before);
}

#[test]
fn in_two_steps_with_an_offline_root() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    secret(&folder.join("root-pass"), "root secret\n");
    secret(&folder.join("ca-pass"), "発行 secret\n");
    ca(folder, "init root --dir r --organization Midori --passphrase-file root-pass").done();
    let asked = ca(folder, "init request --dir c --organization Midori --passphrase-file ca-pass --json").one();
    let digest = asked["key_fingerprint"].as_str().unwrap();
    run(folder, "openssl", ["req", "-in", "c/ca/issuing.csr", "-noout", "-verify"]).done();
    for key in ["r/root.key", "c/ca/issuing.key"] {
        let text = fs::read_to_string(folder.join(key)).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key}");
        assert_eq!(mode(&folder.join(key)), 0o600);
    }
    // Another key than the one that was read out over the telephone.
    let sign = "init sign c/ca/issuing.csr --root-dir r --passphrase-file root-pass --out issuing.pem";
    let other = ca(
        folder,
        &format!(
            "{sign} --key-fingerprint {}",
            digest.replace(|c: char| c == digest.chars().next().unwrap(), "e").replacen('e', "f", 1)
        ),
    );
    assert!(other.refused(5).contains("nothing was signed"));
    // Another passphrase.
    let wrong = ca(folder, &sign.replace("root-pass", "ca-pass"));
    assert!(wrong.refused(5).contains("the passphrase does not open it"), "{wrong:?}");
    assert!(!folder.join("issuing.pem").exists());
    let signed = ca(folder, &format!("{sign} --key-fingerprint {digest} --json")).one();
    assert_eq!(signed["key_fingerprint"], digest);
    // Without its certificate the CA is none yet.
    assert_eq!(ca(folder, "config check --config c/koshin-ca.toml").status, 3);
    for command in ["status", "serve", "crl show"] {
        let waits = ca(folder, &format!("{command} --config c/koshin-ca.toml"));
        let said = waits.refused(4);
        assert!(said.contains("c/ca/issuing.csr") && said.contains("koshin-ca init install"), "{said}");
    }
    // A certificate that is not for this key.
    ca(folder, "init --dir other --organization Other").done();
    let foreign = ca(folder, "init install other/ca/issuing.pem --root other/ca/root.pem --dir c");
    assert!(foreign.refused(4).contains("the signer holds the key"), "{foreign:?}");
    assert!(!folder.join("c/ca/issuing.pem").exists() && !folder.join("c/koshin-ca.db").exists());
    ca(folder, "init install issuing.pem --root r/root.pem --dir c").done();
    run(folder, "openssl", ["verify", "-x509_strict", "-CAfile", "r/root.pem", "c/ca/issuing.pem"]).done();
    ca(folder, "config check --config c/koshin-ca.toml").done();
    assert!(ca(folder, "init install issuing.pem --root r/root.pem --dir c").refused(4).contains("exists already"));
}

#[test]
fn a_request_that_is_none_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    ca(folder, "init root --dir r --organization Midori").done();
    fs::write(folder.join("x.csr"), "nonsense").unwrap();
    assert!(ca(folder, "init sign x.csr --root-dir r").refused(2).contains("x.csr is refused"));
    run(folder, "openssl", ["genrsa", "-out", "weak.key", "1024"]).done();
    run(folder, "openssl", ["req", "-new", "-key", "weak.key", "-subj", "/CN=x", "-out", "weak.csr"]).done();
    ca(folder, "init sign weak.csr --root-dir r").refused(2);
    ca(folder, "init sign missing.csr --root-dir r").refused(3);
}

#[test]
fn an_encrypted_key_opens_with_its_passphrase_alone() {
    let site = Site::empty();
    secret(&site.folder().join("pass"), "right\n");
    site.init(&["--passphrase-file", "pass"]);
    site.run("config check").done();
    // What was typed relative to where it was typed, is written so that it is found from everywhere.
    assert!(fs::read_to_string(site.config()).unwrap().contains(site.folder().join("pass").to_str().unwrap()));
    secret(&site.folder().join("pass"), "wrong\n");
    let wrong = site.run("config check");
    assert!(wrong.refused(5).contains("the passphrase does not open it"), "{wrong:?}");
    assert_eq!(site.run("serve").status, 5);
    fs::set_permissions(site.folder().join("pass"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(site.run("config check").refused(5).contains("mode 0644"));
}

#[test]
fn a_passphrase_may_be_a_credential() {
    let mut site = Site::empty();
    let folder = site.folder().join("credentials");
    fs::create_dir(&folder).unwrap();
    secret(&folder.join("ca-pass"), "right\n");
    let environment = vec![("CREDENTIALS_DIRECTORY".to_owned(), folder.to_str().unwrap().to_owned())];
    site.environment = environment;
    site.init(&["--passphrase-file", "credential:ca-pass"]);
    site.run("config check").done();
    let server = site.serve();
    assert_eq!(site.issue(&server, &site.order(1)).status, 200);
    server.stop();
}

#[test]
fn everything_wrong_with_a_configuration_is_said_at_once() {
    let site = Site::new();
    let good = fs::read_to_string(site.config()).unwrap();
    let bad = good
        .replace("\"ca/issuing.key\"", "\"ca/nowhere.key\"")
        .replace("clients/portal.pem\"]\nprofiles", "clients/nobody.pem\"]\nprofiles");
    fs::write(site.config(), bad).unwrap();
    let said = site.run("config check");
    let said = said.refused(3);
    assert!(said.contains("ca[0].key") && said.contains("clients.portal.certificates"), "{said}");
    fs::write(site.config(), format!("{good}\nissues_form = 1\n")).unwrap();
    assert!(site.run("config check").refused(1).contains("issues_form"));
    fs::write(site.config(), good.replace("profiles = [\"user\"]\n", "profiles = [\"admin\"]\n")).unwrap();
    assert!(site.run("config check").refused(1).contains("there is no profile \"admin\""));
}
