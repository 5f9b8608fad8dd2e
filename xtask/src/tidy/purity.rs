//! The pure crates can name no clock, no randomness and no input or output.

use std::fs;

use anyhow::{Context as _, Result};

use super::{Findings, metadata::Member};

/// The crates whose whole behaviour follows from their arguments.
pub(crate) const PURE: &[&str] = &["types", "expiry", "renewal"];

/// What they may take from elsewhere, always without default features.
const EXTERNAL: &[&str] = &["serde", "thiserror", "time"];

/// Features of those that would bring a clock, randomness or the standard library back in.
const IMPURE: &[&str] = &["std", "local-offset", "rand", "quickcheck", "wasm-bindgen", "serde-well-known"];

pub(super) fn check(members: &[Member]) -> Result<Findings> {
    let mut findings = Findings::new();
    for member in members.iter().filter(|member| PURE.contains(&member.name.as_str())) {
        findings.extend(impurities(member));
        let lib = member.manifest.with_file_name("src").join("lib.rs");
        let source = fs::read_to_string(&lib).with_context(|| lib.display().to_string())?;
        if !source.lines().any(|line| line.trim() == "#![no_std]") {
            findings.push(format!("{}: src/lib.rs has no unconditional #![no_std]", member.name));
        }
    }
    Ok(findings)
}

fn impurities(member: &Member) -> Findings {
    let mut findings = Findings::new();
    for other in member.dependencies.iter().filter(|other| !other.tests_only && !other.ours) {
        let name = format!("{} takes {}", member.name, other.name);
        if !EXTERNAL.contains(&other.name.as_str()) {
            findings.push(format!("{name}; a pure crate takes only {}", EXTERNAL.join(", ")));
        }
        if other.default_features {
            findings.push(format!("{name} with its default features"));
        }
        for feature in other.features.iter().filter(|feature| IMPURE.contains(&feature.as_str())) {
            findings.push(format!("{name} with its feature {feature}"));
        }
    }
    for other in member.dependencies.iter().filter(|other| !other.tests_only && other.ours) {
        if !PURE.contains(&other.name.as_str()) {
            findings.push(format!("{} takes {}, which is not pure", member.name, other.name));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::metadata::Dependency;

    fn taking(name: &str, ours: bool, features: &[&str]) -> Member {
        let features = features.iter().map(|&feature| feature.to_owned()).collect();
        let other = Dependency { name: name.to_owned(), ours, tests_only: false, default_features: false, features };
        Member { name: "expiry".to_owned(), manifest: "Cargo.toml".into(), dependencies: vec![other] }
    }

    #[test]
    fn what_brings_a_clock_is_found() {
        assert_eq!(impurities(&taking("time", false, &["macros"])), Findings::new());
        assert_eq!(impurities(&taking("time", false, &["std"])).len(), 1);
        assert_eq!(impurities(&taking("chrono", false, &[])).len(), 1);
        assert_eq!(impurities(&taking("types", true, &[])), Findings::new());
        assert_eq!(impurities(&taking("sqlite", true, &[])).len(), 1);
    }
}
