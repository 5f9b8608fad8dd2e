//! What every certificate of a CA has in common.

use crate::der::oid;
use crate::name::{Country, NameError};

/// The settings of a profile, as an operator writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileConfig {
    /// C of every subject: two capital letters.
    pub country: Option<String>,
    /// Where the CRL is published (RFC 5280, 4.2.1.13): `http` URLs of the same CRL.
    pub crl_urls: Vec<String>,
    /// Where the issuing CA's certificate is published as DER (RFC 5280, 4.2.2.1).
    pub ca_issuers_url: Option<String>,
    /// Where the OCSP responder answers (RFC 6960, 3.1).
    pub ocsp_url: Option<String>,
    /// Policies in the dotted form (RFC 5280, 4.2.1.4).
    pub policy_oids: Vec<String>,
}

/// A validated profile of client certificates.
///
/// | extension | critical | value |
/// | --- | --- | --- |
/// | authorityKeyIdentifier | no | the issuing CA's subjectKeyIdentifier |
/// | subjectAltName | no | rfc822Name, when the subject has an address |
/// | keyUsage | yes | digitalSignature |
/// | extKeyUsage | no | clientAuth |
/// | cRLDistributionPoints | no | [`ProfileConfig::crl_urls`] |
/// | subjectKeyIdentifier | no | RFC 7093, 2, method 1 |
/// | basicConstraints | yes | cA FALSE |
/// | certificatePolicies | no | [`ProfileConfig::policy_oids`] |
/// | authorityInfoAccess | no | OCSP and caIssuers |
///
/// An rfc822Name holds one plain ASCII address (RFC 5280, 4.2.1.6). A mailbox may have another one, such as `"a..b"@x.jp` or
/// `山田@例え.jp`: [`Ca::prepare`](crate::Ca::prepare) refuses it as [`MailError`](crate::MailError), and Koshin's registration
/// authority then leaves the subjectAltName out, because the subject's name says already whose certificate it is.
///
/// basicConstraints is critical: RFC 5280, 4.2.1.9 leaves the choice for an end entity, and a relying party that cannot
/// read it must not take the certificate for a CA's.
#[derive(Debug, Clone)]
pub struct Profile {
    pub(crate) country: Option<Country>,
    pub(crate) crl_urls: Vec<String>,
    pub(crate) ca_issuers_url: Option<String>,
    pub(crate) ocsp_url: Option<String>,
    pub(crate) policies: Vec<Vec<u8>>,
}

impl Profile {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] naming the first setting that cannot be used.
    pub fn new(config: ProfileConfig) -> Result<Self, ProfileError> {
        let country = config.country.as_deref().map(Country::new).transpose()?;
        let urls = config.crl_urls.iter().chain(&config.ca_issuers_url).chain(&config.ocsp_url);
        check_urls(urls)?;
        let policies = parse_policies(&config.policy_oids)?;
        let ProfileConfig { crl_urls, ca_issuers_url, ocsp_url, .. } = config;
        Ok(Self { country, crl_urls, ca_issuers_url, ocsp_url, policies })
    }
}

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The country.
    #[error("the profile's country cannot be used")]
    Country(#[from] NameError),
    /// A URL that relying parties could not fetch.
    #[error("{url:?} is no plain http URL; relying parties fetch CRLs, OCSP answers and CA certificates over http")]
    Url {
        /// The setting.
        url: String,
    },
    /// A policy that is no object identifier.
    #[error("{oid:?} is no object identifier in the dotted form")]
    Oid {
        /// The setting.
        oid: String,
    },
    /// A policy that stands there twice (RFC 5280, 4.2.1.4).
    #[error("the policy {oid} stands there twice")]
    Repeated {
        /// The setting.
        oid: String,
    },
}

/// CRLs, OCSP and CA certificates are signed themselves, and fetching them over https could need them first: `http` only.
pub(crate) fn check_urls<'u>(urls: impl IntoIterator<Item = &'u String>) -> Result<(), ProfileError> {
    for url in urls {
        let rest = url.strip_prefix("http://").unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty()
            || url.len() > 2048
            || !url.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
        {
            return Err(ProfileError::Url { url: url.clone() });
        }
    }
    Ok(())
}

pub(crate) fn parse_policies(dotted: &[String]) -> Result<Vec<Vec<u8>>, ProfileError> {
    let mut policies = Vec::with_capacity(dotted.len());
    for text in dotted {
        let policy = oid::parse(text).ok_or_else(|| ProfileError::Oid { oid: text.clone() })?;
        if policies.contains(&policy) {
            return Err(ProfileError::Repeated { oid: text.clone() });
        }
        policies.push(policy);
    }
    Ok(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let profile = |edit: fn(&mut ProfileConfig)| {
            let mut config = ProfileConfig::default();
            edit(&mut config);
            Profile::new(config).map(|_| ())
        };
        assert_eq!(profile(|_| ()), Ok(()));
        assert_eq!(profile(|c| c.crl_urls.push("http://ca.example/crl".into())), Ok(()));
        for url in ["https://ca.example/crl", "http://", "http:///x", "ldap://x", "http://a b", "http://あ", ""] {
            let config = ProfileConfig { ocsp_url: Some(url.into()), ..ProfileConfig::default() };
            assert!(matches!(Profile::new(config), Err(ProfileError::Url { .. })), "{url}");
        }
        assert!(matches!(profile(|c| c.country = Some("Japan".into())), Err(ProfileError::Country(_))));
        assert!(matches!(profile(|c| c.policy_oids.push("1.2.x".into())), Err(ProfileError::Oid { .. })));
        let twice = profile(|c| c.policy_oids.extend(["1.2.3".into(), "1.2.3".into()]));
        assert!(matches!(twice, Err(ProfileError::Repeated { .. })));
    }
}
