//! Every committed seed, through its target's function, without a fuzzer.

use std::{fs, path::Path};

use crate::TARGETS;

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
