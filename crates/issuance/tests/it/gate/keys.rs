//! Keys that are no RSA keys: curves, points, other algorithms; and keys that somebody else has.

use super::{Case, judge, with_spki};
use crate::support::csr::{EC_PUBLIC_KEY, EcKey, P256, P384, ec_spki};
use crate::support::der::{bits, int, oid, seq, tlv, uint};
use crate::support::rsa::{RsaKey, prime, rsa_spki};
use crate::support::tool::openssl_ok;
use koshin_issuance::{CertificationRequest, Gate, KeyChoice, KeyKind, Profile, ProfileConfig, Rejected};
use num_bigint::BigUint;
use ring::digest;
use std::fmt::Write as _;

pub(super) fn curve_cases(key: &EcKey) -> Vec<Case> {
    let ec = |parameters: &[u8]| with_spki(key, seq(&[&seq(&[&oid(EC_PUBLIC_KEY), parameters]), &bits(key.point())]));
    let of = |curve: &str, octets: usize| with_spki(key, ec_spki(curve, &[&[4][..], &vec![7; 2 * octets]].concat()));
    let field = seq(&[&oid("1.2.840.10045.1.1"), &uint(&[0xff; 32])]);
    let curve = seq(&[&tlv(4, [1; 32]), &tlv(4, [2; 32])]);
    let explicit = seq(&[&int(1), &field, &curve, &tlv(4, key.point()), &uint(&[0xff; 32]), &int(1)]);
    vec![
        ("P-192", of("1.2.840.10045.3.1.1", 24), "request.key_curve"),
        ("P-224", of("1.3.132.0.33", 28), "request.key_curve"),
        ("P-521", of("1.3.132.0.35", 66), "request.key_curve"),
        ("secp256k1", of("1.3.132.0.10", 32), "request.key_curve"),
        ("brainpoolP256r1", of("1.3.36.3.3.2.8.1.1.7", 32), "request.key_curve"),
        ("brainpoolP384r1", of("1.3.36.3.3.2.8.1.1.11", 48), "request.key_curve"),
        ("brainpoolP512r1", of("1.3.36.3.3.2.8.1.1.13", 64), "request.key_curve"),
        ("sect283k1", of("1.3.132.0.16", 36), "request.key_curve"),
        ("SM2", of("1.2.156.10197.1.301", 32), "request.key_curve"),
        ("explicit parameters", ec(&explicit), "request.key_curve"),
        ("short explicit parameters", ec(&seq(&[&int(1)])), "request.key_curve"),
        ("no parameters", ec(&[]), "request.key_curve"),
        ("implicit parameters", ec(&tlv(5, [])), "request.key_curve"),
        ("more parameters", ec(&[oid(P256), tlv(5, [])].concat()), "request.key_encoding"),
    ]
}

pub(super) fn point_cases(key: &EcKey) -> Vec<Case> {
    let point = key.point();
    let compressed = [&[2 | point[64] & 1], &point[1..33]].concat();
    let hybrid = [&[6 | point[64] & 1], &point[1..]].concat();
    let mut off_curve = point.to_vec();
    off_curve[64] ^= 1;
    let too_large = [&[4][..], &[0xff; 64]].concat();
    let on = |curve: &str, point: &[u8]| with_spki(key, ec_spki(curve, point));
    let parameters = seq(&[&oid(EC_PUBLIC_KEY), &oid(P256)]);
    let unused_bits = seq(&[&parameters, &tlv(3, [&[1], &point[..64], &[0]].concat())]);
    let no_string = seq(&[&parameters, &tlv(4, point)]);
    let trailing = seq(&[&parameters, &bits(point), &int(1)]);
    vec![
        ("compressed", on(P256, &compressed), "request.key_encoding"),
        ("hybrid", on(P256, &hybrid), "request.key_encoding"),
        ("infinity", on(P256, &[0]), "request.key_encoding"),
        ("no point", on(P256, &[]), "request.key_encoding"),
        ("cut", on(P256, &point[..64]), "request.key_encoding"),
        ("one octet more", on(P256, &[point, &[0]].concat()), "request.key_encoding"),
        ("of the other curve", on(P384, point), "request.key_encoding"),
        ("unused bits", with_spki(key, unused_bits), "request.key_encoding"),
        ("an OCTET STRING", with_spki(key, no_string), "request.structure"),
        ("more in the SPKI", with_spki(key, trailing), "request.structure"),
        ("off the curve", on(P256, &off_curve), "request.signature"),
        ("0, 0", on(P256, &[&[4][..], &[0; 64]].concat()), "request.signature"),
        ("coordinates beyond the field", on(P256, &too_large), "request.signature"),
    ]
}

pub(super) fn kind_cases(key: &EcKey) -> Vec<Case> {
    [
        ("Ed25519", "1.3.101.112"),
        ("Ed448", "1.3.101.113"),
        ("X25519", "1.3.101.110"),
        ("X448", "1.3.101.111"),
        ("DSA", "1.2.840.10040.4.1"),
        ("Diffie-Hellman", "1.2.840.113549.1.3.1"),
        ("RSA for PSS only", "1.2.840.113549.1.1.10"),
        ("RSA for OAEP only", "1.2.840.113549.1.1.7"),
        ("ECDH only", "1.3.132.1.12"),
        ("ECMQV only", "1.3.132.1.13"),
        ("GOST", "1.2.643.7.1.1.1.1"),
        ("ML-DSA-65", "2.16.840.1.101.3.4.3.18"),
        ("ML-KEM-768", "2.16.840.1.101.3.4.4.2"),
        ("SLH-DSA", "2.16.840.1.101.3.4.3.20"),
        ("an unknown one", "1.2.3.4"),
    ]
    .map(|(name, kind)| (name, with_spki(key, seq(&[&seq(&[&oid(kind)]), &bits(&[7; 32])])), "request.key_algorithm"))
    .into()
}

