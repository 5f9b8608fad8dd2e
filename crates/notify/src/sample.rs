//! A mail of each kind, to look at and to check texts with.

use koshin_types::{Language, RevocationReason, SerialNumber, SubjectId, Validity};
use time::{Duration, UtcDateTime};

use crate::{
    Address, Audience, Code, DaySummary, Digest, DigestLine, DigestState, Mail, Notice, Rendered, Sender, Way,
    WhyClosed, render,
};

/// The mail of a name ([`sample_names`]) in words, as it would be sent at `now`, with made-up values. `None` for a name
/// that there is not.
///
/// ```
/// use koshin_notify::{Bilingual, Sender, Zone, preview, sample_names};
/// use koshin_types::Language;
/// use time::{UtcDateTime, UtcOffset};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let names = || Bilingual::new("みどり信用金庫", "Midori Bank");
/// let zone = Zone::fixed(UtcOffset::from_hms(9, 0, 0)?, "JST");
/// let sender = Sender::new("noreply@bank.example".parse()?, names(), names(), names(), zone)?;
/// assert!(sample_names().any(|name| name == "expiry"));
/// let words = preview("expiry", Language::Ja, &sender, UtcDateTime::UNIX_EPOCH).expect("there is one");
/// assert_eq!(words.subject, "【みどり信用金庫】電子証明書の有効期限のお知らせ（1970年1月31日まで）");
/// # Ok(())
/// # }
/// ```
pub fn preview(name: &str, language: Language, sender: &Sender, now: UtcDateTime) -> Option<Rendered> {
    let (_, mail) = sample_mails(language, now).find(|(other, _)| *other == name)?;
    Some(render(&mail, sender))
}

/// A mail of each name, with made-up values.
pub fn sample_mails(language: Language, now: UtcDateTime) -> impl Iterator<Item = (&'static str, Mail)> {
    samples(now).into_iter().filter_map(move |(name, notice)| Some((name, sample_mail(notice, language)?)))
}

/// The names of the mails that [`preview`] knows: those of their text files, without the ending.
pub fn sample_names() -> impl Iterator<Item = &'static str> {
    samples(UtcDateTime::UNIX_EPOCH).into_iter().map(|(name, _)| name)
}

pub(crate) fn sample_mail(notice: Notice, language: Language) -> Option<Mail> {
    let to: Address = "taro@example.co.jp".parse().ok()?;
    Some(Mail::new(notice, "sample", to, language, "U-1001".parse().ok()?))
}

pub(crate) fn samples(now: UtcDateTime) -> Vec<(&'static str, Notice)> {
    made(now).unwrap_or_default()
}

/// `None` never happens: the values are ours, and a test goes through all of them.
fn made(now: UtcDateTime) -> Option<Vec<(&'static str, Notice)>> {
    // A validity is in whole seconds, and no clock is.
    let now = now.truncate_to_second();
    let days = |days| now.saturating_add(Duration::days(days));
    let validity = Validity::new(days(-335), days(30)).ok()?;
    let (old, new): (SerialNumber, SerialNumber) =
        ("0193A4C8D2F1A0B1C2D3E4F5".parse().ok()?, "0194E1770C2B9A8897A6B5C4".parse().ok()?);
    let closed = |why| Notice::EnrolmentClosed { why };
    let issued = |audience, way| Notice::CertificateIssued { serial: new, validity, audience, way };
    let expiry = |threshold_days, renewal_opens| Notice::Expiry {
        threshold_days,
        validity,
        days_left: threshold_days,
        renewal_opens,
    };
    Some(vec![
        ("enrolment-code", Notice::EnrolmentCode { code: Code::new("4821-7730").ok()?, expires: days(1) }),
        ("enrolment-closed-still-valid", closed(WhyClosed::StillValid { not_after: days(30) })),
        ("enrolment-closed-too-late", closed(WhyClosed::TooLate { not_after: days(-100) })),
        ("enrolment-closed-permission-lapsed", closed(WhyClosed::PermissionLapsed { until: days(-1) })),
        ("enrolment-closed-not-permitted", closed(WhyClosed::NotPermitted)),
        ("enrolment-closed-revoked", closed(WhyClosed::Revoked)),
        ("enrolment-closed-address-rests", closed(WhyClosed::AddressRests { until: days(1) })),
        ("enrolment-permitted", Notice::EnrolmentPermitted { until: days(80) }),
        ("enrolment-reminder", Notice::EnrolmentReminder { until: days(10) }),
        ("issued-by-renewal", issued(Audience::Holder, Way::Renewal)),
        ("issued-by-enrolment", issued(Audience::Holder, Way::Enrolment)),
        ("issued-by-renewal-administrator", issued(Audience::Administrator, Way::Renewal)),
        ("issued-by-enrolment-administrator", issued(Audience::Administrator, Way::Enrolment)),
        ("activated-first", Notice::CertificateActivated { serial: new, predecessor: None }),
        ("activated-successor", Notice::CertificateActivated { serial: new, predecessor: Some(old) }),
        ("started-again", Notice::StartedAgain { serial: old }),
        ("revoked", Notice::Revoked { serial: old, reason: RevocationReason::AffiliationChanged }),
        ("expiry", expiry(30, None)),
        ("expiry-before-window", expiry(60, Some(days(0)))),
        ("address-changed", Notice::AddressChanged { at: now }),
        ("address-undeliverable", Notice::AddressUndeliverable { at: now }),
        ("escalation", Notice::Escalation { validity }),
        ("digest", Notice::Digest { digest: digest(now)? }),
        (
            "operator-summary",
            Notice::OperatorSummary {
                from: days(-1),
                until: now,
                summary: DaySummary {
                    sent: 1_284,
                    refused: 3,
                    bounced: 2,
                    unknown: 0,
                    waiting: 17,
                    tasks: 5,
                    issued: 96,
                    revoked: 1,
                    ended: 4,
                    ending_soon: 231,
                    ending: 1_902,
                },
            },
        ),
    ])
}

fn digest(now: UtcDateTime) -> Option<Digest> {
    let ids = ["U-1003", "U-2003", "U-1017", "ADMIN-02", "U-1001"].map(|id| id.parse::<SubjectId>().ok());
    let left = [-3, 6, 9, 21, 30];
    let lines =
        ids.into_iter().zip(DigestState::ALL.into_iter().cycle().skip(3)).zip(left).map(|((id, state), left)| {
            Some(DigestLine {
                subject_id: id?,
                not_after: now.saturating_add(Duration::days(left)),
                days_left: u16::try_from(left).unwrap_or_default(),
                state,
            })
        });
    Some(Digest { at: now, lines: lines.collect::<Option<_>>()?, more: 12 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_mail_of_each_name_at_any_instant() {
        let names: Vec<_> = sample_names().collect();
        assert!(names.len() > 20);
        let whole = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
        for now in [whole, whole + Duration::NANOSECOND, whole + Duration::milliseconds(999)] {
            let mails = sample_mails(Language::Ja, now).map(|(name, _)| name);
            assert_eq!(mails.collect::<Vec<_>>(), names, "{now}");
        }
    }
}
