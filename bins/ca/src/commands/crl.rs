//! `koshin-ca crl`.

use std::{fs, io::Write as _, path::Path};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use koshin_endpoints::{Condition, CrlSettings, Place as Folder, Publication, Publisher};
use koshin_issuance::{Ca, CrlEdition, RevocationList};
use koshin_operator::{
    instant::rfc3339,
    machine,
    output::{Form, Row},
};
use serde::Serialize;
use time::{Duration, UtcDateTime};

use super::{
    config::ConfigFile,
    desk::{Desk, Place},
};
use crate::{
    config::{Checked, Loaded},
    exit::{Fault, Status},
    share::{Reservations, Share},
};

/// The revocation lists.
#[derive(Debug, Subcommand)]
pub(crate) enum CrlCommand {
    /// Say how the published lists stand
    Show(CrlArguments),
    /// Make and publish new ones now; a running service shows them within a second
    Publish(CrlArguments),
    /// In an emergency, when the ledger cannot be used: sign what is published once more, with new dates
    Resign(ResignArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CrlArguments {
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ResignArguments {
    /// For how many days the lists hold
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..=30))]
    days: u8,
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

pub(crate) async fn run(command: CrlCommand) -> anyhow::Result<()> {
    match command {
        CrlCommand::Show(CrlArguments { json, place }) => {
            let desk = place.open().await?;
            let now = desk.clock.now();
            let rows = lists(&desk.checked, now)?;
            desk.close().await;
            Form::new(json).list(rows)
        }
        CrlCommand::Publish(CrlArguments { json, place }) => {
            let desk = place.open().await?;
            let now = desk.believed()?;
            let published = publish(&desk, now).await;
            let rows = published.and_then(|()| lists(&desk.checked, now));
            desk.close().await;
            Form::new(json).list(rows?)
        }
        CrlCommand::Resign(arguments) => resign(arguments),
    }
}

/// New lists of all CAs.
async fn publish(desk: &Desk, now: UtcDateTime) -> anyhow::Result<()> {
    let opened = desk.checked.open()?;
    let folder = desk.checked.path(&desk.checked.config.storage.lists);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (at, loaded) in opened.authorities.iter().enumerate() {
        let share = Share::new(desk.store.clone(), desk.checked.span(at), Reservations::default());
        let publisher = Publisher::new(
            loaded.ca.clone(),
            std::sync::Arc::new(share),
            Publication::new(desk.clock.function()),
            Folder::new(&folder, &loaded.list()),
            desk.checked.crl_settings(),
        );
        publisher.resume().await?;
        let edition = publisher.publish(now).await?;
        let details = [("list", loaded.list()), ("number", edition.number.to_string())];
        desk.store.note(&desk.by, "list_published", details, now).await?;
    }
    Ok(())
}

/// The published entries once more. The ledger is not asked: it may be lost.
fn resign(arguments: ResignArguments) -> anyhow::Result<()> {
    let checked = arguments.file.read()?;
    let opened = checked.open()?;
    let now = machine::now();
    let folder = checked.path(&checked.config.storage.lists);
    for loaded in &opened.authorities {
        let file = folder.join(loaded.list());
        let unread = || format!("{} cannot be read", file.display());
        let der = fs::read(&file).with_context(unread)?;
        let list = RevocationList::read(&der, loaded.ca.certificate_der()).with_context(unread)?;
        let life = Duration::days(arguments.days.into());
        let number = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(1);
        let wanted = CrlEdition { number, this_update: now, next_update: now.saturating_add(life) };
        let edition = wanted.following(Some(edition(&loaded.ca, &file)?));
        if edition.this_update > now {
            let reason = format!(
                "the clock says {}, and the published list was made at {}; set the clock right first",
                rfc3339(now),
                rfc3339(edition.this_update)
            );
            return Err(Fault::new(Status::State, reason).into());
        }
        let signed = loaded.ca.sign_crl(edition, list.entries())?;
        replace(&file, signed.der())?;
    }
    eprintln!("koshin-ca: these lists hold what was published before, and nothing that was revoked since");
    eprintln!(
        "koshin-ca: a running `koshin-ca serve` shows them once it is restarted; where it cannot start, serve {} with any \
         web server",
        folder.display()
    );
    Form::new(arguments.json).list(lists(&checked, now)?)
}

fn replace(file: &Path, der: &[u8]) -> anyhow::Result<()> {
    let beside = file.with_extension("crl.new");
    let write = || -> std::io::Result<()> {
        let mut made = fs::File::create(&beside)?;
        made.write_all(der)?;
        made.sync_all()?;
        fs::rename(&beside, file)
    };
    write().with_context(|| format!("{} cannot be replaced", file.display()))
}

/// How one published list stands.
#[derive(Debug, Serialize)]
pub(super) struct ListRow {
    pub(super) list: String,
    issuer: String,
    number: Option<u64>,
    this_update: Option<String>,
    next_update: Option<String>,
    entries: Option<u64>,
    pub(super) condition: &'static str,
}

impl Row for ListRow {
    const HEAD: &'static [&'static str] = &["list", "number", "this update", "next update", "entries", "condition"];

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        vec![
            self.list.clone(),
            number(self.number),
            self.this_update.clone().unwrap_or_default(),
            self.next_update.clone().unwrap_or_default(),
            number(self.entries),
            self.condition.to_owned(),
        ]
    }
}

/// The published files, read and verified.
pub(super) fn lists(checked: &Checked, now: UtcDateTime) -> anyhow::Result<Vec<ListRow>> {
    let opened = checked.open()?;
    let folder = checked.path(&checked.config.storage.lists);
    opened.authorities.iter().map(|loaded| row(loaded, &folder, now)).collect()
}

fn row(loaded: &Loaded, folder: &Path, now: UtcDateTime) -> anyhow::Result<ListRow> {
    let file = folder.join(loaded.list());
    let checked = match fs::File::open(&file) {
        Ok(open) => {
            let checked = loaded.ca.check_crl(&open, |_| {});
            Some(checked.with_context(|| format!("{} is no list of this CA", file.display()))?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(anyhow::Error::new(error).context(format!("{} cannot be read", file.display()))),
    };
    let edition = checked.as_ref().map(|checked| checked.edition);
    let condition = match Condition::of(edition, now) {
        Condition::Fresh => "fresh",
        Condition::Late => "late",
        Condition::Ended => "ended",
        Condition::Missing => "missing",
    };
    Ok(ListRow {
        list: loaded.list(),
        issuer: loaded.ca.issuer_name().to_owned(),
        number: edition.map(|edition| edition.number),
        this_update: edition.map(|edition| rfc3339(edition.this_update)),
        next_update: edition.map(|edition| rfc3339(edition.next_update)),
        entries: checked.map(|checked| checked.entries),
        condition,
    })
}

fn edition(ca: &Ca, file: &Path) -> anyhow::Result<CrlEdition> {
    let open = fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(ca.check_crl(&open, |_| {})?.edition)
}

impl Checked {
    /// How long lists live, and when they are made.
    pub(crate) fn crl_settings(&self) -> CrlSettings {
        let crl = &self.config.crl;
        CrlSettings {
            validity: Duration::hours(crl.valid_hours.into()),
            interval: Duration::hours(crl.every_hours.into()),
            ..CrlSettings::default()
        }
    }
}

impl Loaded {
    /// What its revocation list is called.
    pub(crate) fn list(&self) -> String {
        format!("{}.crl", self.stem)
    }
}
