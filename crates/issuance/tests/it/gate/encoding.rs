//! How a request is encoded: strict DER, version 0, and the structure of RFC 2986.

use super::{Case, edited};
use crate::support::csr::{ECDSA_SHA256, EcKey, Info};
use crate::support::der::{bits, common_name, int, oid, seq, tlv};

pub(super) fn der_cases(key: &EcKey) -> Vec<Case> {
    let good = key.csr();
    let nested = |levels: usize| (0..levels).fold(tlv(5, []), |inner, _| seq(&[&inner]));
    let [_, length_tag, ..] = good[..] else { unreachable!() };
    assert_eq!(length_tag, 0x81, "the long form of the tests below needs a length of one octet");
    let long_form = [&[0x30, 0x82, 0][..], &good[2..]].concat();
    let indefinite = [&[0x30, 0x80][..], &good[3..], &[0, 0]].concat();
    let attribute = |octets: &[u8]| edited(key, |info| info.attributes = vec![octets.to_vec()]);
    vec![
        ("one octet more", [&good[..], &[0]].concat(), "request.trailing_bytes"),
        ("a line break behind it", [&good[..], b"\n"].concat(), "request.trailing_bytes"),
        ("the request twice", good.repeat(2), "request.trailing_bytes"),
        ("cut", good[..good.len() - 1].to_vec(), "request.der"),
        ("a long length", long_form, "request.der"),
        ("an indefinite length", indefinite, "request.der"),
        ("a length of 4 GiB", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0], "request.der"),
        ("a length of 126 octets", [&[0x30, 0xfe][..], &[0xff; 126]].concat(), "request.der"),
        ("a reserved length", [&[0x30, 0xff][..], &[0; 127]].concat(), "request.der"),
        ("41 levels", nested(40), "request.too_deep"),
        ("4,000 levels", nested(4000), "request.too_deep"),
        ("a deep subject", edited(key, |i| i.subject = nested(20)), "request.too_deep"),
        ("a deep attribute", attribute(&nested(20)), "request.too_deep"),
        ("a constructed string", edited(key, |i| i.subject = seq(&[&tlv(0x2c, tlv(0x0c, "a"))])), "request.der"),
        ("a primitive sequence", edited(key, |i| i.subject = seq(&[&tlv(0x10, [])])), "request.der"),
        ("BOOLEAN 01", attribute(&tlv(1, [1])), "request.der"),
        ("a padded INTEGER", attribute(&tlv(2, [0, 1])), "request.der"),
        ("a padded negative INTEGER", attribute(&tlv(2, [0xff, 0x80])), "request.der"),
        ("bits behind the end", attribute(&tlv(3, [1, 1])), "request.der"),
        ("an OID that does not end", attribute(&tlv(6, [0x2a, 0x86])), "request.der"),
        ("a padded OID", attribute(&tlv(6, [0x2a, 0x80, 1])), "request.der"),
        ("NULL with content", attribute(&tlv(5, [0])), "request.der"),
        ("a long tag", attribute(&[0x1f, 0x81, 0, 0]), "request.der"),
        ("an indefinite length inside", attribute(&[0x30, 0x80, 0, 0]), "request.der"),
        ("a long length inside", attribute(&[0x30, 0x81, 0]), "request.der"),
        ("attributes cut", attribute(&[0x30, 5, 0]), "request.der"),
        ("end of contents", attribute(&[0, 0]), "request.der"),
    ]
}

pub(super) fn version_cases(key: &EcKey) -> Vec<Case> {
    vec![
        ("version 1", edited(key, |i| i.version = int(1)), "request.version"),
        ("version 2", edited(key, |i| i.version = int(2)), "request.version"),
        ("version 99", edited(key, |i| i.version = int(99)), "request.version"),
        ("version -1", edited(key, |i| i.version = int(0xff)), "request.version"),
        ("version 256", edited(key, |i| i.version = tlv(2, [1, 0])), "request.version"),
        ("version in two octets", edited(key, |i| i.version = tlv(2, [0, 0])), "request.der"),
        ("version without octets", edited(key, |i| i.version = tlv(2, [])), "request.der"),
        ("version as BOOLEAN", edited(key, |i| i.version = tlv(1, [0])), "request.structure"),
        ("version [0]", edited(key, |i| i.version = tlv(0xa0, int(0))), "request.not_a_request"),
    ]
}

pub(super) fn structure_cases(key: &EcKey) -> Vec<Case> {
    let info = Info { spki: key.spki(), ..Info::default() }.der();
    let algorithm = seq(&[&oid(ECDSA_SHA256)]);
    let signature = bits(&key.sign(&info));
    let without_attributes = seq(&[&int(0), &common_name("x"), &key.spki()]);
    let with_more = seq(&[&int(0), &common_name("x"), &key.spki(), &tlv(0xa0, []), &int(1)]);
    let without_version = seq(&[&common_name("x"), &key.spki(), &tlv(0xa0, [])]);
    vec![
        ("no version", key.csr_over(&without_version), "request.structure"),
        ("no attributes", key.csr_over(&without_attributes), "request.structure"),
        ("more after the attributes", key.csr_over(&with_more), "request.structure"),
        ("more after the signature", seq(&[&info, &algorithm, &signature, &int(0)]), "request.structure"),
        ("no signature", seq(&[&info, &algorithm]), "request.structure"),
        ("no algorithm", seq(&[&info, &signature]), "request.structure"),
        ("signature as OCTET STRING", seq(&[&info, &algorithm, &tlv(4, key.sign(&info))]), "request.structure"),
        ("key as SET", edited(key, |i| i.spki = tlv(0x31, &i.spki[2..])), "request.structure"),
        (
            "key and subject changed places",
            edited(key, |i| std::mem::swap(&mut i.spki, &mut i.subject)),
            "request.structure",
        ),
        (
            "attributes as SET",
            key.csr_over(&seq(&[&int(0), &common_name("x"), &key.spki(), &tlv(0x31, [])])),
            "request.structure",
        ),
        (
            "attributes [1]",
            key.csr_over(&seq(&[&int(0), &common_name("x"), &key.spki(), &tlv(0xa1, [])])),
            "request.structure",
        ),
        ("algorithm as OID", seq(&[&info, &oid(ECDSA_SHA256), &signature]), "request.structure"),
        ("subject as SET", edited(key, |i| i.subject = tlv(0x31, [])), "request.structure"),
    ]
}
