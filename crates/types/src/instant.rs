//! Instants as text.

use core::fmt;

use time::UtcDateTime;

/// Displays an instant as RFC 3339 writes it: in UTC with `Z`, and with milliseconds only where there are some. What is
/// finer is cut off. What lies before the year 0000, which RFC 3339 cannot write, is displayed as its first instant.
///
/// ```
/// use koshin_types::Rfc3339;
/// use time::{Duration, UtcDateTime};
///
/// let epoch = UtcDateTime::UNIX_EPOCH;
/// assert_eq!(Rfc3339(epoch).to_string(), "1970-01-01T00:00:00Z");
/// let later = epoch + Duration::days(59) + Duration::microseconds(7_890);
/// assert_eq!(Rfc3339(later).to_string(), "1970-03-01T00:00:00.007Z");
/// assert_eq!(Rfc3339(UtcDateTime::MIN).to_string(), "0000-01-01T00:00:00Z");
/// assert_eq!(Rfc3339(UtcDateTime::MAX).to_string(), "9999-12-31T23:59:59.999Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rfc3339(pub UtcDateTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0;
        if at.year() < 0 {
            return f.write_str("0000-01-01T00:00:00Z");
        }
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        let (hour, minute, second, milli) = at.as_hms_milli();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if milli == 0 { f.write_str("Z") } else { write!(f, ".{milli:03}Z") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use time::{Date, Month};

    #[test]
    fn the_year_0_is_the_first_that_can_be_written() {
        let at = |year, month, day| Date::from_calendar_date(year, month, day).unwrap().midnight().as_utc();
        assert_eq!(Rfc3339(at(0, Month::June, 3)).to_string(), "0000-06-03T00:00:00Z");
        assert_eq!(Rfc3339(at(-1, Month::June, 3)).to_string(), "0000-01-01T00:00:00Z");
    }
}
