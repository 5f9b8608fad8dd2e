//! What every certificate of a CA has in common.

use crate::der::oid;
use crate::name::{Country, NameError, Unit};
use crate::request::{KeyChoice, KeyRule};
use time::Duration;

/// The settings of a profile, as an operator writes them. All of them may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileConfig {
    /// C of every subject: two capital letters.
    pub country: Option<String>,
    /// OU of every subject: the kind of service, for example. 1 to 64 characters.
    pub organizational_unit: Option<String>,
    /// Whether a subject's address stands in its certificate.
    pub mail_name: MailName,
    /// Purposes beside clientAuth (RFC 5280, 4.2.1.12), in the dotted form. Those that would make the certificate a server's or
    /// a part of the CA are refused: serverAuth, OCSP signing, timeStamping and any purpose at all.
    pub extended_key_usages: Vec<String>,
    /// Where the CRL is published (RFC 5280, 4.2.1.13): `http` URLs of the same CRL.
    pub crl_urls: Vec<String>,
    /// Where the issuing CA's certificate is published as DER (RFC 5280, 4.2.2.1).
    pub ca_issuers_url: Option<String>,
    /// Where the OCSP responder answers (RFC 6960, 3.1).
    pub ocsp_url: Option<String>,
    /// Policies in the dotted form (RFC 5280, 4.2.1.4).
    pub policy_oids: Vec<String>,
    /// Where people read the practice statement of these policies (RFC 5280, 4.2.1.4): `http` or `https`.
    pub cps_url: Option<String>,
    /// The kinds of keys that are issued for; all that pass the [`Gate`](crate::Gate) when none is named.
    pub keys: Vec<KeyChoice>,
    /// The longest validity, in days of 86,400 seconds; none but the CA's own when left out.
    pub longest_days: Option<u32>,
}

/// Whether a subject's mail address stands in its certificate. Relying parties see what stands there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MailName {
    /// As the rfc822Name of the subjectAltName.
    #[default]
    Written,
    /// Nowhere.
    LeftOut,
}

/// A validated profile of client certificates.
///
/// | extension | critical | value |
/// | --- | --- | --- |
/// | authorityKeyIdentifier | no | the issuing CA's subjectKeyIdentifier |
/// | subjectAltName | no | rfc822Name, when the subject has an address and [`ProfileConfig::mail_name`] lets it in |
/// | keyUsage | yes | digitalSignature |
/// | extKeyUsage | no | clientAuth, then [`ProfileConfig::extended_key_usages`] |
/// | cRLDistributionPoints | no | [`ProfileConfig::crl_urls`] |
/// | subjectKeyIdentifier | no | RFC 7093, 2, method 1 |
/// | basicConstraints | yes | cA FALSE |
/// | certificatePolicies | no | [`ProfileConfig::policy_oids`], each with [`ProfileConfig::cps_url`] |
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
    pub(crate) unit: Option<Unit>,
    pub(crate) mail_name: MailName,
    pub(crate) purposes: Vec<Vec<u8>>,
    pub(crate) crl_urls: Vec<String>,
    pub(crate) ca_issuers_url: Option<String>,
    pub(crate) ocsp_url: Option<String>,
    pub(crate) policies: Vec<Vec<u8>>,
    pub(crate) cps_url: Option<String>,
    pub(crate) keys: KeyRule,
    pub(crate) longest: Option<Duration>,
}

impl Profile {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] naming the first setting that cannot be used.
    pub fn new(config: ProfileConfig) -> Result<Self, ProfileError> {
        let country = config.country.as_deref().map(Country::new).transpose()?;
        let unit = config.organizational_unit.as_deref().map(Unit::new).transpose()?;
        let urls = config.crl_urls.iter().chain(&config.ca_issuers_url).chain(&config.ocsp_url);
        check_urls(urls)?;
        let policies = parse_policies(&config.policy_oids)?;
        let purposes = parse_purposes(&config.extended_key_usages)?;
        if let Some(url) = &config.cps_url {
            check_practice_statement(url, &policies)?;
        }
        if config.longest_days == Some(0) {
            return Err(ProfileError::NoDays);
        }
        let longest = config.longest_days.map(|days| Duration::days(days.into()));
        let ProfileConfig { mail_name, crl_urls, ca_issuers_url, ocsp_url, cps_url, keys, .. } = config;
        let keys = KeyRule(keys);
        Ok(Self {
            country,
            unit,
            mail_name,
            purposes,
            crl_urls,
            ca_issuers_url,
            ocsp_url,
            policies,
            cps_url,
            keys,
            longest,
        })
    }
}

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The country or the organizational unit.
    #[error("the profile's country or organizational unit cannot be used")]
    Name(#[from] NameError),
    /// A URL that relying parties could not fetch.
    #[error("{url:?} is no plain http URL; relying parties fetch CRLs, OCSP answers and CA certificates over http")]
    Url {
        /// The setting.
        url: String,
    },
    /// A policy or purpose that is no object identifier.
    #[error("{oid:?} is no object identifier in the dotted form")]
    Oid {
        /// The setting.
        oid: String,
    },
    /// A policy (RFC 5280, 4.2.1.4) or purpose that stands there twice; clientAuth always stands there.
    #[error("{oid} stands there twice")]
    Repeated {
        /// The setting.
        oid: String,
    },
    /// A purpose that a person's certificate must not have.
    #[error("the purpose {oid} is one of servers or of CAs; a client certificate must not have it")]
    Purpose {
        /// The setting.
        oid: String,
    },
    /// A practice statement that nobody could open, or that belongs to no policy.
    #[error(
        "{url:?} is no plain http or https URL of at most 2048 characters, or there is no policy that it belongs to"
    )]
    PracticeStatement {
        /// The setting.
        url: String,
    },
    /// A longest validity of no days.
    #[error("a longest validity of 0 days would let nothing be issued")]
    NoDays,
}

