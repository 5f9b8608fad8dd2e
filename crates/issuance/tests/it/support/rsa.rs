//! RSA with primes of our choice, good and bad.

use super::csr::{Info, RSA, RSA_SHA256, csr};
use super::der::{bits, oid, seq, tlv, uint};
use num_bigint::BigUint;
use ring::digest;

/// The prime (or ROCA-shaped prime) of this name in `data/primes.txt`.
///
/// P, Q: 1024 bits. C: the next prime after P. R: 2048 bits. S: 2047 bits. T: 683 bits. A, B: 1024 bits, made as the library
/// of CVE-2017-15361 made them.
pub(crate) fn prime(name: &str) -> BigUint {
    let line = include_str!("../data/primes.txt").lines().find_map(|line| line.strip_prefix(name)).unwrap();
    BigUint::parse_bytes(line.trim().as_bytes(), 16).unwrap()
}

pub(crate) struct RsaKey {
    pub(crate) n: BigUint,
    d: BigUint,
}

impl RsaKey {
    /// A key of primes, each with its exponent.
    pub(crate) fn new(factors: &[(BigUint, u32)]) -> Self {
        let one = BigUint::from(1_u32);
        let n = factors.iter().map(|(p, k)| p.pow(*k)).product();
        let phi: BigUint = factors.iter().map(|(p, k)| p.pow(k - 1) * (p - &one)).product();
        Self { n, d: BigUint::from(65_537_u32).modinv(&phi).unwrap() }
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        rsa_spki(&self.n, &[1, 0, 1])
    }

    pub(crate) fn csr(&self) -> Vec<u8> {
        let info = Info { spki: self.spki(), ..Info::default() }.der();
        csr(&info, &sha256_with_rsa(), &self.sign(&info))
    }

    /// PKCS #1 v1.5 with SHA-256 (RFC 8017, 8.2.1).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let length = usize::try_from(self.n.bits().div_ceil(8)).unwrap();
        let hash = digest::digest(&digest::SHA256, message);
        let info = seq(&[&seq(&[&oid("2.16.840.1.101.3.4.2.1"), &tlv(5, [])]), &tlv(4, hash)]);
        let padding = vec![0xff; length - info.len() - 3];
        let encoded = [&[0, 1][..], &padding, &[0], &info].concat();
        let signature = BigUint::from_bytes_be(&encoded).modpow(&self.d, &self.n).to_bytes_be();
        [vec![0; length - signature.len()], signature].concat()
    }
}

pub(crate) fn rsa_spki(n: &BigUint, e: &[u8]) -> Vec<u8> {
    let key = seq(&[&uint(&n.to_bytes_be()), &uint(e)]);
    seq(&[&seq(&[&oid(RSA), &tlv(5, [])]), &bits(&key)])
}

pub(crate) fn sha256_with_rsa() -> Vec<u8> {
    seq(&[&oid(RSA_SHA256), &tlv(5, [])])
}
