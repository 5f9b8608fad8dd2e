//! The machine's clock and random source. No other file of this program names them.

use std::sync::Arc;

use koshin_issuance::Random;
use koshin_ra::NoEntropy;
use time::UtcDateTime;

/// The present instant, in whole milliseconds as everything that is stored.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
pub(crate) fn now() -> UtcDateTime {
    let now = UtcDateTime::now();
    now.replace_millisecond(now.millisecond()).unwrap_or(now)
}

/// Fills a buffer from the operating system's random source.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
pub(crate) fn entropy(octets: &mut [u8]) -> Result<(), NoEntropy> {
    getrandom::fill(octets).map_err(|_| NoEntropy)
}

/// The same source for signatures.
pub(crate) fn random() -> Random {
    Arc::new(ring::rand::SystemRandom::new())
}
