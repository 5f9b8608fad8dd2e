//! Whether what the CA answered with is what it was asked for.

use koshin_types::SerialNumber;
use time::UtcDateTime;
use x509_parser::{
    certification_request::X509CertificationRequest,
    pem::parse_x509_pem,
    prelude::{FromDer as _, X509Certificate},
};

use super::Certified;

/// Names the first part that does not fit: certificate, request and what stands beside the certificate in the answer.
pub(super) fn compare(request: &[u8], answer: &Certified) -> Result<(), &'static str> {
    let certificate = whole(&answer.certificate).ok_or("certificate")?;
    if SerialNumber::from_be_bytes(certificate.raw_serial()) != Ok(answer.serial) {
        return Err("serial number");
    }
    let (stated, validity) = (certificate.validity(), answer.validity);
    let same = |one: i64, other: UtcDateTime| one == other.unix_timestamp();
    let not_before = same(stated.not_before.timestamp(), validity.not_before());
    if !not_before || !same(stated.not_after.timestamp(), validity.not_after()) {
        return Err("validity");
    }
    let key = key_in(request).ok_or("public key")?;
    if certificate.public_key().raw != key {
        return Err("public key");
    }
    let issuer = answer.chain.first().and_then(|der| whole(der)).ok_or("issuer")?;
    let signed = certificate.verify_signature(Some(issuer.public_key())).is_ok();
    if signed && certificate.issuer().as_raw() == issuer.subject().as_raw() { Ok(()) } else { Err("issuer") }
}

fn whole(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

/// The DER `SubjectPublicKeyInfo` in a request, DER or PEM.
fn key_in(request: &[u8]) -> Option<Vec<u8>> {
    let key = |der: &[u8]| {
        let (_, request) = X509CertificationRequest::from_der(der).ok()?;
        Some(request.certification_request_info.subject_pki.raw.to_vec())
    };
    key(request).or_else(|| key(&parse_x509_pem(request).ok()?.1.contents))
}
