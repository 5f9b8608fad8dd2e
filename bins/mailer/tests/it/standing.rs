//! `status`, and the alarm.

use crate::{
    relay::{Manners, Relay},
    site::{Site, now},
};

#[test]
fn how_the_mails_stand() {
    let relay = Relay::start(Manners { unknown: "holder2@", busy: "holder3@", ..Manners::default() });
    let site = Site::new(relay.port, 3);
    let status = site.mailer(&["status", "--json"]);
    // Nobody has planned what opened ten days ago.
    let view = status.one(1);
    assert_eq!(view["alarms"], serde_json::json!(["mail.unplanned"]), "{view}");
    assert!(
        status.errors().contains("mail.unplanned: nobody plans the notices that are due since"),
        "{}",
        status.errors()
    );
    assert!(view["last_sent"].is_null() && view["lag"].is_null());

    site.mailer(&["once", "--json"]).one(0);
    let view = site.mailer(&["status", "--json"]).one(0);
    assert_eq!((&view["waiting"], &view["undeliverable"], &view["claimed"]), (&1.into(), &1.into(), &0.into()));
    assert_eq!((&view["clock"], &view["alarms"]), (&"trusted".into(), &serde_json::json!([])));
    assert!(view["last_sent"].is_string() && view["oldest"].is_string() && view["oldest_due"].is_null());
    // The threshold opened ten days before it was told.
    let lag = view["lag"]["most_seconds"].as_i64().unwrap();
    assert_eq!(view["lag"]["mails"], 1);
    assert!((9 * 86_400..=11 * 86_400).contains(&lag), "{lag}");
}

#[test]
fn each_alarm_has_its_code_and_ends_by_itself() {
    let relay = Relay::start(Manners { busy: "holder", ..Manners::default() });
    let site = Site::new(relay.port, 2);
    site.mailer(&["once", "--json"]).one(0);
    site.mailer(&["status", "--json"]).one(0);
    let ago = |minutes: i64| (now() - minutes * 60) * 1000;
    // Due for twenty minutes, and nobody takes it up.
    site.sql(&format!("UPDATE outbox SET claimable_from = {} WHERE number = 1", ago(20)));
    let status = site.mailer(&["status", "--json"]);
    assert_eq!(status.one(1)["alarms"], serde_json::json!(["mail.overdue"]));
    // Tried again and again for five hours, and none goes out.
    site.sql(&format!("UPDATE outbox SET claimable_from = {}, planned_at = {}", ago(-5), ago(300)));
    let status = site.mailer(&["status", "--json"]);
    assert_eq!(status.one(1)["alarms"], serde_json::json!(["mail.silent"]));
    assert!(status.errors().contains("mail.silent: mails wait since"), "{}", status.errors());
    // As the configuration says.
    site.configure(relay.port, "\n[mail.alarm]\nsilent_minutes = 301\n");
    site.mailer(&["status", "--json"]).one(0);
    // Another one went out.
    site.configure(relay.port, "");
    site.mailer(&["status", "--json"]).one(1);
    let recorded = ago(1);
    site.sql(&format!(
        "UPDATE outbox SET state = 'done', disposition = 'sent', claimable_from = NULL, recorded_at = {recorded} \
         WHERE number = 2"
    ));
    site.mailer(&["status", "--json"]).one(0);
}
