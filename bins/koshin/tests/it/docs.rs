//! The examples of `docs/policy.md`, typed into a shell.

use std::{fs, path::Path, process::Command};

const ENGLISH: &str = include_str!("../../../../docs/policy.md");
const JAPANESE: &str = include_str!("../../../../docs/policy.ja.md");

/// Every command of a page, with what the page says that it writes.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let (first, rest) = block.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
        let (command, written) = match rest.split_once("END\n") {
            Some((document, written)) if first.ends_with("<<'END'") => (format!("{first}\n{document}END"), written),
            _ => (first.to_owned(), rest),
        };
        examples.push((command, written.to_owned()));
    }
    examples
}

/// What a command writes on both outputs, where `koshin` is the program.
fn written(path: &Path, command: &str) -> String {
    let usual = std::env::var("PATH").unwrap();
    let ended = Command::new("bash")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .env("PATH", format!("{}:{usual}", path.display()))
        .env_remove("KOSHIN_LOG")
        .output()
        .unwrap();
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn the_examples_of_the_policy_pages_say_the_truth() {
    let examples = examples(ENGLISH);
    assert_eq!(examples, self::examples(JAPANESE));
    for word in ["eval", "validity", "replay", "explain", "explain --json"] {
        let has = |(command, _): &(String, String)| word.split(' ').all(|word| command.contains(word));
        assert!(examples.iter().any(has), "no example of {word}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_koshin"), folder.path().join("koshin")).unwrap();
    for (command, expected) in examples {
        assert_eq!(written(folder.path(), &command), expected, "{command}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was written");
}

#[test]
fn the_help_of_each_policy_command_has_an_example_that_works() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_koshin"), folder.path().join("koshin")).unwrap();
    for command in ["eval", "validity", "replay", "explain"] {
        let help = crate::program::koshin(["policy", command, "--help"]).out;
        let example = help.split_once("Example:\n").unwrap().1;
        let wrote = written(folder.path(), example.trim());
        assert!(wrote.contains("202") && !wrote.contains("koshin:"), "{example}: {wrote}");
    }
}
