//! A calendar file (RFC 5545) with the two dates of a certificate, for a download in the portal. Mails bear none.

use koshin_types::{Language, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{Sender, render::moment};

/// The dates of one certificate as a calendar: the day from which it can be renewed, and its end. Two events without a
/// duration, each with a name that stays, so that a second download replaces the first. It names no person and no ID,
/// because calendars are shared.
///
/// `window_opens` is left out when it is not before the end; `now` is written as the time of the making.
///
/// ```
/// use koshin_notify::{Bilingual, Sender, Zone, calendar};
/// use koshin_types::{Language, Validity};
/// use time::{Duration, UtcDateTime, UtcOffset};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let names = || Bilingual::new("みどり信用金庫", "Midori Bank");
/// let zone = Zone::fixed(UtcOffset::UTC, "UTC");
/// let sender = Sender::new("noreply@bank.example".parse()?, names(), names(), names(), zone)?;
/// let now = UtcDateTime::UNIX_EPOCH;
/// let validity = Validity::new(now, now + Duration::days(365))?;
/// let file = calendar(&"1A2B".parse()?, validity, now + Duration::days(335), Language::En, &sender, now);
/// assert!(file.starts_with("BEGIN:VCALENDAR\r\n") && file.matches("BEGIN:VEVENT").count() == 2);
/// # Ok(())
/// # }
/// ```
pub fn calendar(
    serial: &SerialNumber,
    validity: Validity,
    window_opens: UtcDateTime,
    language: Language,
    sender: &Sender,
    now: UtcDateTime,
) -> String {
    let (brand, portal) = (sender.brand.get(language), sender.portal.get(language));
    let end = moment(validity.not_after(), &sender.zone, language);
    let (opens, ends, what) = match language {
        Language::Ja => (
            format!("電子証明書の更新開始（{brand}）"),
            format!("電子証明書の有効期限（{brand}）"),
            format!(
                "有効期限：{end}\n{portal}にログイン後のメニューで「証明書更新」をお選びください。\n既に更新済みの場合は、この予定を削除してください。"
            ),
        ),
        Language::En => (
            format!("Certificate can be renewed ({brand})"),
            format!("Certificate ends ({brand})"),
            format!(
                "Valid until: {end}\nAfter logging in to {portal}, choose \"Certificate renewal\" in the menu.\nIf you \
                 have renewed already, please delete this entry."
            ),
        ),
    };
    let mut file = Lines(String::new());
    for (name, value) in [("BEGIN", "VCALENDAR"), ("VERSION", "2.0"), ("PRODID", "-//Koshin//Koshin//EN")] {
        file.line(name, value);
    }
    file.line("METHOD", "PUBLISH");
    for (word, at, summary) in [("opens", window_opens, opens), ("ends", validity.not_after(), ends)] {
        if word == "opens" && at >= validity.end() {
            continue;
        }
        file.line("BEGIN", "VEVENT");
        file.line("UID", &format!("{serial}-{word}@{}", sender.from.domain()));
        file.line("DTSTAMP", &instant(now));
        file.line("DTSTART", &instant(at));
        file.line(&format!("SUMMARY;LANGUAGE={language}"), &escaped(&summary));
        file.line(&format!("DESCRIPTION;LANGUAGE={language}"), &escaped(&what));
        file.line("TRANSP", "TRANSPARENT");
        file.line("END", "VEVENT");
    }
    file.line("END", "VCALENDAR");
    file.0
}

/// Content lines, folded after 75 octets and never within a character (RFC 5545, 3.1).
struct Lines(String);

impl Lines {
    const MOST_OCTETS: usize = 75;

    fn line(&mut self, name: &str, value: &str) {
        let mut octets = 0;
        for c in name.chars().chain([':']).chain(value.chars()) {
            if octets + c.len_utf8() > Self::MOST_OCTETS {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(c);
            octets += c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

/// A text value (RFC 5545, 3.3.11). Other control characters have no place in one.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// 20261222T145959Z. An instant outside the years 0 to 9999 is written as the nearest one inside.
fn instant(at: UtcDateTime) -> String {
    let year = at.year().clamp(0, 9999);
    let (month, day) = (u8::from(at.month()), at.day());
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second())
}
