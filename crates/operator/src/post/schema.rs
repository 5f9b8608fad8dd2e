//! The tables of the configuration file that a mailer needs, and their defaults.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use koshin_expiry::PolicyConfig;
use serde::{Deserialize, Serialize};

/// Where everything is kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The database.
    pub database: PathBuf,
    /// The folder of the revocation list.
    pub lists: PathBuf,
}

impl Default for Storage {
    fn default() -> Self {
        Self { database: "koshin.db".into(), lists: "lists".into() }
    }
}

/// A text in both languages.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

/// Whose portal it is.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Brand {
    /// Who operates it.
    pub operator: Text,
    /// What it is called.
    pub portal: Text,
}

/// Whom to ask.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// What they are called.
    pub name: Text,
    /// Where they are reached.
    #[serde(default)]
    pub telephone: Option<String>,
    /// When they are reached.
    #[serde(default)]
    pub hours: Option<Text>,
}

/// How mails leave: exactly one of `smtp` and `maildir`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The visible sender.
    pub from: String,
    /// Who sends: `koshin serve` itself, or `koshin-mailer` instead.
    #[serde(default)]
    pub sent_by: Porter,
    /// A folder into which mails are written instead of being sent.
    #[serde(default)]
    pub maildir: Option<PathBuf>,
    /// The operator's own words: a folder with `ja/NAME.txt` and `en/NAME.txt`. Default: the built-in ones.
    #[serde(default)]
    pub texts: Option<PathBuf>,
    /// How many mails one address gets on one day, at most. Default: no limit.
    #[serde(default)]
    pub per_address_per_day: Option<NonZeroU32>,
    /// Where the figures of whoever sends can be read, on a loopback address. Default: nowhere.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// Whom the summary of each day goes to, and what no administrator can be told. Default: nobody.
    #[serde(default)]
    pub operator: Option<String>,
    /// In which language.
    #[serde(default)]
    pub operator_language: MailLanguage,
    /// The relay.
    #[serde(default)]
    pub smtp: Option<Smtp>,
    /// Default: nobody listens for what comes back.
    #[serde(default)]
    pub bounces: Option<Bounces>,
    /// When somebody has to look.
    #[serde(default)]
    pub alarm: AlarmTable,
    /// When administrators get the digests of their organizations.
    #[serde(default)]
    pub digest: DigestTable,
}

/// The language of a mail to somebody without an ID.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailLanguage {
    /// Japanese.
    #[default]
    Ja,
    /// English.
    En,
}

/// When digests go out, in the zone of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DigestTable {
    /// The day of the week.
    pub weekday: Day,
    /// The hour, 0 to 23.
    pub hour: u8,
}

impl Default for DigestTable {
    fn default() -> Self {
        Self { weekday: Day::Monday, hour: 9 }
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// Which program sends what is owed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Porter {
    /// `koshin serve`.
    #[default]
    #[serde(rename = "koshin")]
    Koshin,
    /// `koshin-mailer`, on the same database.
    #[serde(rename = "koshin-mailer")]
    Mailer,
}

/// After how long somebody has to look, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmTable {
    /// That a mail could be sent, or a notice planned, and nobody does.
    pub overdue_minutes: u32,
    /// That mails wait and none could be sent.
    pub silent_minutes: u32,
}

impl Default for AlarmTable {
    fn default() -> Self {
        Self { overdue_minutes: 15, silent_minutes: 240 }
    }
}

/// What comes back: mails leave from `prefix+TOKEN@domain`, and a mail server puts what is sent there into a maildir.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bounces {
    /// What the sender's address begins with.
    pub prefix: String,
    /// What it ends with.
    pub domain: String,
    /// With the key that tokens are made of, in hexadecimal digits.
    pub key_file: PathBuf,
    /// Where it arrives.
    pub maildir: PathBuf,
}

/// One relay.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Its name.
    pub host: String,
    /// Default: 587, with implicit TLS 465, without TLS 25.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Who logs in.
    #[serde(default)]
    pub user: Option<String>,
    /// With which password, in the first line of this file.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whose certificates are believed, in PEM. Default: the machine's trust anchors.
    #[serde(default)]
    pub roots: Option<PathBuf>,
    /// The name for EHLO. Default: the machine's.
    #[serde(default)]
    pub hello: Option<String>,
}

/// How the connection to the relay is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// From the first command on (RFC 3207).
    #[default]
    Starttls,
    /// From the first octet on (RFC 8314, 3.3).
    Implicit,
    /// Not at all.
    None,
}

/// The expiry policy, with the keys of `koshin policy eval` and `validity`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each key is explained where the policy is")]
pub struct PolicyTable {
    pub mode: String,
    pub tz: String,
    pub notice_days: u16,
    pub mail_days: Vec<u16>,
    pub reacquire_days: Days,
    pub validity: String,
    pub backdate_s: u32,
}

/// A number of days, or no end. TOML has no null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "a number of days or \"unlimited\"")]
pub enum Days {
    /// So many.
    Number(u32),
    /// No end.
    Word(Unlimited),
}

/// The word for no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unlimited {
    /// `unlimited`.
    Unlimited,
}

impl Default for PolicyTable {
    fn default() -> Self {
        let config = PolicyConfig::default();
        Self {
            mode: config.mode.to_string(),
            tz: "Asia/Tokyo".into(),
            notice_days: config.notice_days,
            mail_days: config.mail_days,
            reacquire_days: config.enrolment_days.map_or(Days::Word(Unlimited::Unlimited), Days::Number),
            validity: config.validity.to_string(),
            backdate_s: u32::try_from(config.backdate.as_secs()).unwrap_or(u32::MAX),
        }
    }
}
