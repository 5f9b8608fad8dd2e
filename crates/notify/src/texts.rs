//! The words of the mails: templates, checked when they are loaded.

mod lint;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use koshin_types::{Language, RevocationReason};
use minijinja::{Environment, UndefinedBehavior};

pub use lint::{Complaint, Complaints, Fault, lint};

use crate::{DigestState, render::Values};

/// Declares the catalogue: for each text its file and the placeholders that must and may stand in it.
macro_rules! catalogue {
    ($($variant:ident = $file:literal, must [$($must:literal),*], may [$($may:literal),*];)+) => {
        /// One text of the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Key { $($variant),+ }

        impl Key {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// Name of the file without its folder.
            pub(crate) const fn file(self) -> &'static str {
                match self { $(Self::$variant => concat!($file, ".txt")),+ }
            }

            /// Placeholders without which the text would not do its work.
            const fn must(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($must),*]),+ }
            }

            /// Further placeholders it may use.
            const fn may(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($may),*]),+ }
            }

            const fn builtin(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$variant, Language::Ja) => include_str!(concat!("../texts/ja/", $file, ".txt")),
                      (Self::$variant, Language::En) => include_str!(concat!("../texts/en/", $file, ".txt")),)+
                }
            }
        }
    };
}

catalogue! {
    Frame = "frame", must ["body", "contact"], may ["brand", "portal"];
    Reasons = "reasons", must [], may [];
    EnrolmentCode = "enrolment-code", must ["id", "code", "expires"], may ["brand", "portal"];
    ClosedStillValid = "enrolment-closed-still-valid",
        must ["id", "not_after"], may ["brand", "portal", "end_date"];
    ClosedTooLate = "enrolment-closed-too-late", must ["id", "not_after"], may ["brand", "portal", "end_date"];
    ClosedPermissionLapsed = "enrolment-closed-permission-lapsed",
        must ["id", "until"], may ["brand", "portal", "until_date"];
    ClosedNotPermitted = "enrolment-closed-not-permitted", must ["id"], may ["brand", "portal"];
    ClosedRevoked = "enrolment-closed-revoked", must ["id"], may ["brand", "portal"];
    ClosedAddressRests = "enrolment-closed-address-rests",
        must ["id", "until"], may ["brand", "portal", "until_date"];
    EnrolmentPermitted = "enrolment-permitted", must ["id", "until"], may ["brand", "portal", "until_date"];
    IssuedByRenewal = "issued-by-renewal",
        must ["id", "serial", "not_after"], may ["brand", "portal", "not_before", "end_date"];
    IssuedByEnrolment = "issued-by-enrolment",
        must ["id", "serial", "not_after"], may ["brand", "portal", "not_before", "end_date"];
    IssuedByRenewalAdministrator = "issued-by-renewal-administrator",
        must ["id", "serial", "not_after"], may ["brand", "portal", "not_before", "end_date"];
    IssuedByEnrolmentAdministrator = "issued-by-enrolment-administrator",
        must ["id", "serial", "not_after"], may ["brand", "portal", "not_before", "end_date"];
    ActivatedFirst = "activated-first", must ["id", "serial"], may ["brand", "portal"];
    ActivatedSuccessor = "activated-successor", must ["id", "serial"], may ["brand", "portal", "predecessor"];
    StartedAgain = "started-again", must ["id", "serial"], may ["brand", "portal"];
    Revoked = "revoked", must ["id", "serial"], may ["brand", "portal", "reason"];
    Expiry = "expiry", must ["id", "not_after"],
        may ["brand", "portal", "not_before", "end_date", "days_left", "threshold_days"];
    ExpiryBeforeWindow = "expiry-before-window", must ["id", "not_after", "opens"],
        may ["brand", "portal", "not_before", "end_date", "days_left", "threshold_days"];
    AddressChanged = "address-changed", must ["id", "at"], may ["brand", "portal"];
    States = "states", must [], may [];
    EnrolmentReminder = "enrolment-reminder", must ["id", "until"], may ["brand", "portal", "until_date"];
    AddressUndeliverable = "address-undeliverable", must ["id"], may ["brand", "portal", "at"];
    Escalation = "escalation", must ["id", "not_after"], may ["brand", "portal", "not_before", "end_date"];
    Digest = "digest", must ["table"], may ["brand", "portal", "id", "day"];
    OperatorSummary = "operator-summary", must [],
        may ["brand", "portal", "id", "day", "from", "until", "sent", "refused", "bounced", "unknown", "waiting", "tasks",
             "issued", "revoked", "ended", "ending_soon", "ending"];
}

