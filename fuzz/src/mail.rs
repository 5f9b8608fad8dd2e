//! What becomes part of a mail.

use std::str;

use koshin_notify::{Address, Mail};

/// Any text is refused, or is one address that can neither end a header nor name a second recipient.
pub fn mail_address(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(address) = text.parse::<Address>() else { return };
    assert_eq!(address.as_str(), text);
    assert_eq!(format!("{}@{}", address.local_part(), address.domain()), text);
    assert!(text.len() <= Address::MAX_OCTETS);
    assert!(!text.starts_with('-'), "an option of a command");
    assert!(text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !",;<>()[]\\:".contains(c)), "{text:?}");
    assert!(address.masked().ends_with(address.domain()));
    assert!(!format!("{address:?}").contains(address.domain()), "addresses stay out of logs");
}

/// Any text is refused, or is a mail that reads the same after it was written again.
pub fn outbox_row(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(mail) = Mail::decode(text) {
        let written = mail.encode();
        let again = Mail::decode(&written).expect("what was written can be read");
        assert_eq!(*again.encode(), *written);
    }
}
