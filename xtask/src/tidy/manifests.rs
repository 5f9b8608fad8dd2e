//! Every member takes the workspace's lints, licence and edition, and describes itself.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Findings, metadata::Member};

/// What every manifest holds, compared line by line.
const LINES: &[&str] = &["license.workspace = true", "edition.workspace = true", "version.workspace = true"];

/// The members that may hold `unsafe`, each in the modules that say why. What the workspace forbids cannot be allowed, so they repeat
/// its lints and deny `unsafe` instead.
const UNSAFE: &[&str] = &["keystore", "pkcs11"];

pub(super) fn check(members: &[Member]) -> Result<Findings> {
    let mut findings = Findings::new();
    for member in members {
        let manifest = fs::read_to_string(&member.manifest).with_context(|| member.manifest.display().to_string())?;
        findings.extend(violations(&member.name, &manifest));
        if !standing_where_its_name_says(&member.manifest, &member.name) {
            findings.push(format!("{} stands in {}, a folder of another name", member.name, member.manifest.display()));
        }
    }
    Ok(findings)
}

fn standing_where_its_name_says(manifest: &Path, name: &str) -> bool {
    manifest.parent().and_then(Path::file_name).is_some_and(|folder| folder == name)
}

fn violations(name: &str, manifest: &str) -> Findings {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let linted = lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"])
        || (UNSAFE.contains(&name) && lines.contains(&"unsafe_code = \"deny\""));
    let unlinted = (!linted).then(|| format!("{name}: Cargo.toml has no [lints] workspace = true"));
    let missing = LINES.iter().filter(|wanted| !lines.contains(wanted));
    let described = lines.iter().any(|line| line.starts_with("description = "));
    let undescribed = (!described).then(|| format!("{name}: Cargo.toml has no description"));
    let missing = missing.map(|wanted| format!("{name}: Cargo.toml has no {wanted}"));
    unlinted.into_iter().chain(missing).chain(undescribed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_without_the_lints_is_found() {
        let good = "[package]\ndescription = \"x\"\nversion.workspace = true\nedition.workspace = true\nlicense.workspace = true\n\n[lints]\nworkspace = true\n";
        assert_eq!(violations("a", good), Findings::new());
        assert_eq!(violations("a", &good.replace("[lints]\n", "[other]\n")).len(), 1);
        assert_eq!(violations("a", "").len(), 5);
        let denying = good.replace(
            "workspace = true\n\n[lints]\nworkspace = true",
            "workspace = true\n[lints.rust]\nunsafe_code = \"deny\"",
        );
        assert_eq!(violations("keystore", &denying), Findings::new());
        assert_eq!(violations("a", &denying).len(), 1);
    }

    #[test]
    fn a_package_stands_in_the_folder_of_its_name() {
        assert!(standing_where_its_name_says(Path::new("crates/expiry/Cargo.toml"), "expiry"));
        assert!(!standing_where_its_name_says(Path::new("crates/policy/Cargo.toml"), "expiry"));
    }
}