/// The texts of all mails in both languages: the built-in ones, or an operator's.
///
/// A text file begins with a line `Subject: …`, an empty line follows, then the body; `frame.txt` has no subject and
/// goes around every body; `reasons.txt` and `states.txt` have lines `word = text`. `{{ name }}` stands for a value, and
/// `{% if … %}` and its kin are those of Jinja; there are no filters and no functions.
#[derive(Debug, Clone)]
pub struct Texts {
    templates: Arc<Environment<'static>>,
    /// What `reasons.txt` and `states.txt` say.
    words: BTreeMap<(Language, Key, String), String>,
}

/// Which half of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Subject,
    Body,
}

fn empty() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

fn name(language: Language, key: Key, part: Part) -> String {
    format!("{language}/{}/{part:?}", key.file())
}

impl Texts {
    /// The texts that come with this crate.
    pub fn builtin() -> Self {
        static BUILTIN: LazyLock<Texts> = LazyLock::new(Texts::read_builtin);
        BUILTIN.clone()
    }

    fn read_builtin() -> Self {
        let (mut environment, mut words) = (empty(), BTreeMap::new());
        for language in Language::ALL {
            for key in Key::ALL {
                // They pass their own check: a test says so.
                let _ = put(&mut environment, &mut words, language, *key, key.builtin(language));
            }
        }
        Self { templates: Arc::new(environment), words }
    }

    /// The built-in texts with those replaced that `folder` holds as `ja/NAME.txt` and `en/NAME.txt`.
    ///
    /// # Errors
    ///
    /// [`Complaints`], everything that [`lint`] finds: nothing is taken from a folder in which something is wrong.
    pub fn load(folder: &Path) -> Result<Self, Complaints> {
        let complaints = lint(folder);
        if !complaints.is_empty() {
            return Err(Complaints(complaints));
        }
        let Self { mut words, .. } = Self::builtin();
        let mut environment = empty();
        for language in Language::ALL {
            for key in Key::ALL {
                let own = fs::read_to_string(folder.join(language.as_str()).join(key.file()));
                let text = own.map_or_else(|_| key.builtin(language).to_owned(), |text| text.replace("\r\n", "\n"));
                // What changed since it was looked at is not taken.
                if put(&mut environment, &mut words, language, *key, &text).is_none() {
                    let _ = put(&mut environment, &mut words, language, *key, key.builtin(language));
                }
            }
        }
        Ok(Self { templates: Arc::new(environment), words })
    }

    /// Puts values into a text. A value is never read as a template. A text that fails with these values, although it
    /// did not with those of the examples, is left out, and the built-in one says it.
    pub(crate) fn fill(&self, language: Language, key: Key, part: Part, values: &Values) -> String {
        let filled = self.try_fill(language, key, part, values);
        filled.or_else(|| Self::builtin().try_fill(language, key, part, values)).unwrap_or_default()
    }

    fn try_fill(&self, language: Language, key: Key, part: Part, values: &Values) -> Option<String> {
        self.templates.get_template(&name(language, key, part)).ok()?.render(values).ok()
    }

    pub(crate) fn reason(&self, language: Language, reason: RevocationReason) -> &str {
        self.word(language, Key::Reasons, reason.as_str()).unwrap_or(reason.as_str())
    }

    pub(crate) fn state(&self, language: Language, state: DigestState) -> &str {
        self.word(language, Key::States, state.word()).unwrap_or(state.word())
    }

    fn word(&self, language: Language, key: Key, word: &str) -> Option<&str> {
        self.words.get(&(language, key, word.to_owned())).map(String::as_str)
    }
}

/// Takes a text in. `None` when it is none.
fn put(
    environment: &mut Environment<'static>,
    words: &mut BTreeMap<(Language, Key, String), String>,
    language: Language,
    key: Key,
    text: &str,
) -> Option<()> {
    if key.is_list() {
        words.extend(listed(text).map(|(word, text)| ((language, key, word.to_owned()), text.to_owned())));
        return Some(());
    }
    let (subject, body) = split(key, text)?;
    environment.add_template_owned(name(language, key, Part::Subject), subject.to_owned()).ok()?;
    environment.add_template_owned(name(language, key, Part::Body), body.trim_end().to_owned()).ok()
}

impl Key {
    /// Whether the file is a list of words.
    const fn is_list(self) -> bool {
        matches!(self, Self::Reasons | Self::States)
    }
}

/// Subject and body.
fn split(key: Key, text: &str) -> Option<(&str, &str)> {
    if key == Key::Frame {
        return Some(("", text));
    }
    let (subject, body) = text.strip_prefix("Subject: ")?.split_once("\n\n")?;
    (!subject.trim().is_empty() && !subject.contains('\n') && !body.trim().is_empty()).then_some((subject, body))
}

/// The lines `word = text` of a list.
fn listed(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('=')).map(|(word, text)| (word.trim(), text.trim()))
}

#[cfg(test)]
mod tests;
