//! What says whether a certificate is revoked: OCSP requests with their answers, and CRLs.

use koshin_issuance::{OcspEdition, OcspRequest, OcspStatus, RevocationList, RevokedCertificate};
use koshin_types::RevocationReason;
use time::Duration;

use crate::house::{ECDSA_WITH_SHA256, HOUSE, der, holds, signed};

/// Any octets are refused, or are a question about a few certificates, each of which stands in it; the answer repeats what was
/// asked.
pub fn ocsp_request(data: &[u8]) {
    let Ok(request) = OcspRequest::from_der(data) else { return };
    let asked = request.certificates();
    assert!((1..=OcspRequest::MAX_CERTIFICATES).contains(&asked.len()) && data.len() <= OcspRequest::MAX_OCTETS);
    assert!(request.nonce().is_none_or(|nonce| (1..=OcspRequest::MAX_NONCE).contains(&nonce.len())));
    assert!(OcspRequest::from_der(&[data, &[0]].concat()).is_err(), "an octet after the request passed");
    let house = &*HOUSE;
    let at = house.start + Duration::HOUR;
    let edition = OcspEdition { produced_at: at, this_update: at, next_update: Some(at + Duration::DAY) };
    let statuses = [
        OcspStatus::Good,
        OcspStatus::Revoked { at: house.start, reason: RevocationReason::KeyCompromise },
        OcspStatus::Unknown,
    ];
    let answers = asked.iter().zip(statuses.into_iter().cycle());
    let answer = house.responder.sign(answers, edition, request.nonce()).expect("whatever was asked is answered");
    for id in asked {
        assert!(holds(data, id.der()) && holds(&answer, id.der()));
        assert!(!house.responder.answers_for(id) || data.len() > 60, "hashes of another length");
    }
    assert!(request.nonce().is_none_or(|nonce| holds(&answer, nonce)));
}

/// Any octets are no CRL, and any that the CA has signed are refused or are one list to both who read it: all at once from
/// memory, and piece by piece from a file. What was read is signed and read again.
pub fn crl(data: &[u8]) {
    let house = &*HOUSE;
    let certificate = house.ca.certificate_der();
    assert!(RevocationList::read(data, certificate).is_err() && house.ca.check_crl(data, drop).is_err());
    let list = list_of(data);
    let read = RevocationList::read(&list, certificate);
    let mut entries = Vec::new();
    if let Ok(checked) = house.ca.check_crl(list.as_slice(), |entry| entries.push(entry)) {
        let read = read.as_ref().expect("what was read piece by piece is read at once");
        assert_eq!((checked.edition, &entries[..]), (read.edition(), read.entries()));
        assert_eq!((checked.entries, checked.octets), (entries.len() as u64, list.len() as u64));
    }
    let Ok(read) = read else { return };
    assert!(read.entries().is_sorted_by_key(|entry| entry.serial));
    let found = |entry: &RevokedCertificate| read.find(&entry.serial) == Some(entry);
    assert!(read.entries().iter().all(found));
    if let Ok(again) = house.ca.sign_crl(read.edition(), read.entries()) {
        assert_eq!(RevocationList::read(again.der(), certificate).as_ref(), Ok(&read));
        assert!(house.ca.check_crl(again.der(), drop).is_ok());
    }
}

/// A CRL of the house with these octets behind version, algorithm and issuer: dates, entries, extensions.
pub(crate) fn list_of(data: &[u8]) -> Vec<u8> {
    let parts = [&[2, 1, 1], ECDSA_WITH_SHA256, &HOUSE.name, &data[..data.len().min(60_000)]];
    signed(&der(0x30, &parts), &HOUSE.key)
}
