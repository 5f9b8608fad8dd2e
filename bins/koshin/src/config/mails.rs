//! How mails are worded, how many one address gets, and where what comes back arrives.

use anyhow::Context as _;
use koshin_notify::{Complaints, Sender, Settings, Texts, Verp, bounces::BounceBox};
use koshin_operator::{config::Problems, secret};

use super::{
    Checked,
    schema::{Bounces, Config},
};
use crate::exit;

/// How it is noticed that a mail came back: each has a sender of its own, whose mail a server puts into a maildir.
#[derive(Debug, Clone)]
pub(crate) struct Returns {
    pub(crate) verp: Verp,
    pub(crate) maildir: BounceBox,
}

impl Checked {
    /// Who sends, in the operator's words where there are some. All that is wrong with them is said at once.
    pub(crate) fn worded(&self) -> anyhow::Result<Sender> {
        let mut problems = Problems::new(&self.file, exit::known);
        self.words(&mut problems).ok_or_else(|| problems.into())
    }

    pub(super) fn words(&self, problems: &mut Problems) -> Option<Sender> {
        let Some(folder) = &self.config.mail.texts else { return Some(self.sender.clone()) };
        match Texts::load(&self.path(folder)) {
            Ok(texts) => Some(self.sender.clone().with_texts(texts)),
            Err(Complaints(complaints)) => {
                for complaint in complaints {
                    problems.add("mail.texts", &complaint.to_string());
                }
                None
            }
        }
    }

    /// Where what comes back arrives, for an installation that listens for it.
    pub(super) fn returns(&self, problems: &mut Problems) -> Option<Returns> {
        let bounces = self.config.mail.bounces.as_ref()?;
        problems.note("mail.bounces", self.opened(bounces))
    }

    fn opened(&self, bounces: &Bounces) -> anyhow::Result<Returns> {
        let file = self.path(&bounces.key_file);
        let text = secret::read_private(&file)?;
        let key = key(&text).with_context(|| {
            format!("{} holds no key of {KEY_OCTETS} octets; `koshin mail bounce-key` makes one", file.display())
        })?;
        let folder = self.path(&bounces.maildir);
        let maildir = BounceBox::open(&folder).with_context(|| format!("{} cannot be used", folder.display()))?;
        Ok(Returns { verp: Verp::new(&bounces.prefix, &bounces.domain, key)?, maildir })
    }

    /// How the mailer works.
    pub(crate) fn mailer(&self) -> Settings {
        Settings { per_address_per_day: self.config.mail.per_address_per_day, ..Settings::default() }
    }
}

/// Octets of the key from which the senders of mails are made.
pub(crate) const KEY_OCTETS: usize = 32;

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

impl Config {
    /// What is sent and what comes back lie in two maildirs.
    pub(super) fn check_bounces(&self, problems: &mut Problems) {
        if let (Some(out), Some(bounces)) = (&self.mail.maildir, &self.mail.bounces)
            && *out == bounces.maildir
        {
            problems.add("mail.bounces.maildir", "it is mail.maildir, into which mails are written that go out");
        }
    }
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
