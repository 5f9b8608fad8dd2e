//! Certificate revocation lists.

use crate::support::csr::EcKey;
use crate::support::tool::{Desk, openssl, openssl_ok};
use crate::support::{Authority, NOW, accept, days, now, serial, subject};
use koshin_issuance::{CrlEdition, CrlError, CrlReadError, ReadError, RevocationList, RevokedCertificate, pem};
use koshin_types::RevocationReason;
use time::Duration;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

fn edition() -> CrlEdition {
    CrlEdition { number: 300, this_update: now() + Duration::hours(1), next_update: now() + Duration::hours(25) }
}

fn entries() -> Vec<RevokedCertificate> {
    let reasons = RevocationReason::ALL.into_iter().zip(10..);
    reasons
        .map(|(reason, low)| RevokedCertificate {
            serial: serial(low),
            revoked_at: now() + Duration::milliseconds(i64::from(low) * 1500),
            reason,
            invalidity_date: (low % 2 == 0).then(|| now() - Duration::days(i64::from(low))),
        })
        .collect()
}

#[test]
fn a_crl_says_what_it_was_told() {
    let authority = Authority::new();
    let crl = authority.ca.sign_crl(edition(), &entries()).unwrap();
    assert_eq!(crl.edition(), edition());
    let (rest, read) = CertificateRevocationList::from_der(crl.der()).unwrap();
    assert!(rest.is_empty());
    assert_eq!(read.version().unwrap().0, 1, "version 2");
    assert_eq!(read.crl_number().unwrap().to_string(), "300");
    assert_eq!(read.last_update().timestamp(), NOW + 3600);
    assert_eq!(read.next_update().unwrap().timestamp(), NOW + 25 * 3600);
    let extensions: Vec<_> = read.extensions().iter().map(|e| (e.oid.to_id_string(), e.critical)).collect();
    assert_eq!(extensions, [("2.5.29.35".to_owned(), false), ("2.5.29.20".to_owned(), false)]);
    let listed: Vec<_> = read.iter_revoked_certificates().collect();
    assert_eq!(listed.len(), entries().len());
    for (listed, entry) in listed.iter().zip(entries()) {
        assert_eq!(listed.raw_serial(), entry.serial.as_be_bytes());
        assert_eq!(listed.revocation_date.timestamp(), entry.revoked_at.unix_timestamp());
        let code = listed.reason_code().map(|(_, reason)| reason.0);
        assert_eq!(code, Some(entry.reason.code()).filter(|code| *code != 0), "0 is never written");
    }
}

#[test]
fn openssl_verifies_crls_and_obeys_them() {
    let desk = Desk::new();
    let authority = Authority::new();
    let leaf = |low| {
        let request = accept(&EcKey::p256().csr());
        let prepared = authority.ca.prepare(request, &subject(), None, serial(low), days(365)).unwrap();
        desk.put(&format!("{low}.pem"), pem("CERTIFICATE", authority.ca.issue(prepared.recorded()).unwrap().der()))
    };
    let trust = [authority.root.certificate_pem(), pem("CERTIFICATE", &authority.issuing)].concat();
    let trust = desk.put("trust.pem", trust);
    let at = (NOW + 7200).to_string();
    for entries in [vec![], entries()] {
        let crl = authority.ca.sign_crl(edition(), &entries).unwrap();
        let file = desk.put("crl.pem", pem("X509 CRL", crl.der()));
        let answer = openssl(&["crl", "-noout", "-verify", "-CAfile", &trust, "-in", &file], b"");
        assert!(answer.text().contains("verify OK"), "{}", answer.text());
        let common = ["verify", "-x509_strict", "-crl_check", "-attime", &at, "-CAfile", &trust, "-CRLfile", &file];
        let judge = |leaf: String| openssl(&[&common[..], &[&leaf]].concat(), b"");
        assert!(judge(leaf(99)).good, "not on the list");
        let listed = judge(leaf(10));
        assert_eq!(listed.good, entries.is_empty(), "{}", listed.text());
    }
}

#[test]
fn what_was_published_is_read_again() {
    let (authority, other) = (Authority::new(), Authority::new());
    for entries in [vec![], entries()] {
        let crl = authority.ca.sign_crl(edition(), &entries).unwrap();
        let read = RevocationList::read(crl.der(), &authority.issuing).unwrap();
        assert_eq!(read.edition(), edition());
        let whole = |entry: &RevokedCertificate| RevokedCertificate {
            revoked_at: entry.revoked_at.replace_nanosecond(0).unwrap(),
            ..*entry
        };
        assert_eq!(read.entries(), entries.iter().map(whole).collect::<Vec<_>>());
        for entry in &entries {
            assert_eq!(read.find(&entry.serial), Some(&whole(entry)));
        }
        assert_eq!(read.find(&serial(99)), None);
        let foreign = RevocationList::read(crl.der(), &other.issuing);
        assert_eq!(foreign, Err(CrlReadError::Signature), "another key under the same name");
        let of_root = RevocationList::read(crl.der(), authority.root.certificate_der());
        assert_eq!(of_root, Err(CrlReadError::Issuer));
        let mut changed = crl.der().to_vec();
        let place = changed.len() / 2;
        changed[place] ^= 1;
        assert!(RevocationList::read(&changed, &authority.issuing).is_err());
        assert!(matches!(
            RevocationList::read(&[crl.der(), &[0]].concat(), &authority.issuing),
            Err(CrlReadError::Der(_))
        ));
    }
    let leaf = authority.ca.prepare(accept(&EcKey::p256().csr()), &subject(), None, serial(9), days(9)).unwrap();
    let leaf = authority.ca.issue(leaf.recorded()).unwrap();
    let crl = authority.ca.sign_crl(edition(), &[]).unwrap();
    assert_eq!(RevocationList::read(crl.der(), leaf.der()), Err(CrlReadError::Issuer));
    assert_eq!(RevocationList::read(crl.der(), b"none"), Err(CrlReadError::Ca(ReadError::Der)));
}

#[test]
fn an_empty_crl_has_no_list() {
    let authority = Authority::new();
    let crl = authority.ca.sign_crl(edition(), &[]).unwrap();
    let text = openssl_ok(&["crl", "-inform", "DER", "-noout", "-text"], crl.der());
    assert!(String::from_utf8(text).unwrap().contains("No Revoked Certificates."));
}

#[test]
fn contradictions_are_refused() {
    let authority = Authority::new();
    let sign = |edition, entries: &[RevokedCertificate]| authority.ca.sign_crl(edition, entries).unwrap_err();
    let same_second = CrlEdition { next_update: edition().this_update + Duration::milliseconds(999), ..edition() };
    assert!(matches!(sign(same_second, &[]), CrlError::Dates { .. }));
    let future = RevokedCertificate { revoked_at: edition().this_update + Duration::MILLISECOND, ..entries()[0] };
    assert!(matches!(sign(edition(), &[future]), CrlError::Future { .. }));
    assert_eq!(sign(edition(), &[entries()[0]; 2]), CrlError::Repeated { serial: serial(10) });
}
