//! The gate in front of the CA, and what the CA makes of a request that passes it.

use std::str;

use koshin_issuance::{CertificationRequest, Gate, Rejected, Signer as _, SubjectName, pem};

use crate::{
    est,
    house::{HOUSE, der, holds, signed},
    script::Script,
};

/// Any octets are rejected, or are one request: the same in PEM, and with a key that stands in it.
pub fn certification_request(data: &[u8]) {
    let gate = Gate::new();
    let Ok(request) = CertificationRequest::from_bytes(data, &gate) else { return };
    let print = request.spki_fingerprint();
    let blocked = Gate::new().with_blocked([print]);
    assert!(CertificationRequest::from_bytes(data, &blocked).is_err(), "a blocked key passed");
    if CertificationRequest::from_der(data, &gate).is_ok() {
        assert!(holds(data, request.spki_der()));
        let armoured = pem("CERTIFICATE REQUEST", data);
        assert_eq!(CertificationRequest::from_pem(armoured.as_bytes(), &gate), Ok(request));
        let trailing = [data, &[0]].concat();
        assert!(CertificationRequest::from_der(&trailing, &gate).is_err(), "an octet after the request passed");
    }
}

/// A good request in PEM with any octets around it passes, unless they are PEM, too, or look like a private key; the same
/// octets inside the block never go unseen.
pub fn pem_noise(data: &[u8]) {
    let mut script = Script::new(data);
    let (before, behind, inside) = (script.text(), script.text(), script.text());
    let line_end: &[u8] = script.one_of(&[b"\n".as_slice(), b"\r\n", b"\r", b" \t\n", b"\n\n"]);
    let (house, gate) = (&*HOUSE, Gate::new());
    let label = script.one_of(&["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]);
    let block = pem(label, &house.plain_request);
    let wrap = |lines: &mut dyn Iterator<Item = &[u8]>| lines.flat_map(|line| [line, line_end].concat()).collect();
    let lines: Vec<u8> = wrap(&mut block.lines().map(str::as_bytes));
    match CertificationRequest::from_bytes(&[before, b"\n", &lines, behind].concat(), &gate) {
        Ok(request) => assert_eq!(request.spki_der(), house.holder.public_key_spki()),
        // A last octet may begin another UTF-8 mark or line, but only these say that there is something else beside it.
        Err(Rejected::PrivateKeyPasted | Rejected::PemBlocks { .. }) => {}
        Err(Rejected::PemBroken) => {
            assert!([before, behind].iter().any(|text| holds(text, b"-----BEGIN ") || holds(text, b"-----END ")));
        }
        // Text that begins like DER, before a block that its own octets spoil.
        Err(other) => assert!(before.first() == Some(&0x30), "{other:?}"),
    }
    let at = block.find("\nM").unwrap() + 2;
    let spoilt = [&block.as_bytes()[..at], inside, &block.as_bytes()[at..]].concat();
    let passed = CertificationRequest::from_bytes(&spoilt, &gate).is_ok();
    // White space is trimmed from lines, and only from their ends.
    let trimmed = inside.split(|octet| matches!(octet, b'\n' | b'\r')).all(|line| line.trim_ascii().is_empty());
    assert!(!passed || trimmed, "{inside:?} went unseen");
}

/// The body of an EST request: any octets are refused, or are Base64 of one thing, which the gate judges like any other; its
/// names are compared with a certificate whatever they are.
pub fn est_body(data: &[u8]) {
    let Ok(decoded) = est::decode(data) else { return };
    assert_eq!(est::decode(est::encode(&decoded).as_bytes()).as_deref(), Ok(&decoded[..]));
    let (house, gate) = (&*HOUSE, Gate::new());
    let request = CertificationRequest::from_der(&decoded, &gate);
    let names = est::same_names(&decoded, house.ca.certificate_der());
    if request.is_ok() {
        let unreadable = matches!(names, Err(est::OtherNames::Certificate));
        assert!(!unreadable, "the certificate is one of ours");
    }
    // The same octets as subject and attributes of a request that is properly signed.
    let cut = &decoded[..decoded.len().min(4096)];
    let named = |subject: &[u8], attributes: &[u8]| {
        let spki = house.holder.public_key_spki();
        let parts = [&der(2, &[&[0]]), &der(0x30, &[subject]), spki, &der(0xa0, &[attributes])];
        let request = signed(&der(0x30, &parts), &house.holder);
        if CertificationRequest::from_der(&request, &gate).is_ok() {
            let _any = est::same_names(&request, house.ca.certificate_der());
        }
    };
    named(cut, &[]);
    named(&[], cut);
    assert_eq!(est::same_names(&house.plain_request, house.ca.certificate_der()), Ok(()), "it asks for nothing");
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
    let request = CertificationRequest::from_der(&signed(&info, &house.holder), &Gate::new());
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
    let says = |part: &str| holds(certificate.der(), part.as_bytes());
    assert!(says(organization) && says(name) && mail.is_none_or(says));
}
