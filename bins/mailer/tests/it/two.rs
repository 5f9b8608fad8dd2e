//! Two mailers on one database, of which one is killed.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    relay::{Manners, Relay},
    site::{Site, until},
};

const MAILS: u32 = 60;

#[test]
fn two_mailers_one_of_them_killed_send_what_one_sends() {
    let relay = Relay::start(Manners { pause: Duration::from_millis(20), ..Manners::default() });
    let site = Site::new(relay.port, MAILS);
    let alone = Relay::start(Manners::default());
    let copy = site.copy(alone.port);
    assert_eq!(copy.mailer(&["once", "--json"]).one(0)["sent"], MAILS);

    let (first, second) = (site.run(&[]), site.run(&[]));
    until("it is half done", || relay.taken().len() >= 15);
    // SIGKILL.
    drop(first);
    let count = |state: &str| site.states().iter().filter(|found| *found == state).count();
    until("the other has sent the rest", || count("waiting") == 0 && count("sent") + count("claimed") >= 1);
    std::thread::sleep(Duration::from_secs(1));
    // Ten minutes go by: the leases of the dead one are over.
    site.sql("UPDATE outbox SET claimable_from = claimable_from - 600000 WHERE state IN ('claimed', 'transmitting')");
    until("all is done", || count("sent") == MAILS as usize);
    assert_eq!(second.end().0, Some(0));

    let set = |relay: &Relay| relay.ids().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(&relay), set(&alone));
    // At most the one that was on its way when its mailer died came twice.
    assert!(relay.ids().len() <= MAILS as usize + 1, "{}", relay.ids().len());
}
