//! Running the program.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// What a run ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The lines of standard output as JSON, after a success.
    pub(crate) fn json(&self) -> Vec<Value> {
        assert_eq!(self.status, 0, "{self:?}");
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only line of standard output as JSON, after a success.
    pub(crate) fn one(&self) -> Value {
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// Fails with this status, says so, and writes no data.
    pub(crate) fn refused(&self, status: i32) -> &str {
        assert_eq!((self.status, self.out.as_str()), (status, ""), "{self:?}");
        assert!(!self.err.is_empty());
        &self.err
    }
}

pub(crate) fn koshin<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Ended {
    koshin_reading("", arguments)
}

pub(crate) fn koshin_reading<'a>(input: impl AsRef<[u8]>, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_koshin"))
        .args(arguments)
        .env_remove("KOSHIN_CONFIG")
        .env_remove("KOSHIN_OPERATOR")
        .env_remove("KOSHIN_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_owned();
    // A program that ends early closes the pipe, which is not this thread's business.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    Ended { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// An installation in a folder of its own.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        let folder = site.folder().to_str().unwrap();
        let ended = koshin(["init", "--dir", folder, "--organization", "みどり信用金庫", "--json"]);
        assert_eq!(ended.status, 0, "{ended:?}");
        site
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command on this installation.
    pub(crate) fn run(&self, command: &str) -> Ended {
        self.run_reading("", command)
    }

    pub(crate) fn run_reading(&self, input: &str, command: &str) -> Ended {
        let config = self.folder().join("koshin.toml");
        let config = config.to_str().unwrap();
        koshin_reading(input, command.split(' ').chain(["--config", config]))
    }
}
