//! From a mail that is owed to its words.

use std::collections::BTreeMap;

use koshin_types::{Language, SubjectId, Validity};
use time::{Duration, OffsetDateTime, UtcDateTime};
use zeroize::Zeroizing;

use crate::{
    Audience, DaySummary, Digest, DigestState, Mail, Notice, Sender, Way, WhyClosed,
    sender::Zone,
    texts::{Key, Part},
};

/// A mail in words.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject, one line.
    pub subject: String,
    /// The whole text, lines ended by `\n`. It may hold a one-time code, and is wiped when dropped.
    pub text: Zeroizing<String>,
    /// Header fields beside From, To, Subject, Date, Message-ID and those of MIME.
    pub headers: Vec<(&'static str, &'static str)>,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered")
            .field("subject", &self.subject)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Stands in a filled text where the code goes, which is put there last: no template engine holds a copy of it.
pub(crate) const CODE: &str = "\u{e000}";

/// Puts a mail into words. A pure function: the same mail and sender give the same words, and no address stands in them.
pub fn render(mail: &Mail, sender: &Sender) -> Rendered {
    let language = mail.language;
    let (key, mut values) = values(mail, sender);
    values.insert("brand", sender.brand.get(language).to_owned());
    values.insert("portal", sender.portal.get(language).to_owned());
    values.insert("id", masked_id(&mail.subject_id));
    let texts = &sender.texts;
    // One line, whatever a text does.
    let subject = texts.fill(language, key, Part::Subject, &values).replace(char::is_control, " ");
    let body = texts.fill(language, key, Part::Body, &values);
    values.insert("body", body);
    values.insert("contact", sender.contact.get(language).to_owned());
    let whole = texts.fill(language, Key::Frame, Part::Body, &values);
    let mut text = Zeroizing::new(match &mail.kind {
        Notice::EnrolmentCode { code, .. } => whole.replace(CODE, code.reveal()),
        _ => whole,
    });
    text.push('\n');
    let headers = vec![("Auto-Submitted", "auto-generated"), ("Content-Language", language.as_str())];
    Rendered { subject, text, headers }
}

/// An ID as mails show it: two characters at either end, one at the beginning of a short one.
///
/// ```
/// use koshin_notify::masked_id;
/// assert_eq!(masked_id(&"U-1001".parse()?), "U-***01");
/// assert_eq!(masked_id(&"U-1".parse()?), "U***");
/// assert_eq!(masked_id(&"A".parse()?), "***");
/// # Ok::<(), koshin_types::IdError>(())
/// ```
pub fn masked_id(id: &SubjectId) -> String {
    // Identifiers are ASCII. Neighbouring IDs differ at the end, so an administrator needs the last characters.
    let (id, length) = (id.as_str(), id.as_str().len());
    let (head, tail) = match length {
        0..2 => (0, length),
        2..6 => (1, length),
        _ => (2, length - 2),
    };
    format!("{}***{}", id.get(..head).unwrap_or_default(), id.get(tail..).unwrap_or_default())
}

pub(crate) type Values = BTreeMap<&'static str, String>;

