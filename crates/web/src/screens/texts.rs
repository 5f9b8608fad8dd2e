//! The texts of all screens, in every language.

use std::fmt::Write as _;

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use koshin_types::Language;
use unic_langid::LanguageIdentifier;

use super::markup::{Markup, escape_into};

/// The first of the private-use characters that stand for markup while Fluent puts a sentence together.
const SLOT: u32 = 0xE000;
/// How many markup slots one sentence may have.
const SLOTS: u32 = 16;

/// The sources, the same files in each language.
const JA: &[&str] = &[
    include_str!("../../translations/ja/common.ftl"),
    include_str!("../../translations/ja/portal.ftl"),
    include_str!("../../translations/ja/renewal.ftl"),
    include_str!("../../translations/ja/enrolment.ftl"),
    include_str!("../../translations/ja/est.ftl"),
    include_str!("../../translations/ja/agent.ftl"),
    include_str!("../../translations/ja/certificate.ftl"),
    include_str!("../../translations/ja/problem.ftl"),
];
const EN: &[&str] = &[
    include_str!("../../translations/en/common.ftl"),
    include_str!("../../translations/en/portal.ftl"),
    include_str!("../../translations/en/renewal.ftl"),
    include_str!("../../translations/en/enrolment.ftl"),
    include_str!("../../translations/en/est.ftl"),
    include_str!("../../translations/en/agent.ftl"),
    include_str!("../../translations/en/certificate.ftl"),
    include_str!("../../translations/en/problem.ftl"),
];

/// Every text of every screen. Loaded once, then shared.
pub struct Texts {
    ja: FluentBundle<FluentResource>,
    en: FluentBundle<FluentResource>,
}

impl Texts {
    /// Reads the texts that are part of this crate.
    ///
    /// # Errors
    ///
    /// [`TextError::Source`] when a source is no Fluent, or defines a key twice. A test of this crate loads them all.
    pub fn load() -> Result<Self, TextError> {
        Ok(Self { ja: bundle(Language::Ja, JA)?, en: bundle(Language::En, EN)? })
    }

    /// One text with its slots filled, escaped for HTML.
    pub(crate) fn say(&self, language: Language, key: &str, slots: &[(&str, Slot)]) -> Result<Markup, TextError> {
        let bundle = match language {
            Language::Ja => &self.ja,
            Language::En => &self.en,
        };
        let missing = || TextError::Missing { key: key.to_owned(), language };
        let pattern = bundle.get_message(key).and_then(|message| message.value()).ok_or_else(missing)?;
        let mut markup = Vec::new();
        let mut arguments = FluentArgs::new();
        for (name, slot) in slots {
            arguments.set(*name, slot.value(&mut markup));
        }
        let mut errors = Vec::new();
        let text = bundle.format_pattern(pattern, Some(&arguments), &mut errors);
        match errors.first() {
            Some(error) => Err(TextError::Incomplete { key: key.to_owned(), language, reason: error.to_string() }),
            None => Ok(assemble(&text, &markup)),
        }
    }
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

fn bundle(language: Language, sources: &[&str]) -> Result<FluentBundle<FluentResource>, TextError> {
    let broken = |reason: String| TextError::Source { language, reason };
    let id: LanguageIdentifier =
        language.as_str().parse().map_err(|error: unic_langid::LanguageIdentifierError| broken(error.to_string()))?;
    let mut bundle = FluentBundle::new_concurrent(vec![id]);
    // Isolation marks would end up in titles and in copied text; neither language runs from right to left.
    bundle.set_use_isolating(false);
    for source in sources {
        let resource = FluentResource::try_new((*source).to_owned())
            .map_err(|(_, errors)| broken(errors.first().map(ToString::to_string).unwrap_or_default()))?;
        bundle
            .add_resource(resource)
            .map_err(|errors| broken(errors.first().map(ToString::to_string).unwrap_or_default()))?;
    }
    Ok(bundle)
}

/// Escapes the text and puts the markup where its stand-ins are.
fn assemble(text: &str, markup: &[Markup]) -> Markup {
    let mut html = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let index = u32::from(c).checked_sub(SLOT).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| markup.get(index)) {
            // Writing to a String cannot fail.
            Some(inner) => _ = write!(html, "{inner}"),
            None => escape_into(&mut html, c),
        }
    }
    Markup::trusted(html)
}

