//! From a request to a certificate: profile, record, signature, comparison.

use crate::support::csr::{EXTENSION_REQUEST, EcKey, Info};
use crate::support::der::{attribute, common_name, extension, oid, seq, tlv};
use crate::support::rsa::{RsaKey, prime};
use crate::support::tool::openssl_ok;
use crate::support::{Authority, NOW, accept, days, now, profile_config, random, serial, subject};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CertificationRequest, Curve, FileSigner, Gate, IssueError, KeyChoice, KeyKind,
    LoadError, MailError, MailName, PrepareError, Prepared, Profile, ProfileConfig, ReadError, Recorded, RestoreError,
    SignatureAlgorithm, Signer, SignerError, create_root, new_serial,
};
use koshin_types::{Fingerprint, SerialNumber, Validity};
use proptest::prelude::*;
use ring::digest;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use time::{Duration, UtcDateTime};
use x509_parser::prelude::{FromDer, GeneralName, TbsCertificate, X509Certificate};

const MAIL: &str = "taro.yamada@example.jp";

fn sha256(octets: &[u8]) -> Fingerprint {
    Fingerprint::new(digest::digest(&digest::SHA256, octets).as_ref().try_into().unwrap())
}

fn prepare(ca: &Ca, request: &[u8]) -> Prepared {
    ca.prepare(accept(request), &subject(), Some(MAIL), serial(3), days(365)).unwrap()
}

#[test]
fn a_certificate_says_what_registry_and_profile_say() {
    let authority = Authority::new();
    let key = EcKey::p256();
    let prepared = prepare(&authority.ca, &key.csr());
    assert_eq!(prepared.serial(), serial(3));
    assert_eq!(prepared.validity(), days(365));
    assert_eq!(prepared.spki_fingerprint(), sha256(&key.spki()));
    let certificate = authority.ca.issue(prepared.recorded()).unwrap();
    assert_eq!(certificate.fingerprint(), sha256(certificate.der()));
    assert_eq!((certificate.serial(), certificate.validity()), (serial(3), days(365)));

    let (rest, read) = X509Certificate::from_der(certificate.der()).unwrap();
    assert!(rest.is_empty());
    assert_eq!(read.raw_serial(), serial(3).as_be_bytes());
    assert_eq!(read.validity().not_before.timestamp(), NOW);
    assert_eq!(read.validity().not_after.timestamp(), NOW + 365 * 86_400 - 1);
    assert_eq!(read.subject().to_string(), "C=JP, O=更新商店株式会社, CN=U-1001 山田太郎");
    assert_eq!(read.issuer().to_string(), "C=JP, O=更新信用金庫, CN=更新電子証明書認証局");
    assert_eq!(authority.ca.issuer_name(), "更新電子証明書認証局");
    let usage = read.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.flags == 1, "digitalSignature alone");
    let purposes = read.extended_key_usage().unwrap().unwrap();
    assert!(!purposes.critical && purposes.value.client_auth && purposes.value.other.is_empty());
    assert!(!purposes.value.any && !purposes.value.server_auth && !purposes.value.email_protection);
    let constraints = read.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && !constraints.value.ca && constraints.value.path_len_constraint.is_none());
    let names = read.subject_alternative_name().unwrap().unwrap();
    assert!(!names.critical);
    assert_eq!(names.value.general_names, [GeneralName::RFC822Name(MAIL)]);
    let kinds: Vec<String> = read.extensions().iter().map(|e| e.oid.to_id_string()).collect();
    assert_eq!(
        kinds,
        [
            "2.5.29.35",
            "2.5.29.17",
            "2.5.29.15",
            "2.5.29.37",
            "2.5.29.31",
            "2.5.29.14",
            "2.5.29.19",
            "2.5.29.32",
            "1.3.6.1.5.5.7.1.1"
        ]
    );
}

