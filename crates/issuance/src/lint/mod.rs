//! The checks on the bytes to be signed, each with the clause it enforces: [`rules`]. One pass, no allocation.
//!
//! They read with another piece of code than the one that wrote, and know the CA but not its profile's settings, so that
//! bytes recorded before a change of settings can still be signed after it.

mod rules;
#[cfg(test)]
mod tests;

pub use rules::LintFailure;

use crate::der::{DerFault, Element, Reader, Writer, check_strict, oid, tag};
use crate::extension::{DIGITAL_SIGNATURE, key_identifier};
use crate::name;
use crate::request::{PublicKey, Rejected};
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

/// Reads and checks a `TBSCertificate` of a client certificate.
pub(crate) fn check<'t>(tbs: &'t [u8], issuer: &Issuer) -> Result<Fields<'t>, LintFailure> {
    check_strict(tbs).map_err(|_| rules::STRICT)?;
    let fields = Fields::read(tbs).map_err(|_| rules::FIELDS)?;
    ensure(fields.version == Some(&[2]), rules::VERSION)?;
    ensure(fields.serial_number().is_some(), rules::SERIAL)?;
    ensure(fields.algorithm == issuer.algorithm, rules::ALGORITHM)?;
    ensure(fields.issuer == issuer.name, rules::ISSUER)?;
    let validity = fields.validity().ok_or(rules::TIMES)?;
    ensure(
        issuer.validity.not_before() <= validity.not_before() && validity.not_after() <= issuer.validity.not_after(),
        rules::BEYOND_CA,
    )?;
    check_subject(&fields.subject)?;
    let spki = Reader::new(fields.spki).any().map_err(|_| rules::KEY_SHAPE)?;
    let key = PublicKey::read(&spki).map_err(|rejected| match rejected {
        Rejected::Structure { .. } => rules::KEY_SHAPE,
        _ => rules::KEY_KIND,
    })?;
    check_extensions(fields.tail.clone(), issuer, key.octets())?;
    Ok(fields)
}

/// C, O, OU, CN, serialNumber in this order; O and CN have to be there.
fn check_subject(subject: &Element<'_>) -> Result<(), LintFailure> {
    let malformed = |_: DerFault| rules::NAME_SHAPE;
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
            oid::ORGANIZATIONAL_UNIT => (3, tag::UTF8_STRING, name::MAX_ORGANIZATIONAL_UNIT),
            oid::COMMON_NAME => (4, tag::UTF8_STRING, name::MAX_COMMON_NAME),
            oid::SERIAL_NUMBER => (5, tag::PRINTABLE_STRING, name::MAX_SERIAL_NUMBER),
            _ => return Err(rules::NAME_KIND),
        };
        ensure(place > last, rules::NAME_ORDER)?;
        ensure(value.tag == string, rules::NAME_STRING)?;
        let text = core::str::from_utf8(value.content).map_err(|_| rules::NAME_STRING)?;
        ensure((1..=limit).contains(&text.chars().count()), rules::NAME_LENGTH)?;
        ensure(string == tag::UTF8_STRING || text.chars().all(name::is_printable), rules::NAME_STRING)?;
        ensure(name::is_fit(text), rules::NAME_TEXT)?;
        last = place;
        seen |= 1 << place;
    }
    ensure(seen & 0b1_0100 == 0b1_0100, rules::NAME_INCOMPLETE)
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
    let malformed = |_: DerFault| rules::LIST;
    ensure(tail.is_empty() || tail.peek_tag() == Some(0xa3), rules::TAIL)?;
    ensure(!tail.is_empty(), rules::MISSING)?;
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
        ensure(critical.is_none_or(|c| c.content == [0xff]), rules::DEFAULT)?;
        let inside = check_strict(value).map_err(|_| rules::VALUE)?;
        let bit = check_extension(kind, critical.is_some(), &inside, issuer, key)?;
        ensure(seen & bit == 0, rules::TWICE)?;
        seen |= bit;
    }
    ensure(seen & bit::REQUIRED == bit::REQUIRED, rules::MISSING)
}

