//! The abuse list: every hostile request is refused with its own word.

use crate::support::csr::{
    EC_PUBLIC_KEY, ECDSA_SHA256, ECDSA_SHA384, EXTENSION_REQUEST, EcKey, Info, P256, P384, RSA, RSA_SHA256, csr,
    ec_spki,
};
use crate::support::der::{attribute, bits, common_name, extension, int, oid, seq, set, tlv, uint};
use crate::support::rsa::{RsaKey, prime, rsa_spki, sha256_with_rsa};
use crate::support::tool::{Desk, openssl_ok};
use koshin_issuance::{CertificationRequest, Gate, KeyKind, Rejected, RsaWeakness, pem};
use std::collections::BTreeSet;

fn judge(octets: &[u8]) -> Result<CertificationRequest, Rejected> {
    CertificationRequest::from_bytes(octets, &Gate::new())
}

type Case = (&'static str, Vec<u8>, &'static str);

/// A request signed by `key` over a content in which something is wrong.
fn edited(key: &EcKey, edit: impl FnOnce(&mut Info)) -> Vec<u8> {
    let mut info = Info { spki: key.spki(), ..Info::default() };
    edit(&mut info);
    key.csr_of(&info)
}

fn with_spki(key: &EcKey, spki: Vec<u8>) -> Vec<u8> {
    edited(key, |info| info.spki = spki)
}

fn envelope_cases(key: &EcKey) -> Vec<Case> {
    let good = key.csr();
    let text = pem("CERTIFICATE REQUEST", &good);
    let body: Vec<&str> = text.lines().collect();
    let nested = (0..40).fold(tlv(5, []), |inner, _| seq(&[&inner]));
    let [_, length_tag, ..] = good[..] else { unreachable!() };
    assert_eq!(length_tag, 0x81, "the long form of the tests below needs a length of one octet");
    let long_form = [&[0x30, 0x82, 0][..], &good[2..]].concat();
    let indefinite = [&[0x30, 0x80][..], &good[3..], &[0, 0]].concat();
    let private_tag = [&[0xf0][..], &good[1..]].concat();
    let application = [&[0x70][..], &good[1..]].concat();
    vec![
        ("nothing", vec![], "request.empty"),
        ("16385 octets", vec![0x30; 16_385], "request.too_large"),
        ("a large PEM", [text.as_bytes(), &vec![b'\n'; 16_384]].concat(), "request.too_large"),
        ("prose", b"please give me a certificate".to_vec(), "request.not_a_request"),
        ("prose that begins like DER", b"0, that is zero".to_vec(), "request.der"),
        ("only Base64", body[1..body.len() - 1].concat().into_bytes(), "request.not_a_request"),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), "request.not_a_request"),
        ("a private outer tag", private_tag, "request.not_a_request"),
        ("an application outer tag", application, "request.not_a_request"),
        ("two blocks", text.repeat(2).into_bytes(), "request.pem_blocks"),
        ("255 blocks", "-----BEGIN CERTIFICATE REQUEST-----\n".repeat(255).into_bytes(), "request.pem_blocks"),
        ("a certificate's label", pem("CERTIFICATE", &good).into_bytes(), "request.pem_label"),
        ("a public key's label", pem("PUBLIC KEY", &good).into_bytes(), "request.pem_label"),
        ("a small label", pem("certificate request", &good).into_bytes(), "request.pem_label"),
        ("no end", body[..body.len() - 1].join("\n").into_bytes(), "request.pem_broken"),
        ("another end", text.replace("END CERT", "END CART").into_bytes(), "request.pem_broken"),
        ("an asterisk", text.replacen("MI", "M*", 1).into_bytes(), "request.pem_broken"),
        ("headers", text.replacen("-----\n", "-----\nProc-Type: 4\n\n", 1).into_bytes(), "request.pem_broken"),
        ("one octet more", [&good[..], &[0]].concat(), "request.trailing_bytes"),
        ("the request twice", good.repeat(2), "request.trailing_bytes"),
        (
            "PEM with one octet more",
            pem("CERTIFICATE REQUEST", &[&good[..], &[0]].concat()).into(),
            "request.trailing_bytes",
        ),
        ("cut", good[..good.len() - 1].to_vec(), "request.der"),
        ("a long length", long_form, "request.der"),
        ("an indefinite length", indefinite, "request.der"),
        ("a length of 4 GiB", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0], "request.der"),
        ("41 levels", nested, "request.too_deep"),
        ("an empty sequence", vec![0x30, 0], "request.structure"),
        ("a certificate", seq(&[&seq(&[&tlv(0xa0, int(2))])]), "request.not_a_request"),
        ("a public key", key.spki(), "request.not_a_request"),
    ]
}

