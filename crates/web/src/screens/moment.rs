//! Instants as people read them.

use std::{borrow::Cow, fmt::Write as _};

use koshin_types::Language;
use time::{OffsetDateTime, UtcDateTime, UtcOffset};

use super::markup::{Markup, escape_into};

/// What the wall clock shows at an instant: its offset from UTC and what people call the zone then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocked {
    /// Local time minus UTC.
    pub offset: UtcOffset,
    /// For example `JST`.
    pub abbreviation: Cow<'static, str>,
}

impl Clocked {
    /// Japan Standard Time: UTC+9 the whole year.
    ///
    /// ```
    /// let jst = koshin_web::screens::Clocked::jst();
    /// assert_eq!((jst.offset.whole_hours(), jst.abbreviation.as_ref()), (9, "JST"));
    /// ```
    pub fn jst() -> Self {
        Self { offset: time::macros::offset!(+9), abbreviation: Cow::Borrowed("JST") }
    }
}

/// The zone the screens speak in. A [`Clocked`] is a zone that never changes its clocks.
pub trait Zone: Send + Sync {
    /// What the wall clock shows at `instant`.
    fn clocked(&self, instant: UtcDateTime) -> Clocked;
}

impl Zone for Clocked {
    fn clocked(&self, _: UtcDateTime) -> Clocked {
        self.clone()
    }
}

/// An instant, or a reference to one: templates pass either.
pub(crate) trait Instant {
    fn instant(&self) -> UtcDateTime;
}

impl Instant for UtcDateTime {
    fn instant(&self) -> UtcDateTime {
        *self
    }
}

impl<T: Instant + ?Sized> Instant for &T {
    fn instant(&self) -> UtcDateTime {
        (**self).instant()
    }
}

/// Day and time: `2026年12月22日(火) 23:59 JST` or `Tue 22 Dec 2026, 23:59 JST`, as a `<time>`.
pub(crate) fn moment(language: Language, zone: &dyn Zone, instant: UtcDateTime) -> Markup {
    let clocked = zone.clocked(instant);
    let local = at(instant, clocked.offset);
    let clock = format!("{:02}:{:02}", local.hour(), local.minute());
    let text = match language {
        Language::Ja => format!("{} {clock} {}", day(language, local), clocked.abbreviation),
        Language::En => format!("{}, {clock} {}", day(language, local), clocked.abbreviation),
    };
    let (hours, minutes, _) = clocked.offset.as_hms();
    let sign = if clocked.offset.is_negative() { '-' } else { '+' };
    let machine = format!(
        "{:04}-{:02}-{:02}T{clock}:{:02}{sign}{:02}:{:02}",
        local.year(),
        u8::from(local.month()),
        local.day(),
        local.second(),
        hours.abs(),
        minutes.abs()
    );
    element(&machine, &text)
}

/// The day alone: `2026年12月22日(火)` or `Tue 22 Dec 2026`, as a `<time>`.
pub(crate) fn date(language: Language, zone: &dyn Zone, instant: UtcDateTime) -> Markup {
    let local = at(instant, zone.clocked(instant).offset);
    let machine = format!("{:04}-{:02}-{:02}", local.year(), u8::from(local.month()), local.day());
    element(&machine, &day(language, local))
}

fn at(instant: UtcDateTime, offset: UtcOffset) -> OffsetDateTime {
    let utc = OffsetDateTime::from(instant);
    // At the very ends of representable time UTC is better than nothing.
    utc.checked_to_offset(offset).unwrap_or(utc)
}

fn day(language: Language, local: OffsetDateTime) -> String {
    let (year, month, day) = (local.year(), local.month(), local.day());
    let weekday = usize::from(local.weekday().number_days_from_sunday());
    match language {
        Language::Ja => {
            let name = ["日", "月", "火", "水", "木", "金", "土"].get(weekday).copied().unwrap_or_default();
            format!("{year}年{}月{day}日({name})", u8::from(month))
        }
        Language::En => {
            let name = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].get(weekday).copied().unwrap_or_default();
            let month = month.to_string();
            format!("{name} {day} {} {year}", month.get(..3).unwrap_or(&month))
        }
    }
}

fn element(machine: &str, text: &str) -> Markup {
    // Writing to a String cannot fail.
    let mut html = String::new();
    _ = write!(html, "<time datetime=\"{machine}\">");
    text.chars().for_each(|c| escape_into(&mut html, c));
    html.push_str("</time>");
    Markup::trusted(html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{offset, utc_datetime};

    #[test]
    fn both_languages_and_the_machine() {
        let instant = utc_datetime!(2026-12-22 14:59:59);
        let jst = Clocked::jst();
        assert_eq!(
            moment(Language::Ja, &jst, instant).to_string(),
            "<time datetime=\"2026-12-22T23:59:59+09:00\">2026年12月22日(火) 23:59 JST</time>"
        );
        assert_eq!(
            moment(Language::En, &jst, instant).to_string(),
            "<time datetime=\"2026-12-22T23:59:59+09:00\">Tue 22 Dec 2026, 23:59 JST</time>"
        );
    }

    #[test]
    fn the_day_is_the_local_one() {
        let instant = utc_datetime!(2026-12-31 15:00:00);
        assert_eq!(
            date(Language::En, &Clocked::jst(), instant).to_string(),
            "<time datetime=\"2027-01-01\">Fri 1 Jan 2027</time>"
        );
        let west = Clocked { offset: offset!(-3:30), abbreviation: Cow::Borrowed("<NST>") };
        assert_eq!(
            moment(Language::Ja, &west, instant).to_string(),
            "<time datetime=\"2026-12-31T11:30:00-03:30\">2026年12月31日(木) 11:30 &lt;NST&gt;</time>"
        );
    }
}
