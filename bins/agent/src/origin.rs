//! Origins of portals: `https://host[:port]`, and nothing else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Where a portal answers: `https`, a host name in lower case (IDNA's A-labels), a port if it is not 443. No path, no user, no address
/// in brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    host: String,
    port: u16,
}

impl Origin {
    /// The name of the server, as its certificate has to name it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// 443 unless it says otherwise.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as a `Host` header carries them, and as a person reads them.
    pub(crate) fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Whether the name is one of this machine's own (RFC 6761, 6.3): no resolver is asked for it.
    pub(crate) fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.ends_with(".localhost")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

/// Why a text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("it does not begin with https://")]
    Scheme,
    #[error("a path, a query or a user name stands in it; only https://host or https://host:port is taken")]
    More,
    #[error("its host is no name of lower-case letters, digits, hyphens and dots")]
    Host,
    #[error("its port is no number from 1 to 65535")]
    Port,
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let rest = text.strip_prefix("https://").ok_or(OriginError::Scheme)?;
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(OriginError::More);
        }
        let (host, port) = match rest.split_once(':') {
            None => (rest, 443),
            Some((host, port)) => (host, read_port(port)?),
        };
        if !is_name(host) {
            return Err(OriginError::Host);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

fn read_port(text: &str) -> Result<u16, OriginError> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) && !text.starts_with('0');
    if digits { text.parse().map_err(|_| OriginError::Port) } else { Err(OriginError::Port) }
}

/// A DNS name in its preferred form (RFC 1123, 2.1), in lower case.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        let inside = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("{text:?} is no portal's address: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_origin_is_one() {
        let read = |text: &str| text.parse::<Origin>().map(|origin| origin.to_string());
        for good in [
            "https://portal.bank.example",
            "https://portal.localhost:8443",
            "https://xn--wgv71a119e.example",
            "https://127.0.0.1:1",
        ] {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
        assert_eq!(read("https://a.example:443").as_deref(), Ok("https://a.example"));
        let wrong = [
            ("http://a.example", OriginError::Scheme),
            ("HTTPS://a.example", OriginError::Scheme),
            ("a.example", OriginError::Scheme),
            ("https://a.example/", OriginError::More),
            ("https://a.example?x", OriginError::More),
            ("https://a.example#x", OriginError::More),
            ("https://good.example@evil.example", OriginError::More),
            ("https://good.example\\.evil.example", OriginError::More),
            ("https://", OriginError::Host),
            ("https://A.example", OriginError::Host),
            ("https://a..example", OriginError::Host),
            ("https://.a.example", OriginError::Host),
            ("https://a.example.", OriginError::Host),
            ("https://-a.example", OriginError::Host),
            ("https://銀行.example", OriginError::Host),
            ("https://a b.example", OriginError::Host),
            ("https://a.example:", OriginError::Port),
            ("https://a.example:0", OriginError::Port),
            ("https://a.example:0443", OriginError::Port),
            ("https://a.example:65536", OriginError::Port),
            ("https://a.example:+1", OriginError::Port),
            ("https://[::1]:8443", OriginError::Port),
        ];
        for (text, error) in wrong {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn local_names_are_the_ones_below_localhost() {
        let local = |text: &str| text.parse::<Origin>().unwrap().is_local();
        assert!(local("https://localhost") && local("https://portal.localhost:1"));
        assert!(!local("https://notlocalhost") && !local("https://localhost.example"));
    }
}