#[test]
fn invariant_32_key_of_the_request_and_subject_of_the_registry() {
    let authority = Authority::new();
    let rsa = RsaKey::new(&[(prime("P"), 1), (prime("Q"), 1)]);
    let (p256, p384) = (EcKey::p256(), EcKey::p384());
    for (csr, spki) in [(p256.csr(), p256.spki()), (p384.csr(), p384.spki()), (rsa.csr(), rsa.spki())] {
        let certificate = authority.ca.issue(prepare(&authority.ca, &csr).recorded()).unwrap();
        let (_, read) = X509Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(read.public_key().raw, spki);
        assert_eq!(certificate.spki_fingerprint(), sha256(&spki));
        let name = read.subject().iter_common_name().next().unwrap().as_str().unwrap();
        assert_eq!(name, subject().common_name());
        assert!(!read.subject().to_string().contains("whoever"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever two requests for one key say beside it, the bytes to be signed are the same but for serial number and time.
    #[test]
    fn invariant_73_profile_closure(one in any_info(), other in any_info(), low in 1_u8..255, length in 2_i64..900) {
        let (authority, key) = shared();
        let tbs = |(subject, attributes): (Vec<u8>, Vec<Vec<u8>>), serial, validity| {
            let request = key.csr_of(&Info { subject, attributes, spki: key.spki(), ..Info::default() });
            authority.ca.prepare(accept(&request), &crate::support::subject(), Some(MAIL), serial, validity).unwrap().tbs().to_vec()
        };
        let (first, second) = (tbs(one.clone(), serial(0), days(1)), tbs(other, serial(0), days(1)));
        prop_assert_eq!(&first, &second);
        let third = tbs(one, serial(low), days(length));
        let (one, third) = (without_serial_and_time(&first), without_serial_and_time(&third));
        prop_assert_eq!(one, third);
    }

    /// Names and addresses of every shape give bytes that pass the lints and come back as they went in.
    #[test]
    fn any_registry_entry_comes_back(
        organization in "[\\p{Han}\\p{Hiragana}a-zA-Z0-9&'.,-]{1,64}",
        name in "[\\p{Han}\\p{Katakana}a-zA-Z0-9]{1,64}",
        number in prop::option::of("[A-Za-z0-9 '()+,./:=?-]{0,30}[A-Z]"),
        mail in prop::option::of("[a-z0-9+_]{1,20}@[a-z0-9]{1,20}\\.example"),
        low: u8,
    ) {
        let (authority, key) = shared();
        let mut subject = koshin_issuance::SubjectName::new(&organization, &name).unwrap();
        if let Some(number) = number.as_deref().map(str::trim_start) {
            subject = subject.with_serial_number(number).unwrap();
        }
        let prepared =
            authority.ca.prepare(accept(&key.csr()), &subject, mail.as_deref(), serial(low), days(30)).unwrap();
        let certificate = authority.ca.issue(prepared.recorded()).unwrap();
        let (_, read) = X509Certificate::from_der(certificate.der()).unwrap();
        prop_assert_eq!(read.subject().iter_organization().next().unwrap().as_str().unwrap(), &organization);
        prop_assert_eq!(read.subject().iter_common_name().next().unwrap().as_str().unwrap(), &name);
        let names = read.subject_alternative_name().unwrap();
        prop_assert_eq!(names.map(|n| n.value.general_names.clone()), mail.as_deref().map(|m| vec![GeneralName::RFC822Name(m)]));
    }
}

/// Any DER at all: strings of every tag, nested in sequences and sets.
fn any_der() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::sample::select(vec![0x04, 0x0c, 0x13, 0x14, 0x16, 0x1e, 0x80, 0x86]);
    let oids = prop::sample::select(vec!["2.5.4.3", "2.5.4.11", "2.5.29.17", "1.2.840.113549.1.9.1", "1.2.3"]);
    let leaf = prop_oneof![
        (tags, prop::collection::vec(any::<u8>(), 0..30)).prop_map(|(tag, content)| tlv(tag, content)),
        oids.prop_map(oid),
        any::<bool>().prop_map(|truth| tlv(1, [u8::from(truth) * 0xff])),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        let tags = prop::sample::select(vec![0x30, 0x31, 0xa0, 0xa3]);
        (tags, prop::collection::vec(inner, 0..5)).prop_map(|(tag, parts)| tlv(tag, parts.concat()))
    })
}

/// Any subject, and attributes among which are requests for extensions that a CA could be tricked with.
fn any_info() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>)> {
    let subject = prop_oneof![
        prop::collection::vec(any_der(), 0..4).prop_map(|parts| tlv(0x30, parts.concat())),
        "\\PC{0,40}".prop_map(|name| common_name(&name)),
    ];
    let kinds =
        vec!["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.32", "2.5.29.37", "1.2.3"];
    let value = prop_oneof![
        any_der(),
        prop::collection::vec(any::<u8>(), 0..60),
        Just(seq(&[&tlv(1, [0xff])])),
        Just(seq(&[&oid("1.3.6.1.5.5.7.3.1"), &oid("2.5.29.37.0")])),
    ];
    let wish = (prop::sample::select(kinds), any::<bool>(), value)
        .prop_map(|(kind, critical, value)| extension(kind, critical, &value));
    let carriers = prop::sample::select(vec![EXTENSION_REQUEST, "1.2.840.113549.1.9.7", "1.3.6.1.4.1.311.2.1.14"]);
    let wishes = (carriers, prop::collection::vec(wish, 0..4))
        .prop_map(|(carrier, wishes)| attribute(carrier, &tlv(0x30, wishes.concat())));
    (subject, prop::collection::vec(prop_oneof![wishes, any_der()], 0..4))
}

