//! One renewal as a registry would drive it, with the log that comes of it; then the log on trial, as it is and with one
//! fact missing.
//!
//! `cargo run -p koshin-renewal --example a_log_on_trial`

use std::error::Error;

use koshin_expiry::Policy;
use koshin_renewal::{Change, Deadlines, Event, Fact, Holding, Key, Refused};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, Rfc3339, SerialNumber, Validity};
use time::{Duration, UtcDateTime};

/// Facts with the instant at which they became true together.
type Log = Vec<(UtcDateTime, Vec<Fact>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let (log, end) = a_year()?;
    println!("as it was written: {}", verdict(&log)?);
    assert_eq!(end.certificates.len(), 2);
    // The predecessor's end is taken out, as if both certificates had been in use.
    let mut edited = log.clone();
    for (_, facts) in &mut edited {
        facts.retain(|fact| !matches!(fact, Fact::Superseded { .. }));
    }
    println!("with one fact less: {}", verdict(&edited)?);
    Ok(())
}

/// A permission, an enrolment, and a renewal when its notice is due.
fn a_year() -> Result<(Log, Holding), Box<dyn Error>> {
    let (policy, deadlines) = (Policy::default_jst(), Deadlines::default());
    let (mut holding, mut log) = (Holding::default(), Log::new());
    let mut take = |now: UtcDateTime, answer: &dyn Fn(&Holding) -> Result<Change, Refused>| -> Result<(), Refused> {
        let change = answer(&holding)?;
        let words: Vec<_> = change.facts.iter().map(Fact::as_str).collect();
        println!("{} {}", Rfc3339(now), words.join(", "));
        holding = change.next;
        log.push((now, change.facts));
        Ok(())
    };
    let start = UtcDateTime::from_unix_timestamp(1_775_005_200)?;
    take(start, &|holding| Ok(holding.permit(start + Duration::days(80), start)))?;
    for (number, now) in [(1_u8, start + Duration::HOUR), (2, start + Duration::days(340))] {
        let id = RenewalId::new([number; 16]);
        let fingerprint = Fingerprint::new([number; 32]);
        let serial = SerialNumber::from_be_bytes(&[number])?;
        let validity = Validity::new(now, now + Duration::days(365))?;
        let key = Key { spki: fingerprint, protection: ProtectionLevel::Os };
        let step = |event: Event| move |holding: &Holding| holding.step(id, &event, now, &deadlines);
        match number {
            1 => take(now, &|holding| holding.enrol(id, &policy, now))?,
            _ => take(now, &|holding| holding.start(id, &policy, now))?,
        }
        take(now, &step(Event::Request { key }))?;
        take(now, &step(Event::Intend { serial }))?;
        take(now, &|holding| holding.issue(id, serial, fingerprint, validity, now, &deadlines))?;
        take(now, &step(Event::Activate { fingerprint }))?;
    }
    Ok((log, holding))
}

/// What [`Holding::replay`] says of a log, commit by commit.
fn verdict(log: &Log) -> Result<String, Box<dyn Error>> {
    let mut holding = Holding::default();
    for (now, facts) in log {
        holding = match holding.replay(facts, *now) {
            Ok(holding) => holding,
            Err(error) => return Ok(format!("at {}, {error}", Rfc3339(*now))),
        };
    }
    let current = holding.current().ok_or("nobody holds anything")?;
    Ok(format!("in order; the certificate in use ends at {}", Rfc3339(current.validity.end())))
}
