//! Writes every mail of the catalogue, in both languages, as it would go over the wire: to look at them in a mail
//! program, or to have them judged by another one.
//!
//! `cargo run -p koshin-notify --example all_mails -- FOLDER [TEXTS]`, where TEXTS is a folder of an operator's own texts.

use std::{error::Error, fs, path::PathBuf};

use koshin_notify::{Bilingual, Sender, Texts, Zone, compose, sample_mails};
use koshin_types::Language;
use time::{UtcDateTime, UtcOffset};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or("which folder?")?;
    let mut sender = Sender::new(
        "noreply@midori.example".parse()?,
        Bilingual::new("みどり信用金庫", "Midori Shinkin Bank"),
        Bilingual::new("みどりビジネスWeb", "Midori Business Web"),
        Bilingual::new("お客様サポート 03-0000-0000", "Customer support, 03-0000-0000"),
        Zone::fixed(UtcOffset::from_hms(9, 0, 0)?, "JST"),
    )?;
    if let Some(texts) = arguments.next() {
        sender = sender.with_texts(Texts::load(&texts)?);
    }
    fs::create_dir_all(&folder)?;
    let now = UtcDateTime::from_unix_timestamp(1_795_305_600)?;
    for language in Language::ALL {
        for (name, mail) in sample_mails(language, now) {
            let composed = compose(&mail, &sender, now)?;
            fs::write(folder.join(format!("{name}.{language}.eml")), &composed.mime)?;
        }
    }
    Ok(())
}