/// Requests whose only fault is the key, properly signed with it.
pub(super) fn openssl_cases() -> Vec<Case> {
    let request = |key: &[&str], sign: &[&str]| {
        let text = openssl_ok(&[&["genpkey", "-algorithm"], key].concat(), b"");
        openssl_ok(&[&["req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x"], sign].concat(), &text)
    };
    let ec = |curve: &str| request(&["EC", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")], &[]);
    let explicit = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"];
    let rsa = |more: &[&str], sign: &[&str]| request(&[&["RSA", "-pkeyopt"], more].concat(), sign);
    let e3 = ["rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"];
    let pss = ["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"];
    let p256 = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let pss_padding = ["-sigopt", "rsa_padding_mode:pss"];
    vec![
        ("P-224", ec("P-224"), "request.key_curve"),
        ("P-521", ec("P-521"), "request.key_curve"),
        ("secp256k1", ec("secp256k1"), "request.key_curve"),
        ("brainpoolP256r1", ec("brainpoolP256r1"), "request.key_curve"),
        ("P-256 with explicit parameters", request(&explicit, &[]), "request.key_curve"),
        ("Ed25519", request(&["ED25519"], &[]), "request.key_algorithm"),
        ("Ed448", request(&["ED448"], &[]), "request.key_algorithm"),
        ("RSA-PSS", request(&pss, &[]), "request.key_algorithm"),
        ("RSA of 1024 bits", rsa(&["rsa_keygen_bits:1024"], &[]), "request.rsa_size"),
        ("e = 3", rsa(&e3, &[]), "request.rsa_exponent"),
        ("RSA signed with PSS", rsa(&["rsa_keygen_bits:2048"], &pss_padding), "request.signature_algorithm"),
        ("RSA signed with SHA-1", rsa(&["rsa_keygen_bits:2048"], &["-sha1"]), "request.signature_algorithm"),
        ("P-256 signed with SHA-1", request(&p256, &["-sha1"]), "request.signature_algorithm"),
        ("P-256 signed with SHA-224", request(&p256, &["-sha224"]), "request.signature_algorithm"),
        ("P-256 signed with SHA3-256", request(&p256, &["-sha3-256"]), "request.signature_algorithm"),
    ]
}

fn sha256_hex(octets: &[u8]) -> String {
    digest::digest(&digest::SHA256, octets).as_ref().iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02X}").unwrap();
        text
    })
}

#[test]
fn blocked_keys_are_refused() {
    let key = EcKey::p256();
    let fingerprint = judge(&key.csr()).unwrap().spki_fingerprint();
    let list = format!("# stolen in May\n{}  # taro\n", sha256_hex(&key.spki()));
    for gate in [Gate::new().with_blocked([fingerprint]), Gate::new().with_block_list(&list).unwrap()] {
        let refused = CertificationRequest::from_bytes(&key.csr(), &gate).unwrap_err();
        assert_eq!(refused, Rejected::KeyBlocked { spki_fingerprint: fingerprint });
        assert_eq!(refused.code(), "request.key_blocked");
        assert!(CertificationRequest::from_bytes(&EcKey::p256().csr(), &gate).is_ok());
    }
}

/// One of the 32,768 keys of each size and machine that Debian's OpenSSL could make from 2006 to 2008 (CVE-2008-0166). Its
/// private key is public, so that whoever asks for it may have signed with it.
const DEBIAN_WEAK: &str = include_str!("../data/debian_weak.txt");

#[test]
fn a_list_of_debians_weak_keys_blocks_them() {
    let weak = BigUint::parse_bytes(DEBIAN_WEAK.trim().as_bytes(), 16).unwrap();
    assert_eq!(weak.bits(), 2048);
    let spki = rsa_spki(&weak, &[1, 0, 1]);
    let list = format!("{}\n{}\n", "00".repeat(32), sha256_hex(&spki));
    let gate = Gate::new().with_block_list(&list).unwrap();
    let request = with_spki(&EcKey::p256(), spki);
    let refused = CertificationRequest::from_bytes(&request, &gate).map_err(|rejected| rejected.code());
    assert_eq!(refused, Err("request.key_blocked"), "before its signature is looked at");
    assert_eq!(judge(&request), Err(Rejected::SignatureAlgorithm));
}

#[test]
fn a_profile_says_which_kinds_of_keys_it_issues_for() {
    let rsa = RsaKey::new(&[(prime("P"), 1), (prime("Q"), 1)]);
    let requests = [EcKey::p256().csr(), EcKey::p384().csr(), rsa.csr()];
    for (keys, taken) in [
        (vec![], [true, true, true]),
        (vec![KeyChoice::P256], [true, false, false]),
        (vec![KeyChoice::P384, KeyChoice::P256], [true, true, false]),
        (vec!["RSA-2048".parse().unwrap()], [false, false, true]),
        (vec!["P-384".parse().unwrap(), "RSA-2049".parse().unwrap()], [false, true, false]),
    ] {
        let profile = Profile::new(ProfileConfig { keys: keys.clone(), ..ProfileConfig::default() }).unwrap();
        let gate = Gate::new().with_profile(&profile);
        for (request, taken) in requests.iter().zip(taken) {
            let judged = CertificationRequest::from_bytes(request, &gate);
            assert_eq!(judged.is_ok(), taken, "{keys:?}");
            assert!(taken || judged.unwrap_err().code() == "request.key_not_issued_for");
        }
    }
    let refused = Rejected::KeyNotIssuedFor { kind: KeyKind::Rsa { bits: 2048 } };
    assert!(refused.to_string().contains("RSA of 2048 bits"), "{refused}");
}
