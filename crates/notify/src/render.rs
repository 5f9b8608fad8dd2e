//! From a mail that is owed to its words.

use std::collections::BTreeMap;

use koshin_types::{Language, SubjectId, Validity};
use time::{Duration, OffsetDateTime, UtcDateTime};
use zeroize::Zeroizing;

use crate::{
    Audience, Mail, Notice, Sender, Way, WhyClosed,
    sender::Zone,
    texts::{Key, fill},
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

/// Puts a mail into words. A pure function: the same mail and sender give the same words, and no address stands in them.
pub fn render(mail: &Mail, sender: &Sender) -> Rendered {
    let language = mail.language;
    let (key, mut values) = values(mail, sender);
    values.insert("brand", sender.brand.get(language).to_owned().into());
    values.insert("portal", sender.portal.get(language).to_owned().into());
    values.insert("id", masked_id(&mail.subject_id).into());
    let value = |name: &str| values.get(name).map(|value| value.as_str());

    let (subject, body) = sender.texts.get(language, key);
    let (_, frame) = sender.texts.get(language, Key::Frame);
    let body = Zeroizing::new(fill(body, value));
    let mut text = Zeroizing::new(fill(frame, |name| match name {
        "body" => Some(body.as_str()),
        "contact" => Some(sender.contact.get(language)),
        _ => value(name),
    }));
    text.push('\n');
    let headers = vec![("Auto-Submitted", "auto-generated"), ("Content-Language", language.as_str())];
    Rendered { subject: fill(subject, value), text, headers }
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

type Values = BTreeMap<&'static str, Zeroizing<String>>;

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
fn values(mail: &Mail, sender: &Sender) -> (Key, Values) {
    let mut values = Values::new();
    let moment = |instant| moment(instant, &sender.zone, mail.language);
    let date = |instant| date(instant, &sender.zone, mail.language);
    let mut put = |name, value: String| drop(values.insert(name, value.into()));
    let validity = |validity: &Validity, put: &mut dyn FnMut(&'static str, String)| {
        put("not_before", moment(validity.not_before()));
        put("not_after", moment(validity.not_after()));
        put("end_date", date(validity.not_after()));
    };
    let key = match &mail.kind {
        Notice::EnrolmentCode { code, expires } => {
            put("code", code.reveal().to_owned());
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
    };
    (key, values)
}

/// 2026年12月22日(火) 23:59 JST, or Tuesday, 22 December 2026, 23:59 JST. Cut to the minute, never rounded up.
fn moment(instant: UtcDateTime, zone: &Zone, language: Language) -> String {
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
