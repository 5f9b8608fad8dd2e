//! Zones for tests: the IANA database by way of jiff, and tables with arbitrary transitions.

use std::sync::Arc;

use jiff::{Timestamp, civil, tz};
use koshin_expiry::{FixedOffset, Mode, Policy, PolicyConfig, TimeZone};
use koshin_types::Validity;
use proptest::prelude::*;
use time::{Date, Duration, Month, UtcDateTime, UtcOffset};

/// Zones with something unusual between 1970 and 2030: midnight gaps, skipped dates, dates that begin twice, half hours,
/// two-hour steps, seconds in the offset, a summer time that is the standard.
pub(crate) const ZONES: [&str; 24] = [
    "Asia/Tokyo",
    "America/Sao_Paulo",
    "America/Asuncion",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Kiritimati",
    "America/Havana",
    "Asia/Beirut",
    "Asia/Amman",
    "Asia/Tehran",
    "Europe/London",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Africa/Monrovia",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Nuuk",
    "America/Scoresbysund",
    "America/New_York",
    "Atlantic/Azores",
];

/// Half-open range of the seconds from 1970 through 2199.
pub(crate) const SECONDS: std::ops::Range<i64> = 0..7_258_118_400;

#[derive(Debug)]
pub(crate) struct Iana(pub(crate) tz::TimeZone);

impl Iana {
    pub(crate) fn get(name: &str) -> Arc<Self> {
        Arc::new(Self(tz::TimeZone::get(name).expect("bundled zone")))
    }

    /// The instant of a wall-clock time by jiff's own rule: the earlier of two, forward over a gap.
    pub(crate) fn compatible(&self, wall: civil::DateTime) -> UtcDateTime {
        utc(self.0.to_ambiguous_timestamp(wall).compatible().expect("in range"))
    }

    /// The wall-clock time at an instant by jiff.
    pub(crate) fn civil(&self, at: UtcDateTime) -> civil::DateTime {
        self.0.to_datetime(timestamp(at))
    }
}

impl TimeZone for Iana {
    fn offset_at(&self, at: UtcDateTime) -> UtcOffset {
        UtcOffset::from_whole_seconds(self.0.to_offset(timestamp(at)).seconds()).expect("same range")
    }

    fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        self.0.following(timestamp(after)).next().map(|transition| utc(transition.timestamp()))
    }
}

fn timestamp(at: UtcDateTime) -> Timestamp {
    let out_of_range = if at < UtcDateTime::UNIX_EPOCH { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_nanosecond(at.unix_timestamp_nanos()).unwrap_or(out_of_range)
}

fn utc(at: Timestamp) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp_nanos(at.as_nanosecond()).expect("same range")
}

/// A zone that nobody would decree: any offsets, at any minutes.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) first: UtcOffset,
    pub(crate) then: Vec<(UtcDateTime, UtcOffset)>,
}

impl TimeZone for Table {
    fn offset_at(&self, at: UtcDateTime) -> UtcOffset {
        self.then.iter().rev().find(|(from, _)| *from <= at).map_or(self.first, |(_, offset)| *offset)
    }

    fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        self.then.iter().map(|(from, _)| *from).find(|from| *from > after)
    }
}

pub(crate) fn named() -> impl Strategy<Value = Arc<Iana>> {
    prop::sample::select(&ZONES[..]).prop_map(Iana::get)
}

/// Up to eight transitions within six days on either side of `around`, with offsets up to 25 hours.
pub(crate) fn table(around: UtcDateTime) -> impl Strategy<Value = Table> {
    let offset = (-1_500_i32..=1_500).prop_map(|minutes| UtcOffset::from_whole_seconds(minutes * 60).unwrap());
    let minute = -8_640_i64..8_640;
    (offset.clone(), prop::collection::btree_map(minute, offset, 0..8)).prop_map(move |(first, map)| Table {
        first,
        then: map.into_iter().map(|(minute, offset)| (around + Duration::minutes(minute), offset)).collect(),
    })
}

pub(crate) fn any_zone(around: UtcDateTime) -> impl Strategy<Value = Arc<dyn TimeZone>> {
    prop_oneof![
        4 => named().prop_map(|zone| zone as Arc<dyn TimeZone>),
        1 => Just(Arc::new(FixedOffset::JST) as Arc<dyn TimeZone>),
        3 => table(around).prop_map(|zone| Arc::new(zone) as Arc<dyn TimeZone>),
    ]
}

/// Seconds near those transitions of the real zones that make a date irregular, or anywhere.
pub(crate) fn second() -> impl Strategy<Value = UtcDateTime> {
    let irregular = [
        at(2011, 12, 30, 10, 0, 0), // Apia skips a date
        at(1993, 8, 21, 12, 0, 0),  // Kwajalein skips a date
        at(1994, 12, 31, 10, 0, 0), // Kiritimati skips a date
        at(2018, 11, 4, 3, 0, 0),   // Sao Paulo has no midnight
        at(2019, 2, 17, 2, 0, 0),   // Sao Paulo repeats 23 o'clock
        at(2007, 11, 4, 2, 31, 0),  // St John's begins a date twice
        at(2026, 3, 29, 1, 0, 0),   // summer time in Europe, a gap before midnight in Nuuk
        at(2025, 11, 2, 5, 0, 0),   // Havana shows midnight twice
        at(1972, 1, 7, 0, 44, 30),  // Monrovia gives up its seconds
    ];
    let minutes = -4_320_i64..4_320;
    prop_oneof![
        SECONDS.prop_map(|seconds| UtcDateTime::from_unix_timestamp(seconds).unwrap()),
        (0_i64..2_000_000_000).prop_map(|seconds| UtcDateTime::from_unix_timestamp(seconds).unwrap()),
        (prop::sample::select(irregular.to_vec()), minutes, 0_i64..60)
            .prop_map(|(at, minutes, seconds)| at + Duration::minutes(minutes) + Duration::seconds(seconds)),
    ]
}

pub(crate) fn at(year: i32, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> UtcDateTime {
    let date = Date::from_calendar_date(year, Month::try_from(month).unwrap(), day).unwrap();
    date.with_hms(hour, minute, second).unwrap().as_utc()
}

/// A certificate of so many whole days that ends with the second `not_after`.
pub(crate) fn days_until(days: i64, not_after: UtcDateTime) -> Validity {
    Validity::new(not_after + Duration::SECOND - Duration::days(days), not_after).unwrap()
}

pub(crate) fn policy(mode: Mode, zone: Arc<dyn TimeZone>) -> Policy {
    Policy::new(PolicyConfig { mode, ..PolicyConfig::default() }, zone).unwrap()
}

pub(crate) const MS: Duration = Duration::MILLISECOND;