/// Which text tells why nothing can be obtained, and the values of its placeholders.
fn closed(why: WhyClosed, language: Language, sender: &Sender, put: &mut dyn FnMut(&'static str, String)) -> Key {
    let mut instant = |name, day, at| {
        put(name, moment(at, &sender.zone, language));
        put(day, date(at, &sender.zone, language));
    };
    match why {
        WhyClosed::StillValid { not_after } => {
            instant("not_after", "end_date", not_after);
            Key::ClosedStillValid
        }
        WhyClosed::TooLate { not_after } => {
            instant("not_after", "end_date", not_after);
            Key::ClosedTooLate
        }
        WhyClosed::PermissionLapsed { until } => {
            instant("until", "until_date", until.saturating_sub(Duration::SECOND));
            Key::ClosedPermissionLapsed
        }
        WhyClosed::NotPermitted => Key::ClosedNotPermitted,
        WhyClosed::Revoked => Key::ClosedRevoked,
        WhyClosed::AddressRests { until } => {
            instant("until", "until_date", until);
            Key::ClosedAddressRests
        }
    }
}

/// Which text tells this notice, and the values of its placeholders.
#[expect(clippy::too_many_lines, reason = "a catalogue: one arm for each notice")]
pub(crate) fn values(mail: &Mail, sender: &Sender) -> (Key, Values) {
    let mut values = Values::new();
    let moment = |instant| moment(instant, &sender.zone, mail.language);
    let date = |instant| date(instant, &sender.zone, mail.language);
    let mut put = |name, value: String| drop(values.insert(name, value));
    let validity = |validity: &Validity, put: &mut dyn FnMut(&'static str, String)| {
        put("not_before", moment(validity.not_before()));
        put("not_after", moment(validity.not_after()));
        put("end_date", date(validity.not_after()));
    };
    let key = match &mail.kind {
        Notice::EnrolmentCode { expires, .. } => {
            put("code", CODE.to_owned());
            put("expires", moment(*expires));
            Key::EnrolmentCode
        }
        Notice::EnrolmentClosed { why } => closed(*why, mail.language, sender, &mut put),
        Notice::EnrolmentPermitted { until } => {
            // The last second of the permission: midnight would name the wrong day.
            let last = until.saturating_sub(Duration::SECOND);
            put("until", moment(last));
            put("until_date", date(last));
            Key::EnrolmentPermitted
        }
        Notice::CertificateIssued { serial, validity: period, audience, way } => {
            put("serial", serial.to_string());
            validity(period, &mut put);
            match (audience, way) {
                (Audience::Holder, Way::Renewal) => Key::IssuedByRenewal,
                (Audience::Holder, Way::Enrolment) => Key::IssuedByEnrolment,
                (Audience::Administrator, Way::Renewal) => Key::IssuedByRenewalAdministrator,
                (Audience::Administrator, Way::Enrolment) => Key::IssuedByEnrolmentAdministrator,
            }
        }
        Notice::CertificateActivated { serial, predecessor } => {
            put("serial", serial.to_string());
            predecessor.map_or(Key::ActivatedFirst, |predecessor| {
                put("predecessor", predecessor.to_string());
                Key::ActivatedSuccessor
            })
        }
        Notice::StartedAgain { serial } => {
            put("serial", serial.to_string());
            Key::StartedAgain
        }
        Notice::Revoked { serial, reason } => {
            put("serial", serial.to_string());
            put("reason", sender.texts.reason(mail.language, *reason).to_owned());
            Key::Revoked
        }
        Notice::Expiry { threshold_days, validity: period, days_left, renewal_opens } => {
            put("threshold_days", threshold_days.to_string());
            put("days_left", days_left.to_string());
            validity(period, &mut put);
            renewal_opens.map_or(Key::Expiry, |opens| {
                put("opens", moment(opens));
                Key::ExpiryBeforeWindow
            })
        }
        Notice::AddressChanged { at } => {
            put("at", moment(*at));
            Key::AddressChanged
        }
        Notice::EnrolmentReminder { until } => {
            let last = until.saturating_sub(Duration::SECOND);
            put("until", moment(last));
            put("until_date", date(last));
            Key::EnrolmentReminder
        }
        Notice::AddressUndeliverable { at } => {
            put("at", moment(*at));
            Key::AddressUndeliverable
        }
        Notice::Escalation { validity: period } => {
            validity(period, &mut put);
            Key::Escalation
        }
        Notice::Digest { digest } => {
            put("day", date(digest.at));
            put("table", table(digest, sender, mail.language));
            Key::Digest
        }
        Notice::OperatorSummary { from, until, summary } => {
            put("day", date(*from));
            put("from", moment(*from));
            put("until", moment(*until));
            figures(summary, &mut put);
            Key::OperatorSummary
        }
    };
    (key, values)
}

fn figures(summary: &DaySummary, put: &mut dyn FnMut(&'static str, String)) {
    let DaySummary { sent, refused, bounced, unknown, waiting, tasks, issued, revoked, ended, ending_soon, ending } =
        *summary;
    for (name, figure) in [
        ("sent", sent),
        ("refused", refused),
        ("bounced", bounced),
        ("unknown", unknown),
        ("waiting", waiting),
        ("tasks", tasks),
        ("issued", issued),
        ("revoked", revoked),
        ("ended", ended),
        ("ending_soon", ending_soon),
        ("ending", ending),
    ] {
        put(name, figure.to_string());
    }
}

/// One line for each ID: date, ID, and then the words. What has the same width in every font stands first, so the
/// columns hold where Japanese characters are not exactly twice as wide.
fn table(digest: &Digest, sender: &Sender, language: Language) -> String {
    let ids: Vec<_> = digest.lines.iter().map(|line| &line.subject_id).collect();
    let ids = masked_apart(&ids);
    let widest = ids.iter().map(String::len).max().unwrap_or_default();
    let mut lines: Vec<_> = digest
        .lines
        .iter()
        .zip(&ids)
        .map(|(line, id)| {
            let (local, _) = local(line.not_after, &sender.zone);
            let day = format!("{:04}-{:02}-{:02}", local.year(), u8::from(local.month()), local.day());
            let state = sender.texts.state(language, line.state);
            let left = match (line.days_left, language) {
                _ if line.state == DigestState::Ended => String::new(),
                (days, Language::Ja) => format!("（あと{days}日）"),
                (1, Language::En) => " (1 day left)".to_owned(),
                (days, Language::En) => format!(" ({days} days left)"),
            };
            format!("{day}  {id:widest$}  {state}{left}")
        })
        .collect();
    match (digest.more, language) {
        (0, _) => {}
        (more, Language::Ja) => lines.push(format!("（ほか{more}件）")),
        (more, Language::En) => lines.push(format!("({more} more)")),
    }
    lines.join("\n")
}

/// IDs as mails show them; of those that would look alike as many of the last characters more as it takes to tell them
/// apart. At least one character of each stays hidden, so some may still look alike.
fn masked_apart(ids: &[&SubjectId]) -> Vec<String> {
    let mut steps = vec![0_usize; ids.len()];
    loop {
        let masked: Vec<_> = ids.iter().zip(&steps).map(|(id, step)| revealed(id, *step)).collect();
        let alike = |one: &String| masked.iter().filter(|other| *other == one).count() > 1;
        let mut moved = false;
        for ((id, step), shown) in ids.iter().zip(&mut steps).zip(&masked) {
            if alike(shown) && *step + 4 < id.as_str().len() {
                *step += 1;
                moved = true;
            }
        }
        if !moved {
            return masked;
        }
    }
}

/// An ID with `step` more of its last characters than usual; the last one that can be shown takes a place at the
/// beginning.
fn revealed(id: &SubjectId, step: usize) -> String {
    let text = id.as_str();
    if step == 0 {
        return masked_id(id);
    }
    let from = text.len().saturating_sub(2 + step);
    let head = from.saturating_sub(1).min(2);
    format!("{}***{}", text.get(..head).unwrap_or_default(), text.get(from..).unwrap_or_default())
}

/// 2026年12月22日(火) 23:59 JST, or Tuesday, 22 December 2026, 23:59 JST. Cut to the minute, never rounded up.
pub(crate) fn moment(instant: UtcDateTime, zone: &Zone, language: Language) -> String {
    let (local, abbreviation) = local(instant, zone);
    let (hour, minute) = (local.hour(), local.minute());
    let date = date(instant, zone, language);
    match language {
        Language::Ja => format!("{date}({}) {hour:02}:{minute:02} {abbreviation}", weekday_ja(local)),
        Language::En => format!("{}, {date}, {hour:02}:{minute:02} {abbreviation}", local.weekday()),
    }
}

/// 2026年12月22日, or 22 December 2026.
fn date(instant: UtcDateTime, zone: &Zone, language: Language) -> String {
    let (local, _) = local(instant, zone);
    let (year, month, day) = (local.year(), local.month(), local.day());
    match language {
        Language::Ja => format!("{year}年{}月{day}日", u8::from(month)),
        Language::En => format!("{day} {month} {year}"),
    }
}

fn local(instant: UtcDateTime, zone: &Zone) -> (OffsetDateTime, String) {
    let (offset, abbreviation) = zone.at(instant);
    let instant = OffsetDateTime::from(instant);
    // At the very ends of time there is no local date; UTC is named as what it is.
    instant.checked_to_offset(offset).map_or_else(|| (instant, "UTC".to_owned()), |local| (local, abbreviation))
}

const fn weekday_ja(local: OffsetDateTime) -> char {
    match local.weekday() {
        time::Weekday::Monday => '月',
        time::Weekday::Tuesday => '火',
        time::Weekday::Wednesday => '水',
        time::Weekday::Thursday => '木',
        time::Weekday::Friday => '金',
        time::Weekday::Saturday => '土',
        time::Weekday::Sunday => '日',
    }
}
