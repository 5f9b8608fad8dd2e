//! HTTP Basic (RFC 7617): ID and password, code or ticket.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

/// Most octets of the header: more than any ID with any password needs.
const MAX_OCTETS: usize = 1024;

/// What was typed before and after the first colon.
pub(super) struct Credentials(String);

impl Credentials {
    /// Reads the header. One that cannot be read is as good as none: the answer asks for it.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || token.len() > MAX_OCTETS {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
        decoded.contains(':').then_some(Self(decoded))
    }

    /// User and secret; neither has blanks around it.
    pub(super) fn parts(&self) -> (&str, &str) {
        let (user, secret) = self.0.split_once(':').unwrap_or_default();
        (user.trim(), secret.trim_matches(['\r', '\n']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[&str]) -> Option<(String, String)> {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        Credentials::of(&map).map(|credentials| {
            let (user, secret) = credentials.parts();
            (user.to_owned(), secret.to_owned())
        })
    }

    #[test]
    fn the_first_colon_divides() {
        let expected = Some(("U-1".to_owned(), "a: b".to_owned()));
        assert_eq!(parts(&["Basic VS0xOmE6IGI="]), expected);
        assert_eq!(parts(&["basic  VS0xOmE6IGI="]), expected);
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        let long = format!("Basic {}", "A".repeat(2000));
        for headers in [
            &[][..],
            &["Basic"],
            &["Bearer VS0xOmE6IGI="],
            &["Basic VS0x"],
            &["Basic VS0xOmE6IGI"],
            &["Basic //79"],
            &[&long],
            &["Basic VS0xOmE6IGI=", "Basic VS0xOmE6IGI="],
        ] {
            assert_eq!(parts(headers), None, "{headers:?}");
        }
    }
}
