//! `koshin policy explain`: for a person.

use std::io::Write as _;

use clap::Args;
use koshin_expiry::{Decision, Phase, Policy, Standing};
use koshin_operator::{instant, machine, output::Form, zone::NamedZone};
use serde::Serialize;
use serde_json::json;
use time::UtcDateTime;

use super::{
    eval::View,
    lines::{At, Wrong, read},
    tables::{PolicyObject, RenewalWord, StatusWord, validity},
};
use crate::exit::Fault;

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The first second of the certificate, such as 2026-03-01T03:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    not_before: UtcDateTime,
    /// Its last second
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    not_after: UtcDateTime,
    /// The instant to look from [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    now: Option<UtcDateTime>,
    /// The policy, as an object of JSON with keys as for `policy eval`
    #[arg(long, value_name = "JSON", default_value = "{}")]
    policy: String,
    /// The certificate's status
    #[arg(long, value_enum, default_value = "active")]
    status: StatusWord,
    /// How far its renewal has come
    #[arg(long, value_enum, default_value = "none")]
    renewal: RenewalWord,
    /// An issue permission is open
    #[arg(long)]
    grant: bool,
    /// Mail thresholds that were sent or closed
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    sent: Vec<u16>,
    /// One line of JSON, as `policy eval` writes it but without "id", with what comes next in "changes"
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let object: PolicyObject = read(&arguments.policy).map_err(|Wrong { key, reason }| {
        let place = if key.is_empty() { String::new() } else { format!("{key}: ") };
        Fault::usage(format!("--policy: {place}{reason}"))
    })?;
    let zone = NamedZone::find(&object.tz).map_err(|error| Fault::usage(format!("--policy: tz: {error:#}")))?;
    let wrong = |Wrong { key, reason }: Wrong| Fault::usage(format!("{key}: {reason}"));
    let policy = object.policy(zone.clone().into()).map_err(wrong)?;
    let standing = Standing {
        validity: validity(At(arguments.not_before), At(arguments.not_after)).map_err(wrong)?,
        status: arguments.status.into(),
        successor: arguments.renewal.into(),
        grant: arguments.grant,
        closed: &arguments.sent,
    };
    let now = arguments.now.unwrap_or_else(machine::now);
    let story = story(&policy, &standing, now);
    if arguments.json {
        let decision = View::new(None, policy.decide(&standing, now));
        let changes = story.iter().map(|(at, words)| json!({"at": instant::rfc3339(*at), "what": words}));
        return Form::Json.one(&Explained { decision, changes: changes.collect() });
    }
    let decision = policy.decide(&standing, now);
    let mut out = koshin_operator::output::stdout();
    writeln!(out, "{}", moment(&zone, now))?;
    present(&decision, arguments).iter().try_for_each(|words| writeln!(out, "  {words}"))?;
    for (at, words) in &story {
        writeln!(out, "{}", moment(&zone, *at))?;
        words.iter().try_for_each(|words| writeln!(out, "  {words}"))?;
    }
    if story.is_empty() {
        writeln!(out, "Nothing changes by itself any more.")?;
    }
    Ok(())
}

/// The decision, and what follows from it if nobody does anything.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    decision: View,
    changes: Vec<serde_json::Value>,
}

fn moment(zone: &NamedZone, at: UtcDateTime) -> String {
    let (offset, abbreviation) = zone.info_at(at);
    let utc = time::OffsetDateTime::from(at);
    let local = utc.checked_to_offset(offset).unwrap_or(utc);
    let (date, weekday) = (local.date(), local.weekday().to_string());
    let (hour, minute, second) = local.time().as_hms();
    let weekday = weekday.get(..3).unwrap_or(&weekday);
    let utc = instant::rfc3339(at);
    format!("{date} {weekday} {hour:02}:{minute:02}:{second:02} {abbreviation} ({utc})")
}

/// What holds now. What its dates say comes second where it is out of use whatever they say.
fn present(decision: &Decision, arguments: &ExplainArguments) -> Vec<String> {
    let out_of_use = match (arguments.status, arguments.renewal) {
        (StatusWord::Revoked, _) => Some("The certificate is revoked, for ever."),
        (StatusWord::Superseded, _) => Some("The certificate is superseded: another one took its place."),
        (StatusWord::Active, RenewalWord::Installed) => {
            Some("The certificate's successor is installed and takes its place.")
        }
        (StatusWord::Active, _) => None,
    };
    let valid = if out_of_use.is_some() { "Its dates have not ended" } else { "The certificate is valid" };
    let dates = match (decision.phase, decision.days_left) {
        (Phase::NotYetValid, _) => "The certificate is not yet valid.".to_owned(),
        (Phase::Valid, Some(1)) => format!("{valid}; one day is left."),
        (Phase::Valid, Some(days @ 1..)) => format!("{valid}; {days} days are left."),
        (Phase::Valid, _) => format!("{valid}; this is its last day."),
        (Phase::Expired, _) => "The certificate has expired.".to_owned(),
    };
    let mut words: Vec<_> = out_of_use.map(str::to_owned).into_iter().collect();
    words.extend([
        dates,
        can(decision.login, "log in with it"),
        can(decision.renewal, "see the notice and renew"),
        can(decision.enrolment, "enrol without a valid certificate"),
    ]);
    words.extend(decision.mail_due.map(|days| due(days, decision)));
    words
}

fn can(can: bool, what: &str) -> String {
    format!("Its holder can{} {what}.", if can { "" } else { "not" })
}

fn due(days: u16, decision: &Decision) -> String {
    let skipped: Vec<_> = decision.mails_closed.iter().map(|days| format!("the {days}-day mail")).collect();
    if skipped.is_empty() {
        return format!("The {days}-day mail is due.");
    }
    format!("The {days}-day mail is due; {} will never be sent.", skipped.join(", "))
}

/// The changes to come, if nobody does anything and every mail that falls due is sent.
fn story(policy: &Policy, standing: &Standing<'_>, now: UtcDateTime) -> Vec<(UtcDateTime, Vec<String>)> {
    let mut closed = standing.closed.to_vec();
    let mut before = policy.decide(standing, now);
    let mut story = Vec::new();
    // Every change lies after the one before, and there is a last one: the days that are counted down are limited too.
    while let Some(at) = before.next_change {
        closed.extend(before.mail_due.into_iter().chain(before.mails_closed.iter().copied()));
        let after = policy.decide(&Standing { closed: &closed, ..*standing }, at);
        let words = differences(&before, &after);
        if !words.is_empty() {
            story.push((at, words));
        }
        before = after;
    }
    story
}

fn differences(before: &Decision, after: &Decision) -> Vec<String> {
    let mut words = Vec::new();
    if before.phase != after.phase {
        words.push(match after.phase {
            Phase::NotYetValid => "The certificate is not yet valid.".to_owned(),
            Phase::Valid => "The certificate becomes valid.".to_owned(),
            Phase::Expired => "The certificate has expired.".to_owned(),
        });
    }
    let abilities = [
        (before.login, after.login, "logging in"),
        (before.renewal, after.renewal, "the notice and renewal"),
        (before.enrolment, after.enrolment, "enrolment without a valid certificate"),
    ];
    for (was, is, what) in abilities {
        if was != is {
            words.push(format!("The time for {what} {}.", if is { "begins" } else { "ends" }));
        }
    }
    if before.mail_due != after.mail_due {
        words.extend(after.mail_due.map(|days| due(days, after)));
    }
    words
}