/// A `TBSCertificate` without serialNumber and validity, its second and fifth field.
fn without_serial_and_time(tbs: &[u8]) -> Vec<Vec<u8>> {
    let (_, read) = TbsCertificate::from_der(tbs).unwrap();
    let extensions =
        read.extensions().iter().flat_map(|e| [e.oid.as_bytes(), &[u8::from(e.critical)], e.value].concat());
    let names = [read.issuer.as_raw(), read.subject.as_raw()].concat();
    vec![names, read.subject_pki.raw.to_vec(), read.signature.oid().as_bytes().to_vec(), extensions.collect()]
}

fn shared() -> &'static (Authority, EcKey) {
    static SHARED: std::sync::OnceLock<(Authority, EcKey)> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| (Authority::new(), EcKey::p256()))
}

/// Signs as its word says, and keeps what it was given.
struct Odd {
    key: FileSigner,
    mode: &'static str,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Signer for Odd {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.key.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.seen.lock().unwrap().push(message.to_vec());
        let signature = self.key.sign(message)?;
        match self.mode {
            "flipped" => Ok(signature.iter().enumerate().map(|(at, b)| if at == 20 { b ^ 1 } else { *b }).collect()),
            "other message" => self.key.sign(b"other"),
            "other key" => FileSigner::generate(Curve::P256, random()).unwrap().0.sign(message),
            "empty" => Ok(Vec::new()),
            "longer" => Ok([&signature[..], &[0]].concat()),
            "gone" => Err(SignerError::Unavailable { detail: "the token is out".into() }),
            "refusing" => Err(SignerError::Refused { detail: "no".into() }),
            _ => Ok(signature),
        }
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign_digest(digest)
    }
}

fn odd_ca(authority: &Authority, mode: &'static str) -> (Ca, Arc<Mutex<Vec<Vec<u8>>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let key = FileSigner::from_pkcs8_der(&authority.issuing_key, random()).unwrap();
    let signer = Odd { key, mode, seen: seen.clone() };
    let profile = Profile::new(profile_config()).unwrap();
    (Ca::load(&authority.issuing, &[], Box::new(signer), profile).unwrap(), seen)
}

#[test]
fn invariant_71_the_linted_bytes_are_the_signed_bytes() {
    let authority = Authority::new();
    let (ca, seen) = odd_ca(&authority, "good");
    let prepared = prepare(&ca, &EcKey::p256().csr());
    let tbs = prepared.tbs().to_vec();
    let recorded = prepared.recorded();
    assert!(seen.lock().unwrap().is_empty(), "nothing is signed before the record");
    let certificate = ca.issue(recorded).unwrap();
    assert_eq!(*seen.lock().unwrap(), std::slice::from_ref(&tbs));
    let (_, read) = X509Certificate::from_der(certificate.der()).unwrap();
    assert_eq!(read.tbs_certificate.as_ref(), tbs);
    let (_, issuer) = X509Certificate::from_der(&authority.issuing).unwrap();
    assert!(read.verify_signature(Some(issuer.public_key())).is_ok());
}

