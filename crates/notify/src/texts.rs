//! The words of the mails: templates with `{placeholders}`, checked when they are loaded.

use std::{collections::BTreeMap, fs, io, path::Path};

use koshin_types::{Language, RevocationReason};

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
}

/// The texts of all mails in both languages: the built-in ones, or an operator's.
///
/// A text file begins with a line `Subject: …`, an empty line follows, then the body; `frame.txt` has no subject and
/// goes around every body; `reasons.txt` has lines `word = text`. `{name}` stands for a value.
#[derive(Debug, Clone)]
pub struct Texts {
    texts: BTreeMap<(Language, Key), Text>,
    reasons: BTreeMap<(Language, RevocationReason), String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    pub(crate) subject: String,
    pub(crate) body: String,
}

impl Texts {
    /// The texts that come with this crate.
    pub fn builtin() -> Self {
        let mut all = Self { texts: BTreeMap::new(), reasons: BTreeMap::new() };
        for language in Language::ALL {
            for key in Key::ALL {
                all.put(language, *key, key.builtin(language));
            }
        }
        all
    }

    /// The built-in texts with those replaced that `folder` holds as `ja/NAME.txt` and `en/NAME.txt`.
    ///
    /// # Errors
    ///
    /// [`TextError`] for a file that cannot be read, has a name outside the catalogue, or does not pass its check. A
    /// text with `://` in it does not: these mails hold no links.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let mut all = Self::builtin();
        for language in Language::ALL {
            let folder = folder.join(language.as_str());
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(TextError::Read { file: folder.display().to_string(), source }),
            };
            for entry in entries {
                let read = |source| TextError::Read { file: folder.display().to_string(), source };
                let path = entry.map_err(read)?.path();
                let file = path.display().to_string();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let Some(key) = Key::ALL.iter().copied().find(|key| key.file() == name) else {
                    return Err(TextError::UnknownFile { file });
                };
                let text =
                    fs::read_to_string(&path).map_err(|source| TextError::Read { file: file.clone(), source })?;
                let text = text.replace("\r\n", "\n");
                check(key, &file, &text)?;
                all.put(language, key, &text);
            }
        }
        Ok(all)
    }

    fn put(&mut self, language: Language, key: Key, text: &str) {
        if key == Key::Reasons {
            self.reasons.extend(reasons(text).map(|(reason, words)| ((language, reason), words.to_owned())));
        }
        let (subject, body) = split(key, text).unwrap_or_default();
        let text = Text { subject: subject.to_owned(), body: body.trim_end().to_owned() };
        self.texts.insert((language, key), text);
    }

    pub(crate) fn get(&self, language: Language, key: Key) -> (&str, &str) {
        self.texts.get(&(language, key)).map(|text| (text.subject.as_str(), text.body.as_str())).unwrap_or_default()
    }

    pub(crate) fn reason(&self, language: Language, reason: RevocationReason) -> &str {
        self.reasons.get(&(language, reason)).map_or(reason.as_str(), String::as_str)
    }
}

/// Why a text is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A file or folder cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// Path.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// There is no text of this name.
    #[error("{file}: there is no text of this name")]
    UnknownFile {
        /// Path.
        file: String,
    },
    /// The first line is no subject, or a control character stands somewhere.
    #[error("{file}: {what}")]
    Shape {
        /// Path.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A placeholder that has no value here.
    #[error("{file}: {{{name}}} has no value here; known are {known:?}")]
    UnknownPlaceholder {
        /// Path.
        file: String,
        /// Name of the placeholder.
        name: String,
        /// Names that would have been known.
        known: Vec<&'static str>,
    },
    /// A placeholder that has to be there is missing.
    #[error("{file}: {{{name}}} is missing")]
    MissingPlaceholder {
        /// Path.
        file: String,
        /// Name of the placeholder.
        name: &'static str,
    },
    /// A reason has no words.
    #[error("{file}: no line for {reason}")]
    MissingReason {
        /// Path.
        file: String,
        /// The reason.
        reason: RevocationReason,
    },
}

fn check(key: Key, file: &str, text: &str) -> Result<(), TextError> {
    let shape = |what| TextError::Shape { file: file.to_owned(), what };
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(shape("a control character"));
    }
    if text.contains("://") {
        return Err(shape("a link: name the menu instead"));
    }
    if key == Key::Reasons {
        let has = |reason| reasons(text).any(|(found, words)| found == reason && !words.is_empty());
        return match RevocationReason::ALL.into_iter().find(|reason| !has(*reason)) {
            Some(reason) => Err(TextError::MissingReason { file: file.to_owned(), reason }),
            None => Ok(()),
        };
    }
    let (subject, body) = split(key, text).ok_or_else(|| shape("no line `Subject: …` and an empty line after it"))?;
    let known: Vec<_> = key.must().iter().chain(key.may()).copied().collect();
    let used = || pieces(subject).chain(pieces(body)).filter_map(Piece::name);
    if let Some(name) = used().find(|name| !known.contains(name)) {
        return Err(TextError::UnknownPlaceholder { file: file.to_owned(), name: name.to_owned(), known });
    }
    if subject.contains("{code}") {
        return Err(shape("the code does not belong into the subject, which phones show to everybody"));
    }
    match key.must().iter().copied().find(|name| !pieces(body).filter_map(Piece::name).any(|used| used == *name)) {
        Some(name) => Err(TextError::MissingPlaceholder { file: file.to_owned(), name }),
        None => Ok(()),
    }
}

