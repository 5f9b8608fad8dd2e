//! What is wrong with an operator's texts.

use std::{fmt, fs, io, path::Path};

use koshin_types::{Language, RevocationReason};
use time::UtcDateTime;

use super::{Key, Part, Texts, empty, listed, name, put, split};
use crate::{
    DigestState, Sender,
    render::{CODE, values},
    sample::{sample_mail, samples},
    sender::is_disguise,
};

/// Everything that is wrong in a folder of texts (see [`Texts::load`]); nothing when it can be used.
pub fn lint(folder: &Path) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    match fs::read_dir(folder) {
        Err(error) => complaints.push(Complaint::new(folder, 0, Fault::Read(error.kind()))),
        Ok(entries) => {
            let known = |name: &std::ffi::OsStr| Language::ALL.iter().any(|language| name == language.as_str());
            let unknown = entries.filter_map(Result::ok).filter(|entry| !known(&entry.file_name()));
            complaints.extend(unknown.map(|entry| Complaint::new(&entry.path(), 0, Fault::UnknownFile)));
        }
    }
    for language in Language::ALL {
        let folder = folder.join(language.as_str());
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                complaints.push(Complaint::new(&folder, 0, Fault::Read(error.kind())));
                continue;
            }
        };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let found = match fs::read_to_string(&path) {
                Ok(text) => check(language, &path, &text.replace("\r\n", "\n")),
                Err(error) => vec![(0, Fault::Read(error.kind()))],
            };
            complaints.extend(found.into_iter().map(|(line, fault)| Complaint::new(&path, line, fault)));
        }
    }
    complaints
}

/// One thing that is wrong with one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Path of the file.
    pub file: String,
    /// Line, from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

impl Complaint {
    fn new(path: &Path, line: usize, fault: Fault) -> Self {
        Self { file: path.display().to_string(), line, fault }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.fault),
            line => write!(f, "{}:{line}: {}", self.file, self.fault),
        }
    }
}

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read, or is not UTF-8.
    #[error("it cannot be read: {0}")]
    Read(io::ErrorKind),
    /// There is no text, or no language, of this name.
    #[error("there is no text of this name")]
    UnknownFile,
    /// It does not begin with a subject, an empty line and a body.
    #[error("no line `Subject: …`, an empty line, and then the text")]
    NoSubject,
    /// Another header field.
    #[error("an empty line has to follow the subject: no other field can be set")]
    SecondField,
    /// A control character, or one that stands for something here.
    #[error("a character that is not allowed: U+{code:04X}")]
    Character {
        /// Its number.
        code: u32,
    },
    /// A link.
    #[error("a link: name the menu instead")]
    Link,
    /// The line would be broken on many screens.
    #[error("{columns} columns, at most {most} are allowed")]
    TooWide {
        /// Columns, two for a Japanese character; placeholders are not counted.
        columns: usize,
        /// Columns allowed.
        most: usize,
    },
    /// A variable that has no value here.
    #[error("{name} has no value here; known are {}", known.join(", "))]
    UnknownVariable {
        /// Name of the variable.
        name: String,
        /// Names that would have been known.
        known: Vec<&'static str>,
    },
    /// A variable that has to be there is missing.
    #[error("{{{{ {name} }}}} is missing")]
    MissingVariable {
        /// Name of the variable.
        name: &'static str,
    },
    /// A word has no text.
    #[error("no line for {word}")]
    MissingWord {
        /// The word.
        word: &'static str,
    },
    /// The code stands where everybody can see it.
    #[error("the code does not belong into the subject, which phones show to everybody")]
    CodeInSubject,
    /// The template cannot be read.
    #[error("{0}")]
    Syntax(String),
    /// The template cannot be filled, or leaves out what has to be there.
    #[error("filled with the values of an example it fails: {0}")]
    Fails(String),
}

/// Everything that is wrong in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaints(pub Vec<Complaint>);

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Complaints {}

const MOST_COLUMNS: usize = 78;

type Found = Vec<(usize, Fault)>;

/// What is wrong with one text, line by line.
pub(super) fn check(language: Language, path: &Path, text: &str) -> Found {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(key) = Key::ALL.iter().copied().find(|key| key.file() == file) else {
        return vec![(0, Fault::UnknownFile)];
    };
    let mut found = Found::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        if let Some(c) = line.chars().find(|c| c.is_control() || is_disguise(*c) || CODE.contains(*c)) {
            found.push((number, Fault::Character { code: u32::from(c) }));
        }
        if ["://", "www."].iter().any(|link| line.to_lowercase().contains(link)) {
            found.push((number, Fault::Link));
        }
        let columns = columns(line);
        if columns > MOST_COLUMNS && !key.is_list() {
            found.push((number, Fault::TooWide { columns, most: MOST_COLUMNS }));
        }
    }
    if key.is_list() {
        found.extend(
            words(key)
                .filter(|word| !listed(text).any(|(other, text)| other == *word && !text.is_empty()))
                .map(|word| (0, Fault::MissingWord { word })),
        );
    } else {
        found.extend(template(language, key, text));
    }
    found
}

