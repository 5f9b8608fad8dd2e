//! Private keys, in whatever shape people have them: named, never read further, never kept.

use super::{Case, judge};
use crate::support::csr::EcKey;
use crate::support::tool::{Desk, openssl_ok, tool_ok};
use koshin_issuance::{Rejected, pem};

const CODE: &str = "request.private_key_pasted";

/// What openssl makes of one key.
struct Keys {
    sec1: Vec<u8>,
    pkcs8: Vec<u8>,
    encrypted: Vec<u8>,
    pkcs1: Vec<u8>,
    pkcs12: Vec<u8>,
}

impl Keys {
    fn new(desk: &Desk) -> Self {
        let sec1 = openssl_ok(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"], b"");
        let pkcs8 = openssl_ok(&["pkcs8", "-topk8", "-nocrypt"], &sec1);
        let encrypted = openssl_ok(&["pkcs8", "-topk8", "-passout", "pass:x"], &sec1);
        let pkcs1 = openssl_ok(&["genrsa", "-traditional", "2048"], b"");
        let key = desk.put("key.pem", &pkcs8);
        let certificate = openssl_ok(&["req", "-x509", "-new", "-key", &key, "-subj", "/CN=x"], b"");
        let pkcs12 = openssl_ok(&["pkcs12", "-export", "-inkey", &key, "-passout", "pass:x"], &certificate);
        Self { sec1, pkcs8, encrypted, pkcs1, pkcs12 }
    }
}

pub(super) fn cases(key: &EcKey) -> Vec<Case> {
    let desk = Desk::new();
    let keys = Keys::new(&desk);
    let request = pem("CERTIFICATE REQUEST", &key.csr());
    let der = |text: &[u8], form: &[&str]| openssl_ok(&[form, &["-outform", "DER"]].concat(), text);
    let octets = der(&keys.pkcs8, &["pkcs8", "-topk8", "-nocrypt"]);
    let bare = |text: &[u8]| {
        String::from_utf8_lossy(text).lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes()
    };
    let text = String::from_utf8_lossy(&keys.pkcs8).into_owned();
    let relabelled = text.replace("PRIVATE KEY", "CERTIFICATE REQUEST");
    let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let protected = ["pkcs8", "-topk8", "-passout", "pass:x"];
    let mut cases = vec![
        ("SEC 1, PEM", keys.sec1.clone()),
        ("SEC 1 with its parameters", openssl_ok(&["ecparam", "-name", "prime256v1", "-genkey"], b"")),
        ("PKCS#8, PEM", keys.pkcs8.clone()),
        ("encrypted PKCS#8, PEM", keys.encrypted.clone()),
        ("PKCS#1, PEM", keys.pkcs1.clone()),
        ("a key beside a request", [request.as_bytes(), &keys.pkcs8].concat()),
        ("a request beside a key", [&keys.pkcs8[..], request.as_bytes()].concat()),
        ("PKCS#8, damaged PEM", keys.pkcs8[1..].to_vec()),
        ("PKCS#8, half of it", keys.pkcs8[..keys.pkcs8.len() / 2].to_vec()),
        ("PKCS#8, only Base64", bare(&keys.pkcs8)),
        ("PKCS#8 labelled as a request", relabelled.clone().into_bytes()),
        ("PKCS#8 labelled as a certificate", relabelled.replace(" REQUEST", "").into_bytes()),
        ("PKCS#8, UTF-16", wide(u16::to_le_bytes)),
        ("PKCS#8, UTF-16, the other order", wide(u16::to_be_bytes)),
        ("PKCS#8 with a label in small letters", text.replace("PRIVATE KEY", "private key").into_bytes()),
        ("SEC 1, DER", der(&keys.sec1, &["ec"])),
        ("PKCS#8, DER", octets.clone()),
        ("PKCS#8, DER and a line break", [&octets[..], b"\n"].concat()),
        ("PKCS#8, DER, cut", octets[..octets.len() - 3].to_vec()),
        ("PKCS#8, BER", [&[0x30, 0x80][..], &octets[3..], &[0, 0]].concat()),
        ("encrypted PKCS#8, DER", der(&keys.pkcs8, &protected)),
        ("encrypted PKCS#8, only Base64", bare(&keys.encrypted)),
        ("PKCS#1, DER", der(&keys.pkcs1, &["rsa", "-traditional"])),
        ("PKCS#1, only Base64", bare(&keys.pkcs1)),
        ("PKCS#12", keys.pkcs12.clone()),
        ("PKCS#12, cut", keys.pkcs12[..500].to_vec()),
        ("PKCS#12, PEM", pem("PKCS12", &keys.pkcs12).into_bytes()),
        ("PKCS#12, only Base64", bare(pem("X", &keys.pkcs12).as_bytes())),
        (
            "PVK",
            openssl_ok(
                &["rsa", "-outform", "PVK", "-pvk-none", "-provider", "default", "-provider", "legacy"],
                &keys.pkcs1,
            ),
        ),
        ("OpenSSH's file without its lines", b"openssh-key-v1\0\0\0\0\x04none".to_vec()),
        (
            "OpenSSH's Base64 without its lines",
            b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz".to_vec(),
        ),
        ("PuTTY's", b"PuTTY-User-Key-File-3: ssh-rsa\nPublic-Lines: 6\nAAAA\nPrivate-Lines: 14\nAAAB\n".to_vec()),
        ("a JSON Web Key", br#"{"kty":"EC","crv":"P-256","x":"f83O","y":"x_FE","d":"jpsQ"}"#.to_vec()),
        (".NET's XML", b"<RSAKeyValue><Modulus>AQAB</Modulus><D>AQAB</D></RSAKeyValue>".to_vec()),
    ];
    cases.extend(other_programs(&desk));
    cases.into_iter().map(|(name, octets)| (name, octets, CODE)).collect()
}

/// Key files as `GnuTLS`, NSS and Java write them.
fn other_programs(desk: &Desk) -> Vec<(&'static str, Vec<u8>)> {
    let certtool = |arguments: &[&str]| tool_ok("certtool", arguments, b"");
    let key = desk.put("gnutls.pem", certtool(&["--generate-privkey", "--key-type=ecdsa", "--curve=secp256r1"]));
    let p12 = ["--to-p12", "--load-privkey", &key, "--p12-name=x", "--password=x", "--outder"];
    let mut files = vec![
        ("GnuTLS, PEM with a text before it", std::fs::read(&key).unwrap()),
        ("GnuTLS, encrypted", certtool(&["--to-p8", "--load-privkey", &key, "--password=x"])),
        ("GnuTLS, PKCS#12", certtool(&p12)),
    ];
    for (name, form) in [("Java, JKS", "JKS"), ("Java, JCEKS", "JCEKS"), ("Java, PKCS#12", "PKCS12")] {
        let store = desk.path(form);
        let common = ["-genkeypair", "-alias", "a", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=x"];
        tool_ok(
            "keytool",
            &[&common[..], &["-keystore", &store, "-storetype", form, "-storepass", "changeit"]].concat(),
            b"",
        );
        files.push((name, std::fs::read(store).unwrap()));
    }
    files
}

#[test]
fn every_label_of_a_private_key_is_known() {
    for label in [
        "PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "DSA PRIVATE KEY",
        "DH PRIVATE KEY",
        "X25519 PRIVATE KEY",
        "ED25519 PRIVATE KEY",
        "ANY PRIVATE KEY",
        "TSS2 PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "SSH2 ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        for dashes in ["-----", "---- "] {
            for text in [label.to_owned(), label.to_lowercase()] {
                let begun = format!("{dashes}BEGIN {text}{}\nAAAA\n", dashes.trim());
                assert_eq!(judge(begun.as_bytes()), Err(Rejected::PrivateKeyPasted), "{begun}");
            }
        }
    }
}

#[test]
fn words_about_private_keys_are_no_keys() {
    let request = pem("CERTIFICATE REQUEST", &EcKey::p256().csr());
    for note in ["X509v3 Private Key Usage Period:", "made with my private key", "{\"kty\":\"EC\"}", "<RSAKeyValue>"] {
        assert!(judge(format!("{note}\n{request}").as_bytes()).is_ok(), "{note}");
    }
}

#[test]
fn nothing_of_a_private_key_is_kept() {
    let keys = Keys::new(&Desk::new());
    let refused = judge(&keys.pkcs8).unwrap_err();
    let said = format!("{refused:?} {refused} {}", refused.code());
    let secret = String::from_utf8(keys.pkcs8).unwrap();
    let lines = secret.lines().filter(|line| !line.starts_with('-'));
    assert!(
        lines.flat_map(|line| line.as_bytes().chunks(8)).all(|part| !said.as_bytes().windows(8).any(|w| w == part))
    );
    assert!(said.contains("it was not kept"), "{said}");
}
