//! `cargo xtask setup`: what the tests need beside Rust.
//!
//! As root it installs everything and fails when something cannot be had. Otherwise it installs what needs no root, says
//! what is missing and which tests are left out for it, and goes on.

mod install;
mod tools;

use anyhow::{Result, bail};

use crate::shell::Cmd;
pub(crate) use tools::Missing;
use tools::{TOOLS, Tool};

/// Which runs have to find their tools.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// `cargo xtask ci`.
    Ci,
    /// `cargo xtask nightly`.
    Nightly,
}

/// Installs what is missing, as far as this user may, and returns what still is.
pub(crate) fn run(extent: Extent) -> Result<Missing> {
    let root = is_root();
    let before = missing(extent);
    if !before.is_empty() {
        install::everything(&before, root)?;
    }
    let after = missing(extent);
    report(&after);
    if root && !after.is_empty() {
        bail!("still missing after the installation: {}", names(&after));
    }
    Ok(Missing::new(&after))
}

/// Whether this user may install Debian packages.
pub(crate) fn is_root() -> bool {
    Cmd::new("id", &["-u"]).output().is_ok_and(|id| id.trim() == "0")
}

/// Says what is missing, installs nothing, and fails when something is.
pub(crate) fn check(extent: Extent) -> Result<()> {
    let missing = missing(extent);
    report(&missing);
    if !missing.is_empty() {
        bail!("missing: {}", names(&missing));
    }
    Ok(())
}

/// What is missing as things are.
pub(crate) fn missing_now(extent: Extent) -> Missing {
    Missing::new(&missing(extent))
}

fn missing(extent: Extent) -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| (extent == Extent::Nightly || !tool.nightly) && !tool.present()).collect()
}

fn report(missing: &[&Tool]) {
    if missing.is_empty() {
        println!("setup: everything the tests need is here");
    }
    for tool in missing {
        println!("setup: {} is missing ({}); left out without it: {}", tool.name, tool.remedy(), tool.serves);
    }
}

fn names(missing: &[&Tool]) -> String {
    missing.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}
