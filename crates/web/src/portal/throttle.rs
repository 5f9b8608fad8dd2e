//! How often one network may ask for what costs us something before we know who asks.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use time::{Duration, UtcDateTime};

/// What a network may do at once.
const BURST: u32 = 30;
/// After that, one each.
const EVERY: Duration = Duration::seconds(2);
/// Networks that are remembered at once; the one that has done least of late is forgotten for another.
const NETWORKS: usize = 8192;

/// A leaky bucket for each network, an IPv4 /24 or an IPv6 /64: 30 at once, then one in two seconds.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// When the bucket of a network will be empty again.
    empty_at: Mutex<HashMap<IpAddr, UtcDateTime>>,
}

impl Throttle {
    /// Lets one more through, or says when it would.
    pub(crate) fn admit(&self, peer: IpAddr, now: UtcDateTime) -> Result<(), UtcDateTime> {
        let full = EVERY.saturating_mul(i32::try_from(BURST).unwrap_or(i32::MAX));
        let network = network(peer);
        let mut buckets = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        // No bucket is fuller than full: by a clock that was set back it is forgotten.
        let kept = buckets.get(&network).copied().filter(|empty_at| *empty_at <= now.saturating_add(full));
        let begun = kept.unwrap_or(now).max(now);
        let next = begun.saturating_add(EVERY);
        if now.saturating_add(full) < next {
            return Err(next.saturating_sub(full));
        }
        if buckets.len() >= NETWORKS && !buckets.contains_key(&network) {
            buckets.retain(|_, empty_at| now < *empty_at);
            if buckets.len() >= NETWORKS
                && let Some(least) = buckets.iter().min_by_key(|(_, empty_at)| **empty_at).map(|(network, _)| *network)
            {
                buckets.remove(&least);
            }
        }
        buckets.insert(network, next);
        Ok(())
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcDateTime = UtcDateTime::UNIX_EPOCH;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn thirty_at_once_then_one_in_two_seconds() {
        let throttle = Throttle::default();
        for _ in 0..30 {
            assert_eq!(throttle.admit(ip("192.0.2.1"), NOW), Ok(()));
        }
        let next = NOW + Duration::seconds(2);
        for peer in ["192.0.2.1", "192.0.2.254", "::ffff:192.0.2.7"] {
            assert_eq!(throttle.admit(ip(peer), NOW), Err(next), "{peer} is the same network");
        }
        for peer in ["192.0.3.1", "2001:db8::1", "::1"] {
            assert_eq!(throttle.admit(ip(peer), NOW), Ok(()), "{peer} is another one");
        }
        assert_eq!(throttle.admit(ip("192.0.2.1"), next - Duration::MILLISECOND), Err(next));
        assert_eq!(throttle.admit(ip("192.0.2.1"), next), Ok(()));
        assert_eq!(throttle.admit(ip("192.0.2.1"), next), Err(next + Duration::seconds(2)));
        for _ in 0..30 {
            assert_eq!(throttle.admit(ip("192.0.2.1"), next + Duration::MINUTE), Ok(()));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_out_for_long() {
        let throttle = Throttle::default();
        for _ in 0..30 {
            throttle.admit(ip("192.0.2.1"), NOW + Duration::DAY).unwrap();
        }
        assert_eq!(throttle.admit(ip("192.0.2.1"), NOW), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_who_asks_most_is_not_forgotten() {
        let throttle = Throttle::default();
        for _ in 0..30 {
            throttle.admit(ip("192.0.2.1"), NOW).unwrap();
        }
        for number in 0..2 * u32::try_from(NETWORKS).unwrap() {
            let peer = IpAddr::V6(Ipv6Addr::from_bits(u128::from(number) << 64));
            throttle.admit(peer, NOW).unwrap();
        }
        assert_eq!(throttle.empty_at.lock().unwrap().len(), NETWORKS);
        assert!(throttle.admit(ip("192.0.2.1"), NOW).is_err());
    }
}
