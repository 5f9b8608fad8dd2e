//! Instants as text: RFC 3339.

use koshin_types::Rfc3339;
use time::{OffsetDateTime, UtcDateTime, format_description::well_known, macros::utc_datetime};

/// The first instant that RFC 3339 can write.
const FIRST: UtcDateTime = utc_datetime!(0000-01-01 0:00);

/// In UTC with `Z`; milliseconds only where there are some. What lies before the year 0000, as the window of a certificate
/// from that year may, is written as its first instant.
pub fn rfc3339(at: UtcDateTime) -> String {
    Rfc3339(at).to_string()
}

/// Reads an instant with `Z` or an offset. What is finer than a millisecond is cut off.
///
/// # Errors
///
/// A sentence with an example.
pub fn parse(text: &str) -> Result<UtcDateTime, String> {
    let wrong = || format!("{text:?} is no instant such as 2026-12-22T14:59:59Z");
    let at = OffsetDateTime::parse(text, &well_known::Rfc3339).map_err(|_| wrong())?;
    let at = at.checked_to_utc().filter(|at| *at >= FIRST).ok_or_else(wrong)?;
    at.replace_millisecond(at.millisecond()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        assert_eq!(rfc3339(utc_datetime!(2026-12-22 14:59:59)), "2026-12-22T14:59:59Z");
        assert_eq!(rfc3339(utc_datetime!(0026-01-02 03:04:05.006)), "0026-01-02T03:04:05.006Z");
        assert_eq!(parse("2026-12-22T23:59:59.0079+09:00"), Ok(utc_datetime!(2026-12-22 14:59:59.007)));
        for wrong in ["", "2026-12-22", "2026-12-22T14:59:59", "2026-02-29T00:00:00Z", "0000-01-01T00:00:00+09:00"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("0000-01-01T09:00:00+09:00"), Ok(FIRST));
        assert_eq!(rfc3339(FIRST - time::Duration::DAY), "0000-01-01T00:00:00Z");
    }
}
