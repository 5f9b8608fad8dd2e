//! From the tables to what works by them. Each problem is said with its key.

use std::{fs, path::Path, sync::Arc, time::Duration as Wait};

use anyhow::Context as _;
use koshin_expiry::{Policy, PolicyConfig};
use koshin_notify::{
    Address, Bilingual, Complaints, Maildir, Operator, Rhythm, Sender, Settings, SmtpTransport, Texts, Transport, Verp,
    Zone as MailZone,
    bounces::BounceBox,
    smtp::{Login, Roots, SmtpConfig, Tls},
};
use koshin_types::Language;
use time::{UtcDateTime, Weekday};

use super::{
    AlarmTable, Bounces, Brand, Contact, Day, Days, Limits, Mail, MailLanguage, Overview, PolicyTable, Returns, Smtp,
    SmtpTls, Text, Wording,
};
use crate::{
    config::{Problems, resolve},
    exit::Known,
    secret,
    zone::NamedZone,
};

/// Octets of the key from which the senders of mails are made.
pub const KEY_OCTETS: usize = 32;

impl PolicyTable {
    /// The zone and the policy in it; `None` after a problem.
    pub fn policy(&self, problems: &mut Problems) -> Option<(Arc<Policy>, NamedZone)> {
        let zone = problems.note("policy.tz", NamedZone::find(&self.tz));
        let mode = problems.note("policy.mode", self.mode.parse());
        let validity = problems.note("policy.validity", self.validity.parse());
        let config = PolicyConfig {
            mode: mode?,
            notice_days: self.notice_days,
            mail_days: self.mail_days.clone(),
            enrolment_days: match self.reacquire_days {
                Days::Number(days) => Some(days),
                Days::Word(_) => None,
            },
            validity: validity?,
            backdate: core::time::Duration::from_secs(self.backdate_s.into()),
        };
        let zone = zone?;
        match Policy::new(config, Arc::new(zone.clone())) {
            Ok(policy) => Some((Arc::new(policy), zone)),
            Err(error) => {
                let reason = error.to_string();
                let reason =
                    reason.strip_prefix(error.key()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&reason);
                problems.add(&format!("policy.{}", error.key()), reason);
                None
            }
        }
    }
}

impl Mail {
    /// Writes down the defaults that follow from other settings.
    pub fn complete(&mut self) {
        if let Some(smtp) = &mut self.smtp {
            smtp.port.get_or_insert(match smtp.tls {
                SmtpTls::Starttls => 587,
                SmtpTls::Implicit => 465,
                SmtpTls::None => 25,
            });
        }
    }

    /// Exactly one way out, a user name with a password, two maildirs for what goes out and what comes back, and figures
    /// for this machine alone.
    pub fn check(&self, problems: &mut Problems) {
        match (&self.smtp, &self.maildir) {
            (Some(_), Some(_)) => problems.add("mail", "smtp and maildir exclude each other"),
            (None, None) => problems.add("mail", "one of smtp and maildir is needed"),
            _ => {}
        }
        if let Some(smtp) = &self.smtp {
            if smtp.user.is_some() != smtp.password_file.is_some() {
                problems.add("mail.smtp", "user and password_file belong together");
            }
            if smtp.user.is_some() && smtp.tls == SmtpTls::None {
                problems.add("mail.smtp.tls", "a password needs TLS");
            }
        }
        if let (Some(out), Some(bounces)) = (&self.maildir, &self.bounces)
            && *out == bounces.maildir
        {
            problems.add("mail.bounces.maildir", "it is mail.maildir, into which mails are written that go out");
        }
        if let Some(address) = self.metrics.filter(|address| !address.ip().is_loopback()) {
            problems.add("mail.metrics", &format!("{address} is no loopback address, such as 127.0.0.1:9464"));
        }
        if let Some(operator) = &self.operator {
            problems.note("mail.operator", operator.parse::<Address>());
        }
        if self.digest.hour > 23 {
            problems.add("mail.digest.hour", &format!("{} is no hour from 0 to 23", self.digest.hour));
        }
        let AlarmTable { overdue_minutes, silent_minutes } = self.alarm;
        let limits = [("overdue_minutes", overdue_minutes), ("silent_minutes", silent_minutes)];
        for (key, _) in limits.iter().filter(|(_, minutes)| *minutes == 0) {
            problems.add(&format!("mail.alarm.{key}"), "0 would be an alarm at every mail");
        }
    }

    /// Who sends, in the built-in words; `None` after a problem.
    pub fn sender(&self, brand: &Brand, contact: &Contact, zone: NamedZone, problems: &mut Problems) -> Option<Sender> {
        let from = problems.note("mail.from", self.from.parse());
        let text = |text: &Text| Bilingual::new(&text.ja, &text.en);
        let name = &contact.name;
        let asked = match &contact.telephone {
            Some(number) => Bilingual::new(format!("{} {number}", name.ja), format!("{}, {number}", name.en)),
            None => text(name),
        };
        let sender = Sender::new(from?, text(&brand.operator), text(&brand.portal), asked, mail_zone(zone));
        problems.note("brand", sender)
    }

    /// The sender in the operator's words, where there are some. All that is wrong with them is said at once. `file` is the
    /// configuration's.
    pub fn words(&self, file: &Path, sender: Sender, problems: &mut Problems) -> Option<Sender> {
        let Some(folder) = &self.texts else { return Some(sender) };
        match Texts::load(&resolve(file, folder)) {
            Ok(texts) => Some(sender.with_texts(texts)),
            Err(Complaints(complaints)) => {
                for complaint in complaints {
                    problems.add("mail.texts", &complaint.to_string());
                }
                None
            }
        }
    }

