//! Mutants by hand: for each rule, bytes that break it and are otherwise good.

use super::*;
use crate::der::write_time;
use crate::extension as ext;
use crate::request::fingerprint;
use koshin_types::SerialNumber;
use std::collections::BTreeSet;
use time::{Duration, UtcDateTime};

const POINT: [u8; 65] = {
    let mut point = [7; 65];
    point[0] = 4;
    point
};

/// The parts of a `TBSCertificate`, each as DER.
struct Parts {
    version: Vec<u8>,
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    validity: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    before_extensions: Vec<u8>,
    extensions: Vec<(&'static str, Vec<u8>)>,
}

fn at(days: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_795_300_000).unwrap() + Duration::days(days)
}

fn issuer() -> Issuer {
    let name = Writer::collect(|w| w.sequence(|w| w.raw(&attribute(oid::COMMON_NAME, tag::UTF8_STRING, b"CA"))));
    Issuer::new(&name, &[9; 20], Validity::new(at(0), at(3650)).unwrap(), SignatureAlgorithm::EcdsaP256Sha256)
}

fn attribute(kind: &[u8], string: u8, value: &[u8]) -> Vec<u8> {
    Writer::collect(|w| {
        w.nest(tag::SET, |w| {
            w.sequence(|w| {
                w.oid(kind);
                w.primitive(string, value);
            });
        });
    })
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    Writer::collect(|w| w.sequence(|w| parts.iter().for_each(|part| w.raw(part))))
}

fn validity(days: [i64; 2]) -> Vec<u8> {
    Writer::collect(|w| w.sequence(|w| days.iter().for_each(|days| write_time(w, at(*days)))))
}

fn spki(kind: &[u8], parameters: &[u8], key: &[u8]) -> Vec<u8> {
    Writer::collect(|w| {
        w.sequence(|w| {
            w.sequence(|w| {
                w.oid(kind);
                w.raw(parameters);
            });
            w.bit_string(key);
        });
    })
}

fn rsa(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let modulus = vec![0xff; bits / 8];
    let key = Writer::collect(|w| {
        w.sequence(|w| {
            w.unsigned(&modulus);
            w.unsigned(exponent);
        });
    });
    spki(oid::RSA, &[5, 0], &key)
}

fn ec(curve: &[u8], point: &[u8]) -> Vec<u8> {
    spki(oid::EC_PUBLIC_KEY, &Writer::collect(|w| w.oid(curve)), point)
}

/// One extension with this value, as DER.
fn extension(kind: &[u8], critical: Option<u8>, value: &[u8]) -> Vec<u8> {
    Writer::collect(|w| {
        w.sequence(|w| {
            w.oid(kind);
            if let Some(critical) = critical {
                w.primitive(tag::BOOLEAN, &[critical]);
            }
            w.primitive(tag::OCTET_STRING, value);
        });
    })
}

fn good() -> Parts {
    let written = |write: &dyn Fn(&mut Writer)| Writer::collect(write);
    let url = || "http://ca.example/x".to_owned();
    let policy = vec![oid::parse("1.2.3").unwrap()];
    Parts {
        version: vec![0xa0, 3, 2, 1, 2],
        serial: written(&|w| w.serial(&SerialNumber::from_time_and_random(1, [1; 13]))),
        algorithm: issuer().algorithm,
        issuer: issuer().name,
        validity: validity([1, 366]),
        subject: sequence(&[
            attribute(oid::COUNTRY, tag::PRINTABLE_STRING, b"JP"),
            attribute(oid::ORGANIZATION, tag::UTF8_STRING, "更新商店".as_bytes()),
            attribute(oid::ORGANIZATIONAL_UNIT, tag::UTF8_STRING, "経理課".as_bytes()),
            attribute(oid::COMMON_NAME, tag::UTF8_STRING, "山田太郎".as_bytes()),
            attribute(oid::SERIAL_NUMBER, tag::PRINTABLE_STRING, b"A-1"),
        ]),
        spki: ec(oid::P256, &POINT),
        before_extensions: Vec::new(),
        extensions: vec![
            ("AKI", written(&|w| ext::authority_key_identifier(w, &[9; 20]))),
            ("SAN", written(&|w| ext::subject_alternative_names(w, 1, ["taro@example.jp"]))),
            ("KU", written(&|w| ext::key_usage(w, DIGITAL_SIGNATURE))),
            ("EKU", written(&|w| ext::extended_key_usage(w, [oid::CLIENT_AUTH]))),
            ("CDP", written(&|w| ext::crl_distribution_points(w, &[url()]))),
            ("SKI", written(&|w| ext::subject_key_identifier(w, &key_identifier(&POINT)))),
            ("BC", written(&ext::basic_constraints_end_entity)),
            ("CP", written(&|w| ext::certificate_policies(w, &policy, Some("https://ca.example/cps")))),
            ("AIA", written(&|w| ext::authority_information_access(w, Some(&url()), Some(&url())))),
        ],
    }
}

