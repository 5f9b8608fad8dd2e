//! A bank, its people and their mails.

use std::{collections::VecDeque, sync::Mutex};

use async_trait::async_trait;
use koshin_notify::{
    Address, Audience, Bilingual, Code, DaySummary, Digest, DigestLine, DigestState, Envelope, Mail, Notice, Outcome,
    Reply, Sender, Transport, Way, WhyClosed, Zone,
};
use koshin_types::{Language, RevocationReason, SerialNumber, Validity};
use time::{Duration, UtcDateTime, UtcOffset, macros::utc_datetime};

pub(crate) const NOW: UtcDateTime = utc_datetime!(2026-11-22 00:00);

pub(crate) fn sender() -> Sender {
    Sender::new(
        address("noreply@midori.example"),
        Bilingual::new("みどり信用金庫", "Midori Shinkin Bank"),
        Bilingual::new("みどりビジネスWeb", "Midori Business Web"),
        Bilingual::new(
            "みどり信用金庫　ビジネスWebサポートデスク\n電話 03-0000-0000（平日 9:00～17:00）",
            "Midori Shinkin Bank, Business Web support desk\nPhone +81-3-0000-0000 (weekdays, 9:00 to 17:00 JST)",
        ),
        Zone::fixed(UtcOffset::from_hms(9, 0, 0).unwrap(), "JST"),
    )
    .unwrap()
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn serial(text: &str) -> SerialNumber {
    text.parse().unwrap()
}

pub(crate) fn validity() -> Validity {
    Validity::new(utc_datetime!(2025-12-22 15:00), utc_datetime!(2026-12-22 14:59:59)).unwrap()
}

pub(crate) fn mail(kind: Notice, language: Language) -> Mail {
    Mail::new(kind, "key", address("taro@example.co.jp"), language, "U-1001".parse().unwrap())
}

/// A mail of its own for each key, without an end of its own.
pub(crate) fn plain(key: &str) -> Mail {
    let kind = Notice::AddressChanged { at: NOW };
    Mail::new(kind, key, address("taro@example.co.jp"), Language::Ja, "U-1001".parse().unwrap())
}

pub(crate) fn code(expires: UtcDateTime) -> Mail {
    mail(Notice::EnrolmentCode { code: Code::new("4821-7730").unwrap(), expires }, Language::Ja)
}

/// Every kind of notice, in every form that has words of its own.
pub(crate) fn notices() -> Vec<(&'static str, Notice)> {
    let (old, new) = (serial("0193A4C8D2F1A0B1C2D3E4F5"), serial("0194E1770C2B9A8897A6B5C4"));
    let validity = validity();
    let closed = |why| Notice::EnrolmentClosed { why };
    let issued = |audience, way| Notice::CertificateIssued { serial: new, validity, audience, way };
    vec![
        (
            "enrolment-code",
            Notice::EnrolmentCode { code: Code::new("4821-7730").unwrap(), expires: utc_datetime!(2026-11-22 00:15) },
        ),
        ("enrolment-closed-still-valid", closed(WhyClosed::StillValid { not_after: validity.not_after() })),
        ("enrolment-closed-too-late", closed(WhyClosed::TooLate { not_after: utc_datetime!(2026-07-01 14:59:59) })),
        (
            "enrolment-closed-permission-lapsed",
            closed(WhyClosed::PermissionLapsed { until: utc_datetime!(2026-10-01 15:00) }),
        ),
        ("enrolment-closed-not-permitted", closed(WhyClosed::NotPermitted)),
        ("enrolment-closed-revoked", closed(WhyClosed::Revoked)),
        ("enrolment-closed-address-rests", closed(WhyClosed::AddressRests { until: utc_datetime!(2026-11-23 06:30) })),
        ("enrolment-permitted", Notice::EnrolmentPermitted { until: utc_datetime!(2027-02-10 15:00) }),
        ("issued-by-renewal", issued(Audience::Holder, Way::Renewal)),
        ("issued-by-enrolment", issued(Audience::Holder, Way::Enrolment)),
        ("issued-by-renewal-administrator", issued(Audience::Administrator, Way::Renewal)),
        ("issued-by-enrolment-administrator", issued(Audience::Administrator, Way::Enrolment)),
        ("activated-first", Notice::CertificateActivated { serial: new, predecessor: None }),
        ("activated-successor", Notice::CertificateActivated { serial: new, predecessor: Some(old) }),
        ("started-again", Notice::StartedAgain { serial: old }),
        ("revoked", Notice::Revoked { serial: old, reason: RevocationReason::AffiliationChanged }),
        ("expiry-30", Notice::Expiry { threshold_days: 30, validity, days_left: 30, renewal_opens: None }),
        (
            "expiry-before-window",
            Notice::Expiry {
                threshold_days: 60,
                validity,
                days_left: 60,
                renewal_opens: Some(utc_datetime!(2026-11-21 15:00)),
            },
        ),
        ("address-changed", Notice::AddressChanged { at: NOW }),
        ("enrolment-reminder", Notice::EnrolmentReminder { until: utc_datetime!(2026-12-02 15:00) }),
        ("address-undeliverable", Notice::AddressUndeliverable { at: NOW }),
        ("escalation", Notice::Escalation { validity }),
        ("digest", Notice::Digest { digest: digest() }),
        (
            "operator-summary",
            Notice::OperatorSummary {
                from: utc_datetime!(2026-11-20 15:00),
                until: utc_datetime!(2026-11-21 15:00),
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
    ]
}

/// Two IDs that end alike, one without room to hide much, and one of each state.
fn digest() -> Digest {
    let ids = ["U-2001", "U-1001", "U-3001", "AB", "headquarters-01"];
    let line = |(number, (id, state)): (u16, (&str, DigestState))| DigestLine {
        subject_id: id.parse().unwrap(),
        not_after: utc_datetime!(2026-11-20 14:59:59) + Duration::days(i64::from(number) * 7),
        days_left: (number * 7).saturating_sub(3),
        state,
    };
    let states = DigestState::ALL.into_iter().cycle().skip(3);
    Digest { at: NOW, lines: (0..).zip(ids.into_iter().zip(states)).map(line).collect(), more: 12 }
}

/// A transport that answers as told, and then accepts. It remembers Message-IDs and recipients.
#[derive(Default)]
pub(crate) struct Scripted {
    script: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<(String, String)>>,
}

pub(crate) enum Answer {
    Ends(Outcome),
    /// Takes the mail and never answers.
    Hangs,
}

impl Scripted {
    pub(crate) fn new(script: impl IntoIterator<Item = Outcome>) -> Self {
        Self { script: Mutex::new(script.into_iter().map(Answer::Ends).collect()), seen: Mutex::default() }
    }

    pub(crate) fn hanging() -> Self {
        Self { script: Mutex::new([Answer::Hangs].into()), seen: Mutex::default() }
    }

    /// The Message-IDs in the order of sending.
    pub(crate) fn message_ids(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(id, _)| id.clone()).collect()
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        let text = String::from_utf8(mime.to_vec()).unwrap();
        assert!(text.contains(&format!("Message-ID: {}\r\n", envelope.message_id)));
        self.seen.lock().unwrap().push((envelope.message_id.clone(), envelope.to.as_str().to_owned()));
        let answer = self.script.lock().unwrap().pop_front();
        match answer {
            Some(Answer::Ends(outcome)) => outcome,
            Some(Answer::Hangs) => std::future::pending().await,
            None => Outcome::Accepted,
        }
    }
}

pub(crate) fn transient() -> Outcome {
    Outcome::Transient { reply: Reply::new(Some(450), "4.2.0 greylisted") }
}

pub(crate) fn permanent() -> Outcome {
    Outcome::Permanent { reply: Reply::new(Some(550), "5.1.1 no such user") }
}

pub(crate) fn minutes(count: i64) -> UtcDateTime {
    NOW + Duration::minutes(count)
}
