//! The checks on the bytes to be signed, each with the clause it enforces. One pass, no allocation.
//!
//! They read with another piece of code than the one that wrote, and know the CA but not its profile's settings, so that
//! bytes recorded before a change of settings can still be signed after it.

use crate::der::{DerFault, Element, Reader, Writer, check_strict, oid, tag};
use crate::extension::{DIGITAL_SIGNATURE, key_identifier};
use crate::name;
use crate::signer::SignatureAlgorithm;
use crate::tbs::Fields;
use koshin_types::Validity;

/// What the checks know of the CA.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    /// The DER of its subject name, byte for byte.
    pub(crate) name: Vec<u8>,
    pub(crate) key_identifier: Vec<u8>,
    pub(crate) validity: Validity,
    /// The DER `AlgorithmIdentifier` of its signatures.
    pub(crate) algorithm: Vec<u8>,
}

impl Issuer {
    pub(crate) fn new(name: &[u8], key_identifier: &[u8], validity: Validity, algorithm: SignatureAlgorithm) -> Self {
        let algorithm = Writer::collect(|w| algorithm.write_identifier(w));
        Self { name: name.to_vec(), key_identifier: key_identifier.to_vec(), validity, algorithm }
    }
}

/// A rule that the bytes to be signed break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{finding} ({clause})")]
pub struct LintFailure {
    /// The document and clause.
    pub clause: &'static str,
    /// What was found.
    pub finding: &'static str,
}

/// Reads and checks a `TBSCertificate` of a client certificate.
pub(crate) fn check<'t>(tbs: &'t [u8], issuer: &Issuer) -> Result<Fields<'t>, LintFailure> {
    check_strict(tbs).map_err(|_| failure("X.690, 8 to 11", "the bytes are not strict DER"))?;
    let fields =
        Fields::read(tbs).map_err(|_| failure("RFC 5280, 4.1", "the bytes are no TBSCertificate with its fields"))?;
    ensure(fields.version == Some(&[2]), "RFC 5280, 4.1.2.1", "the version is not 3")?;
    ensure(
        fields.serial_number().is_some(),
        "RFC 5280, 4.1.2.2",
        "the serial number is not positive or over 20 octets",
    )?;
    ensure(
        fields.algorithm == issuer.algorithm,
        "RFC 5280, 4.1.2.3",
        "the algorithm is not the one the CA signs with",
    )?;
    ensure(fields.issuer == issuer.name, "RFC 5280, 4.1.2.4", "the issuer is not the CA's subject, byte for byte")?;
    let validity = fields.validity().ok_or(failure("RFC 5280, 4.1.2.5", "the validity is not two times in order"))?;
    ensure(
        issuer.validity.not_before() <= validity.not_before() && validity.not_after() <= issuer.validity.not_after(),
        "RFC 3647, 4.6 (and RFC 5280, 6.1.3)",
        "the validity leaves the CA's own",
    )?;
    check_subject(&fields.subject)?;
    let key = Reader::in_sequence(fields.spki)
        .and_then(|mut parts| {
            parts.expect(tag::SEQUENCE)?;
            parts.expect(tag::BIT_STRING)?.bit_string_octets()
        })
        .map_err(|_| failure("RFC 5280, 4.1.2.7", "the subject's public key is no SubjectPublicKeyInfo"))?;
    check_extensions(fields.tail.clone(), issuer, key)?;
    Ok(fields)
}