impl Parts {
    fn der(&self) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = self.extensions.iter().map(|(_, der)| der.clone()).collect();
        let tail = Writer::collect(|w| w.nest(0xa3, |w| w.raw(&sequence(&extensions))));
        let fields = [&self.version, &self.serial, &self.algorithm, &self.issuer, &self.validity, &self.subject];
        let more = [&self.spki, &self.before_extensions, &tail];
        sequence(&fields.into_iter().chain(more).cloned().collect::<Vec<_>>())
    }

    fn set(&mut self, name: &str, der: Vec<u8>) {
        self.extensions.iter_mut().find(|(known, _)| *known == name).unwrap().1 = der;
    }

    /// Gives an extension this value, with the criticality that it has.
    fn value(&mut self, name: &str, kind: &[u8], value: &[u8]) {
        let critical = matches!(name, "KU" | "BC").then_some(0xff);
        self.set(name, extension(kind, critical, value));
    }

    fn name(&mut self, attributes: &[(&[u8], u8, &[u8])]) {
        let attributes: Vec<_> =
            attributes.iter().map(|(kind, string, value)| attribute(kind, *string, value)).collect();
        self.subject = sequence(&attributes);
    }
}

type Mutant = (&'static str, LintFailure, fn(&mut Parts));

const O: (&[u8], u8, &[u8]) = (oid::ORGANIZATION, tag::UTF8_STRING, b"o");
const CN: (&[u8], u8, &[u8]) = (oid::COMMON_NAME, tag::UTF8_STRING, b"n");
const OU: &[u8] = oid::ORGANIZATIONAL_UNIT;

const FIELDS: &[Mutant] = &[
    ("a padded serial number", rules::STRICT, |p| p.serial = vec![2, 2, 0, 1]),
    ("no validity", rules::FIELDS, |p| p.validity = vec![]),
    ("a NULL before the subject", rules::FIELDS, |p| {
        p.validity = validity([1, 366]).iter().chain(&[5, 0]).copied().collect();
    }),
    ("version 2", rules::VERSION, |p| p.version = vec![0xa0, 3, 2, 1, 1]),
    ("no version", rules::VERSION, |p| p.version = vec![]),
    ("serial number 0", rules::SERIAL, |p| p.serial = vec![2, 1, 0]),
    ("a negative serial number", rules::SERIAL, |p| p.serial = vec![2, 1, 0xff]),
    ("21 octets", rules::SERIAL, |p| p.serial = [&[2, 21][..], &[1; 21]].concat()),
    ("SHA-384", rules::ALGORITHM, |p| {
        p.algorithm = Writer::collect(|w| SignatureAlgorithm::EcdsaP384Sha384.write_identifier(w));
    }),
    ("another issuer", rules::ISSUER, |p| p.issuer = sequence(&[])),
    ("the issuer's name as PrintableString", rules::ISSUER, |p| {
        p.issuer = sequence(&[attribute(oid::COMMON_NAME, tag::PRINTABLE_STRING, b"CA")]);
    }),
    ("an end before the beginning", rules::TIMES, |p| p.validity = validity([2, 1])),
    ("GeneralizedTime before 2050", rules::TIMES, |p| {
        p.validity = Writer::collect(|w| {
            w.sequence(|w| {
                write_time(w, at(1));
                w.primitive(tag::GENERALIZED_TIME, b"20270101000000Z");
            });
        });
    }),
    ("before the CA", rules::BEYOND_CA, |p| p.validity = validity([-1, 1])),
    ("beyond the CA", rules::BEYOND_CA, |p| p.validity = validity([1, 3651])),
    ("a string as subject", rules::NAME_SHAPE, |p| p.subject = sequence(&[vec![5, 0]])),
    ("two attributes in one set", rules::NAME_SHAPE, |p| {
        let [one, other] = [O, CN].map(|(kind, string, value)| attribute(kind, string, value));
        let both = [&one[2..], &other[2..]].concat();
        p.subject = sequence(&[Writer::collect(|w| w.primitive(tag::SET, &both))]);
    }),
    ("a locality", rules::NAME_KIND, |p| p.name(&[O, (&[0x55, 4, 7], tag::UTF8_STRING, b"x"), CN])),
    ("an address in the subject", rules::NAME_KIND, |p| {
        p.name(&[O, CN, (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], tag::IA5_STRING, b"a@b.jp")]);
    }),
    ("CN before O", rules::NAME_ORDER, |p| p.name(&[CN, O])),
    ("two units", rules::NAME_ORDER, |p| p.name(&[O, (OU, tag::UTF8_STRING, b"x"), (OU, tag::UTF8_STRING, b"y"), CN])),
    ("CN as PrintableString", rules::NAME_STRING, |p| p.name(&[O, (oid::COMMON_NAME, tag::PRINTABLE_STRING, b"n")])),
    ("no UTF-8", rules::NAME_STRING, |p| p.name(&[O, (oid::COMMON_NAME, tag::UTF8_STRING, b"\xff")])),
    ("an asterisk in a PrintableString", rules::NAME_STRING, |p| {
        p.name(&[O, CN, (oid::SERIAL_NUMBER, tag::PRINTABLE_STRING, b"*")]);
    }),
    ("65 characters", rules::NAME_LENGTH, |p| p.name(&[O, (oid::COMMON_NAME, tag::UTF8_STRING, &[b'n'; 65])])),
    ("an empty unit", rules::NAME_LENGTH, |p| p.name(&[O, (OU, tag::UTF8_STRING, b""), CN])),
    ("a country of three letters", rules::NAME_LENGTH, |p| {
        p.name(&[(oid::COUNTRY, tag::PRINTABLE_STRING, b"JPN"), O, CN]);
    }),
    ("a line break in CN", rules::NAME_TEXT, |p| p.name(&[O, (oid::COMMON_NAME, tag::UTF8_STRING, b"a\nb")])),
    ("CN that turns the direction", rules::NAME_TEXT, |p| {
        p.name(&[O, (oid::COMMON_NAME, tag::UTF8_STRING, "a\u{202e}b".as_bytes())]);
    }),
    ("no CN", rules::NAME_INCOMPLETE, |p| p.name(&[O])),
    ("no name at all", rules::NAME_INCOMPLETE, |p| p.name(&[])),
];

