//! A CA, its responder and a holder's key, made once a run, and the few pieces of DER that scripts are wrapped in.

use std::sync::{Arc, LazyLock};

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, Curve, FileSigner, OcspResponder, Profile, ProfileConfig, Random, Signer,
    create_issuing, create_ocsp_responder, create_root,
};
use koshin_types::{SerialNumber, Validity};
use time::{Duration, UtcDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// `AlgorithmIdentifier` of ecdsa-with-SHA256 (RFC 5758, 3.2).
pub(crate) const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

pub(crate) struct House {
    pub(crate) ca: Ca,
    /// The CA's subject name, DER.
    pub(crate) name: Vec<u8>,
    /// The CA's key, once more.
    pub(crate) key: FileSigner,
    pub(crate) responder: OcspResponder,
    pub(crate) holder: FileSigner,
    /// A request of the holder that says nothing.
    pub(crate) plain_request: Vec<u8>,
    pub(crate) serial: SerialNumber,
    pub(crate) start: UtcDateTime,
    pub(crate) validity: Validity,
}

pub(crate) static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let start = UtcDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    let years = |years: i64| Validity::new(start, start + Duration::days(365 * years)).unwrap();
    let serial = |number: u8| SerialNumber::from_be_bytes(&[number]).unwrap();
    let name = |name| AuthorityName::new(Some("JP"), "Fuzz", name).unwrap();
    let root = create_root(&AuthorityPlan::root(name("root")), serial(1), years(20), &random).unwrap();
    let plan = AuthorityPlan::issuing(name("issuing"));
    let issuing = create_issuing(&plan, &root, serial(2), years(10), &random).unwrap();
    let certificate = issuing.certificate_der().to_vec();
    let key = FileSigner::from_pkcs8_der(issuing.pkcs8_der(), random.clone()).unwrap();
    let responder = create_ocsp_responder("Fuzz", "responder", &issuing, serial(3), years(1), &random).unwrap();
    let of_responder = responder.certificate_der().to_vec();
    let responder = OcspResponder::load(&certificate, &of_responder, Box::new(responder.into_signer())).unwrap();
    let profile = Profile::new(ProfileConfig::default()).unwrap();
    let ca = Ca::load(&certificate, &[], Box::new(issuing.into_signer()), profile).unwrap();
    let name = X509Certificate::from_der(&certificate).unwrap().1.subject().as_raw().to_vec();
    let (holder, _) = FileSigner::generate(Curve::P256, random).unwrap();
    let info = der(0x30, &[&der(0x02, &[&[0]]), &der(0x30, &[]), holder.public_key_spki(), &der(0xa0, &[])]);
    let plain_request = signed(&info, &holder);
    House { ca, name, key, responder, holder, plain_request, serial: serial(4), start, validity: years(1) }
});

/// `SEQUENCE { content, ecdsa-with-SHA256, signature }`.
pub(crate) fn signed(content: &[u8], key: &FileSigner) -> Vec<u8> {
    let signature = key.sign(content).unwrap();
    der(0x30, &[content, ECDSA_WITH_SHA256, &der(0x03, &[&[0], &signature])])
}

/// One DER element, of less than 64 KiB.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).expect("the parts of a script are short").to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, &content].concat()
}

/// Whether one text stands in the other.
pub(crate) fn holds(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|octets| octets == part)
}
