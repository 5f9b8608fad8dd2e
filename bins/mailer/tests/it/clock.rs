//! A clock that jumped a year.

use std::{sync::Arc, thread::sleep, time::Duration};

use koshin_expiry::ClockGuard;
use koshin_ra::{Actor, ClockWatch, Reading};

use crate::{
    relay::{Manners, Relay},
    site::{DAY, Site, block_on, instant, now, until},
};

#[test]
fn a_jump_of_a_year_sends_nothing_until_it_is_confirmed() {
    let relay = Relay::start(Manners::default());
    let site = Site::new(relay.port, 3);
    // The newest instant that the database knows is a year old: to it the machine's clock has jumped.
    site.sql(&format!("UPDATE clock SET largest = {}", (now() - 365 * DAY) * 1000));
    let said = site.mailer(&["once"]);
    assert_eq!(said.status(), 4, "{}", said.errors());
    assert!(
        said.errors().contains("was expected") && said.errors().contains("koshin clock confirm"),
        "{}",
        said.errors()
    );
    assert_eq!(site.mailer(&["once", "--dry-run"]).status(), 4);
    let status = site.mailer(&["status", "--json"]).one(1);
    assert_eq!((&status["clock"], &status["alarms"][0]), (&"ahead".into(), &"mail.clock".into()));

    let running = site.run(&[]);
    until("it is said", || running.said("was expected"));
    sleep(Duration::from_secs(5));
    assert!(relay.taken().is_empty() && site.states().is_empty(), "nothing is even planned");
    assert!(!site.asked("SELECT 'jump' FROM clock WHERE expected IS NOT NULL").is_empty(), "the jump is remembered");

    // What `koshin clock confirm` does.
    block_on(async {
        let store = site.store().await;
        let reading = || Reading { system: instant(now()), monotonic: Duration::ZERO };
        let watch = ClockWatch::begin(Arc::clone(&store) as _, ClockGuard::default(), reading()).await.unwrap();
        assert!(watch.confirm(Actor::Operator("keeper".into()), reading()).await.unwrap());
        store.shut_down().await;
    });
    until("the mails go on", || relay.taken().len() == 3);
    assert!(running.said("the clock is believed again"));
    assert_eq!(running.end().0, Some(0));
    assert_eq!(site.mailer(&["status", "--json"]).one(0)["clock"], "trusted");
}
