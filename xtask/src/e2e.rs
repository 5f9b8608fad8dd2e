//! The browser tests: `e2e/run.mjs` drives Chromium against the release build of `koshin demo`.

use anyhow::{Result, bail};

use crate::{
    setup::is_root,
    shell::{Cmd, root, target_dir},
    steps::Outcome,
};

const RUNNER: &str = "e2e/run.mjs";

/// The code with which the runner ends when something it needs is missing.
const MISSING: i32 = 3;

/// Builds `koshin` for release and runs the browser tests with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Result<Outcome> {
    if !root().join(RUNNER).is_file() {
        bail!("{RUNNER} is missing");
    }
    Cmd::cargo("build --release -p koshin").run()?;
    let command = [&[RUNNER], arguments].concat();
    let binary = target_dir().join("release/koshin");
    let complete = Cmd::new("node", &command).env("KOSHIN_BIN", binary).run_or(Some(MISSING))?;
    if complete {
        return Ok(Outcome::Passed);
    }
    if is_root() {
        bail!("the browser tests miss something that `cargo xtask setup` was to install");
    }
    Ok(Outcome::LeftOut("something is missing, as said above".to_owned()))
}
