//! Who signed, and how.

use super::Case;
use crate::support::csr::{ECDSA_SHA256, ECDSA_SHA384, EcKey, Info, csr};
use crate::support::der::{common_name, int, oid, seq, tlv, uint};
use crate::support::rsa::sha256_with_rsa;
use num_bigint::BigUint;

pub(super) fn cases(key: &EcKey) -> Vec<Case> {
    let info = Info { spki: key.spki(), ..Info::default() }.der();
    let signature = key.sign(&info);
    let sha256 = seq(&[&oid(ECDSA_SHA256)]);
    let signed_as = |algorithm: &[u8]| csr(&info, algorithm, &signature);
    let changed = Info { spki: key.spki(), subject: common_name("somebody else"), ..Info::default() }.der();
    let zeros = seq(&[&int(0), &int(0)]);
    let [r, s] = numbers(&signature);
    let pair = |r: &[u8], s: &[u8]| csr(&info, &sha256, &seq(&[r, s]));
    let over = |number: &[u8]| uint(&(BigUint::from_bytes_be(number) + order()).to_bytes_be());
    let long = [&[0x30, 0x81][..], &signature[1..]].concat();
    let endless = [&[0x30, 0x80][..], &signature[2..], &[0, 0]].concat();
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
        ("r and s changed places", pair(&uint(&s), &uint(&r)), "request.signature"),
        ("r = 0", pair(&int(0), &uint(&s)), "request.signature"),
        ("s = 0", pair(&uint(&r), &int(0)), "request.signature"),
        ("r = s = 1", pair(&int(1), &int(1)), "request.signature"),
        ("r beyond the order", pair(&over(&r), &uint(&s)), "request.signature"),
        ("s beyond the order", pair(&uint(&r), &over(&s)), "request.signature"),
        ("a padded r", pair(&tlv(2, [&[0, 0], &r[..]].concat()), &uint(&s)), "request.signature"),
        ("a negative r", pair(&tlv(2, [&[0x80], &r[..]].concat()), &uint(&s)), "request.signature"),
        ("r and s in one piece", csr(&info, &sha256, &[r.clone(), s.clone()].concat()), "request.signature"),
        ("a long length", csr(&info, &sha256, &long), "request.signature"),
        ("an indefinite length", csr(&info, &sha256, &endless), "request.signature"),
        ("an empty signature", csr(&info, &sha256, &[]), "request.signature"),
        (
            "more after the signature's numbers",
            csr(&info, &sha256, &[&signature[..], &[0]].concat()),
            "request.signature",
        ),
        ("unused bits", seq(&[&info, &sha256, &tlv(3, [&[1], &signature[..], &[0]].concat())]), "request.signature"),
    ]
}

/// r and s of a signature, without their leading zeros.
fn numbers(signature: &[u8]) -> [Vec<u8>; 2] {
    let r = usize::from(signature[3]);
    [&signature[4..4 + r], &signature[6 + r..]].map(|digits| BigUint::from_bytes_be(digits).to_bytes_be())
}

/// How many points P-256 has.
fn order() -> BigUint {
    BigUint::parse_bytes(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16).unwrap()
}
