//! Where a certificate stands at every change of its last weeks, and what comes next.
//!
//! `cargo run -p koshin-expiry --example where_it_stands`

use koshin_expiry::{Policy, Standing, ValidityRefused};
use time::{Date, Month, UtcDateTime};

fn main() -> Result<(), ValidityRefused> {
    let issue = utc(2026, Month::March, 1);
    let policy = Policy::default_jst();
    let validity = policy.validity_for(issue, utc(2040, Month::January, 1))?;
    println!("valid     {} to {}", validity.not_before(), validity.not_after());
    println!("renewable from {}", policy.opening(validity, policy.notice_days()));
    println!();

    // Nobody answers the notice; the mailer sends each mail when it falls due.
    let mut sent = Vec::new();
    let mut next = Some(policy.opening(validity, 31));
    while let Some(now) = next {
        let decision = policy.decide(&Standing { closed: &sent, ..Standing::active(validity) }, now);
        let days = decision.days_left.map_or_else(|| "no".to_owned(), |days| days.to_string());
        let open = match (decision.renewal, decision.enrolment) {
            (true, _) => "renewal is open",
            (_, true) => "enrolment is open",
            _ => "nothing to do",
        };
        let mail = decision.mail_due.map_or_else(String::new, |due| format!(", the {due}-day mail goes out"));
        println!("{now:<21} {days:>2} days left, {open}{mail}");
        sent.extend(decision.mail_due);
        sent.extend(decision.mails_closed);
        next = decision.next_change;
    }
    Ok(())
}

fn utc(year: i32, month: Month, day: u8) -> UtcDateTime {
    Date::from_calendar_date(year, month, day).unwrap_or(Date::MIN).midnight().as_utc()
}
