//! `cargo xtask counts`: what an operation of the pure crates costs in instructions, held against the committed table.
//!
//! callgrind counts, so that a busy machine gives the same number as a quiet one. Another CPU moves it by less than one in
//! a hundred (the C library chooses how it copies and compares memory); another compiler or C library may move it by
//! more, so the table names those it was made with, and only a count made with the same ones can fail.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    shell::{Cmd, root},
    steps::Outcome,
};

/// The committed table.
const TABLE: &str = "benches/counts/table.toml";

/// What more an operation may cost than the table says, in per cent.
const TOLERANCE: u64 = 5;

/// Instructions of each operation, by its name.
type Counts = BTreeMap<String, u64>;

/// What the counts were made with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Toolchain {
    rustc: String,
    host: String,
    libc: String,
}

/// The table: counts, and what they were made with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    toolchain: Toolchain,
    counts: Counts,
}

/// Counts, and fails when an operation costs more than the table allows.
pub(crate) fn run() -> Result<Outcome> {
    let written = fs::read_to_string(root().join(TABLE)).with_context(|| TABLE.to_owned())?;
    let written = Table::parse(&written).with_context(|| TABLE.to_owned())?;
    let counted = Table::count()?;
    let report = Report::new(&written.counts, &counted.counts);
    print!("{}", report.text);
    let findings = report.findings.join("\n  ");
    if findings.is_empty() {
        return Ok(Outcome::Passed);
    }
    if written.toolchain != counted.toolchain {
        println!("counts: {findings}");
        let (ours, theirs) = (counted.toolchain.text(), written.toolchain.text());
        return Ok(Outcome::Partly(format!("a comparison: counted with {ours}, the table with {theirs}")));
    }
    bail!("{findings}\n  If this is meant, `cargo xtask counts --bless` writes {TABLE} anew")
}

/// Counts, and writes the table.
pub(crate) fn bless() -> Result<()> {
    let table = Table::count()?;
    fs::write(root().join(TABLE), table.text()).with_context(|| TABLE.to_owned())?;
    println!("counts: wrote {TABLE}");
    Ok(())
}

impl Toolchain {
    fn here() -> Result<Self> {
        let said = Cmd::new("rustc", &["-vV"]).output()?;
        let field = |name: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix(name));
            value.map(|value| value.trim().to_owned()).with_context(|| format!("rustc -vV says no {name}"))
        };
        let libc = Cmd::new("getconf", &["GNU_LIBC_VERSION"]).output().unwrap_or_default();
        Ok(Self { rustc: field("release:")?, host: field("host:")?, libc: libc.trim().to_owned() })
    }

    fn text(&self) -> String {
        format!("rustc {} on {} with {}", self.rustc, self.host, self.libc)
    }
}

impl Table {
    fn count() -> Result<Self> {
        println!("counts: an optimised build, then callgrind ...");
        let lines = Cmd::cargo("bench --locked -p koshin-counts --bench counts -- --output-format=json").output()?;
        let counts = lines.lines().map(count).collect::<Result<Counts>>()?;
        if counts.is_empty() {
            bail!("nothing was counted");
        }
        Ok(Self { toolchain: Toolchain::here()?, counts })
    }

    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse()?;
        let word = |key: &str| {
            let value = table.get(key).and_then(toml::Value::as_str);
            value.map(str::to_owned).with_context(|| format!("{key} is missing"))
        };
        let counts = table.get("instructions").and_then(toml::Value::as_table).context("instructions is missing")?;
        let number = |(name, value): (&String, &toml::Value)| {
            let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
            Ok((name.clone(), number.with_context(|| format!("{name} is no number"))?))
        };
        Ok(Self {
            toolchain: Toolchain { rustc: word("rustc")?, host: word("host")?, libc: word("libc")? },
            counts: counts.iter().map(number).collect::<Result<_>>()?,
        })
    }

    fn text(&self) -> String {
        let Toolchain { rustc, host, libc } = &self.toolchain;
        let mut text = format!(
            "# Instructions of one operation, counted by callgrind. `cargo xtask counts` fails when one takes {TOLERANCE} % more;\n\
             # `cargo xtask counts --bless` writes this file anew.\n\
             rustc = \"{rustc}\"\nhost = \"{host}\"\nlibc = \"{libc}\"\n\n[instructions]\n"
        );
        for (name, count) in &self.counts {
            let _infallible = writeln!(text, "\"{name}\" = {count}");
        }
        text
    }
}

