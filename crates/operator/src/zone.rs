//! IANA time zones, for the expiry policy, and for what names days and times to people.

use anyhow::Context as _;
use jiff::{Timestamp, tz::TimeZone as IanaZone};
use koshin_expiry::TimeZone;
use time::{UtcDateTime, UtcOffset};

/// A zone of the IANA database, which is part of this program.
#[derive(Debug, Clone)]
pub struct NamedZone(IanaZone);

impl NamedZone {
    /// Looks a zone up by its name, such as `Asia/Tokyo`.
    ///
    /// # Errors
    ///
    /// A sentence when there is none of that name.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        let unknown = || format!("{name:?} is no zone of the IANA database");
        let zone = IanaZone::get(name).with_context(unknown)?;
        // `Etc/Unknown` stands for the zone of a machine that has none set, and counts like UTC.
        anyhow::ensure!(!zone.is_unknown(), unknown());
        Ok(Self(zone))
    }

    /// The offset at an instant, and its abbreviation such as `JST`.
    pub fn info_at(&self, at: UtcDateTime) -> (UtcOffset, String) {
        let info = self.0.to_offset_info(timestamp(at));
        (offset(info.offset()), info.abbreviation().to_owned())
    }
}

impl TimeZone for NamedZone {
    fn offset_at(&self, at: UtcDateTime) -> UtcOffset {
        offset(self.0.to_offset(timestamp(at)))
    }

    fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        let next = self.0.following(timestamp(after)).next()?;
        UtcDateTime::from_unix_timestamp(next.timestamp().as_second()).ok()
    }
}

/// The nearest instant that jiff can represent.
fn timestamp(at: UtcDateTime) -> Timestamp {
    let nanosecond = i32::try_from(at.nanosecond()).unwrap_or(0);
    let bound = if at.unix_timestamp() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::new(at.unix_timestamp(), nanosecond).unwrap_or(bound)
}

fn offset(offset: jiff::tz::Offset) -> UtcOffset {
    UtcOffset::from_whole_seconds(offset.seconds()).unwrap_or(UtcOffset::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{offset, utc_datetime};

    #[test]
    fn tokyo_and_new_york() {
        let tokyo = NamedZone::find("Asia/Tokyo").unwrap();
        let instant = utc_datetime!(2026-11-22 03:00);
        assert_eq!(tokyo.offset_at(instant), offset!(+9));
        assert_eq!(tokyo.info_at(instant), (offset!(+9), "JST".to_owned()));
        let new_york = NamedZone::find("America/New_York").unwrap();
        assert_eq!(new_york.next_transition(instant), Some(utc_datetime!(2027-03-14 07:00)));
        for wrong in ["Asia/Nowhere", "Etc/Unknown", "etc/unknown", "", "+09:00"] {
            assert!(NamedZone::find(wrong).is_err(), "{wrong}");
        }
    }
}
