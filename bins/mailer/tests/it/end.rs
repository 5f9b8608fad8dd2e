//! SIGTERM: it ends soon, and nothing is left claimed.

use std::time::Duration;

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
