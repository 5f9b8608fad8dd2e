//! The bodies of EST, as OpenSSL reads and writes them.

use std::{path::Path, process::Command};

use koshin_endpoints::est::{OtherNames, certs_only, csr_attributes, decode, encode, same_names};
use koshin_issuance::KeyChoice;
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

/// What OpenSSL says in this folder.
fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let ended = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

fn certificate(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn named(names: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    for (kind, text) in names {
        params.distinguished_name.push(kind.clone(), DnValue::Utf8String((*text).into()));
    }
    params
}

/// The names that certificates of ours have.
fn ours() -> CertificateParams {
    let mut params =
        named(&[(DnType::CountryName, "JP"), (DnType::OrganizationName, "更新商店"), (DnType::CommonName, "U-1001")]);
    params.subject_alt_names.push(SanType::Rfc822Name("taro@example.jp".try_into().unwrap()));
    params
}

#[test]
fn openssl_reads_the_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let certificates: Vec<_> =
        ["one", "two", "three"].map(|name| certificate(&named(&[(DnType::CommonName, name)]))).into();
    let message = certs_only(certificates.iter().map(Vec::as_slice));
    std::fs::write(folder.path().join("body"), encode(&message)).unwrap();
    openssl(folder.path(), &["base64", "-d", "-in", "body", "-out", "message"]);
    let printed = openssl(folder.path(), &["pkcs7", "-inform", "DER", "-in", "message", "-print_certs", "-noout"]);
    for name in ["one", "two", "three"] {
        assert_eq!(printed.matches(&format!("subject=CN = {name}\n")).count(), 1, "{printed}");
    }
    // A set of DER is in order, whatever order it was given in.
    assert_eq!(certs_only(certificates.iter().rev().map(Vec::as_slice)), message);
    openssl(folder.path(), &["cms", "-cmsout", "-inform", "DER", "-in", "message", "-print", "-noout"]);
}

#[test]
fn openssl_reads_what_may_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let parsed = |keys: &[KeyChoice]| {
        std::fs::write(folder.path().join("attributes"), csr_attributes(keys)).unwrap();
        openssl(folder.path(), &["asn1parse", "-inform", "DER", "-in", "attributes"])
    };
    // Nothing that the profile does not take.
    let one = parsed(&[KeyChoice::P384]);
    assert!(one.contains(":secp384r1") && !one.contains(":prime256v1") && !one.contains(":rsaEncryption"), "{one}");
    let rsa = parsed(&[KeyChoice::Rsa { from_bits: 4096 }, KeyChoice::Rsa { from_bits: 3072 }]);
    assert!(rsa.contains(":0C00") && !rsa.contains(":1000") && !rsa.contains(":id-ecPublicKey"), "{rsa}");
    let parsed = parsed(&[]);
    for expected in [":id-ecPublicKey", ":prime256v1", ":secp384r1", ":rsaEncryption", ":0800"] {
        assert_eq!(parsed.matches(expected).count(), 1, "{expected}: {parsed}");
    }
    assert!(!parsed.contains("extReq") && !parsed.contains("challengePassword"));
}

/// A request as OpenSSL makes it, by way of a body.
fn request(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key"];
    openssl(folder, &[&new[..], &["-utf8", "-outform", "DER", "-out", "request"], arguments].concat());
    decode(openssl(folder, &["base64", "-in", "request"]).as_bytes()).unwrap()
}

#[test]
fn names_are_compared_by_their_texts() {
    let folder = tempfile::tempdir().unwrap();
    let own = certificate(&ours());
    let asked = |arguments: &[&str]| same_names(&request(folder.path(), arguments), &own);
    // OpenSSL writes the country as another string type.
    let subject = "/C=JP/O=更新商店/CN=U-1001";
    assert_eq!(asked(&["-subj", "/"]), Ok(()));
    assert_eq!(asked(&["-subj", subject]), Ok(()));
    assert_eq!(asked(&["-subj", subject, "-addext", "subjectAltName=email:taro@example.jp"]), Ok(()));
    assert_eq!(asked(&["-subj", "/", "-addext", "extendedKeyUsage=serverAuth"]), Ok(()), "it is not taken");
    for other in [
        "/C=JP/O=更新商店/CN=U-1002",
        "/CN=U-1001",
        "/CN=U-1001/O=更新商店/C=JP",
        "/C=JP/O=更新商店/CN=u-1001",
        "/C=JP/O=更新商店/CN=U-1001/CN=U-1001",
        "/C=JP/O=更新商店+CN=U-1001",
    ] {
        assert_eq!(asked(&["-subj", other]), Err(OtherNames::Subject), "{other}");
    }
    for other in ["email:hana@example.jp", "email:taro@example.jp,email:hana@example.jp", "DNS:example.jp"] {
        let asked = asked(&["-subj", subject, "-addext", &format!("subjectAltName={other}")]);
        assert_eq!(asked, Err(OtherNames::AlternativeName), "{other}");
    }
    let bare = certificate(&named(&[(DnType::CommonName, "U-1001")]));
    let named = request(folder.path(), &["-subj", "/CN=U-1001", "-addext", "subjectAltName=email:taro@example.jp"]);
    assert_eq!(same_names(&named, &bare), Err(OtherNames::AlternativeName));
    assert_eq!(same_names(b"x", &own), Err(OtherNames::Unreadable));
    assert_eq!(same_names(&named, b"x"), Err(OtherNames::Certificate));
}
