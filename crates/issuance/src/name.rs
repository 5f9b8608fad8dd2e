//! The names of subjects and of CAs.

use crate::der::{Writer, oid, tag};

/// Most characters of an organization's name (RFC 5280, appendix A.1, ub-organization-name).
pub const MAX_ORGANIZATION: usize = 64;
/// Most characters of an organizational unit's name (RFC 5280, appendix A.1, ub-organizational-unit-name).
pub const MAX_ORGANIZATIONAL_UNIT: usize = 64;
/// Most characters of a common name (RFC 5280, appendix A.1, ub-common-name).
pub const MAX_COMMON_NAME: usize = 64;
/// Most characters of a serial number in a name (RFC 5280, appendix A.1, ub-serial-number).
pub const MAX_SERIAL_NUMBER: usize = 64;

/// What the registry says about the subject of a certificate.
///
/// In the certificate it becomes C, O, OU, CN and serialNumber, in this order; C and OU come from the profile. O, OU and CN
/// are `UTF8String` (RFC 5280, 4.1.2.4), so any script may be used.
///
/// ```
/// use koshin_issuance::{MAX_COMMON_NAME, SubjectName};
/// let name = SubjectName::new("更新信用金庫", "U-1001 山田太郎")?;
/// assert_eq!(name.common_name(), "U-1001 山田太郎");
/// assert_eq!(MAX_COMMON_NAME, 64);
/// assert!(SubjectName::new("更新信用金庫", &"山".repeat(65)).is_err());
/// # Ok::<(), koshin_issuance::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubjectName {
    organization: String,
    common_name: String,
    serial_number: Option<String>,
}

impl SubjectName {
    /// Takes an organization's name and a common name of 1 to 64 characters each.
    ///
    /// # Errors
    ///
    /// [`NameError`] naming the part, when it is empty, too long, begins or ends with white space, or holds control
    /// characters or characters that change the direction of writing.
    pub fn new(organization: &str, common_name: &str) -> Result<Self, NameError> {
        Ok(Self {
            organization: checked("O", organization, MAX_ORGANIZATION)?,
            common_name: checked("CN", common_name, MAX_COMMON_NAME)?,
            serial_number: None,
        })
    }

    /// Adds a serialNumber attribute: an identifier of the subject, of 1 to 64 characters of `PrintableString`. It has
    /// nothing to do with the serial number of the certificate.
    ///
    /// # Errors
    ///
    /// [`NameError`] as for the other parts, or when a character is not printable in the sense of X.680.
    pub fn with_serial_number(mut self, serial_number: &str) -> Result<Self, NameError> {
        let text = checked("serialNumber", serial_number, MAX_SERIAL_NUMBER)?;
        if let Some(found) = text.chars().find(|c| !is_printable(*c)) {
            return Err(NameError::Character { part: "serialNumber", code_point: u32::from(found) });
        }
        self.serial_number = Some(text);
        Ok(self)
    }

    /// The organization's name.
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// The common name.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The serialNumber attribute.
    pub fn serial_number(&self) -> Option<&str> {
        self.serial_number.as_deref()
    }

    pub(crate) fn write(&self, writer: &mut Writer, country: Option<&Country>) {
        self.write_in(writer, country, None);
    }

    pub(crate) fn write_in(&self, writer: &mut Writer, country: Option<&Country>, unit: Option<&Unit>) {
        writer.sequence(|w| {
            if let Some(country) = country {
                attribute(w, oid::COUNTRY, tag::PRINTABLE_STRING, &country.0);
            }
            attribute(w, oid::ORGANIZATION, tag::UTF8_STRING, self.organization.as_bytes());
            if let Some(unit) = unit {
                attribute(w, oid::ORGANIZATIONAL_UNIT, tag::UTF8_STRING, unit.0.as_bytes());
            }
            attribute(w, oid::COMMON_NAME, tag::UTF8_STRING, self.common_name.as_bytes());
            if let Some(number) = &self.serial_number {
                attribute(w, oid::SERIAL_NUMBER, tag::PRINTABLE_STRING, number.as_bytes());
            }
        });
    }
}

/// The name of a CA: C if given, O, CN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuthorityName {
    country: Option<Country>,
    name: SubjectName,
}

impl AuthorityName {
    /// Takes a country of two capital letters (ISO 3166), an organization's name and a common name.
    ///
    /// # Errors
    ///
    /// [`NameError`] naming the part that cannot be used.
    pub fn new(country: Option<&str>, organization: &str, common_name: &str) -> Result<Self, NameError> {
        let country = country.map(Country::new).transpose()?;
        Ok(Self { country, name: SubjectName::new(organization, common_name)? })
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        self.name.write(writer, self.country.as_ref());
    }
}

/// Two capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Country([u8; 2]);

impl Country {
    pub(crate) fn new(text: &str) -> Result<Self, NameError> {
        match text.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Ok(Self([*a, *b])),
            _ => Err(NameError::Country),
        }
    }
}

/// The name of an organizational unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit(String);

