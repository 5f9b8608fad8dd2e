//! Killed at every step, and finished by running it again: one renewal, one key, one certificate.

use crate::{
    pc::{Ended, Pc},
    portal::{CODE, ISSUED, Portal, Trick},
};

/// Runs it once more until it is done: by itself where something is kept, else by another click.
fn finish(pc: &Pc, portal: &Portal, what: &str) -> usize {
    let mut clicks = 0;
    for _ in 0..3 {
        pc.answers(&answers(pc, portal));
        let again: Ended = match pc.unfinished().len() {
            0 => {
                clicks += 1;
                pc.run(&["open", &portal.click()])
            }
            _ => pc.run(&["renew"]),
        };
        if again.status == Some(0) {
            return clicks;
        }
        assert_eq!(again.status, Some(4), "{what}: {again:?}");
    }
    panic!("{what}: it does not end");
}

/// What there is still to be asked.
fn answers(pc: &Pc, portal: &Portal) -> Vec<&'static str> {
    let waits_for_digits = portal.site().spki.is_none() && !made(pc);
    if waits_for_digits { vec![CODE, "yes"] } else { vec!["yes"] }
}

fn made(pc: &Pc) -> bool {
    pc.unfinished().iter().any(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        ["confirmed", "making", "keyed", "issued"].iter().any(|stage| text.contains(&format!("\"stage\":\"{stage}\"")))
    })
}

fn holds_in_the_end(pc: &Pc, portal: &Portal, what: &str) {
    assert_eq!(pc.serials(), [ISSUED], "{what}");
    assert!(pc.unfinished().is_empty(), "{what}");
    let site = portal.site();
    assert!(site.activated && site.spki.is_some(), "{what}");
}

fn killed_at(trick: Trick) {
    let what = format!("{trick:?}");
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    portal.plays(trick);
    pc.answers(&[CODE, "yes"]);
    let ended = pc.run_watched(&portal, &["open", &portal.click()]);
    assert_eq!(ended.status, None, "{what}: {ended:?}");
    let key = portal.site().spki.clone();
    let clicks = finish(&pc, &portal, &what);
    holds_in_the_end(&pc, &portal, &what);
    let site = portal.site();
    // A key that the portal has heard of is never replaced.
    assert!(key.is_none() || site.spki == key, "{what}");
    let expected = usize::from(trick == Trick::KillAfter("open"));
    assert_eq!(clicks, expected, "{what}: clicks in the page");
}

#[test]
fn around_the_ticket() {
    killed_at(Trick::KillBefore("open"));
    killed_at(Trick::KillAfter("open"));
}

#[test]
fn around_the_digits() {
    killed_at(Trick::KillBefore("confirm"));
    killed_at(Trick::KillAfter("confirm"));
}

#[test]
fn around_the_request() {
    killed_at(Trick::KillBefore("request"));
    killed_at(Trick::KillAfter("request"));
}

#[test]
fn around_the_installation() {
    killed_at(Trick::KillBefore("installed"));
    killed_at(Trick::KillAfter("installed"));
}

#[test]
fn around_the_activation() {
    killed_at(Trick::KillBefore("activate"));
    killed_at(Trick::KillAfter("activate"));
}

#[test]
fn while_a_question_is_open() {
    for answers in [vec!["kill"], vec![CODE, "kill"]] {
        let (portal, own, _) = Portal::start();
        let pc = Pc::of(&own, &portal);
        pc.answers(&answers);
        assert_eq!(pc.run(&["open", &portal.click()]).status, None);
        let what = format!("killed at question {}", answers.len());
        assert_eq!(finish(&pc, &portal, &what), 0, "{what}");
        holds_in_the_end(&pc, &portal, &what);
    }
}

#[test]
fn a_click_after_the_kill_goes_on_with_the_same_key() {
    for step in ["request", "installed", "activate"] {
        let (portal, own, _) = Portal::start();
        let pc = Pc::of(&own, &portal);
        portal.plays(Trick::KillAfter(step));
        pc.answers(&[CODE, "yes"]);
        assert_eq!(pc.run_watched(&portal, &["open", &portal.click()]).status, None);
        let key = portal.site().spki.clone();
        pc.answers(&["yes"]);
        pc.run(&["open", &portal.click()]).is(0);
        holds_in_the_end(&pc, &portal, step);
        assert_eq!(portal.site().spki, key, "{step}");
    }
}

#[test]
fn a_click_before_the_portal_heard_of_a_key_begins_anew_and_leaves_none_behind() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    portal.plays(Trick::KillBefore("request"));
    pc.answers(&[CODE, "yes"]);
    assert_eq!(pc.run_watched(&portal, &["open", &portal.click()]).status, None);
    assert_eq!(pc.serials(), [own.serial, "key_only"]);
    pc.answers(&[CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(0);
    holds_in_the_end(&pc, &portal, "a click");
}

#[test]
fn what_is_busy_for_a_moment_is_asked_again_by_itself() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    portal.plays(Trick::Busy("request"));
    pc.answers(&[CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(0);
    holds_in_the_end(&pc, &portal, "busy");
    assert_eq!(portal.site().log.iter().filter(|step| *step == "request").count(), 2);
}

#[test]
fn what_is_away_for_a_while_is_asked_again_with_everything_kept() {
    for (step, code) in [("request", "agent.ca_away"), ("activate", "agent.unavailable")] {
        let (portal, own, _) = Portal::start();
        let pc = Pc::of(&own, &portal);
        portal.plays(Trick::Refuse(step, 503, code));
        pc.answers(&[CODE, "yes"]);
        pc.run(&["open", &portal.click()]).is(6).says("is kept");
        let key = portal.site().spki.clone().unwrap();
        pc.answers(&["yes"]);
        pc.run(&["renew"]).is(0);
        holds_in_the_end(&pc, &portal, step);
        assert_eq!(portal.site().spki.as_ref(), Some(&key), "{step}");
    }
}

#[test]
fn an_installed_certificate_is_never_removed_in_doubt() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    portal.plays(Trick::KillAfter("activate"));
    pc.answers(&[CODE, "yes"]);
    assert_eq!(pc.run_watched(&portal, &["open", &portal.click()]).status, None);
    // The portal knows of it, and says something else: another renewal may have begun there.
    portal.plays(Trick::Refuse("activate", 404, "agent.not_found"));
    pc.run(&["renew"]).is(4);
    assert_eq!(pc.serials(), [own.serial, ISSUED]);
    portal.plays(Trick::Refuse("activate", 404, "agent.not_found"));
    pc.run(&["forget"]).is(0);
    assert_eq!((pc.serials().len(), pc.unfinished().len()), (2, 0));
}

#[test]
fn nothing_depends_on_saying_that_it_is_installed() {
    for trick in
        [Trick::Refuse("installed", 503, "agent.unavailable"), Trick::Refuse("installed", 403, "agent.certificate")]
    {
        let (portal, own, _) = Portal::start();
        let pc = Pc::of(&own, &portal);
        portal.plays(trick);
        pc.answers(&[CODE, "yes"]);
        pc.run(&["open", &portal.click()]).is(0);
        holds_in_the_end(&pc, &portal, "not installed");
    }
}
