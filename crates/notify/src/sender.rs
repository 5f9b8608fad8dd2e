//! Who sends: what stands in every mail beside what it tells.

use std::{fmt, sync::Arc};

use koshin_types::Language;
use time::{UtcDateTime, UtcOffset};

use crate::{Address, Verp, texts::Texts};

/// Who sends the mails: names, addresses, zone and texts. Checked once, so that rendering cannot fail.
#[derive(Debug, Clone)]
pub struct Sender {
    pub(crate) from: Address,
    pub(crate) brand: Bilingual,
    pub(crate) portal: Bilingual,
    pub(crate) contact: Bilingual,
    pub(crate) zone: Zone,
    pub(crate) texts: Texts,
    pub(crate) verp: Option<Verp>,
}

impl Sender {
    /// Puts a sender together with the built-in texts.
    ///
    /// `from` is the visible sender and the envelope's; its domain is also the right-hand side of every Message-ID and
    /// should not change while mails are on their way. `brand` and `portal` are one line, `contact` may have several.
    ///
    /// # Errors
    ///
    /// [`SenderError`] when a name is empty, longer than 200 characters, holds a control character, or a link.
    ///
    /// ```
    /// use koshin_notify::{Bilingual, Sender, Zone};
    /// use time::UtcOffset;
    ///
    /// let named = |name: &str| {
    ///     let name = Bilingual::new(name, name);
    ///     let from = "noreply@bank.example".parse().expect("an address");
    ///     Sender::new(from, name.clone(), name.clone(), name, Zone::fixed(UtcOffset::UTC, "UTC"))
    /// };
    /// assert!(named(&"行".repeat(200)).is_ok() && named(&"行".repeat(201)).is_err());
    /// assert!(named("").is_err() && named("a\u{7}").is_err() && named("https://bank.example").is_err());
    /// ```
    pub fn new(
        from: Address,
        brand: Bilingual,
        portal: Bilingual,
        contact: Bilingual,
        zone: Zone,
    ) -> Result<Self, SenderError> {
        for (name, value, lines) in [("brand", &brand, false), ("portal", &portal, false), ("contact", &contact, true)]
        {
            for language in Language::ALL {
                check(name, language, value.get(language), lines)?;
            }
        }
        Ok(Self { from, brand, portal, contact, zone, texts: Texts::builtin(), verp: None })
    }

    /// The same sender with an envelope sender of its own for each mail, to which reports come back. What people see in
    /// a mail stays as it is.
    #[must_use]
    pub fn with_verp(mut self, verp: Verp) -> Self {
        self.verp = Some(verp);
        self
    }

    /// Somebody, to try texts with.
    pub(crate) fn example() -> Option<Self> {
        let named = || Bilingual::new("銀行", "Bank");
        Self::new("bank@example.jp".parse().ok()?, named(), named(), named(), Zone::fixed(UtcOffset::UTC, "UTC")).ok()
    }

    /// The zone in which its mails name days and times.
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The same sender with other texts.
    #[must_use]
    pub fn with_texts(mut self, texts: Texts) -> Self {
        self.texts = texts;
        self
    }
}

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bilingual {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

impl Bilingual {
    /// Takes both.
    pub fn new(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self { ja: ja.into(), en: en.into() }
    }

    /// The text in one language.
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::Ja => &self.ja,
            Language::En => &self.en,
        }
    }
}

/// The zone in which mails name days and times. A zone table is the caller's: this crate has none.
#[derive(Clone)]
pub struct Zone(Arc<dyn Fn(UtcDateTime) -> (UtcOffset, String) + Send + Sync>);

impl Zone {
    /// A zone without changes of the clock, such as Japan's.
    ///
    /// ```
    /// use koshin_notify::Zone;
    /// use time::{UtcDateTime, UtcOffset};
    ///
    /// let japan = Zone::fixed(UtcOffset::from_hms(9, 0, 0)?, "JST");
    /// assert_eq!(japan.at(UtcDateTime::UNIX_EPOCH).1, "JST");
    /// # Ok::<(), time::error::ComponentRange>(())
    /// ```
    pub fn fixed(offset: UtcOffset, abbreviation: &str) -> Self {
        let abbreviation = abbreviation.to_owned();
        Self::from_fn(move |_| (offset, abbreviation.clone()))
    }

    /// A zone that looks up offset and abbreviation of each instant.
    pub fn from_fn(lookup: impl Fn(UtcDateTime) -> (UtcOffset, String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// Offset and abbreviation at an instant.
    pub fn at(&self, instant: UtcDateTime) -> (UtcOffset, String) {
        (self.0)(instant)
    }

    /// When the local day of an instant begins, and when the next one does, by the offset of that instant.
    pub(crate) fn day(&self, instant: UtcDateTime) -> (UtcDateTime, UtcDateTime) {
        let offset = i64::from(self.at(instant).0.whole_seconds());
        let into = (instant.unix_timestamp() + offset).rem_euclid(86_400);
        let begins = instant.unix_timestamp() - into;
        let at = |seconds, or| UtcDateTime::from_unix_timestamp(seconds).unwrap_or(or);
        (at(begins, UtcDateTime::MIN), at(begins + 86_400, UtcDateTime::MAX))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({:?})", self.at(UtcDateTime::UNIX_EPOCH))
    }
}

/// Why a sender is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SenderError {
    /// Nothing, or too much.
    #[error("{name} ({language}) has {chars} characters, 1 to {most} are allowed")]
    Length {
        /// Which name.
        name: &'static str,
        /// In which language.
        language: Language,
        /// Characters given.
        chars: usize,
        /// Characters allowed.
        most: usize,
    },
    /// A control character, or a line break where there is one line.
    #[error("{name} ({language}) holds a control character")]
    Control {
        /// Which name.
        name: &'static str,
        /// In which language.
        language: Language,
    },
    /// A link. Readers are told that these mails have none.
    #[error("{name} ({language}) holds a link")]
    Link {
        /// Which name.
        name: &'static str,
        /// In which language.
        language: Language,
    },
}

const MOST_CHARS: usize = 200;

fn check(name: &'static str, language: Language, value: &str, lines: bool) -> Result<(), SenderError> {
    let chars = value.chars().count();
    if chars > MOST_CHARS || value.trim().is_empty() {
        return Err(SenderError::Length { name, language, chars, most: MOST_CHARS });
    }
    if value.chars().any(|c| is_disguise(c) || (c.is_control() && !(lines && c == '\n'))) {
        return Err(SenderError::Control { name, language });
    }
    if value.contains("://") {
        return Err(SenderError::Link { name, language });
    }
    Ok(())
}

/// Line separators and direction marks: not control characters by their category, but of the same effect.
pub(crate) const fn is_disguise(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
