//! What stands around a request: size, PEM, and things that are no request at all.

use super::{Case, judge};
use crate::support::csr::EcKey;
use crate::support::der::{int, seq, tlv};
use crate::support::tool::openssl_ok;
use koshin_issuance::{Gate, Rejected, pem};
use std::time::{Duration, Instant};

pub(super) fn pem_cases(key: &EcKey) -> Vec<Case> {
    let good = key.csr();
    let text = pem("CERTIFICATE REQUEST", &good);
    let body: Vec<&str> = text.lines().collect();
    let inside = |noise: &str| text.replacen("\nMI", &format!("\nMI{noise}"), 1).into_bytes();
    let trailing = pem("CERTIFICATE REQUEST", &[&good[..], &[0]].concat());
    let nested = text.replacen("-----\n", &format!("-----\n{text}"), 1);
    vec![
        ("only Base64", body[1..body.len() - 1].concat().into_bytes(), "request.not_a_request"),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), "request.not_a_request"),
        ("small letters", text.to_lowercase().into_bytes(), "request.not_a_request"),
        ("four dashes", text.replace("-----", "----").into_bytes(), "request.not_a_request"),
        ("the end first", format!("{}\n{}", body[body.len() - 1], body[0]).into_bytes(), "request.pem_broken"),
        ("two blocks", text.repeat(2).into_bytes(), "request.pem_blocks"),
        ("a block in a block", nested.into_bytes(), "request.pem_blocks"),
        ("a certificate beside it", (text.clone() + &pem("CERTIFICATE", &good)).into_bytes(), "request.pem_blocks"),
        ("255 blocks", "-----BEGIN CERTIFICATE REQUEST-----\n".repeat(255).into_bytes(), "request.pem_blocks"),
        ("a certificate's label", pem("CERTIFICATE", &good).into_bytes(), "request.pem_label"),
        ("a public key's label", pem("PUBLIC KEY", &good).into_bytes(), "request.pem_label"),
        ("PKCS#7's label", pem("PKCS7", &good).into_bytes(), "request.pem_label"),
        ("a small label", pem("certificate request", &good).into_bytes(), "request.pem_label"),
        ("two blanks in the label", pem(" CERTIFICATE REQUEST", &good).into_bytes(), "request.pem_label"),
        ("an empty label", pem("", &good).into_bytes(), "request.pem_label"),
        ("no end", body[..body.len() - 1].join("\n").into_bytes(), "request.pem_broken"),
        ("another end", text.replace("END CERT", "END CART").into_bytes(), "request.pem_broken"),
        ("an end twice", format!("{text}{}", body[body.len() - 1]).into_bytes(), "request.pem_broken"),
        ("an asterisk", inside("*"), "request.pem_broken"),
        ("NUL", inside("\0"), "request.pem_broken"),
        ("a letter of another script", inside("é"), "request.pem_broken"),
        ("Base64 for URLs", inside("-_"), "request.pem_broken"),
        ("padding in the middle", inside("=="), "request.pem_broken"),
        ("headers", text.replacen("-----\n", "-----\nProc-Type: 4\n\n", 1).into_bytes(), "request.pem_broken"),
        ("an empty block", pem("CERTIFICATE REQUEST", &[]).into_bytes(), "request.empty"),
        ("one octet more inside", trailing.into_bytes(), "request.trailing_bytes"),
    ]
}

pub(super) fn other_cases(key: &EcKey) -> Vec<Case> {
    let good = key.csr();
    let certificate = openssl_ok(
        &[
            "req",
            "-x509",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-keyout",
            "/dev/null",
            "-subj",
            "/CN=x",
        ],
        b"",
    );
    let as_der = openssl_ok(&["x509", "-outform", "DER"], &certificate);
    let bundle = openssl_ok(&["crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER"], &certificate);
    vec![
        ("nothing", vec![], "request.empty"),
        ("prose", b"please give me a certificate".to_vec(), "request.not_a_request"),
        ("prose that begins like DER", b"0, that is zero".to_vec(), "request.der"),
        ("a page", b"<!doctype html><title>Not found</title>".to_vec(), "request.not_a_request"),
        ("SPKAC", b"SPKAC=MIIBODCBogIBADANBgkqhkiG9w0BAQEFAAOB".to_vec(), "request.not_a_request"),
        ("a public key of OpenSSH", b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI taro@pc".to_vec(), "request.not_a_request"),
        ("an archive", b"PK\x03\x04\x14\0\0\0".to_vec(), "request.not_a_request"),
        ("a private outer tag", [&[0xf0][..], &good[1..]].concat(), "request.not_a_request"),
        ("an application outer tag", [&[0x70][..], &good[1..]].concat(), "request.not_a_request"),
        ("a certificate, PEM", certificate, "request.pem_label"),
        ("a certificate, DER", as_der, "request.not_a_request"),
        ("a certificate's beginning", seq(&[&seq(&[&tlv(0xa0, int(2))])]), "request.not_a_request"),
        ("certificates in PKCS#7", bundle, "request.not_a_request"),
        ("a public key", key.spki(), "request.not_a_request"),
        ("an empty sequence", vec![0x30, 0], "request.structure"),
    ]
}

pub(super) fn size_cases(key: &EcKey) -> Vec<Case> {
    let text = pem("CERTIFICATE REQUEST", &key.csr());
    let attributes = super::edited(key, |info| info.attributes = vec![vec![0x30, 0]; 10_000]);
    vec![
        ("16385 octets", vec![0x30; 16_385], "request.too_large"),
        ("a PEM with much behind it", [text.as_bytes(), &vec![b'\n'; 16_384]].concat(), "request.too_large"),
        ("10,000 attributes", attributes, "request.too_large"),
        (
            "a name of 20,000 octets",
            super::edited(key, |i| i.subject = tlv(0x30, vec![5; 20_000])),
            "request.too_large",
        ),
    ]
}

#[test]
fn ten_megabytes_cost_nothing() {
    let text = pem("CERTIFICATE REQUEST", &vec![0x30; 7_400_000]);
    let huge = [vec![0x30, 0x83, 0x98, 0x96, 0x80], vec![0; 10_000_000]].concat();
    for octets in [vec![0; 10_000_000], vec![b'A'; 10_000_000], vec![0x30; 10_000_000], text.into_bytes(), huge] {
        let start = Instant::now();
        assert_eq!(judge(&octets), Err(Rejected::TooLarge { octets: octets.len() }));
        assert!(start.elapsed() < Duration::from_millis(50), "the size is compared before anything is read");
    }
    assert_eq!(judge(&vec![b' '; Gate::MAX_OCTETS]), Err(Rejected::NotARequest));
}
