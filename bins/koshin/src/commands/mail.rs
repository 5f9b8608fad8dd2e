//! `koshin mail`: the words of the mails, and who gets them.

use std::{fmt::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use koshin_notify::{
    Mail, Notice, Planner, Sender, Steward, WhyClosed, lint, masked_id, render, sample_mails, sample_names,
};
use koshin_operator::{
    instant::{self, rfc3339},
    machine,
    output::{Form, Row},
    post::KEY_OCTETS,
    secret,
};
use koshin_ra::{Registry as _, SubjectFile};
use koshin_types::{Language, SubjectId};
use serde::Serialize;
use serde_json::json;
use time::{Duration, UtcDateTime};
use zeroize::Zeroizing;

use super::desk::{self, ConfigFile, Place};
use crate::{
    clock::entropy,
    config::Checked,
    exit::{Fault, Status},
};

const LINT: &str = "\
Example:
koshin mail lint texts";
const PREVIEW: &str = "\
Example:
koshin mail preview expiry --language en --date 2026-11-22T00:00:00Z";
const TOMORROW: &str = "\
Example:
koshin mail tomorrow --date 2026-12-12T00:00:00Z";
const BOUNCE_KEY: &str = "\
Example:
koshin mail bounce-key bounces.key";

/// The mails: their words, and who gets them.
#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// Check a folder of texts and say all that is wrong with file and line; status 1 when something is
    #[command(after_help = LINT)]
    Lint(LintArguments),
    /// Show a mail as it would be sent, with made-up values or those of one ID. Nothing is sent
    #[command(after_help = PREVIEW)]
    Preview(PreviewArguments),
    /// List the mails that time makes due then, by what is known now. Nothing is planned or sent
    ///
    /// Notices of expiry, reminders of permissions, what administrators and the operator are told, digests and summaries. Who
    /// renews or is told before that instant is listed all the same.
    #[command(after_help = TOMORROW)]
    Tomorrow(TomorrowArguments),
    /// Make a key for the senders of mails, by which is recognized what comes back
    #[command(after_help = BOUNCE_KEY)]
    BounceKey(BounceKeyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    /// The folder, with ja/NAME.txt and en/NAME.txt [default: mail.texts of the configuration]
    folder: Option<PathBuf>,
    /// One line of JSON for each complaint
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(crate) struct PreviewArguments {
    /// Which mail, such as expiry or issued-by-renewal: its text file without the ending
    name: String,
    /// ja or en [default: that of the ID, else ja]
    #[arg(long)]
    language: Option<Language>,
    /// When it is sent [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    date: Option<UtcDateTime>,
    /// With the certificate of this ID
    #[arg(long, value_name = "ID")]
    subject: Option<SubjectId>,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(crate) struct TomorrowArguments {
    /// When [default: in 24 hours]
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    date: Option<UtcDateTime>,
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct BounceKeyArguments {
    /// The new file, which only you can read; one that exists is never replaced
    file: PathBuf,
}

pub(crate) async fn run(command: MailCommand) -> anyhow::Result<()> {
    match command {
        MailCommand::Lint(arguments) => check(arguments),
        MailCommand::Preview(arguments) => preview(arguments).await,
        MailCommand::Tomorrow(arguments) => tomorrow(arguments).await,
        MailCommand::BounceKey(BounceKeyArguments { file }) => {
            let mut key = Zeroizing::new([0; KEY_OCTETS]);
            entropy(key.as_mut_slice())?;
            let mut text = Zeroizing::new(String::with_capacity(2 * KEY_OCTETS + 1));
            key.iter().try_for_each(|octet| write!(text, "{octet:02x}"))?;
            text.push('\n');
            secret::create(&file, text.as_bytes(), true)
        }
    }
}

fn check(LintArguments { folder, json, file }: LintArguments) -> anyhow::Result<()> {
    let folder = if let Some(folder) = folder {
        folder
    } else {
        let checked = file.read()?;
        let texts = checked.config.mail.texts.as_deref().map(|texts| checked.path(texts));
        texts.ok_or_else(|| Fault::usage("name a folder: the configuration has no mail.texts"))?
    };
    let complaints = lint(&folder);
    let count = complaints.len();
    Form::new(json).list(complaints.into_iter().map(|complaint| ComplaintView {
        file: complaint.file,
        line: complaint.line,
        reason: complaint.fault.to_string(),
    }))?;
    match count {
        0 => Ok(()),
        1 => Err(Fault::new(Status::Failure, "1 complaint").into()),
        _ => Err(Fault::new(Status::Failure, format!("{count} complaints")).into()),
    }
}

/// One thing that is wrong with one text. The JSON is a contract: members are only added.
#[derive(Debug, Serialize)]
struct ComplaintView {
    file: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    reason: String,
}

impl Row for ComplaintView {
    const HEAD: &'static [&'static str] = &["FILE", "LINE", "REASON"];

    fn cells(&self) -> Vec<String> {
        vec![self.file.clone(), self.line.to_string(), self.reason.clone()]
    }
}

async fn preview(arguments: PreviewArguments) -> anyhow::Result<()> {
    let PreviewArguments { name, language, date, subject, json, file } = arguments;
    let checked = file.read()?;
    let sender = checked.worded()?;
    // Certificates count in whole seconds, and so do the examples.
    let now = date.unwrap_or_else(machine::now).truncate_to_second();
    let known = |language| sample_mails(language, now).find(|(other, _)| *other == name).map(|(_, mail)| mail);
    if known(Language::Ja).is_none() {
        let names: Vec<_> = sample_names().collect();
        return Err(Fault::not_found(format!("there is no mail {name:?}; there are {}", names.join(", "))).into());
    }
    let holder = match &subject {
        Some(id) => Some(holder(&checked, id).await?),
        None => None,
    };
    let registered = holder.as_ref().map(|file| file.subject.language);
    let language = language.or(registered).unwrap_or(Language::Ja);
    let mail = known(language).ok_or_else(|| Fault::not_found(name.clone()))?;
    let mail = match &holder {
        Some(file) => about(mail, file, &checked, now)?,
        None => mail,
    };
    shown(&name, &mail, &sender, json)
}

async fn holder(checked: &Checked, id: &SubjectId) -> anyhow::Result<std::sync::Arc<SubjectFile>> {
    let store = desk::open(&checked.database()).await?;
    let file = store.subject(id).await?;
    file.ok_or_else(|| Fault::not_found(format!("there is no subject {id}")).into())
}

/// The mail with everything in it that is known of one ID; the rest stays as it is in the example.
fn about(mail: Mail, file: &SubjectFile, checked: &Checked, now: UtcDateTime) -> anyhow::Result<Mail> {
    let outlook = file.holding.outlook(&checked.policy, now);
    let held = outlook.current.or(file.holding.certificates.last()).ok_or_else(|| {
        Fault::new(Status::State, format!("{} has no certificate to speak of; leave --subject out", file.subject.id))
    });
    let kind = match mail.kind {
        Notice::Expiry { renewal_opens, threshold_days, .. } => {
            let validity = held?.validity;
            let days = checked.policy.days_left(validity, now).unwrap_or_default();
            let opens = outlook.decision.map(|decision| decision.window_opens);
            Notice::Expiry {
                threshold_days,
                validity,
                days_left: u16::try_from(days).unwrap_or(u16::MAX),
                renewal_opens: renewal_opens.map(|example| opens.unwrap_or(example)),
            }
        }
        Notice::CertificateIssued { audience, way, .. } => {
            let held = held?;
            Notice::CertificateIssued { serial: held.serial, validity: held.validity, audience, way }
        }
        Notice::CertificateActivated { predecessor, .. } => {
            Notice::CertificateActivated { serial: held?.serial, predecessor }
        }
        Notice::StartedAgain { .. } => Notice::StartedAgain { serial: held?.serial },
        Notice::Revoked { reason, .. } => Notice::Revoked { serial: held?.serial, reason },
        Notice::Escalation { .. } => Notice::Escalation { validity: held?.validity },
        Notice::EnrolmentClosed { why: WhyClosed::StillValid { .. } } => {
            Notice::EnrolmentClosed { why: WhyClosed::StillValid { not_after: held?.validity.not_after() } }
        }
        Notice::EnrolmentClosed { why: WhyClosed::TooLate { .. } } => {
            Notice::EnrolmentClosed { why: WhyClosed::TooLate { not_after: held?.validity.not_after() } }
        }
        Notice::EnrolmentPermitted { until } => {
            Notice::EnrolmentPermitted { until: file.holding.grant.map_or(until, |grant| grant.until) }
        }
        Notice::EnrolmentReminder { until } => {
            Notice::EnrolmentReminder { until: file.holding.grant.map_or(until, |grant| grant.until) }
        }
        Notice::Digest { .. } | Notice::OperatorSummary { .. } => {
            return Err(Fault::usage("this mail speaks of no single ID; leave --subject out").into());
        }
        other => other,
    };
    Ok(Mail { kind, subject_id: file.subject.id.clone(), ..mail })
}

fn shown(name: &str, mail: &Mail, sender: &Sender, json: bool) -> anyhow::Result<()> {
    use std::io::Write as _;
    let words = render(mail, sender);
    if json {
        return Form::Json.one(&json!({
            "name": name,
            "language": mail.language.as_str(),
            "subject": words.subject,
            "text": words.text.as_str(),
        }));
    }
    let mut out = koshin_operator::output::stdout();
    write!(out, "Subject: {}\n\n{}", words.subject, *words.text)?;
    Ok(out.flush()?)
}

async fn tomorrow(TomorrowArguments { date, json, place }: TomorrowArguments) -> anyhow::Result<()> {
    let desk = place.open().await?;
    let at = date.unwrap_or_else(|| desk.now.saturating_add(Duration::DAY));
    let planner = Planner::new(desk.store.clone(), koshin_expiry::Policy::clone(&desk.policy));
    let steward = Steward::new(desk.store.clone(), koshin_expiry::Policy::clone(&desk.policy), desk.zone.clone());
    let steward = steward.with_operator(desk.overview.operator).with_rhythm(desk.overview.rhythm);
    let mut mails = planner.rehearse(at).await?;
    mails.extend(steward.rehearse(at).await?);
    mails.sort_by(|one, other| {
        let key = |mail: &Mail| (mail.subject_id.as_str().to_owned(), mail.kind.threshold(), mail.kind.word(), mail.id);
        key(one).cmp(&key(other))
    });
    Form::new(json).list(mails.iter().map(Due::new))
}

/// One mail that is due. The JSON is a contract: members are only added.
#[derive(Debug, Serialize)]
struct Due {
    /// The ID, as the mail shows it.
    masked: String,
    subject: String,
    /// The address, without what would tell it.
    to: String,
    language: &'static str,
    /// What it is: `expiry`, or the word of another kind.
    kind: &'static str,
    /// Of a notice of expiry, like the next one.
    threshold_days: Option<u16>,
    days_left: Option<u16>,
    /// Of the certificate that it is about.
    not_after: Option<String>,
    mail: String,
}

impl Due {
    fn new(mail: &Mail) -> Self {
        let (days_left, validity) = match &mail.kind {
            Notice::Expiry { validity, days_left, .. } => (Some(*days_left), Some(*validity)),
            Notice::Escalation { validity } => (None, Some(*validity)),
            _ => (None, None),
        };
        Self {
            masked: masked_id(&mail.subject_id),
            subject: mail.subject_id.to_string(),
            to: mail.to.masked(),
            language: mail.language.as_str(),
            kind: mail.kind.word(),
            threshold_days: mail.kind.threshold(),
            days_left,
            not_after: validity.map(|validity| rfc3339(validity.not_after())),
            mail: mail.id.to_string(),
        }
    }
}

impl Row for Due {
    const HEAD: &'static [&'static str] = &["SUBJECT", "TO", "MAIL OF", "LEFT", "ENDS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.subject.clone(),
            self.to.clone(),
            self.threshold_days.map_or_else(|| self.kind.to_owned(), |days| format!("{days} days")),
            self.days_left.map(|days| days.to_string()).unwrap_or_default(),
            self.not_after.clone().unwrap_or_default(),
        ]
    }
}
