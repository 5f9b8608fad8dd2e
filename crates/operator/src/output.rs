//! Data on standard output: a table on a terminal, tab-separated elsewhere, JSON where it is asked for.

use std::{
    fmt,
    io::{self, IsTerminal as _, StdoutLock, Write},
};

use comfy_table::{ContentArrangement, Table, presets};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// How data are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One line of JSON for each.
    Json,
    /// For a person.
    Table,
    /// For `cut` and its friends: no head, cells parted by tabs.
    Tabs,
}

impl Form {
    /// JSON where it was asked for, else what suits standard output.
    pub fn new(json: bool) -> Self {
        match (json, std::io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Table,
            (false, false) => Self::Tabs,
        }
    }

    /// Writes a list.
    ///
    /// # Errors
    ///
    /// What standard output said.
    pub fn list<T: Row>(self, rows: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
        let mut out = stdout();
        match self {
            Self::Json => rows.into_iter().try_for_each(|row| line(&mut out, &row))?,
            Self::Tabs => {
                for row in rows {
                    writeln!(out, "{}", plain(row.cells()).join("\t"))?;
                }
            }
            Self::Table => writeln!(out, "{}", table(rows))?,
        }
        Ok(out.flush()?)
    }

    /// Writes one thing: one line of JSON, or a line for each of its members.
    ///
    /// # Errors
    ///
    /// What standard output said.
    pub fn one<T: Serialize>(self, thing: &T) -> anyhow::Result<()> {
        let mut out = stdout();
        if self == Self::Json {
            line(&mut out, thing)?;
            return Ok(out.flush()?);
        }
        let mut members = Vec::new();
        flatten("", &Ordered::of(thing)?, &mut members);
        let width = members.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in members {
            match self {
                Self::Tabs => writeln!(out, "{name}\t{value}")?,
                _ => writeln!(out, "{name:width$}  {value}")?,
            }
        }
        Ok(out.flush()?)
    }
}

/// Rows under their head, in 80 columns where identifiers are short.
pub fn table<T: Row>(rows: impl IntoIterator<Item = T>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(T::HEAD);
    for row in rows {
        table.add_row(plain(row.cells()));
    }
    // One blank between two columns instead of two.
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.trim_fmt()
}

/// Something that is listed.
pub trait Row: Serialize {
    /// What stands above the columns.
    const HEAD: &'static [&'static str];

    /// One text for each column.
    fn cells(&self) -> Vec<String>;
}

fn line(out: &mut Stdout, thing: &impl Serialize) -> anyhow::Result<()> {
    let thing = serde_json::to_string(thing)?;
    Ok(writeln!(out, "{thing}")?)
}

/// Standard output, whose reader may go away: its errors say so, and [`exit::report`](crate::exit::report) knows them.
#[derive(Debug)]
pub struct Stdout(StdoutLock<'static>);

/// Standard output, locked.
pub fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

impl Write for Stdout {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets).map_err(of_stdout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(of_stdout)
    }
}

/// Whoever read standard output went away.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub(crate) struct ReaderGone;

fn of_stdout(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::BrokenPipe => io::Error::new(kind, ReaderGone),
        _ => error,
    }
}

/// A value whose members keep the order in which they were written. Those of [`Value`] are sorted by name.
#[derive(Debug)]
enum Ordered {
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
    Leaf(Value),
}

impl Ordered {
    fn of(thing: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::from_str(&serde_json::to_string(thing)?)
    }

    const fn leaf(&self) -> Option<&Value> {
        match self {
            Self::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Ordered::Object(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Ordered, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = array.next_element()? {
                    elements.push(element);
                }
                Ok(Ordered::Array(elements))
            }

            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(value.into()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// The leaves of a value, with their paths.
fn flatten(path: &str, value: &Ordered, members: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Ordered::Object(object) => object.iter().for_each(|(name, value)| flatten(&below(name), value, members)),
        Ordered::Array(array) if array.iter().any(|element| !matches!(element, Ordered::Leaf(_))) => {
            (1..).zip(array).for_each(|(at, value): (u32, _)| flatten(&below(&at.to_string()), value, members));
        }
        Ordered::Array(array) => {
            let words: Vec<_> = array.iter().filter_map(Ordered::leaf).map(word).collect();
            members.push((path.to_owned(), if words.is_empty() { "-".to_owned() } else { words.join(" ") }));
        }
        Ordered::Leaf(leaf) => members.push((path.to_owned(), word(leaf))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

fn plain(cells: Vec<String>) -> Vec<String> {
    cells.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { harmless(&cell) }).collect()
}

/// A name is data: in a terminal it moves no cursor and turns no text around, in a table it ends no line.
pub fn harmless(text: &str) -> String {
    let acts = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { ' ' } else { c }).collect()
}

/// The same for a text of several lines.
pub fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_named_by_their_paths() {
        let thing = r#"{"name":"a\tb\u001b[2J\u202e","id":"U-1","days":[30,10],"held":[{"serial":"1A"}],"none":[],"renewal":null,"by":""}"#;
        let mut members = Vec::new();
        flatten("", &serde_json::from_str(thing).unwrap(), &mut members);
        let lines: Vec<_> = members.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = ["name=a b [2J ", "id=U-1", "days=30 10", "held.1.serial=1A", "none=-", "renewal=-", "by=-"];
        assert_eq!(lines, expected);
    }
}
