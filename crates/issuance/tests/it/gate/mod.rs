//! The abuse list, in the order of its parts: every hostile request is refused with its own word, and what is no abuse
//! passes.

mod accepted;
mod encoding;
mod envelope;
mod keys;
mod pasted;
mod rsa;
mod signatures;
mod windows;

use crate::support::csr::{EcKey, Info};
use koshin_issuance::{CertificationRequest, Gate, Rejected};
use std::collections::BTreeSet;

fn judge(octets: &[u8]) -> Result<CertificationRequest, Rejected> {
    CertificationRequest::from_bytes(octets, &Gate::new())
}

/// What it is, its octets, and the code it is refused with.
type Case = (&'static str, Vec<u8>, &'static str);

/// A request signed by `key` over a content in which something is wrong.
fn edited(key: &EcKey, edit: impl FnOnce(&mut Info)) -> Vec<u8> {
    let mut info = Info { spki: key.spki(), ..Info::default() };
    edit(&mut info);
    key.csr_of(&info)
}

fn with_spki(key: &EcKey, spki: Vec<u8>) -> Vec<u8> {
    edited(key, |info| info.spki = spki)
}

/// All codes but `request.key_blocked` and `request.key_not_issued_for`, which need settings.
const CODES: [&str; 20] = [
    "request.der",
    "request.empty",
    "request.key_algorithm",
    "request.key_curve",
    "request.key_encoding",
    "request.not_a_request",
    "request.pem_blocks",
    "request.pem_broken",
    "request.pem_label",
    "request.private_key_pasted",
    "request.rsa_exponent",
    "request.rsa_size",
    "request.rsa_weak",
    "request.signature",
    "request.signature_algorithm",
    "request.structure",
    "request.too_deep",
    "request.too_large",
    "request.trailing_bytes",
    "request.version",
];

#[test]
fn every_hostile_request_is_refused_with_its_code() {
    let key = EcKey::p256();
    let groups: [(&str, Vec<Case>); 13] = [
        ("weak RSA keys", rsa::cases()),
        ("wrong curves", keys::curve_cases(&key)),
        ("points", keys::point_cases(&key)),
        ("other kinds of keys", keys::kind_cases(&key)),
        ("keys that openssl makes", keys::openssl_cases()),
        ("bad DER", encoding::der_cases(&key)),
        ("wrong versions", encoding::version_cases(&key)),
        ("wrong structure", encoding::structure_cases(&key)),
        ("PEM noise", envelope::pem_cases(&key)),
        ("no requests", envelope::other_cases(&key)),
        ("size", envelope::size_cases(&key)),
        ("private keys", pasted::cases(&key)),
        ("signatures", signatures::cases(&key)),
    ];
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (group, cases) in groups {
        for (name, octets, code) in cases {
            match judge(&octets) {
                Err(rejected) if rejected.code() == code => drop(seen.insert(code)),
                other => wrong.push(format!("{group}: {name}: wanted {code}, got {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), CODES);
}

#[test]
fn no_changed_octet_goes_unseen() {
    let good = EcKey::p256().csr();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            assert!(judge(&changed).is_err(), "bit {bit} of octet {at}");
        }
        let mut longer = good.clone();
        longer.insert(at, good[at]);
        assert!(judge(&longer).is_err(), "octet {at} twice");
        assert!(judge(&good[..at]).is_err(), "cut at {at}");
    }
}
