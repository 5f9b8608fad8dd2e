//! The calendar file, read by a parser that nobody here wrote.

use icalendar::{Calendar, CalendarComponent, Component as _};
use koshin_notify::{Bilingual, Sender, Zone, calendar};
use koshin_types::Language;
use time::{Duration, UtcOffset, macros::utc_datetime};

use crate::fixture::{NOW, address, sender, serial, validity};

const OPENS: time::UtcDateTime = utc_datetime!(2026-11-21 15:00);

fn file(language: Language) -> String {
    calendar(&serial("1A2B"), validity(), OPENS, language, &sender(), NOW)
}

#[test]
fn a_calendar_in_both_languages() {
    for language in Language::ALL {
        insta::assert_snapshot!(format!("calendar.{language}"), file(language).replace("\r\n", "\n"));
    }
}

#[test]
fn a_foreign_parser_reads_what_was_meant() {
    for language in Language::ALL {
        let calendar: Calendar = file(language).parse().unwrap();
        let events: Vec<_> = calendar
            .components
            .iter()
            .map(|component| match component {
                CalendarComponent::Event(event) => event,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(events.len(), 2);
        for (event, (uid, start)) in events
            .iter()
            .zip([("1A2B-opens@midori.example", "20261121T150000Z"), ("1A2B-ends@midori.example", "20261222T145959Z")])
        {
            assert_eq!(event.get_uid(), Some(uid));
            assert_eq!(event.property_value("DTSTART"), Some(start));
            assert_eq!(event.property_value("DTSTAMP"), Some("20261122T000000Z"));
            let (menu, brand) = match language {
                Language::Ja => ("「証明書更新」", "みどり信用金庫"),
                Language::En => ("\"Certificate renewal\"", "Midori Shinkin Bank"),
            };
            assert!(event.get_description().unwrap().contains(menu));
            assert!(event.get_summary().unwrap().contains(brand));
        }
    }
}

#[test]
fn lines_are_folded_between_characters_and_nothing_breaks_out_of_a_value() {
    let tricky = || Bilingual::new("行;,\\:\"BEGIN:VEVENT".repeat(8), "Bank;,\\:\"END:VEVENT".repeat(8));
    let zone = Zone::fixed(UtcOffset::UTC, "UTC");
    let sender = Sender::new(address("a@b.jp"), tricky(), tricky(), tricky(), zone).unwrap();
    for language in Language::ALL {
        let file = calendar(&serial("1A2B"), validity(), OPENS, language, &sender, NOW);
        assert!(file.ends_with("END:VCALENDAR\r\n") && !file.replace("\r\n", "").contains(['\r', '\n']));
        assert!(file.split("\r\n").all(|line| line.len() <= 75), "{file}");
        let calendar: Calendar = file.parse().unwrap();
        assert_eq!(calendar.components.len(), 2);
        let CalendarComponent::Event(event) = &calendar.components[0] else { panic!("an event") };
        assert!(event.get_summary().unwrap().contains(sender_brand(language).as_str()));
    }
}

fn sender_brand(language: Language) -> String {
    match language {
        Language::Ja => "行;,\\:\"BEGIN:VEVENT".repeat(8),
        Language::En => "Bank;,\\:\"END:VEVENT".repeat(8),
    }
}

#[test]
fn a_window_that_never_opens_has_no_event() {
    let late = validity().end();
    let file = calendar(&serial("1A2B"), validity(), late, Language::En, &sender(), NOW);
    assert_eq!((file.matches("BEGIN:VEVENT").count(), file.contains("-opens@")), (1, false));
    let last = calendar(&serial("1A2B"), validity(), late - Duration::SECOND, Language::En, &sender(), NOW);
    assert_eq!(last.matches("BEGIN:VEVENT").count(), 2);
}