/// What fills a gap in a text.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    /// Somebody's words: escaped.
    Text(String),
    /// A number, which may choose a plural form.
    Count(i64),
    /// Markup of our own, for example a `<time>`.
    Markup(Markup),
}

impl Slot {
    fn value(&self, markup: &mut Vec<Markup>) -> FluentValue<'static> {
        match self {
            Self::Text(text) => FluentValue::from(text.chars().filter(|c| !is_slot(*c)).collect::<String>()),
            Self::Count(count) => FluentValue::from(*count),
            Self::Markup(inner) => {
                let at = u32::try_from(markup.len()).unwrap_or(SLOTS).min(SLOTS);
                markup.push(inner.clone());
                FluentValue::from(char::from_u32(SLOT + at).map(String::from).unwrap_or_default())
            }
        }
    }
}

fn is_slot(c: char) -> bool {
    (SLOT..=SLOT + SLOTS).contains(&u32::from(c))
}

/// Whatever can fill a gap in a text.
pub(crate) trait ToSlot {
    fn to_slot(&self) -> Slot;
}

impl<T: ToSlot + ?Sized> ToSlot for &T {
    fn to_slot(&self) -> Slot {
        (**self).to_slot()
    }
}

impl ToSlot for str {
    fn to_slot(&self) -> Slot {
        Slot::Text(self.to_owned())
    }
}

impl ToSlot for String {
    fn to_slot(&self) -> Slot {
        Slot::Text(self.clone())
    }
}

impl ToSlot for Markup {
    fn to_slot(&self) -> Slot {
        Slot::Markup(self.clone())
    }
}

impl ToSlot for u32 {
    fn to_slot(&self) -> Slot {
        Slot::Count(i64::from(*self))
    }
}

impl ToSlot for i64 {
    fn to_slot(&self) -> Slot {
        Slot::Count(*self)
    }
}

/// Why a text cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A source of texts cannot be read.
    #[error("a source of the texts in {language} cannot be read: {reason}")]
    Source {
        /// The language of the source.
        language: Language,
        /// What the reader found.
        reason: String,
    },
    /// No such text.
    #[error("there is no text {key} in {language}")]
    Missing {
        /// The text's key.
        key: String,
        /// The language it was asked in.
        language: Language,
    },
    /// A text needs something that it was not given.
    #[error("the text {key} in {language} cannot be put together: {reason}")]
    Incomplete {
        /// The text's key.
        key: String,
        /// The language it was asked in.
        language: Language,
        /// What is missing.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebodys_words_are_escaped_and_cannot_stand_for_markup() {
        let bold = Markup::trusted("<b>!</b>".to_owned());
        let text = Slot::Text("<i>\u{E000}&\"'".to_owned());
        let mut markup = Vec::new();
        let values = [Slot::Markup(bold).value(&mut markup), text.value(&mut markup)];
        let [FluentValue::String(first), FluentValue::String(second)] = values else { panic!("two strings") };
        let html = assemble(&format!("{first}{second}"), &markup).to_string();
        assert_eq!(html, "<b>!</b>&lt;i&gt;&amp;&quot;&#39;");
    }

    #[test]
    fn a_missing_text_is_an_error_that_names_it() {
        let texts = Texts::load().unwrap();
        let missing = TextError::Missing { key: "no-such-text".to_owned(), language: Language::En };
        assert_eq!(texts.say(Language::En, "no-such-text", &[]).unwrap_err(), missing);
        assert!(matches!(texts.say(Language::Ja, "days", &[]), Err(TextError::Incomplete { .. })));
    }
}