#[test]
fn invariant_71_a_bad_signature_never_becomes_a_certificate() {
    let authority = Authority::new();
    for mode in ["flipped", "other message", "other key", "empty", "longer"] {
        let (ca, _) = odd_ca(&authority, mode);
        let error = ca.issue(prepare(&ca, &EcKey::p256().csr()).recorded()).unwrap_err();
        assert_eq!((error.clone(), error.is_transient()), (IssueError::Signature, false), "{mode}");
    }
    for (mode, transient) in [("gone", true), ("refusing", false)] {
        let (ca, _) = odd_ca(&authority, mode);
        let error = ca.issue(prepare(&ca, &EcKey::p256().csr()).recorded()).unwrap_err();
        assert!(matches!(error, IssueError::Signer(_)) && error.is_transient() == transient, "{mode}");
    }
}

#[test]
fn a_restored_record_is_signed_as_it_was_recorded() {
    let authority = Authority::new();
    let prepared = prepare(&authority.ca, &EcKey::p256().csr());
    let (tbs, key) = (prepared.tbs().to_vec(), prepared.spki_fingerprint());
    drop(prepared);
    // The settings of the profile may have changed while the process was down.
    let (certificate, chain) = (authority.issuing.clone(), vec![authority.root.certificate_der().to_vec()]);
    let signer = FileSigner::from_pkcs8_der(&authority.issuing_key, random()).unwrap();
    let plain = Profile::new(ProfileConfig::default()).unwrap();
    let ca = Ca::load(&certificate, &chain, Box::new(signer), plain).unwrap();
    let recorded = Recorded::restore(tbs.clone(), serial(3), days(365), key).unwrap();
    let certificate = ca.issue(recorded).unwrap();
    let (_, read) = X509Certificate::from_der(certificate.der()).unwrap();
    assert_eq!(read.tbs_certificate.as_ref(), tbs);
}

#[test]
fn a_damaged_record_is_not_signed() {
    let authority = Authority::new();
    let prepared = prepare(&authority.ca, &EcKey::p256().csr());
    let (tbs, key) = (prepared.tbs().to_vec(), prepared.spki_fingerprint());
    let restore = |serial, validity, key| Recorded::restore(tbs.clone(), serial, validity, key).unwrap_err();
    assert_eq!(restore(serial(4), days(365), key), RestoreError::Differs { field: "serial number" });
    assert_eq!(restore(serial(3), days(364), key), RestoreError::Differs { field: "validity" });
    assert_eq!(restore(serial(3), days(365), sha256(b"")), RestoreError::Differs { field: "public key" });
    let cut = Recorded::restore(tbs[..tbs.len() - 1].to_vec(), serial(3), days(365), key).unwrap_err();
    assert_eq!(cut, RestoreError::Damaged);
    // A changed octet is found by the restore or by the lints; only a policy may become another policy.
    let (ca, seen) = odd_ca(&authority, "good");
    let mut signed = 0;
    for at in 0..tbs.len() {
        let mut changed = tbs.clone();
        changed[at] ^= 0x80;
        if let Ok(recorded) = Recorded::restore(changed, serial(3), days(365), key) {
            signed += usize::from(ca.issue(recorded).is_ok());
        }
    }
    assert_eq!(signed, seen.lock().unwrap().len());
    let octets_of_the_policy = 10;
    assert!(signed <= octets_of_the_policy, "{signed} of {} changes were signed", tbs.len());
}

#[test]
fn another_cas_record_is_not_signed() {
    let (one, other) = (Authority::new(), Authority::new());
    let prepared = prepare(&one.ca, &EcKey::p256().csr());
    assert!(matches!(other.ca.issue(prepared.recorded()), Err(IssueError::Lint(_))));
}

