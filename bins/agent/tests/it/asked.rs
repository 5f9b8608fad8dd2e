//! How the holder is asked, and when nobody is.

use std::{fs, process::Command};

use crate::{
    pc::{AGENT, Pc, text},
    portal::{CODE, ISSUED, Portal},
};

#[test]
fn without_a_display_the_terminal_asks() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    let answers = pc.home().join("typed");
    fs::write(&answers, format!("{CODE}\nyes\n")).unwrap();
    let command = format!("'{AGENT}' renew '{}'", portal.click());
    // `script` gives it a terminal.
    let mut script = pc.command("/usr/bin/script");
    script.env_remove("DISPLAY").env("PATH", "/usr/bin:/bin").args(["-qec", &command, "/dev/null"]);
    let output = script.stdin(fs::File::open(&answers).unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("U-0030") && said.contains(ISSUED), "{said}");
    assert_eq!(pc.serials(), [ISSUED]);
}

#[test]
fn where_nobody_can_be_asked_nothing_is_done() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    let output = pc.command(AGENT).env_remove("DISPLAY").args(["renew", &portal.click()]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody can be asked"));
    assert_eq!(pc.serials(), [own.serial]);
}

#[test]
fn yes_beforehand_is_the_administrators_to_allow() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    let code = pc.home().join("code");
    fs::write(&code, CODE).unwrap();
    let arguments = ["renew", "--assume-yes", "--code-file", &text(&code), &portal.click()];
    pc.run(&arguments).is(5).says("/etc/koshin/agent.toml");
    // Nor can the user's own file allow it.
    let config = pc.home().join(".config/koshin/agent.toml");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("assume_yes = true\n{before}")).unwrap();
    pc.run(&arguments).is(5).says("only the administrator's file");
    fs::write(&config, before).unwrap();
    // Without the digits it is no command at all, and a link knows nothing of it.
    pc.run(&["renew", "--assume-yes", &portal.click()]).is(2);
    pc.run(&["open", "--assume-yes", &portal.click()]).is(2);
    assert!(portal.site().log.is_empty());
    assert_eq!(pc.serials(), [own.serial]);
}

#[test]
fn the_next_program_is_tried_when_one_reaches_no_display() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    let zenity = fs::read_to_string(pc.home().join("../desk/zenity")).unwrap();
    pc.install_dialog("kdialog", &zenity);
    // Each question is asked twice: zenity does not see the display.
    pc.answers(&["blind", CODE, "blind", "yes"]);
    pc.run(&["open", &portal.click()]).is(0);
    assert!(pc.shown().contains("--inputbox") && pc.shown().contains("--yesno"));
    assert_eq!(pc.serials(), [ISSUED]);
}

#[test]
fn with_nothing_but_xmessage_the_digits_are_buttons() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    pc.remove_dialog("zenity");
    let script = r#"#!/bin/sh
D=DIR
n=$(( $(/bin/cat "$D/asked" 2>/dev/null || echo 0) + 1 ))
echo "$n" > "$D/asked"
for a in "$@"; do printf '%s\n' "$a"; done >> "$D/shown"
exit "$(/bin/sed -n "${n}p" "$D/answers")"
"#;
    pc.install_dialog("xmessage", script);
    // A window that was closed, or ended for no reason, is no Yes.
    for answers in [&["0"][..], &["111", "1"]] {
        pc.answers(answers);
        pc.run(&["open", &portal.click()]).is(5);
    }
    pc.answers(&["111", "112", "113", "114", "101"]);
    pc.run(&["open", &portal.click()]).is(0);
    assert!(pc.shown().contains("Digit 4 of 4") && pc.shown().contains("9:119"));
    assert_eq!(pc.serials(), [ISSUED]);
}

#[test]
fn the_command_line_and_its_statuses_are_described() {
    let output = Command::new(AGENT).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["register", "unregister", "open", "renew", "enrol", "list", "forget", "doctor", "Exit status"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    let pc = Pc::new();
    pc.run(&["renew"]).is(3).says("No renewal is on its way");
    pc.run(&["renew", "nonsense"]).is(2);
    pc.run(&["register", "--portal", "http://a.example"]).is(2);
    pc.run(&["register"]).is(2).says("--portal");
}
