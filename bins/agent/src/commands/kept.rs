//! `koshin-agent list` and `forget`.

use std::{io::IsTerminal as _, sync::Arc};

use clap::Args;
use koshin_types::{Language, Rfc3339};
use serde_json::{Value, json};

use super::now;
use crate::{
    ask::Asker,
    config::Config,
    exit::{self, harmless},
    journey,
    origin::Origin,
    places::Places,
    state::Shelf,
    stores::Stores,
};

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// A line of JSON for each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArguments {
    /// Only what is unfinished with this portal
    #[arg(long, value_name = "ORIGIN")]
    portal: Option<Origin>,
}

pub(crate) fn list(arguments: &ListArguments, language: Language) -> anyhow::Result<()> {
    let places = Places::of_user()?;
    let config = Config::read(&places)?;
    let asker = Arc::new(Asker::of_desktop(language));
    let stores = Stores::find(&places, &config, &asker);
    for row in rows(&stores)? {
        if arguments.json {
            exit::print(&row)?;
        } else {
            let cell = |name: &str| row.get(name).and_then(Value::as_str).map_or_else(|| "-".to_owned(), harmless);
            let cells = ["serial", "state", "not_after", "protection", "subject", "store"].map(cell);
            exit::print(&cells.join(if std::io::stdout().is_terminal() { "  " } else { "\t" }))?;
        }
    }
    for trouble in stores.troubles() {
        eprintln!("{}: {}", exit::PROGRAM, harmless(&trouble.says));
    }
    Ok(())
}

/// What there is of certificates and keys.
pub(super) fn rows(stores: &Stores) -> anyhow::Result<Vec<Value>> {
    let now = now();
    let mut rows = Vec::new();
    for store in stores.all() {
        for entry in store.list()? {
            let Some(certificate) = entry.certificate else {
                rows.push(json!({
                    "serial": null, "state": "key_only", "subject": entry.label, "key": entry.id.to_string(),
                    "store": store.describe(),
                }));
                continue;
            };
            let validity = certificate.validity();
            let state = match entry.key {
                koshin_keystore::KeyPresence::Absent => "no_key",
                koshin_keystore::KeyPresence::Here if now < validity.not_before() => "not_yet_valid",
                koshin_keystore::KeyPresence::Here if !validity.contains(now) => "expired",
                koshin_keystore::KeyPresence::Here => "valid",
            };
            let protection = store.key(entry.id).map(|key| key.protection().as_str()).ok();
            rows.push(json!({
                "serial": certificate.serial().to_string(),
                "state": state,
                "subject": certificate.subject(),
                "issuer": certificate.issuer(),
                "not_before": Rfc3339(validity.not_before()).to_string(),
                "not_after": Rfc3339(validity.not_after()).to_string(),
                "protection": protection,
                "key": entry.id.to_string(),
                "store": store.describe(),
            }));
        }
    }
    Ok(rows)
}

pub(crate) fn forget(arguments: &ForgetArguments, language: Language) -> anyhow::Result<()> {
    let places = Places::of_user()?;
    let config = Config::read(&places)?;
    let asker = Arc::new(Asker::of_desktop(language));
    let stores = Stores::find(&places, &config, &asker);
    let shelf = Shelf::new(&places.state);
    let swept = if arguments.portal.is_none() { shelf.sweep()? } else { 0 };
    let mut forgotten = 0;
    for record in shelf.records(arguments.portal.as_ref())? {
        let _locked = shelf.lock(&record.portal)?;
        if journey::forget(&shelf, &stores, &record)? {
            forgotten += 1;
        } else {
            let host = record.portal.authority();
            eprintln!("{}: {host}: its certificate is in use; run `koshin-agent renew` instead", exit::PROGRAM);
        }
    }
    exit::print(&(forgotten + swept))?;
    Ok(())
}
