//! What comes from a CA elsewhere, judged by its certificate alone.

use crate::support::csr::EcKey;
use crate::support::der::{seq, tlv};
use crate::support::{Authority, accept, days, now, profile_config, random, serial, subject};
use koshin_issuance::{
    Ca, Certificate, Curve, Gate, IssuerCertificate, LoadError, MailName, Ordered, Profile, ProfileConfig, ReadError,
    SubjectName, VerifyError, is_rfc822_name, pem, request_der,
};
use koshin_types::{SerialNumber, Validity};
use time::Duration;

const MAIL: &str = "taro.yamada@example.jp";

/// What was ordered by default: 365 days for this key.
fn ordered<'a>(name: &'a SubjectName, request: &[u8]) -> Ordered<'a> {
    Ordered { subject: name, mail: Some(MAIL), validity: days(365), spki: accept(request).spki_fingerprint() }
}

fn issued(ca: &Ca, request: &[u8], name: &SubjectName, mail: Option<&str>, number: SerialNumber) -> Certificate {
    ca.issue(ca.prepare(accept(request), name, mail, number, days(365)).unwrap().recorded()).unwrap()
}

/// The same CA with another profile.
fn with_profile(authority: &Authority, edit: fn(&mut ProfileConfig)) -> Ca {
    let mut config = profile_config();
    edit(&mut config);
    let signer = koshin_issuance::FileSigner::from_pkcs8_der(&authority.issuing_key, random()).unwrap();
    Ca::load(&authority.issuing, &[], Box::new(signer), Profile::new(config).unwrap()).unwrap()
}

#[test]
fn the_certificate_of_a_ca_says_all_that_is_needed_without_its_key() {
    for curve in [Curve::P256, Curve::P384] {
        let authority = Authority::with(curve, profile_config());
        let above = [authority.root.certificate_der().to_vec()];
        let read = IssuerCertificate::read(&authority.issuing, &above).unwrap();
        let own = IssuerCertificate::from(&authority.ca);
        for issuer in [read, own] {
            assert_eq!((issuer.certificate_der(), issuer.chain_der()), (&authority.issuing[..], &above[..]));
            assert_eq!(issuer.issuer_name(), authority.ca.issuer_name());
            assert_eq!(issuer.issuer_organization(), Some("更新信用金庫"));
            assert_eq!(issuer.validity(), authority.ca.validity());
            assert_eq!(issuer.not_after(), authority.ca.not_after());
            let (name, request) = (subject(), EcKey::p256().csr());
            let certificate = issued(&authority.ca, &request, &name, Some(MAIL), serial(3));
            let verified = issuer.verify(certificate.der().to_vec(), &ordered(&name, &request)).unwrap();
            assert_eq!(verified, certificate);
            let tbs = verified.tbs();
            assert!(certificate.der().windows(tbs.len()).any(|bytes| bytes == tbs) && tbs.len() > 300);
        }
    }
}

#[test]
fn what_is_not_ordered_is_named() {
    let authority = Authority::new();
    let issuer = IssuerCertificate::from(&authority.ca);
    let (name, request) = (subject(), EcKey::p256().csr());
    let right = ordered(&name, &request);
    let der = issued(&authority.ca, &request, &name, Some(MAIL), serial(3)).into_der();
    let differs = |ordered: &Ordered<'_>| match issuer.verify(der.clone(), ordered) {
        Err(VerifyError::Differs { field }) => field,
        other => panic!("{other:?}"),
    };
    let shifted = Validity::new(now() + Duration::SECOND, days(365).not_after()).unwrap();
    assert_eq!(differs(&Ordered { validity: days(364), ..right }), "validity");
    assert_eq!(differs(&Ordered { validity: shifted, ..right }), "validity");
    let other_key = accept(&EcKey::p256().csr()).spki_fingerprint();
    assert_eq!(differs(&Ordered { spki: other_key, ..right }), "public key");
    assert_eq!(differs(&Ordered { mail: None, ..right }), "subjectAltName");
    assert_eq!(differs(&Ordered { mail: Some("taro@example.jp"), ..right }), "subjectAltName");
    let subjects = [
        SubjectName::new("更新商店", "U-1001 山田太郎").unwrap(),
        SubjectName::new("更新商店株式会社", "U-1002").unwrap(),
        SubjectName::new("U-1001 山田太郎", "更新商店株式会社").unwrap(),
        subject().with_serial_number("17").unwrap(),
    ];
    for name in &subjects {
        assert_eq!(differs(&Ordered { subject: name, ..right }), "subject", "{name:?}");
    }
    // And the other way round: a serialNumber that nobody has ordered.
    let numbered = issued(&authority.ca, &request, &subjects[3], Some(MAIL), serial(4)).into_der();
    assert_eq!(issuer.verify(numbered.clone(), &right), Err(VerifyError::Differs { field: "subject" }));
    assert!(issuer.verify(numbered, &Ordered { subject: &subjects[3], ..right }).is_ok());
}

