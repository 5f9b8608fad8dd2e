//! Certificate revocation lists.

use crate::support::csr::EcKey;
use crate::support::tool::{Desk, openssl, openssl_ok};
use crate::support::{Authority, NOW, accept, days, now, profile_config, random, serial, subject};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CheckedCrl, CrlEdition, CrlError, CrlReadError, CrlWriter, Curve, DerFault,
    FileSigner, Profile, ReadError, RevocationList, RevokedCertificate, SignatureAlgorithm, Signer, SignerError,
    certify_root, create_root, pem, rsa_digest_info,
};
use koshin_types::{RevocationReason, SerialNumber};
use std::io::{ErrorKind, Read, Seek as _, Write};
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
    for (entries, before) in [([entries()[0]; 2], 10), ([entries()[1], entries()[0]], 11)] {
        let refused = sign(edition(), &entries);
        let expected = (serial(before), serial(10));
        assert!(matches!(refused, CrlError::Order { before, serial } if (before, serial) == expected), "{refused}");
    }
}

/// Ascending serial numbers, every reason, with and without an invalidity date.
fn many(count: u32) -> impl Iterator<Item = RevokedCertificate> {
    (0..count).map(|number| {
        let mut random = [0; 13];
        random[..4].copy_from_slice(&number.to_be_bytes());
        RevokedCertificate {
            serial: SerialNumber::from_time_and_random(NOW * 1000, random),
            revoked_at: now() - Duration::seconds(i64::from(number)),
            reason: RevocationReason::ALL[number as usize % RevocationReason::ALL.len()],
            invalidity_date: number.is_multiple_of(7).then(|| now() - Duration::days(400)),
        }
    })
}

#[test]
fn a_list_in_files_is_the_list_in_memory() {
    for curve in [Curve::P256, Curve::P384] {
        let authority = Authority::with(curve, profile_config());
        for count in [0, 1, 2, 3, 1_000, 5_000] {
            let entries: Vec<_> = many(count).collect();
            let mut writer = CrlWriter::begin(edition(), tempfile::tempfile().unwrap()).unwrap();
            entries.iter().try_for_each(|entry| writer.push(entry)).unwrap();
            assert_eq!(writer.entries(), u64::from(count));
            let mut file = tempfile::tempfile().unwrap();
            let octets = writer.finish(&authority.ca, &mut file).unwrap();
            let mut der = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut der).unwrap();
            assert_eq!(octets, der.len() as u64);
            // RFC 6979: the same digest gives the same signature.
            assert!(der == authority.ca.sign_crl(edition(), &entries).unwrap().into_der());
            assert_eq!(RevocationList::read(&der, &authority.issuing).unwrap().entries().len(), entries.len());
            let mut listed = Vec::new();
            let checked = authority.ca.check_crl(&der[..], |entry| listed.push(entry)).unwrap();
            assert_eq!(checked, CheckedCrl { edition: edition(), entries: u64::from(count), octets });
            let whole = |entry: RevokedCertificate| entry.revoked_at.replace_nanosecond(0).unwrap();
            assert!(listed.iter().copied().map(whole).eq(entries.iter().copied().map(whole)));
        }
    }
}

#[test]
fn no_damaged_list_is_taken() {
    let (authority, other) = (Authority::new(), Authority::new());
    let entries: Vec<_> = many(40).collect();
    let der = authority.ca.sign_crl(edition(), &entries).unwrap().into_der();
    let check = |der: &[u8]| authority.ca.check_crl(der, |_| {});
    assert!(check(&der).is_ok());
    for place in 0..der.len() {
        let mut changed = der.clone();
        changed[place] ^= 1;
        assert!(check(&changed).is_err(), "octet {place}");
        assert!(check(&der[..place]).is_err(), "cut off at {place}");
    }
    assert_eq!(check(&[&der[..], &[0]].concat()), Err(CrlReadError::Der(DerFault::Trailing { octets: 1 })));
    assert_eq!(other.ca.check_crl(&der[..], |_| {}), Err(CrlReadError::Signature), "another key under the same name");
    let named = AuthorityName::new(Some("JP"), "更新信用金庫", "別の認証局").unwrap();
    let elsewhere = create_root(&AuthorityPlan::root(named), serial(1), days(7300), &random()).unwrap();
    let certificate = elsewhere.certificate_der().to_vec();
    let profile = Profile::new(profile_config()).unwrap();
    let elsewhere = Ca::load(&certificate, &[], Box::new(elsewhere.into_signer()), profile).unwrap();
    assert_eq!(elsewhere.check_crl(&der[..], |_| {}), Err(CrlReadError::Issuer));
    let gone = authority.ca.check_crl(Broken, |_| {});
    assert_eq!(gone, Err(CrlReadError::File(ErrorKind::StorageFull)));
}

/// A file that can neither be read nor written.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(ErrorKind::StorageFull.into())
    }
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let authority = Authority::new();
    let mut writer = CrlWriter::begin(edition(), std::io::Cursor::new(Vec::new())).unwrap();
    writer.push(&entries()[0]).unwrap();
    let error = writer.finish(&authority.ca, &mut Broken).unwrap_err();
    assert!(matches!(error, CrlError::File(error) if error.kind() == ErrorKind::StorageFull));
}