fn structure_cases(key: &EcKey) -> Vec<Case> {
    let info = Info { spki: key.spki(), ..Info::default() }.der();
    let algorithm = seq(&[&oid(ECDSA_SHA256)]);
    let signature = bits(&key.sign(&info));
    let without_attributes = seq(&[&int(0), &common_name("x"), &key.spki()]);
    let with_more = seq(&[&int(0), &common_name("x"), &key.spki(), &tlv(0xa0, []), &int(1)]);
    let without_version = seq(&[&common_name("x"), &key.spki(), &tlv(0xa0, [])]);
    let deep_subject = (0..20).fold(tlv(5, []), |inner, _| seq(&[&inner]));
    vec![
        ("version 1", edited(key, |i| i.version = int(1)), "request.version"),
        ("version 2", edited(key, |i| i.version = int(2)), "request.version"),
        ("version 99", edited(key, |i| i.version = int(99)), "request.version"),
        ("version -1", edited(key, |i| i.version = int(0xff)), "request.version"),
        ("version 256", edited(key, |i| i.version = tlv(2, [1, 0])), "request.version"),
        ("version in two octets", edited(key, |i| i.version = tlv(2, [0, 0])), "request.der"),
        ("version without octets", edited(key, |i| i.version = tlv(2, [])), "request.der"),
        ("version as BOOLEAN", edited(key, |i| i.version = tlv(1, [0])), "request.structure"),
        ("version [0]", edited(key, |i| i.version = tlv(0xa0, int(0))), "request.not_a_request"),
        ("no version", key.csr_over(&without_version), "request.structure"),
        ("no attributes", key.csr_over(&without_attributes), "request.structure"),
        ("more after the attributes", key.csr_over(&with_more), "request.structure"),
        ("more after the signature", seq(&[&info, &algorithm, &signature, &int(0)]), "request.structure"),
        ("no signature", seq(&[&info, &algorithm]), "request.structure"),
        ("no algorithm", seq(&[&info, &signature]), "request.structure"),
        ("signature as OCTET STRING", seq(&[&info, &algorithm, &tlv(4, key.sign(&info))]), "request.structure"),
        ("subject as SET", edited(key, |i| i.subject = tlv(0x31, [])), "request.structure"),
        ("a deep subject", edited(key, |i| i.subject = deep_subject), "request.too_deep"),
        ("a constructed string", edited(key, |i| i.subject = seq(&[&tlv(0x2c, tlv(0x0c, "a"))])), "request.der"),
        ("a primitive sequence", edited(key, |i| i.subject = seq(&[&tlv(0x10, [])])), "request.der"),
        ("BOOLEAN 01", edited(key, |i| i.attributes = vec![tlv(1, [1])]), "request.der"),
        ("a long tag", edited(key, |i| i.attributes = vec![vec![0x1f, 0x81, 0, 0]]), "request.der"),
        ("a long length inside", edited(key, |i| i.attributes = vec![vec![0x30, 0x81, 0]]), "request.der"),
        ("attributes cut", edited(key, |i| i.attributes = vec![vec![0x30, 5, 0]]), "request.der"),
    ]
}

