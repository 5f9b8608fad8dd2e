//! Mail addresses.

use std::{fmt, str::FromStr};

/// One mail address, checked: what may stand between the angle brackets of an SMTP envelope (RFC 5321, 4.1.2; RFC 6531
/// for letters outside ASCII). At most 254 octets.
///
/// A display name, a list, an address literal (`[192.0.2.1]`), a comment, a control character and a leading dash are
/// refused. Of quoted local parts only the form `"a..b"@…` is understood, which some Japanese carriers handed out.
///
/// There is no `Display`, and `Debug` hides the address, so that none reaches a log by accident.
///
/// ```
/// use koshin_notify::Address;
///
/// let address: Address = "taro@example.co.jp".parse()?;
/// assert_eq!(address.masked(), "t***@example.co.jp");
/// assert_eq!(format!("{address:?}"), "Address(***)");
/// assert!("a@example.jp, b@example.jp".parse::<Address>().is_err());
/// assert_eq!(Address::MAX_OCTETS, 254);
/// # Ok::<(), koshin_notify::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    /// Offset of the `@`.
    at: usize,
}

impl Address {
    /// The longest address that fits an SMTP path (RFC 5321, 4.5.3.1.3: 256 octets with the brackets).
    pub const MAX_OCTETS: usize = 254;
    /// The longest local part (RFC 5321, 4.5.3.1.1).
    const MAX_LOCAL_OCTETS: usize = 64;

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }

    /// Whether a server would hardly tell the two apart: they differ in upper and lower case at most.
    ///
    /// ```
    /// use koshin_notify::Address;
    /// let address = |text: &str| text.parse::<Address>().expect("an address");
    /// assert!(address("Taro@Example.jp").is_like(&address("taro@example.jp")));
    /// assert!(!address("taro@example.jp").is_like(&address("jiro@example.jp")));
    /// ```
    pub fn is_like(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }

    /// The address in lower case, for comparisons and never for sending.
    pub fn folded(&self) -> String {
        self.text.to_lowercase()
    }

    /// The address for a screen: the first character of the local part, `***`, and the domain.
    pub fn masked(&self) -> String {
        let first = self.local_part().chars().find(|c| *c != '"').unwrap_or('*');
        format!("{first}***@{}", self.domain())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > Self::MAX_OCTETS {
            return Err(AddressError::TooLong { octets: text.len(), most: Self::MAX_OCTETS });
        }
        let at = text.rfind('@').ok_or(AddressError::NoAt)?;
        let (local, domain) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        if local.len() > Self::MAX_LOCAL_OCTETS {
            return Err(AddressError::TooLong { octets: local.len(), most: Self::MAX_LOCAL_OCTETS });
        }
        if !is_local_part(local) {
            return Err(AddressError::LocalPart);
        }
        if !is_domain(domain) {
            return Err(AddressError::Domain);
        }
        Ok(Self { text: text.to_owned(), at })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(***)")
    }
}

/// Why a text is no mail address. The text itself is not repeated: it may be somebody's address all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The address or its local part is too long.
    #[error("{octets} octets, at most {most} are allowed")]
    TooLong {
        /// Octets given.
        octets: usize,
        /// Octets allowed.
        most: usize,
    },
    /// There is no `@`.
    #[error("an address needs an @")]
    NoAt,
    /// The part before the `@` is empty or holds a character, a dot or a dash where none may stand.
    #[error("the part before the @ is not that of one plain address")]
    LocalPart,
    /// The part after the `@` is no domain name.
    #[error("the part after the @ is no domain name")]
    Domain,
}

fn is_local_part(local: &str) -> bool {
    if let Some(quoted) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let allowed = |c: char| c == '.' || is_atext(c);
        return !quoted.is_empty() && !quoted.starts_with('-') && quoted.chars().all(allowed);
    }
    !local.starts_with('-') && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// `atext` of RFC 5322, 3.2.3, and letters and digits outside ASCII (RFC 6531, 3.3), which leaves out white space,
/// control and direction characters.
fn is_atext(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) } else { c.is_alphanumeric() }
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c == '-' || if c.is_ascii() { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() })
    };
    // A last label of digits would read as an IPv4 address.
    let looks_numeric = domain.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    domain.split('.').all(is_label) && !looks_numeric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_people_have() {
        for good in [
            "a@b",
            "taro.yamada+bank@example.co.jp",
            "o'brien@example.com",
            "\"foo..bar.\"@docomo.example",
            "山田@例え.jp",
            "x_y-z@xn--r8jz45g.jp",
            &format!("{}@example.jp", "a".repeat(64)),
        ] {
            let address: Address = good.parse().expect(good);
            assert_eq!(address.as_str(), good);
            assert_eq!(format!("{}@{}", address.local_part(), address.domain()), good);
        }
        assert_eq!("\"f..b\"@a.jp".parse::<Address>().unwrap().masked(), "f***@a.jp");
        assert_eq!("山田@例え.jp".parse::<Address>().unwrap().masked(), "山***@例え.jp");
    }

    #[test]
    fn refuses_what_could_hurt() {
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a",
            "a b@c",
            "a@b@c",
            "a@b,c@d",
            "a@b;c@d",
            "a@b c@d",
            "<a@b>",
            "Taro <a@b>",
            "a@b>",
            "a(b)@c",
            "-a@b",
            "\"-a\"@b",
            "\"a b\"@c",
            "\"a\\\"b\"@c",
            "\"@b",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@-b",
            "a@b-",
            "a@b..c",
            "a@.b",
            "a@[192.0.2.1]",
            "a@192.0.2.1",
            "a@b\r\nRCPT TO:<c@d>",
            "a\n@b",
            "a\0@b",
            "a@b\u{2028}c",
            "a\u{202e}b@c",
            "a\u{200b}b@c",
            "a\u{85}@c",
            "a@b%",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
        let long = format!("{}@{}jp", "a".repeat(60), "example.".repeat(30));
        assert_eq!(long.parse::<Address>(), Err(AddressError::TooLong { octets: long.len(), most: 254 }));
        let local = format!("{}@example.jp", "a".repeat(65));
        assert_eq!(local.parse::<Address>(), Err(AddressError::TooLong { octets: 65, most: 64 }));
    }
}
