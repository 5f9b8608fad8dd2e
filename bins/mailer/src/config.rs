//! The configuration file, which is the portal's: of it the tables are read that a mailer needs. The others are the portal's
//! to judge.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use koshin_expiry::Policy;
use koshin_notify::{Sender, Transport};
use koshin_operator::{
    config::{self, Problems},
    post::{Brand, Contact, Mail, PolicyTable, Returns, Storage, Wording},
};
use koshin_sqlite::{Options, Store};
use serde::Deserialize;

use crate::exit::{self, Fault};

/// Which configuration is meant.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Installation",
        help = "The portal's configuration file [env: KOSHIN_CONFIG] [default: ./koshin.toml, else /etc/koshin/koshin.toml]"
    )]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads and checks it.
    pub(crate) fn read(self) -> anyhow::Result<Checked> {
        let file = config::find(self.config, "KOSHIN_CONFIG", "koshin.toml", "make one with `koshin init`")?;
        let text = config::read(&file, "`koshin init` makes one")?;
        Ok(Checked::parse(&file, &text)?)
    }
}

/// The tables. Others stand in the file too.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    storage: Storage,
    brand: Brand,
    contact: Contact,
    mail: Mail,
    #[serde(default)]
    policy: PolicyTable,
}

/// A configuration that was checked. The files it names are not read yet.
pub(crate) struct Checked {
    file: PathBuf,
    storage: Storage,
    pub(crate) mail: Mail,
    pub(crate) policy: Arc<Policy>,
    sender: Sender,
}

/// What is read from files beside the configuration itself.
pub(crate) struct Loaded {
    pub(crate) transport: Arc<dyn Transport>,
    /// Who sends, in the operator's words.
    pub(crate) sender: Sender,
    pub(crate) returns: Option<Returns>,
}

impl Checked {
    fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::new(file, exit::known);
        let config: Config = match config::tables(text) {
            Ok(config) => config,
            Err((key, reason)) => {
                problems.add(&key, &reason);
                return Err(problems);
            }
        };
        let Config { storage, brand, contact, mut mail, policy } = config;
        mail.complete();
        mail.check(&mut problems);
        let policy = policy.policy(&mut problems);
        let sender = policy.as_ref().and_then(|(_, zone)| mail.sender(&brand, &contact, zone.clone(), &mut problems));
        match (policy, sender) {
            (Some((policy, _)), Some(sender)) if problems.is_empty() => {
                Ok(Self { file: file.to_owned(), storage, mail, policy, sender })
            }
            _ => Err(problems),
        }
    }

    /// Reads every file that is needed to send. All that is wrong is said at once.
    pub(crate) fn load(&self) -> anyhow::Result<Loaded> {
        let mut problems = Problems::new(&self.file, exit::known);
        let transport = self.mail.transport(&self.file, &mut problems);
        let words = self.mail.words(&self.file, self.sender.clone(), &mut problems);
        let returns = self.mail.returns(&self.file, &mut problems);
        let (Some(transport), Some(words), true) = (transport, words, problems.is_empty()) else {
            return Err(problems.into());
        };
        let sender = match &returns {
            Some(returns) => words.with_verp(returns.verp.clone()),
            None => words,
        };
        Ok(Loaded { transport, sender, returns })
    }

    /// Who sends, in the built-in words: enough to know to whom, and when.
    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Reads the operator's texts again.
    pub(crate) fn wording(&self, returns: Option<&Returns>) -> Wording {
        self.mail.wording(&self.file, &self.sender, returns, exit::known)
    }

    /// Opens the database.
    pub(crate) async fn store(&self) -> anyhow::Result<Arc<Store>> {
        let database = self.database()?;
        let store = Store::open(&database, &Options::default()).await;
        Ok(Arc::new(store.with_context(|| unopened(&database))?))
    }

    /// Opens the database for reading only.
    pub(crate) async fn view(&self) -> anyhow::Result<Arc<Store>> {
        let database = self.database()?;
        let view = Store::view(&database, &Options { readers: 1, ..Options::default() }).await;
        Ok(Arc::new(view.with_context(|| unopened(&database))?))
    }

    /// Where the database is. One that is missing or empty is refused: a mailer makes none.
    pub(crate) fn database(&self) -> anyhow::Result<PathBuf> {
        let database = config::resolve(&self.file, &self.storage.database);
        match std::fs::metadata(&database) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(file) if file.is_file() && file.len() == 0 => {}
            _ => return Ok(database),
        }
        let reason =
            format!("there is no database {}; `koshin init` makes one, a lost one is restored", database.display());
        Err(Fault::not_found(reason).into())
    }
}

fn unopened(database: &Path) -> String {
    format!("the database {} cannot be opened", database.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[ca]
certificate = "of no interest here"

[brand]
operator = { ja = "みどり信用金庫", en = "Midori Bank" }
portal = { ja = "みどりビジネスWeb", en = "Midori Business Web" }

[contact]
name = { ja = "サポート", en = "Support" }

[mail]
from = "noreply@midori.example"
maildir = "mail"
"#;

    fn problems(text: &str) -> String {
        match Checked::parse(Path::new("koshin.toml"), text) {
            Ok(_) => "none".to_owned(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn only_the_tables_of_a_mailer_are_judged() {
        assert_eq!(problems(GOOD), "none");
        let said = problems(&GOOD.replace("[contact]", "[kontakt]"));
        assert!(said.contains("contact"), "{said}");
        let said = problems(&format!("{GOOD}sentby = \"koshin-mailer\"\n"));
        assert!(said.starts_with("koshin.toml: mail.sentby: unknown field"), "{said}");
        assert_eq!(problems(&format!("{GOOD}sent_by = \"koshin-mailer\"\nmetrics = \"[::1]:9464\"\n")), "none");
    }

    #[test]
    fn figures_are_for_this_machine_alone_and_limits_are_no_nothing() {
        let said = problems(&format!("{GOOD}metrics = \"0.0.0.0:9464\"\n\n[mail.alarm]\noverdue_minutes = 0\n"));
        let keys: Vec<_> = said.lines().filter_map(|line| line.trim().split(": ").nth(1)).collect();
        assert_eq!(keys, ["mail.metrics", "mail.alarm.overdue_minutes"], "{said}");
    }
}
