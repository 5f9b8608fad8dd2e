//! What comes back: delivery status notifications (RFC 3464) out of a maildir.
//!
//! A report is believed when the address it came to bears a token of ours ([`Verp`]); nothing else in it names the mail.
//! Everything in it was written by others: it is read up to a size, never answered, and never quoted but for one line
//! without addresses.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use mail_parser::{MessageParser, MimeHeaders as _};
use time::{Duration, UtcDateTime};

use crate::{Bounce, MailId, OutboxError, Reply, Tasks, Verp};

/// A report about one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The mail.
    pub mail: MailId,
    /// What became of it.
    pub bounce: Bounce,
}

impl Report {
    /// The longest report that is read, in octets: what is longer returns more than a report has to.
    pub const MAX_OCTETS: usize = 1024 * 1024;

    /// Reads a message as a report.
    ///
    /// # Errors
    ///
    /// [`NoReport`] when it is none, is none about a mail of ours, or contradicts itself.
    ///
    /// ```
    /// use koshin_notify::bounces::Report;
    /// assert_eq!(Report::MAX_OCTETS, 1_048_576);
    /// ```
    pub fn read(octets: &[u8], verp: &Verp) -> Result<Self, NoReport> {
        if octets.len() > Self::MAX_OCTETS {
            return Err(NoReport::TooLong { octets: octets.len() as u64 });
        }
        let parser = MessageParser::new();
        let message = parser.parse_headers(octets).ok_or(NoReport::NotAReport)?;
        let kind = message.content_type().ok_or(NoReport::NotAReport)?;
        let boundary = kind.attribute("boundary").ok_or(NoReport::NotAReport)?;
        // Only the parts of this message: what a returned message holds was written by anybody, and is not looked into.
        let mut status = parts(octets, boundary).into_iter().filter(|part| {
            parser.parse_headers(part).as_ref().and_then(|part| part.content_type()).is_some_and(|kind| {
                // The latter is for addresses outside ASCII (RFC 6533, 4).
                let status = ["delivery-status", "global-delivery-status"].iter().any(|name| is(kind.subtype(), name));
                kind.ctype().eq_ignore_ascii_case("message") && status
            })
        });
        let status = (status.next(), status.next());
        let reports = is(kind.subtype(), "report") && is(kind.attribute("report-type"), "delivery-status");
        // OpenSMTPD sends the parts of a report, but does not call them one.
        let as_good = is(kind.subtype(), "mixed") && status.0.is_some();
        if !kind.ctype().eq_ignore_ascii_case("multipart") || !(reports || as_good) {
            return Err(NoReport::NotAReport);
        }
        let mut mails = BTreeSet::new();
        for (name, value) in message.headers_raw() {
            if ["to", "delivered-to", "x-original-to", "envelope-to"].contains(&name.to_ascii_lowercase().as_str()) {
                let words = value.split(|c: char| c.is_whitespace() || "<>,;:\"()".contains(c));
                mails.extend(words.filter_map(|word| verp.mail(word)));
            }
        }
        let mut mails = mails.into_iter();
        let (Some(mail), None) = (mails.next(), mails.next()) else { return Err(NoReport::NotOurs) };
        let (Some(part), None) = status else { return Err(NoReport::NoStatus) };
        let part = parser.parse(part).ok_or(NoReport::NoStatus)?;
        let text = part.parts.first().map(|part| String::from_utf8_lossy(part.contents())).unwrap_or_default();
        Ok(Self { mail, bounce: read_status(&text)? })
    }
}

fn is(one: Option<&str>, other: &str) -> bool {
    one.is_some_and(|one| one.eq_ignore_ascii_case(other))
}

/// What stands between the lines of a boundary (RFC 2046, 5.1.1). Where the last of them is missing, the message is.
fn parts<'a>(octets: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let (mut parts, mut begins, mut at) = (Vec::new(), None, 0);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let text = line.trim_ascii_end();
        let closes = text.strip_suffix(b"--") == Some(&delimiter);
        if closes || text == delimiter {
            parts.extend(begins.and_then(|begins| octets.get(begins..at)));
            begins = (!closes).then_some(at + line.len());
        }
        if closes {
            break;
        }
        at += line.len();
    }
    parts
}

