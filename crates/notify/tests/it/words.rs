use koshin_notify::{Bilingual, Notice, Sender, SenderError, Zone, masked_id, render};
use koshin_types::{Language, RevocationReason, Validity};
use time::{Duration, UtcOffset, macros::utc_datetime};

use crate::fixture::{address, mail, notices, sender, serial};

#[test]
fn every_mail_in_both_languages() {
    for (name, notice) in notices() {
        for language in Language::ALL {
            let words = render(&mail(notice.clone(), language), &sender());
            let text = format!("Subject: {}\n\n{}", words.subject, words.text.as_str());
            insta::assert_snapshot!(format!("{name}.{language}"), text);
        }
    }
}

#[test]
fn invariant_61_rendering_is_pure_and_shows_no_address() {
    for (name, notice) in notices() {
        for language in Language::ALL {
            let mail = mail(notice.clone(), language);
            let words = render(&mail, &sender());
            assert_eq!(words, render(&mail, &sender()), "{name}");
            let whole = format!("{}{}", words.subject, words.text.as_str());
            assert!(!whole.contains('@') && !whole.contains("://") && !whole.contains("U-1001"), "{name}");
            assert!(!whole.contains(['{', '}']), "{name}: a placeholder is left");
            // A report to the operator speaks of nobody.
            assert_eq!(whole.contains("U-***01"), name != "operator-summary", "{name}");
            assert!(words.text.lines().all(|line| width(line) <= 76), "{name}: a line is too wide");
            assert!(!words.subject.contains("4821") && !format!("{words:?}").contains("4821"), "{name}");
            for scare in ["重要", "緊急", "至急", "要返信", "警告", "URGENT", "Important", "immediately"] {
                assert!(!whole.contains(scare), "{name}: {scare}");
            }
        }
    }
}

/// Columns on a screen on which Japanese characters take two.
fn width(line: &str) -> usize {
    line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

#[test]
fn every_reason_has_words() {
    for reason in RevocationReason::ALL {
        let words = |language| render(&mail(Notice::Revoked { serial: serial("1A"), reason }, language), &sender());
        assert!(!words(Language::Ja).text.contains(reason.as_str()));
        let line = format!("Reason:        {reason}\n");
        assert!(!words(Language::En).text.contains(&line), "{reason} is a word for machines");
    }
}

#[test]
fn days_are_those_of_the_zone() {
    let expiry = |not_after| Notice::Expiry {
        threshold_days: 10,
        validity: Validity::new(utc_datetime!(2025-01-01 0:00), not_after).unwrap(),
        days_left: 10,
        renewal_opens: None,
    };
    let line = |not_after, zone, language| {
        let names = || Bilingual::new("行", "Bank");
        let sender = Sender::new(address("a@b.jp"), names(), names(), names(), zone).unwrap();
        let words = render(&mail(expiry(not_after), language), &sender);
        words.text.lines().find(|line| line.contains("期限：") || line.contains("until: ")).unwrap().to_owned()
    };
    let japan = || Zone::fixed(UtcOffset::from_hms(9, 0, 0).unwrap(), "JST");
    let last_of_year = utc_datetime!(2026-12-31 15:00:00);
    assert_eq!(line(last_of_year, japan(), Language::Ja), "有効期限：2027年1月1日(金) 00:00 JST");
    assert_eq!(
        line(last_of_year - Duration::SECOND, japan(), Language::En),
        "Valid until: Thursday, 31 December 2026, 23:59 JST"
    );
    let summer = Zone::from_fn(|at| {
        let (hours, name) = if at < utc_datetime!(2026-10-25 1:00) { (2, "CEST") } else { (1, "CET") };
        (UtcOffset::from_hms(hours, 0, 0).unwrap(), name.to_owned())
    });
    assert_eq!(
        line(utc_datetime!(2026-10-25 00:59:59), summer.clone(), Language::En),
        "Valid until: Sunday, 25 October 2026, 02:59 CEST"
    );
    assert_eq!(
        line(utc_datetime!(2026-10-25 1:00), summer, Language::En),
        "Valid until: Sunday, 25 October 2026, 02:00 CET"
    );
}

#[test]
fn an_id_shows_its_ends() {
    for (id, masked) in
        [("A", "***"), ("AB", "A***"), ("U-10", "U***"), ("U-1001", "U-***01"), ("administrator", "ad***or")]
    {
        assert_eq!(masked_id(&id.parse().unwrap()), masked);
    }
}

#[test]
fn a_sender_that_could_hurt_is_refused() {
    let sender = |brand: &str, contact: &str| {
        let ok = || Bilingual::new("行", "Bank");
        let zone = Zone::fixed(UtcOffset::UTC, "UTC");
        Sender::new(address("a@b.jp"), Bilingual::new("行", brand), ok(), Bilingual::new(contact, "c"), zone)
            .map(|_| ())
    };
    assert_eq!(sender("Bank", "a\nb"), Ok(()));
    let control = |name, language| Err(SenderError::Control { name, language });
    assert_eq!(sender("Bank\r\nBcc: x@y.jp", "c"), control("brand", Language::En));
    assert_eq!(sender("Bank\nX", "c"), control("brand", Language::En));
    assert_eq!(sender("Bank\u{202e}", "c"), control("brand", Language::En));
    assert_eq!(sender("Bank", "a\r\nb"), control("contact", Language::Ja));
    assert_eq!(sender("Bank", "https://x"), Err(SenderError::Link { name: "contact", language: Language::Ja }));
    assert_eq!(
        sender(" ", "c"),
        Err(SenderError::Length { name: "brand", language: Language::En, chars: 1, most: 200 })
    );
}
