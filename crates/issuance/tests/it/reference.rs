//! rcgen as the reference: the same content, encoded by other people's code, has to be the same bytes; and what rcgen can
//! say that the profile does not allow has to be stopped by the lints.

use crate::support::csr::EcKey;
use crate::support::der::{oid, seq, tlv};
use crate::support::rsa::{RsaKey, prime};
use crate::support::{Authority, accept, days, now, profile_config, random, serial, subject};
use koshin_issuance::{
    CrlEdition, Curve, FileSigner, IssueError, LintFailure, MailName, ProfileConfig, Recorded, RevokedCertificate,
    Signer as _, SubjectName,
};
use koshin_types::{Fingerprint, RevocationReason, SerialNumber, Validity};
use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, CustomExtension,
    DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SanType, SigningKey,
};
use ring::digest;
use std::cell::RefCell;
use time::{Duration, OffsetDateTime, UtcDateTime};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

/// A public key as rcgen wants it.
struct Key {
    octets: Vec<u8>,
    algorithm: &'static rcgen::SignatureAlgorithm,
}

impl Key {
    fn of_spki(spki: &[u8]) -> Self {
        let (_, parsed) = SubjectPublicKeyInfo::from_der(spki).unwrap();
        let octets = parsed.subject_public_key.data.to_vec();
        let algorithm = match octets.len() {
            65 => &rcgen::PKCS_ECDSA_P256_SHA256,
            97 => &rcgen::PKCS_ECDSA_P384_SHA384,
            _ => &rcgen::PKCS_RSA_SHA256,
        };
        Self { octets, algorithm }
    }

    fn identifier(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.octets).as_ref()[..20].to_vec()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.octets
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

/// Keeps what it is to sign.
struct Capture {
    key: Key,
    message: RefCell<Vec<u8>>,
}

impl PublicKeyData for Capture {
    fn der_bytes(&self) -> &[u8] {
        &self.key.octets
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.key.algorithm
    }
}

impl SigningKey for Capture {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        *self.message.borrow_mut() = message.to_vec();
        Ok(vec![0; 64])
    }
}

fn offset(at: UtcDateTime) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.unix_timestamp()).unwrap()
}

fn issuer_name() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, DnValue::PrintableString("JP".try_into().unwrap()));
    name.push(DnType::OrganizationName, "更新信用金庫");
    name.push(DnType::CommonName, "更新電子証明書認証局");
    name
}

/// The CA's name and key for rcgen.
fn issuer(authority: &Authority) -> Issuer<'static, Capture> {
    let (_, certificate) = X509Certificate::from_der(&authority.issuing).unwrap();
    let key = Key::of_spki(certificate.public_key().raw);
    let mut params = CertificateParams::default();
    params.distinguished_name = issuer_name();
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
    Issuer::new(params, Capture { key, message: RefCell::default() })
}

/// The profile, said in rcgen's words.
fn params(config: &ProfileConfig, subject: &SubjectName, mail: Option<&str>, spki: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    if let Some(country) = &config.country {
        name.push(DnType::CountryName, DnValue::PrintableString(country.as_str().try_into().unwrap()));
    }
    name.push(DnType::OrganizationName, subject.organization());
    if let Some(unit) = &config.organizational_unit {
        name.push(DnType::OrganizationalUnitName, unit);
    }
    name.push(DnType::CommonName, subject.common_name());
    if let Some(number) = subject.serial_number() {
        let kind = DnType::CustomDnType(vec![2, 5, 4, 5]);
        name.push(kind, DnValue::PrintableString(number.try_into().unwrap()));
    }
    params.distinguished_name = name;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let more = config.extended_key_usages.iter().map(|purpose| {
        ExtendedKeyUsagePurpose::Other(purpose.split('.').map(|number| number.parse().unwrap()).collect())
    });
    params.extended_key_usages = std::iter::once(ExtendedKeyUsagePurpose::ClientAuth).chain(more).collect();
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::PreSpecified(Key::of_spki(spki).identifier());
    let mail = mail.filter(|_| config.mail_name == MailName::Written);
    params.subject_alt_names =
        mail.iter().map(|mail| SanType::Rfc822Name(Ia5String::try_from(*mail).unwrap())).collect();
    if !config.crl_urls.is_empty() {
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: config.crl_urls.clone() }];
    }
    params.custom_extensions = [policies(config), access(config)].into_iter().flatten().collect();
    params
}

fn policies(config: &ProfileConfig) -> Option<CustomExtension> {
    let statement = config.cps_url.as_ref().map(|url| seq(&[&seq(&[&oid("1.3.6.1.5.5.7.2.1"), &tlv(0x16, url)])]));
    let statement = statement.unwrap_or_default();
    let content: Vec<u8> = config.policy_oids.iter().flat_map(|policy| seq(&[&oid(policy), &statement])).collect();
    (!content.is_empty()).then(|| CustomExtension::from_oid_content(&[2, 5, 29, 32], tlv(0x30, content)))
}

