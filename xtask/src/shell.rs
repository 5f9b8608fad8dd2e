//! Other programs: started in the repository's root, without standard input, and said aloud.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map(Path::to_path_buf).unwrap_or(here)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The virtual environment in which the foreign certificate linter lives.
pub(crate) fn pkilint_dir() -> PathBuf {
    target_dir().join("tools/pkilint")
}

/// Where a Debian package lies that is unpacked and not installed.
pub(crate) fn unpacked_dir(package: &str) -> PathBuf {
    target_dir().join("tools").join(package)
}

/// The search path: the user's, between the folder of the linter and that of cargo's own installations.
fn search_path() -> OsString {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map(|home| PathBuf::from(home).join("bin"));
    let folders = std::iter::once(pkilint_dir().join("bin")).chain(env::split_paths(&inherited)).chain(cargo);
    env::join_paths(folders).unwrap_or(inherited)
}

/// Whether a program of this name is on the search path.
pub(crate) fn have(program: &str) -> bool {
    env::split_paths(&search_path()).any(|folder| folder.join(program).is_file())
}

/// Whether `cargo run` set this variable to speak of xtask. Build scripts of dependencies look at some of them, so that a
/// cargo started from here would build again what a cargo started by hand has built, and the reverse.
fn of_cargo_run(variable: &str) -> bool {
    const NAMES: &[&str] = &["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_") || NAMES.contains(&variable)
}

/// A program about to run.
pub(crate) struct Cmd {
    command: Command,
    line: String,
}

impl Cmd {
    /// A program with its arguments.
    pub(crate) fn new(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(root()).stdin(Stdio::null()).env("PATH", search_path());
        for (name, _) in env::vars_os().filter(|(name, _)| of_cargo_run(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        let shown = program.strip_prefix(root()).unwrap_or(program);
        let mut line = shown.display().to_string();
        for argument in arguments {
            let _infallible = write!(line, " {argument}");
        }
        Self { command, line }
    }

    /// cargo, split at the spaces.
    pub(crate) fn cargo(arguments: &str) -> Self {
        Self::new("cargo", &arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// One more argument, whatever characters it holds.
    pub(crate) fn arg(mut self, argument: impl AsRef<Path>) -> Self {
        let argument = argument.as_ref();
        let _infallible = write!(self.line, " {}", argument.strip_prefix(root()).unwrap_or(argument).display());
        self.command.arg(argument);
        self
    }

    /// A variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref();
        self.line = format!("{name}={} {}", value.display(), self.line);
        self.command.env(name, value);
        self
    }

    /// The folder to start in, below the root.
    pub(crate) fn dir(mut self, folder: &str) -> Self {
        self.line = format!("cd {folder} && {}", self.line);
        self.command.current_dir(root().join(folder));
        self
    }

    /// Runs it with its output on ours, and fails when it does.
    pub(crate) fn run(self) -> Result<()> {
        self.run_or(None).map(drop)
    }

    /// The same, but tells whether it ended well or with the code `other`; it fails with any other code.
    pub(crate) fn run_or(mut self, other: Option<i32>) -> Result<bool> {
        println!("$ {}", self.line);
        let status = self.command.status().with_context(|| format!("could not start `{}`", self.line))?;
        if !status.success() && (other.is_none() || status.code() != other) {
            bail!("`{}` failed: {status}", self.line);
        }
        Ok(status.success())
    }

    /// Runs it silently and returns what it wrote to standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| format!("could not start `{}`", self.line))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` failed: {}\n{}", self.line, output.status, said.trim_end());
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no UTF-8", self.line))
    }

    /// Runs it silently and returns what it said on standard error; what it said when it fails is part of the failure.
    pub(crate) fn talk(mut self) -> Result<String> {
        println!("$ {}", self.line);
        let output = self.command.output().with_context(|| format!("could not start `{}`", self.line))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("{said}\n`{}` failed: {}", self.line, output.status);
        }
        Ok(said)
    }

    /// Runs it silently and tells whether it succeeded.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_program_hears_nothing_of_xtask() {
        assert!(env::var_os("CARGO_PKG_NAME").is_some(), "cargo sets it for its tests too");
        let heard = Cmd::new("env", &[]).output().unwrap();
        assert!(
            !heard.lines().any(|line| line.starts_with("CARGO_PKG_") || line.starts_with("CARGO_MANIFEST_")),
            "{heard}"
        );
        assert!(heard.lines().any(|line| line.starts_with("PATH=")));
    }
}