#[test]
fn prepare_refuses_what_a_certificate_cannot_say() {
    let authority = Authority::new();
    let ca = &authority.ca;
    let request = || accept(&EcKey::p256().csr());
    let attempt = |mail, validity| ca.prepare(request(), &subject(), mail, serial(1), validity).unwrap_err();
    let to_the_end = Validity::new(now(), ca.not_after()).unwrap();
    assert!(ca.prepare(request(), &subject(), None, serial(1), to_the_end).is_ok());
    let too_long = Validity::new(now(), ca.not_after() + Duration::SECOND).unwrap();
    assert_eq!(attempt(None, too_long), PrepareError::BeyondCa { validity: too_long, ca: ca.validity() });
    let too_early = Validity::new(now() - Duration::SECOND, now()).unwrap();
    assert!(matches!(attempt(None, too_early), PrepareError::BeyondCa { .. }));
    for mail in ["", "a@b\0", "a b@c.jp", "é@example.jp", "a@example.jp,b@example.jp"] {
        assert_eq!(attempt(Some(mail), days(1)), PrepareError::Mail(MailError::Syntax), "{mail}");
    }
}

#[test]
fn a_profile_bounds_keys_and_length_and_keeps_addresses_out() {
    let with = |edit: fn(&mut ProfileConfig)| {
        let mut config = profile_config();
        edit(&mut config);
        Authority::with(Curve::P256, config).ca
    };
    let key = EcKey::p256();
    let attempt = |ca: &Ca, validity| ca.prepare(accept(&key.csr()), &subject(), Some(MAIL), serial(1), validity);
    let p384 = with(|config| config.keys = vec![KeyChoice::P384]);
    assert_eq!(attempt(&p384, days(1)), Err(PrepareError::KeyKind { kind: KeyKind::P256 }));
    assert!(p384.prepare(accept(&EcKey::p384().csr()), &subject(), None, serial(1), days(1)).is_ok());

    let year = with(|config| config.longest_days = Some(365));
    assert!(attempt(&year, days(365)).is_ok());
    let longer = Validity::new(now(), now() + Duration::days(365)).unwrap();
    assert_eq!(attempt(&year, longer), Err(PrepareError::TooLong { validity: longer, longest_days: 365 }));

    let silent = with(|config| config.mail_name = MailName::LeftOut);
    let certificate = silent.issue(attempt(&silent, days(1)).unwrap().recorded()).unwrap();
    assert!(!certificate.der().windows(MAIL.len()).any(|part| part == MAIL.as_bytes()));
    assert!(silent.prepare(accept(&key.csr()), &subject(), Some("a..b@x"), serial(1), days(1)).is_ok());
}

