//! Identifiers, and closed sets of words.

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

/// Declares an enum whose variants are stored and displayed as fixed words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[allow(clippy::exhaustive_enums, reason = "a new word is a change every user has to look at")]
        pub enum $name { $($(#[$vmeta])* #[cfg_attr(feature = "serde", serde(rename = $word))] $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word that stands for this value in storage, JSON and commands.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .into_iter()
                    .find(|value| value.as_str() == text)
                    .ok_or($crate::UnknownWord { known: &[$($word),+] })
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What a subject may do in its organization.
    ///
    /// ```
    /// use koshin_types::Role;
    /// assert_eq!(Role::ALL.map(Role::as_str), ["administrator", "user"]);
    /// assert!("root".parse::<Role>().is_err());
    /// ```
    Role {
        /// Sees and manages the IDs of its own organization.
        Administrator = "administrator",
        /// Sees only itself.
        User = "user",
    }
}

words! {
    /// The language of screens and mails, by its tag (RFC 5646, 2.2.1).
    ///
    /// ```
    /// use koshin_types::Language;
    /// assert_eq!(Language::ALL.map(Language::as_str), ["ja", "en"]);
    /// ```
    Language {
        /// Japanese.
        Ja = "ja",
        /// English.
        En = "en",
    }
}

/// A text that is none of the words it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of {known:?}")]
pub struct UnknownWord {
    /// The words that would have been understood.
    pub known: &'static [&'static str],
}

/// Declares a text identifier of 1 to 64 visible characters that is safe in paths, logs and mails.
macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        ///
        /// 1 to 64 characters out of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit. Case is significant: no two
        /// different texts are the same identifier.
        ///
        /// ```
        #[doc = concat!("use koshin_types::{IdError, ", stringify!($name), "};")]
        #[doc = concat!("let parsed = |text: &str| text.parse::<", stringify!($name), ">().map(|id| id.to_string());")]
        /// assert_eq!(parsed("A-1001"), Ok("A-1001".to_owned()));
        /// assert_eq!(parsed(&"x".repeat(65)), Err(IdError::Length { octets: 65 }));
        /// assert_eq!(parsed(""), Err(IdError::Length { octets: 0 }));
        /// assert_eq!(parsed("a/b"), Err(IdError::Character { at: 1, character: '/' }));
        /// assert!(parsed(&"x".repeat(64)).is_ok() && parsed("_a").is_err());
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check_text_id(text).map(|()| Self(text.to_owned()))
            }
        }
    };
}

text_id! {
    /// The identifier of an organization: one contract.
    OrganizationId
}

text_id! {
    /// The identifier of a subject: one administrator or user ID, as typed at login.
    SubjectId
}

fn check_text_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > 64 {
        return Err(IdError::Length { octets: text.len() });
    }
    let allowed = |(at, c): (usize, char)| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '_' | '-'));
    match text.char_indices().find(|found| !allowed(*found)) {
        Some((at, character)) => Err(IdError::Character { at, character }),
        None => Ok(()),
    }
}

/// Declares a binary identifier, displayed and parsed as lower-case hexadecimal.
macro_rules! binary_id {
    ($(#[$meta:meta])* $name:ident, $octets:literal) => {
        $(#[$meta])*
        ///
        /// Displayed as lower-case hexadecimal, two digits an octet; digits of either case are read.
        ///
        /// ```
        #[doc = concat!("use koshin_types::{IdError, ", stringify!($name), "};")]
        #[doc = concat!("let id = ", stringify!($name), "::new([0xa5; ", stringify!($octets), "]);")]
        #[doc = concat!("assert_eq!(id.to_string(), \"a5\".repeat(", stringify!($octets), "));")]
        #[doc = concat!("assert_eq!(\"A5\".repeat(", stringify!($octets), ").parse(), Ok(id));")]
        #[doc = concat!("assert_eq!(\"a5\".parse::<", stringify!($name), ">(), Err(IdError::Length { octets: 2 }));")]
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $octets]);

        impl $name {
            /// Takes the octets as they are.
            pub const fn new(octets: [u8; $octets]) -> Self {
                Self(octets)
            }

            /// The octets.
            pub const fn as_bytes(&self) -> &[u8; $octets] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// The error is [`IdError::Length`] also for a text of the right length that is not hexadecimal.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut octets = [0; $octets];
                match decode_hex(text, &mut octets) {
                    Some($octets) => Ok(Self(octets)),
                    _ => Err(IdError::Length { octets: text.len() }),
                }
            }
        }
    };
}

binary_id! {
    /// The identifier of a renewal or an enrolment: 16 octets, all of them random.
    RenewalId, 16
}

binary_id! {
    /// A SHA-256 (FIPS 180-4): of the DER of a whole certificate, or of its `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7), as the
    /// field's name says. 32 octets.
    Fingerprint, 32
}

/// Why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text is empty, too long, or not of the fixed length.
    #[error("an identifier of {octets} octets is empty or not of the length it has to have")]
    Length {
        /// Length of the text in octets of UTF-8.
        octets: usize,
    },
    /// A character that may not stand there.
    #[error(
        "{character:?} at octet {at} may not stand in an identifier: it has A-Z a-z 0-9 . _ - and begins with a letter or digit"
    )]
    Character {
        /// Offset of the character in octets of UTF-8, from 0.
        at: usize,
        /// The character.
        character: char,
    },
}

/// Decodes hexadecimal digits of either case into `out` and returns how many octets there were.
pub(crate) fn decode_hex(text: &str, out: &mut [u8]) -> Option<usize> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() / 2 > out.len() {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (to, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        *to = nibble(high)? * 16 + nibble(low)?;
    }
    Some(digits.len() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn words_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("Ja".parse::<Language>(), Err(UnknownWord { known: &["ja", "en"] }));
    }

    #[test]
    fn text_ids_refuse_what_could_hurt() {
        for good in ["A", "0", "U-1001", "a.b_c-d", &"x".repeat(64)] {
            assert!(good.parse::<SubjectId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "a b", "a/b", "a\n", "é", "管理者", &"x".repeat(65)] {
            assert!(bad.parse::<SubjectId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn binary_ids_round_trip() {
        let id = RenewalId::new([0xa5; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("a5".parse::<RenewalId>().is_err());
        for digits in 0..=80 {
            assert_eq!("a".repeat(digits).parse::<RenewalId>().is_ok(), digits == 32);
            assert_eq!("a".repeat(digits).parse::<Fingerprint>().is_ok(), digits == 64);
        }
        assert!("g".repeat(32).parse::<RenewalId>().is_err());
        // Every octet, and the order of its digits.
        for octet in 0..=255 {
            let id = RenewalId::new([octet; 16]);
            assert_eq!(alloc::format!("{octet:02x}").repeat(16).parse(), Ok(id));
            assert_eq!(alloc::format!("{octet:02X}").repeat(16).parse(), Ok(id));
        }
        assert_eq!(alloc::format!("{:?}", RenewalId::new([1; 16])), alloc::format!("RenewalId({})", "01".repeat(16)));
    }
}