fn check_extension(
    kind: &[u8],
    critical: bool,
    value: &Element<'_>,
    issuer: &Issuer,
    key: &[u8],
) -> Result<u16, LintFailure> {
    let (bit, is_critical, criticality, rule, good) = match kind {
        oid::AUTHORITY_KEY_IDENTIFIER => {
            let good = only(value, tag::SEQUENCE, 0x80) == Some(&issuer.key_identifier);
            (bit::AKI, false, rules::AKI_CRITICAL, rules::AKI, good)
        }
        oid::SUBJECT_KEY_IDENTIFIER => {
            let good = value.tag == tag::OCTET_STRING && value.content == key_identifier(key);
            (bit::SKI, false, rules::SKI_CRITICAL, rules::SKI, good)
        }
        oid::KEY_USAGE => {
            let good = value.tag == tag::BIT_STRING && value.content == [7, DIGITAL_SIGNATURE];
            (bit::KEY_USAGE, true, rules::USAGE_CRITICAL, rules::USAGE, good)
        }
        oid::EXTENDED_KEY_USAGE => (bit::EKU, false, rules::EKU_CRITICAL, rules::EKU, are_purposes(value)),
        oid::BASIC_CONSTRAINTS => {
            let good = value.tag == tag::SEQUENCE && value.content.is_empty();
            (bit::BASIC, true, rules::BASIC_CRITICAL, rules::BASIC, good)
        }
        oid::SUBJECT_ALT_NAME => {
            let mail = only(value, tag::SEQUENCE, 0x81).and_then(|mail| core::str::from_utf8(mail).ok());
            let good = mail.is_some_and(|mail| name::check_mail(mail).is_ok());
            (bit::SAN, false, rules::SAN_CRITICAL, rules::SAN, good)
        }
        oid::CRL_DISTRIBUTION_POINTS => {
            (bit::CDP, false, rules::CDP_CRITICAL, rules::CDP, is_list(value, is_distribution_point))
        }
        oid::CERTIFICATE_POLICIES => {
            let good = is_list(value, is_policy) && are_different(value);
            (bit::POLICIES, false, rules::POLICIES_CRITICAL, rules::POLICIES, good)
        }
        oid::AUTHORITY_INFORMATION_ACCESS => {
            (bit::AIA, false, rules::AIA_CRITICAL, rules::AIA, is_list(value, is_access))
        }
        _ => return Err(rules::UNKNOWN),
    };
    ensure(critical == is_critical, criticality)?;
    ensure(good, rule)?;
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

/// clientAuth, and whatever else is no purpose of servers or CAs; each once.
fn are_purposes(value: &Element<'_>) -> bool {
    let mut list = value.reader();
    let mut is_client = false;
    while !list.is_empty() {
        let Ok(purpose) = list.expect(tag::OID).map(|purpose| purpose.content) else { return false };
        if oid::FORBIDDEN_PURPOSES.contains(&purpose) {
            return false;
        }
        is_client |= purpose == oid::CLIENT_AUTH;
    }
    value.tag == tag::SEQUENCE && is_client && are_different(value)
}

/// Whether the object identifiers that stand in a list, or first in its elements, are all different.
fn are_different(list: &Element<'_>) -> bool {
    let mut rest = list.reader();
    while let Ok(element) = rest.any() {
        let mut others = rest.clone();
        while let Ok(other) = others.any() {
            if identifier(&element) == identifier(&other) {
                return false;
            }
        }
    }
    true
}

fn identifier<'a>(element: &Element<'a>) -> &'a [u8] {
    match element.tag {
        tag::SEQUENCE => element.reader().any().map_or(&[], |first| first.content),
        _ => element.content,
    }
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

/// A policy, alone or with the URL of one practice statement.
fn is_policy(mut parts: Reader<'_>) -> Result<bool, DerFault> {
    parts.expect(tag::OID)?;
    if parts.is_empty() {
        return Ok(true);
    }
    let mut qualifiers = parts.expect(tag::SEQUENCE)?.reader();
    let mut qualifier = qualifiers.expect(tag::SEQUENCE)?.reader();
    let kind = qualifier.expect(tag::OID)?.content;
    let url = qualifier.expect(tag::IA5_STRING)?.content;
    let alone = qualifier.is_empty() && qualifiers.is_empty() && parts.is_empty();
    let over_web = url.starts_with(b"http://") || url.starts_with(b"https://");
    Ok(alone && kind == oid::CPS && over_web && url.iter().all(u8::is_ascii_graphic))
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

fn ensure(good: bool, rule: LintFailure) -> Result<(), LintFailure> {
    if good { Ok(()) } else { Err(rule) }
}