/// CRLs, OCSP and CA certificates are signed themselves, and fetching them over https could need them first: `http` only.
pub(crate) fn check_urls<'u>(urls: impl IntoIterator<Item = &'u String>) -> Result<(), ProfileError> {
    match urls.into_iter().find(|url| !is_url(url, &["http://"])) {
        Some(url) => Err(ProfileError::Url { url: url.clone() }),
        None => Ok(()),
    }
}

fn is_url(url: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_fit = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    !host.is_empty() && url.len() <= 2048 && url.bytes().all(is_fit)
}

/// A person opens it in a browser, so https will do.
fn check_practice_statement(url: &str, policies: &[Vec<u8>]) -> Result<(), ProfileError> {
    if policies.is_empty() || !is_url(url, &["http://", "https://"]) {
        return Err(ProfileError::PracticeStatement { url: url.to_owned() });
    }
    Ok(())
}

/// clientAuth, and the purposes beside it.
fn parse_purposes(dotted: &[String]) -> Result<Vec<Vec<u8>>, ProfileError> {
    let mut purposes = vec![oid::CLIENT_AUTH.to_vec()];
    for text in dotted {
        let purpose = parse_new(text, &purposes)?;
        if oid::FORBIDDEN_PURPOSES.contains(&purpose.as_slice()) {
            return Err(ProfileError::Purpose { oid: text.clone() });
        }
        purposes.push(purpose);
    }
    Ok(purposes)
}

pub(crate) fn parse_policies(dotted: &[String]) -> Result<Vec<Vec<u8>>, ProfileError> {
    let mut policies = Vec::with_capacity(dotted.len());
    for text in dotted {
        let policy = parse_new(text, &policies)?;
        policies.push(policy);
    }
    Ok(policies)
}

/// An object identifier that is not among those `before` it.
fn parse_new(text: &str, before: &[Vec<u8>]) -> Result<Vec<u8>, ProfileError> {
    let identifier = oid::parse(text).ok_or_else(|| ProfileError::Oid { oid: text.to_owned() })?;
    if before.contains(&identifier) {
        return Err(ProfileError::Repeated { oid: text.to_owned() });
    }
    Ok(identifier)
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
        assert!(matches!(profile(|c| c.country = Some("Japan".into())), Err(ProfileError::Name(NameError::Country))));
        assert!(matches!(profile(|c| c.policy_oids.push("1.2.x".into())), Err(ProfileError::Oid { .. })));
        let twice = profile(|c| c.policy_oids.extend(["1.2.3".into(), "1.2.3".into()]));
        assert!(matches!(twice, Err(ProfileError::Repeated { .. })));
    }

    #[test]
    fn what_a_client_certificate_cannot_say_is_refused() {
        let purposes = |oids: &[&str]| {
            let extended_key_usages = oids.iter().map(|oid| (*oid).to_owned()).collect();
            Profile::new(ProfileConfig { extended_key_usages, ..ProfileConfig::default() }).map(|p| p.purposes.len())
        };
        assert_eq!(purposes(&["1.3.6.1.5.5.7.3.4", "1.3.6.1.4.1.311.20.2.2"]), Ok(3));
        let refused = |oid: &str| Err(ProfileError::Purpose { oid: oid.to_owned() });
        for oid in ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.9", "2.5.29.37.0"] {
            assert_eq!(purposes(&[oid]), refused(oid));
        }
        assert!(matches!(purposes(&["1.3.6.1.5.5.7.3.2"]), Err(ProfileError::Repeated { .. })));
        assert!(matches!(purposes(&["x"]), Err(ProfileError::Oid { .. })));
        let unit = |unit: &str| {
            Profile::new(ProfileConfig { organizational_unit: Some(unit.into()), ..ProfileConfig::default() })
        };
        assert!(unit(&"課".repeat(64)).is_ok());
        let too_long = NameError::TooLong { part: "OU", characters: 65, limit: 64 };
        assert!(matches!(unit(&"課".repeat(65)), Err(ProfileError::Name(error)) if error == too_long));
        let no_days = ProfileConfig { longest_days: Some(0), ..ProfileConfig::default() };
        assert!(matches!(Profile::new(no_days), Err(ProfileError::NoDays)));
    }

    #[test]
    fn a_practice_statement_belongs_to_a_policy() {
        let with = |url: &str, policies: &[&str]| {
            let policy_oids = policies.iter().map(|oid| (*oid).to_owned()).collect();
            let config = ProfileConfig { cps_url: Some(url.into()), policy_oids, ..ProfileConfig::default() };
            Profile::new(config).is_ok()
        };
        assert!(with("https://ca.example/cps", &["1.2.3"]) && with("http://ca.example/cps", &["1.2.3"]));
        assert!(!with("https://ca.example/cps", &[]) && !with("ftp://ca.example/cps", &["1.2.3"]));
        let long = format!("https://ca.example/{}", "a".repeat(2048));
        assert!(!with(&long, &["1.2.3"]) && !with("https://あ/", &["1.2.3"]));
    }
}
