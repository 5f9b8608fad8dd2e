//! `koshin request check`, with requests as other programs make them.

use std::{fs, process::Command};

use serde_json::Value;

use crate::program::{Ended, koshin, koshin_reading};

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl").args(arguments).output().expect("this test needs the Debian package openssl");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn csr(key: &str, form: &str) -> Vec<u8> {
    let options = if key.starts_with("rsa") { vec![] } else { vec!["-pkeyopt", key] };
    let algorithm = if key.starts_with("rsa") { key } else { "ec" };
    let common =
        ["req", "-new", "-newkey", algorithm, "-noenc", "-keyout", "/dev/null", "-subj", "/CN=a", "-outform", form];
    openssl(&[&common[..], &options].concat())
}

fn refused(ended: &Ended, code: &str) {
    let answer: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.status, &answer["accepted"], answer["code"].as_str()), (1, &Value::Bool(false), Some(code)));
    assert!(answer["reason"].as_str().unwrap().len() > 40 && ended.err.contains(code), "{ended:?}");
}

#[test]
fn what_the_gate_lets_through_is_said() {
    for (key, name) in
        [("ec_paramgen_curve:P-256", "P-256"), ("ec_paramgen_curve:P-384", "P-384"), ("rsa:2048", "RSA 2048")]
    {
        for form in ["PEM", "DER"] {
            let answer = koshin_reading(csr(key, form), ["request", "check", "-", "--json"]).one();
            assert_eq!((&answer["accepted"], answer["key"].as_str()), (&Value::Bool(true), Some(name)));
            assert_eq!(answer["spki_sha256"].as_str().unwrap().len(), 64);
        }
    }
}

#[test]
fn what_it_refuses_is_named_with_a_code_and_a_reason() {
    let check = |input: &[u8]| koshin_reading(input, ["request", "check", "-", "--json"]);
    refused(&check(b""), "request.empty");
    refused(&check(b"hello"), "request.not_a_request");
    refused(&check(&csr("rsa:1024", "DER")), "request.rsa_size");
    refused(&check(&csr("ec_paramgen_curve:secp256k1", "PEM")), "request.key_curve");
    refused(&check(&[csr("ec_paramgen_curve:P-256", "DER"), vec![0]].concat()), "request.trailing_bytes");
    refused(&check(&openssl(&["genpkey", "-algorithm", "ED25519"])), "request.private_key_pasted");
    let large = check(&vec![b'A'; 10_000_000]);
    refused(&large, "request.too_large");
    assert!(large.out.contains("10000000 octets"), "{}", large.out);
}

#[test]
fn a_blocked_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("blocked.txt");
    let request = csr("ec_paramgen_curve:P-256", "PEM");
    let check = |more: &[&str]| koshin_reading(&request, [&["request", "check", "-", "--json"], more].concat());
    let blocked = ["--blocked", list.to_str().unwrap()];
    assert!(check(&blocked).refused(3).contains("blocked.txt cannot be read"));
    let spki = check(&[]).one()["spki_sha256"].as_str().unwrap().to_owned();
    fs::write(&list, format!("# known keys\n{}\n", "0a".repeat(32))).unwrap();
    assert_eq!(check(&blocked).one()["accepted"], true);
    fs::write(&list, format!("# known keys\n{}\n{}  # in a repository\n", "0a".repeat(32), spki.to_uppercase()))
        .unwrap();
    refused(&check(&blocked), "request.key_blocked");
    fs::write(&list, format!("{spki}\nabc\n")).unwrap();
    let wrong = check(&blocked);
    assert!(wrong.refused(1).contains("line 2 of the block list"), "{wrong:?}");
}

#[test]
fn files_are_read_and_missing_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("request.pem");
    fs::write(&file, csr("ec_paramgen_curve:P-256", "PEM")).unwrap();
    let ended = koshin(["request", "check", file.to_str().unwrap()]);
    assert!(ended.status == 0 && ended.out.contains("P-256"), "{ended:?}");
    let missing = koshin(["request", "check", "/nowhere/request.pem"]);
    assert!(missing.refused(3).contains("/nowhere/request.pem"));
}
