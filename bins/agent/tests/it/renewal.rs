//! A renewal from click to certificate, as it should be.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{
    pc::{Pc, tool},
    portal::{CODE, ISSUED, Portal},
};

#[test]
fn a_click_ends_with_the_new_certificate_in_the_old_ones_place() {
    let (portal, own, other) = Portal::start();
    let pc = Pc::of(&own, &portal);
    assert_eq!(pc.serials(), [own.serial]);
    pc.import(&other);
    pc.answers(&[CODE, "yes"]);
    let link = format!("{}&s={}", portal.click(), own.serial.to_lowercase());
    let ended = pc.run(&["open", &link]);
    ended.is(0).says(ISSUED);
    assert_eq!(pc.serials(), [other.serial, ISSUED], "somebody else's certificate stays");
    assert_eq!(pc.unfinished(), [""; 0].map(std::path::PathBuf::from));
    let site = portal.site();
    assert_eq!(site.log, ["open", "confirm", "request", "installed", "activate"]);
    // NSS never binds a key to a PC, and nobody says so.
    assert_eq!(site.protection.as_deref(), Some("os"));
    assert_eq!(pc.asked(), 2);
    let shown = pc.shown();
    let host = portal.main().replace("https://", "");
    for part in [host.as_str(), "U-0030 (青空商事)", "4 digits", "Test CA", ISSUED, "Whoever can copy all your files"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains(&site.ticket) && !ended.err.contains(&site.ticket));
    // The browser's own tools find key and certificate together.
    let listed = tool("certutil", &["-L", "-d", &pc.nss()]);
    assert_eq!(listed.matches("u,u,u").count(), 2, "{listed}");
}

#[test]
fn the_digits_may_be_wrong_twice() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    pc.answers(&["0000", "12", "１１１１", "１２３４", "yes"]);
    pc.run(&["open", &portal.click()]).is(0);
    assert_eq!(pc.asked(), 5);
    let shown = pc.shown();
    for part in ["Tries left: 2", "Tries left: 1", "Please type 4 digits"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(pc.serials(), [ISSUED]);
}

#[test]
fn no_at_the_first_question_changes_nothing() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal).in_japanese();
    pc.answers(&["no"]);
    pc.run(&["open", &portal.click()]).is(5).says("何も変わっていません");
    assert!(pc.shown().contains("電子証明書を更新しますか"));
    assert_eq!((pc.serials(), portal.site().declined.clone()), (vec![own.serial.to_owned()], vec![1]));
    assert!(portal.site().spki.is_none());
    // The exchange is still open; it goes on without a click.
    pc.answers(&[CODE, "yes"]);
    pc.run(&["renew"]).is(0);
    assert_eq!(pc.serials(), [ISSUED]);
}

#[test]
fn no_at_the_second_question_keeps_the_same_certificate_for_later() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    pc.answers(&[CODE, "no"]);
    pc.run(&["open", &portal.click()]).is(5).says("works as before");
    assert_eq!(portal.site().declined, [2]);
    assert!(!portal.site().installed && !portal.site().activated);
    let state = pc.unfinished();
    assert_eq!(state.len(), 1);
    assert_eq!(fs::metadata(&state[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(pc.serials().contains(&own.serial.to_owned()) && !pc.serials().contains(&ISSUED.to_owned()));
    let key = portal.site().spki.clone();
    // Another click asks for the second answer only: the certificate is there already.
    pc.answers(&["yes"]);
    pc.run(&["open", &portal.click()]).is(0);
    assert_eq!((pc.serials(), portal.site().spki.clone()), (vec![ISSUED.to_owned()], key));
    assert_eq!(portal.site().log.iter().filter(|step| *step == "open").count(), 1);
}

#[test]
fn without_an_answer_nothing_happens_and_doctor_names_the_next_step() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    pc.answers(&[CODE, "no"]);
    pc.run(&["open", &portal.click()]).is(5);
    let seen = pc.run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!((seen.status, &report["ok"]), (Some(4), &serde_json::json!(false)));
    let findings = report["findings"].as_array().unwrap();
    let about = |word: &str| findings.iter().filter(|one| one["about"] == word).collect::<Vec<_>>();
    assert!(about("links")[0]["says"].as_str().unwrap().contains("opened by this program"));
    assert!(about("portal")[0]["says"].as_str().unwrap().contains("answers"));
    assert_eq!(about("clock")[0]["about"], "clock");
    assert!(about("certificate").iter().any(|one| one["says"].as_str().unwrap().contains(own.serial)));
    assert!(about("store")[0]["says"].as_str().unwrap().contains("level os"), "{report}");
    assert!(about("unfinished")[0]["next"].as_str().unwrap().starts_with("koshin-agent renew"));
    assert!(!seen.out.contains(&portal.site().ticket));
    // Given up: the key that was made for it goes, the old certificate stays.
    pc.run(&["forget"]).is(0);
    assert_eq!((pc.serials(), pc.unfinished().len()), (vec![own.serial.to_owned()], 0));
}

#[test]
fn a_key_that_has_to_be_in_hardware_is_not_made_elsewhere() {
    let (portal, own, _) = Portal::start();
    portal.site().minimum = Some("hardware");
    let pc = Pc::of(&own, &portal);
    pc.answers(&[CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(5).says("hardware");
    // Nobody types digits for nothing: it is said, once.
    assert_eq!((pc.asked(), pc.serials()), (1, vec![own.serial.to_owned()]));
    assert!(pc.shown().starts_with("--info"));
    assert!(portal.site().spki.is_none() && pc.unfinished().is_empty());
}