impl Unit {
    pub(crate) fn new(text: &str) -> Result<Self, NameError> {
        checked("OU", text, MAX_ORGANIZATIONAL_UNIT).map(Self)
    }
}

/// Why a name cannot be put into a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A part is empty.
    #[error("{part} is empty")]
    Empty {
        /// O, OU, CN or serialNumber.
        part: &'static str,
    },
    /// A part has more characters than RFC 5280 allows.
    #[error("{part} has {characters} characters; a certificate takes at most {limit}")]
    TooLong {
        /// O, OU, CN or serialNumber.
        part: &'static str,
        /// How many it has.
        characters: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A part holds a character that has no place in a name.
    #[error("{part} holds the character U+{code_point:04X}, which has no place there")]
    Character {
        /// O, OU, CN or serialNumber.
        part: &'static str,
        /// The character's number.
        code_point: u32,
    },
    /// The country is not two capital letters.
    #[error("a country is two capital letters, such as JP")]
    Country,
}

fn checked(part: &'static str, text: &str, limit: usize) -> Result<String, NameError> {
    let characters = text.chars().count();
    if characters == 0 {
        return Err(NameError::Empty { part });
    }
    if characters > limit {
        return Err(NameError::TooLong { part, characters, limit });
    }
    match unfit(text) {
        Some(found) => Err(NameError::Character { part, code_point: u32::from(found) }),
        None => Ok(text.to_owned()),
    }
}

/// Whether a text holds only characters that have a place in a name.
pub(crate) fn is_fit(text: &str) -> bool {
    unfit(text).is_none()
}

/// The first character that has no place there; white space has none at the edges.
fn unfit(text: &str) -> Option<char> {
    let edges = text.chars().next().into_iter().chain(text.chars().next_back());
    edges.filter(|c| c.is_whitespace()).chain(text.chars().filter(|c| is_unfit(*c))).next()
}

/// Control characters, and those that make a name look like another one by turning the direction of writing.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `PrintableString` of X.680, 41.4.
pub(crate) const fn is_printable(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ' ' | '\'' | '(' | ')' | '+' | ',' | '-' | '.' | '/' | ':' | '=' | '?')
}

fn attribute(writer: &mut Writer, kind: &[u8], tag: u8, value: &[u8]) {
    writer.nest(tag::SET, |w| {
        w.sequence(|w| {
            w.oid(kind);
            w.primitive(tag, value);
        });
    });
}

/// Checks an address that is to become an rfc822Name (RFC 5280, 4.2.1.6): ASCII, a dot-atom, `@`, a domain of letters,
/// digits and hyphens. At most 254 octets (RFC 5321, 4.5.3.1).
pub(crate) fn check_mail(address: &str) -> Result<(), MailError> {
    let octets = address.len();
    if octets > 254 {
        return Err(MailError::TooLong { octets });
    }
    let (local, domain) = address.rsplit_once('@').ok_or(MailError::Syntax)?;
    let is_atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let local_good = local.len() <= 64 && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
    if local_good && is_host_name(domain) { Ok(()) } else { Err(MailError::Syntax) }
}

/// Whether `name` is labels of letters, digits and inner hyphens (RFC 1034, 3.5), at most 253 octets.
pub(crate) fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Why an address cannot be put into a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// More than 254 octets.
    #[error("a mail address has at most 254 octets; this one has {octets}")]
    TooLong {
        /// How many it has.
        octets: usize,
    },
    /// Not one plain ASCII address.
    #[error("an rfc822Name is one plain ASCII address such as name@example.jp")]
    Syntax,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters() {
        assert!(SubjectName::new(&"金".repeat(64), &"山".repeat(64)).is_ok());
        assert_eq!(
            SubjectName::new(&"金".repeat(65), "x"),
            Err(NameError::TooLong { part: "O", characters: 65, limit: 64 })
        );
        assert_eq!(SubjectName::new("x", ""), Err(NameError::Empty { part: "CN" }));
    }

    #[test]
    fn characters_that_deceive_are_refused() {
        for bad in ["a\0b", "a\nb", " a", "a ", "\u{3000}a", "a\u{202e}b", "\u{feff}a"] {
            assert!(matches!(SubjectName::new("x", bad), Err(NameError::Character { part: "CN", .. })), "{bad:?}");
        }
        let name = SubjectName::new("x", "y").unwrap();
        assert!(name.clone().with_serial_number("A-1").is_ok());
        assert!(name.clone().with_serial_number("A_1").is_err());
        assert!(AuthorityName::new(Some("jp"), "x", "y").is_err());
    }

    #[test]
    fn addresses() {
        for good in ["a@b", "taro.yamada+1@example.co.jp", "a!b@x-y.jp"] {
            assert_eq!(check_mail(good), Ok(()), "{good}");
        }
        let long = format!("{}@example.jp", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a.@b",
            "a b@c",
            "a@b@c",
            "a@[127.0.0.1]",
            "\"a\"@b",
            "é@b",
            "a@-b",
            "a@b..c",
            "a,b@c",
            &long,
        ] {
            assert!(check_mail(bad).is_err(), "{bad}");
        }
    }
}
