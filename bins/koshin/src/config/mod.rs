//! The configuration file: read once, checked as a whole. Every complaint names file, key and reason.

mod build;
mod files;
mod inspect;
mod schema;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use koshin_expiry::Policy;
use koshin_issuance::Profile;
use koshin_notify::Sender;
use koshin_ra::Settings;
use koshin_web::screens::{Brand, Contact, Hosts};

pub(crate) use self::schema::{Config, Listen};
use crate::{
    exit::{self, Fault, Status},
    zone::NamedZone,
};

/// A configuration that was checked, with what follows from it alone. The files it names are not read yet.
pub(crate) struct Checked {
    pub(crate) file: PathBuf,
    pub(crate) config: Config,
    pub(crate) policy: Arc<Policy>,
    pub(crate) zone: NamedZone,
    pub(crate) settings: Settings,
    pub(crate) hosts: Hosts,
    pub(crate) brand: Brand,
    pub(crate) contact: Contact,
    pub(crate) sender: Sender,
    profile: Profile,
}

impl Checked {
    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Fault::not_found(format!("there is no {}; `koshin init` makes one", file.display())).into()
            }
            _ => anyhow::Error::new(error).context(format!("{} cannot be read", file.display())),
        })?;
        Ok(Self::parse(file, &text)?)
    }

    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::new(file);
        let mut config: Config = match deserialize(text) {
            Ok(config) => config,
            Err((key, reason)) => {
                problems.add(&key, &reason);
                return Err(problems);
            }
        };
        config.complete();
        config.hosts.check(&mut problems);
        config.listen.check(&mut problems);
        config.rules.check(&mut problems);
        config.check_mail(&mut problems);
        let policy = config.policy.policy(&mut problems);
        let profile = config.profile(&mut problems);
        let zone = policy.as_ref().map(|(_, zone)| zone.clone());
        let sender = zone.and_then(|zone| config.sender(zone, &mut problems));
        let (Some((policy, zone)), Some(profile), Some(sender), true) =
            (policy, profile, sender, problems.found.is_empty())
        else {
            return Err(problems);
        };
        Ok(Self {
            file: file.to_owned(),
            policy,
            zone,
            settings: config.rules.settings(),
            hosts: config.hosts.hosts(),
            brand: config.brand(),
            contact: config.contact(),
            sender,
            profile,
            config,
        })
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path(&self.config.storage.database)
    }

    /// A path of the file: relative to its folder; `credential:NAME` is one that systemd hands over.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        let credential = path.to_str().and_then(|text| text.strip_prefix("credential:"));
        match (credential, std::env::var_os("CREDENTIALS_DIRECTORY")) {
            (Some(name), Some(folder)) => Path::new(&folder).join(name),
            _ => self.file.parent().unwrap_or(Path::new("")).join(path),
        }
    }

    /// The file with every default filled in, as TOML.
    pub(crate) fn effective(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(&self.config)?)
    }
}

/// Reads TOML; an error is its key and the reason.
fn deserialize(text: &str) -> Result<Config, (String, String)> {
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

/// What is wrong with a file. All of it is said at once.
#[derive(Debug)]
pub(crate) struct Problems {
    file: PathBuf,
    found: Vec<(String, String)>,
    /// The exit status, where a cause has one of its own.
    pub(crate) status: Option<Status>,
}

impl Problems {
    fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), found: Vec::new(), status: None }
    }

    pub(crate) fn add(&mut self, key: &str, reason: &str) {
        self.found.push((key.to_owned(), reason.to_owned()));
    }

    /// Keeps a good value; notes the key and the causes of a bad one.
    pub(crate) fn note<T, E: Into<anyhow::Error>>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.into();
                self.status = self.status.or_else(|| exit::status(&error));
                self.add(key, &format!("{error:#}"));
                None
            }
        }
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

/// The file that is meant when none is named: in this folder, else the machine's.
pub(crate) fn find(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let environment = || std::env::var_os("KOSHIN_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = named.or_else(environment) {
        return Ok(file);
    }
    let usual = ["koshin.toml", "/etc/koshin/koshin.toml"].map(PathBuf::from);
    let found = usual.into_iter().find(|file| file.exists());
    found.ok_or_else(|| {
        let reason = "there is neither ./koshin.toml nor /etc/koshin/koshin.toml; name one with --config, or make one \
                      with `koshin init`";
        Fault::new(Status::NotFound, reason).into()
    })
}

#[cfg(test)]
mod tests;
