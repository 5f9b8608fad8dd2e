//! `koshin policy explain`: for a person.

use std::io::Write as _;

use clap::Args;
use koshin_expiry::{Decision, Phase, Policy, Standing};
use koshin_web::screens::Zone as _;
use serde_json::{Value, json};
use time::UtcDateTime;

use super::{
    eval::View,
    lines::{At, Wrong},
    tables::{PolicyObject, RenewalWord, StatusWord, validity},
};
use crate::{clock, exit::Fault, instant, output::Form, zone::NamedZone};

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
    /// One line of JSON, as `policy eval` writes it, with what comes next in "changes"
    #[arg(long)]
    json: bool,
}

/// What comes next is told up to so many changes; counting down the days is none.
const MOST: usize = 16;

pub(super) fn run(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let object: PolicyObject =
        serde_json::from_str(&arguments.policy).map_err(|error| Fault::usage(format!("--policy: {error}")))?;
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
    let now = arguments.now.unwrap_or_else(clock::now);
    let story = story(&policy, &standing, now);
    if arguments.json {
        let mut view = serde_json::to_value(View::new(Value::Null, policy.decide(&standing, now)))?;
        let changes = story.iter().map(|(at, words)| json!({"at": instant::rfc3339(*at), "what": words}));
        if let Some(object) = view.as_object_mut() {
            object.remove("id");
            object.insert("changes".into(), changes.collect());
        }
        return Form::Json.one(&view);
    }
    let decision = policy.decide(&standing, now);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", moment(&zone, now))?;
    present(&decision).iter().try_for_each(|words| writeln!(out, "  {words}"))?;
    for (at, words) in &story {
        writeln!(out, "{}", moment(&zone, *at))?;
        words.iter().try_for_each(|words| writeln!(out, "  {words}"))?;
    }
    if story.is_empty() {
        writeln!(out, "Nothing changes by itself any more.")?;
    }
    Ok(())
}

fn moment(zone: &NamedZone, at: UtcDateTime) -> String {
    let clocked = zone.clocked(at);
    let utc = time::OffsetDateTime::from(at);
    let local = utc.checked_to_offset(clocked.offset).unwrap_or(utc);
    let (date, weekday) = (local.date(), local.weekday().to_string());
    let (hour, minute, second) = local.time().as_hms();
    let weekday = weekday.get(..3).unwrap_or(&weekday);
    let utc = instant::rfc3339(at);
    format!("{date} {weekday} {hour:02}:{minute:02}:{second:02} {} ({utc})", clocked.abbreviation)
}

/// What holds now.
fn present(decision: &Decision) -> Vec<String> {
    let mut words = vec![
        match (decision.phase, decision.days_left) {
            (Phase::NotYetValid, _) => "The certificate is not yet valid.".to_owned(),
            (Phase::Valid, Some(1)) => "The certificate is valid; one day is left.".to_owned(),
            (Phase::Valid, Some(days @ 1..)) => format!("The certificate is valid; {days} days are left."),
            (Phase::Valid, _) => "The certificate is valid; this is its last day.".to_owned(),
            (Phase::Expired, _) => "The certificate has expired.".to_owned(),
        },
        can(decision.login, "log in"),
        can(decision.renewal, "see the notice and renew"),
        can(decision.enrolment, "enrol without a valid certificate"),
    ];
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
    while let (Some(at), true) = (before.next_change, story.len() < MOST) {
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