fn access(config: &ProfileConfig) -> Option<CustomExtension> {
    let urls = [("1.3.6.1.5.5.7.48.1", &config.ocsp_url), ("1.3.6.1.5.5.7.48.2", &config.ca_issuers_url)];
    let given = urls.iter().filter_map(|(method, url)| Some((method, url.as_ref()?)));
    let content: Vec<u8> = given.flat_map(|(method, url)| seq(&[&oid(method), &tlv(0x86, url)])).collect();
    (!content.is_empty()).then(|| CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], tlv(0x30, content)))
}

/// What rcgen would have the CA sign.
fn reference(
    authority: &Authority,
    mut params: CertificateParams,
    serial: SerialNumber,
    validity: Validity,
    spki: &[u8],
) -> Vec<u8> {
    params.serial_number = Some(serial.as_be_bytes().to_vec().into());
    params.not_before = offset(validity.not_before());
    params.not_after = offset(validity.not_after());
    let issuer = issuer(authority);
    params.signed_by(&Key::of_spki(spki), &issuer).unwrap();
    issuer.key().message.borrow().clone()
}

fn spki_of(request: &[u8]) -> Vec<u8> {
    accept(request).spki_der().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_template_and_rcgen_write_the_same_bytes(
        shape in 0_usize..10,
        key in 0_usize..3,
        organization in "[\\p{Han}a-zA-Z0-9]{1,64}",
        name in "[\\p{Hiragana}a-zA-Z0-9]{1,64}",
        number in prop::option::of("[A-Z0-9-]{1,64}"),
        mail in prop::option::of("[a-z]{1,60}@[a-z]{1,60}\\.example"),
        serial_octets in prop::collection::vec(any::<u8>(), 1..=19),
        length in 1_i64..3650,
    ) {
        let (authorities, requests) = shared();
        let (config, authority) = &authorities[shape];
        let serial = SerialNumber::from_be_bytes(&serial_octets).unwrap_or(serial(1));
        let mut subject = SubjectName::new(&organization, &name).unwrap();
        if let Some(number) = &number {
            subject = subject.with_serial_number(number).unwrap();
        }
        let request = &requests[key];
        let ours = authority.ca.prepare(accept(request), &subject, mail.as_deref(), serial, days(length)).unwrap();
        let spki = spki_of(request);
        let theirs = reference(authority, params(config, &subject, mail.as_deref(), &spki), serial, days(length), &spki);
        prop_assert_eq!(ours.tbs(), theirs);
    }
}

type Shared = (Vec<(ProfileConfig, Authority)>, Vec<Vec<u8>>);

/// CAs of both algorithms with profiles of all shapes, and requests of all kinds of keys.
fn shared() -> &'static Shared {
    static SHARED: std::sync::OnceLock<Shared> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| {
        let full = profile_config;
        let configs = [
            full(),
            ProfileConfig::default(),
            ProfileConfig { ocsp_url: None, ..full() },
            ProfileConfig {
                ca_issuers_url: None,
                policy_oids: vec!["2.999.4294967296".into(), "2.5.29.32.0".into()],
                ..full()
            },
            ProfileConfig {
                organizational_unit: Some("インターネットバンキング".into()),
                mail_name: MailName::LeftOut,
                extended_key_usages: vec!["1.3.6.1.5.5.7.3.4".into(), "1.3.6.1.4.1.311.20.2.2".into()],
                cps_url: Some("https://ca.example.jp/cps".into()),
                ..full()
            },
        ];
        let curves = [Curve::P256, Curve::P384];
        let authorities = curves
            .iter()
            .flat_map(|curve| configs.iter().map(|config| (config.clone(), Authority::with(*curve, config.clone()))));
        let rsa = RsaKey::new(&[(prime("P"), 1), (prime("Q"), 1)]);
        (authorities.collect(), vec![EcKey::p256().csr(), EcKey::p384().csr(), rsa.csr()])
    })
}

#[test]
fn crls_are_rcgens_bytes() {
    let authority = Authority::new();
    let entries: Vec<RevokedCertificate> = (0..200_u8)
        .map(|low| RevokedCertificate {
            serial: serial(low),
            revoked_at: now(),
            reason: RevocationReason::ALL[usize::from(low) % 6],
            invalidity_date: low.is_multiple_of(5).then(|| now() - Duration::days(i64::from(low))),
        })
        .collect();
    let edition = CrlEdition { number: 0x8000, this_update: now(), next_update: now() + Duration::days(9000) };
    let crl = authority.ca.sign_crl(edition, &entries).unwrap();
    let issuer = issuer(&authority);
    let theirs = CertificateRevocationListParams {
        this_update: offset(edition.this_update),
        next_update: offset(edition.next_update),
        crl_number: vec![0x80, 0].into(),
        issuing_distribution_point: None,
        revoked_certs: entries.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::PreSpecified(issuer.key().key.identifier()),
    };
    theirs.signed_by(&issuer).unwrap();
    let (_, read) = x509_parser::prelude::CertificateRevocationList::from_der(crl.der()).unwrap();
    assert_eq!(read.tbs_cert_list.as_ref(), *issuer.key().message.borrow());
}