/// Scratch storage that is changed by somebody else between the first and the second reading.
struct Touched {
    inner: std::io::Cursor<Vec<u8>>,
    rewound: usize,
}

impl Read for Touched {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl Write for Touched {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.inner.write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::io::Seek for Touched {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.rewound += 1;
        if self.rewound == 2 {
            self.inner.get_mut()[10] ^= 1;
        }
        self.inner.seek(to)
    }
}

#[test]
fn what_is_written_is_what_was_signed() {
    let authority = Authority::new();
    let scratch = Touched { inner: std::io::Cursor::new(Vec::new()), rewound: 0 };
    let mut writer = CrlWriter::begin(edition(), scratch).unwrap();
    entries().iter().try_for_each(|entry| writer.push(entry)).unwrap();
    assert!(matches!(writer.finish(&authority.ca, &mut Vec::new()), Err(CrlError::Changed)));
}

/// A key in a token that is out, or that signs something else.
struct Unwell {
    key: FileSigner,
    answer: fn(&FileSigner, &[u8]) -> Result<Vec<u8>, SignerError>,
}

impl Signer for Unwell {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.key.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign(message)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        (self.answer)(&self.key, digest)
    }
}

#[test]
fn what_the_key_answers_is_verified_before_anything_is_written() {
    let authority = Authority::new();
    let ca = |answer| {
        let key = FileSigner::from_pkcs8_der(&authority.issuing_key, random()).unwrap();
        let signer = Box::new(Unwell { key, answer });
        Ca::load(&authority.issuing, &[], signer, Profile::new(profile_config()).unwrap()).unwrap()
    };
    let sign = |answer| ca(answer).sign_crl(edition(), &entries());
    assert!(sign(<FileSigner as Signer>::sign_digest).is_ok());
    assert!(matches!(sign(|key, _| key.sign_digest(&[7; 32])), Err(CrlError::Signature)));
    assert!(matches!(sign(<FileSigner as Signer>::sign), Err(CrlError::Signature)), "hashed twice");
    assert!(matches!(sign(|_, _| Ok(Vec::new())), Err(CrlError::Signature)));
    let out = |_: &FileSigner, _: &[u8]| Err(SignerError::Unavailable { detail: "it is out".into() });
    assert!(matches!(sign(out), Err(CrlError::Signer(SignerError::Unavailable { .. }))));
}

#[test]
fn a_digest_of_another_length_is_refused() {
    for (curve, octets) in [(Curve::P256, 32), (Curve::P384, 48)] {
        let (key, _) = FileSigner::generate(curve, random()).unwrap();
        assert!(key.sign_digest(&vec![1; octets]).is_ok());
        for wrong in [0, 20, octets - 1, octets + 1, 64] {
            assert!(matches!(key.sign_digest(&vec![1; wrong]), Err(SignerError::Refused { .. })), "{wrong}");
        }
    }
}

/// An RSA key as a token would use it: openssl signs what a token is given.
struct RsaToken {
    pkcs8: String,
    spki: Vec<u8>,
}

impl Signer for RsaToken {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RsaPkcs1Sha256
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(openssl_ok(&["dgst", "-sha256", "-sign", &self.pkcs8], message))
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let padded = ["pkeyutl", "-sign", "-pkeyopt", "rsa_padding_mode:pkcs1", "-inkey", &self.pkcs8];
        Ok(openssl_ok(&padded, &rsa_digest_info(digest)))
    }
}

#[test]
fn an_rsa_ca_signs_lists_too() {
    let desk = Desk::new();
    for bits in ["2048", "3072"] {
        let key = openssl_ok(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")], b"");
        let spki = openssl_ok(&["pkey", "-pubout", "-outform", "DER"], &key);
        let pkcs8 = desk.put("rsa.pem", &key);
        let signer = RsaToken { pkcs8, spki };
        let message = b"a message";
        let digest = ring::digest::digest(signer.algorithm().hash(), message);
        assert_eq!(signer.sign_digest(digest.as_ref()).unwrap(), signer.sign(message).unwrap());
        let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新ルート認証局").unwrap();
        let certificate = certify_root(&AuthorityPlan::root(name), &signer, serial(1), days(3650)).unwrap();
        let trust = desk.put("trust.pem", pem("CERTIFICATE", &certificate));
        let ca = Ca::load(&certificate, &[], Box::new(signer), Profile::new(profile_config()).unwrap()).unwrap();
        let der = ca.sign_crl(edition(), &entries()).unwrap().into_der();
        let answer = openssl(&["crl", "-inform", "DER", "-noout", "-verify", "-CAfile", &trust], &der);
        assert!(answer.text().contains("verify OK"), "{}", answer.text());
        assert_eq!(ca.check_crl(&der[..], |_| {}).unwrap().entries, entries().len() as u64);
        let mut changed = der.clone();
        let place = changed.len() - 9;
        changed[place] ^= 1;
        assert_eq!(ca.check_crl(&changed[..], |_| {}), Err(CrlReadError::Signature));
    }
}
