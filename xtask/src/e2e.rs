//! The browser tests: `e2e/run.mjs` drives Chromium against the release build of `koshin demo`.

use anyhow::{Result, bail};

use crate::shell::{Cmd, root, target_dir};

const RUNNER: &str = "e2e/run.mjs";

/// Builds `koshin` for release and runs the browser tests with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    if !root().join(RUNNER).is_file() {
        bail!("{RUNNER} is missing");
    }
    if !root().join("e2e/node_modules/playwright-core").is_dir() {
        bail!("the browser tests' modules are missing: `cargo xtask setup` installs them");
    }
    Cmd::cargo("build --release -p koshin").run()?;
    let command = [&[RUNNER], arguments].concat();
    Cmd::new("node", &command).env("KOSHIN_BIN", target_dir().join("release/koshin")).run()
}