/// C, O, CN, serialNumber in this order; O and CN have to be there.
fn check_subject(subject: &Element<'_>) -> Result<(), LintFailure> {
    const CLAUSE: &str = "RFC 5280, 4.1.2.6 and appendix A.1";
    let malformed = |_: DerFault| failure(CLAUSE, "the subject is no sequence of single attributes");
    let mut names = subject.reader();
    let mut last = 0;
    let mut seen = 0_u8;
    while !names.is_empty() {
        let mut set = names.expect(tag::SET).map_err(malformed)?.reader();
        let mut attribute = set.expect(tag::SEQUENCE).map_err(malformed)?.reader();
        set.finish().map_err(malformed)?;
        let kind = attribute.expect(tag::OID).map_err(malformed)?.content;
        let value = attribute.any().map_err(malformed)?;
        attribute.finish().map_err(malformed)?;
        let (place, string, limit) = match kind {
            oid::COUNTRY => (1, tag::PRINTABLE_STRING, 2),
            oid::ORGANIZATION => (2, tag::UTF8_STRING, name::MAX_ORGANIZATION),
            oid::COMMON_NAME => (3, tag::UTF8_STRING, name::MAX_COMMON_NAME),
            oid::SERIAL_NUMBER => (4, tag::PRINTABLE_STRING, name::MAX_SERIAL_NUMBER),
            _ => return Err(failure(CLAUSE, "the subject has an attribute of another kind")),
        };
        ensure(place > last, CLAUSE, "the subject's attributes are repeated or out of order")?;
        ensure(value.tag == string, CLAUSE, "an attribute of the subject is a string of the wrong type")?;
        let characters = core::str::from_utf8(value.content).map_or(0, |text| text.chars().count());
        ensure((1..=limit).contains(&characters), CLAUSE, "an attribute of the subject is empty or too long")?;
        last = place;
        seen |= 1 << place;
    }
    ensure(seen & 0b1100 == 0b1100, CLAUSE, "the subject lacks O or CN")
}

/// Extensions that may stand in a client certificate, as bits.
mod bit {
    pub(super) const AKI: u16 = 1;
    pub(super) const SKI: u16 = 1 << 1;
    pub(super) const KEY_USAGE: u16 = 1 << 2;
    pub(super) const EKU: u16 = 1 << 3;
    pub(super) const BASIC: u16 = 1 << 4;
    pub(super) const SAN: u16 = 1 << 5;
    pub(super) const CDP: u16 = 1 << 6;
    pub(super) const POLICIES: u16 = 1 << 7;
    pub(super) const AIA: u16 = 1 << 8;
    pub(super) const REQUIRED: u16 = AKI | SKI | KEY_USAGE | EKU | BASIC;
}

fn check_extensions(mut tail: Reader<'_>, issuer: &Issuer, key: &[u8]) -> Result<(), LintFailure> {
    const CLAUSE: &str = "RFC 5280, 4.1.2.9 and 4.2";
    let malformed = |_: DerFault| failure(CLAUSE, "the extensions are no sequence of extensions");
    ensure(tail.peek_tag() == Some(0xa3), "RFC 5280, 4.1.2.8", "something else than extensions follows the key")?;
    let mut explicit = tail.any().map_err(malformed)?.reader();
    let mut list = explicit.expect(tag::SEQUENCE).map_err(malformed)?.reader();
    explicit.finish().and(tail.finish()).map_err(malformed)?;
    let mut seen = 0_u16;
    while !list.is_empty() {
        let mut parts = list.expect(tag::SEQUENCE).map_err(malformed)?.reader();
        let kind = parts.expect(tag::OID).map_err(malformed)?.content;
        let critical = parts.optional(tag::BOOLEAN).map_err(malformed)?;
        let value = parts.expect(tag::OCTET_STRING).map_err(malformed)?.content;
        parts.finish().map_err(malformed)?;
        ensure(critical.is_none_or(|c| c.content == [0xff]), "X.690, 11.5", "a default value is encoded")?;
        let inside =
            check_strict(value).map_err(|_| failure("X.690, 8 to 11", "an extension's value is not strict DER"))?;
        let bit = check_extension(kind, critical.is_some(), &inside, issuer, key)?;
        ensure(seen & bit == 0, CLAUSE, "an extension stands there twice")?;
        seen |= bit;
    }
    ensure(seen & bit::REQUIRED == bit::REQUIRED, CLAUSE, "an extension of the profile is missing")
}

