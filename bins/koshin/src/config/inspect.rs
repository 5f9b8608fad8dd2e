//! What a configuration and its files do not show one by one: whether an installation could work with them.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use koshin_operator::instant::rfc3339;
use time::{Duration, UtcDateTime};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{Checked, Problems, files::Loaded, schema::Listen};
use crate::{commands::desk, exit};

/// How long before a CA can issue nothing any more that is said.
const NOTICE_DAYS: i64 = 90;

impl Checked {
    /// Refuses what cannot work, and answers with what will not for long. All that is wrong is said at once.
    pub(crate) fn inspect(&self, loaded: &Loaded, now: UtcDateTime) -> anyhow::Result<Vec<String>> {
        let mut problems = Problems::new(&self.file, exit::known);
        problems.note("storage.database", desk::is_there(&self.database()));
        if let Some(certificate) = problems.note("tls.certificate", self.server_certificate(loaded)) {
            certificate.check(self, now, &mut problems);
        }
        problems.none()?;
        Ok(self.warnings(loaded, now))
    }

    /// What does not keep the service from starting, and yet has to be seen to.
    pub(crate) fn warnings(&self, loaded: &Loaded, now: UtcDateTime) -> Vec<String> {
        let refused = |at| self.policy.validity_for(at, loaded.ca.issuer().not_after()).err();
        let soon = now.saturating_add(Duration::days(NOTICE_DAYS));
        let warning = match (refused(now), refused(soon)) {
            (Some(refused), _) => Some(format!("ca.certificate: nothing can be issued: {refused}")),
            (None, Some(refused)) => {
                Some(format!("ca.certificate: within {NOTICE_DAYS} days nothing can be issued any more: {refused}"))
            }
            (None, None) => None,
        };
        let advice = "make a new issuing CA, and name this one in ca.former";
        warning.map(|warning| format!("{warning}; {advice}")).into_iter().collect()
    }

    fn server_certificate(&self, loaded: &Loaded) -> anyhow::Result<ServerCertificate> {
        let file = self.path(&self.config.tls.certificate);
        let der = loaded.identity.chain.first().with_context(|| format!("{} is empty", file.display()))?;
        let unread = || format!("{} cannot be read", file.display());
        let (_, certificate) = X509Certificate::from_der(der).with_context(unread)?;
        let seconds = |at: x509_parser::time::ASN1Time| UtcDateTime::from_unix_timestamp(at.timestamp());
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        let extension = certificate.subject_alternative_name().with_context(unread)?;
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(octets) => addresses.extend(address(octets)),
                _ => {}
            }
        }
        Ok(ServerCertificate {
            names,
            addresses,
            not_before: seconds(certificate.validity().not_before)?,
            not_after: seconds(certificate.validity().not_after)?,
        })
    }
}

/// What browsers look at in the servers' certificate.
struct ServerCertificate {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    not_before: UtcDateTime,
    not_after: UtcDateTime,
}

impl ServerCertificate {
    fn check(&self, checked: &Checked, now: UtcDateTime, problems: &mut Problems) {
        let hosts = [
            ("hosts.portal", &checked.hosts.portal),
            ("hosts.public", &checked.hosts.public),
            ("hosts.activate", &checked.hosts.activate),
        ];
        for (key, url) in hosts.into_iter().filter(|(_, url)| !self.is_for(host(url))) {
            let names: Vec<_> =
                self.names.iter().cloned().chain(self.addresses.iter().map(IpAddr::to_string)).collect();
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            problems.add("tls.certificate", &format!("it is for {names}, and {key} is {url}"));
        }
        if now < self.not_before || self.not_after < now {
            let (from, to) = (rfc3339(self.not_before), rfc3339(self.not_after));
            problems.add("tls.certificate", &format!("it is valid from {from} to {to}, and now is {}", rfc3339(now)));
        }
    }

    /// As browsers match: a wildcard stands for one whole label (RFC 6125, 6.4.3), the subject's common name for nothing.
    fn is_for(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return self.addresses.contains(&address);
        }
        let host = host.to_ascii_lowercase();
        let above = host.split_once('.').map(|(_, above)| above).filter(|above| above.contains('.'));
        self.names.iter().any(|name| *name == host || above.is_some() && name.strip_prefix("*.") == above)
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// The host of an origin.
fn host(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

impl Listen {
    /// Two sockets cannot have one address.
    pub(super) fn check(&self, problems: &mut Problems) {
        let sockets = [
            ("listen.portal", self.portal),
            ("listen.public", self.public),
            ("listen.activate", self.activate),
            ("listen.publication", self.publication),
        ];
        for (at, (key, address)) in sockets.iter().enumerate() {
            let earlier = sockets.iter().take(at).find(|(_, earlier)| collide(*earlier, *address));
            if let Some((other, _)) = earlier {
                problems.add(key, &format!("{address} is taken by {other}"));
            }
        }
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    // Port 0 is a free one each time.
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (everywhere || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_matched_as_browsers_do() {
        let certificate = ServerCertificate {
            names: vec!["portal.example".into(), "*.bank.example".into(), "*.example".into()],
            addresses: vec!["::1".parse().unwrap()],
            not_before: UtcDateTime::MIN,
            not_after: UtcDateTime::MAX,
        };
        for good in ["https://Portal.example:8443", "https://a.bank.example", "https://[::1]:8443", "https://[::1]"] {
            assert!(certificate.is_for(host(good)), "{good}");
        }
        for wrong in ["https://bank.example", "https://a.b.bank.example", "https://x.example", "https://127.0.0.1:1"] {
            assert!(!certificate.is_for(host(wrong)), "{wrong}");
        }
    }

    #[test]
    fn addresses_that_cannot_both_be_listened_on() {
        let collide = |one: &str, other: &str| collide(one.parse().unwrap(), other.parse().unwrap());
        assert!(collide("127.0.0.1:1", "127.0.0.1:1") && collide("127.0.0.1:1", "0.0.0.0:1"));
        assert!(!collide("127.0.0.1:1", "127.0.0.1:2") && !collide("127.0.0.1:1", "127.0.0.2:1"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
    }
}
