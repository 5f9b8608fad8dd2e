//! What the holder reads, in Japanese and English. Short and calm: each says who asks, what happens, and that No harms nothing.

use std::env;

use koshin_types::{Language, ProtectionLevel, SerialNumber};
use time::UtcDateTime;

use crate::exit::harmless;

/// The texts in one language.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) language: Language,
}

/// The language of the environment: Japanese where it says so, else English.
pub(crate) fn language_of_environment() -> Language {
    let said =
        ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    if said.is_some_and(|value| value.starts_with("ja")) { Language::Ja } else { Language::En }
}

/// Who asks for what, in the first question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) host: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) organization: Option<&'a str>,
}

/// What is to be installed, in the second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What<'a> {
    pub(crate) host: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) authority: Option<&'a str>,
    pub(crate) serial: SerialNumber,
    pub(crate) not_after: UtcDateTime,
    pub(crate) protection: ProtectionLevel,
}

impl Words {
    pub(crate) const fn new(language: Language) -> Self {
        Self { language }
    }

    const fn of(self, ja: &'static str, en: &'static str) -> &'static str {
        match self.language {
            Language::Ja => ja,
            Language::En => en,
        }
    }

    fn made(self, ja: impl FnOnce() -> String, en: impl FnOnce() -> String) -> String {
        match self.language {
            Language::Ja => ja(),
            Language::En => en(),
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        self.of("Web アクセスの確認 (koshin-agent)", "Web access confirmation (koshin-agent)")
    }

    pub(crate) const fn yes(self) -> &'static str {
        self.of("はい", "Yes")
    }

    pub(crate) const fn no(self) -> &'static str {
        self.of("いいえ", "No")
    }

    pub(crate) const fn go_on(self) -> &'static str {
        self.of("はい、続ける", "Yes, go on")
    }

    pub(crate) const fn type_here(self) -> &'static str {
        self.of("番号（何も入力しなければ「いいえ」）", "Digits (nothing means No)")
    }

    pub(crate) const fn yes_or_no(self) -> &'static str {
        self.of("「はい」または「いいえ」", "yes or no")
    }

    pub(crate) fn is_yes(typed: &str) -> bool {
        typed == "はい" || typed.eq_ignore_ascii_case("yes") || typed.eq_ignore_ascii_case("y")
    }

    pub(crate) const fn paste(self) -> &'static str {
        self.of(
            "画面のコード（koshin: で始まる行）を貼り付けてください",
            "Paste the line from the page that begins with koshin:",
        )
    }

    pub(crate) fn digit(self, place: u8, length: u8) -> String {
        self.made(|| format!("{length}桁のうち、{place}桁目の数字は？"), || format!("Digit {place} of {length}?"))
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn pin(self, token: &str, fewer: bool) -> String {
        let token = harmless(token);
        let fewer = if fewer {
            self.of("（前回の PIN は違っていました）", " (the last PIN was wrong)")
        } else {
            ""
        };
        self.made(|| format!("「{token}」の PIN{fewer}"), || format!("PIN of {token}{fewer}"))
    }

    pub(crate) fn not_so_many_digits(self, length: u8) -> String {
        self.made(|| format!("{length}桁の数字を入力してください。"), || format!("Please type {length} digits."))
    }

    pub(crate) fn wrong(self, left: Option<u32>) -> String {
        match left {
            Some(left) => self.made(
                || format!("番号が違います。あと{left}回入力できます。"),
                || format!("That is another number. Tries left: {left}."),
            ),
            None => self.of("番号が違います。", "That is another number.").to_owned(),
        }
    }

    /// The first confirmation of a renewal: typing the digits is the Yes.
    pub(crate) fn first_with_digits(self, who: Who<'_>, length: u8) -> String {
        let whose = self.whose(who);
        self.made(
            || {
                format!(
                    "電子証明書を更新しますか。\n\n{whose}\n\nこのパソコンに新しい鍵を作り、電子証明書を申し込みます。\n\
                     続ける場合は、ブラウザの画面に表示されている{length}桁の番号を入力してください。\n\
                     「いいえ」を選んでも、いまの電子証明書はそのまま使えます。"
                )
            },
            || {
                format!(
                    "Renew your certificate?\n\n{whose}\n\nA new key is made on this computer, and a certificate is asked for.\n\
                     To go on, type the {length} digits that your browser shows.\n\
                     If you say No, your certificate works as before."
                )
            },
        )
    }

    /// The code of an enrolment, before the portal says whose it is.
    pub(crate) fn mailed_code(self, host: &str, length: u8) -> String {
        self.made(
            || {
                format!(
                    "電子証明書を取得します。\n\nサイト： {host}\n\nメールで届いた{length}桁の確認番号を入力してください。\n\
                     お心当たりがない場合は「いいえ」を選んでください。"
                )
            },
            || {
                format!(
                    "You are about to obtain a certificate.\n\nSite: {host}\n\nType the code of {length} digits that was mailed \
                     to you.\nIf you did not ask for this, say No."
                )
            },
        )
    }

    /// The first confirmation of an enrolment.
    pub(crate) fn first(self, who: Who<'_>) -> String {
        let whose = self.whose(who);
        self.made(
            || format!("電子証明書を取得しますか。\n\n{whose}\n\nこのパソコンに新しい鍵を作り、電子証明書を申し込みます。"),
            || {
                format!(
                    "Obtain a certificate?\n\n{whose}\n\nA new key is made on this computer, and a certificate is asked for."
                )
            },
        )
    }

    fn whose(self, who: Who<'_>) -> String {
        let (host, subject) = (harmless(who.host), harmless(who.subject));
        let organization = who.organization.map(harmless);
        match (self.language, organization) {
            (Language::Ja, Some(name)) => format!("サイト： {host}\nID： {subject}（{name}）"),
            (Language::Ja, None) => format!("サイト： {host}\nID： {subject}"),
            (Language::En, Some(name)) => format!("Site: {host}\nID: {subject} ({name})"),
            (Language::En, None) => format!("Site: {host}\nID: {subject}"),
        }
    }

    /// The second confirmation.
    pub(crate) fn second(self, what: What<'_>) -> String {
        let (host, subject) = (harmless(what.host), harmless(what.subject));
        let authority = what.authority.map_or_else(|| "-".to_owned(), harmless);
        let (serial, until) = (what.serial, day(what.not_after));
        let kept = self.kept(what.protection);
        self.made(
            || {
                format!(
                    "この電子証明書を、このパソコンにインストールしますか。\n\nサイト： {host}\nID： {subject}\n認証局： {authority}\n\
                     シリアル番号： {serial}\n有効期限： {until}\n\n{kept}\n\
                     「いいえ」を選んでも、あとで同じ電子証明書をインストールできます。"
                )
            },
            || {
                format!(
                    "Install this certificate on this computer?\n\nSite: {host}\nID: {subject}\nCA: {authority}\n\
                     Serial number: {serial}\nValid until: {until}\n\n{kept}\n\
                     If you say No, the same certificate can be installed later."
                )
            },
        )
    }

    /// What may be claimed of a key, and nothing more.
    pub(crate) const fn kept(self, protection: ProtectionLevel) -> &'static str {
        match protection {
            ProtectionLevel::Hardware => self.of(
                "鍵はこのパソコンの部品（またはカード）の中で作られ、外に出ません。",
                "The key is made inside this computer's (or the card's) hardware and never leaves it.",
            ),
            ProtectionLevel::Os => self.of(
                "鍵は、このパソコンのあなた用の保管場所に入ります。あなたのファイルをすべてコピーできる人は、鍵もコピーできます。",
                "The key lies in your own store on this computer. Whoever can copy all your files can copy it.",
            ),
            ProtectionLevel::File => self.of("鍵はファイルに入ります。", "The key lies in a file."),
        }
    }

    pub(crate) fn done(self, serial: SerialNumber) -> String {
        self.made(
            || format!("新しい電子証明書（シリアル番号 {serial}）が使えるようになりました。ブラウザの画面に戻ってください。"),
            || format!("Your new certificate (serial number {serial}) is in use. You can go back to your browser."),
        )
    }

    pub(crate) const fn restart(self) -> &'static str {
        self.of(
            "ブラウザが以前の電子証明書を示す場合は、ブラウザを一度終了して、もう一度開いてください。",
            "If your browser still shows the old certificate, close it once and open it again.",
        )
    }

    pub(crate) const fn declined_first(self) -> &'static str {
        self.of(
            "「いいえ」が選ばれました。何も変わっていません。続けるときは、画面のボタンをもう一度押してください。",
            "You said No, and nothing has changed. To go on, click again in the page.",
        )
    }

    pub(crate) const fn declined_second(self) -> &'static str {
        self.of(
            "「いいえ」が選ばれました。いまの電子証明書はそのまま使えます。続けるときは、画面のボタンをもう一度押すか、koshin-agent renew を実行してください。",
            "You said No, and your certificate works as before. To go on, click again in the page, or run `koshin-agent renew`.",
        )
    }

    pub(crate) const fn silence(self) -> &'static str {
        self.of(
            "お返事がなかったので、ここで止めました。何も失われていません。画面のボタンをもう一度押してください。",
            "Nobody answered, so it stops here. Nothing is lost; click again in the page.",
        )
    }

    pub(crate) const fn click_again(self) -> &'static str {
        self.of(
            "この操作は終わっています。画面のボタンをもう一度押してください。",
            "This link has been used or is over. Click again in the page.",
        )
    }

    pub(crate) const fn later(self) -> &'static str {
        self.of(
            "ここまでの内容は保存されています。しばらくしてから、画面のボタンをもう一度押すか、koshin-agent renew を実行してください。",
            "What is done so far is kept. Click again in the page after a while, or run `koshin-agent renew`.",
        )
    }

    pub(crate) const fn nothing_was_issued(self) -> &'static str {
        self.of(
            "何も発行されていません。いまの電子証明書はそのまま使えます。",
            "Nothing was issued. Your certificate works as before.",
        )
    }

    pub(crate) fn foreign(self, host: &str) -> String {
        let host = harmless(host);
        self.made(
            || {
                format!(
                    "{host} は、このパソコンに登録されていないサイトです。何もしていません。\n\
                     心当たりがない場合は、この画面を閉じて、担当者にお知らせください。"
                )
            },
            || {
                format!(
                    "{host} is no portal that is registered on this computer. Nothing was done.\n\
                     If you did not expect this, close the page and tell your administrator."
                )
            },
        )
    }

    pub(crate) fn nothing_unfinished(self) -> &'static str {
        self.of(
            "途中の更新はありません。サイトにログインして「今すぐ更新する」を押してください。",
            "No renewal is on its way. Log in to the portal and choose “Renew now”.",
        )
    }
}

