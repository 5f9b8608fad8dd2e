//! What becomes part of a mail.

use std::{str, sync::LazyLock};

use koshin_notify::{Address, Bilingual, Mail, Sender, Zone, render};
use time::UtcOffset;

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
    assert_eq!(format!("{address:?}"), "Address(***)", "addresses stay out of logs");
}

/// Any text is refused, or is a mail that reads the same after it was written again, and whose words hold no address
/// and nothing that could end a header.
pub fn outbox_row(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(mail) = Mail::decode(text) else { return };
    let again = Mail::decode(&mail.encode()).expect("what was written can be read");
    assert_eq!(again, mail);
    let rendered = render(&mail, &SENDER);
    assert!(!rendered.subject.contains(char::is_control), "{:?}", rendered.subject);
    assert!(!rendered.text.contains('\r'));
    assert!(!rendered.text.contains(mail.to.as_str()) && !rendered.subject.contains(mail.to.as_str()));
}

static SENDER: LazyLock<Sender> = LazyLock::new(|| {
    Sender::new(
        "noreply@bank.example".parse().unwrap(),
        Bilingual::new("みどり信用金庫", "Midori Bank"),
        Bilingual::new("みどりビジネスWeb", "Midori Business Web"),
        Bilingual::new("お客様サポート", "Customer support"),
        Zone::fixed(UtcOffset::from_hms(9, 0, 0).unwrap(), "JST"),
    )
    .unwrap()
});
