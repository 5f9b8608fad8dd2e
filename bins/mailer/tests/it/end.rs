//! SIGTERM: it ends soon, and nothing is left claimed.

use std::{thread::sleep, time::Duration};

use crate::{
    relay::{Manners, Relay},
    site::{Site, until},
};

#[test]
fn it_ends_after_the_mail_that_is_on_its_way() {
    let relay = Relay::start(Manners { pause: Duration::from_millis(400), ..Manners::default() });
    let site = Site::new(relay.port, 12);
    let running = site.run(&[]);
    until("some went out", || relay.taken().len() >= 3);
    let (ended, took) = running.end();
    assert_eq!(ended, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let sent = relay.taken().len();
    assert!(sent < 12, "it was asked to end in the middle");
    let states = site.states();
    let count = |state: &str| states.iter().filter(|found| *found == state).count();
    assert_eq!((count("sent"), count("waiting")), (sent, 12 - sent), "{states:?}");
    // The next one goes on at once, and nothing comes twice.
    assert_eq!(site.mailer(&["once", "--json"]).one(0)["sent"], 12 - sent);
    let mut ids = relay.ids();
    ids.dedup();
    assert_eq!((ids.len(), relay.taken().len()), (12, 12));
}

#[test]
fn a_server_that_never_answers_keeps_it_from_ending_for_seconds_only() {
    let relay = Relay::start(Manners { pause: Duration::from_mins(2), ..Manners::default() });
    let site = Site::new(relay.port, 4);
    let running = site.run(&[]);
    until("one is on its way", || relay.taken().len() == 1);
    sleep(Duration::from_millis(200));
    let (ended, took) = running.end();
    assert_eq!(ended, Some(0));
    assert!(took > Duration::from_secs(10) && took < Duration::from_secs(25), "{took:?}");
    // What may have arrived is repeated once, later; the others wait for whoever sends next.
    assert_eq!(site.states(), ["waiting"; 4]);
    let status = site.mailer(&["status", "--json"]).one(0);
    assert_eq!((&status["waiting"], &status["quarantined"], &status["claimed"]), (&3.into(), &1.into(), &0.into()));
}
