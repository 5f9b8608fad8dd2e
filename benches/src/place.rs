//! Where the benches keep their files.

use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

/// A new folder on the disk the build lies on: `/tmp` may be memory, which makes nothing durable.
///
/// # Errors
///
/// When it is not made.
pub fn folder() -> anyhow::Result<TempDir> {
    let program = std::env::current_exe()?;
    let beside = program.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix("koshin-bench-").tempdir_in(beside).context("no folder is made")
}