fn key_cases(key: &EcKey) -> Vec<Case> {
    let point = key.point();
    let compressed = [&[2 | point[64] & 1], &point[1..33]].concat();
    let hybrid = [&[6 | point[64] & 1], &point[1..]].concat();
    let mut off_curve = point.to_vec();
    off_curve[64] ^= 1;
    let ec = |parameters: &[u8]| seq(&[&seq(&[&oid(EC_PUBLIC_KEY), parameters]), &bits(point)]);
    let unused_bits = seq(&[&seq(&[&oid(EC_PUBLIC_KEY), &oid(P256)]), &tlv(3, [&[1], &point[..64], &[0]].concat())]);
    let extra = seq(&[&seq(&[&oid(EC_PUBLIC_KEY), &oid(P256), &tlv(5, [])]), &bits(point)]);
    let ecdh = seq(&[&seq(&[&oid("1.3.132.1.12"), &oid(P256)]), &bits(point)]);
    let ed25519 = seq(&[&seq(&[&oid("1.3.101.112")]), &bits(&[7; 32])]);
    let trailing = seq(&[&seq(&[&oid(EC_PUBLIC_KEY), &oid(P256)]), &bits(point), &int(1)]);
    vec![
        ("Ed25519", with_spki(key, ed25519), "request.key_algorithm"),
        ("ECDH only", with_spki(key, ecdh), "request.key_algorithm"),
        ("P-521", with_spki(key, ec(&oid("1.3.132.0.35"))), "request.key_curve"),
        ("secp256k1", with_spki(key, ec(&oid("1.3.132.0.10"))), "request.key_curve"),
        ("explicit parameters", with_spki(key, ec(&seq(&[&int(1)]))), "request.key_curve"),
        ("no parameters", with_spki(key, ec(&[])), "request.key_curve"),
        ("NULL parameters", with_spki(key, ec(&tlv(5, []))), "request.key_curve"),
        ("more parameters", with_spki(key, extra), "request.key_encoding"),
        ("a compressed point", with_spki(key, ec_spki(P256, &compressed)), "request.key_encoding"),
        ("a hybrid point", with_spki(key, ec_spki(P256, &hybrid)), "request.key_encoding"),
        ("infinity", with_spki(key, ec_spki(P256, &[0])), "request.key_encoding"),
        ("no point", with_spki(key, ec_spki(P256, &[])), "request.key_encoding"),
        ("a long point", with_spki(key, ec_spki(P256, &[point, &[0]].concat())), "request.key_encoding"),
        ("a point of the other curve", with_spki(key, ec_spki(P384, point)), "request.key_encoding"),
        ("unused bits", with_spki(key, unused_bits), "request.key_encoding"),
        ("a point off the curve", with_spki(key, ec_spki(P256, &off_curve)), "request.signature"),
        ("more in the SPKI", with_spki(key, trailing), "request.structure"),
    ]
}

fn signature_cases(key: &EcKey) -> Vec<Case> {
    let info = Info { spki: key.spki(), ..Info::default() }.der();
    let signature = key.sign(&info);
    let sha256 = seq(&[&oid(ECDSA_SHA256)]);
    let signed_as = |algorithm: &[u8]| csr(&info, algorithm, &signature);
    let changed = Info { spki: key.spki(), subject: common_name("somebody else"), ..Info::default() }.der();
    let zeros = seq(&[&int(0), &int(0)]);
    vec![
        ("SHA-1", signed_as(&seq(&[&oid("1.2.840.10045.4.1")])), "request.signature_algorithm"),
        ("SHA-512", signed_as(&seq(&[&oid("1.2.840.10045.4.3.4")])), "request.signature_algorithm"),
        ("RSA's algorithm", signed_as(&sha256_with_rsa()), "request.signature_algorithm"),
        ("Ed25519's algorithm", signed_as(&seq(&[&oid("1.3.101.112")])), "request.signature_algorithm"),
        ("NULL parameters", signed_as(&seq(&[&oid(ECDSA_SHA256), &tlv(5, [])])), "request.signature_algorithm"),
        ("no algorithm at all", signed_as(&seq(&[])), "request.signature_algorithm"),
        ("another hash than signed", signed_as(&seq(&[&oid(ECDSA_SHA384)])), "request.signature"),
        ("another content", csr(&changed, &sha256, &signature), "request.signature"),
        ("another's signature", csr(&info, &sha256, &EcKey::p256().sign(&info)), "request.signature"),
        ("r = s = 0", csr(&info, &sha256, &zeros), "request.signature"),
        ("an empty signature", csr(&info, &sha256, &[]), "request.signature"),
        (
            "more after the signature's numbers",
            csr(&info, &sha256, &[&signature[..], &[0]].concat()),
            "request.signature",
        ),
        ("unused bits", seq(&[&info, &sha256, &tlv(3, [&[1], &signature[..], &[0]].concat())]), "request.signature"),
    ]
}

