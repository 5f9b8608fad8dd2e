//! The operator's commands.

use std::fs;

use crate::{program::eventually, site::Site};

#[test]
fn a_revocation_is_final_and_published_where_no_service_runs() {
    let site = Site::new();
    let server = site.serve();
    let serial = site.issue(&server, &site.order(1)).serial();
    server.stop();
    assert_eq!(site.run(&format!("ocsp check {serial} --json")).one()["status"], "good");
    assert_eq!(site.run("ocsp check 1AFF --json").one()["status"], "unknown");
    let revoke = |words: &str| site.run(&format!("revoke {serial} --json --as 山田 {words}"));
    assert!(revoke("--reason certificateHold").refused(2).contains("keyCompromise"), "there is no hold");
    let first = revoke("--reason key-compromise --invalidity-date 2026-11-01T00:00:00Z").one();
    assert_eq!((&first["reason"], &first["changed"]), (&"keyCompromise".into(), &true.into()));
    assert_eq!((&first["by"], &first["invalidity_date"]), (&"operator:山田".into(), &"2026-11-01T00:00:00Z".into()));
    let again = revoke("--reason superseded").one();
    assert_eq!((&again["reason"], &again["changed"]), (&"keyCompromise".into(), &false.into()));
    assert!(site.run("revoke 1AFF --reason superseded").refused(3).contains("never recorded"));
    let before = site.run("crl show --json").one()["number"].as_u64().unwrap();
    let list = site.run("crl publish --json").one();
    assert_eq!((&list["entries"], &list["condition"]), (&1.into(), &"fresh".into()));
    assert!(list["number"].as_u64().unwrap() > before);
    assert_eq!(site.run(&format!("ocsp check {serial} --json")).one()["status"], "revoked");
}

#[test]
fn a_running_service_shows_a_list_that_the_command_made() {
    let site = Site::new();
    let server = site.serve();
    eventually("there is a list", || site.published(&server, "/issuing.crl").status == 200);
    site.fetch_list(&server, "issuing");
    let made = site.run("crl publish --json").one();
    let number = made["number"].as_u64().unwrap().to_string();
    eventually("it is shown", || site.fetch_list(&server, "issuing").contains(&number));
    server.stop();
}

#[test]
fn in_an_emergency_the_published_list_is_signed_once_more() {
    let site = Site::new();
    let server = site.serve();
    let serial = site.issue(&server, &site.order(1)).serial();
    site.run(&format!("revoke {serial} --reason superseded")).done();
    eventually("the list has it", || site.fetch_list(&server, "issuing").contains(&serial));
    server.stop();
    let before = site.run("crl show --json").one();
    // The ledger is gone.
    let lost = site.path("lost.db");
    fs::rename(site.path("koshin-ca.db"), &lost).unwrap();
    assert_eq!(site.run("crl publish").status, 3);
    let resigned = site.run("crl resign --days 3 --json").done();
    let folder = site.path("lists");
    assert!(resigned.err.contains("restarted"), "{resigned:?}");
    assert!(resigned.err.contains(&format!("serve {} with any web server", folder.display())), "{resigned:?}");
    let signed = resigned.one();
    assert!(signed["number"].as_u64() > before["number"].as_u64(), "{signed} {before}");
    assert_eq!(signed["entries"], 1);
    // It comes back, and the list goes on from there.
    fs::rename(&lost, site.path("koshin-ca.db")).unwrap();
    let next = site.run("crl publish --json").one();
    assert!(next["number"].as_u64() > signed["number"].as_u64(), "{next} {signed}");
}

#[test]
fn status_and_doctor_look_at_everything() {
    let site = Site::new();
    let server = site.serve();
    site.issue(&server, &site.order(1)).ok();
    eventually("there is a responder", || site.run("ocsp show").status == 0);
    eventually("nobody has to act", || site.run("status").status == 0);
    let status = site.run("status --json").one();
    assert_eq!((&status["clock"], &status["ledger"]), (&"trusted".into(), &"current".into()));
    assert_eq!(status["authorities"][0]["role"], "issuing");
    assert_eq!(status["authorities"][0]["key"]["signs"], true);
    assert_eq!(status["authorities"][0]["list"]["condition"], "fresh");
    assert_eq!((&status["certificates"]["valid"], &status["clients"][0]), (&1.into(), &"portal".into()));
    assert_eq!(status["attention"].as_array().unwrap().len(), 0);
    assert_eq!(site.run("doctor --json").one()["ok"], true);
    server.stop();
    fs::rename(site.path("lists/issuing.crl"), site.path("elsewhere")).unwrap();
    let ill = site.run("doctor --json");
    assert_eq!(ill.status, 1, "{ill:?}");
    assert!(ill.out.contains("issuing.crl: missing"), "{ill:?}");
    assert_eq!(site.run("audit verify --json").one()["ok"], true);
}

#[test]
fn a_ca_that_ends_soon_is_said() {
    let site = Site::empty();
    site.ca(["init", "root", "--dir", "r", "--organization", "Midori"]).done();
    site.ca(["init", "request", "--dir", "ca-site", "--organization", "Midori"]).done();
    let sign = ["init", "sign", "ca-site/ca/issuing.csr", "--root-dir", "r", "--out", "i.pem", "--days", "399"];
    site.ca(sign).done();
    site.ca(["init", "install", "i.pem", "--root", "r/root.pem", "--dir", "ca-site"]).done();
    site.use_free_ports();
    let status = site.run("status --json").data();
    let warning = status["attention"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(warning.contains("within 400 days") && warning.contains("koshin-ca rollover start"), "{warning}");
}
