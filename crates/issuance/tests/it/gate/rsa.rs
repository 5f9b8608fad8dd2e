//! RSA keys that somebody could break, or that are encoded in another way than the one there is.

use super::{Case, judge};
use crate::support::csr::{ECDSA_SHA256, Info, RSA, RSA_SHA256, csr};
use crate::support::der::{bits, int, oid, seq, tlv, uint};
use crate::support::rsa::{RsaKey, prime, rsa_spki, sha256_with_rsa};
use koshin_issuance::{KeyKind, Rejected, RsaWeakness};

pub(super) fn cases() -> Vec<Case> {
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

#[test]
fn weak_rsa_keys_are_refused_although_their_holder_signed() {
    let n = |factors: &[(&str, u32)]| RsaKey::new(&factors.iter().map(|(p, k)| (prime(p), *k)).collect::<Vec<_>>());
    let small = RsaKey::new(&[(prime("S"), 1), (751_u32.into(), 1)]);
    for (name, key, weakness) in [
        ("751 is a factor", small, RsaWeakness::SmallFactor { factor: 751 }),
        ("ROCA", n(&[("A", 1), ("B", 1)]), RsaWeakness::Roca),
        ("ROCA as published", n(&[("V", 1), ("W", 1)]), RsaWeakness::Roca),
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
