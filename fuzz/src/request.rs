//! The gate in front of the CA, and what the CA makes of a request that passes it.

use std::{
    str,
    sync::{Arc, LazyLock},
};

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CertificationRequest, Curve, FileSigner, Gate, Profile, ProfileConfig, Random,
    Signer, SubjectName, create_issuing, create_root, pem,
};
use koshin_types::{SerialNumber, Validity};
use time::{Duration, UtcDateTime};

use crate::script::Script;

/// Any octets are rejected, or are one request: the same in PEM, and with a key that stands in it.
pub fn certification_request(data: &[u8]) {
    let gate = Gate::new();
    let Ok(request) = CertificationRequest::from_bytes(data, &gate) else { return };
    let print = request.spki_fingerprint();
    let blocked = Gate::new().with_blocked([print]);
    assert!(CertificationRequest::from_bytes(data, &blocked).is_err(), "a blocked key passed");
    if CertificationRequest::from_der(data, &gate).is_ok() {
        assert!(data.windows(request.spki_der().len()).any(|part| part == request.spki_der()));
        let armoured = pem("CERTIFICATE REQUEST", data);
        assert_eq!(CertificationRequest::from_pem(armoured.as_bytes(), &gate), Ok(request));
        let trailing = [data, &[0]].concat();
        assert!(CertificationRequest::from_der(&trailing, &gate).is_err(), "an octet after the request passed");
    }
}

/// A request that is properly signed, whatever else stands in it, and any name and address from the registry: the
/// certificate says what the registry says, and nothing of what the request says (I-73).
pub fn signed_request(data: &[u8]) {
    let mut script = Script::new(data);
    let (subject, attributes) = (script.text(), script.text());
    let (organization, name, mail) = (script.text(), script.text(), script.text());
    let house = &*HOUSE;

    let spki = house.holder.public_key_spki();
    let info = der(0x30, &[&der(0x02, &[&[0]]), &der(0x30, &[subject]), spki, &der(0xa0, &[attributes])]);
    let signature = house.holder.sign(&info).unwrap();
    let signed = der(0x30, &[&info, ECDSA_WITH_SHA256, &der(0x03, &[&[0], &signature])]);
    let request = CertificationRequest::from_der(&signed, &Gate::new());
    if let Ok(request) = &request {
        assert_eq!(request.spki_der(), spki);
    }

    let plain = CertificationRequest::from_der(&house.plain_request, &Gate::new()).unwrap();
    let (Ok(organization), Ok(name), Ok(mail)) =
        (str::from_utf8(organization), str::from_utf8(name), str::from_utf8(mail))
    else {
        return;
    };
    let Ok(named) = SubjectName::new(organization, name) else { return };
    let mail = (!mail.is_empty()).then_some(mail);
    let prepare = |request| house.ca.prepare(request, &named, mail, house.serial, house.validity);
    let Ok(expected) = prepare(plain) else { return };
    if let Ok(request) = request {
        assert_eq!(prepare(request).unwrap().tbs(), expected.tbs(), "the request had a say");
    }
    let certificate = house.ca.issue(expected.recorded()).expect("what was prepared can be issued");
    assert_eq!(certificate.serial(), house.serial);
    let holds = |part: &str| certificate.der().windows(part.len()).any(|octets| octets == part.as_bytes());
    assert!(holds(organization) && holds(name) && mail.is_none_or(holds));
}

/// `AlgorithmIdentifier` of ecdsa-with-SHA256 (RFC 5758, 3.2).
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A CA and a holder's key, made once a run.
struct House {
    ca: Ca,
    holder: FileSigner,
    plain_request: Vec<u8>,
    serial: SerialNumber,
    validity: Validity,
}

static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let start = UtcDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    let years = |years: i64| Validity::new(start, start + Duration::days(365 * years)).unwrap();
    let serial = |number: u8| SerialNumber::from_be_bytes(&[number]).unwrap();
    let name = |name| AuthorityName::new(Some("JP"), "Fuzz", name).unwrap();
    let root = create_root(&AuthorityPlan::root(name("root")), serial(1), years(20), &random).unwrap();
    let plan = AuthorityPlan::issuing(name("issuing"));
    let issuing = create_issuing(&plan, &root, serial(2), years(10), &random).unwrap();
    let certificate = issuing.certificate_der().to_vec();
    let profile = Profile::new(ProfileConfig::default()).unwrap();
    let ca = Ca::load(&certificate, &[], Box::new(issuing.into_signer()), profile).unwrap();
    let (holder, _) = FileSigner::generate(Curve::P256, random).unwrap();
    let info = der(0x30, &[&der(0x02, &[&[0]]), &der(0x30, &[]), holder.public_key_spki(), &der(0xa0, &[])]);
    let signature = holder.sign(&info).unwrap();
    let plain_request = der(0x30, &[&info, ECDSA_WITH_SHA256, &der(0x03, &[&[0], &signature])]);
    House { ca, holder, plain_request, serial: serial(3), validity: years(1) }
});

/// One DER element, of less than 64 KiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).expect("the parts of a script are short").to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, &content].concat()
}
