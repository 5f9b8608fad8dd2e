//! What the configuration says about certificates and keys.

use std::fs;

use serde_json::json;

use crate::{
    program::{eventually, run},
    site::{Answer, Site},
};

/// Adds lines to the profile.
fn profile(site: &Site, lines: &str) {
    let text = fs::read_to_string(site.config()).unwrap();
    assert!(text.contains("[profiles.user]\n"));
    fs::write(site.config(), text.replace("[profiles.user]\n", &format!("[profiles.user]\n{lines}\n"))).unwrap();
}

/// A request for a new key, as Base64 of its DER, and SHA-256 of its public key.
fn request(site: &Site, algorithm: &str, option: &str) -> (String, String) {
    let make = ["genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", "p.key"];
    run(site.folder(), "openssl", make).done();
    let sign = ["req", "-new", "-key", "p.key", "-subj", "/CN=x", "-outform", "DER", "-out", "p.der"];
    run(site.folder(), "openssl", sign).done();
    run(site.folder(), "openssl", ["pkey", "-in", "p.key", "-pubout", "-outform", "DER", "-out", "p.spki"]).done();
    let digest = run(site.folder(), "sha256sum", ["p.spki"]).done().out;
    let base64 = run(site.folder(), "base64", ["-w0", "p.der"]).done().out;
    (base64.trim().to_owned(), digest.split(' ').next().unwrap().to_owned())
}

fn refused(answer: &Answer, code: &str) {
    assert!((400..500).contains(&answer.status) && answer.body.contains(code), "{answer:?}");
}

#[test]
fn what_a_profile_says_stands_in_its_certificates() {
    let site = Site::new();
    profile(
        &site,
        "organizational_unit = \"電子契約\"\nmail_in_certificate = false\nextended_key_usages = [\"1.3.6.1.5.5.7.3.4\"]\n\
         policy_oids = [\"1.3.6.1.4.1.99999.1\"]\ncps_url = \"https://ca.example/cps\"\nkeys = [\"P-256\", \"RSA-3072\"]",
    );
    let effective = site.run("config show --effective --json").one();
    assert_eq!(effective["profiles"]["user"]["keys"], json!(["P-256", "RSA-3072"]));
    assert_eq!(effective["profiles"]["user"]["mail_in_certificate"], false);
    let server = site.serve();
    site.keep(&site.issue(&server, &site.order(1)), "one.pem");
    let words = ["x509", "-in", "one.pem", "-noout", "-text", "-nameopt", "utf8,sep_multiline,sname"];
    let text = run(site.folder(), "openssl", words).done().out;
    for part in ["OU=電子契約", "TLS Web Client Authentication, E-mail Protection", "CPS: https://ca.example/cps"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("taro@example.jp"), "{text}");

    for (number, (algorithm, option)) in
        [("EC", "ec_paramgen_curve:P-384"), ("RSA", "rsa_keygen_bits:2048")].into_iter().enumerate()
    {
        let mut order = site.order(u32::try_from(number).unwrap() + 2);
        order["request"] = request(&site, algorithm, option).0.into();
        refused(&site.issue(&server, &order), "profile.key_kind");
    }
    let mut order = site.order(4);
    order["request"] = request(&site, "RSA", "rsa_keygen_bits:3072").0.into();
    site.issue(&server, &order).ok();
    server.stop();
}

#[test]
fn nothing_is_issued_for_a_blocked_key() {
    let site = Site::new();
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("blocked_keys = \"blocked-keys.txt\"\n{text}")).unwrap();
    let missing = site.run("config check");
    assert!(missing.refused(3).contains("blocked_keys: "), "{missing:?}");
    fs::write(site.path("blocked-keys.txt"), "# none\nabc\n").unwrap();
    assert!(site.run("config check").refused(1).contains("line 2 of the block list"));

    let (request, digest) = request(&site, "EC", "ec_paramgen_curve:P-256");
    fs::write(site.path("blocked-keys.txt"), format!("{digest}  # it was in a repository\n")).unwrap();
    let server = site.serve();
    let mut order = site.order(1);
    order["request"] = request.into();
    refused(&site.issue(&server, &order), "request.key_blocked");
    eventually("others are served", || site.issue(&server, &site.order(2)).status == 200);
    server.stop();
}

#[test]
fn all_that_is_wrong_with_a_profile_is_said_at_once() {
    let site = Site::new();
    profile(
        &site,
        "organizational_unit = \"\"\nextended_key_usages = [\"2.5.29.37.0\"]\ncps_url = \"https://ca.example/cps\"\n\
         keys = [\"p256\", \"rsa\"]",
    );
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), text.replace("max_validity_days = 398", "max_validity_days = 0")).unwrap();
    let ended = site.run("config check");
    let said = ended.refused(2);
    for setting in ["organizational_unit", "extended_key_usages", "cps_url", "keys", "max_validity_days"] {
        assert!(said.contains(&format!("profiles.user.{setting}: ")), "{setting}: {said}");
    }
    assert_eq!(said.matches("a kind of key is P-256").count(), 2, "{said}");
}
