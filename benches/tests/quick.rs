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