const KEYS: &[Mutant] = &[
    ("no BIT STRING", rules::KEY_SHAPE, |p| p.spki = sequence(&[sequence(&[vec![6, 1, 1]]), vec![5, 0]])),
    ("no SPKI", rules::KEY_SHAPE, |p| p.spki = sequence(&[])),
    ("Ed25519", rules::KEY_KIND, |p| p.spki = spki(&[0x2b, 0x65, 0x70], &[], &[7; 32])),
    ("secp256k1", rules::KEY_KIND, |p| p.spki = ec(&[0x2b, 0x81, 4, 0, 10], &POINT)),
    ("a compressed point", rules::KEY_KIND, |p| p.spki = ec(oid::P256, &[2; 33])),
    ("RSA of 1024 bits", rules::KEY_KIND, |p| p.spki = rsa(1024, &[1, 0, 1])),
    ("RSA of 8200 bits", rules::KEY_KIND, |p| p.spki = rsa(8200, &[1, 0, 1])),
    ("e = 3", rules::KEY_KIND, |p| p.spki = rsa(2048, &[3])),
];

const EXTENSIONS: &[Mutant] = &[
    ("a unique identifier", rules::TAIL, |p| p.before_extensions = vec![0x81, 1, 0]),
    ("a string in the list", rules::LIST, |p| p.extensions.push(("x", vec![5, 0]))),
    ("an extension of four parts", rules::LIST, |p| {
        let parts = [vec![6, 1, 1], vec![1, 1, 0xff], vec![4, 0], vec![5, 0]];
        p.extensions.push(("x", sequence(&parts)));
    }),
    ("critical FALSE", rules::DEFAULT, |p| p.set("SKI", extension(oid::SUBJECT_KEY_IDENTIFIER, Some(0), &[4, 0]))),
    ("a padded value", rules::VALUE, |p| p.value("SKI", oid::SUBJECT_KEY_IDENTIFIER, &[4, 0x81, 1, 0])),
    ("no value", rules::VALUE, |p| p.value("BC", oid::BASIC_CONSTRAINTS, &[])),
    ("basicConstraints twice", rules::TWICE, |p| p.extensions.push(p.extensions[6].clone())),
    ("a policy mapping", rules::UNKNOWN, |p| p.extensions.push(("x", extension(&[0x55, 0x1d, 0x21], None, &[5, 0])))),
    ("nameConstraints", rules::UNKNOWN, |p| {
        p.extensions.push(("x", extension(oid::NAME_CONSTRAINTS, Some(0xff), &[0x30, 0])));
    }),
    ("nocheck", rules::UNKNOWN, |p| p.extensions.push(("x", extension(oid::OCSP_NO_CHECK, None, &[5, 0])))),
    ("no keyUsage", rules::MISSING, |p| p.extensions.retain(|(name, _)| *name != "KU")),
    ("no extensions", rules::MISSING, |p| p.extensions.clear()),
    ("another CA's key", rules::AKI, |p| p.set("AKI", Writer::collect(|w| ext::authority_key_identifier(w, &[8; 20])))),
    ("the issuer's name in AKI", rules::AKI, |p| {
        let value = [&[0x30, 24, 0x80, 20][..], &[9; 20], &[0xa1, 0]].concat();
        p.value("AKI", oid::AUTHORITY_KEY_IDENTIFIER, &value);
    }),
    ("another key's SKI", rules::SKI, |p| p.set("SKI", Writer::collect(|w| ext::subject_key_identifier(w, &[1; 20])))),
    ("SHA-256 in full as SKI", rules::SKI, |p| {
        let whole = fingerprint(&POINT);
        p.set("SKI", Writer::collect(|w| ext::subject_key_identifier(w, whole.as_bytes())));
    }),
    ("keyCertSign", rules::USAGE, |p| p.set("KU", Writer::collect(|w| ext::key_usage(w, ext::CERT_AND_CRL_SIGN)))),
    ("keyAgreement, too", rules::USAGE, |p| p.set("KU", Writer::collect(|w| ext::key_usage(w, 0x88)))),
    ("the same policy twice", rules::POLICIES, |p| {
        let policy = oid::parse("1.2.3").unwrap();
        p.set("CP", Writer::collect(|w| ext::certificate_policies(w, &[policy.clone(), policy.clone()], None)));
    }),
    ("a user notice", rules::POLICIES, |p| {
        let notice = sequence(&[vec![6, 8, 0x2b, 6, 1, 5, 5, 7, 2, 2], vec![0x30, 0]]);
        p.value("CP", oid::CERTIFICATE_POLICIES, &sequence(&[sequence(&[vec![6, 1, 1], sequence(&[notice])])]));
    }),
    ("a CPS on disk", rules::POLICIES, |p| {
        let policy = [oid::parse("1.2.3").unwrap()];
        p.set("CP", Writer::collect(|w| ext::certificate_policies(w, &policy, Some("file:///cps"))));
    }),
    ("no policy", rules::POLICIES, |p| p.value("CP", oid::CERTIFICATE_POLICIES, &[0x30, 0])),
    ("a host", rules::SAN, |p| p.set("SAN", Writer::collect(|w| ext::subject_alternative_names(w, 2, ["a.example"])))),
    ("two addresses", rules::SAN, |p| {
        p.set("SAN", Writer::collect(|w| ext::subject_alternative_names(w, 1, ["a@b.jp", "c@d.jp"])));
    }),
    ("NUL in an address", rules::SAN, |p| {
        p.set("SAN", Writer::collect(|w| ext::subject_alternative_names(w, 1, ["a@b.jp\0.evil.example"])));
    }),
    ("a CA", rules::BASIC, |p| p.set("BC", Writer::collect(|w| ext::basic_constraints_ca(w, None)))),
    ("a path length", rules::BASIC, |p| p.value("BC", oid::BASIC_CONSTRAINTS, &[0x30, 3, 2, 1, 0])),
    ("no clientAuth", rules::EKU, |p| p.set("EKU", Writer::collect(|w| ext::extended_key_usage(w, [&[0x2a, 3][..]])))),
    ("a server's", rules::EKU, |p| {
        p.set("EKU", Writer::collect(|w| ext::extended_key_usage(w, [oid::CLIENT_AUTH, oid::SERVER_AUTH])));
    }),
    ("a responder's", rules::EKU, |p| {
        p.set("EKU", Writer::collect(|w| ext::extended_key_usage(w, [oid::CLIENT_AUTH, oid::OCSP_SIGNING])));
    }),
    ("any purpose", rules::EKU, |p| {
        p.set("EKU", Writer::collect(|w| ext::extended_key_usage(w, [oid::CLIENT_AUTH, oid::ANY_PURPOSE])));
    }),
    ("clientAuth twice", rules::EKU, |p| {
        p.set("EKU", Writer::collect(|w| ext::extended_key_usage(w, [oid::CLIENT_AUTH; 2])));
    }),
    ("CRLs over https", rules::CDP, |p| {
        p.set("CDP", Writer::collect(|w| ext::crl_distribution_points(w, &["https://ca.example/crl".to_owned()])));
    }),
    ("a point without a place", rules::CDP, |p| p.value("CDP", oid::CRL_DISTRIBUTION_POINTS, &[0x30, 2, 0x30, 0])),
    ("a point of some reasons", rules::CDP, |p| {
        let place = Writer::collect(|w| w.nest(0xa0, |w| w.nest(0xa0, |w| w.primitive(0x86, b"http://a/"))));
        let point = [place, vec![0x81, 2, 1, 2]].concat();
        p.value("CDP", oid::CRL_DISTRIBUTION_POINTS, &sequence(&[sequence(&[point])]));
    }),
    ("OCSP over ldap", rules::AIA, |p| {
        p.set("AIA", Writer::collect(|w| ext::authority_information_access(w, Some("ldap://x"), None)));
    }),
    ("a time stamp service", rules::AIA, |p| {
        let access = sequence(&[vec![6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 3], [&[0x86, 9][..], b"http://a/"].concat()]);
        p.value("AIA", oid::AUTHORITY_INFORMATION_ACCESS, &sequence(&[access]));
    }),
];

