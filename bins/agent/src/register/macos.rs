//! A small application that hands the link on. macOS gives links to applications by an Apple event, not as an argument, so it is an
//! applet of `AppleScript`'s, compiled by the system's own `osacompile`. Written by its manuals; not run.

use std::path::Path;

#[cfg(target_os = "macos")]
use std::{fs, path::PathBuf, process::Command};

#[cfg(target_os = "macos")]
use anyhow::Context as _;

#[cfg(target_os = "macos")]
use super::Standing;
#[cfg(target_os = "macos")]
use crate::{
    exit::{Fault, Status},
    places::Places,
};

/// The applet. The link goes through `quoted form of`, which is the quoting of `AppleScript` for the shell that it starts programs with; this
/// program then reads it strictly.
fn applet(program: &Path) -> String {
    let program = program.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "on open location link\n\tdo shell script quoted form of \"{program}\" & \" open \" & quoted form of link\nend open location\n"
    )
}

/// What `plutil` adds to the applet's `Info.plist`, key and JSON.
const ADDED: [(&str, &str); 3] = [
    ("CFBundleIdentifier", r#""jp.koshin.agent""#),
    ("CFBundleURLTypes", r#"[{"CFBundleURLName":"Koshin","CFBundleURLSchemes":["koshin"]}]"#),
    // No icon in the Dock: it is there for a moment only.
    ("LSUIElement", "true"),
];

#[cfg(target_os = "macos")]
const REGISTRAR: &str =
    "/System/Library/Frameworks/CoreServices.framework/Frameworks/LaunchServices.framework/Support/lsregister";

#[cfg(target_os = "macos")]
fn bundle(places: &Places) -> PathBuf {
    places.home.join("Applications").join("Koshin Agent.app")
}

#[cfg(target_os = "macos")]
pub(super) fn register(places: &Places, program: &Path) -> anyhow::Result<()> {
    let bundle = bundle(places);
    unregister(places)?;
    fs::create_dir_all(places.home.join("Applications"))?;
    run(Command::new("osacompile").arg("-o").arg(&bundle).arg("-e").arg(applet(program)))?;
    let plist = bundle.join("Contents").join("Info.plist");
    for (key, json) in ADDED {
        run(Command::new("plutil").args(["-replace", key, "-json", json]).arg(&plist))?;
    }
    run(Command::new(REGISTRAR).arg("-f").arg(&bundle))
}

#[cfg(target_os = "macos")]
pub(super) fn unregister(places: &Places) -> anyhow::Result<()> {
    let bundle = bundle(places);
    if bundle.exists() {
        run(Command::new(REGISTRAR).arg("-u").arg(&bundle))?;
        fs::remove_dir_all(&bundle)?;
    }
    Ok(())
}

#[cfg(target_os = "macos")]
pub(super) fn standing(places: &Places, _: &Path) -> anyhow::Result<Standing> {
    Ok(if bundle(places).exists() { Standing::Here } else { Standing::Nowhere })
}

#[cfg(target_os = "macos")]
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{} cannot be run", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Fault::new(Status::Failure, format!("{} refused: {said}", command.get_program().display())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_quoted_before_a_shell_sees_it() {
        let text = applet(Path::new("/Applications/a \"b\"/koshin-agent"));
        assert!(text.contains("& quoted form of link"));
        assert!(text.contains(r#"quoted form of "/Applications/a \"b\"/koshin-agent""#), "{text}");
    }

    #[test]
    fn what_is_added_is_json() {
        for (key, json) in ADDED {
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{key}");
        }
    }
}
