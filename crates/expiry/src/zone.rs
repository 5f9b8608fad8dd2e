//! Local time, derived from two questions to a zone.

use core::fmt;

use time::{Duration, UtcDateTime, UtcOffset};

/// What the policy has to know about a time zone: the offset at an instant and how long it lasts.
///
/// Everything else (local dates, midnights that do not exist, dates that are skipped or begin twice) follows from
/// these two total functions, so an implementation has nothing to decide.
pub trait TimeZone: Send + Sync + fmt::Debug {
    /// The offset of local time from UTC at `at`.
    fn offset_at(&self, at: UtcDateTime) -> UtcOffset;

    /// The first instant later than `after` at which the offset changes, or `None` when it never does again.
    ///
    /// It is a whole second. An instant before the next change (a transition that keeps the offset) is a correct answer too. An answer that
    /// is not later than `after` is taken as `None`.
    fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime>;
}

/// A zone whose offset never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FixedOffset(UtcOffset);

impl FixedOffset {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(UtcOffset::UTC);

    /// Japan Standard Time, nine hours ahead of UTC in summer and winter: Asia/Tokyo as it is today.
    ///
    /// ```
    /// use koshin_expiry::{FixedOffset, TimeZone};
    /// use time::UtcDateTime;
    /// assert_eq!(FixedOffset::JST.offset_at(UtcDateTime::UNIX_EPOCH).as_hms(), (9, 0, 0));
    /// ```
    pub const JST: Self = Self(match UtcOffset::from_hms(9, 0, 0) {
        Ok(offset) => offset,
        Err(_) => UtcOffset::UTC,
    });

    /// The zone in which local time always differs from UTC by `offset`.
    pub const fn new(offset: UtcOffset) -> Self {
        Self(offset)
    }
}

impl TimeZone for FixedOffset {
    fn offset_at(&self, _: UtcDateTime) -> UtcOffset {
        self.0
    }

    fn next_transition(&self, _: UtcDateTime) -> Option<UtcDateTime> {
        None
    }
}

/// More than any [`UtcOffset`], which stays within 25:59:59 on either side.
const BEYOND_ANY_OFFSET: Duration = Duration::hours(26);
const SECONDS_PER_DAY: i64 = 86_400;

/// The wall clock at `at`. A wall-clock reading is kept as the instant at which UTC shows the same.
pub(crate) fn wall_clock(zone: &dyn TimeZone, at: UtcDateTime) -> UtcDateTime {
    at.saturating_add(shift(zone.offset_at(at)))
}

/// A local date, counted in days from 1970-01-01: cheaper to reckon with than a [`time::Date`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(i64);

impl Day {
    /// The local date at `at`.
    pub(crate) fn at(zone: &dyn TimeZone, at: UtcDateTime) -> Self {
        let wall_clock = at.unix_timestamp().saturating_add(i64::from(zone.offset_at(at).whole_seconds()));
        Self(wall_clock.div_euclid(SECONDS_PER_DAY))
    }

    /// The date `days` earlier.
    pub(crate) fn back(self, days: u16) -> Self {
        Self(self.0.saturating_sub(i64::from(days)))
    }

    /// The days from `earlier` to this date; 0 when that is in truth the later one.
    pub(crate) fn days_since(self, earlier: Self) -> u32 {
        u32::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// The least instant at which the wall clock shows the start of this date or later.
    pub(crate) fn first_instant(self, zone: &dyn TimeZone) -> UtcDateTime {
        let mut start = instant(self.midnight().saturating_sub(BEYOND_ANY_OFFSET.whole_seconds()));
        loop {
            let reached = self.midnight_by(zone.offset_at(start)).max(start);
            match transition(zone, start) {
                Some(next) if next <= reached => start = next,
                _ => return reached,
            }
        }
    }

    /// Whether `first_instant` is `at` or earlier. Asks the zone only within 26 hours of the date's start in UTC.
    pub(crate) fn has_begun(self, zone: &dyn TimeZone, at: UtcDateTime) -> bool {
        let since = at.unix_timestamp().saturating_sub(self.midnight());
        let margin = BEYOND_ANY_OFFSET.whole_seconds();
        since >= margin || (since >= -margin && self.first_instant(zone) <= at)
    }

    /// The wall clock's reading when this date starts, in seconds like a Unix timestamp.
    fn midnight(self) -> i64 {
        self.0.saturating_mul(SECONDS_PER_DAY)
    }

    fn midnight_by(self, offset: UtcOffset) -> UtcDateTime {
        instant(self.midnight().saturating_sub(i64::from(offset.whole_seconds())))
    }
}

/// The least instant after `after` at which the local date is another one, forwards or backwards.
pub(crate) fn next_date_change(zone: &dyn TimeZone, after: UtcDateTime) -> UtcDateTime {
    let today = Day::at(zone, after);
    let tomorrow = Day(today.0.saturating_add(1));
    let mut start = after;
    loop {
        let reached = tomorrow.midnight_by(zone.offset_at(start));
        match transition(zone, start) {
            Some(next) if next <= reached => {
                if Day::at(zone, next) != today {
                    return next;
                }
                start = next;
            }
            _ => return reached,
        }
    }
}

/// The instant at which the wall clock shows `wall`: the earliest of several; for a reading that is skipped, the
/// instant as far behind the gap's start as the reading is, so that it moves forward by the gap.
pub(crate) fn instant_of(zone: &dyn TimeZone, wall: UtcDateTime) -> UtcDateTime {
    let horizon = wall.saturating_add(BEYOND_ANY_OFFSET);
    let mut start = wall.saturating_sub(BEYOND_ANY_OFFSET);
    let mut offset = shift(zone.offset_at(start));
    let mut skipped = None;
    loop {
        let instant = wall.saturating_sub(offset);
        match transition(zone, start) {
            Some(next) if next <= instant => {
                let after = shift(zone.offset_at(next));
                if next.saturating_add(after) > wall && skipped.is_none() {
                    skipped = Some(instant);
                }
                (start, offset) = (next, after);
            }
            _ if instant >= start => return instant,
            // Jumped over, but a clock that is put back may still show it.
            Some(next) if next <= horizon => (start, offset) = (next, shift(zone.offset_at(next))),
            _ => return skipped.unwrap_or(instant),
        }
    }
}

fn transition(zone: &dyn TimeZone, after: UtcDateTime) -> Option<UtcDateTime> {
    zone.next_transition(after).filter(|next| *next > after)
}

/// The instant of a Unix timestamp, or the first or last one there is.
fn instant(timestamp: i64) -> UtcDateTime {
    let (first, last) = (UtcDateTime::MIN.unix_timestamp(), UtcDateTime::MAX.unix_timestamp());
    UtcDateTime::from_unix_timestamp(timestamp.clamp(first, last)).unwrap_or(UtcDateTime::MAX)
}

fn shift(offset: UtcOffset) -> Duration {
    Duration::seconds(i64::from(offset.whole_seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_the_calendar_is_its_end() {
        assert_eq!(instant(i64::MIN), UtcDateTime::MIN);
        assert_eq!(instant(i64::MAX), UtcDateTime::MAX.truncate_to_second());
        assert_eq!(instant(-1), UtcDateTime::UNIX_EPOCH - Duration::SECOND);
    }
}
