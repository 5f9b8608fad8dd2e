//! Who is told what in summaries, and when.

use koshin_expiry::{Policy, RenewalProgress};
use koshin_notify::{
    Audience, Digest, DigestState, Digests, Mail, Member, Notice, Rhythm, Way, Zone, escalation_opens, reminder_opens,
    render,
};
use koshin_types::{Language, Validity};
use time::{Duration, UtcDateTime, UtcOffset, Weekday, macros::utc_datetime};

use crate::fixture::{NOW, notices, sender, serial, validity};

fn member(id: &str, ends_in_days: i64) -> Member {
    let not_after = NOW + Duration::days(ends_in_days);
    let validity = Validity::new(not_after - Duration::days(365), not_after).unwrap();
    Member {
        subject_id: id.parse().unwrap(),
        validity: Some(validity),
        renewal: RenewalProgress::None,
        address_refused: false,
    }
}

fn digest(members: &[Member]) -> Option<Vec<(String, DigestState)>> {
    let digest = Digest::of(members, &Policy::default_jst(), NOW)?;
    Some(digest.lines.into_iter().map(|line| (line.subject_id.to_string(), line.state)).collect())
}

#[test]
fn a_digest_lists_those_with_whom_something_has_to_be_done() {
    let renewing = |id, renewal| Member { renewal, ..member(id, 12) };
    let members = [
        member("FAR", 100),
        member("NEAR", 20),
        renewing("STARTED", RenewalProgress::Started),
        renewing("ISSUED", RenewalProgress::Issued),
        renewing("DONE", RenewalProgress::Activated),
        member("ENDED", -3),
        member("LONG-AGO", -91),
        Member { address_refused: true, ..member("UNHEARD", 200) },
        Member { validity: None, ..member("NONE", 5) },
    ];
    let expected = [
        ("ENDED", DigestState::Ended),
        ("ISSUED", DigestState::NotInUse),
        ("STARTED", DigestState::UnderWay),
        ("NEAR", DigestState::NotRenewed),
        ("UNHEARD", DigestState::AddressRefused),
    ];
    assert_eq!(digest(&members), Some(expected.map(|(id, state)| (id.to_owned(), state)).to_vec()));
    assert_eq!(digest(&[member("FAR", 100)]), None, "there is no mail that says nothing");
}

#[test]
fn a_digest_has_an_end() {
    let members: Vec<_> = (0..950).map(|number| member(&format!("U-{number:04}"), number % 28 + 1)).collect();
    let digest = Digest::of(&members, &Policy::default_jst(), NOW).unwrap();
    assert_eq!((digest.lines.len(), digest.more), (Digest::MOST_LINES, 750));
    assert!(digest.lines.is_sorted_by_key(|line| line.not_after));
    // Two hundred IDs of one pattern are told apart, and every line fits a screen.
    let mail =
        Mail::new(Notice::Digest { digest }, "1", "a@b.jp".parse().unwrap(), Language::Ja, "ADMIN-01".parse().unwrap());
    let words = render(&mail, &sender());
    let table: Vec<_> = words.text.lines().filter(|line| line.starts_with("20")).collect();
    let ids: std::collections::BTreeSet<_> = table.iter().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!((table.len(), ids.len()), (200, 200));
    assert!(ids.iter().all(|id| id.contains("***")), "{ids:?}");
    assert_eq!(Mail::decode(&mail.encode()), Ok(mail));
}

/// A holder's own mails are never replaced, nor what an administrator has to hear of at once.
#[test]
fn a_digest_replaces_only_what_can_wait() {
    let replaced: Vec<_> =
        notices().iter().filter(|(_, notice)| Digests::Wanted.replace(notice)).map(|(name, _)| *name).collect();
    assert_eq!(replaced, ["issued-by-renewal-administrator", "escalation"]);
    assert!(notices().iter().all(|(_, notice)| !Digests::OptedOut.replace(notice)));
    let issued =
        |audience, way| Notice::CertificateIssued { serial: serial("1A"), validity: validity(), audience, way };
    assert!(!Digests::Wanted.replace(&issued(Audience::Administrator, Way::Enrolment)));
    assert!(!Digests::Wanted.replace(&issued(Audience::Holder, Way::Renewal)));
}

#[test]
fn a_digest_is_due_once_a_week_in_the_sender_s_zone() {
    let japan = Zone::fixed(UtcOffset::from_hms(9, 0, 0).unwrap(), "JST");
    let monday = utc_datetime!(2026-11-23 0:00);
    let week = Duration::weeks(1);
    let around = |now| Rhythm::default().around(now, &japan);
    assert_eq!(around(monday), (monday, monday + week));
    assert_eq!(around(monday - Duration::MILLISECOND), (monday - week, monday));
    assert_eq!(around(monday + week - Duration::MILLISECOND), (monday, monday + week));
    let sunday = Rhythm { weekday: Weekday::Sunday, hour: 23 };
    assert_eq!(sunday.around(monday, &japan).1, utc_datetime!(2026-11-29 14:00));
    let mut at = monday;
    for _ in 0..500 {
        let (last, next) = around(at);
        assert!(last <= at && at < next && next - last == week, "{at}");
        at += Duration::minutes(37);
    }
    let west = Zone::fixed(UtcOffset::from_hms(-8, 0, 0).unwrap(), "PST");
    assert_eq!(Rhythm::default().around(monday, &west).1, utc_datetime!(2026-11-23 17:00));
    let key = |due| Rhythm::key(&"C-1".parse().unwrap(), due);
    assert_eq!(key(around(monday).0), key(around(monday + Duration::days(3)).0), "planned twice, it is one mail");
    assert_ne!(key(around(monday).0), key(around(monday).1));
}

#[test]
fn an_administrator_hears_of_a_holder_who_ignored_two_notices() {
    let policy = Policy::default_jst();
    let opens: Option<UtcDateTime> = escalation_opens(&policy, validity(), &[10, 30]);
    // Ten days before begins on 12 December in Tokyo, eleven days before the last second's end.
    assert_eq!(opens, Some(utc_datetime!(2026-12-11 15:00) + Duration::days(11) / 2));
    for told in [&[][..], &[30], &[10], &[60, 30]] {
        assert_eq!(escalation_opens(&policy, validity(), told), None, "{told:?}");
    }
}

#[test]
fn a_reminder_comes_before_the_permission_ends() {
    let until = NOW + Duration::days(80);
    assert_eq!(reminder_opens(NOW, until), NOW + Duration::days(70));
    assert_eq!(reminder_opens(NOW, NOW + Duration::HOUR), NOW + Duration::minutes(30));
    assert_eq!(reminder_opens(NOW, NOW - Duration::HOUR), NOW - Duration::HOUR);
}
