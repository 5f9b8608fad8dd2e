//! A key in this user's part of the registry, written by `reg.exe`. Built by CI; not run on Windows yet.

use std::path::Path;
#[cfg(target_os = "windows")]
use std::process::{Command, Output};

#[cfg(target_os = "windows")]
use anyhow::Context as _;

#[cfg(target_os = "windows")]
use super::Standing;
#[cfg(target_os = "windows")]
use crate::{
    exit::{Fault, Status},
    places::Places,
};

/// Where Windows looks for what opens links (Microsoft: "Registering an Application to a URI Scheme").
const KEY: &str = r"HKCU\Software\Classes\koshin";

/// The calls of `reg.exe`, in order.
fn calls(program: &Path) -> [Vec<String>; 3] {
    let command = command(program);
    let add = |key: &str, value: &[&str], data: &str| {
        let mut call = vec!["add".to_owned(), key.to_owned()];
        call.extend(value.iter().map(|&word| word.to_owned()));
        call.extend(["/d", data, "/f"].map(str::to_owned));
        call
    };
    [
        add(KEY, &["/ve"], "URL:Koshin"),
        add(KEY, &["/v", "URL Protocol"], ""),
        add(&format!(r"{KEY}\shell\open\command"), &["/ve"], &command),
    ]
}

/// What Windows runs. The link is one argument: nothing of it is read by a shell, and a quotation mark cannot stand in a link that this
/// program takes.
fn command(program: &Path) -> String {
    format!("\"{}\" open \"%1\"", program.display())
}

#[cfg(target_os = "windows")]
pub(super) fn register(_: &Places, program: &Path) -> anyhow::Result<()> {
    calls(program).iter().try_for_each(|call| succeed(&reg(call)?))
}

#[cfg(target_os = "windows")]
pub(super) fn unregister(_: &Places) -> anyhow::Result<()> {
    let call = |verb: &str| vec![verb.to_owned(), KEY.to_owned()];
    if !reg(&call("query"))?.status.success() {
        return Ok(());
    }
    succeed(&reg(&[&call("delete")[..], &["/f".to_owned()]].concat())?)
}

#[cfg(target_os = "windows")]
pub(super) fn standing(_: &Places, program: &Path) -> anyhow::Result<Standing> {
    let found = reg(&["query".to_owned(), format!(r"{KEY}\shell\open\command"), "/ve".to_owned()])?;
    if !found.status.success() {
        return Ok(Standing::Nowhere);
    }
    let text = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    Ok(if text.contains(&command(program)) { Standing::Here } else { Standing::Elsewhere { by: text } })
}

#[cfg(target_os = "windows")]
fn reg(arguments: &[String]) -> anyhow::Result<Output> {
    Command::new("reg.exe").args(arguments).output().context("reg.exe cannot be run")
}

#[cfg(target_os = "windows")]
fn succeed(output: &Output) -> anyhow::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Fault::new(Status::Failure, format!("reg.exe refused: {said}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_users_part_is_written() {
        let calls = calls(Path::new(r"C:\Program Files\Koshin\koshin-agent.exe"));
        assert!(calls.iter().all(|call| call[1].starts_with(r"HKCU\Software\Classes\koshin")));
        assert!(calls[2].contains(&r#""C:\Program Files\Koshin\koshin-agent.exe" open "%1""#.to_owned()));
    }
}
