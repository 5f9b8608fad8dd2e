//! `Time` as RFC 5280, 4.1.2.5 wants it: `UTCTime` to the end of 2049, `GeneralizedTime` from 2050, whole seconds, `Z`.

use super::{DerFault, Element, Writer, tag};
use time::{Date, Month, PrimitiveDateTime, UtcDateTime};

/// Writes an instant; fractions of a second are dropped.
///
/// Only the years 1950 to 9999 have an encoding; callers refuse others before.
pub(crate) fn write_time(writer: &mut Writer, at: UtcDateTime) {
    if (1950..2050).contains(&at.year()) {
        write_digits(writer, tag::UTC_TIME, None, at);
    } else {
        write_generalized_time(writer, at);
    }
}

/// Writes an instant as `GeneralizedTime` whatever its year, as OCSP wants it (RFC 6960, 4.2.2.1).
pub(crate) fn write_generalized_time(writer: &mut Writer, at: UtcDateTime) {
    write_digits(writer, tag::GENERALIZED_TIME, Some(at.year().unsigned_abs() / 100), at);
}

fn write_digits(writer: &mut Writer, tag: u8, century: Option<u32>, at: UtcDateTime) {
    let year = at.year().unsigned_abs();
    let fields = [
        year % 100,
        u32::from(u8::from(at.month())),
        u32::from(at.day()),
        u32::from(at.hour()),
        u32::from(at.minute()),
        u32::from(at.second()),
    ];
    writer.nest(tag, |w| {
        for number in century.into_iter().chain(fields) {
            w.raw(&[digit(number / 10), digit(number)]);
        }
        w.raw(b"Z");
    });
}

fn digit(number: u32) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
}

/// Reads an instant written in the one allowed way.
pub(crate) fn read_time(element: &Element<'_>) -> Result<UtcDateTime, DerFault> {
    let at = read_digits(element)?;
    // UTCTime to the end of 2049, so a GeneralizedTime begins with 2050.
    match (element.tag, at.year()) {
        (tag::GENERALIZED_TIME, 1950..2050) => Err(DerFault::Content { tag: element.tag }),
        _ => Ok(at),
    }
}

/// Reads a `GeneralizedTime` of any year.
pub(crate) fn read_generalized_time(element: &Element<'_>) -> Result<UtcDateTime, DerFault> {
    match element.tag {
        tag::GENERALIZED_TIME => read_digits(element),
        _ => Err(DerFault::Expected { expected: tag::GENERALIZED_TIME }),
    }
}

fn read_digits(element: &Element<'_>) -> Result<UtcDateTime, DerFault> {
    let fault = DerFault::Content { tag: element.tag };
    let digits = element.content.strip_suffix(b"Z").ok_or(fault)?;
    let mut numbers = digits.chunks(2).map(|pair| match pair {
        [high @ b'0'..=b'9', low @ b'0'..=b'9'] => Ok((high - b'0') * 10 + (low - b'0')),
        _ => Err(fault),
    });
    let mut next = || numbers.next().unwrap_or(Err(fault));
    let year = match element.tag {
        tag::UTC_TIME => match i32::from(next()?) {
            year @ 50.. => 1900 + year,
            year => 2000 + year,
        },
        tag::GENERALIZED_TIME => i32::from(next()?) * 100 + i32::from(next()?),
        _ => return Err(fault),
    };
    let (month, day) = (Month::try_from(next()?).map_err(|_| fault)?, next()?);
    let time = time::Time::from_hms(next()?, next()?, next()?).map_err(|_| fault)?;
    if numbers.next().is_some() {
        return Err(fault);
    }
    let date = Date::from_calendar_date(year, month, day).map_err(|_| fault)?;
    Ok(PrimitiveDateTime::new(date, time).as_utc())
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;

    fn written(seconds: i64) -> Vec<u8> {
        Writer::collect(|w| write_time(w, UtcDateTime::from_unix_timestamp(seconds).unwrap()))
    }

    #[test]
    fn invariant_11_utc_time_ends_with_2049() {
        assert_eq!(written(2_524_607_999), b"\x17\x0d491231235959Z");
        assert_eq!(written(2_524_608_000), b"\x18\x0f20500101000000Z");
        assert_eq!(written(-631_152_000), b"\x17\x0d500101000000Z");
        assert_eq!(written(253_402_300_799), b"\x18\x0f99991231235959Z");
    }

    #[test]
    fn invariant_11_decode_undoes_encode() {
        for seconds in (-631_152_000..4_102_444_800_i64).step_by(10_000_019) {
            let der = written(seconds);
            let read = read_time(&Reader::new(&der).any().unwrap()).unwrap();
            assert_eq!(read.unix_timestamp(), seconds);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for (tag, text) in [
            (tag::UTC_TIME, "4912312359Z"),
            (tag::UTC_TIME, "491231235959"),
            (tag::UTC_TIME, "491231235959+0000"),
            (tag::UTC_TIME, "491331235959Z"),
            (tag::UTC_TIME, "490229000000Z"),
            (tag::UTC_TIME, "491231235960Z"),
            (tag::UTC_TIME, "4912312359595Z"),
            (tag::UTC_TIME, "49123123595959Z"),
            (tag::UTC_TIME, "4 1231235959Z"),
            (tag::GENERALIZED_TIME, "20491231235959Z"),
            (tag::GENERALIZED_TIME, "20500101000000.5Z"),
            (tag::OCTET_STRING, "491231235959Z"),
        ] {
            let der = Writer::collect(|w| w.primitive(tag, text.as_bytes()));
            assert!(read_time(&Reader::new(&der).any().unwrap()).is_err(), "{text}");
        }
    }
}
