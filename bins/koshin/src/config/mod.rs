//! The configuration file: read once, checked as a whole. Every complaint names file, key and reason.

mod agent;
mod build;
mod files;
mod inspect;
mod schema;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use koshin_expiry::Policy;
use koshin_issuance::Profile;
use koshin_notify::Sender;
use koshin_operator::{
    config::{self, Problems},
    post::{Returns, Wording},
    zone::NamedZone,
};
use koshin_ra::Settings;
use koshin_web::screens::{Brand, Contact, Hosts};

pub(crate) use self::{
    files::LoadedCa,
    schema::{Config, Holders, Listen, Remote},
};
use crate::{exit, remote::RemoteAuthority};

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
        let text = config::read(file, REMEDY)?;
        Ok(Self::parse(file, &text)?)
    }

    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::new(file, exit::known);
        let mut config: Config = match config::tables(text) {
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
        config.agent.check(&mut problems);
        config.check_ca(&mut problems);
        config.mail.check(&mut problems);
        let policy = config.policy.policy(&mut problems);
        let profile = config.profile(&mut problems);
        let zone = policy.as_ref().map(|(_, zone)| zone.clone());
        let sender = zone.and_then(|zone| config.mail.sender(&config.brand, &config.contact, zone, &mut problems));
        let (Some((policy, zone)), Some(profile), Some(sender), true) = (policy, profile, sender, problems.is_empty())
        else {
            return Err(problems);
        };
        Ok(Self {
            file: file.to_owned(),
            policy,
            zone,
            settings: config.agent.settings(config.rules.settings()),
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

    /// The folder of the revocation lists that this installation publishes.
    pub(crate) fn lists(&self) -> PathBuf {
        self.path(&self.config.storage.lists)
    }

    /// Who sends, in the operator's words where there are some. All that is wrong with them is said at once.
    pub(crate) fn worded(&self) -> anyhow::Result<Sender> {
        let mut problems = Problems::new(&self.file, exit::known);
        self.config.mail.words(&self.file, self.sender.clone(), &mut problems).ok_or_else(|| problems.into())
    }

    /// Reads the operator's texts again, for a sender that is otherwise as this one.
    pub(crate) fn wording(&self, returns: Option<&Returns>) -> Wording {
        self.config.mail.wording(&self.file, &self.sender, returns, exit::known)
    }

    /// A path of the file: relative to its folder; `credential:NAME` is one that systemd hands over.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        config::resolve(&self.file, path)
    }

    /// The file with every default filled in, as TOML.
    pub(crate) fn effective(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(&self.config)?)
    }
}

/// A CA elsewhere, from a file of its own with the keys of `[ca.remote]`.
pub(crate) fn remote(file: &Path) -> anyhow::Result<RemoteAuthority> {
    let text = config::read(file, "it has the keys of [ca.remote]")?;
    let mut problems = Problems::new(file, exit::known);
    let opened = match config::tables::<Remote>(&text) {
        Ok(remote) => problems.note("", RemoteAuthority::open(&remote, |path| config::resolve(file, path))),
        Err((key, reason)) => {
            problems.add(&key, &reason);
            None
        }
    };
    opened.ok_or_else(|| problems.into())
}

/// What a program is told that has no configuration.
const REMEDY: &str = "`koshin init` makes one";

/// The file that is meant when none is named: in this folder, else the machine's.
pub(crate) fn find(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    config::find(named, "KOSHIN_CONFIG", "koshin.toml", "make one with `koshin init`")
}

#[cfg(test)]
mod tests;
