//! Local time, derived from two questions to a zone.

use core::fmt;

use time::{Date, Duration, UtcDateTime, UtcOffset};

/// What the policy has to know about a time zone: the offset at an instant and how long it lasts.
///
/// Everything else (local dates, midnights that do not exist, dates that are skipped or begin twice) follows from
/// these two total functions, so an implementation has nothing to decide.
pub trait TimeZone: Send + Sync + fmt::Debug {
    /// The offset of local time from UTC at `at`.
    fn offset_at(&self, at: UtcDateTime) -> UtcOffset;

    /// The first instant later than `after` at which the offset changes, or `None` when it never does again.
    ///
    /// An instant before the next change (a transition that keeps the offset) is a correct answer too. An answer that
    /// is not later than `after` is taken as `None`.
    fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime>;
}

/// A zone whose offset never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FixedOffset(UtcOffset);

impl FixedOffset {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(UtcOffset::UTC);

    /// Japan Standard Time, which is all of Asia/Tokyo since 1952.
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

/// The wall clock at `at`. A wall-clock reading is kept as the instant at which UTC shows the same.
pub(crate) fn wall_clock(zone: &dyn TimeZone, at: UtcDateTime) -> UtcDateTime {
    at.saturating_add(shift(zone.offset_at(at)))
}

/// The local date at `at`.
pub(crate) fn local_date(zone: &dyn TimeZone, at: UtcDateTime) -> Date {
    wall_clock(zone, at).date()
}

/// The least instant at which the wall clock shows the start of `date` or later.
pub(crate) fn first_instant_of(zone: &dyn TimeZone, date: Date) -> UtcDateTime {
    let midnight = date.midnight().as_utc();
    let mut start = midnight.saturating_sub(BEYOND_ANY_OFFSET);
    loop {
        let reached = midnight.saturating_sub(shift(zone.offset_at(start))).max(start);
        match transition(zone, start) {
            Some(next) if next <= reached => start = next,
            _ => return reached,
        }
    }
}

/// The least instant after `after` at which the local date is another one, forwards or backwards.
pub(crate) fn next_date_change(zone: &dyn TimeZone, after: UtcDateTime) -> Option<UtcDateTime> {
    let today = local_date(zone, after);
    let midnight = today.next_day()?.midnight().as_utc();
    let mut start = after;
    loop {
        let reached = midnight.saturating_sub(shift(zone.offset_at(start)));
        match transition(zone, start) {
            Some(next) if next <= reached => {
                if local_date(zone, next) != today {
                    return Some(next);
                }
                start = next;
            }
            _ => return Some(reached),
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

fn shift(offset: UtcOffset) -> Duration {
    Duration::seconds(i64::from(offset.whole_seconds()))
}
