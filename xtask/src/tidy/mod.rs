//! `cargo xtask tidy`: the rules that no compiler checks. Each check returns what it found, one line each.

mod arrows;
mod closures;
mod manifests;
mod metadata;
mod purity;
mod sources;

use anyhow::{Result, bail};

/// What a check found wrong, readable alone.
type Findings = Vec<String>;

/// Runs every check, prints all findings, and fails when there is one.
pub(crate) fn run() -> Result<()> {
    let metadata = metadata::read()?;
    let checks: [(&str, Result<Findings>); 5] = [
        ("arrows", arrows::check(&metadata)),
        ("closures", closures::check()),
        ("manifests", manifests::check(&metadata)),
        ("purity", purity::check(&metadata)),
        ("sources", sources::check()),
    ];
    let mut found = 0;
    for (name, outcome) in checks {
        let findings = outcome?;
        println!("tidy: {name}: {}", if findings.is_empty() { "ok" } else { "not as the rules say" });
        found += findings.len();
        for finding in findings {
            println!("  {finding}");
        }
    }
    if found > 0 {
        bail!("tidy found {found} things; the rules stand in ARCHITECTURE.md");
    }
    Ok(())
}
