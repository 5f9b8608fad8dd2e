//! SIGHUP: the texts are read again, and bad ones change nothing.

use std::fs;

use crate::{
    relay::{Manners, Relay},
    site::{Site, until},
};

const TEXT: &str = "\
Subject: [{{ brand }}] WORDS, valid until {{ end_date }}

Your certificate {{ id }} is valid until {{ not_after }}.
";

#[test]
fn good_texts_are_taken_and_bad_ones_change_nothing() {
    let relay = Relay::start(Manners::default());
    let site = Site::new(relay.port, 1);
    let folder = site.path().join("texts").join("en");
    fs::create_dir_all(&folder).unwrap();
    let write = |text: String| fs::write(folder.join("expiry.txt"), text).unwrap();
    write(TEXT.replace("WORDS", "first"));
    site.configure(relay.port, "texts = \"texts\"");
    let running = site.run(&[]);
    until("the first goes out", || relay.taken().len() == 1);

    write(TEXT.replace("{{ not_after }}", "{{ no_after }}"));
    running.signal("HUP");
    until("it is said", || running.said("mail.texts"));
    assert!(running.lines().iter().any(|line| line.contains("expiry.txt") && line.contains("no_after")));
    site.add(2);
    until("the second goes out", || relay.taken().len() == 2);

    write(TEXT.replace("WORDS", "third"));
    running.signal("HUP");
    until("they are read", || running.said("were read again"));
    site.add(3);
    until("the third goes out", || relay.taken().len() == 3);

    let words: Vec<_> = relay.taken().iter().map(|taken| taken.text.contains("] first,")).collect();
    assert_eq!(words, [true, true, false]);
    assert!(relay.taken()[2].text.contains("] third,"));
    assert_eq!(running.end().0, Some(0));
}