/// The criticality of an extension turned round.
const CRITICALITY: [(&str, LintFailure); 9] = [
    ("AKI", rules::AKI_CRITICAL),
    ("SAN", rules::SAN_CRITICAL),
    ("KU", rules::USAGE_CRITICAL),
    ("EKU", rules::EKU_CRITICAL),
    ("CDP", rules::CDP_CRITICAL),
    ("SKI", rules::SKI_CRITICAL),
    ("BC", rules::BASIC_CRITICAL),
    ("CP", rules::POLICIES_CRITICAL),
    ("AIA", rules::AIA_CRITICAL),
];

fn judge(edit: impl FnOnce(&mut Parts)) -> Result<(), LintFailure> {
    let mut parts = good();
    edit(&mut parts);
    check(&parts.der(), &issuer()).map(drop)
}

#[test]
fn every_rule_stops_a_mutant_and_each_mutant_breaks_its_own() {
    assert_eq!(judge(|_| {}), Ok(()));
    let mut broken = BTreeSet::new();
    for (name, rule, edit) in [FIELDS, KEYS, EXTENSIONS].concat() {
        assert_eq!(judge(edit), Err(rule), "{name}");
        broken.insert((rule.clause, rule.finding));
    }
    for (name, rule) in CRITICALITY {
        let turned = judge(|parts| {
            let der = parts.extensions.iter().find(|(known, _)| *known == name).unwrap().1.clone();
            let mut inside = Reader::in_sequence(&der).unwrap();
            let kind = inside.expect(tag::OID).unwrap().content;
            let critical = inside.optional(tag::BOOLEAN).unwrap().is_none().then_some(0xff);
            parts.set(name, extension(kind, critical, inside.any().unwrap().content));
        });
        assert_eq!(turned, Err(rule), "{name}");
        broken.insert((rule.clause, rule.finding));
    }
    let all: BTreeSet<_> = rules::ALL.iter().map(|rule| (rule.clause, rule.finding)).collect();
    assert_eq!(all.difference(&broken).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new(), "rules that no mutant breaks");
    assert_eq!(all.len(), rules::ALL.len(), "two rules say the same");
}

#[test]
fn what_a_profile_may_say_passes() {
    let edits: [fn(&mut Parts); 6] = [
        |p| p.extensions.retain(|(name, _)| !matches!(*name, "SAN" | "CDP" | "CP" | "AIA")),
        |p| p.name(&[O, CN]),
        |p| p.set("EKU", Writer::collect(|w| ext::extended_key_usage(w, [oid::CLIENT_AUTH, &[0x2a, 3]]))),
        |p| p.set("CP", Writer::collect(|w| ext::certificate_policies(w, &[vec![0x2a], vec![0x2b]], None))),
        |p| p.extensions.reverse(),
        |p| p.validity = validity([0, 3650]),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        assert_eq!(judge(edit), Ok(()), "number {number}");
    }
}

#[test]
fn no_cut_or_changed_length_passes() {
    let good = good().der();
    for end in 0..good.len() {
        assert!(check(&good[..end], &issuer()).is_err(), "cut at {end}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(check(&longer, &issuer()).map(drop), Err(rules::STRICT));
}
