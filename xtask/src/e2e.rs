//! The browser tests: `e2e/run.mjs` drives Chromium against `koshin demo`, and against `koshin-web` with a `koshin-ca`.

use anyhow::{Result, bail};

use crate::{
    setup::is_root,
    shell::{Cmd, root, target_dir},
    steps::Outcome,
};

const RUNNER: &str = "e2e/run.mjs";

/// The code with which the runner ends when something it needs is missing.
const MISSING: i32 = 3;

/// Which build of the programs the browser meets.
pub(crate) enum Build {
    /// The one that the tests before it have built already.
    Tested,
    /// The one that people run.
    Release,
}

/// Builds the programs and runs the browser tests with these arguments.
pub(crate) fn run(build: &Build, arguments: &[&str]) -> Result<Outcome> {
    if !root().join(RUNNER).is_file() {
        bail!("{RUNNER} is missing");
    }
    // As the tests built it: `cargo build` would choose other features of its dependencies, and build those anew.
    let (command, binary) = match build {
        Build::Tested => ("test --workspace --no-run --quiet", "debug/koshin"),
        Build::Release => ("build --release -p koshin -p koshin-ca", "release/koshin"),
    };
    Cmd::cargo(command).run()?;
    let command = [&[RUNNER], arguments].concat();
    let binary = target_dir().join(binary);
    let complete = Cmd::new("node", &command).env("KOSHIN_BIN", binary).run_or(Some(MISSING))?;
    if complete {
        return Ok(Outcome::Passed);
    }
    if is_root() {
        bail!("the browser tests miss something that `cargo xtask setup` was to install");
    }
    Ok(Outcome::LeftOut("something is missing, as said above".to_owned()))
}
