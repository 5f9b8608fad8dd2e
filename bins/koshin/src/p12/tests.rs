use std::{
    path::Path,
    process::{Command, Output},
};

use koshin_ra::NoEntropy;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;

use super::{new_key_and_request, pkcs12};

const ASCII: &str = "k7mq-2xvf-9abc-defg-hijk";
const JAPANESE: &str = "電子証明書の合言葉・更新";

#[test]
fn the_request_is_signed_by_its_key() {
    let (key, request) = new_key_and_request().unwrap();
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("request.der"), &request).unwrap();
    let output = run(folder.path(), "openssl", &["req", "-inform", "DER", "-in", "request.der", "-verify", "-text"]);
    assert!(output.contains("self-signature verify OK"), "{output}");
    assert!(output.contains("prime256v1"), "{output}");

    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.as_slice())).unwrap();
    std::fs::write(folder.path().join("key.pem"), pair.serialize_pem()).unwrap();
    let of_key = run(folder.path(), "openssl", &["pkey", "-in", "key.pem", "-pubout"]);
    let of_request =
        run(folder.path(), "openssl", &["req", "-inform", "DER", "-in", "request.der", "-pubkey", "-noout"]);
    assert_eq!(of_key, of_request);
    let (another, _) = new_key_and_request().unwrap();
    assert_ne!(*key, *another);
}

#[test]
fn openssl_takes_key_certificate_and_chain_out_again() {
    for passphrase in [ASCII, JAPANESE] {
        let person = Person::new(passphrase);
        let folder = person.folder.path();
        let text =
            run(folder, "openssl", &["pkcs12", "-in", "person.p12", "-info", "-nodes", "-passin", &person.pass()]);
        assert!(text.contains("friendlyName"), "{text}");
        assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "{text}");
        let key = text.split("-----BEGIN PRIVATE KEY-----").nth(1).unwrap();
        let key =
            format!("-----BEGIN PRIVATE KEY-----{}", key.split_inclusive("-----END PRIVATE KEY-----").next().unwrap());
        assert_eq!(KeyPair::from_pem(&key).unwrap().public_key_raw(), person.public_key.as_slice());
    }
}

#[test]
fn the_file_says_which_algorithms_protect_it() {
    let person = Person::new(ASCII);
    let arguments = ["pkcs12", "-in", "person.p12", "-info", "-noout", "-passin", &person.pass()];
    let output = output(person.folder.path(), "openssl", &arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("MAC: sha256, Iteration 2048"), "{text}");
    assert!(text.contains("MAC length: 32, salt length: 8"), "{text}");
    let encryption = "PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256";
    assert_eq!(text.matches(encryption).count(), 2, "{text}");
}

#[test]
fn nss_lists_it() {
    for passphrase in [ASCII, JAPANESE] {
        let person = Person::new(passphrase);
        let text = run(person.folder.path(), "pk12util", &["-l", "person.p12", "-W", passphrase]);
        assert!(text.contains("花子 (A123)"), "{text}");
        assert!(text.contains("Key(shrouded)"), "{text}");
        assert_eq!(text.matches("Subject:").count(), 2, "{text}");
    }
}

#[test]
fn java_lists_a_private_key_entry() {
    let person = Person::new(ASCII);
    let arguments = ["-list", "-v", "-storetype", "PKCS12", "-keystore", "person.p12", "-storepass", ASCII];
    let text = run(person.folder.path(), "keytool", &arguments);
    assert!(text.contains("PrivateKeyEntry"), "{text}");
    assert!(text.contains("Certificate chain length: 2"), "{text}");
}

#[test]
fn gnutls_lists_it() {
    for passphrase in [ASCII, JAPANESE] {
        let person = Person::new(passphrase);
        let arguments = ["--p12-info", "--inder", "--infile", "person.p12", "--password", passphrase];
        let text = run(person.folder.path(), "certtool", &arguments);
        assert!(text.contains("BEGIN CERTIFICATE"), "{text}");
        assert!(text.contains("PRIVATE KEY"), "{text}");
    }
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let person = Person::new(ASCII);
    let output =
        output(person.folder.path(), "openssl", &["pkcs12", "-in", "person.p12", "-noout", "-passin", "pass:wrong"]);
    assert!(!output.status.success());
}

#[test]
fn a_foreign_certificate_is_refused() {
    let person = Person::new(ASCII);
    let (other, _) = new_key_and_request().unwrap();
    let error = pkcs12(&other, &person.certificate, &[], ASCII, "x", random).unwrap_err();
    assert_eq!(error.to_string(), "the certificate was issued for another key");
}

#[test]
fn without_randomness_there_is_no_file() {
    let person = Person::new(ASCII);
    let error = pkcs12(&person.key, &person.certificate, &[], ASCII, "x", |_| Err(NoEntropy)).unwrap_err();
    assert!(error.is::<NoEntropy>(), "{error}");
}

/// A key, its certificate and the file over both, in a folder of their own.
struct Person {
    folder: TempDir,
    passphrase: String,
    key: Vec<u8>,
    certificate: Vec<u8>,
    public_key: Vec<u8>,
}

impl Person {
    fn new(passphrase: &str) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "Test CA");
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap().der().to_vec();

        let (key, _) = new_key_and_request().unwrap();
        let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.as_slice())).unwrap();
        let mut person = CertificateParams::default();
        person.distinguished_name.push(DnType::CommonName, "A123");
        let certificate = person.signed_by(&pair, &Issuer::new(ca, ca_key)).unwrap().der().to_vec();

        let file = pkcs12(&key, &certificate, &[ca_certificate], passphrase, "花子 (A123)", random).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("person.p12"), &*file).unwrap();
        let public_key = pair.public_key_raw().to_vec();
        Self { folder, passphrase: passphrase.to_owned(), key: key.to_vec(), certificate, public_key }
    }

    fn pass(&self) -> String {
        format!("pass:{}", self.passphrase)
    }
}

fn random(octets: &mut [u8]) -> Result<(), NoEntropy> {
    koshin_operator::machine::entropy(octets).map_err(|_| NoEntropy)
}

fn run(folder: &Path, tool: &str, arguments: &[&str]) -> String {
    let output = output(folder, tool, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    text
}

fn output(folder: &Path, tool: &str, arguments: &[&str]) -> Output {
    // The tools take the passphrase from their arguments in the locale's character set.
    Command::new(tool)
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", folder)
        .output()
        .unwrap()
}
