//! What the operator's commands begin with: the ledger, the clock, and who is at work.

use clap::Args;
use koshin_operator::{clock, instant::rfc3339};
use koshin_sqlite::{LedgerStore, Options, Standing};
use time::{Duration, UtcDateTime};

use super::{config::ConfigFile, init::ISSUING_REQUEST};
use crate::{
    clock::Clock,
    config::{Checked, Opened},
    exit::{Fault, PROGRAM, Status},
};

/// How long before the CA's end there is something to do: its certificates live for a year, and a new CA takes weeks.
const NOTICE: Duration = Duration::days(400);

/// Which installation, and who is at work.
#[derive(Debug, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    file: ConfigFile,
    /// Who does this, for the audit log; without it the name of the account
    #[arg(long = "as", env = "KOSHIN_OPERATOR", value_name = "NAME")]
    operator: Option<String>,
}

/// An installation that is open.
pub(crate) struct Desk {
    pub(crate) checked: Checked,
    pub(crate) store: LedgerStore,
    pub(crate) clock: Clock,
    /// As the audit log names who did it.
    pub(crate) by: String,
}

impl Place {
    pub(crate) async fn open(self) -> anyhow::Result<Desk> {
        let by = format!("operator:{}", operator(self.operator)?);
        let checked = self.file.read()?;
        let store = open(&checked).await?;
        let clock = Clock::open(&store).await?;
        Ok(Desk { checked, store, clock, by })
    }
}

impl Desk {
    /// Nothing is signed by a clock in doubt.
    pub(crate) fn believed(&self) -> anyhow::Result<UtcDateTime> {
        match self.clock.trusted() {
            Ok(()) => Ok(self.clock.now()),
            Err(doubt) => Err(Fault::new(Status::State, clock::remedy(doubt, PROGRAM)).into()),
        }
    }

    /// Puts a note into the audit log.
    pub(crate) async fn note(&self, word: &str, details: &[(&str, String)], now: UtcDateTime) -> anyhow::Result<()> {
        Ok(self.store.note(&self.by, word, details.iter().cloned(), now).await?)
    }

    pub(crate) async fn close(self) {
        self.store.shut_down().await;
    }
}

fn operator(named: Option<String>) -> anyhow::Result<String> {
    let account = || ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let name = named.or_else(account).unwrap_or_else(|| "unknown".to_owned());
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(Fault::usage("--as takes a name of 1 to 64 octets").into());
    }
    Ok(name)
}

/// Opens the ledger of an installation.
pub(crate) async fn open(checked: &Checked) -> anyhow::Result<LedgerStore> {
    complete(checked)?;
    Ok(LedgerStore::open(&checked.database(), &Options::default()).await?)
}

/// Whether there is a ledger; if not, what comes first.
pub(crate) fn complete(checked: &Checked) -> anyhow::Result<()> {
    let file = checked.database();
    if file.exists() {
        return Ok(());
    }
    let folder = checked.folder();
    let (request, folder) = (folder.join(ISSUING_REQUEST), folder.display());
    let first = checked.config.authorities.first().map(|authority| checked.path(&authority.certificate));
    if request.exists() && first.is_some_and(|certificate| !certificate.exists()) {
        let reason = format!(
            "the CA waits for its certificate: carry {} to the root's machine, `koshin-ca init sign` there, and then, here, \
             `koshin-ca init install issuing.pem --root root.pem --dir {folder}`",
            request.display()
        );
        return Err(Fault::new(Status::State, reason).into());
    }
    let reason = format!("there is no ledger {}; `koshin-ca init` makes one", file.display());
    Err(Fault::not_found(reason).into())
}

/// What does not keep the CA from working now, and yet has to be seen to.
pub(crate) async fn warnings(
    checked: &Checked,
    opened: &Opened,
    store: &LedgerStore,
    now: UtcDateTime,
) -> anyhow::Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let Standing::Behind(_) = store.standing().await? {
        let warning = "the ledger may be older than what was issued from it: nothing is signed before \
                       `koshin-ca doctor --after-restore`";
        warnings.push(warning.to_owned());
    }
    let issuing = checked.issuing(now);
    if let Some(loaded) = opened.authorities.get(issuing)
        && checked.config.authorities.len() == issuing + 1
        && loaded.ca.not_after() < now.saturating_add(NOTICE)
    {
        let (name, end) = (loaded.ca.issuer_name(), rfc3339(loaded.ca.not_after()));
        warnings.push(format!(
            "{name} ends at {end}: within {} days it can issue no full year any more; `koshin-ca rollover start`",
            NOTICE.whole_days()
        ));
    }
    let tls = opened.identity.chain.first().and_then(|der| end_of(der));
    if let Some(end) = tls.filter(|end| *end < now.saturating_add(Duration::days(30))) {
        warnings.push(format!("tls.certificate ends at {}", rfc3339(end)));
    }
    Ok(warnings)
}

fn end_of(der: &[u8]) -> Option<UtcDateTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    UtcDateTime::from_unix_timestamp(certificate.validity().not_after.timestamp()).ok()
}
