//! What the READMEs tell an operator to type.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::serve::{Running, choose_ports_in, fetch};

const ENGLISH: &str = include_str!("../../../../README.md");
const JAPANESE: &str = include_str!("../../../../README.ja.md");

/// The commands of the first block after a heading; those that go on over several lines in one piece.
fn commands(readme: &str, heading: &str) -> Vec<String> {
    let section = readme.split_once(heading).unwrap().1;
    let block = section.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    block.replace("\\\n", "").lines().map(str::to_owned).collect()
}

/// A shell in which `koshin` is the program.
fn shell(path: &Path, folder: &Path, command: &str) -> Command {
    let mut shell = Command::new("bash");
    let usual = std::env::var("PATH").unwrap();
    shell.args(["-ec", command]).current_dir(folder).env("PATH", format!("{}:{usual}", path.display()));
    for variable in ["KOSHIN_CONFIG", "KOSHIN_OPERATOR", "KOSHIN_LOG"] {
        shell.env_remove(variable);
    }
    shell
}

#[test]
fn what_the_readme_tells_to_type_works() {
    let lines = commands(ENGLISH, "## Run it for real");
    assert_eq!(lines, commands(JAPANESE, "## 運用する"));
    let [install, init, rest @ .., serve] = lines.as_slice() else { panic!("{lines:?}") };
    // Installed is what is tested here.
    assert_eq!(install, "cargo install --locked --path bins/koshin");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bin");
    fs::create_dir(&path).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_koshin"), path.join("koshin")).unwrap();
    let run = |folder: &Path, command: &str, typed: &str| {
        let mut child = shell(&path, folder, command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(
            ended.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat())
        );
    };
    run(folder.path(), init, "");
    let bank = folder.path().join("bank");
    let port = choose_ports_in(&bank);
    for command in rest {
        if command.contains("set-password") {
            // It asks on the terminal, so it gets one.
            let asked = format!("script -qec '{command}' /dev/null");
            run(&bank, &asked, "correct horse battery\ncorrect horse battery\n");
        } else {
            run(&bank, command, "");
        }
    }
    let mut serving = shell(&path, &bank, &format!("exec {serve}"));
    let service = Running(serving.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(!fetch(port, "/issuing.crl").is_empty());
    // The permission is told by mail, where the README says that mails go.
    let told = || {
        let mails = fs::read_dir(bank.join("mail/new")).into_iter().flatten();
        mails.flatten().any(|mail| fs::read_to_string(mail.path()).unwrap().contains("taro@example.com"))
    };
    let begun = Instant::now();
    while !told() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody was told of the permission");
        sleep(Duration::from_millis(50));
    }
    run(&bank, "koshin subject show U-1 --json | grep '\"password\":true.*\"enrolment\":true'", "");
    run(&bank, "koshin config check", "");
    let (status, said) = service.end("TERM");
    assert_eq!(status, Some(0), "{said}");
}