fn rsa_cases() -> Vec<Case> {
    let good = RsaKey::new(&[(prime("P"), 1), (prime("Q"), 1)]);
    let of = |spki: Vec<u8>| {
        let info = Info { spki, ..Info::default() }.der();
        csr(&info, &sha256_with_rsa(), &good.sign(&info))
    };
    let sized = |bits: u64| of(rsa_spki(&((&good.n << (bits - 2048)) + 1_u32), &[1, 0, 1]));
    let info = Info { spki: good.spki(), ..Info::default() }.der();
    let key_octets = seq(&[&uint(&good.n.to_bytes_be()), &uint(&[1, 0, 1])]);
    let pss = seq(&[&seq(&[&oid("1.2.840.113549.1.1.10")]), &bits(&key_octets)]);
    let bare = seq(&[&seq(&[&oid(RSA)]), &bits(&key_octets)]);
    let trailing = seq(&[&seq(&[&oid(RSA), &tlv(5, [])]), &bits(&[&key_octets[..], &[0]].concat())]);
    let negative = seq(&[&tlv(2, good.n.to_bytes_be()), &uint(&[1, 0, 1])]);
    let negative = seq(&[&seq(&[&oid(RSA), &tlv(5, [])]), &bits(&negative)]);
    vec![
        ("2047 bits", of(rsa_spki(&prime("S"), &[1, 0, 1])), "request.rsa_size"),
        ("1024 bits", of(rsa_spki(&prime("P"), &[1, 0, 1])), "request.rsa_size"),
        ("8193 bits", sized(8193), "request.rsa_size"),
        ("16384 bits", sized(16_384), "request.rsa_size"),
        ("e = 3", of(rsa_spki(&good.n, &[3])), "request.rsa_exponent"),
        ("e = 17", of(rsa_spki(&good.n, &[17])), "request.rsa_exponent"),
        ("e = 1", of(rsa_spki(&good.n, &[1])), "request.rsa_exponent"),
        ("e = 65539", of(rsa_spki(&good.n, &[1, 0, 3])), "request.rsa_exponent"),
        ("e of 64 bits", of(rsa_spki(&good.n, &[1, 0, 0, 0, 0, 0, 1, 1])), "request.rsa_exponent"),
        ("PSS only", of(pss), "request.key_algorithm"),
        ("no NULL", of(bare), "request.key_encoding"),
        ("more after the key", of(trailing), "request.key_encoding"),
        ("a negative modulus", of(negative), "request.key_encoding"),
        ("an even modulus", of(rsa_spki(&(&good.n + 1_u32), &[1, 0, 1])), "request.rsa_weak"),
        (
            "SHA-1",
            csr(&info, &seq(&[&oid("1.2.840.113549.1.1.5"), &tlv(5, [])]), &good.sign(&info)),
            "request.signature_algorithm",
        ),
        (
            "ECDSA's algorithm",
            csr(&info, &seq(&[&oid(ECDSA_SHA256)]), &good.sign(&info)),
            "request.signature_algorithm",
        ),
        (
            "odd parameters",
            csr(&info, &seq(&[&oid(RSA_SHA256), &int(0)]), &good.sign(&info)),
            "request.signature_algorithm",
        ),
        ("a zero signature", csr(&info, &sha256_with_rsa(), &[0; 256]), "request.signature"),
    ]
}

