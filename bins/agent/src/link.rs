//! The links that a portal's page opens, and that a holder may paste.

use std::{fmt, str::FromStr};

use koshin_types::SerialNumber;
use zeroize::Zeroizing;

use crate::origin::{Origin, OriginError};

/// The scheme of the links, as it is registered.
pub(crate) const SCHEME: &str = "koshin";

/// Longer ones are none of ours.
const LONGEST: usize = 2048;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A successor for a certificate that is still valid; its key proves whose renewal it is.
    Renew,
    /// A certificate without a valid predecessor; a mailed code proves it.
    Enrol,
}

/// A link that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) kind: Kind,
    pub(crate) portal: Origin,
    pub(crate) ticket: Ticket,
    /// The serial number of the predecessor, where the page names it.
    pub(crate) serial: Option<SerialNumber>,
}

/// What opens an exchange, once. It is on the command line of the process that a browser started, which cannot be helped; it
/// stands nowhere else that others read.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Ticket(Zeroizing<String>);

impl Ticket {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(***)")
    }
}

impl FromStr for Ticket {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let lower = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
        let whole = text.len() == 64 && text.bytes().all(lower);
        if whole { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(LinkError::Ticket) }
    }
}

/// Why a text is no link of ours. None of them repeats the ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("it is longer than {LONGEST} characters")]
    TooLong,
    #[error("it does not begin with koshin:renew? or koshin:enrol?")]
    NotOurs,
    #[error("it is of version {found:?}; this program reads version 1, a newer one may be needed")]
    Version { found: String },
    #[error("it holds {key:?}, which is not known")]
    Unknown { key: String },
    #[error("it holds {key:?} more than once")]
    Doubled { key: &'static str },
    #[error("it lacks {key:?}")]
    Lacks { key: &'static str },
    #[error("it is not encoded as an address has to be")]
    Encoding,
    #[error("the portal's address in it cannot be used")]
    Portal(#[source] OriginError),
    #[error("its ticket is not 64 hexadecimal digits in lower case")]
    Ticket,
    #[error("its serial number is none")]
    Serial,
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(LinkError::TooLong);
        }
        let (kind, query) = match text.strip_prefix("koshin:").and_then(|rest| rest.split_once('?')) {
            Some(("renew", query)) => (Kind::Renew, query),
            Some(("enrol", query)) => (Kind::Enrol, query),
            _ => return Err(LinkError::NotOurs),
        };
        let mut read = Read::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').ok_or(LinkError::Encoding)?;
            read.put(key, decoded(value)?)?;
        }
        let version = read.version.ok_or(LinkError::Lacks { key: "v" })?;
        if version != "1" {
            let found = version.chars().take(8).filter(char::is_ascii_graphic).collect();
            return Err(LinkError::Version { found });
        }
        let portal = read.portal.ok_or(LinkError::Lacks { key: "portal" })?;
        let serial = match (kind, read.serial) {
            (_, None) => None,
            (Kind::Renew, Some(text)) => Some(text.parse().map_err(|_| LinkError::Serial)?),
            (Kind::Enrol, Some(_)) => return Err(LinkError::Unknown { key: "s".to_owned() }),
        };
        let ticket = read.ticket.ok_or(LinkError::Lacks { key: "t" })?.parse()?;
        Ok(Self { kind, portal: portal.parse().map_err(LinkError::Portal)?, ticket, serial })
    }
}

#[derive(Default)]
struct Read {
    version: Option<String>,
    portal: Option<String>,
    ticket: Option<String>,
    serial: Option<String>,
}

impl Read {
    fn put(&mut self, key: &str, value: String) -> Result<(), LinkError> {
        let (key, place) = match key {
            "v" => ("v", &mut self.version),
            "portal" => ("portal", &mut self.portal),
            "t" => ("t", &mut self.ticket),
            "s" => ("s", &mut self.serial),
            other => {
                let key = other.chars().take(16).filter(char::is_ascii_graphic).collect();
                return Err(LinkError::Unknown { key });
            }
        };
        if place.replace(value).is_some() { Err(LinkError::Doubled { key }) } else { Ok(()) }
    }
}

