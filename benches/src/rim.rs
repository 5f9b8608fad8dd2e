//! The machine's clock and random source, for programs that measure it.

use std::sync::Arc;

use koshin_issuance::Random;
use koshin_ra::NoEntropy;
use time::UtcDateTime;

/// The present instant in whole milliseconds.
#[expect(clippy::disallowed_methods, reason = "this is the rim of the benches")]
pub fn now() -> UtcDateTime {
    let now = UtcDateTime::now();
    now.replace_millisecond(now.millisecond()).unwrap_or(now)
}

/// Fills a buffer from the operating system's random source.
///
/// # Errors
///
/// [`NoEntropy`] when it does not answer.
#[expect(clippy::disallowed_methods, reason = "this is the rim of the benches")]
pub fn entropy(octets: &mut [u8]) -> Result<(), NoEntropy> {
    getrandom::fill(octets).map_err(|_| NoEntropy)
}

/// Random octets.
///
/// # Errors
///
/// [`NoEntropy`].
pub fn octets<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut octets = [0; N];
    entropy(&mut octets)?;
    Ok(octets)
}

/// The random source for signatures.
pub fn random() -> Random {
    Arc::new(ring::rand::SystemRandom::new())
}