/// One operation and its instructions, from a line that gungraun wrote.
fn count(line: &str) -> Result<(String, u64)> {
    let summary: Value = serde_json::from_str(line).with_context(|| format!("gungraun wrote no JSON: {line}"))?;
    let text = |key: &str| summary.get(key).and_then(Value::as_str);
    let name = text("function_name").zip(text("id")).map(|(function, id)| format!("{function}: {id}"));
    let count = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new").and_then(Value::as_u64);
    let (name, count) = name.zip(count).with_context(|| format!("no count in what gungraun wrote: {line}"))?;
    Ok((name.replace('_', " "), count))
}

/// The comparison: a table to read, and what is wrong.
struct Report {
    text: String,
    findings: Vec<String>,
}

impl Report {
    fn new(written: &Counts, counted: &Counts) -> Self {
        let mut text = format!("{:<34} {:>8} {:>8} {:>8}\n", "instructions", "table", "counted", "change");
        let mut findings = Vec::new();
        let names: std::collections::BTreeSet<_> = written.keys().chain(counted.keys()).collect();
        for name in names {
            match (written.get(name), counted.get(name)) {
                (Some(&before), Some(&now)) => {
                    let change = change(before, now);
                    let _infallible = writeln!(text, "{name:<34} {before:>8} {now:>8} {change:>8}");
                    if now * 100 > before * (100 + TOLERANCE) {
                        findings.push(format!("{name} takes {now} instructions, {change} against {before}"));
                    }
                }
                (Some(_), None) => findings.push(format!("{name} stands in the table and was not counted")),
                (None, _) => findings.push(format!("{name} was counted and does not stand in the table")),
            }
        }
        Self { text, findings }
    }
}

/// The change in tenths of a per cent, as people read it.
fn change(before: u64, now: u64) -> String {
    let tenths = |more: u64| more * 1000 / before.max(1);
    let (sign, tenths) = if now < before { ('-', tenths(before - now)) } else { ('+', tenths(now - before)) };
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn findings(written: &[(&str, u64)], counted: &[(&str, u64)]) -> Vec<String> {
        Report::new(&counts(written), &counts(counted)).findings
    }

    #[test]
    fn five_in_a_hundred_pass_and_one_more_fails() {
        assert_eq!(findings(&[("a", 1000)], &[("a", 1050)]), Vec::<String>::new());
        assert_eq!(findings(&[("a", 1000)], &[("a", 10)]), Vec::<String>::new());
        assert_eq!(findings(&[("a", 1000)], &[("a", 1051)]), ["a takes 1051 instructions, +5.1 % against 1000"]);
    }

    #[test]
    fn an_operation_on_one_side_only_is_found() {
        assert_eq!(findings(&[("a", 1)], &[]), ["a stands in the table and was not counted"]);
        assert_eq!(findings(&[], &[("a", 1)]), ["a was counted and does not stand in the table"]);
    }

    #[test]
    fn the_table_is_read_as_it_was_written() {
        let toolchain =
            Toolchain { rustc: "1.95.0".to_owned(), host: "a-b-c".to_owned(), libc: "glibc 2.36".to_owned() };
        let table = Table { toolchain, counts: counts(&[("decide: expired", 1018), ("a", 1)]) };
        assert_eq!(Table::parse(&table.text()).unwrap(), table);
        assert!(Table::parse("rustc = \"1\"").is_err());
        assert!(Table::parse(&table.text().replace("1018", "\"many\"")).is_err());
    }

    #[test]
    fn a_line_of_gungraun_is_read() {
        let line = r#"{"function_name":"decide","id":"one_day","profiles":[{"data":{"total":{"metrics":{"Ir":{"values":{"new":7}}}}}}]}"#;
        assert_eq!(count(line).unwrap(), ("decide: one day".to_owned(), 7));
        assert!(count("{}").is_err());
        assert!(count("callgrind").is_err());
    }
}
