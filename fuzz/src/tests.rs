//! Every committed seed, through its target's function, without a fuzzer.

use std::{fs, path::Path};

use koshin_issuance::{OcspRequest, RevocationList};
use koshin_notify::{
    Bounce,
    bounces::{NoReport, Report},
};

use crate::{TARGETS, house::HOUSE, report::VERP, status::list_of};

#[test]
fn seeds() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let mut seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        seeds.sort();
        assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
        for seed in seeds {
            println!("{}", seed.display());
            target(&fs::read(&seed).unwrap());
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let manifest = include_str!("../Cargo.toml");
    let targets: Vec<_> = manifest.split("[[bin]]").skip(1).map(|bin| bin.split('"').nth(1).unwrap()).collect();
    assert_eq!(targets.len(), TARGETS.len());
    for target in targets {
        assert!(TARGETS.iter().any(|(name, _)| *name == target), "{target} stands in Cargo.toml and not in TARGETS");
    }
}

/// Seeds that are refused at once teach a fuzzer nothing: those that are meant to be read are.
#[test]
fn seeds_reach_what_they_are_for() {
    let seed = |name: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name)).unwrap();
    for (name, entries) in [("empty_list", 0), ("one", 1), ("reasons", 5), ("invalidity", 1), ("beyond_2049", 1)] {
        let list = list_of(&seed(&format!("crl/{name}")));
        let read = RevocationList::read(&list, HOUSE.ca.certificate_der());
        assert_eq!(read.map(|read| read.entries().len()), Ok(entries), "{name}");
        assert!(HOUSE.ca.check_crl(list.as_slice(), drop).is_ok(), "{name}");
    }
    for (name, certificates) in [("plain", 1), ("signed", 1), ("three", 3), ("sixteen", 16), ("nonce_128", 1)] {
        let read = OcspRequest::from_der(&seed(&format!("ocsp_request/{name}")));
        assert_eq!(read.map(|read| read.certificates().len()), Ok(certificates), "{name}");
    }
    // As Debian's Postfix and OpenSMTPD wrote them.
    for (name, failed) in [
        ("postfix_failed", Ok(true)),
        ("postfix_full", Ok(true)),
        ("postfix_headers", Ok(true)),
        ("postfix_utf8", Ok(true)),
        ("postfix_delayed", Ok(false)),
        ("postfix_relayed", Err(NoReport::AllIsWell)),
        ("postfix_delivered", Err(NoReport::AllIsWell)),
        ("opensmtpd_failed", Ok(true)),
        ("opensmtpd_full", Ok(true)),
        ("opensmtpd_delayed", Ok(false)),
    ] {
        let read = Report::read(&seed(&format!("delivery_report/{name}")), &VERP);
        assert_eq!(read.map(|read| matches!(read.bounce, Bounce::Failed { .. })), failed, "{name}");
    }
}
