//! RSA moduli that somebody could factor.

use super::{Rejected, RsaWeakness};
use num_bigint::BigUint;
use std::ops::RangeInclusive;

/// How many bits a modulus may have.
pub(super) const BITS: RangeInclusive<usize> = 2048..=8192;
/// Factors below this are looked for (NIST SP 800-89, 5.3.3).
const SMALL_FACTORS_BELOW: u32 = 752;
/// Rounds of Fermat's method (CA/Browser Forum, 6.1.1.3).
const FERMAT_ROUNDS: u32 = 100;
/// The primes that show the fingerprint of CVE-2017-15361: a faulty modulus is a power of 65537 modulo each of them.
const ROCA_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// A modulus of 2048 to 8192 bits.
pub(crate) struct Modulus<'a> {
    digits: &'a [u8],
    bits: usize,
}

impl<'a> Modulus<'a> {
    /// Takes big-endian digits without leading zeros. Only the size and the last bit are looked at.
    pub(super) fn new(digits: &'a [u8]) -> Result<Self, Rejected> {
        let unused = digits.first().map_or(0, |first| first.leading_zeros() as usize);
        let bits = digits.len() * 8 - unused;
        if !BITS.contains(&bits) {
            return Err(Rejected::RsaSize { bits });
        }
        if digits.last().is_some_and(|last| last % 2 == 0) {
            return Err(Rejected::RsaWeak { weakness: RsaWeakness::SmallFactor { factor: 2 } });
        }
        Ok(Self { digits, bits })
    }

    pub(super) const fn bits(&self) -> usize {
        self.bits
    }

    /// Looks for what makes a modulus easy to factor; what costs least first.
    pub(super) fn check(&self) -> Result<(), RsaWeakness> {
        if let Some(factor) = self.small_factor() {
            return Err(RsaWeakness::SmallFactor { factor });
        }
        if ROCA_PRIMES.iter().all(|prime| is_power_of_65537(self.modulo(*prime), *prime)) {
            return Err(RsaWeakness::Roca);
        }
        let n = BigUint::from_bytes_be(self.digits);
        if has_close_primes(&n) {
            return Err(RsaWeakness::ClosePrimes);
        }
        if is_prime_power(&n) {
            return Err(RsaWeakness::PrimePower);
        }
        Ok(())
    }

    /// The least factor below the bound. Composites among the candidates do no harm: their primes come first.
    fn small_factor(&self) -> Option<u32> {
        (3..SMALL_FACTORS_BELOW).step_by(2).find(|factor| self.modulo(*factor) == 0)
    }

    /// The remainder modulo a number below 2^16.
    fn modulo(&self, divisor: u32) -> u32 {
        let (head, pairs) = self.digits.split_at(self.digits.len() % 2);
        let first = head.first().map_or(0, |digit| u32::from(*digit) % divisor);
        pairs.chunks_exact(2).fold(first, |remainder, pair| {
            let value = pair.iter().fold(0, |value, digit| value << 8 | u32::from(*digit));
            (remainder << 16 | value) % divisor
        })
    }
}

/// Whether `value` is in the group that 65537 generates modulo `prime`.
fn is_power_of_65537(value: u32, prime: u32) -> bool {
    let powers = core::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime));
    powers.take(prime as usize).any(|power| power == value)
}

/// Fermat's method: looks for a square a^2 - n with a just above the root of n. Finds squares, too.
fn has_close_primes(n: &BigUint) -> bool {
    let mut a = n.sqrt();
    if &a * &a < *n {
        a += 1_u32;
    }
    let mut rest = &a * &a - n;
    for _ in 0..FERMAT_ROUNDS {
        if is_square(&rest) {
            return true;
        }
        rest += (&a << 1_u32) + 1_u32;
        a += 1_u32;
    }
    false
}

/// Roots are dear: nearly all that is no square is no square modulo 63 * 65 * 11 either.
fn is_square(value: &BigUint) -> bool {
    let residue = u32::try_from(value % 45_045_u32).unwrap_or_default();
    let may_be = [63, 65, 11].iter().all(|m| (0..*m).any(|x| x * x % m == residue % m));
    may_be && {
        let root = value.sqrt();
        &root * &root == *value
    }
}

/// For a power of the prime p, 2^n = 2 modulo p, so that n and 2^n - 2 have a common factor; for the product of two random
/// primes of 1024 bits they have one about once in 2^1000 keys.
fn is_prime_power(n: &BigUint) -> bool {
    let two = BigUint::from(2_u32);
    let (mut a, mut b) = (n.clone(), (two.modpow(n, n) + n - two) % n);
    let zero = BigUint::ZERO;
    while b != zero {
        (a, b) = (b.clone(), a % b);
    }
    a != BigUint::from(1_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two public keys that the researchers who found CVE-2017-15361 published; nobody here holds their private keys.
    #[test]
    fn published_moduli_have_the_fingerprint() {
        for (line, bits) in include_str!("../../tests/it/data/roca.txt").lines().zip([2048, 4096]) {
            let digits = BigUint::parse_bytes(line.as_bytes(), 16).unwrap().to_bytes_be();
            let modulus = Modulus::new(&digits).unwrap_or_else(|_| panic!("{bits} bits"));
            assert_eq!((modulus.bits(), modulus.check()), (bits, Err(RsaWeakness::Roca)));
        }
    }
}
