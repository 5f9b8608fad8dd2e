//! What must not happen, whoever wants it.

use std::{net::TcpListener, time::Duration};

use crate::{
    pc::{Pc, eventually},
    portal::{CODE, ISSUED, Portal, Trick},
};

fn nothing_happened(pc: &Pc, portal: &Portal, serial: &str) {
    assert_eq!(pc.serials(), [serial]);
    assert!(pc.unfinished().is_empty());
    assert!(portal.site().spki.is_none() && !portal.site().activated);
}

#[test]
fn a_foreign_portal_is_not_even_called() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    foreign.set_nonblocking(true).unwrap();
    let port = foreign.local_addr().unwrap().port();
    for host in [format!("portal.localhost%3A{port}"), format!("localhost%3A{port}")] {
        let link = format!("koshin:renew?v=1&portal=https%3A%2F%2F{host}&t={}", "ab".repeat(32));
        pc.run(&["open", &link]).is(5).says("no portal that is registered");
    }
    // The host for those without a certificate does not renew.
    let link = portal.click().replace("portal.localhost", "public.localhost");
    pc.run(&["open", &link]).is(5);
    std::thread::sleep(Duration::from_millis(50));
    assert!(foreign.accept().is_err(), "somebody called");
    assert!(portal.site().log.is_empty());
    assert!(pc.shown().contains("Nothing was done"), "whoever clicked is told");
    nothing_happened(&pc, &portal, own.serial);
}

#[test]
fn a_link_that_is_none_is_refused_before_anything_else() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    let good = portal.click();
    for link in [
        good.replace("v=1", "v=2"),
        format!("{good}&code={CODE}"),
        format!("{good}&t={}", "ab".repeat(32)),
        good.replace("https", "http"),
        good.replace("koshin:", "koshin://"),
        "--assume-yes".to_owned(),
    ] {
        pc.run(&["open", &link]).is(2);
    }
    assert!(portal.site().log.is_empty());
    nothing_happened(&pc, &portal, own.serial);
}

#[test]
fn a_redirect_is_never_followed() {
    for step in ["open", "confirm", "request", "activate"] {
        let (portal, own, _) = Portal::start();
        let pc = Pc::of(&own, &portal);
        portal.plays(Trick::Redirect(step));
        pc.answers(&[CODE, "yes"]);
        pc.run(&["open", &portal.click()]).is(5).says("redirect");
        assert!(!portal.site().log.iter().any(|path| path == "elsewhere"), "{step}");
        assert!(pc.serials().contains(&own.serial.to_owned()), "{step}");
    }
}

#[test]
fn three_wrong_numbers_end_it_with_nothing_issued() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    pc.answers(&["0000", "1111", "2222", CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(5).says("agent.code_exhausted").says("Nothing was issued");
    assert_eq!(pc.asked(), 4, "three tries and a word at the end");
    nothing_happened(&pc, &portal, own.serial);
}

#[test]
fn a_link_works_once() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    let link = portal.click();
    pc.answers(&["no"]);
    pc.run(&["open", &link]).is(5);
    pc.run(&["forget"]).is(0);
    pc.answers(&[CODE, "yes"]);
    pc.run(&["open", &link]).is(4).says("agent.ticket_used");
    nothing_happened(&pc, &portal, own.serial);
}

#[test]
fn a_ticket_of_somebody_else_renews_nothing() {
    let (portal, own, other) = Portal::start();
    // The link was made for the holder of another certificate, and sent to this one.
    let pc = Pc::of(&other, &portal);
    pc.answers(&[CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(5).says("agent.other_certificate");
    assert_eq!(pc.asked(), 1, "nobody is asked for digits; only told");
    nothing_happened(&pc, &portal, other.serial);
    drop(own);
}

#[test]
fn several_certificates_are_never_tried_out() {
    let (portal, own, other) = Portal::start();
    let pc = Pc::of(&own, &portal);
    pc.import(&other);
    pc.run(&["open", &portal.click()]).is(4).says(own.serial).says(other.serial);
    assert!(portal.site().log.is_empty());
    pc.run(&["open", &format!("{}&s=0f0f", portal.click())]).is(3).says("0F0F");
    pc.answers(&[CODE, "yes"]);
    pc.run(&["renew", "--serial", own.serial, &portal.click()]).is(0);
    assert_eq!(pc.serials(), [other.serial, ISSUED]);
}

#[test]
fn a_portal_that_proves_nothing_gets_nothing() {
    let (portal, own, _) = Portal::start();
    let (impostor, ..) = Portal::start();
    let pc = Pc::of(&own, &portal);
    // The same name as registered, answered by somebody with another CA.
    let port = |portal: &Portal| portal.main().rsplit(':').next().unwrap().to_owned();
    let config = pc.home().join(".config/koshin/agent.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&port(&portal), &port(&impostor))).unwrap();
    pc.run(&["open", &impostor.click()]).is(5).says("did not prove");
    assert!(impostor.site().log.is_empty());
    assert_eq!(pc.serials(), [own.serial]);
}

#[test]
fn an_answer_that_is_none_is_said_to_be_none() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    portal.plays(Trick::Long("open"));
    pc.run(&["open", &portal.click()]).is(1).says("longer than");
    portal.plays(Trick::ForeignCertificate);
    pc.run(&["forget"]).is(0);
    pc.answers(&[CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(1).says("another key");
    assert!(!pc.serials().contains(&ISSUED.to_owned()));
}

#[test]
fn what_the_portal_refuses_for_good_leaves_no_key_behind() {
    for code in ["agent.key_seen", "agent.other_key", "agent.protection", "agent.ended"] {
        let (portal, own, _) = Portal::start();
        let pc = Pc::of(&own, &portal);
        portal.plays(Trick::Refuse("request", 409, code));
        pc.answers(&[CODE, "yes"]);
        pc.run(&["open", &portal.click()]).is(4).says(code);
        assert_eq!((pc.serials(), pc.unfinished().len()), (vec![own.serial.to_owned()], 0), "{code}");
    }
}

#[test]
fn one_window_at_a_time() {
    let (portal, own, _) = Portal::start();
    let pc = Pc::of(&own, &portal);
    pc.answers(&["wait"]);
    let mut first = pc.start(&["open", &portal.click()]);
    eventually("the first question", || pc.asked() == 1);
    pc.run(&["open", &portal.click()]).is(6).says("another window");
    assert_eq!(first.wait().unwrap().code(), Some(5));
    assert_eq!(portal.site().log, ["open", "declined"]);
}