/// Subject and body.
fn split(key: Key, text: &str) -> Option<(&str, &str)> {
    if matches!(key, Key::Frame | Key::Reasons) {
        return Some(("", text));
    }
    let (subject, body) = text.strip_prefix("Subject: ")?.split_once("\n\n")?;
    (!subject.trim().is_empty() && !subject.contains('\n') && !body.trim().is_empty()).then_some((subject, body))
}

fn reasons(text: &str) -> impl Iterator<Item = (RevocationReason, &str)> {
    text.lines().filter_map(|line| {
        let (word, words) = line.split_once('=')?;
        Some((word.trim().parse().ok()?, words.trim()))
    })
}

/// Puts values into a template, in one pass: a value is never read as a template.
pub(crate) fn fill<'a>(template: &'a str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    pieces(template)
        .map(|piece| match piece {
            Piece::Literal(text) => text,
            Piece::Placeholder { name, whole } => value(name).unwrap_or(whole),
        })
        .collect()
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Literal(&'a str),
    Placeholder { name: &'a str, whole: &'a str },
}

impl<'a> Piece<'a> {
    const fn name(self) -> Option<&'a str> {
        match self {
            Self::Literal(_) => None,
            Self::Placeholder { name, .. } => Some(name),
        }
    }
}

fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let open = rest.find('{').unwrap_or(rest.len());
        if open > 0 {
            let (literal, tail) = rest.split_at(open);
            rest = tail;
            return Some(Piece::Literal(literal));
        }
        // A brace that is never closed is a placeholder without a name, which no check lets pass.
        let end = rest.find('}').map_or(rest.len(), |close| close + 1);
        let (whole, tail) = rest.split_at(end);
        rest = tail;
        let name = whole.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or_default();
        Some(Piece::Placeholder { name, whole })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_texts_pass_their_own_check_in_both_languages() {
        for language in Language::ALL {
            for key in Key::ALL {
                let name = format!("{language}/{}", key.file());
                check(*key, &name, key.builtin(language)).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    #[test]
    fn both_languages_use_the_same_placeholders() {
        for key in Key::ALL {
            let used = |language| {
                let mut names: Vec<_> = pieces(key.builtin(language)).filter_map(Piece::name).collect();
                names.sort_unstable();
                names.dedup();
                names
            };
            assert_eq!(used(Language::Ja), used(Language::En), "{}", key.file());
        }
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_catalogue() {
        for language in Language::ALL {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("texts").join(language.as_str());
            let mut found: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            let mut known: Vec<_> = Key::ALL.iter().map(|key| key.file().to_owned()).collect();
            found.sort();
            known.sort();
            assert_eq!(found, known);
        }
    }

    #[test]
    fn an_operator_s_mistakes_are_named() {
        let refused = |name: &str, text: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("ja")).unwrap();
            fs::write(folder.path().join("ja").join(name), text).unwrap();
            let error = Texts::load(folder.path()).unwrap_err().to_string();
            error.rsplit_once(".txt: ").map_or(error.clone(), |(_, what)| what.to_owned())
        };
        assert_eq!(
            refused("revoked.txt", "Subject: a\n\n{id} {serial} {nam}"),
            "{nam} has no value here; known are [\"id\", \"serial\", \"brand\", \"portal\", \"reason\"]"
        );
        assert_eq!(refused("revoked.txt", "Subject: a\n\n{id}"), "{serial} is missing");
        assert!(refused("revoked.txt", "Subject: a\n\n{serial} {id").starts_with("{} has no value here"));
        assert_eq!(refused("revoked.txt", "a\n\n{id}"), "no line `Subject: …` and an empty line after it");
        assert_eq!(
            refused("revoked.txt", "Subject: a\nBcc: b\n\n{id} {serial}"),
            "no line `Subject: …` and an empty line after it"
        );
        assert_eq!(refused("revoked.txt", "Subject: a\r\n\r\n{id} {serial}\u{7}"), "a control character");
        assert_eq!(
            refused("expiry.txt", "Subject: a\n\n{id} {not_after} https://bank.example/login"),
            "a link: name the menu instead"
        );
        assert!(refused("enrolment-code.txt", "Subject: {code}\n\n{id} {code} {expires}").contains("subject"));
        assert_eq!(refused("reasons.txt", "unspecified = x"), "no line for keyCompromise");
        assert!(refused("expire.txt", "").contains("no text of this name"));
    }

    #[test]
    fn an_operator_s_text_replaces_ours() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("en")).unwrap();
        fs::write(folder.path().join("en/revoked.txt"), "Subject: Gone\n\n{id} {serial}").unwrap();
        let texts = Texts::load(folder.path()).unwrap();
        assert_eq!(texts.get(Language::En, Key::Revoked), ("Gone", "{id} {serial}"));
        assert!(texts.get(Language::Ja, Key::Revoked).0.contains("失効"));
    }

    #[test]
    fn a_value_is_never_read_as_a_template() {
        assert_eq!(fill("{a}{b}{c} {a", |name| matches!(name, "a" | "b").then_some("{b}")), "{b}{b}{c} {a");
    }
}
