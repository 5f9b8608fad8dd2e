//! A PC with a TPM: the new key is made in it, and only then it is called so.

use std::process::Command;

use serde_json::Value;

use crate::{
    pc::Pc,
    portal::{CODE, ISSUED, Portal, Subject},
    swtpm::SoftTpm,
};

/// A PC with a TPM in which nothing is set up yet.
fn pc_with(tpm: &SoftTpm, own: &Subject, portal: &Portal) -> Pc {
    let mut pc = Pc::of(own, portal);
    pc.environment = tpm.environment(&pc.home());
    std::fs::create_dir(pc.home().join(".tpm2_pkcs11")).unwrap();
    pc
}

fn doctor(pc: &Pc) -> Vec<Value> {
    let report: Value = serde_json::from_str(&pc.run(&["doctor", "--json"]).out).unwrap();
    report["findings"].as_array().unwrap().iter().filter(|one| one["about"] == "store").cloned().collect()
}

#[test]
fn the_commands_that_doctor_names_make_a_place_for_keys_in_the_tpm() {
    let (portal, own, _) = Portal::start();
    portal.site().minimum = Some("hardware");
    let tpm = SoftTpm::start();
    let pc = pc_with(&tpm, &own, &portal);
    let stores = doctor(&pc);
    assert!(stores[0]["says"].as_str().unwrap().contains("level os"), "{stores:?}");
    let remedy = stores[1]["next"].as_str().unwrap().to_owned();
    pc.run(&["open", &portal.click()]).is(5).says("hardware");
    let mut shell = Command::new("sh");
    let done = shell.args(["-c", &remedy]).envs(tpm.environment(&pc.home())).output().unwrap();
    assert!(done.status.success(), "{remedy}: {done:?}");
    assert!(doctor(&pc)[0]["says"].as_str().unwrap().contains("level hardware"));

    pc.answers(&[CODE, "yes"]);
    pc.run(&["open", &portal.click()]).is(0).says(ISSUED);
    // The activation was a login with the key in the TPM. What it replaced lay in the other store, and is gone from there.
    assert!(portal.site().activated);
    assert_eq!(portal.site().protection.as_deref(), Some("hardware"));
    assert_eq!(pc.serials(), [ISSUED]);
    assert_eq!(pc.list()[0]["protection"], "hardware");
    let shown = pc.shown();
    assert!(shown.contains("never leaves it") && shown.contains("close it once and open it again"), "{shown}");
}

#[test]
fn without_the_tpm_what_was_begun_in_it_waits() {
    let (portal, own, _) = Portal::start();
    let tpm = SoftTpm::start();
    let mut pc = pc_with(&tpm, &own, &portal);
    let remedy = doctor(&pc)[1]["next"].as_str().unwrap().to_owned();
    assert!(
        Command::new("sh").args(["-c", &remedy]).envs(tpm.environment(&pc.home())).output().unwrap().status.success()
    );
    pc.answers(&[CODE, "no"]);
    pc.run(&["open", &portal.click()]).is(5);
    let with_tpm = std::mem::take(&mut pc.environment);
    pc.run(&["renew"]).is(6).says("not here now");
    assert_eq!(pc.unfinished().len(), 1);
    pc.environment = with_tpm;
    pc.answers(&["yes"]);
    pc.run(&["renew"]).is(0);
    assert_eq!(pc.serials(), [ISSUED]);
}
