//! Data on standard output: a table on a terminal, tab-separated elsewhere, JSON where it is asked for.

use std::io::{IsTerminal as _, StdoutLock, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

/// How data are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One line of JSON for each.
    Json,
    /// For a person.
    Table,
    /// For `cut` and its friends: no head, cells parted by tabs.
    Tabs,
}

impl Form {
    /// JSON where it was asked for, else what suits standard output.
    pub(crate) fn new(json: bool) -> Self {
        match (json, std::io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Table,
            (false, false) => Self::Tabs,
        }
    }

    /// Writes a list.
    pub(crate) fn list<T: Row>(self, rows: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self {
            Self::Json => rows.into_iter().try_for_each(|row| line(&mut out, &row))?,
            Self::Tabs => {
                for row in rows {
                    writeln!(out, "{}", plain(row.cells()).join("\t"))?;
                }
            }
            Self::Table => {
                let mut table = Table::new();
                table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
                table.set_header(T::HEAD);
                for row in rows {
                    table.add_row(plain(row.cells()));
                }
                writeln!(out, "{}", table.trim_fmt())?;
            }
        }
        Ok(out.flush()?)
    }

    /// Writes one thing: one line of JSON, or a line for each of its members.
    pub(crate) fn one<T: Serialize>(self, thing: &T) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self == Self::Json {
            line(&mut out, thing)?;
            return Ok(out.flush()?);
        }
        let mut members = Vec::new();
        flatten("", &serde_json::to_value(thing)?, &mut members);
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

/// Something that is listed.
pub(crate) trait Row: Serialize {
    /// What stands above the columns.
    const HEAD: &'static [&'static str];

    /// One text for each column.
    fn cells(&self) -> Vec<String>;
}

fn line(out: &mut StdoutLock<'_>, thing: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, thing)?;
    Ok(writeln!(out)?)
}

/// The leaves of a value, with their paths.
fn flatten(path: &str, value: &Value, members: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| flatten(&below(name), value, members)),
        Value::Array(array) if array.iter().any(Value::is_object) => {
            (1..).zip(array).for_each(|(at, value): (u32, _)| flatten(&below(&at.to_string()), value, members));
        }
        Value::Array(array) => {
            let words: Vec<_> = array.iter().map(word).collect();
            members.push((path.to_owned(), words.join(" ")));
        }
        leaf => members.push((path.to_owned(), word(leaf))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => harmless(text),
        other => other.to_string(),
    }
}

fn plain(cells: Vec<String>) -> Vec<String> {
    cells.into_iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { harmless(&cell) }).collect()
}

/// A name is data: in a terminal it moves no cursor, in a table it ends no line.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_are_named_by_their_paths() {
        let thing = json!({"id": "U-1", "name": "a\tb\u{1b}[2J", "days": [30, 10], "held": [{"serial": "1A"}], "renewal": null});
        let mut members = Vec::new();
        flatten("", &thing, &mut members);
        let lines: Vec<_> = members.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(lines, ["days=30 10", "held.1.serial=1A", "id=U-1", "name=a b [2J", "renewal=-"]);
    }
}