fn words(key: Key) -> Box<dyn Iterator<Item = &'static str>> {
    match key {
        Key::Reasons => Box::new(RevocationReason::ALL.into_iter().map(RevocationReason::as_str)),
        _ => Box::new(DigestState::ALL.into_iter().map(DigestState::word)),
    }
}

fn template(language: Language, key: Key, text: &str) -> Found {
    let Some((subject, body)) = split(key, text) else {
        let second = text.lines().nth(1).is_some_and(|line| !line.is_empty());
        let (line, fault) =
            if text.starts_with("Subject: ") && second { (2, Fault::SecondField) } else { (1, Fault::NoSubject) };
        return vec![(line, fault)];
    };
    let first = text.lines().count() - body.lines().count() + 1;
    let known: Vec<_> = key.must().iter().chain(key.may()).copied().collect();
    let mut found = Found::new();
    let mut used = Vec::new();
    for (part, first, text) in [(Part::Subject, 1, subject), (Part::Body, first, body)] {
        let mut environment = empty();
        if let Err(error) = environment.add_template_owned("text", text.to_owned()) {
            let line = error.line().unwrap_or(1) + first - 1;
            found.push((line, Fault::Syntax(error.detail().unwrap_or("no template").to_owned())));
            continue;
        }
        let Ok(template) = environment.get_template("text") else { continue };
        let mut names: Vec<_> = template.undeclared_variables(false).into_iter().collect();
        names.sort();
        for name in names {
            let line =
                (first..).zip(text.lines()).find(|(_, line)| mentions(line, &name)).map_or(first, |(line, _)| line);
            if !known.contains(&name.as_str()) {
                found.push((line, Fault::UnknownVariable { name: name.clone(), known: known.clone() }));
            }
            if part == Part::Subject && name == "code" {
                found.push((line, Fault::CodeInSubject));
            }
            if part == Part::Body {
                used.push(name);
            }
        }
    }
    let missing = key.must().iter().filter(|must| !used.iter().any(|name| name == *must));
    found.extend(missing.map(|name| (0, Fault::MissingVariable { name })));
    if found.is_empty() { rehearse(language, key, text) } else { found }
}

/// Fills the text with the values of the examples: whatever it does with them has to go well, and to show what it must.
fn rehearse(language: Language, key: Key, text: &str) -> Found {
    let (mut environment, mut lists) = (empty(), std::collections::BTreeMap::new());
    if put(&mut environment, &mut lists, language, key, text).is_none() {
        return vec![(1, Fault::NoSubject)];
    }
    let Some(sender) = Sender::example() else { return Found::new() };
    let mut found = Found::new();
    for (_, notice) in samples(UtcDateTime::UNIX_EPOCH) {
        let Some(mail) = sample_mail(notice, language) else { continue };
        let (its, mut values) = values(&mail, &sender);
        if its != key && key != Key::Frame {
            continue;
        }
        for name in ["brand", "portal", "id", "body", "contact"] {
            values.insert(name, format!("<{name}>"));
        }
        for part in [Part::Subject, Part::Body] {
            let template = environment.get_template(&name(language, key, part));
            match template.and_then(|template| template.render(&values)) {
                Err(error) => found.push((error.line().unwrap_or_default(), Fault::Fails(error.to_string()))),
                Ok(text) if part == Part::Subject => {
                    if key != Key::Frame && (text.trim().is_empty() || text.contains('\n')) {
                        found.push((1, Fault::Fails("the subject is not one line".to_owned())));
                    }
                }
                Ok(text) => {
                    let hidden =
                        key.must().iter().find(|name| values.get(*name).is_some_and(|value| !text.contains(value)));
                    found.extend(hidden.map(|name| (0, Fault::MissingVariable { name })));
                }
            }
        }
        found.dedup();
        if !found.is_empty() {
            break;
        }
    }
    found
}

impl Texts {
    /// The complaints about a built-in text.
    #[cfg(test)]
    pub(super) fn complaints(language: Language, key: Key) -> Found {
        check(language, Path::new(key.file()), key.builtin(language))
    }
}

/// Whether a name stands in a line as a word of its own.
fn mentions(line: &str, name: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}

/// Columns on a screen on which Japanese characters take two, without what stands between braces.
fn columns(line: &str) -> usize {
    let mut rest = line;
    let mut sum = 0;
    while !rest.is_empty() {
        let open = rest.find("{{").or_else(|| rest.find("{%")).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(open);
        sum += text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
        rest = tail.find('}').and_then(|close| tail.get(close + 2..)).unwrap_or_default();
    }
    sum
}
