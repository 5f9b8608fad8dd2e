//! What the tests share: a CA, requests of any shape, and foreign tools.

pub(crate) mod csr;
pub(crate) mod der;
pub(crate) mod rsa;
pub(crate) mod tool;

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CertificationRequest, Curve, Gate, KeyedCertificate, Profile, ProfileConfig,
    Random, SubjectName, create_issuing, create_root,
};
use koshin_types::{SerialNumber, Validity};
use std::sync::Arc;
use time::{Duration, UtcDateTime};

/// 2026-11-22T06:26:40Z.
pub(crate) const NOW: i64 = 1_795_328_800;

pub(crate) fn random() -> Random {
    Arc::new(ring::rand::SystemRandom::new())
}

pub(crate) fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap()
}

/// From [`now`] for so many days.
pub(crate) fn days(days: i64) -> Validity {
    Validity::new(now(), now() + Duration::days(days) - Duration::SECOND).unwrap()
}

pub(crate) fn serial(low: u8) -> SerialNumber {
    SerialNumber::from_time_and_random(NOW * 1000, [low; 13])
}

pub(crate) fn subject() -> SubjectName {
    SubjectName::new("更新商店株式会社", "U-1001 山田太郎").unwrap()
}

pub(crate) fn profile_config() -> ProfileConfig {
    ProfileConfig {
        country: Some("JP".into()),
        crl_urls: vec!["http://ca.example.jp/issuing.crl".into(), "http://ca2.example.jp/issuing.crl".into()],
        ca_issuers_url: Some("http://ca.example.jp/issuing.cer".into()),
        ocsp_url: Some("http://ocsp.example.jp/".into()),
        policy_oids: vec!["1.3.6.1.4.1.99999.1.2".into()],
        ..ProfileConfig::default()
    }
}

/// A root, an issuing CA below it and what is needed to use them.
pub(crate) struct Authority {
    pub(crate) root: KeyedCertificate,
    pub(crate) issuing: Vec<u8>,
    pub(crate) issuing_key: Vec<u8>,
    pub(crate) ca: Ca,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::with(Curve::P256, profile_config())
    }

    pub(crate) fn with(curve: Curve, profile: ProfileConfig) -> Self {
        let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新ルート認証局").unwrap();
        let root = create_root(&AuthorityPlan::root(name), serial(1), days(7300), &random()).unwrap();
        let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局").unwrap();
        let plan = AuthorityPlan {
            curve,
            crl_urls: vec!["http://ca.example.jp/root.crl".into()],
            ca_issuers_url: Some("http://ca.example.jp/root.cer".into()),
            policy_oids: profile.policy_oids.clone(),
            ..AuthorityPlan::issuing(name)
        };
        let issuing = create_issuing(&plan, &root, serial(2), days(3650), &random()).unwrap();
        let (certificate, issuing_key) = (issuing.certificate_der().to_vec(), issuing.pkcs8_der().to_vec());
        let chain = [root.certificate_der().to_vec()];
        let profile = Profile::new(profile).unwrap();
        let ca = Ca::load(&certificate, &chain, Box::new(issuing.into_signer()), profile).unwrap();
        Self { root, issuing: certificate, issuing_key, ca }
    }
}

pub(crate) fn accept(request: &[u8]) -> CertificationRequest {
    CertificationRequest::from_bytes(request, &Gate::new()).unwrap()
}
