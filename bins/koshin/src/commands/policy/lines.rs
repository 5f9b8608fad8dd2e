//! JSON lines in, JSON lines out. The first line that cannot be used ends the batch, by its number and key.

use std::{
    collections::HashMap,
    fmt,
    io::{BufRead as _, BufReader, BufWriter, Read, Write},
    sync::Arc,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::UtcDateTime;

use crate::{exit::Fault, instant, zone::NamedZone};

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

/// No honest line is longer, in octets.
const LONGEST: usize = 1 << 20;

/// Answers standard input on standard output.
pub(super) fn map<A: Answer>(answers: &mut A) -> anyhow::Result<()> {
    map_between(answers, std::io::stdin().lock(), std::io::stdout().lock())
}

fn map_between<A: Answer>(answers: &mut A, input: impl Read, output: impl Write) -> anyhow::Result<()> {
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
        match read(line.trim_ascii()).and_then(|question| answers.answer(question)) {
            Ok(answer) => serde_json::to_writer(&mut output, &answer)?,
            Err(Wrong { key, reason }) => {
                // What was answered before stays answered.
                output.flush()?;
                let place = if key.is_empty() { String::new() } else { format!("{key}: ") };
                return Err(Fault::usage(format!("line {number}: {place}{reason}")).into());
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

fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, Wrong> {
    if line.len() > LONGEST {
        return Err(Wrong::new("", format!("longer than {LONGEST} octets")));
    }
    // Paths are only followed where something is wrong: that costs time.
    serde_json::from_slice(line).map_err(|first| {
        let mut json = serde_json::Deserializer::from_slice(line);
        let (key, error) = match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Err(error) => (error.path().to_string(), error.into_inner()),
            // The object is good; something follows it.
            Ok(_) => (String::new(), first),
        };
        Wrong::new(if matches!(key.as_str(), "." | "?") { "" } else { &key }, in_one_line(&error))
    })
}

/// Every line is a text of its own here, so its number in that text only misleads.
fn in_one_line(error: &serde_json::Error) -> String {
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
