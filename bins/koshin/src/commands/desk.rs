//! Where the operator's commands work: on the storage of a configuration or of a demonstration, beside whatever runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use koshin_expiry::Policy;
use koshin_ra::{Actor, Administration, Passwords, Settings};
use koshin_sqlite::{Options, Store};
use time::UtcDateTime;

use crate::{
    clock::{self, Clock, Confirms},
    config::{self, Checked},
    exit::Fault,
};

/// Which configuration is meant.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Installation",
        help = "The configuration file [env: KOSHIN_CONFIG] [default: ./koshin.toml, else /etc/koshin/koshin.toml]"
    )]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads and checks it.
    pub(crate) fn read(self) -> anyhow::Result<Checked> {
        Checked::read(&config::find(self.config)?)
    }
}

/// Which installation is meant, and how its data are written.
#[derive(Debug, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    file: ConfigFile,
    /// The folder of a demonstration, instead of a configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config", help_heading = "Installation")]
    data: Option<PathBuf>,
    /// Who you are, for the audit log
    #[arg(
        long,
        value_name = "NAME",
        env = "KOSHIN_OPERATOR",
        default_value = "operator",
        help_heading = "Installation"
    )]
    operator: String,
}

/// One command's view of an installation.
pub(crate) struct Desk {
    pub(crate) store: Arc<Store>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) actor: Actor,
    pub(crate) clock: Clock,
    /// The one instant of this command.
    pub(crate) now: UtcDateTime,
    settings: Settings,
}

/// The database of a demonstration's folder.
const DEMO_DATABASE: &str = "koshin.db";

impl Place {
    /// Opens the storage.
    pub(crate) async fn open(self) -> anyhow::Result<Desk> {
        let (database, policy, settings) = if let Some(folder) = self.data {
            (folder.join(DEMO_DATABASE), Arc::new(Policy::default_jst()), Settings::default())
        } else {
            let checked = self.file.read()?;
            (checked.database(), checked.policy, checked.settings)
        };
        let store = open(&database).await?;
        let clock = Clock::open(&store, Confirms::Operator).await?;
        let now = clock.now();
        Ok(Desk { store, policy, actor: Actor::Operator(self.operator), clock, now, settings })
    }
}

/// Opens a database that exists.
pub(crate) async fn open(database: &Path) -> anyhow::Result<Arc<Store>> {
    let name = database.display();
    if !database.exists() {
        return Err(Fault::not_found(format!("there is no database {name}")).into());
    }
    let store = Store::open(database, &Options::default()).await;
    Ok(Arc::new(store.with_context(|| format!("the database {name} cannot be opened"))?))
}

impl Desk {
    /// The operator's work on this storage.
    pub(crate) fn administration(&self) -> anyhow::Result<Administration> {
        if let Err(doubt) = self.clock.trusted() {
            clock::doubted(doubt);
        }
        let mut salt = [0; 16];
        clock::entropy(&mut salt)?;
        let passwords = Passwords::new(&salt)?;
        Ok(Administration::new(self.store.clone(), self.store.clone(), passwords, clock::entropy, self.settings))
    }
}
