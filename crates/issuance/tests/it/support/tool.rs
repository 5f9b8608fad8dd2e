//! Foreign tools as judges.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a tool answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) good: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), self.stderr)
    }
}

/// A folder for one test's files.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Puts a file down and returns its path.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The path of a file that may not be there yet.
    pub(crate) fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.to_str().unwrap().to_owned()
    }
}

/// Runs openssl, which these tests need.
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> Answer {
    tool("openssl", arguments, input)
}

/// Runs a program that these tests need.
pub(crate) fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Answer {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("the command `{program}` is needed for these tests: {error}"));
    // A tool that needs no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Answer {
        good: output.status.success(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs openssl and insists on success.
pub(crate) fn openssl_ok(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    tool_ok("openssl", arguments, input)
}

/// Runs a program and insists on success.
pub(crate) fn tool_ok(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let answer = tool(program, arguments, input);
    assert!(answer.good, "{program} {arguments:?}: {}", answer.text());
    answer.stdout
}
