//! What HTTP says about keeping an answer: entity tags and dates (RFC 9110, 8.8 and 13.1).

use http::{HeaderMap, HeaderValue, header};
use ring::digest;
use time::{PrimitiveDateTime, UtcDateTime, format_description::BorrowedFormatItem, macros::format_description};

const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// An instant as HTTP writes it (RFC 9110, 5.6.7).
pub(crate) fn http_date(at: UtcDateTime) -> HeaderValue {
    let text = at.format(DATE).unwrap_or_default();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"))
}

/// The entity tag of some octets: the first half of their SHA-256.
pub(crate) fn etag_of(octets: &[u8]) -> HeaderValue {
    let digest = digest::digest(&digest::SHA256, octets);
    let hex: String = digest.as_ref().iter().take(16).map(|octet| format!("{octet:02x}")).collect();
    etag(&hex)
}

/// A text of letters and digits as entity tag.
pub(crate) fn etag(text: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{text}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether the one who asks has this very content already: by If-None-Match, else by If-Modified-Since. A date in one of
/// the forms that went out of use with HTTP/1.0 says nothing, and the content is sent.
pub(crate) fn is_known(asked: &HeaderMap, etag: &HeaderValue, modified: Option<UtcDateTime>) -> bool {
    if asked.contains_key(header::IF_NONE_MATCH) {
        let tags = asked.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
        return tags
            .flat_map(|tags| tags.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes());
    }
    let since = asked.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|text| PrimitiveDateTime::parse(text, DATE).ok());
    since.zip(modified).is_some_and(|(since, modified)| modified.truncate_to_second() <= since.as_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_known() {
        let modified = UtcDateTime::from_unix_timestamp_nanos(1_795_328_800_700_000_000).unwrap();
        let known = |name, value: &str| {
            let asked = HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]);
            is_known(&asked, &etag("12ab"), Some(modified))
        };
        for (value, expected) in [
            ("\"12ab\"", true),
            ("W/\"12ab\"", true),
            ("\"1\", \"12ab\"", true),
            ("*", true),
            ("\"12a\"", false),
            ("", false),
        ] {
            assert_eq!(known(header::IF_NONE_MATCH, value), expected, "{value}");
        }
        for (value, expected) in [
            ("Sun, 22 Nov 2026 06:26:40 GMT", true),
            ("Sun, 22 Nov 2026 06:26:41 GMT", true),
            ("Sun, 22 Nov 2026 06:26:39 GMT", false),
            ("Sunday, 22-Nov-26 06:26:40 GMT", false),
            ("yesterday", false),
        ] {
            assert_eq!(known(header::IF_MODIFIED_SINCE, value), expected, "{value}");
        }
        assert_eq!(http_date(modified), "Sun, 22 Nov 2026 06:26:40 GMT");
        assert!(!is_known(&HeaderMap::new(), &etag("12ab"), Some(modified)));
    }
}
