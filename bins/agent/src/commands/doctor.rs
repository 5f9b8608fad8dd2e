//! `koshin-agent doctor`: how everything stands, and the one next step.

use std::sync::Arc;

use clap::Args;
use koshin_types::Language;
use serde::Serialize;
use serde_json::json;
use time::{PrimitiveDateTime, UtcDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{kept, now};
use crate::{
    ask::{Asker, installed},
    config::{Config, Portal},
    exit::{self, Fault, Status, harmless},
    http::Caller,
    places::Places,
    register::{self, Standing},
    state::Shelf,
    stores::Stores,
};

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

/// How bad a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Good,
    Note,
    Problem,
}

#[derive(Debug, Serialize)]
struct Finding {
    about: &'static str,
    grade: Grade,
    says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, about: &'static str, says: impl Into<String>) {
        self.0.push(Finding { about, grade: Grade::Good, says: says.into(), next: None });
    }

    fn add(&mut self, about: &'static str, grade: Grade, says: impl Into<String>, next: impl Into<String>) {
        self.0.push(Finding { about, grade, says: says.into(), next: Some(next.into()) });
    }
}

pub(crate) async fn run(arguments: &DoctorArguments, language: Language) -> anyhow::Result<()> {
    let places = Places::of_user()?;
    let config = Config::read(&places)?;
    let asker = Arc::new(Asker::of_desktop(language));
    let stores = Stores::find(&places, &config, &asker);
    let mut findings = Findings::default();
    // In the order in which things have to be put right.
    registration(&mut findings, &places, &config)?;
    for portal in &config.portals {
        reachability(&mut findings, portal, language).await;
    }
    kept_keys(&mut findings, &stores, &config)?;
    unfinished(&mut findings, &places)?;
    say(arguments.json, &findings.0)
}

fn registration(findings: &mut Findings, places: &Places, config: &Config) -> anyhow::Result<()> {
    let program = register::this_program()?;
    let command = "koshin-agent register --portal https://… ".trim_end();
    match register::standing(places, &program)? {
        Standing::Here => findings.good("links", "koshin: links are opened by this program"),
        Standing::Elsewhere { by } => {
            findings.add(
                "links",
                Grade::Problem,
                format!("koshin: links are opened by something else: {by}"),
                "koshin-agent register",
            );
        }
        Standing::Nowhere => {
            findings.add("links", Grade::Problem, "nothing opens koshin: links for you", command);
        }
    }
    if config.portals.is_empty() {
        findings.add("portals", Grade::Problem, "no portal is configured", command);
    }
    for portal in &config.portals {
        findings.good("portals", portal.origin.to_string());
    }
    if cfg!(target_os = "linux") && installed().is_empty() {
        let says = "no program for dialogs was found; questions appear in a terminal";
        findings.add("dialogs", Grade::Note, says, "install zenity or kdialog, then koshin-agent register");
    }
    Ok(())
}

async fn reachability(findings: &mut Findings, portal: &Portal, language: Language) {
    let host = portal.public.as_ref().unwrap_or(&portal.origin);
    let answer = match portal.client(language) {
        Ok(client) => client.date(host, &Caller::Nobody).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    match answer {
        Ok(date) => {
            findings.good("portal", format!("{host} answers"));
            clock(findings, date.as_deref(), now());
        }
        Err(error) => {
            let next = "look at the network; if it is another CA than is registered, koshin-agent register --portal … --ca FILE";
            findings.add("portal", Grade::Problem, exit::said(&error), next);
        }
    }
}

/// A certificate's life is counted by the clock, so a wrong one looks like a wrong certificate.
fn clock(findings: &mut Findings, date: Option<&str>, now: UtcDateTime) {
    let Some(theirs) = date.and_then(http_date) else { return };
    let seconds = (now - theirs).whole_seconds();
    match seconds.unsigned_abs() {
        0..=60 => findings.good("clock", format!("within {} s of the portal's", seconds.unsigned_abs())),
        61..=300 => findings.add("clock", Grade::Note, format!("{seconds} s from the portal's"), "set this PC's clock"),
        _ => findings.add("clock", Grade::Problem, format!("{seconds} s from the portal's"), "set this PC's clock"),
    }
}

/// An instant as HTTP writes it (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<UtcDateTime> {
    const FORM: &[BorrowedFormatItem<'_>] = format_description!(
        version = 2,
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    PrimitiveDateTime::parse(text, FORM).ok().map(PrimitiveDateTime::as_utc)
}

fn kept_keys(findings: &mut Findings, stores: &Stores, config: &Config) -> anyhow::Result<()> {
    for store in stores.all() {
        findings.good("store", format!("{}: new keys are kept at the level {}", store.describe(), store.protection()));
    }
    for trouble in stores.troubles() {
        let remedy = trouble.remedy.as_deref().unwrap_or("needed only if a key lies there");
        findings.add("store", Grade::Note, trouble.says.clone(), remedy);
    }
    if let Err(error) = stores.for_new_keys(&config.store) {
        findings.add("store", Grade::Problem, exit::said(&error), "install libnss3 (it comes with Chromium)");
    }
    for row in kept::rows(stores)? {
        let of = |name: &str| row.get(name).and_then(serde_json::Value::as_str).unwrap_or("-");
        let says = format!("{} {} until {} ({})", of("serial"), of("subject"), of("not_after"), of("state"));
        match of("state") {
            "expired" => {
                findings.add("certificate", Grade::Note, says, "obtain a new one from the portal's login page");
            }
            _ => findings.good("certificate", says),
        }
    }
    Ok(())
}

fn unfinished(findings: &mut Findings, places: &Places) -> anyhow::Result<()> {
    for record in Shelf::new(&places.state).records(None)? {
        let word = match record.kind {
            crate::link::Kind::Renew => "renew",
            crate::link::Kind::Enrol => "enrol",
        };
        let says = format!("{}: unfinished ({})", record.portal.authority(), record.word());
        findings.add("unfinished", Grade::Problem, says, format!("koshin-agent {word}, or click again in the page"));
    }
    Ok(())
}

fn say(json: bool, findings: &[Finding]) -> anyhow::Result<()> {
    let worst = findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Good);
    let first = findings.iter().find(|finding| finding.grade == worst && worst == Grade::Problem);
    let next = first.and_then(|finding| finding.next.clone());
    if json {
        exit::print(&json!({"ok": worst != Grade::Problem, "findings": findings, "next": next}))?;
    } else {
        for finding in findings {
            let mark = match finding.grade {
                Grade::Good => "ok  ",
                Grade::Note => "note",
                Grade::Problem => "!!  ",
            };
            exit::print(&format!("{mark} {}: {}", finding.about, harmless(&finding.says)))?;
        }
        if let Some(next) = &next {
            exit::print(&format!("next: {next}"))?;
        }
    }
    match first {
        None => Ok(()),
        Some(finding) => Err(Fault::new(Status::State, format!("{}: {}", finding.about, finding.says)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_found() {
        let now = http_date("Mon, 23 Nov 2026 01:00:00 GMT").unwrap();
        let grade = |date: &str| {
            let mut findings = Findings::default();
            clock(&mut findings, Some(date), now);
            findings.0.first().map(|finding| finding.grade)
        };
        assert_eq!(grade("Mon, 23 Nov 2026 00:59:30 GMT"), Some(Grade::Good));
        assert_eq!(grade("Mon, 23 Nov 2026 01:02:00 GMT"), Some(Grade::Note));
        assert_eq!(grade("Sun, 22 Nov 2026 01:00:00 GMT"), Some(Grade::Problem));
        assert_eq!(grade("yesterday"), None);
    }
}
