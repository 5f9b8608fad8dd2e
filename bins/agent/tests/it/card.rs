//! A smart card, for which SoftHSM stands: named by its module, opened by a PIN that the holder types.

use std::fs;

use crate::{
    pc::{Pc, text},
    portal::{CODE, ISSUED, Portal},
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "987654";

/// Puts a card into the PC, and its module into the configuration.
fn insert(pc: &mut Pc) {
    let tokens = pc.home().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let config = pc.home().join("softhsm2.conf");
    fs::write(&config, format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display())).unwrap();
    pc.environment = vec![("SOFTHSM2_CONF", config.into_os_string())];
    let mut init = pc.command("/usr/bin/softhsm2-util");
    let done =
        init.args(["--init-token", "--free", "--label", "card", "--so-pin", "0000", "--pin", PIN]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let file = pc.home().join(".config/koshin/agent.toml");
    let before = fs::read_to_string(&file).unwrap();
    // Somebody calls it hardware; it is known not to be.
    fs::write(&file, format!("{before}\n[[card]]\nmodule = \"{MODULE}\"\ntoken = \"card\"\nhardware = true\n"))
        .unwrap();
}

#[test]
fn a_key_is_made_on_the_card_and_the_old_one_goes() {
    let (portal, own, _) = Portal::start();
    let mut pc = Pc::of(&own, &portal);
    insert(&mut pc);
    pc.answers(&[PIN, CODE, "yes"]);
    let ended = pc.run(&["open", &portal.click()]);
    ended.is(0).says(ISSUED);
    assert_eq!((pc.asked(), portal.site().protection.as_deref()), (3, Some("os")));
    let shown = pc.shown();
    assert!(shown.contains("--title=PIN of card") && !shown.contains(PIN) && !ended.err.contains(PIN), "{shown}");
    pc.answers(&[PIN]);
    let listed = pc.list();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(listed[0]["serial"] == ISSUED && text(listed[0]["store"].as_str().unwrap().as_ref()).contains("card"));
}

#[test]
fn a_wrong_pin_is_tried_once_and_no_key_is_made_elsewhere_instead() {
    let (portal, own, _) = Portal::start();
    let mut pc = Pc::of(&own, &portal);
    insert(&mut pc);
    pc.answers(&["111111"]);
    let ended = pc.run(&["list"]);
    ended.is(0).says("card");
    assert_eq!(pc.asked(), 1, "a PIN's tries belong to its holder");
    assert!(ended.out.contains(own.serial), "what lies in other stores is shown all the same");
    pc.answers(&["111111", CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(6).says("card that is configured");
    assert!(portal.site().spki.is_none());
    // With the right one it goes on where it was.
    pc.answers(&[PIN, CODE, "yes"]);
    pc.run(&["renew"]).is(0);
}
