//! What every [`RevocationSource`] has to do, as tests that any implementation runs on itself.
//!
//! ```
//! use async_trait::async_trait;
//! use koshin_endpoints::{MemoryRevocations, RevocationSource, Revoked, publisher::conformance::Rig};
//!
//! struct Memory(MemoryRevocations);
//!
//! #[async_trait(?Send)]
//! impl Rig for Memory {
//!     fn source(&self) -> &dyn RevocationSource {
//!         &self.0
//!     }
//!     async fn revoke(&self, revoked: Revoked) {
//!         self.0.revoke(revoked);
//!     }
//!     async fn reopen(self) -> Self {
//!         self
//!     }
//! }
//!
//! async fn empty() -> Memory {
//!     Memory(MemoryRevocations::default())
//! }
//!
//! koshin_endpoints::revocations_conformance!(empty);
//! # fn main() {
//! #     use koshin_endpoints::{ca::conformance::run, publisher::conformance};
//! #     run(async { conformance::numbers_grow(empty().await).await })
//! # }
//! ```

#![expect(clippy::missing_panics_doc, reason = "a test of the suite fails by panicking")]

use async_trait::async_trait;
use koshin_issuance::{CrlEdition, RevokedCertificate};
use koshin_types::{RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use super::source::{Editions, RevocationSource, Revoked};

/// A source on the bench: what the tests need beside the port.
#[async_trait(?Send)]
pub trait Rig: Sized {
    /// The source under test.
    fn source(&self) -> &dyn RevocationSource;
    /// Issues a certificate of this serial number and notAfter, if need be, and revokes it. invalidityDate may be lost.
    async fn revoke(&self, revoked: Revoked);
    /// The same as after a restart of the process.
    async fn reopen(self) -> Self;
}

/// Makes one `#[test]` of each test of the suite. Takes the path of an `async fn() -> impl Rig` that gives a new, empty
/// source each time.
#[macro_export]
macro_rules! revocations_conformance {
    ($make:path) => {
        $crate::revocations_conformance!(@ $make:
            an_empty_source_has_nothing, revocations_come_in_pages, numbers_grow, dates_never_fall,
            what_is_published_is_kept, everything_outlives_the_process, two_at_once_get_two_numbers,
        );
    };
    (@ $make:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            $crate::ca::conformance::run(async { $crate::publisher::conformance::$case($make().await).await });
        })+
    };
}

fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(seconds)
}

fn edition(number: u64, seconds: i64) -> CrlEdition {
    CrlEdition { number, this_update: at(seconds), next_update: at(seconds) + Duration::days(7) }
}

fn revoked(number: u8) -> Revoked {
    let reason = RevocationReason::ALL.into_iter().cycle().nth(usize::from(number));
    let entry = RevokedCertificate {
        serial: SerialNumber::from_time_and_random(1_728_000_000_000 + i64::from(number / 2), [number; 13]),
        revoked_at: at(1_000 - i64::from(number)) + Duration::milliseconds(7),
        reason: reason.unwrap_or(RevocationReason::Unspecified),
        invalidity_date: None,
    };
    Revoked { entry, not_after: at(i64::from(number) * 86_400) }
}

async fn page(source: &dyn RevocationSource, after: Option<u8>, limit: usize) -> Vec<Revoked> {
    let answer = source.revocations(after.map(|number| revoked(number).entry.serial), limit).await;
    answer.unwrap_or_else(|error| unreachable!("{error:?}"))
}

async fn reserve(source: &dyn RevocationSource, wanted: CrlEdition) -> CrlEdition {
    source.reserve(wanted).await.unwrap_or_else(|error| unreachable!("{error:?}"))
}

async fn editions(source: &dyn RevocationSource) -> Editions {
    source.editions().await.unwrap_or_else(|error| unreachable!("{error:?}"))
}

async fn publish(source: &dyn RevocationSource, edition: CrlEdition) {
    source.published(edition).await.unwrap_or_else(|error| unreachable!("{error:?}"));
}

/// Nothing is revoked, and no list was ever made.
pub async fn an_empty_source_has_nothing(rig: impl Rig) {
    assert_eq!(page(rig.source(), None, 10).await, []);
    assert_eq!(editions(rig.source()).await, Editions::default());
}

/// By serial number, whenever they were revoked; each page begins after the last one of the page before.
pub async fn revocations_come_in_pages(rig: impl Rig) {
    for number in [7, 3, 9, 1, 5] {
        rig.revoke(revoked(number)).await;
    }
    let all = [1, 3, 5, 7, 9].map(revoked);
    let pages = [(None, 10, &all[..]), (None, 5, &all), (None, 1, &all[..1]), (Some(1), 2, &all[1..3])];
    for (after, limit, expected) in pages.into_iter().chain([(Some(4), 9, &all[2..]), (Some(9), 9, &[])]) {
        assert_eq!(page(rig.source(), after, limit).await, expected, "{limit} after {after:?}");
    }
}

/// Each reserved number is greater than the one before, whatever the clock says.
pub async fn numbers_grow(rig: impl Rig) {
    let source = rig.source();
    assert_eq!(reserve(source, edition(100, 0)).await, edition(100, 0));
    assert_eq!(reserve(source, edition(100, 1)).await, edition(101, 1));
    assert_eq!(reserve(source, edition(7, 2)).await, edition(102, 2));
    assert_eq!(reserve(source, edition(900, 3)).await, edition(900, 3));
    assert_eq!(editions(source).await, Editions { reserved: Some(edition(900, 3)), published: None });
    // The largest number that 63 bits hold is stored as it is.
    let large = (1 << 63) - 10;
    assert_eq!(reserve(source, edition(large, 4)).await.number, large);
}

/// thisUpdate stays where it is when the clock goes back, and the list lives for as long as it was to.
pub async fn dates_never_fall(rig: impl Rig) {
    let source = rig.source();
    assert_eq!(reserve(source, edition(1, 50)).await, edition(1, 50));
    assert_eq!(reserve(source, edition(2, 0)).await, edition(2, 50));
    assert_eq!(reserve(source, edition(2, 51)).await, edition(3, 51));
}

/// The newest published edition is kept, whatever comes late.
pub async fn what_is_published_is_kept(rig: impl Rig) {
    let source = rig.source();
    let (first, second) = (reserve(source, edition(5, 0)).await, reserve(source, edition(5, 1)).await);
    publish(source, second).await;
    publish(source, first).await;
    publish(source, second).await;
    assert_eq!(editions(source).await, Editions { reserved: Some(second), published: Some(second) });
}

/// A restart changes nothing.
pub async fn everything_outlives_the_process(rig: impl Rig) {
    let first = reserve(rig.source(), edition(5, 0)).await;
    publish(rig.source(), first).await;
    let second = reserve(rig.source(), edition(5, 1)).await;
    rig.revoke(revoked(1)).await;
    let rig = rig.reopen().await;
    assert_eq!(editions(rig.source()).await, Editions { reserved: Some(second), published: Some(first) });
    assert_eq!(page(rig.source(), None, 9).await, [revoked(1)]);
    assert_eq!(reserve(rig.source(), edition(5, 1)).await.number, 7);
}

/// Nobody shares a number.
pub async fn two_at_once_get_two_numbers(rig: impl Rig) {
    let source = rig.source();
    let both =
        tokio::join!(reserve(source, edition(5, 0)), reserve(source, edition(5, 0)), reserve(source, edition(5, 0)));
    let mut numbers = [both.0.number, both.1.number, both.2.number];
    numbers.sort_unstable();
    assert_eq!(numbers, [5, 6, 7]);
}
