use koshin_notify::{Bilingual, Mail, Notice, Sender, Zone, compose};
use koshin_types::Language;
use mail_parser::{MessageParser, MimeHeaders};
use time::{Duration, UtcOffset};

use crate::fixture::{NOW, address, mail, notices, plain, sender};

#[test]
fn a_foreign_parser_reads_every_message_as_it_was_meant() {
    for (name, notice) in notices() {
        for language in Language::ALL {
            let mail = mail(notice.clone(), language);
            let composed = compose(&mail, &sender(), NOW).unwrap();
            let message = MessageParser::new().parse(composed.mime.as_slice()).unwrap();
            let words = &composed.envelope.words;
            assert_eq!(message.subject(), Some(words.subject.as_str()), "{name}");
            assert_eq!(message.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), words.text.trim_end(), "{name}");
            assert_eq!(message.to().unwrap().first().unwrap().address(), Some("taro@example.co.jp"));
            let from = message.from().unwrap().first().unwrap();
            assert_eq!(from.address(), Some("noreply@midori.example"));
            assert_eq!(
                from.name(),
                Some(if language == Language::Ja { "みどり信用金庫" } else { "Midori Shinkin Bank" })
            );
            assert_eq!(message.message_id().map(|id| format!("<{id}>")), Some(composed.envelope.message_id.clone()));
            assert_eq!(message.date().unwrap().to_timestamp(), NOW.unix_timestamp());
            assert_eq!(message.header("Auto-Submitted").unwrap().as_text(), Some("auto-generated"));
            assert_eq!(message.header_raw("Content-Language").map(str::trim), Some(language.as_str()));
            assert_eq!(message.content_type().unwrap().subtype(), Some("plain"));
            assert_eq!((message.parts.len(), message.attachment_count()), (1, 0));
        }
    }
}

#[test]
fn octets_are_fit_for_the_wire() {
    for (name, notice) in notices() {
        for language in Language::ALL {
            let mime = compose(&mail(notice.clone(), language), &sender(), NOW).unwrap().mime;
            let text = std::str::from_utf8(&mime).unwrap();
            assert!(text.is_ascii(), "{name}");
            assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "{name}: a bare CR or LF");
            assert!(text.lines().all(|line| line.len() <= 78), "{name}: a line is too long");
        }
    }
}

#[test]
fn the_message_id_outlives_date_and_address() {
    let id = |mail: &Mail, at| compose(mail, &sender(), at).unwrap().envelope.message_id;
    let first = plain("a");
    let corrected = Mail { to: address("jiro@example.co.jp"), ..first.clone() };
    assert_eq!(id(&first, NOW), id(&corrected, NOW + Duration::DAY));
    assert_eq!(id(&first, NOW), format!("<{}@midori.example>", first.id));
    assert_ne!(id(&first, NOW), id(&plain("b"), NOW));
}

#[test]
fn whatever_an_address_may_hold_makes_no_header_and_no_second_recipient() {
    for to in ["o'brien+x@example.com", "\"a..b\"@docomo.example", "a{b}|c`d@example.com", "=?utf-8?q?x?=@example.com"]
    {
        let mail = Mail { to: address(to), ..plain("a") };
        let composed = compose(&mail, &sender(), NOW).unwrap();
        let message = MessageParser::new().parse(composed.mime.as_slice()).unwrap();
        assert_eq!(message.to().unwrap().iter().count(), 1, "{to}");
        assert!(message.bcc().is_none() && message.cc().is_none());
        assert_eq!(
            message.headers().len(),
            10,
            "{to}: {:?}",
            message.headers().iter().map(mail_parser::Header::name).collect::<Vec<_>>()
        );
    }
}

#[test]
fn names_with_the_characters_of_headers_stay_names() {
    let tricky = || Bilingual::new("行, <x@y.jp> \"z\"", "Bank, <x@y.jp>; \"z\" =?utf-8?q?a?=");
    let zone = Zone::fixed(UtcOffset::UTC, "UTC");
    let sender = Sender::new(address("a@b.jp"), tricky(), tricky(), tricky(), zone).unwrap();
    for language in Language::ALL {
        let composed = compose(&mail(Notice::AddressChanged { at: NOW }, language), &sender, NOW).unwrap();
        let message = MessageParser::new().parse(composed.mime.as_slice()).unwrap();
        assert_eq!(message.from().unwrap().iter().count(), 1);
        assert_eq!(message.from().unwrap().first().unwrap().address(), Some("a@b.jp"));
        assert_eq!(message.headers().len(), 10);
    }
}
