//! Where the operator's commands work: on the storage of a configuration or of a demonstration, beside whatever runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use koshin_expiry::Policy;
use koshin_notify::Zone;
use koshin_operator::post::Overview;
use koshin_ra::{Actor, Administration, Directory as _, Passwords, Settings};
use koshin_sqlite::{Options, Store};
use koshin_types::OrganizationId;
use time::{UtcDateTime, UtcOffset};

use crate::{
    clock::{self, Clock, Confirms},
    config::{self, Checked},
    exit::Fault,
};

/// Which configuration is meant.
#[derive(Debug, Clone, Args)]
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
    /// Whom the steward tells, and when.
    pub(crate) overview: Overview,
    /// The zone of the mails.
    pub(crate) zone: Zone,
    settings: Settings,
}

/// The database of a demonstration's folder.
const DEMO_DATABASE: &str = "koshin.db";

impl Place {
    /// The audit key that the configuration names.
    pub(crate) fn audit_key(&self) -> anyhow::Result<Option<PathBuf>> {
        if self.data.is_some() {
            return Ok(None);
        }
        let checked = self.file.clone().read()?;
        Ok(checked.config.audit.as_ref().map(|audit| checked.path(&audit.key)))
    }

    /// Opens the storage.
    pub(crate) async fn open(self) -> anyhow::Result<Desk> {
        let (database, policy, settings, overview, zone) = if let Some(folder) = self.data {
            let zone = Zone::fixed(UtcOffset::from_hms(9, 0, 0)?, "JST");
            let (policy, settings) = (Arc::new(Policy::default_jst()), Settings::default());
            (folder.join(DEMO_DATABASE), policy, settings, Overview::default(), zone)
        } else {
            let checked = self.file.read()?;
            let (overview, zone) = (checked.config.mail.overview(), checked.sender.zone().clone());
            (checked.database(), checked.policy, checked.settings, overview, zone)
        };
        let store = open(&database).await?;
        let clock = Clock::open(&store, Confirms::Operator).await?;
        let now = clock.now();
        Ok(Desk { store, policy, actor: Actor::Operator(self.operator), clock, now, overview, zone, settings })
    }
}

/// Opens a database that exists.
pub(crate) async fn open(database: &Path) -> anyhow::Result<Arc<Store>> {
    is_there(database)?;
    let store = Store::open(database, &Options::default()).await;
    Ok(Arc::new(store.with_context(|| format!("the database {} cannot be opened", database.display()))?))
}

/// Refuses a file that is missing or empty: a store would fill it with tables, and an installation whose data are lost
/// would look like a new one.
pub(crate) fn is_there(database: &Path) -> anyhow::Result<()> {
    let name = database.display();
    let missing = |what: &str| {
        let reason = format!("{what} {name}; only `koshin init` and `koshin demo` make one, a lost one is restored");
        Err(Fault::not_found(reason).into())
    };
    match std::fs::metadata(database) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing("there is no database"),
        Ok(file) if file.is_file() && file.len() == 0 => missing("there is no database in the empty file"),
        _ => Ok(()),
    }
}

impl Desk {
    /// Refuses an organization that is named and not there. Nobody in it is another answer.
    pub(crate) async fn knows(&self, organization: Option<&OrganizationId>) -> anyhow::Result<()> {
        let Some(id) = organization else { return Ok(()) };
        let known = self.store.organizations().await?;
        if known.iter().any(|organization| organization.id == *id) {
            return Ok(());
        }
        Err(Fault::not_found(format!("there is no organization {id}")).into())
    }

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
