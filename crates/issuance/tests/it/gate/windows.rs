//! Requests as Windows makes them, built part by part from the documented structure ([MS-WCCE], 2.2.2.7 and 3.1.1.4.3.1.1; the
//! annotated PKCS #10 of the Certificate Enrollment API): certreq with an INF file, and `CertEnroll` from a page or a script.

use super::judge;
use crate::support::csr::{EXTENSION_REQUEST, EcKey, Info, csr};
use crate::support::der::{attribute, extension, int, oid, seq, set, tlv};
use crate::support::rsa::{RsaKey, prime, sha256_with_rsa};
use crate::support::{Authority, accept, days, serial, subject};
use koshin_issuance::pem;

fn utf16(text: &str) -> Vec<u8> {
    tlv(0x1e, text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>())
}

/// `szOID_OS_VERSION`: an `IA5String`.
fn os_version() -> Vec<u8> {
    attribute("1.3.6.1.4.1.311.13.2.3", &tlv(0x16, "10.0.22631.2"))
}

/// `szOID_REQUEST_CLIENT_INFO`: `SEQUENCE { clientId INTEGER, MachineName, UserName, ProcessName UTF8String }`.
fn client_info(kind: u8, process: &str) -> Vec<u8> {
    let names = [tlv(0x0c, "pc-01.example.local"), tlv(0x0c, "EXAMPLE\\山田"), tlv(0x0c, process)].concat();
    attribute("1.3.6.1.4.1.311.21.20", &tlv(0x30, [int(kind), names].concat()))
}

/// `szOID_ENROLLMENT_CSP_PROVIDER`: `SEQUENCE { KeySpec INTEGER, Name BMPString, signature BIT STRING }`.
fn provider(key_spec: u8, name: &str) -> Vec<u8> {
    attribute("1.3.6.1.4.1.311.13.2.2", &seq(&[&int(key_spec), &utf16(name), &tlv(3, [0])]))
}

/// `szOID_ENROLLMENT_NAME_VALUE_PAIR`: `SEQUENCE { name BMPString, value BMPString }`.
fn name_value(name: &str, value: &str) -> Vec<u8> {
    attribute("1.3.6.1.4.1.311.13.2.1", &seq(&[&utf16(name), &utf16(value)]))
}

/// The extensions that a request for the template User carries.
fn extensions() -> Vec<u8> {
    let ciphers = seq(&[
        &seq(&[&oid("2.16.840.1.101.3.4.1.42")]),
        &seq(&[&oid("2.16.840.1.101.3.4.1.2")]),
        &seq(&[&oid("1.2.840.113549.3.2"), &tlv(2, [0, 0x80])]),
        &seq(&[&oid("1.3.14.3.2.7")]),
        &seq(&[&oid("1.2.840.113549.3.7")]),
    ]);
    let purposes = [oid("1.3.6.1.4.1.311.10.3.4"), oid("1.3.6.1.5.5.7.3.4"), oid("1.3.6.1.5.5.7.3.2")];
    let policies: Vec<u8> = purposes.iter().flat_map(|purpose| seq(&[purpose])).collect();
    let template = seq(&[&oid("1.3.6.1.4.1.311.21.8.1174692.16553431"), &tlv(2, [100]), &int(4)]);
    let sid = tlv(0xa0, seq(&[&oid("1.3.6.1.4.1.311.25.2.1"), &tlv(0xa0, tlv(4, "S-1-5-21-1-2-3-1104"))]));
    seq(&[
        &extension("2.5.29.15", true, &tlv(3, [5, 0xa0])),
        &extension("1.2.840.113549.1.9.15", false, &ciphers),
        &extension("2.5.29.14", false, &tlv(4, [9; 20])),
        &extension("1.3.6.1.4.1.311.20.2", false, &utf16("User")),
        &extension("1.3.6.1.4.1.311.21.7", false, &template),
        &extension("2.5.29.37", false, &tlv(0x30, purposes.concat())),
        &extension("1.3.6.1.4.1.311.21.10", false, &tlv(0x30, policies)),
        &extension("1.3.6.1.4.1.311.25.2", false, &tlv(0x30, sid)),
    ])
}

/// What certreq writes, in its order.
fn certreq() -> Vec<Vec<u8>> {
    vec![
        os_version(),
        client_info(9, "certreq.exe"),
        provider(0, "Microsoft Software Key Storage Provider"),
        attribute(EXTENSION_REQUEST, &extensions()),
    ]
}

/// What the API writes for a page or a script, with the attributes that templates bring; the extensions under Microsoft's own
/// identifier, as some versions do.
fn cert_enroll() -> Vec<Vec<u8>> {
    vec![
        os_version(),
        name_value("CertificateTemplate", "User"),
        client_info(5, "CertEnrollCtrl.exe"),
        provider(1, "Microsoft Enhanced Cryptographic Provider v1.0"),
        attribute("1.3.6.1.4.1.311.2.1.14", &extensions()),
    ]
}

/// `CN=TestCN, O=TestOrg` as `PrintableString`, the common name first.
fn name() -> Vec<u8> {
    let part = |kind: &str, text: &str| set(&[&seq(&[&oid(kind), &tlv(0x13, text)])]);
    seq(&[&part("2.5.4.3", "TestCN"), &part("2.5.4.10", "TestOrg")])
}

#[test]
fn requests_of_windows_pass_and_give_the_plain_certificate() {
    let (authority, key) = (Authority::new(), EcKey::p256());
    let rsa = RsaKey::new(&[(prime("P"), 1), (prime("Q"), 1)]);
    let prepare = |request: &[u8]| {
        authority.ca.prepare(accept(request), &subject(), None, serial(1), days(30)).unwrap().tbs().to_vec()
    };
    for (attributes, subject) in [(certreq(), name()), (cert_enroll(), name()), (certreq(), seq(&[]))] {
        let info =
            |spki: Vec<u8>| Info { spki, subject: subject.clone(), attributes: attributes.clone(), ..Info::default() };
        let of_p256 = key.csr_of(&info(key.spki()));
        assert_eq!(judge(&of_p256).unwrap().spki_der(), key.spki());
        assert_eq!(prepare(&of_p256), prepare(&key.csr()));
        let over = info(rsa.spki()).der();
        let of_rsa = csr(&over, &sha256_with_rsa(), &rsa.sign(&over));
        assert_eq!(judge(&of_rsa).unwrap().spki_der(), rsa.spki());
        // certreq writes files with this label, and with the line ends of its system.
        let text = pem("NEW CERTIFICATE REQUEST", &of_rsa).replace('\n', "\r\n");
        assert_eq!(judge(text.as_bytes()).unwrap().spki_der(), rsa.spki());
    }
}

#[test]
fn openssl_reads_them_as_meant() {
    let key = EcKey::p256();
    let request = key.csr_of(&Info { spki: key.spki(), subject: name(), attributes: certreq(), ..Info::default() });
    let shown = ["req", "-inform", "DER", "-noout", "-text", "-verify"];
    let answer = crate::support::tool::openssl(&shown, &request);
    let text = answer.text();
    assert!(answer.good && text.contains("verify OK"), "{text}");
    for part in
        ["CN = TestCN, O = TestOrg", "10.0.22631.2", "S/MIME Capabilities", "Digital Signature, Key Encipherment"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}