fn revoked(entry: &RevokedCertificate) -> RevokedCertParams {
    use rcgen::RevocationReason as R;
    let reason = match entry.reason {
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(R::KeyCompromise),
        RevocationReason::AffiliationChanged => Some(R::AffiliationChanged),
        RevocationReason::Superseded => Some(R::Superseded),
        RevocationReason::CessationOfOperation => Some(R::CessationOfOperation),
        RevocationReason::PrivilegeWithdrawn => Some(R::PrivilegeWithdrawn),
    };
    RevokedCertParams {
        serial_number: entry.serial.as_be_bytes().to_vec().into(),
        revocation_time: offset(entry.revoked_at),
        reason_code: reason,
        invalidity_date: entry.invalidity_date.map(offset),
    }
}

type Edit = fn(&mut CertificateParams);

/// What the lints have to stop, with the clause they name.
const FORBIDDEN: [(&str, Edit, &str); 20] = [
    ("a CA", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "4.2.1.9"),
    ("a CA of path length 0", |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), "4.2.1.9"),
    ("no basicConstraints and no SKI", |p| p.is_ca = IsCa::NoCa, "4.1.2.9"),
    ("keyCertSign", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign), "4.2.1.3"),
    ("keyEncipherment", |p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment], "4.2.1.3"),
    ("no keyUsage", |p| p.key_usages.clear(), "4.1.2.9"),
    ("serverAuth", |p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth), "4.2.1.12"),
    ("anyExtendedKeyUsage", |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any], "4.2.1.12"),
    ("no extKeyUsage", |p| p.extended_key_usages.clear(), "4.1.2.9"),
    ("no AKI", |p| p.use_authority_key_identifier_extension = false, "4.1.2.9"),
    ("another SKI", |p| p.key_identifier_method = KeyIdMethod::PreSpecified(vec![1; 20]), "4.2.1.2"),
    ("a DNS name", |p| p.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())], "4.2.1.6"),
    ("two addresses", |p| p.subject_alt_names.extend_from_within(..), "4.2.1.6"),
    ("no address in the SAN", |p| p.subject_alt_names = vec![SanType::Rfc822Name("x".try_into().unwrap())], "4.2.1.6"),
    ("an OU behind CN", |p| p.distinguished_name.push(DnType::OrganizationalUnitName, "x"), "4.1.2.6"),
    ("no CN", |p| assert!(p.distinguished_name.remove(DnType::CommonName)), "4.1.2.6"),
    ("65 characters", |p| p.distinguished_name.push(DnType::CommonName, "山".repeat(65)), "4.1.2.6"),
    ("a twofold extension", |p| p.custom_extensions.extend_from_within(..), "4.2"),
    (
        "a foreign extension",
        |p| p.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0])),
        "4.2",
    ),
    ("broken DER", |p| p.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 32], vec![5])), "X.690"),
];

#[test]
fn the_lints_stop_what_the_profile_does_not_say() {
    let authority = Authority::new();
    let request = EcKey::p256().csr();
    let spki = spki_of(&request);
    let good = || params(&profile_config(), &subject(), Some("taro@example.jp"), &spki);
    let issue = |params, validity| {
        let tbs = reference(&authority, params, serial(9), validity, &spki);
        authority.ca.issue(Recorded::restore(tbs, serial(9), validity, fingerprint(&spki)).unwrap())
    };
    assert!(issue(good(), days(30)).is_ok());
    for (name, edit, clause) in FORBIDDEN {
        let mut params = good();
        edit(&mut params);
        match issue(params, days(30)) {
            Err(IssueError::Lint(LintFailure { clause: named, .. })) => {
                assert!(named.contains(clause), "{name}: {named}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let beyond = Validity::new(now(), authority.ca.not_after() + Duration::SECOND).unwrap();
    assert!(matches!(issue(good(), beyond), Err(IssueError::Lint(_))));
}

#[test]
fn the_lints_stop_a_foreign_issuer() {
    let authority = Authority::new();
    let spki = spki_of(&EcKey::p256().csr());
    let params = params(&profile_config(), &subject(), None, &spki);
    let tbs = reference(&Authority::new(), params, serial(9), days(9), &spki);
    let recorded = Recorded::restore(tbs, serial(9), days(9), fingerprint(&spki)).unwrap();
    let refused = authority.ca.issue(recorded).unwrap_err();
    assert!(matches!(refused, IssueError::Lint(LintFailure { clause: "RFC 5280, 4.2.1.1", .. })), "{refused:?}");
}

fn fingerprint(spki: &[u8]) -> Fingerprint {
    Fingerprint::new(digest::digest(&digest::SHA256, spki).as_ref().try_into().unwrap())
}

#[test]
fn spki_of_a_signer_is_rcgens() {
    for curve in [Curve::P256, Curve::P384] {
        let (signer, _) = FileSigner::generate(curve, random()).unwrap();
        assert_eq!(Key::of_spki(signer.public_key_spki()).subject_public_key_info(), signer.public_key_spki());
    }
}
