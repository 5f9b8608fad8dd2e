//! The bodies of EST (RFC 7030, as RFC 8951 makes them): Base64 in and out, certificates in a certs-only message, what a
//! request may ask for. Who may ask, and what an answer's status is, is decided elsewhere.
//!
//! ```
//! use koshin_endpoints::est;
//!
//! let wrapped = est::encode(&[0x30; 100]);
//! assert!(wrapped.lines().all(|line| line.len() <= 64) && wrapped.ends_with('\n'));
//! assert_eq!(est::decode(wrapped.as_bytes())?, [0x30; 100]);
//! # Ok::<(), est::BodyError>(())
//! ```

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use koshin_issuance::{Gate, KeyChoice};
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
    prelude::{FromDer as _, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

/// The media type of a request (RFC 5967).
pub const REQUEST_TYPE: &str = "application/pkcs10";
/// The media type of the CA's certificates (RFC 7030, 4.1.3).
pub const CA_CERTIFICATES_TYPE: &str = "application/pkcs7-mime";
/// The media type of an issued certificate (RFC 7030, 4.2.3).
pub const CERTIFICATE_TYPE: &str = "application/pkcs7-mime; smime-type=certs-only";
/// The media type of what a request may ask for (RFC 7030, 4.5.2).
pub const ATTRIBUTES_TYPE: &str = "application/csrattrs";

/// Most octets of a body, whitespace included: twice what the largest request needs in Base64 and lines.
///
/// ```
/// assert_eq!(koshin_endpoints::est::MAX_BODY, 45_056);
/// ```
pub const MAX_BODY: usize = Gate::MAX_OCTETS / 4 * 11;

/// Octets of one line of Base64, so that tools that read lines can read it (RFC 8951, 3.1 lets senders do so).
const LINE: usize = 64;

/// Why a body is not Base64 of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is nothing in it.
    #[error("the body is empty")]
    Empty,
    /// It is longer than any request.
    #[error("the body has {octets} octets, and {MAX_BODY} are taken")]
    TooLarge {
        /// Its length.
        octets: usize,
    },
    /// It is not Base64.
    #[error("the body is not Base64 (RFC 4648, 4)")]
    NotBase64,
}

/// Reads a body: Base64 whatever `Content-Transfer-Encoding` says, with or without line breaks, blanks and tabs
/// (RFC 8951, 3 and 3.1).
///
/// # Errors
///
/// [`BodyError`]. DER as it is, and PEM, are no Base64.
pub fn decode(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    if body.len() > MAX_BODY {
        return Err(BodyError::TooLarge { octets: body.len() });
    }
    let digits: Vec<u8> = body.iter().copied().filter(|octet| !b" \t\r\n".contains(octet)).collect();
    if digits.is_empty() {
        return Err(BodyError::Empty);
    }
    engine().decode(digits).map_err(|_| BodyError::NotBase64)
}

/// Writes a body: Base64 in lines of 64.
pub fn encode(der: &[u8]) -> String {
    let digits = engine().encode(der);
    let mut body = String::with_capacity(digits.len() + digits.len() / LINE + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at.is_multiple_of(LINE) {
            body.push('\n');
        }
        body.push(digit);
    }
    body.push('\n');
    body
}

const fn engine() -> GeneralPurpose {
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new())
}

/// A certs-only message: a CMS `SignedData` that signs nothing and carries certificates (RFC 7030, 4.1.3 and 4.2.3;
/// RFC 5652, 5.1). The certificates come in DER, and stand in the order that DER gives to a set.
pub fn certs_only<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut set: Vec<&[u8]> = certificates.into_iter().collect();
    set.sort_unstable();
    set.dedup();
    let content = tlv(tag::SEQUENCE, &tlv(tag::OID, oid::DATA));
    let signed =
        [tlv(tag::INTEGER, &[1]), tlv(tag::SET, &[]), content, tlv(tag::CONTEXT_0, &set.concat()), tlv(tag::SET, &[])];
    let signed = tlv(tag::CONTEXT_0, &tlv(tag::SEQUENCE, &signed.concat()));
    tlv(tag::SEQUENCE, &[tlv(tag::OID, oid::SIGNED_DATA), signed].concat())
}

/// What a request may ask for (RFC 7030, 4.5.2): a key of one of these kinds, RSA with so many bits or more; when none is
/// named, on P-256 or P-384, or RSA with 2048 bits or more. No name and no extension: nothing but the key is taken from a
/// request.
pub fn csr_attributes(keys: &[KeyChoice]) -> Vec<u8> {
    const ALL: [KeyChoice; 3] = [KeyChoice::P256, KeyChoice::P384, KeyChoice::Rsa { from_bits: 2048 }];
    let keys = if keys.is_empty() { &ALL[..] } else { keys };
    let attribute = |kind: &[u8], mut values: Vec<Vec<u8>>| {
        // In the order, and without the repetitions, of a set in DER.
        values.sort_unstable();
        values.dedup();
        tlv(tag::SEQUENCE, &[tlv(tag::OID, kind), tlv(tag::SET, &values.concat())].concat())
    };
    let curve = |choice: &KeyChoice| match choice {
        KeyChoice::P256 => Some(tlv(tag::OID, oid::P256)),
        KeyChoice::P384 => Some(tlv(tag::OID, oid::P384)),
        _ => None,
    };
    let least = |choice: &KeyChoice| match choice {
        KeyChoice::Rsa { from_bits } => u16::try_from(*from_bits).ok(),
        _ => None,
    };
    let curves: Vec<_> = keys.iter().filter_map(curve).collect();
    // At most 8192: it fits, and no leading octet is needed.
    let rsa = keys.iter().filter_map(least).min().map(|bits| tlv(tag::INTEGER, &bits.to_be_bytes()));
    let ec = (!curves.is_empty()).then(|| attribute(oid::EC_PUBLIC_KEY, curves));
    let rsa = rsa.map(|bits| attribute(oid::RSA_ENCRYPTION, vec![bits]));
    tlv(tag::SEQUENCE, &ec.into_iter().chain(rsa).collect::<Vec<_>>().concat())
}

mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OID: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    pub(super) const CONTEXT_0: u8 = 0xA0;
}

mod oid {
    /// 1.2.840.113549.1.7.1
    pub(super) const DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];
    /// 1.2.840.113549.1.7.2
    pub(super) const SIGNED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
    /// 1.2.840.113549.1.1.1
    pub(super) const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
    /// 1.2.840.10045.2.1
    pub(super) const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
    /// 1.2.840.10045.3.1.7
    pub(super) const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    /// 1.3.132.0.34
    pub(super) const P384: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];
}

/// One DER element.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => element.push(short),
        _ => {
            let octets = length.to_be_bytes();
            let significant: Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
            // A length has at most eight octets.
            element.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            element.extend(significant);
        }
    }
    element.extend_from_slice(content);
    element
}

/// In which part a request for re-enrolment asks for something else than the present certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtherNames {
    /// The request cannot be read.
    #[error("the request is no PKCS#10 in DER")]
    Unreadable,
    /// The present certificate cannot be read.
    #[error("the present certificate cannot be read")]
    Certificate,
    /// Its subject is neither empty nor the certificate's.
    #[error("the request's subject is not that of the certificate")]
    Subject,
    /// It names alternative names that are not the certificate's.
    #[error("the request's subjectAltName is not that of the certificate")]
    AlternativeName,
}

/// Compares the names that a re-enrolment asks for with those of the certificate that it is to follow (RFC 7030, 4.2.2).
/// An empty subject and a missing `subjectAltName` ask for nothing. Whatever this says, no name is taken from a request.
///
/// Names are equal when they have the same types with the same texts in the same order, whatever string type holds them.
///
/// # Errors
///
/// [`OtherNames`].
pub fn same_names(request: &[u8], certificate: &[u8]) -> Result<(), OtherNames> {
    let (_, request) = X509CertificationRequest::from_der(request).map_err(|_| OtherNames::Unreadable)?;
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| OtherNames::Certificate)?;
    let subject = &request.certification_request_info.subject;
    if subject.iter_rdn().next().is_some() && !same_name(subject, certificate.subject()) {
        return Err(OtherNames::Subject);
    }
    let own = certificate.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
    let own = own.map(|extension| extension.value);
    let asked = request.certification_request_info.iter_attributes().flat_map(|attribute| {
        let asked = match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(asked) => asked.extensions.as_slice(),
            _ => &[],
        };
        asked.iter().filter(|extension| extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME)
    });
    // Both are DER, so equal names have equal octets.
    if asked.into_iter().any(|asked| own != Some(asked.value)) {
        return Err(OtherNames::AlternativeName);
    }
    Ok(())
}

fn same_name(one: &X509Name<'_>, other: &X509Name<'_>) -> bool {
    let parts = |name: &X509Name<'_>| -> Vec<Vec<(String, Vec<u8>)>> {
        name.iter_rdn().map(|part| part.iter().map(value).collect()).collect()
    };
    parts(one) == parts(other)
}

/// Type and text. A string that has no text in a common form is compared octet by octet, and is equal to no text.
fn value(value: &AttributeTypeAndValue<'_>) -> (String, Vec<u8>) {
    let kind = value.attr_type().to_id_string();
    match value.as_str() {
        Ok(text) => (kind, text.as_bytes().to_vec()),
        Err(_) => (format!("{kind} {}", value.attr_value().header.tag().0), value.as_slice().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_however_it_was_wrapped() {
        let der: Vec<u8> = (0..=255).collect();
        let plain = engine().encode(&der);
        let folded = plain.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>();
        for body in [plain.clone(), encode(&der), folded.join("\r\n"), format!("\t {}\r\n\r\n", folded.join(" "))] {
            assert_eq!(decode(body.as_bytes()), Ok(der.clone()), "{body}");
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        assert_eq!(decode(b""), Err(BodyError::Empty));
        assert_eq!(decode(b" \r\n"), Err(BodyError::Empty));
        for body in
            [&b"MII"[..], b"MIIB=AAA", b"MIIB-_AA", &[0x30, 0x82, 0x01, 0x00], b"-----BEGIN CERTIFICATE REQUEST-----"]
        {
            assert_eq!(decode(body), Err(BodyError::NotBase64));
        }
        assert_eq!(decode(&vec![b'\n'; MAX_BODY]), Err(BodyError::Empty));
        let large = vec![b'A'; 10 * 1024 * 1024];
        assert_eq!(decode(&large), Err(BodyError::TooLarge { octets: large.len() }));
    }

    #[test]
    fn lengths_are_minimal() {
        for (length, head) in
            [(0, &[0x30, 0][..]), (127, &[0x30, 127]), (128, &[0x30, 0x81, 128]), (256, &[0x30, 0x82, 1, 0])]
        {
            let element = tlv(0x30, &vec![7; length]);
            assert_eq!((&element[..head.len()], element.len()), (head, head.len() + length));
        }
    }
}