#[test]
fn what_the_profile_of_the_ca_adds_or_leaves_out_is_its_own() {
    let authority = Authority::new();
    let issuer = IssuerCertificate::from(&authority.ca);
    let (name, request) = (subject(), EcKey::p256().csr());
    let profiles: [fn(&mut ProfileConfig); 3] = [
        |config| config.country = None,
        |config| config.organizational_unit = Some("電子契約".into()),
        |config| config.mail_name = MailName::LeftOut,
    ];
    for edit in profiles {
        let ca = with_profile(&authority, edit);
        let der = issued(&ca, &request, &name, Some(MAIL), serial(3)).into_der();
        assert!(issuer.verify(der, &ordered(&name, &request)).is_ok());
    }
}

#[test]
fn no_bit_of_a_certificate_can_be_another_one() {
    let authority = Authority::new();
    let issuer = IssuerCertificate::from(&authority.ca);
    let (name, request) = (subject(), EcKey::p256().csr());
    let ordered = ordered(&name, &request);
    let der = issued(&authority.ca, &request, &name, Some(MAIL), serial(3)).into_der();
    for at in 0..der.len() {
        let mut flipped = der.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(issuer.verify(flipped, &ordered).is_err(), "octet {at}");
    }
    for end in [0, 1, der.len() - 1] {
        assert_eq!(issuer.verify(der[..end].to_vec(), &ordered), Err(VerifyError::Structure));
    }
    let longer = [&der[..], &[0]].concat();
    assert_eq!(issuer.verify(longer, &ordered), Err(VerifyError::Structure));
}

#[test]
fn another_ca_of_the_same_name_is_another_ca() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (name, request) = (subject(), EcKey::p256().csr());
    let ordered = ordered(&name, &request);
    let der = issued(&other.ca, &request, &name, Some(MAIL), serial(3)).into_der();
    let refused = IssuerCertificate::from(&authority.ca).verify(der.clone(), &ordered);
    assert_eq!(refused, Err(VerifyError::Signature));
    assert!(IssuerCertificate::from(&other.ca).verify(der, &ordered).is_ok());
    // The algorithm in the outer part is part of the signature.
    let p384 = Authority::with(Curve::P384, profile_config());
    let der = issued(&p384.ca, &request, &name, Some(MAIL), serial(3)).into_der();
    assert_eq!(IssuerCertificate::from(&authority.ca).verify(der, &ordered), Err(VerifyError::Signature));
}

/// The CA's own key signs what breaks the rules: a short serial number, and a certificate that is no client's.
#[test]
fn rules_hold_for_the_ca_too() {
    let authority = Authority::new();
    let issuer = IssuerCertificate::from(&authority.ca);
    let (name, request) = (subject(), EcKey::p256().csr());
    let ordered = ordered(&name, &request);
    for (octets, good) in [(7, false), (8, true), (20, true)] {
        let number = SerialNumber::from_be_bytes(&vec![0x11; octets]).unwrap();
        let verified = issuer.verify(issued(&authority.ca, &request, &name, Some(MAIL), number).into_der(), &ordered);
        match verified {
            Ok(_) => assert!(good, "{octets}"),
            Err(error) => assert_eq!((error, good), (VerifyError::Serial { serial: number }, false)),
        }
    }
    // The issuing CA's certificate itself, signed by the root: no client certificate.
    let root = IssuerCertificate::read(authority.root.certificate_der(), &[]).unwrap();
    let refused = root.verify(authority.issuing.clone(), &ordered);
    assert!(matches!(refused, Err(VerifyError::Lint(_))), "{refused:?}");
}

#[test]
fn what_is_no_ca_certificate_is_no_issuer() {
    let authority = Authority::new();
    let root = authority.root.certificate_der().to_vec();
    let other = Authority::new().root.certificate_der().to_vec();
    let read = |der: &[u8], chain: &[Vec<u8>]| IssuerCertificate::read(der, chain).map(|_| ());
    assert_eq!(read(&authority.issuing, &[]), Ok(()));
    assert_eq!(read(&authority.issuing, std::slice::from_ref(&root)), Ok(()));
    assert_eq!(read(&authority.issuing, &[other]), Err(LoadError::Chain { above: 1 }));
    assert_eq!(read(&root, std::slice::from_ref(&authority.issuing)), Err(LoadError::Chain { above: 1 }));
    let noise = LoadError::Certificate { above: 0, source: ReadError::Der };
    assert_eq!(read(b"noise", &[]), Err(noise));
    let end_entity = issued(&authority.ca, &EcKey::p256().csr(), &subject(), None, serial(3)).into_der();
    assert_eq!(read(&end_entity, &[]), Err(LoadError::Certificate { above: 0, source: ReadError::NotACa }));
    let above = LoadError::Certificate { above: 1, source: ReadError::NotACa };
    assert_eq!(read(&authority.issuing, &[end_entity]), Err(above));
}

#[test]
fn a_request_is_handed_on_as_der() {
    let request = EcKey::p256().csr();
    assert_eq!(request_der(&request), Ok(request.clone()));
    let text = format!("here it is\n{}\nthank you\n", pem("CERTIFICATE REQUEST", &request));
    assert_eq!(request_der(text.as_bytes()), Ok(request.clone()));
    assert!(koshin_issuance::CertificationRequest::from_der(&request, &Gate::new()).is_ok());
    for noise in [&b""[..], b"request", &tlv(0x31, b"x")] {
        assert!(request_der(noise).is_err());
    }
    // Short DER would begin like a text; it is no request.
    assert!(request_der(&seq(&[])).is_err());
    assert!(is_rfc822_name(MAIL) && !is_rfc822_name("山田@例え.jp"));
}
