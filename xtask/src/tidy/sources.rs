//! The files themselves: sizes, unfinished work, tests that do not run, paths from outside.

use std::fs;

use anyhow::{Context as _, Result};

use super::Findings;
use crate::shell::{Cmd, root};

/// The longest file, in lines. A budget is a question: a longer file answers it in [`LONGER`].
const FILE: usize = 600;

/// The longest `main.rs`, in lines.
const MAIN: usize = 100;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] = &[];

/// The files that are counted and read for unfinished work.
const CODE: &[&str] = &["rs", "js", "mjs", "sh", "css", "html", "sql", "ftl"];

/// Marks of unfinished work, split so that this file does not hold them.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
];

/// Marks of a test that does not run or cannot fail.
const IDLE: &[&str] =
    &[concat!("#[ign", "ore"), concat!("assert!(tr", "ue"), concat!("test.sk", "ip("), concat!("test.on", "ly(")];

/// Parts of paths that exist on no reader's machine. `.ci/` knows the place it runs in.
const OUTSIDE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/fa", "rm/"),
    concat!("..", "/shared"),
    concat!("..", "/.library"),
];

pub(super) fn check() -> Result<Findings> {
    let listed = Cmd::new("git", &["ls-files", "--cached", "--others", "--exclude-standard"]).output()?;
    let mut findings = Findings::new();
    for path in listed.lines().filter(|path| !path.starts_with(".ci/")) {
        let full = root().join(path);
        // A deleted file is still listed until the deletion is committed; a picture holds no words.
        if !full.is_file() {
            continue;
        }
        let bytes = fs::read(&full).with_context(|| path.to_owned())?;
        if let Ok(text) = String::from_utf8(bytes) {
            findings.extend(read(path, &text));
        }
    }
    findings.extend(LONGER.iter().filter_map(|(path, _)| no_longer_long(path)));
    Ok(findings)
}

fn read(path: &str, text: &str) -> Findings {
    let mut findings = Findings::new();
    findings.extend(marks(path, text, OUTSIDE, "names a path from outside the repository"));
    if path == "e2e/package-lock.json" && text.contains("\"resolved\"") {
        findings.push(format!("{path} holds addresses of a registry; e2e/.npmrc keeps them out"));
    }
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    if !CODE.contains(&extension) {
        return findings;
    }
    findings.extend(marks(path, text, UNFINISHED, "is unfinished"));
    findings.extend(marks(path, text, IDLE, "holds a test that does not run or cannot fail"));
    findings.extend(too_long(path, text.lines().count()));
    findings
}

fn marks(path: &str, text: &str, words: &[&str], what: &str) -> Findings {
    let hit = |line: &str| words.iter().find(|word| line.contains(**word)).copied();
    let hits = text.lines().enumerate().filter_map(|(at, line)| hit(line).map(|word| (at + 1, word)));
    hits.map(|(line, word)| format!("{path}:{line} {what}: {word}")).collect()
}

fn too_long(path: &str, lines: usize) -> Option<String> {
    let main = path.ends_with("/main.rs");
    let limit = if main { MAIN } else { FILE };
    let excused = !main && LONGER.iter().any(|(excused, _)| *excused == path);
    (lines > limit && !excused).then(|| format!("{path} has {lines} lines; the budget is {limit}"))
}

fn no_longer_long(path: &str) -> Option<String> {
    let lines = fs::read_to_string(root().join(path)).map_or(0, |text| text.lines().count());
    (lines <= FILE).then(|| format!("{path} is listed as longer than {FILE} lines and has {lines}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        let text = format!("fn a() {{\n    {}\n}}\n", concat!("to", "do!()"));
        let findings = read("crates/a/src/lib.rs", &text);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings.concat().starts_with("crates/a/src/lib.rs:2 is unfinished"));
    }

    #[test]
    fn idle_tests_and_outside_paths_are_found() {
        assert_eq!(read("a.rs", concat!("#[ign", "ore]")).len(), 1);
        assert_eq!(read("e2e/a.mjs", concat!("test.sk", "ip('x')")).len(), 1);
        assert_eq!(read("README.md", concat!("see /wo", "rk/main")).len(), 1);
        assert_eq!(read("README.md", "a target of work/study").len(), 0);
    }

    #[test]
    fn sizes() {
        assert!(too_long("crates/a/src/lib.rs", FILE).is_none());
        assert!(too_long("crates/a/src/lib.rs", FILE + 1).is_some());
        assert!(too_long("bins/a/src/main.rs", MAIN).is_none());
        assert!(too_long("bins/a/src/main.rs", MAIN + 1).is_some());
    }

    #[test]
    fn a_lock_file_with_addresses_is_found() {
        assert_eq!(read("e2e/package-lock.json", "{\"resolved\": \"\"}").len(), 1);
    }
}
