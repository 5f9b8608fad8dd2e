//! JSON lines in, JSON lines out. The first line that cannot be used ends the batch, by its number and key.

use std::{
    collections::HashMap,
    fmt,
    io::{BufRead as _, BufReader, BufWriter, Read, Write},
    marker::PhantomData,
    sync::Arc,
};

use anyhow::Context as _;
use koshin_operator::{instant, zone::NamedZone};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use time::UtcDateTime;

/// What is made of each line.
pub(super) trait Answer {
    type Question: DeserializeOwned;
    type Answer: Serialize;

    fn answer(&mut self, question: Self::Question) -> Result<Self::Answer, Wrong>;
}

/// A value that cannot be used, with its key.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) reason: String,
}

impl Wrong {
    pub(super) fn new(key: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { key: key.into(), reason: reason.to_string() }
    }
}

/// The first line that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: {reason}")]
pub(crate) struct WrongLine {
    /// Counted from 1.
    number: u64,
    /// The key, where there is one, and what is wrong.
    reason: String,
}

/// Whatever stands behind `"id"`: it comes back as it was written, to the octet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Id(Box<RawValue>);

/// No honest line is longer, in octets.
const LONGEST: usize = 1 << 20;
/// Of what is wrong with a line so many characters are said; the rest would be the line's own.
const SAID: usize = 300;
/// What some editors write before the first character. It is no part of JSON.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Answers standard input on standard output.
pub(super) fn map<A: Answer>(answers: &mut A) -> anyhow::Result<()> {
    map_between(answers, std::io::stdin().lock(), koshin_operator::output::stdout())
}

/// Answers one stream on another.
pub(super) fn map_between<A: Answer>(answers: &mut A, input: impl Read, output: impl Write) -> anyhow::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut output = BufWriter::with_capacity(1 << 16, output);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let limit = u64::try_from(LONGEST)?.saturating_add(1);
        if (&mut input).take(limit).read_until(b'\n', &mut line).context("standard input cannot be read")? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let marked = number == 1 && line.starts_with(BYTE_ORDER_MARK);
        let text = if marked { Err(Wrong::new("", "begins with a byte order mark")) } else { text(&line) };
        match text.and_then(read).and_then(|question| answers.answer(question)) {
            // An error of the output stays what it is: some of them are none.
            Ok(answer) => serde_json::to_writer(&mut output, &answer).map_err(std::io::Error::from)?,
            Err(Wrong { key, reason }) => {
                // What was answered before stays answered.
                output.flush()?;
                let place = if key.is_empty() { String::new() } else { format!("{key}: ") };
                return Err(WrongLine { number, reason: bounded(&format!("{place}{reason}")) }.into());
            }
        }
        output.write_all(b"\n")?;
        // Who waits for an answer before the next question gets it; a batch is written in large pieces.
        if !input.buffer().contains(&b'\n') {
            output.flush()?;
        }
    }
    Ok(output.flush()?)
}

fn text(line: &[u8]) -> Result<&str, Wrong> {
    let line = line.trim_ascii();
    if line.len() > LONGEST {
        return Err(Wrong::new("", format!("longer than {LONGEST} octets")));
    }
    str::from_utf8(line).map_err(|error| Wrong::new("", format!("no UTF-8 (column {})", error.valid_up_to() + 1)))
}

/// Reads an object.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    // Paths are only followed where something is wrong: that costs time.
    let read: Result<Object<T>, _> = serde_json::from_str(text);
    read.map(|Object(thing)| thing).map_err(|first| {
        let mut json = serde_json::Deserializer::from_str(text);
        let (key, error) = match serde_path_to_error::deserialize::<_, Object<T>>(&mut json) {
            Err(error) => (error.path().to_string(), error.into_inner()),
            // The object is good; something follows it.
            Ok(_) => (String::new(), first),
        };
        Wrong::new(if matches!(key.as_str(), "." | "?") { "" } else { &key }, plainly(&in_one_line(&error)))
    })
}

/// Something that is written as an object, and not as an array of its members, which would be taken for it too.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

/// The same for a member.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Members<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Members(PhantomData))
}

/// What is expected, in the words of JSON.
fn plainly(reason: &str) -> String {
    let Some((found, expected)) = reason.rsplit_once(", expected ") else { return reason.to_owned() };
    let (expected, place) = expected.split_once(" (").unwrap_or((expected, ""));
    let number = |most: u64| format!("a whole number from 0 to {most}");
    let expected = match expected {
        "u8" => number(u8::MAX.into()),
        "u16" => number(u16::MAX.into()),
        "u32" => number(u32::MAX.into()),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        other => other.to_owned(),
    };
    let found = match found {
        "invalid type: sequence" => "invalid type: array",
        "invalid type: map" => "invalid type: object",
        other => other,
    };
    let separator = if place.is_empty() { "" } else { " (" };
    format!("{found}, expected {expected}{separator}{place}")
}

/// As much of a text as anybody reads.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(SAID) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Every line is a text of its own here, so its number in that text only misleads.
pub(super) fn in_one_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ").and_then(|(reason, place)| Some((reason, place.split_once("column ")?.1))) {
        Some((reason, column)) => format!("{reason} (column {column})"),
        None => text,
    }
}

/// An instant in a line.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct At(pub(super) UtcDateTime);

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        instant::parse(&text).map(Self)
    }
}

/// The zones that were asked for: a batch names the same few again and again.
#[derive(Debug, Default)]
pub(super) struct Zones(HashMap<String, Arc<NamedZone>>);

impl Zones {
    pub(super) fn find(&mut self, name: &str) -> anyhow::Result<Arc<NamedZone>> {
        if let Some(zone) = self.0.get(name) {
            return Ok(Arc::clone(zone));
        }
        let zone = Arc::new(NamedZone::find(name)?);
        self.0.insert(name.to_owned(), Arc::clone(&zone));
        Ok(zone)
    }
}
