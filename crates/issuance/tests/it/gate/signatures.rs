//! Who signed, and how.

use super::Case;
use crate::support::csr::{ECDSA_SHA256, ECDSA_SHA384, EcKey, Info, csr};
use crate::support::der::{common_name, int, oid, seq, tlv};
use crate::support::rsa::sha256_with_rsa;

pub(super) fn cases(key: &EcKey) -> Vec<Case> {
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