#[test]
fn openssl_shows_what_a_profile_says() {
    let config = ProfileConfig {
        organizational_unit: Some("法人インターネットバンキング".into()),
        extended_key_usages: vec!["1.3.6.1.5.5.7.3.4".into()],
        cps_url: Some("https://ca.example.jp/cps".into()),
        ..profile_config()
    };
    let authority = Authority::with(Curve::P256, config);
    let certificate = authority.ca.issue(prepare(&authority.ca, &EcKey::p256().csr()).recorded()).unwrap();
    let shown = ["x509", "-inform", "DER", "-noout", "-text", "-nameopt", "utf8"];
    let text = String::from_utf8(openssl_ok(&shown, certificate.der())).unwrap();
    for part in [
        "OU=法人インターネットバンキング, CN=",
        "TLS Web Client Authentication, E-mail Protection",
        "CPS: https://ca.example.jp/cps",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn invariant_31_the_keys_of_the_ca_are_not_certified() {
    let authority = Authority::new();
    // The gate knows the request's key only; it is the CA that knows its own and its chain's.
    let issuing = FileSigner::from_pkcs8_der(&authority.issuing_key, random()).unwrap();
    for (signer, algorithm) in
        [(&issuing as &dyn Signer, "1.2.840.10045.4.3.2"), (authority.root.signer(), "1.2.840.10045.4.3.3")]
    {
        let info = Info { spki: signer.public_key_spki().to_vec(), ..Info::default() }.der();
        let csr = crate::support::csr::csr(&info, &seq(&[&oid(algorithm)]), &signer.sign(&info).unwrap());
        let refused = authority.ca.prepare(accept(&csr), &subject(), None, serial(1), days(1));
        assert_eq!(refused, Err(PrepareError::OwnKey));
        let gate = Gate::new().with_blocked([sha256(signer.public_key_spki())]);
        assert!(CertificationRequest::from_der(&csr, &gate).is_err());
    }
}

#[test]
fn load_refuses_what_does_not_belong_together() {
    let authority = Authority::new();
    let root = authority.root.certificate_der().to_vec();
    let key = |pkcs8: &[u8]| Box::new(FileSigner::from_pkcs8_der(pkcs8, random()).unwrap());
    let profile = || Profile::new(ProfileConfig::default()).unwrap();
    let load = |certificate: &[u8], chain: &[Vec<u8>], pkcs8: &[u8]| {
        Ca::load(certificate, chain, key(pkcs8), profile()).map(|_| ()).unwrap_err()
    };
    let own = &authority.issuing_key;
    assert!(matches!(load(&authority.issuing, &[], authority.root.pkcs8_der()), LoadError::Key { .. }));
    assert!(matches!(load(&root, &[], own), LoadError::Key { .. }));
    let trailing = [&authority.issuing[..], &[0]].concat();
    assert_eq!(load(&trailing, &[], own), LoadError::Certificate { above: 0, source: ReadError::Der });
    let name = AuthorityName::new(None, "x", "y").unwrap();
    let stranger = create_root(&AuthorityPlan::root(name), serial(1), days(10), &random()).unwrap();
    assert_eq!(load(&authority.issuing, &[stranger.certificate_der().to_vec()], own), LoadError::Chain { above: 1 });
    let leaf = authority.ca.issue(prepare(&authority.ca, &EcKey::p256().csr()).recorded()).unwrap();
    let above = load(&authority.issuing, &[leaf.into_der()], own);
    assert_eq!(above, LoadError::Certificate { above: 1, source: ReadError::NotACa });
    assert!(Ca::load(&authority.issuing, &[root], key(own), profile()).is_ok());
}

#[test]
fn invariant_11_validity_beyond_2049() {
    let year = |year: i64| UtcDateTime::from_unix_timestamp(NOW + year * 31_557_600).unwrap();
    let name = AuthorityName::new(None, "x", "y").unwrap();
    let long = Validity::new(now(), year(60)).unwrap();
    let root = create_root(&AuthorityPlan::issuing(name), serial(1), long, &random()).unwrap();
    let der = root.certificate_der().to_vec();
    let ca =
        Ca::load(&der, &[], Box::new(root.into_signer()), Profile::new(ProfileConfig::default()).unwrap()).unwrap();
    let key = EcKey::p256();
    for (to, width) in [(year(22), 13), (year(24), 15)] {
        let validity = Validity::new(now(), to).unwrap();
        let prepared = ca.prepare(accept(&key.csr()), &subject(), None, serial(1), validity).unwrap();
        let certificate = ca.issue(prepared.recorded()).unwrap();
        let (_, read) = X509Certificate::from_der(certificate.der()).unwrap();
        assert_eq!(read.validity().not_after.timestamp(), to.unix_timestamp());
        assert_eq!(read.validity().not_after.is_utctime(), width == 13);
    }
}

#[test]
fn invariant_70_serials_are_unique_and_their_bits_fair() {
    const COUNT: u32 = 1_000_000;
    let random = random();
    let mut seen = HashSet::with_capacity(COUNT as usize);
    let mut ones = [0_u32; 104];
    for _ in 0..COUNT {
        let serial: SerialNumber = new_serial(now(), random.as_ref()).unwrap();
        let octets = serial.as_be_bytes();
        assert!(octets[0] & 0x80 == 0 && octets.len() <= 19);
        let tail = octets.last_chunk::<13>().unwrap();
        for (at, count) in ones.iter_mut().enumerate() {
            *count += u32::from(tail[at / 8] >> (7 - at % 8) & 1);
        }
        assert!(seen.insert(serial));
    }
    for (bit, count) in ones.into_iter().enumerate() {
        let share = f64::from(count) / f64::from(COUNT);
        assert!((share - 0.5).abs() <= 0.005, "bit {bit}: {share}");
    }
}