/// Why a message is no report about a mail of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoReport {
    /// Longer than anybody reads.
    #[error("{octets} octets, at most {} are read", Report::MAX_OCTETS)]
    TooLong {
        /// Octets.
        octets: u64,
    },
    /// No multipart/report about a delivery, nor the parts of one under another name: an auto-reply, or anything else that
    /// people and programs send.
    #[error("no report about a delivery")]
    NotAReport,
    /// It came to no address of ours, or to several.
    #[error("it came to no sender of one mail of ours")]
    NotOurs,
    /// It says about no recipient what became of the mail.
    #[error("it does not say what became of the mail")]
    NoStatus,
    /// Action and status do not fit together.
    #[error("action {action} and status {status} contradict each other")]
    Contradiction {
        /// The action.
        action: String,
        /// The status.
        status: String,
    },
    /// The mail has arrived or went on: nothing is to be done.
    #[error("it says that all is well")]
    AllIsWell,
}

/// The groups of fields of a delivery status: the first is about the message, each other about one recipient. A mail of
/// ours has one, but an address may stand for several people: it has failed when it did for all of them.
fn read_status(text: &str) -> Result<Bounce, NoReport> {
    let text = text.replace("\r\n", "\n");
    let groups = text.split("\n\n").map(str::trim).filter(|group| !group.is_empty());
    let (mut failed, mut delayed, mut well, mut said) = (0, 0, 0, None);
    for group in groups {
        let fields = fields(group);
        let field = |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let Some(action) = field("action") else { continue };
        let status = field("status").and_then(|status| status.split_whitespace().next()).unwrap_or_default();
        let action = action.to_ascii_lowercase();
        let class = status.split('.').next().unwrap_or_default();
        let proper = status.split('.').count() == 3
            && status.split('.').all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|d| d.is_ascii_digit()));
        match (action.as_str(), class) {
            // A server that tried for days gives up with 4.4.7.
            ("failed", "5" | "4") if proper => failed += 1,
            ("delayed", "4") if proper => delayed += 1,
            ("delivered" | "relayed" | "expanded", "2") if proper => well += 1,
            _ => {
                let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(20).collect();
                return Err(NoReport::Contradiction { action: cut(&action), status: cut(status) });
            }
        }
        if said.is_none() && action != "delivered" {
            let diagnostic = field("diagnostic-code").unwrap_or_default();
            let words = diagnostic.split_once(';').map_or(diagnostic, |(_, words)| words);
            said = Some(Reply::new(None, &format!("{status} {words}")));
        }
    }
    let reply = said.unwrap_or_else(|| Reply::new(None, ""));
    match (failed, delayed, well) {
        (0, 0, 0) => Err(NoReport::NoStatus),
        (0, 0, _) => Err(NoReport::AllIsWell),
        (_, 0, 0) => Ok(Bounce::Failed { reply }),
        _ => Ok(Bounce::Delayed { reply }),
    }
}

/// Fields with their names in lower case and their values on one line.
fn fields(group: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in group.lines() {
        match (line.strip_prefix([' ', '\t']), fields.last_mut(), line.split_once(':')) {
            (Some(more), Some((_, value)), _) => {
                value.push(' ');
                value.push_str(more.trim());
            }
            (None, _, Some((name, value))) => fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
            _ => {}
        }
    }
    fields
}

/// A maildir into which a mail server delivers what comes to our senders.
#[derive(Debug, Clone)]
pub struct BounceBox {
    folder: PathBuf,
}

/// What was found in a [`BounceBox`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Reports that were noted.
    pub noted: u64,
    /// Reports that changed nothing: about mails that had an end, or that say that all is well.
    pub idle: u64,
    /// Messages that are no report about a mail of ours.
    pub foreign: u64,
}

/// Messages that are read in one run, and looked at whether they are to go.
const BATCH: usize = 1_000;
/// How long a message is kept after it was read: long enough to look at one whose task is open.
const KEPT: Duration = Duration::days(30);