/// A day, as everybody reads it; certificates end at an instant in UTC.
pub(crate) fn day(instant: UtcDateTime) -> String {
    let (year, month, day) = (instant.year(), u8::from(instant.month()), instant.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", instant.hour(), instant.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_name_what_the_holder_has_to_know_in_both_languages() {
        let who = Who { host: "portal.bank.example", subject: "U-0030", organization: Some("青空商事") };
        let serial: SerialNumber = "0a1b".parse().unwrap();
        let what = What {
            host: "portal.bank.example",
            subject: "U-0030",
            authority: Some("Example CA"),
            serial,
            not_after: UtcDateTime::UNIX_EPOCH,
            protection: ProtectionLevel::Os,
        };
        for language in [Language::Ja, Language::En] {
            let words = Words::new(language);
            for text in [words.first_with_digits(who, 4), words.first(who)] {
                assert!(
                    text.contains("portal.bank.example") && text.contains("U-0030") && text.contains("青空商事"),
                    "{text}"
                );
            }
            assert!(
                words.first_with_digits(who, 4).contains('4')
                    && words.mailed_code("h.example", 8).contains("h.example")
            );
            let second = words.second(what);
            for part in ["portal.bank.example", "U-0030", "Example CA", "0A1B", "1970-01-01 00:00 UTC"] {
                assert!(second.contains(part), "{part}: {second}");
            }
        }
    }

    #[test]
    fn only_hardware_is_said_to_bind() {
        for (language, word) in [(Language::Ja, "外に出ません"), (Language::En, "never leaves")] {
            let words = Words::new(language);
            assert!(words.kept(ProtectionLevel::Hardware).contains(word));
            assert!(
                !words.kept(ProtectionLevel::Os).contains(word) && !words.kept(ProtectionLevel::File).contains(word)
            );
        }
    }

    #[test]
    fn what_a_portal_says_moves_nothing_on_the_screen() {
        let who = Who { host: "a", subject: "U\u{1b}[2J\n\u{202e}x", organization: Some("b\nSite: evil") };
        let text = Words::new(Language::En).first(who);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains("\nSite: evil"), "{text}");
    }
}
