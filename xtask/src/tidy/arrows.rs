//! The arrows between our crates: what cargo sees is what ARCHITECTURE.md says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, Result, bail};

use super::{Findings, metadata::Member};
use crate::shell::root;

const BEGIN: &str = "<!-- arrows: read by `cargo xtask tidy` -->";
const END: &str = "<!-- end of arrows -->";

/// Two sets of names: what a crate takes, and what only its tests take beside that.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arrows {
    always: BTreeSet<String>,
    in_tests: BTreeSet<String>,
}

type Table = BTreeMap<String, Arrows>;

pub(super) fn check(members: &[Member]) -> Result<Findings> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    Ok(compare(&written(&page)?, &built(members)))
}

/// The table as the page has it.
fn written(page: &str) -> Result<Table> {
    let table = page
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .map(|(table, _)| table)
        .with_context(|| format!("ARCHITECTURE.md has no table between {BEGIN} and {END}"))?;
    let rows = table.lines().map(str::trim).filter(|line| line.starts_with('|')).skip(2);
    let mut found = Table::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [name, always, in_tests] = cells.as_slice() else {
            bail!("ARCHITECTURE.md: this row of the arrow table has not three cells: {row}");
        };
        let arrows = Arrows { always: names(always), in_tests: names(in_tests) };
        if found.insert(cell(name), arrows).is_some() {
            bail!("ARCHITECTURE.md: two rows of the arrow table are about {name}");
        }
    }
    Ok(found)
}

fn cell(text: &str) -> String {
    text.trim().trim_matches('`').to_owned()
}

fn names(text: &str) -> BTreeSet<String> {
    text.split(',').map(cell).filter(|name| !matches!(name.as_str(), "" | "–")).collect()
}

/// The table as cargo has it.
fn built(members: &[Member]) -> Table {
    let arrows = |member: &Member| {
        let ours = |tests_only| {
            let of_ours = member.dependencies.iter().filter(move |other| other.ours && other.tests_only == tests_only);
            of_ours.map(|other| other.name.clone()).collect::<BTreeSet<_>>()
        };
        let always = ours(false);
        Arrows { in_tests: ours(true).difference(&always).cloned().collect(), always }
    };
    members.iter().map(|member| (member.name.clone(), arrows(member))).collect()
}

fn compare(written: &Table, built: &Table) -> Findings {
    let nothing = Arrows::default();
    let mut findings = Findings::new();
    for (name, seen) in built {
        let Some(said) = written.get(name) else {
            findings.push(format!("{name} is a member of the workspace and has no row in the arrow table"));
            continue;
        };
        differences(name, "", &said.always, &seen.always, &mut findings);
        differences(name, "in tests ", &said.in_tests, &seen.in_tests, &mut findings);
    }
    for name in written.keys().filter(|name| !built.contains_key(*name)) {
        findings.push(format!("{name} has a row in the arrow table and is no member of the workspace"));
    }
    for (name, arrows) in built {
        for other in &arrows.always {
            if built.get(other).unwrap_or(&nothing).always.contains(name) {
                findings.push(format!("{name} and {other} point at each other"));
            }
        }
    }
    findings
}

fn differences(name: &str, when: &str, said: &BTreeSet<String>, seen: &BTreeSet<String>, findings: &mut Findings) {
    for other in seen.difference(said) {
        findings.push(format!("new arrow: {when}{name} depends on {other}, which ARCHITECTURE.md does not list"));
    }
    for other in said.difference(seen) {
        findings.push(format!("stale arrow: ARCHITECTURE.md says that {when}{name} depends on {other}; it does not"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &str) -> String {
        format!(
            "# Title\n{BEGIN}\n| crate | depends on | in tests also on |\n| --- | --- | --- |\n{rows}{END}\n| a | b | c |\n"
        )
    }

    fn table(rows: &str) -> Table {
        written(&page(rows)).unwrap()
    }

    #[test]
    fn the_same_table_has_no_differences() {
        let rows = "| `types` | – | – |\n| `expiry` | `types` | – |\n";
        assert_eq!(compare(&table(rows), &table(rows)), Findings::new());
        assert_eq!(table(rows).get("expiry").unwrap().always.len(), 1);
    }

    #[test]
    fn a_new_and_a_stale_arrow_are_found() {
        let said = table("| `types` | – | – |\n| `ra` | `types` | – |\n");
        let seen = table("| `types` | – | – |\n| `ra` | `sqlite` | `types` |\n");
        let findings = compare(&said, &seen);
        assert!(findings.iter().any(|line| line.starts_with("new arrow: ra depends on sqlite")), "{findings:?}");
        assert!(findings.iter().any(|line| line.contains("stale arrow") && line.contains("types")), "{findings:?}");
        assert!(findings.iter().any(|line| line.starts_with("new arrow: in tests ra")), "{findings:?}");
    }

    #[test]
    fn a_missing_and_a_forgotten_row_are_found() {
        let findings = compare(&table("| `old` | – | – |\n"), &table("| `new` | – | – |\n"));
        assert_eq!(findings.len(), 2, "{findings:?}");
    }

    #[test]
    fn a_circle_is_found() {
        let rows = "| `a` | `b` | – |\n| `b` | `a` | – |\n";
        assert!(compare(&table(rows), &table(rows)).iter().any(|line| line.contains("each other")));
    }

    #[test]
    fn a_page_without_the_table_or_with_a_broken_row_is_refused() {
        assert!(written("nothing").is_err());
        assert!(written(&page("| `a` | `b` |\n")).is_err());
        assert!(written(&page("| `a` | – | – |\n| `a` | – | – |\n")).is_err());
    }
}
