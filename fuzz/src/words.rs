//! Identifiers and numbers that arrive as text or octets.

use std::str;

use koshin_types::{
    CertificateStatus, Fingerprint, Language, OrganizationId, RenewalId, RevocationReason, Role, SerialNumber,
    SubjectId,
};

/// Any text is refused, or is an identifier that says the text again and is safe in a path, a log line and a mail.
pub fn subject_id(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<SubjectId>() {
        assert_eq!(id.to_string(), text);
        assert!((1..=64).contains(&text.len()));
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        assert!(text.starts_with(|c: char| c.is_ascii_alphanumeric()));
        assert!(text.parse::<OrganizationId>().is_ok());
    }
    if let Ok(id) = text.parse::<RenewalId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
        assert_eq!(RenewalId::new(*id.as_bytes()), id);
    }
    if let Ok(print) = text.parse::<Fingerprint>() {
        assert_eq!(print.to_string(), text.to_ascii_lowercase());
    }
    let words = [
        text.parse::<Role>().map(Role::as_str),
        text.parse::<Language>().map(Language::as_str),
        text.parse::<CertificateStatus>().map(CertificateStatus::as_str),
        text.parse::<RevocationReason>().map(RevocationReason::as_str),
    ];
    assert!(words.into_iter().flatten().all(|word| word == text));
}

/// Any octets are refused, or are a positive number of at most 20 octets whose text gives the same number.
pub fn serial_number(data: &[u8]) {
    if let Ok(serial) = SerialNumber::from_be_bytes(data) {
        let octets = serial.as_be_bytes();
        assert!((1..=20).contains(&octets.len()) && octets[0] != 0);
        assert!(octets.len() < 20 || octets[0] < 0x80, "the DER INTEGER would take 21 octets");
        assert!(data.ends_with(octets));
        assert_eq!(serial.to_string().parse(), Ok(serial));
    }
    if let Ok(text) = str::from_utf8(data)
        && let Ok(serial) = text.parse::<SerialNumber>()
    {
        assert!(text.to_ascii_uppercase().ends_with(&serial.to_string()));
    }
    if let Some((milliseconds, rest)) = data.split_first_chunk::<8>()
        && let Some(random) = rest.first_chunk::<13>()
    {
        let serial = SerialNumber::from_time_and_random(i64::from_be_bytes(*milliseconds), *random);
        assert!(serial.as_be_bytes().len() <= 19 && serial.as_be_bytes().ends_with(random));
    }
}
