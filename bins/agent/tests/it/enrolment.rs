//! A certificate without a valid one: the mailed code instead of the old key.

use crate::{
    pc::Pc,
    portal::{ISSUED, Kind, MAILED, Portal, Trick},
};

#[test]
fn the_mailed_code_obtains_a_certificate() {
    let (portal, ..) = Portal::start();
    portal.site().kind = Kind::Enrol;
    let pc = Pc::new();
    pc.register(&portal);
    pc.answers(&["00000000", MAILED, "yes", "yes"]);
    let ended = pc.run(&["open", &portal.click()]);
    ended.is(0).says(ISSUED);
    assert_eq!((pc.serials(), pc.asked()), (vec![ISSUED.to_owned()], 4));
    assert_eq!(portal.site().log, ["open", "confirm", "confirm", "request", "installed", "activate"]);
    let shown = pc.shown();
    let before = shown.find("U-0030").unwrap();
    // Nothing of whose it is stands on the screen before the code was right.
    assert!(shown.find("was mailed").unwrap() < before && shown.find("Tries left: 4").unwrap() < before, "{shown}");
    assert!(!shown.contains(MAILED) && !ended.err.contains(MAILED));
}

#[test]
fn what_it_replaces_goes_and_everything_else_stays() {
    let (portal, own, other) = Portal::start();
    portal.site().kind = Kind::Enrol;
    let pc = Pc::of(&own, &portal);
    pc.import(&other);
    pc.answers(&[MAILED, "yes", "yes"]);
    pc.run(&["enrol", &portal.click()]).is(0);
    assert_eq!(pc.serials(), [other.serial, ISSUED]);
}

#[test]
fn no_is_no_at_each_question() {
    for (answers, steps) in [(vec!["no"], 0), (vec![MAILED, "no"], 1), (vec![MAILED, "yes", "no"], 1)] {
        let (portal, ..) = Portal::start();
        portal.site().kind = Kind::Enrol;
        let pc = Pc::new();
        pc.register(&portal);
        pc.answers(&answers);
        pc.run(&["open", &portal.click()]).is(5);
        assert_eq!(portal.site().declined.len(), steps, "{answers:?}");
        assert!(!portal.site().activated && !pc.serials().contains(&ISSUED.to_owned()));
    }
}

#[test]
fn a_session_that_is_over_goes_on_with_the_same_key_after_another_click() {
    for step in ["request", "installed"] {
        let (portal, ..) = Portal::start();
        portal.site().kind = Kind::Enrol;
        let pc = Pc::new();
        pc.register(&portal);
        portal.plays(Trick::KillAfter(step));
        pc.answers(&[MAILED, "yes", "yes"]);
        assert_eq!(pc.run_watched(&portal, &["open", &portal.click()]).status, None);
        let key = portal.site().spki.clone().unwrap();
        // Another link, another code, and the same enrolment: its certificate is for the key that lies here.
        let answers = if step == "request" { vec![MAILED, "yes"] } else { vec![MAILED] };
        pc.answers(&answers);
        pc.run(&["open", &portal.click()]).is(0);
        assert_eq!((pc.serials(), portal.site().spki.clone()), (vec![ISSUED.to_owned()], Some(key)), "{step}");
        assert!(pc.unfinished().is_empty());
    }
}

#[test]
fn wrong_codes_end_it() {
    let (portal, ..) = Portal::start();
    portal.site().kind = Kind::Enrol;
    let pc = Pc::new();
    pc.register(&portal);
    pc.answers(&["00000001", "00000002", "00000003", "00000004", "00000005", MAILED]);
    pc.run(&["open", &portal.click()]).is(5).says("agent.code_exhausted");
    assert!(pc.serials().is_empty() && pc.unfinished().is_empty());
}
