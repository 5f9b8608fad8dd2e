use koshin_notify::{Audience, DecodeError, Mail, MailId, Notice, Way};
use koshin_types::Language;
use time::macros::utc_datetime;

use crate::fixture::{NOW, code, mail, notices, serial, validity};

#[test]
fn invariant_76_what_is_written_is_read_again() {
    for (name, notice) in notices() {
        for language in Language::ALL {
            let mail = mail(notice.clone(), language);
            assert_eq!(Mail::decode(&mail.encode()).as_ref(), Ok(&mail), "{name}");
        }
    }
    let erased = code(NOW).without_secret();
    assert!(!erased.holds_secret() && !erased.encode().contains("4821"));
    assert_eq!(Mail::decode(&erased.encode()), Ok(erased));
}

#[test]
fn the_stored_form_does_not_change() {
    let rows: Vec<_> =
        notices().into_iter().map(|(_, notice)| mail(notice, Language::Ja).encode().to_string()).collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn what_is_none_of_ours_is_named_without_repeating_it() {
    let row = code(NOW).encode();
    let refused = |from: &str, to: &str| {
        assert!(row.contains(from), "{from}");
        Mail::decode(&row.replace(from, to)).unwrap_err()
    };
    assert_eq!(refused("\"v\":1", "\"v\":2"), DecodeError::Version { found: 2, known: 1 });
    assert_eq!(refused("taro@", "taro@@"), DecodeError::Field { name: "to" });
    assert_eq!(refused("4821-7730", "4821 7730"), DecodeError::Field { name: "code" });
    assert_eq!(refused("\"ja\"", "\"fr\""), DecodeError::Field { name: "lang" });
    let error = refused("enrolment_code", "taro@secret");
    assert!(matches!(error, DecodeError::Json { line: 1, .. }) && !error.to_string().contains("secret"));
}

#[test]
fn invariant_50_one_id_for_one_mail() {
    let subject = "U-1001".parse().unwrap();
    let expiry = |days_left, renewal_opens| Notice::Expiry {
        threshold_days: 30,
        validity: validity(),
        days_left,
        renewal_opens,
    };
    let id = MailId::derive(&expiry(30, None), &subject, "1A/30");
    assert_eq!(id, MailId::derive(&expiry(28, Some(NOW)), &subject, "1A/30"), "planned later, the same mail");
    let issued = |audience| Notice::CertificateIssued {
        serial: serial("1A"),
        validity: validity(),
        audience,
        way: Way::Renewal,
    };
    let others = [
        MailId::derive(&expiry(30, None), &subject, "1A/10"),
        MailId::derive(&expiry(30, None), &"U-1002".parse().unwrap(), "1A/30"),
        MailId::derive(&issued(Audience::Holder), &subject, "1A/30"),
        MailId::derive(&issued(Audience::Administrator), &subject, "1A/30"),
    ];
    for (at, other) in others.iter().enumerate() {
        assert_ne!(*other, id);
        assert!(others[..at].iter().all(|earlier| earlier != other));
    }
    assert_eq!(id.to_string().parse(), Ok(id));
    assert!("+".repeat(32).parse::<MailId>().is_err() && "é".repeat(16).parse::<MailId>().is_err());
}

#[test]
fn each_notice_knows_when_it_is_worthless() {
    let from = |notice| mail(notice, Language::En).worthless_from();
    assert_eq!(code(NOW).worthless_from(), Some(NOW));
    let expiry = Notice::Expiry { threshold_days: 10, validity: validity(), days_left: 10, renewal_opens: None };
    assert_eq!(from(expiry), Some(utc_datetime!(2026-12-22 15:00)));
    assert_eq!(from(Notice::EnrolmentPermitted { until: NOW }), Some(NOW));
    assert_eq!(from(Notice::AddressChanged { at: NOW }), None);
}
