//! What cargo knows about the members of the workspace.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::shell::Cmd;

/// One member of the workspace.
pub(super) struct Member {
    /// The package's name without `koshin-`: the name of its folder.
    pub(super) name: String,
    /// The manifest.
    pub(super) manifest: PathBuf,
    /// What it depends on.
    pub(super) dependencies: Vec<Dependency>,
}

/// One dependency as the manifest declares it.
pub(super) struct Dependency {
    /// The other package, without `koshin-` when it is ours.
    pub(super) name: String,
    /// Whether it lies in this repository.
    pub(super) ours: bool,
    /// Whether only tests, benches and examples take it.
    pub(super) tests_only: bool,
    /// Whether the default features are on.
    pub(super) default_features: bool,
    /// The features asked for.
    pub(super) features: Vec<String>,
}

/// Asks cargo.
pub(super) fn read() -> Result<Vec<Member>> {
    let json = Cmd::cargo("metadata --format-version 1 --no-deps").output()?;
    let root: Value = serde_json::from_str(&json).context("cargo metadata wrote no JSON")?;
    list(&root, "packages").map(member).collect()
}

fn member(package: &Value) -> Result<Member> {
    let name = short(text(package, "name")?);
    let mut dependencies = list(package, "dependencies").map(dependency).collect::<Result<Vec<_>>>()?;
    // A package whose tests want its own features says so by depending on itself.
    dependencies.retain(|other| other.name != name);
    Ok(Member { name, manifest: PathBuf::from(text(package, "manifest_path")?), dependencies })
}

fn dependency(value: &Value) -> Result<Dependency> {
    Ok(Dependency {
        name: short(text(value, "name")?),
        ours: value.get("path").is_some_and(Value::is_string),
        tests_only: value.get("kind").and_then(Value::as_str) == Some("dev"),
        default_features: value.get("uses_default_features").and_then(Value::as_bool).unwrap_or(true),
        features: list(value, "features").filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

fn short(package: &str) -> String {
    package.strip_prefix("koshin-").unwrap_or(package).to_owned()
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("cargo metadata has no {key}"))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
