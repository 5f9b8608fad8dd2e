//! A configuration file: read once, checked as a whole. Every complaint names file, key and reason.

use std::{
    fmt, fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::{
    exit::{self, Fault, Known, Status},
    output::{Form, stdout},
};

/// Reads a file; `remedy` is how to get one where there is none.
///
/// # Errors
///
/// [`Fault`] when it is not there, else what the system said.
pub fn read(file: &Path, remedy: &str) -> anyhow::Result<String> {
    fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::not_found(format!("there is no {}; {remedy}", file.display())).into(),
        _ => anyhow::Error::new(error).context(format!("{} cannot be read", file.display())),
    })
}

/// The tables of a TOML text.
///
/// # Errors
///
/// The key, and the reason with its line. A key that the tables do not have is one, if they say so.
pub fn tables<T: DeserializeOwned>(text: &str) -> Result<T, (String, String)> {
    let line = |span: Option<std::ops::Range<usize>>| {
        let before = span.and_then(|span| text.get(..span.start));
        before.map_or_else(String::new, |before| format!(" (line {})", before.matches('\n').count() + 1))
    };
    let parsed = match toml::Deserializer::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => return Err((String::new(), format!("{}{}", error.message(), line(error.span())))),
    };
    serde_path_to_error::deserialize(parsed).map_err(|error| {
        let key = error.path().to_string();
        let error = error.into_inner();
        (key, format!("{}{}", error.message(), line(error.span())))
    })
}

/// Prints the settings as TOML, or as one line of JSON: those that stand in the file, or `effective`, with every default.
///
/// # Errors
///
/// When the file cannot be read again, or what standard output said.
pub fn show(file: &Path, effective: Option<String>, json: bool) -> anyhow::Result<()> {
    let text = if let Some(text) = effective {
        text
    } else {
        let text = fs::read_to_string(file).context("the file cannot be read again")?;
        toml::to_string(&text.parse::<toml::Table>()?)?
    };
    if json {
        return Form::Json.one(&text.parse::<toml::Table>()?);
    }
    Ok(stdout().write_all(text.as_bytes())?)
}

/// A path that a configuration file names: relative to the file's folder; `credential:NAME` is one that systemd hands over.
pub fn resolve(file: &Path, path: &Path) -> PathBuf {
    let credential = path.to_str().and_then(|text| text.strip_prefix("credential:"));
    match (credential, std::env::var_os("CREDENTIALS_DIRECTORY")) {
        (Some(name), Some(folder)) => Path::new(&folder).join(name),
        _ => file.parent().unwrap_or(Path::new("")).join(path),
    }
}

/// The configuration file that is meant when none is named: what the environment says, in this folder, or the machine's.
///
/// # Errors
///
/// [`Fault`] when there is none; `remedy` is how to make one.
pub fn find(named: Option<PathBuf>, variable: &str, name: &str, remedy: &str) -> anyhow::Result<PathBuf> {
    let environment = || std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = named.or_else(environment) {
        return Ok(file);
    }
    let machine = Path::new("/etc/koshin").join(name);
    let found = [PathBuf::from(name), machine.clone()].into_iter().find(|file| file.exists());
    found.ok_or_else(|| {
        let machine = machine.display();
        Fault::not_found(format!("there is neither ./{name} nor {machine}; name one with --config, or {remedy}")).into()
    })
}

/// What is wrong with a file. All of it is said at once.
#[derive(Debug)]
pub struct Problems {
    file: PathBuf,
    found: Vec<(String, String)>,
    known: Known,
    status: Option<Status>,
}

impl Problems {
    /// None yet.
    pub fn new(file: &Path, known: Known) -> Self {
        Self { file: file.to_owned(), found: Vec::new(), known, status: None }
    }

    /// Notes what is wrong under a key.
    pub fn add(&mut self, key: &str, reason: &str) {
        self.found.push((key.to_owned(), reason.to_owned()));
    }

    /// Keeps a good value; notes the key and the causes of a bad one.
    pub fn note<T, E: Into<anyhow::Error>>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.into();
                self.status = self.status.or_else(|| exit::status(&error, self.known));
                self.add(key, &format!("{error:#}"));
                None
            }
        }
    }

    /// Whether nothing is wrong.
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The exit status, where a cause has one of its own.
    pub const fn status(&self) -> Option<Status> {
        self.status
    }

    /// Nothing, when nothing is wrong.
    ///
    /// # Errors
    ///
    /// All that is.
    pub fn none(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for (at, (key, reason)) in self.found.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n        " };
            match key.as_str() {
                "" | "." => write!(f, "{separator}{file}: {reason}")?,
                key => write!(f, "{separator}{file}: {key}: {reason}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Tables {
        listen: Listen,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Listen {
        port: u16,
    }

    #[test]
    fn a_complaint_names_key_and_line() {
        assert_eq!(tables::<Tables>("[listen]\nport = 1\n").unwrap().listen.port, 1);
        let (key, reason) = tables::<Tables>("[listen]\nport = 70000\n").unwrap_err();
        assert_eq!(key, "listen.port");
        assert!(reason.ends_with("(line 2)"), "{reason}");
        let (key, reason) = tables::<Tables>("[listen]\nport = 1\nhost = 2\n").unwrap_err();
        assert!(key.starts_with("listen") && reason.contains("host"), "{key}: {reason}");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut problems = Problems::new(Path::new("a.toml"), exit::none);
        assert_eq!(problems.note("x", Ok::<_, Fault>(1)), Some(1));
        assert_eq!(problems.note::<(), _>("x", Err(Fault::not_found("no x"))), None);
        problems.add("", "wrong");
        assert_eq!(problems.status(), Some(Status::NotFound));
        assert_eq!(problems.none().unwrap_err().to_string(), "a.toml: x: no x\n        a.toml: wrong");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(resolve(Path::new("/etc/koshin/a.toml"), Path::new("k.pem")), Path::new("/etc/koshin/k.pem"));
        assert_eq!(resolve(Path::new("/etc/koshin/a.toml"), Path::new("/k.pem")), Path::new("/k.pem"));
    }
}