/// Percent-decoding (RFC 3986, 2.1) of printable ASCII; everything else has no place in a link.
fn decoded(text: &str) -> Result<String, LinkError> {
    let mut octets = text.bytes();
    let mut out = String::with_capacity(text.len());
    while let Some(octet) = octets.next() {
        let octet = match octet {
            b'%' => {
                let digit =
                    |octet: Option<u8>| char::from(octet?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(octets.next()), digit(octets.next()));
                high.zip(low).map(|(high, low)| high << 4 | low).ok_or(LinkError::Encoding)?
            }
            b'+' => return Err(LinkError::Encoding),
            other => other,
        };
        if !octet.is_ascii_graphic() {
            return Err(LinkError::Encoding);
        }
        out.push(char::from(octet));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn link(query: &str) -> Result<Link, LinkError> {
        format!("koshin:{}", query.replace("TICKET", TICKET)).parse()
    }

    #[test]
    fn a_good_link_is_read() {
        let read = link("renew?v=1&portal=https%3A%2F%2Fportal.bank.example&t=TICKET&s=0a1b").unwrap();
        assert_eq!((read.kind, read.portal.to_string().as_str()), (Kind::Renew, "https://portal.bank.example"));
        assert_eq!((read.ticket.reveal(), read.serial.unwrap().to_string().as_str()), (TICKET, "0A1B"));
        let read = link("enrol?t=TICKET&v=1&portal=https://public.localhost:8443").unwrap();
        assert_eq!((read.kind, read.portal.port(), read.serial), (Kind::Enrol, 8443, None));
        assert!(format!("  koshin:renew?v=1&portal=https%3a%2f%2fa&t={TICKET}\n").parse::<Link>().is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        let good = "v=1&portal=https%3A%2F%2Fa.example&t=TICKET";
        let lacks = |key| Err(LinkError::Lacks { key });
        let unknown = |key: &str| Err(LinkError::Unknown { key: key.to_owned() });
        let cases = [
            (String::new(), Err(LinkError::NotOurs)),
            (format!("renew/?{good}"), Err(LinkError::NotOurs)),
            (format!("//renew?{good}"), Err(LinkError::NotOurs)),
            (format!("Renew?{good}"), Err(LinkError::NotOurs)),
            (format!("renew?{good}&x=1"), unknown("x")),
            (format!("enrol?{good}&s=01"), unknown("s")),
            (format!("renew?{good}&t=TICKET"), Err(LinkError::Doubled { key: "t" })),
            (format!("renew?{good}&v=1"), Err(LinkError::Doubled { key: "v" })),
            (format!("renew?{good}&"), Err(LinkError::Encoding)),
            (format!("renew?{good}#x"), Err(LinkError::Ticket)),
            (format!("renew?{good}&s=xyz"), Err(LinkError::Serial)),
            ("renew?portal=https://a&t=TICKET".to_owned(), lacks("v")),
            ("renew?v=1&t=TICKET".to_owned(), lacks("portal")),
            ("renew?v=1&portal=https://a".to_owned(), lacks("t")),
            ("renew?v=2&portal=https://a&t=TICKET".to_owned(), Err(LinkError::Version { found: "2".to_owned() })),
            ("renew?v=1&portal=http://a&t=TICKET".to_owned(), Err(LinkError::Portal(OriginError::Scheme))),
            ("renew?v=1&portal=https://a/x&t=TICKET".to_owned(), Err(LinkError::Portal(OriginError::More))),
            ("renew?v=1&portal=https%3A%2F%2Fa%00&t=TICKET".to_owned(), Err(LinkError::Encoding)),
            ("renew?v=1&portal=https%3&t=TICKET".to_owned(), Err(LinkError::Encoding)),
            ("renew?v=1&portal=https://a+b&t=TICKET".to_owned(), Err(LinkError::Encoding)),
            ("renew?v=1&portal=https://a&t=TICKET0".to_owned(), Err(LinkError::Ticket)),
            (format!("renew?v=1&portal=https://a&t={}", TICKET.to_uppercase()), Err(LinkError::Ticket)),
        ];
        for (text, expected) in cases {
            assert_eq!(link(&text), expected, "{text}");
        }
        assert_eq!(link(&format!("renew?{good}&{}", "x".repeat(LONGEST))), Err(LinkError::TooLong));
    }

    #[test]
    fn no_error_and_no_debug_text_repeats_the_ticket() {
        let read = link("renew?v=1&portal=https://a&t=TICKET").unwrap();
        assert!(!format!("{read:?}").contains(TICKET));
        let error = link("renew?v=1&portal=https://a&TICKET=1&t=TICKET").unwrap_err();
        assert!(!format!("{error} {error:?}").contains(TICKET));
    }
}
