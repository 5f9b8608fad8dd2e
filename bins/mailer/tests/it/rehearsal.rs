//! `once --dry-run`: says what would be done, and does nothing.

use std::{collections::BTreeMap, fs};

use crate::{
    relay::{Manners, Relay},
    site::Site,
};

/// Everything in a folder but SQLite's index of its log, which readers use together.
fn octets(site: &Site) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(site.path()).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_none_or(|end| end != "db-shm"));
    // A log without a frame is as good as none.
    let read = files.map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(file).unwrap()));
    read.filter(|(name, octets)| !(name.ends_with("-wal") && octets.is_empty())).collect()
}

#[test]
fn nothing_is_written_and_everything_is_said() {
    let relay = Relay::start(Manners { busy: "holder", ..Manners::default() });
    let site = Site::new(relay.port, 4);
    let before = octets(&site);
    let said = site.mailer(&["once", "--dry-run", "--json"]);
    assert_eq!(said.status(), 0, "{}", said.errors());
    assert!(said.errors().contains("4 would be planned, 4 sent, 0 not; nothing was written"), "{}", said.errors());
    let steps = said.json();
    assert!(steps.iter().all(|step| step["planned"] == true && step["outcome"] == "send" && step["kind"] == "expiry"));
    for step in &steps {
        let to = step["to"].as_str().unwrap();
        assert!(to.ends_with("example.co.jp") && !to.contains("holder"), "{to}");
    }
    assert_eq!(octets(&site), before);

    // All wait, refused for now; then they are due again, one certificate is revoked and one mail may have arrived.
    assert_eq!(site.mailer(&["once", "--json"]).one(0)["refused_for_now"], 4);
    site.sql("UPDATE outbox SET claimable_from = planned_at");
    site.sql("UPDATE certificates SET status = 'revoked', status_at = 1, reason = 'key_compromise' WHERE subject = 2");
    site.sql("UPDATE outbox SET unanswered = 1 WHERE subject = 'U-3'");
    let before = octets(&site);
    let steps = site.mailer(&["once", "--dry-run", "--json"]).json();
    let outcomes: BTreeMap<_, _> = steps
        .iter()
        .map(|step| (step["subject"].as_str().unwrap().to_owned(), step["outcome"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [("U-1", "send"), ("U-2", "suppressed_revoked"), ("U-3", "repeat"), ("U-4", "send")];
    assert_eq!(outcomes, expected.map(|(id, outcome)| (id.to_owned(), outcome.to_owned())).into());
    assert!(steps.iter().all(|step| step["planned"] == false));
    assert_eq!(octets(&site), before);
    assert_eq!(relay.taken().len(), 0);
}

#[test]
fn plans_by_another_policy_are_not_guessed_at() {
    let relay = Relay::start(Manners::default());
    let site = Site::new(relay.port, 1);
    assert_eq!(site.mailer(&["once", "--json"]).one(0)["sent"], 1);
    let file = site.path().join("koshin.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[policy]\nmail_days = [30, 20, 10]\n")).unwrap();
    let said = site.mailer(&["once", "--dry-run"]);
    assert_eq!(said.status(), 4);
    assert!(said.errors().contains("another policy"), "{}", said.errors());
}
