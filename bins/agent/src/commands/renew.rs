//! `koshin-agent open`, `renew` and `enrol`.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _, stderr, stdin},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use clap::Args;
use koshin_types::{Language, SerialNumber};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    ask::Asker,
    config::Config,
    exit::{self, Fault, Status},
    journey::{self, Desk, Outcome},
    link::{Kind, Link, SCHEME},
    places::Places,
    state::Shelf,
    stores::Stores,
};

#[derive(Debug, Args)]
pub(crate) struct OpenArguments {
    /// The link, as a browser hands it over
    #[arg(value_name = "URL")]
    link: String,
}

#[derive(Debug, Args)]
pub(crate) struct RenewArguments {
    #[command(flatten)]
    common: Common,
    /// The serial number of the certificate to renew, where there are several and the link names none
    #[arg(long, value_name = "HEX")]
    serial: Option<SerialNumber>,
}

#[derive(Debug, Args)]
pub(crate) struct EnrolArguments {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// The link from the page; - reads it from standard input; without one, what is unfinished goes on
    #[arg(value_name = "LINK")]
    link: Option<String>,
    /// Answer both questions with Yes; only where the administrator's file allows it
    #[arg(long, requires = "code_file")]
    assume_yes: bool,
    /// The digits that the page shows, or the mailed code, in the first line of a file, or of standard input (-)
    #[arg(long, value_name = "FILE", requires = "assume_yes")]
    code_file: Option<PathBuf>,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn open(arguments: OpenArguments, language: Language) -> anyhow::Result<()> {
    let asker = Arc::new(Asker::of_desktop(language));
    let link = Zeroizing::new(arguments.link);
    let result = match read(&link) {
        Ok(link) => follow(link, &asker).await,
        Err(error) => Err(error),
    };
    // Whoever clicked sees no terminal.
    match &result {
        Ok(Outcome::Done { restart: false, .. } | Outcome::DeclinedFirst | Outcome::DeclinedSecond) => {}
        Ok(outcome) => asker.tell(&said(&asker, *outcome)),
        Err(error) => asker.tell(&exit::said(error).replacen(": ", "\n\n", 1)),
    }
    end(&asker, result?, false)
}

pub(crate) async fn renew(arguments: RenewArguments, language: Language) -> anyhow::Result<()> {
    run(arguments.common, Kind::Renew, arguments.serial, language).await
}

pub(crate) async fn enrol(arguments: EnrolArguments, language: Language) -> anyhow::Result<()> {
    run(arguments.common, Kind::Enrol, None, language).await
}

async fn run(common: Common, kind: Kind, serial: Option<SerialNumber>, language: Language) -> anyhow::Result<()> {
    let asker = Arc::new(if common.assume_yes { allowed(&common, language)? } else { Asker::of_desktop(language) });
    let given = match common.link.map(Zeroizing::new) {
        Some(dash) if *dash == "-" => Some(line("the link")?),
        Some(link) => Some(link),
        None => None,
    };
    let Some(text) = given else { return go_on(kind, &asker, common.json).await };
    let mut link = read(&text)?;
    if link.kind != kind {
        return Err(Fault::usage("the link is for another command: renew and enrol are two things").into());
    }
    link.serial = link.serial.or(serial);
    end(&asker, follow(link, &asker).await?, common.json)
}

/// Nobody is asked, where the machine's administrator has said that this may be. The digits stay: they tie the exchange to the page that
/// somebody looks at, which no permission can replace. A link can never bring this about, since `open` does not know it.
fn allowed(common: &Common, language: Language) -> anyhow::Result<Asker> {
    let config = Config::read(&Places::of_user()?)?;
    if !config.assume_yes {
        let reason =
            "--assume-yes is not allowed: the administrator's file /etc/koshin/agent.toml has to say assume_yes = true";
        return Err(Fault::new(Status::NotPermitted, reason).into());
    }
    let code = match &common.code_file {
        Some(dash) if dash == Path::new("-") => Some(line("the code")?),
        Some(file) => {
            let mut text = Zeroizing::new(String::new());
            let opened = std::fs::File::open(file).with_context(|| format!("{} cannot be opened", file.display()))?;
            opened.take(4096).read_to_string(&mut text)?;
            Some(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
        }
        None => None,
    };
    Ok(Asker::beforehand(language, code))
}

fn line(what: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    stdin().lock().take(4096).read_line(&mut line).with_context(|| format!("{what} cannot be read"))?;
    Ok(Zeroizing::new(line.trim().to_owned()))
}

fn read(text: &str) -> anyhow::Result<Link> {
    let link: Result<Link, _> = text.parse();
    link.with_context(|| format!("this is no link that this program takes ({SCHEME}:)"))
}

/// What every exchange needs.
struct Kit {
    config: Config,
    shelf: Shelf,
    stores: Stores,
}

fn kit(asker: &Arc<Asker>) -> anyhow::Result<Kit> {
    let places = Places::of_user()?;
    let config = Config::read(&places)?;
    let stores = Stores::find(&places, &config, asker);
    Ok(Kit { shelf: Shelf::new(&places.state), stores, config })
}

async fn follow(link: Link, asker: &Arc<Asker>) -> anyhow::Result<Outcome> {
    let places = Places::of_user()?;
    let config = Config::read(&places)?;
    // Before anything else is touched: a foreign page gets nothing moving here.
    let Some(portal) = config.portal(link.kind, &link.portal) else {
        return Err(Fault::new(Status::NotPermitted, asker.words.foreign(&link.portal.authority())).into());
    };
    let (shelf, stores) = (Shelf::new(&places.state), Stores::find(&places, &config, asker));
    let _locked = shelf.lock(&portal.origin)?;
    let desk = Desk { shelf: &shelf, stores: &stores, choice: &config.store, asker };
    journey::begin(&desk, portal, link).await?.go().await
}

/// Goes on with whatever is unfinished. Without any, a link is asked for where somebody can paste one.
async fn go_on(kind: Kind, asker: &Arc<Asker>, json: bool) -> anyhow::Result<()> {
    let Kit { config, shelf, stores } = kit(asker)?;
    let records: Vec<_> = shelf.records(None)?.into_iter().filter(|record| record.kind == kind).collect();
    if records.is_empty() {
        if !(stdin().is_terminal() && stderr().is_terminal()) {
            return Err(Fault::new(Status::NotFound, asker.words.nothing_unfinished()).into());
        }
        eprintln!("{}", asker.words.paste());
        let link = read(&line("the link")?)?;
        if link.kind != kind {
            return Err(Fault::usage("the link is for another command: renew and enrol are two things").into());
        }
        return end(asker, follow(link, asker).await?, json);
    }
    for record in records {
        let _locked = shelf.lock(&record.portal)?;
        // It may have been finished by another window before the lock was ours.
        let again = shelf.records(Some(&record.portal))?.into_iter().find(|one| one.name == record.name);
        let Some(record) = again else { continue };
        let desk = Desk { shelf: &shelf, stores: &stores, choice: &config.store, asker };
        end(asker, journey::unfinished(&desk, &config, record)?.go().await?, json)?;
    }
    Ok(())
}

/// Says how it ended.
fn end(asker: &Asker, outcome: Outcome, json: bool) -> anyhow::Result<()> {
    if json {
        let (word, serial) = match outcome {
            Outcome::Done { serial, .. } => ("done", Some(serial.to_string())),
            Outcome::DeclinedFirst => ("declined_first", None),
            Outcome::DeclinedSecond => ("declined_second", None),
            Outcome::Silence => ("silence", None),
        };
        exit::print(&json!({"outcome": word, "serial": serial}))?;
    }
    let text = said(asker, outcome);
    let status = match outcome {
        Outcome::Done { .. } => {
            eprintln!("{}: {text}", exit::PROGRAM);
            return Ok(());
        }
        Outcome::DeclinedFirst | Outcome::DeclinedSecond => Status::NotPermitted,
        Outcome::Silence => Status::TryAgain,
    };
    Err(Fault::new(status, text).into())
}

fn said(asker: &Asker, outcome: Outcome) -> String {
    let words = &asker.words;
    match outcome {
        Outcome::Done { serial, restart: false } => words.done(serial),
        Outcome::Done { serial, restart: true } => format!("{}\n{}", words.done(serial), words.restart()),
        Outcome::DeclinedFirst => words.declined_first().to_owned(),
        Outcome::DeclinedSecond => words.declined_second().to_owned(),
        Outcome::Silence => words.silence().to_owned(),
    }
}
