//! Bytes, read as a script of small numbers. A script that has ended goes on with zeros.

use koshin_expiry::TimeZone;
use koshin_types::Validity;
use time::{Duration, UtcDateTime, UtcOffset};

/// 1 January 2200, the end of the time in which certificates are promised to work.
const END_OF_TIME: i64 = 7_258_118_400;

/// Reads numbers from the front of some bytes.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there is anything left.
    pub(crate) fn goes_on(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Up to 255 octets, as many as the first one says.
    pub(crate) fn text(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        self.0.split_off(..length).unwrap_or_default()
    }

    /// One of these values.
    pub(crate) fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.byte()) % values.len()]
    }

    /// A whole second from 1970 to the end of 2199.
    pub(crate) fn second(&mut self) -> UtcDateTime {
        let seconds = i64::from(self.u32()) * 2 % END_OF_TIME;
        UtcDateTime::from_unix_timestamp(seconds).unwrap() + Duration::seconds(i64::from(self.byte() & 1))
    }

    /// A whole millisecond near an instant: up to 90 days before or after.
    pub(crate) fn near(&mut self, instant: UtcDateTime) -> UtcDateTime {
        let seconds = i64::from(self.u32() % (180 * 86_400)) - 90 * 86_400;
        instant + Duration::seconds(seconds) + Duration::milliseconds(i64::from(self.u16() % 1_000))
    }

    /// A validity of one second up to three years.
    pub(crate) fn validity(&mut self) -> Validity {
        let from = self.second();
        Validity::new(from, from + Duration::seconds(i64::from(self.u32() % (3 * 366 * 86_400)))).unwrap()
    }

    /// A zone with up to seven changes of its offset, at any instant, by any number of quarters of an hour.
    pub(crate) fn zone(&mut self) -> Zone {
        let count = self.byte() % 8;
        let first = self.offset();
        let mut changes: Vec<(UtcDateTime, UtcOffset)> = (0..count).map(|_| (self.second(), self.offset())).collect();
        changes.sort_unstable_by_key(|(at, _)| *at);
        changes.dedup_by_key(|(at, _)| *at);
        Zone { first, changes }
    }

    fn offset(&mut self) -> UtcOffset {
        let quarters = i32::from(self.byte() % (4 * 28 + 1)) - 4 * 14;
        UtcOffset::from_whole_seconds(quarters * 15 * 60).unwrap()
    }
}

/// A zone given by its changes.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    first: UtcOffset,
    changes: Vec<(UtcDateTime, UtcOffset)>,
}

impl TimeZone for Zone {
    fn offset_at(&self, at: UtcDateTime) -> UtcOffset {
        self.changes.iter().rev().find(|(from, _)| *from <= at).map_or(self.first, |(_, offset)| *offset)
    }

    fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        self.changes.iter().map(|(from, _)| *from).find(|from| *from > after)
    }
}
