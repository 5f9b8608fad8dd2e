//! Installing, one origin after the other.

use std::fs;

use anyhow::{Context as _, Result};

use super::{
    is_root,
    tools::{Origin, PKILINT, Tool, locked},
};
use crate::shell::{Cmd, have, pkilint_dir, target_dir, unpacked_dir};

/// Installs what of the missing comes from one origin.
type Install = fn(&[&Tool]) -> Result<()>;

/// Installs what is missing. As root every failure is final; otherwise it is said, and what is left out is reported later.
pub(super) fn everything(missing: &[&Tool], root: bool) -> Result<()> {
    let origins: [Install; 6] = [debian, unpacked, venv, npm, cargo, cargo_locked];
    for install in origins.into_iter().skip(usize::from(!root)) {
        match install(missing) {
            Err(error) if !root => println!("setup: {error:#}"),
            other => other?,
        }
    }
    Ok(())
}

/// What packages would ask. Postfix without a configuration has nothing to run, so its service stays down.
const ANSWERS: &str = "postfix postfix/main_mailer_type select No configuration\n";

fn debian(missing: &[&Tool]) -> Result<()> {
    let mut packages: Vec<&str> = missing
        .iter()
        .filter_map(|tool| match tool.origin {
            Origin::Debian(package) => Some(package),
            _ => None,
        })
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let apt = |arguments: &[&str]| Cmd::new("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let tools = target_dir().join("tools");
    let answers = tools.join("answers");
    fs::create_dir_all(&tools).and_then(|()| fs::write(&answers, ANSWERS)).context("what packages would ask")?;
    Cmd::new("debconf-set-selections", &[]).arg(answers).run()?;
    apt(&["update", "-qq"]).run()?;
    let install = [&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat();
    apt(&install).run().context("installing Debian packages")
}

/// What these packages need beside themselves is installed like everything else.
fn unpacked(missing: &[&Tool]) -> Result<()> {
    for tool in missing {
        let Origin::Unpacked(package) = tool.origin else { continue };
        if is_root() {
            Cmd::new("apt-get", &["update", "-qq"]).run()?;
        }
        let folder = unpacked_dir(package);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let script = "cd \"$1\" && rm -f ./*.deb && apt-get download -qq \"$2\" && dpkg-deb --extract ./*.deb .";
        Cmd::new("sh", &["-c", script, "unpack"]).arg(folder).arg(package).run()?;
    }
    Ok(())
}

fn venv(missing: &[&Tool]) -> Result<()> {
    if !missing.iter().any(|tool| tool.origin == Origin::Venv) {
        return Ok(());
    }
    Cmd::new("python3", &["-m", "venv", "--clear"]).arg(pkilint_dir()).run()?;
    Cmd::new(pkilint_dir().join("bin/pip"), &["install", "--quiet", PKILINT]).run()
}

fn npm(missing: &[&Tool]) -> Result<()> {
    if !missing.iter().any(|tool| tool.origin == Origin::Npm) || !have("npm") {
        return Ok(());
    }
    Cmd::new("npm", &["ci"]).dir("e2e").run()
}

/// These tools run for seconds and take minutes to build: a light optimisation halves the wait.
fn cargo(missing: &[&Tool]) -> Result<()> {
    for tool in missing.iter().filter(|tool| tool.origin == Origin::Cargo) {
        cargo_install(&[tool.name], "1")?;
    }
    Ok(())
}

/// These only start another program and read what it wrote, so that they need no optimisation at all.
fn cargo_locked(missing: &[&Tool]) -> Result<()> {
    for tool in missing.iter().filter(|tool| tool.origin == Origin::Locked) {
        cargo_install(&[tool.name, "--version", &locked(tool.name)?], "0")?;
    }
    Ok(())
}

fn cargo_install(what: &[&str], optimisation: &str) -> Result<()> {
    let arguments = [&["install", "--locked", "--quiet"], what].concat();
    Cmd::new("cargo", &arguments)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", optimisation)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .run()
}
