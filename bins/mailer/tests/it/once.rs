//! `once`: what is due goes out, once.

use std::net::TcpListener;

use crate::{
    relay::{Manners, Relay},
    site::Site,
};

#[test]
fn what_is_due_goes_out_and_a_second_time_nothing_does() {
    let relay = Relay::start(Manners { unknown: "holder2@", busy: "holder3@", ..Manners::default() });
    let site = Site::new(relay.port, 4);
    let said = site.mailer(&["once", "--json"]);
    let summary = said.one(0);
    assert_eq!(said.errors(), "", "to what is no terminal no progress is shown");
    assert_eq!(summary["planned"], 4);
    assert_eq!((&summary["sent"], &summary["undeliverable"]), (&2.into(), &1.into()));
    assert_eq!((&summary["refused_for_now"], &summary["left"]), (&1.into(), &1.into()));
    let mut to: Vec<_> = relay.taken().into_iter().map(|taken| taken.to).collect();
    to.sort();
    assert_eq!(to, ["holder1@example.co.jp", "holder4@example.co.jp"]);
    let summary = site.mailer(&["once", "--json"]).one(0);
    assert_eq!((&summary["planned"], &summary["sent"], &summary["left"]), (&0.into(), &0.into(), &1.into()));
    assert_eq!(relay.taken().len(), 2);
}

#[test]
fn who_watches_sees_a_line_for_each_change() {
    let relay = Relay::start(Manners { unknown: "holder2@", ..Manners::default() });
    let site = Site::new(relay.port, 3);
    let seen = site.on_a_terminal("once");
    let progress: Vec<_> =
        seen.lines().filter_map(|line| line.strip_prefix("koshin-mailer: ")).map(str::trim).collect();
    assert_eq!(progress.first(), Some(&"3 planned, 0 sent, 0 refused, 0 left out"), "{seen}");
    assert_eq!(progress.last(), Some(&"3 planned, 2 sent, 1 refused, 0 left out"), "{seen}");
    assert_eq!(progress.len(), 4, "{seen}");
    // Nothing to do, nothing to see; the summary stands at the end.
    let seen = site.on_a_terminal("once");
    assert!(!seen.contains("koshin-mailer: ") && seen.contains("sent"), "{seen}");
}

#[test]
fn a_server_that_is_away_is_said_by_the_status() {
    // A port on which nobody listens by the time of the test.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = Site::new(port, 2);
    let said = site.mailer(&["once", "--json"]);
    assert_eq!(said.one(6)["refused_for_now"], 2);
    assert!(said.errors().contains("no mail server answered for 2 mails"), "{}", said.errors());
    assert_eq!(site.states(), ["waiting", "waiting"]);
}

#[test]
fn what_cannot_be_used_has_its_status() {
    let site = Site::new(1, 0);
    site.configure(1, "sent_by = \"nobody\"");
    let said = site.mailer(&["once"]);
    assert_eq!(said.status(), 1);
    assert!(said.errors().contains("mail.sent_by: unknown variant `nobody`"), "{}", said.errors());
    site.configure(1, "");
    std::fs::remove_file(site.database()).unwrap();
    for command in ["once", "status", "run"] {
        let said = site.mailer(&[command]);
        assert_eq!(said.status(), 3, "{}", said.errors());
        assert!(!site.database().exists(), "a mailer makes no database");
    }
}
