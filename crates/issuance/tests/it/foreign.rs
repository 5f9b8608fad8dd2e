//! Foreign judges: openssl reads and verifies what the CA and its ceremonies make.

use crate::support::csr::EcKey;
use crate::support::rsa::{RsaKey, prime};
use crate::support::tool::{Answer, Desk, openssl, openssl_ok};
use crate::support::{Authority, NOW, accept, days, profile_config, random, serial, subject};
use koshin_issuance::{AuthorityName, Curve, ProfileConfig, create_server_ca, create_server_certificate, pem};

fn verify(desk: &Desk, purpose: &str, anchor: &[u8], between: &[u8], leaf: &[u8], more: &[&str]) -> Answer {
    let file = |name: &str, der: &[u8]| desk.put(name, pem("CERTIFICATE", der));
    let (anchor, leaf) = (file("anchor.pem", anchor), file("leaf.pem", leaf));
    let (between, at) = (file("between.pem", between), (NOW + 60).to_string());
    let common = ["verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose, "-attime", &at, "-CAfile", &anchor];
    openssl(&[&common[..], &["-untrusted", &between], more, &[&leaf]].concat(), b"")
}

#[test]
fn openssl_accepts_client_certificates() {
    let desk = Desk::new();
    let rsa = RsaKey::new(&[(prime("P"), 1), (prime("Q"), 1)]);
    for curve in [Curve::P256, Curve::P384] {
        for config in [profile_config(), ProfileConfig::default()] {
            let authority = Authority::with(curve, config);
            for csr in [EcKey::p256().csr(), EcKey::p384().csr(), rsa.csr()] {
                for mail in [None, Some("taro@example.jp")] {
                    let prepared = authority.ca.prepare(accept(&csr), &subject(), mail, serial(7), days(365)).unwrap();
                    let leaf = authority.ca.issue(prepared.recorded()).unwrap();
                    let root = authority.root.certificate_der();
                    let client = verify(&desk, "sslclient", root, &authority.issuing, leaf.der(), &[]);
                    assert!(client.good, "{}", client.text());
                    let server = verify(&desk, "sslserver", root, &authority.issuing, leaf.der(), &[]);
                    assert!(!server.good, "a client certificate is no server's");
                }
            }
        }
    }
}

#[test]
fn openssl_reads_japanese_names() {
    let authority = Authority::new();
    let prepared = authority.ca.prepare(accept(&EcKey::p256().csr()), &subject(), None, serial(7), days(365)).unwrap();
    let leaf = authority.ca.issue(prepared.recorded()).unwrap();
    let names =
        ["x509", "-inform", "DER", "-noout", "-subject", "-issuer", "-serial", "-nameopt", "utf8,sep_comma_plus"];
    let text = String::from_utf8(openssl_ok(&names, leaf.der())).unwrap();
    assert!(text.contains("subject=C=JP,O=更新商店株式会社,CN=U-1001 山田太郎"), "{text}");
    assert!(text.contains("issuer=C=JP,O=更新信用金庫,CN=更新電子証明書認証局"), "{text}");
    assert!(text.contains(&format!("serial={}", serial(7))), "{text}");
}

#[test]
fn openssl_holds_the_server_ca_to_its_names() {
    let desk = Desk::new();
    let name = AuthorityName::new(None, "Koshin demo", "Koshin demo server CA").unwrap();
    let hosts = ["localhost", "activate.localhost"];
    let ca = create_server_ca(&name, &hosts, serial(1), days(7), &random()).unwrap();
    let server =
        |names: &[&str]| create_server_certificate("Koshin demo", names, &ca, serial(2), days(7), &random()).unwrap();
    let judge = |names: &[&str], purpose: &str, host: &str| {
        let leaf = server(names);
        let hostname = ["-verify_hostname", host];
        verify(&desk, purpose, ca.certificate_der(), ca.certificate_der(), leaf.certificate_der(), &hostname)
    };
    for host in hosts {
        let answer = judge(&hosts, "sslserver", host);
        assert!(answer.good, "{}", answer.text());
    }
    let outside = judge(&["evil.example"], "sslserver", "evil.example");
    assert!(!outside.good && outside.text().contains("permitted subtree violation"), "{}", outside.text());
    assert!(!judge(&hosts, "sslclient", "localhost").good, "a server's certificate is no client's");
}

#[test]
fn openssl_reads_the_keys() {
    let authority = Authority::new();
    let public = openssl_ok(&["pkey", "-pubout", "-outform", "DER"], authority.root.pkcs8_pem().as_bytes());
    let certificate = authority.root.certificate_pem();
    let certified = openssl_ok(&["x509", "-noout", "-pubkey"], certificate.as_bytes());
    assert_eq!(openssl_ok(&["pkey", "-pubin", "-outform", "DER"], &certified), public);
}
