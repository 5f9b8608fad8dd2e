//! Reads lines of an inventory as another program might export them, and says of each certificate what it is, or why the
//! line is none.
//!
//! `cargo run -p koshin-types --example read_a_certificate_line`

use std::error::Error;

use koshin_types::{Rfc3339, Role, SerialNumber, SubjectId, Validity};
use time::UtcDateTime;

/// Subject, role, serial number, and the first and the last second of validity since 1970.
const INVENTORY: [&str; 5] = [
    "U-1001 user 01A0C4506C00AA 1790000000 1821535999",
    "A-1 administrator 7F 1790000000 1790000000",
    "U/1002 user 02 1790000000 1821535999",
    "U-1003 user 00 1790000000 1821535999",
    "U-1004 user 03 1821535999 1790000000",
];

fn main() {
    for line in INVENTORY {
        match certificate(line) {
            Ok(text) => println!("{text}"),
            Err(error) => println!("{line:?}: {error}"),
        }
    }
}

fn certificate(line: &str) -> Result<String, Box<dyn Error>> {
    let fields: Vec<_> = line.split(' ').collect();
    let [subject, role, serial, first, last] = fields[..] else { return Err("five fields are needed".into()) };
    let subject: SubjectId = subject.parse()?;
    let role: Role = role.parse()?;
    let serial: SerialNumber = serial.parse()?;
    let second = |text: &str| -> Result<_, Box<dyn Error>> { Ok(UtcDateTime::from_unix_timestamp(text.parse()?)?) };
    let validity = Validity::new(second(first)?, second(last)?)?;
    Ok(format!(
        "{role} {subject}: certificate {serial}, {} octets, ends at {}",
        serial.as_be_bytes().len(),
        Rfc3339(validity.end())
    ))
}