fn private_key_cases(key: &EcKey) -> Vec<Case> {
    let desk = Desk::new();
    let sec1 = openssl_ok(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"], b"");
    let pkcs8 = openssl_ok(&["pkcs8", "-topk8", "-nocrypt"], &sec1);
    let encrypted = openssl_ok(&["pkcs8", "-topk8", "-passout", "pass:x"], &sec1);
    let rsa = openssl_ok(&["genrsa", "-traditional", "2048"], b"");
    let key_file = desk.put("key.pem", &pkcs8);
    let certificate = openssl_ok(&["req", "-x509", "-new", "-key", &key_file, "-subj", "/CN=x"], b"");
    let pkcs12 = openssl_ok(&["pkcs12", "-export", "-inkey", &key_file, "-passout", "pass:x"], &certificate);
    let der = |text: &[u8], form: &[&str]| openssl_ok(&[form, &["-outform", "DER"]].concat(), text);
    let request = pem("CERTIFICATE REQUEST", &key.csr());
    let bare = |text: &[u8]| {
        String::from_utf8_lossy(text).lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes()
    };
    let relabelled = String::from_utf8_lossy(&pkcs8).replace("PRIVATE KEY", "CERTIFICATE REQUEST");
    vec![
        ("SEC 1, PEM", sec1.clone(), "request.private_key_pasted"),
        ("PKCS#8, PEM", pkcs8.clone(), "request.private_key_pasted"),
        ("encrypted PKCS#8, PEM", encrypted.clone(), "request.private_key_pasted"),
        ("PKCS#1, PEM", rsa.clone(), "request.private_key_pasted"),
        ("SSH", b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n".to_vec(), "request.private_key_pasted"),
        ("PGP", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nx\n".to_vec(), "request.private_key_pasted"),
        ("a key beside a request", [request.as_bytes(), &pkcs8].concat(), "request.private_key_pasted"),
        ("PKCS#8, damaged PEM", pkcs8[1..].to_vec(), "request.private_key_pasted"),
        ("PKCS#8, only Base64", bare(&pkcs8), "request.private_key_pasted"),
        ("PKCS#8 labelled as a request", relabelled.into_bytes(), "request.private_key_pasted"),
        ("SEC 1, DER", der(&sec1, &["ec"]), "request.private_key_pasted"),
        ("PKCS#8, DER", der(&pkcs8, &["pkcs8", "-topk8", "-nocrypt"]), "request.private_key_pasted"),
        (
            "encrypted PKCS#8, DER",
            der(&pkcs8, &["pkcs8", "-topk8", "-passout", "pass:x"]),
            "request.private_key_pasted",
        ),
        ("PKCS#1, DER", der(&rsa, &["rsa", "-traditional"]), "request.private_key_pasted"),
        ("PKCS#12", pkcs12, "request.private_key_pasted"),
        ("a real certificate, PEM", certificate.clone(), "request.pem_label"),
        ("a real certificate, DER", der(&certificate, &["x509"]), "request.not_a_request"),
    ]
}

/// All codes but `request.key_blocked`, which needs a block list.
const CODES: [&str; 20] = [
    "request.der",
    "request.empty",
    "request.key_algorithm",
    "request.key_curve",
    "request.key_encoding",
    "request.not_a_request",
    "request.pem_blocks",
    "request.pem_broken",
    "request.pem_label",
    "request.private_key_pasted",
    "request.rsa_exponent",
    "request.rsa_size",
    "request.rsa_weak",
    "request.signature",
    "request.signature_algorithm",
    "request.structure",
    "request.too_deep",
    "request.too_large",
    "request.trailing_bytes",
    "request.version",
];

#[test]
fn every_hostile_request_is_refused_with_its_code() {
    let key = EcKey::p256();
    let groups: [(&str, Vec<Case>); 6] = [
        ("envelope", envelope_cases(&key)),
        ("structure", structure_cases(&key)),
        ("key", key_cases(&key)),
        ("signature", signature_cases(&key)),
        ("rsa", rsa_cases()),
        ("private key", private_key_cases(&key)),
    ];
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (group, cases) in groups {
        for (name, octets, code) in cases {
            match judge(&octets) {
                Err(rejected) if rejected.code() == code => drop(seen.insert(code)),
                other => wrong.push(format!("{group}: {name}: wanted {code}, got {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), CODES);
}

#[test]
fn weak_rsa_keys_are_refused_although_their_holder_signed() {
    let n = |factors: &[(&str, u32)]| RsaKey::new(&factors.iter().map(|(p, k)| (prime(p), *k)).collect::<Vec<_>>());
    let small = RsaKey::new(&[(prime("S"), 1), (751_u32.into(), 1)]);
    for (name, key, weakness) in [
        ("751 is a factor", small, RsaWeakness::SmallFactor { factor: 751 }),
        ("ROCA", n(&[("A", 1), ("B", 1)]), RsaWeakness::Roca),
        ("neighbouring primes", n(&[("P", 1), ("C", 1)]), RsaWeakness::ClosePrimes),
        ("a square", n(&[("P", 2)]), RsaWeakness::ClosePrimes),
        ("a prime", n(&[("R", 1)]), RsaWeakness::PrimePower),
        ("a cube", n(&[("T", 3)]), RsaWeakness::PrimePower),
    ] {
        assert_eq!(judge(&key.csr()), Err(Rejected::RsaWeak { weakness }), "{name}");
    }
    let half_roca = n(&[("A", 1), ("Q", 1)]);
    assert_eq!(judge(&half_roca.csr()).unwrap().key_kind(), KeyKind::Rsa { bits: 2048 });
}

#[test]
fn blocked_keys_are_refused() {
    let key = EcKey::p256();
    let fingerprint = judge(&key.csr()).unwrap().spki_fingerprint();
    let gate = Gate::new().with_blocked([fingerprint]);
    let refused = CertificationRequest::from_bytes(&key.csr(), &gate).unwrap_err();
    assert_eq!(refused, Rejected::KeyBlocked { spki_fingerprint: fingerprint });
    assert_eq!(refused.code(), "request.key_blocked");
    assert!(CertificationRequest::from_bytes(&EcKey::p256().csr(), &gate).is_ok());
}

#[test]
fn no_changed_octet_goes_unseen() {
    let good = EcKey::p256().csr();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            assert!(judge(&changed).is_err(), "bit {bit} of octet {at}");
        }
        let mut longer = good.clone();
        longer.insert(at, good[at]);
        assert!(judge(&longer).is_err(), "octet {at} twice");
        assert!(judge(&good[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn requests_of_real_tools_pass() {
    let desk = Desk::new();
    for (arguments, kind) in [
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..], KeyKind::P256),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], KeyKind::P384),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], KeyKind::Rsa { bits: 2048 }),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"], KeyKind::Rsa { bits: 3072 }),
    ] {
        let key = desk.put("key.pem", openssl_ok(&[&["genpkey"], arguments].concat(), b""));
        let spki = openssl_ok(&["pkey", "-in", &key, "-pubout", "-outform", "DER"], b"");
        let forms = [&["-outform", "DER", "-sha384"][..], &["-newhdr", "-sha256"], &["-text", "-sha256"]];
        // RSA keys take long to check in a debug build; how the request is wrapped does not depend on its key.
        let few = if matches!(kind, KeyKind::Rsa { .. }) { 1 } else { forms.len() };
        for form in &forms[..few] {
            let common = ["req", "-new", "-key", &key, "-subj", "/C=JP/O=x/CN=y"];
            let octets = openssl_ok(&[&common, *form].concat(), b"");
            let request = judge(&octets).unwrap_or_else(|e| panic!("{arguments:?} {form:?}: {e}"));
            assert_eq!((request.key_kind(), request.spki_der()), (kind, &spki[..]));
        }
    }
    let largest = judge(include_bytes!("data/rsa8192.pem")).unwrap();
    assert_eq!(largest.key_kind(), KeyKind::Rsa { bits: 8192 });
}

/// What Windows' `CertEnroll` and certreq put into their requests: system version, client information, provider, and an
/// extension request with S/MIME capabilities, key usage and subjectKeyIdentifier.
fn windows_attributes() -> Vec<Vec<u8>> {
    let utf16: Vec<u8> = "Microsoft Software Key Storage Provider".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let client =
        [int(9), tlv(0x0c, "PC-01.example.local"), tlv(0x0c, "EXAMPLE\\taro"), tlv(0x0c, "CertEnrollCtrl.exe")];
    let capabilities = seq(&[
        &seq(&[&oid("2.16.840.1.101.3.4.1.42")]),
        &seq(&[&oid("1.2.840.113549.3.2"), &tlv(2, [0, 0x80])]),
        &seq(&[&oid("1.2.840.113549.3.7")]),
    ]);
    let extensions = seq(&[
        &extension("2.5.29.15", true, &tlv(3, [5, 0xa0])),
        &extension("1.2.840.113549.1.9.15", false, &capabilities),
        &extension("2.5.29.14", false, &tlv(4, [9; 20])),
        &extension("1.3.6.1.4.1.311.20.2", false, &tlv(0x1e, [0, b'U'])),
        &extension("1.3.6.1.4.1.311.21.10", false, &[4, 0]),
    ]);
    vec![
        attribute("1.3.6.1.4.1.311.13.2.3", &tlv(0x16, "10.0.22631.2")),
        attribute("1.3.6.1.4.1.311.21.20", &seq(&client.each_ref().map(Vec::as_slice))),
        attribute("1.3.6.1.4.1.311.13.2.2", &seq(&[&int(0), &tlv(0x1e, utf16), &tlv(3, [0])])),
        attribute(EXTENSION_REQUEST, &extensions),
    ]
}

#[test]
fn requests_of_windows_pass() {
    let key = EcKey::p256();
    let request = judge(&edited(&key, |info| info.attributes = windows_attributes())).unwrap();
    assert_eq!(request.spki_der(), key.spki());
    let rsa = RsaKey::new(&[(prime("P"), 1), (prime("Q"), 1)]);
    let info = Info { spki: rsa.spki(), subject: seq(&[]), attributes: windows_attributes(), ..Info::default() }.der();
    let text = pem("NEW CERTIFICATE REQUEST", &csr(&info, &sha256_with_rsa(), &rsa.sign(&info))).replace('\n', "\r\n");
    assert_eq!(judge(text.as_bytes()).unwrap().spki_der(), rsa.spki());
}

#[test]
fn what_is_ignored_may_be_anything() {
    let key = EcKey::p256();
    let many = seq(&vec![&set(&[&seq(&[&oid("2.5.4.3"), &tlv(0x0c, "x")])])[..]; 500]);
    for (name, octets) in [
        ("an empty subject", edited(&key, |i| i.subject = seq(&[]))),
        ("500 names", edited(&key, |i| i.subject = many)),
        ("NUL in the subject", edited(&key, |i| i.subject = common_name("a\0b"))),
        ("the same attribute twice", edited(&key, |i| i.attributes = vec![attribute("1.2.3", &int(1)); 2])),
        ("an attribute that is none", edited(&key, |i| i.attributes = vec![int(5)])),
        ("a broken extension request", edited(&key, |i| i.attributes = vec![attribute(EXTENSION_REQUEST, &int(1))])),
    ] {
        assert_eq!(judge(&octets).map(|r| r.spki_der().to_vec()), Ok(key.spki()), "{name}");
    }
    let under_sha384 = {
        let (key, random) = (EcKey::p384(), Info { spki: EcKey::p384().spki(), ..Info::default() });
        let info = Info { spki: key.spki(), ..random }.der();
        csr(&info, &seq(&[&oid(ECDSA_SHA384)]), &key.sign(&info))
    };
    assert_eq!(judge(&under_sha384).unwrap().key_kind(), KeyKind::P384);
}