impl BounceBox {
    /// Takes a maildir with its folders `new` and `cur`.
    ///
    /// # Errors
    ///
    /// That of the file system.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        for name in ["new", "cur"] {
            fs::create_dir_all(folder.join(name))?;
        }
        Ok(Self { folder })
    }

    /// Reads the messages in `new`, at most 1,000, notes what they report, and moves each to `cur`. A message that
    /// was noted and not moved is noted again, which changes nothing. What was read 30 days ago is removed, of the 1,000
    /// oldest in `cur`.
    ///
    /// # Errors
    ///
    /// [`CollectError`]: what was not noted stays in `new`.
    pub async fn collect(&self, verp: &Verp, tasks: &dyn Tasks, now: UtcDateTime) -> Result<Collected, CollectError> {
        let new = self.folder.join("new");
        let names = blocking(move || waiting(&new)).await?;
        let mut collected = Collected::default();
        for name in names {
            let (path, of) = (self.folder.join("new").join(&name), verp.clone());
            let read =
                blocking(move || octets(&path).map(|octets| octets.and_then(|octets| Report::read(&octets, &of))));
            match read.await? {
                Ok(report) => {
                    if tasks.bounced(report.mail, &report.bounce, now).await.map_err(CollectError::Outbox)? {
                        tracing::info!(mail = %report.mail, "mail came back");
                        collected.noted += 1;
                    } else {
                        collected.idle += 1;
                    }
                }
                Err(NoReport::AllIsWell) => collected.idle += 1,
                Err(reason) => {
                    tracing::info!(%reason, "message left aside");
                    collected.foreign += 1;
                }
            }
            let (from, to) = (self.folder.join("new").join(&name), self.folder.join("cur").join(format!("{name}:2,S")));
            blocking(move || fs::rename(from, to)).await?;
        }
        let cur = self.folder.join("cur");
        blocking(move || tidy(&cur, now)).await?;
        Ok(collected)
    }
}

/// Why the messages of a maildir were not all read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// A file or folder.
    #[error("the maildir of what comes back cannot be read")]
    Maildir(#[source] io::Error),
    /// The outbox.
    #[error("what came back cannot be noted")]
    Outbox(#[source] OutboxError),
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, CollectError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map_err(CollectError::Maildir)
}

/// The names of the messages that wait, the oldest first as maildirs name them.
fn waiting(new: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(new)? {
        let entry = entry?;
        // Nothing but files: a link would lead the reader elsewhere.
        if entry.file_type()?.is_file() {
            names.extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
        }
    }
    names.sort();
    names.truncate(BATCH);
    Ok(names)
}

/// Removes what was moved here long ago.
fn tidy(cur: &Path, now: UtcDateTime) -> io::Result<()> {
    for name in waiting(cur)? {
        let file = cur.join(name);
        match read_at(&file) {
            Ok(at) if at.saturating_add(KEPT) < now => fs::remove_file(file)?,
            // Somebody else tidies up too.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// When a message was read: moving it was the last that was done to it.
fn read_at(file: &Path) -> io::Result<UtcDateTime> {
    let metadata = fs::symlink_metadata(file)?;
    #[cfg(unix)]
    let seconds = std::os::unix::fs::MetadataExt::ctime(&metadata);
    #[cfg(not(unix))]
    let seconds = UtcDateTime::from(metadata.modified()?).unix_timestamp();
    UtcDateTime::from_unix_timestamp(seconds).map_err(io::Error::other)
}

/// A message, as far as it is short enough.
fn octets(path: &Path) -> io::Result<Result<Vec<u8>, NoReport>> {
    let file = fs::File::open(path)?;
    let (mut octets, most) = (Vec::new(), Report::MAX_OCTETS as u64);
    file.take(most + 1).read_to_end(&mut octets)?;
    let long = octets.len() as u64 > most;
    Ok(if long { Err(NoReport::TooLong { octets: fs::metadata(path)?.len() }) } else { Ok(octets) })
}
