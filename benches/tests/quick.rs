//! The load programs work: each runs in its quick mode.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at once")]

use std::process::Command;

fn run(program: &str) -> String {
    let output = Command::new(program).arg("--test").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

#[test]
fn renewals() {
    let printed = run(env!("CARGO_BIN_EXE_renewals"));
    assert_eq!(printed.matches("renewals/s").count(), 4, "{printed}");
}

#[test]
fn logins() {
    let printed = run(env!("CARGO_BIN_EXE_logins"));
    assert_eq!(printed.matches("per core-second").count(), 2, "{printed}");
}

#[test]
fn screens() {
    let printed = run(env!("CARGO_BIN_EXE_screens"));
    // 18 on the portal, 3 with the new certificate, 9 of an enrolment.
    assert_eq!(printed.matches("us each").count(), 2 * (18 + 3 + 9), "{printed}");
    assert_eq!(printed.matches("the slowest").count(), 2, "{printed}");
}

#[test]
fn commits() {
    let printed = run(env!("CARGO_BIN_EXE_commits"));
    assert_eq!(printed.matches("commits/s").count(), 6, "{printed}");
}

#[test]
fn sweep() {
    let printed = run(env!("CARGO_BIN_EXE_sweep"));
    // 20 become due, and 10 have to be planned from now on.
    assert_eq!(printed.matches("| 30, 20 |").count(), 2, "{printed}");
    assert_eq!(printed.matches("times as much").count(), 1, "{printed}");
    // What is read does not grow with the certificates, but for a level or two of the indexes.
    let table: Vec<Vec<&str>> = printed.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let read = |certificates: &str| {
        let row = table.iter().find(|row| row.get(1) == Some(&certificates)).unwrap();
        [4, 6].map(|column| row.get(column).unwrap().parse::<u64>().unwrap())
    };
    let ([idle, list], [idle_among_many, list_among_many]) = (read("1000"), read("40000"));
    assert!(idle > 0 && idle_among_many <= idle + 16 && list_among_many <= 2 * list, "{printed}");
}

#[test]
fn mails() {
    let printed = run(env!("CARGO_BIN_EXE_mails"));
    assert_eq!(printed.matches("| true |").count(), 4, "{printed}");
    assert_eq!(printed.matches("| false |").count(), 4, "{printed}");
}
