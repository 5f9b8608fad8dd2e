//! Adding a CA to a configuration, and taking one out. What people wrote around it stays as it is.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use koshin_operator::key::KeyPlace;

use super::Checked;
use crate::exit::{Fault, Status};

/// One CA as it stands in the file.
pub(crate) fn block(name: &str, chain: &[PathBuf], key: &KeyPlace, issues_from: &str) -> anyhow::Result<String> {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let chain: Vec<_> = chain.iter().map(|file| quoted(&file.to_string_lossy())).collect();
    Ok(format!(
        "\n[[ca]]\ncertificate = {}\nchain = [{}]\nkey = {}\nissues_from = {}\n",
        quoted(&format!("ca/{name}.pem")),
        chain.join(", "),
        toml::Value::try_from(key)?,
        quoted(issues_from)
    ))
}

/// The file with a block at its end.
///
/// # Errors
///
/// When what comes out is not the old configuration with one more CA.
pub(crate) fn append(checked: &Checked, block: &str) -> anyhow::Result<String> {
    let text = read(checked)?;
    let text = format!("{}\n{block}", text.trim_end_matches('\n'));
    let new = Checked::parse(&checked.file, &text).map_err(|problems| Fault::usage(problems.to_string()))?;
    let mut shorter = new.config.clone();
    shorter.authorities.pop();
    same(checked, &toml::to_string(&shorter)?)?;
    Ok(text)
}

/// The file without one of its `[[ca]]`.
///
/// # Errors
///
/// When what comes out is not the old configuration without that CA.
pub(crate) fn remove(checked: &Checked, at: usize) -> anyhow::Result<String> {
    let text = read(checked)?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let heads = || lines.iter().enumerate().filter(|(_, line)| line.trim() == "[[ca]]").map(|(at, _)| at);
    let first = heads().nth(at).with_context(by_hand)?;
    let is_head = |line: &&str| line.trim_start().starts_with('[') && !line.contains('=');
    let next = lines.iter().skip(first + 1).position(is_head).map_or(lines.len(), |after| first + 1 + after);
    // Comments before the next table belong to that one.
    let belongs = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let last = lines.iter().take(next).rposition(belongs).unwrap_or(first);
    let kept: String =
        lines.iter().enumerate().filter(|(line, _)| !(first..=last).contains(line)).map(|(_, text)| *text).collect();
    let new = Checked::parse(&checked.file, &kept)?;
    let mut shorter = checked.config.clone();
    if at < shorter.authorities.len() {
        shorter.authorities.remove(at);
    }
    same(&new, &toml::to_string(&shorter)?)?;
    Ok(kept)
}

/// Puts a new text in the place of the file, which is whole at every moment.
pub(crate) fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("toml.new");
    let write = || -> std::io::Result<()> {
        let mut made = fs::File::create(&beside)?;
        made.set_permissions(fs::metadata(file)?.permissions())?;
        made.write_all(text.as_bytes())?;
        made.sync_all()?;
        fs::rename(&beside, file)
    };
    write().with_context(|| format!("{} cannot be replaced", file.display()))
}

fn read(checked: &Checked) -> anyhow::Result<String> {
    fs::read_to_string(&checked.file).with_context(|| format!("{} cannot be read", checked.file.display()))
}

fn same(one: &Checked, other: &str) -> anyhow::Result<()> {
    if one.effective()? == other {
        return Ok(());
    }
    Err(Fault::new(Status::State, by_hand()).into())
}

fn by_hand() -> String {
    "the configuration is written in a way that only a person can change; edit its [[ca]] by hand".to_owned()
}