    /// Reads the texts again, for a sender that is otherwise as this one. `file` is the configuration's.
    pub fn wording(&self, file: &Path, plain: &Sender, returns: Option<&Returns>, known: Known) -> Wording {
        let (mail, file, plain) = (self.clone(), file.to_owned(), plain.clone());
        let verp = returns.map(|returns| returns.verp.clone());
        Box::new(move || {
            let mut problems = Problems::new(&file, known);
            let worded = mail.words(&file, plain.clone(), &mut problems).ok_or(problems)?;
            Ok(match &verp {
                Some(verp) => worded.with_verp(verp.clone()),
                None => worded,
            })
        })
    }

    /// How mails leave; `None` after a problem. `file` is the configuration's.
    pub fn transport(&self, file: &Path, problems: &mut Problems) -> Option<Arc<dyn Transport>> {
        if let Some(smtp) = &self.smtp {
            let transport = problems.note("mail.smtp", smtp.transport(file))?;
            return Some(Arc::new(transport));
        }
        let folder = self.maildir.as_deref()?;
        let opened = Maildir::open(resolve(file, folder));
        let opened = opened.with_context(|| format!("{} cannot be used", folder.display()));
        Some(Arc::new(problems.note("mail.maildir", opened)?))
    }

    /// Where what comes back arrives, for an installation that listens for it. `file` is the configuration's.
    pub fn returns(&self, file: &Path, problems: &mut Problems) -> Option<Returns> {
        let bounces = self.bounces.as_ref()?;
        problems.note("mail.bounces", bounces.open(file))
    }

    /// Whom the steward tells, and when. An address that is none was complained of before ([`Mail::check`]).
    pub fn overview(&self) -> Overview {
        let address = self.operator.as_ref().and_then(|address| address.parse().ok());
        let language = match self.operator_language {
            MailLanguage::Ja => Language::Ja,
            MailLanguage::En => Language::En,
        };
        let weekday = match self.digest.weekday {
            Day::Monday => Weekday::Monday,
            Day::Tuesday => Weekday::Tuesday,
            Day::Wednesday => Weekday::Wednesday,
            Day::Thursday => Weekday::Thursday,
            Day::Friday => Weekday::Friday,
            Day::Saturday => Weekday::Saturday,
            Day::Sunday => Weekday::Sunday,
        };
        let operator = address.map(|address| Operator { address, language });
        Overview { operator, rhythm: Rhythm { weekday, hour: self.digest.hour } }
    }

    /// How the mailer works.
    pub fn settings(&self) -> Settings {
        Settings {
            worker: format!("mailer-{}", std::process::id()),
            per_address_per_day: self.per_address_per_day,
            ..Settings::default()
        }
    }

    /// When somebody has to look.
    pub const fn limits(&self) -> Limits {
        self.alarm.limits()
    }
}

impl AlarmTable {
    const fn limits(self) -> Limits {
        Limits {
            overdue: Wait::from_mins(self.overdue_minutes as u64),
            silent: Wait::from_mins(self.silent_minutes as u64),
        }
    }
}

impl Smtp {
    fn transport(&self, file: &Path) -> anyhow::Result<SmtpTransport> {
        let login = match (&self.user, &self.password_file) {
            (Some(user), Some(password)) => {
                let text = secret::read_private(&resolve(file, password))?;
                let password = text.lines().next().filter(|line| !line.is_empty());
                Some(Login::new(user, password.context("the password file's first line is empty")?))
            }
            _ => None,
        };
        let tls = match self.tls {
            SmtpTls::Starttls => Tls::StartTls,
            SmtpTls::Implicit => Tls::Implicit,
            SmtpTls::None => Tls::None,
        };
        let roots = match &self.roots {
            Some(roots) => {
                let roots = resolve(file, roots);
                Roots::Pem(fs::read(&roots).with_context(|| format!("{} cannot be read", roots.display()))?)
            }
            None => Roots::Machine,
        };
        let port = self.port.unwrap_or(587);
        let config = SmtpConfig { port, tls, roots, login, hello: self.hello.clone(), ..SmtpConfig::new(&self.host) };
        Ok(SmtpTransport::new(config)?)
    }
}

impl Bounces {
    fn open(&self, file: &Path) -> anyhow::Result<Returns> {
        let key_file = resolve(file, &self.key_file);
        let text = secret::read_private(&key_file)?;
        let key = key(&text).with_context(|| {
            format!("{} holds no key of {KEY_OCTETS} octets; `koshin mail bounce-key` makes one", key_file.display())
        })?;
        let folder = resolve(file, &self.maildir);
        let maildir = BounceBox::open(&folder).with_context(|| format!("{} cannot be used", folder.display()))?;
        Ok(Returns { verp: Verp::new(&self.prefix, &self.domain, key)?, maildir })
    }
}

/// A zone as mails name days and times in it.
fn mail_zone(zone: NamedZone) -> MailZone {
    MailZone::from_fn(move |at: UtcDateTime| zone.info_at(at))
}

/// The key that a file holds as hexadecimal digits.
fn key(text: &str) -> Option<[u8; KEY_OCTETS]> {
    let text = text.trim();
    if text.len() != 2 * KEY_OCTETS || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; KEY_OCTETS];
    for (at, octet) in key.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let text = format!("{}ff\n", "0a".repeat(KEY_OCTETS - 1));
        let mut expected = [10; KEY_OCTETS];
        expected[KEY_OCTETS - 1] = 255;
        assert_eq!(key(&text), Some(expected));
        for wrong in ["", "0a", &"0a".repeat(KEY_OCTETS + 1), &"+a".repeat(KEY_OCTETS), &"é".repeat(KEY_OCTETS)] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
    }
}