fn check_extension(
    kind: &[u8],
    critical: bool,
    value: &Element<'_>,
    issuer: &Issuer,
    key: &[u8],
) -> Result<u16, LintFailure> {
    let (bit, is_critical, clause, good) = match kind {
        oid::AUTHORITY_KEY_IDENTIFIER => {
            (bit::AKI, false, "RFC 5280, 4.2.1.1", only(value, tag::SEQUENCE, 0x80) == Some(&issuer.key_identifier))
        }
        oid::SUBJECT_KEY_IDENTIFIER => {
            let good = value.tag == tag::OCTET_STRING && value.content == key_identifier(key);
            (bit::SKI, false, "RFC 5280, 4.2.1.2 and RFC 7093, 2", good)
        }
        oid::KEY_USAGE => {
            let good = value.tag == tag::BIT_STRING && value.content == [7, DIGITAL_SIGNATURE];
            (bit::KEY_USAGE, true, "RFC 5280, 4.2.1.3", good)
        }
        oid::EXTENDED_KEY_USAGE => {
            (bit::EKU, false, "RFC 5280, 4.2.1.12", only(value, tag::SEQUENCE, tag::OID) == Some(oid::CLIENT_AUTH))
        }
        oid::BASIC_CONSTRAINTS => {
            (bit::BASIC, true, "RFC 5280, 4.2.1.9", value.tag == tag::SEQUENCE && value.content.is_empty())
        }
        oid::SUBJECT_ALT_NAME => {
            let mail = only(value, tag::SEQUENCE, 0x81).and_then(|mail| core::str::from_utf8(mail).ok());
            let good = mail.is_some_and(|mail| name::check_mail(mail).is_ok());
            (bit::SAN, false, "RFC 5280, 4.2.1.6", good)
        }
        oid::CRL_DISTRIBUTION_POINTS => (bit::CDP, false, "RFC 5280, 4.2.1.13", is_list(value, is_distribution_point)),
        oid::CERTIFICATE_POLICIES => (bit::POLICIES, false, "RFC 5280, 4.2.1.4", is_list(value, is_policy)),
        oid::AUTHORITY_INFORMATION_ACCESS => (bit::AIA, false, "RFC 5280, 4.2.2.1", is_list(value, is_access)),
        _ => return Err(failure("RFC 5280, 4.2", "an extension is not one of the profile's")),
    };
    ensure(critical == is_critical, clause, "an extension's criticality is not the profile's")?;
    ensure(good, clause, "an extension's value is not the profile's")?;
    Ok(bit)
}

/// The content of the only element inside.
fn only<'a>(outer: &Element<'a>, outer_tag: u8, inner_tag: u8) -> Option<&'a [u8]> {
    let mut inner = outer.reader();
    let element = inner.expect(inner_tag).ok()?;
    (outer.tag == outer_tag && inner.is_empty()).then_some(element.content)
}

/// A sequence of one sequence at least, each of which `is_good` inside.
fn is_list(value: &Element<'_>, is_good: impl Fn(Reader<'_>) -> Result<bool, DerFault>) -> bool {
    let mut inner = value.reader();
    let mut good = value.tag == tag::SEQUENCE && !inner.is_empty();
    while good && !inner.is_empty() {
        good = inner.expect(tag::SEQUENCE).and_then(|element| is_good(element.reader())) == Ok(true);
    }
    good
}

/// A distribution point of URLs alone.
fn is_distribution_point(mut parts: Reader<'_>) -> Result<bool, DerFault> {
    let mut full_name = parts.expect(0xa0)?.reader().expect(0xa0)?.reader();
    let mut good = parts.is_empty() && !full_name.is_empty();
    while good && !full_name.is_empty() {
        good = is_url(&full_name.any()?);
    }
    Ok(good)
}

/// A policy without qualifiers.
fn is_policy(mut parts: Reader<'_>) -> Result<bool, DerFault> {
    parts.expect(tag::OID).map(|_| parts.is_empty())
}

/// OCSP or caIssuers, and a URL.
fn is_access(mut parts: Reader<'_>) -> Result<bool, DerFault> {
    let method = parts.expect(tag::OID)?.content;
    Ok(matches!(method, oid::AD_OCSP | oid::AD_CA_ISSUERS) && is_url(&parts.any()?) && parts.is_empty())
}

/// A uniformResourceIdentifier over http.
fn is_url(name: &Element<'_>) -> bool {
    name.tag == 0x86 && name.content.starts_with(b"http://") && name.content.iter().all(u8::is_ascii_graphic)
}

const fn failure(clause: &'static str, finding: &'static str) -> LintFailure {
    LintFailure { clause, finding }
}

fn ensure(good: bool, clause: &'static str, finding: &'static str) -> Result<(), LintFailure> {
    if good { Ok(()) } else { Err(failure(clause, finding)) }
}
