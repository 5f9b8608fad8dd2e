//! A ledger that was put back from a backup signs nothing before it is reconciled.

use std::fs;

use serde_json::json;

use crate::{
    program::{Server, eventually},
    site::Site,
};

/// Ends a service, and puts the backup in the place of its ledger.
fn put_back(site: &Site, server: Server) {
    server.stop();
    for beside in ["koshin-ca.db-wal", "koshin-ca.db-shm"] {
        let _ = fs::remove_file(site.path(beside));
    }
    fs::remove_file(site.path("koshin-ca.db")).unwrap();
    fs::rename(site.folder().join("backup.db"), site.path("koshin-ca.db")).unwrap();
}

#[test]
fn what_was_issued_since_the_backup_is_found_again() {
    let site = Site::new();
    let server = site.serve();
    site.issue(&server, &site.order(1)).ok();
    site.run("backup backup.db").done();
    assert!(site.run("backup backup.db").refused(4).contains("backup.db"));
    // After the backup: one is issued, one issued and revoked.
    let kept = site.issue(&server, &site.order(2));
    let revoked = site.issue(&server, &site.order(3)).serial();
    site.run(&format!("revoke {revoked} --reason keyCompromise")).done();
    eventually("the list has it", || site.fetch_list(&server, "issuing").contains(&revoked));
    put_back(&site, server);

    let server = site.serve();
    let order = site.order(4);
    let refused = site.issue(&server, &order);
    assert_eq!(refused.status, 503, "{refused:?}");
    // Nobody is told that a certificate was never issued, and leaves it at that.
    let now = &order["now"];
    let body = json!({"serial": kept.serial(), "reason": "keyCompromise", "revoked_at": now, "now": now});
    assert_eq!(site.post(&server, "/v1/revoke", &body).status, 503);
    assert!(
        site.run(&format!("revoke {} --reason keyCompromise", kept.serial())).refused(4).contains("--after-restore")
    );
    assert!(site.published(&server, "/readyz").body.contains("restored and not reconciled"));
    let status = site.run("status --json");
    assert_eq!((status.status, &status.data()["ledger"]), (4, &"behind".into()));
    assert_eq!(site.run("crl publish").status, 4);
    // The RA has the certificate that the ledger does not know.
    fs::create_dir(site.folder().join("found")).unwrap();
    site.keep(&kept, "found/kept.pem");
    let done = site.run("doctor --after-restore --certificates found --json").one();
    assert_eq!((&done["reconciled"], &done["adopted"]), (&true.into(), &2.into()), "{done}");
    eventually("it issues again", || site.issue(&server, &order).status == 200);
    site.keep(&kept, "kept.pem");
    let listed = || {
        let text = site.fetch_list(&server, "issuing");
        text.contains(&revoked) && text.contains(&kept.serial())
    };
    eventually("what was revoked and what nobody can vouch for is listed", listed);
    assert_eq!(site.run(&format!("ocsp check {revoked} --json")).one()["status"], "revoked");
    assert!(site.run("doctor --after-restore").refused(4).contains("nothing to reconcile"));
    server.stop();
}

#[test]
fn without_the_certificates_that_are_missing_somebody_has_to_say_that_they_are_lost() {
    let site = Site::new();
    let server = site.serve();
    eventually("there is a list", || site.published(&server, "/issuing.crl").status == 200);
    site.run("backup backup.db").done();
    let order = site.order(1);
    let first = site.issue(&server, &order).serial();
    put_back(&site, server);
    let sequence = |text: &str, before: &str| -> u64 {
        let rest = text.split(before).nth(1).unwrap();
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    let refused = site.run("doctor --after-restore");
    let said = refused.refused(4);
    let missing = sequence(said, "the witness saw ") - sequence(said, "it has ");
    assert!(missing >= 2, "an intent and its certificate: {said}");
    assert!(said.contains(&format!("{missing} audit records are missing")), "{said}");
    assert!(said.contains("--certificates DIR") && said.contains("--certificates-lost"), "{said}");
    site.run("doctor --after-restore --certificates-lost --certificates .").refused(2);
    assert_eq!(site.run("status --json").data()["ledger"], "behind", "nothing was changed");
    assert_eq!(site.run("doctor --after-restore --certificates-lost --json").one()["reconciled"], true);
    // What that means: the ledger knows nothing of the first.
    let server = site.serve();
    assert_ne!(site.issue(&server, &order).serial(), first);
    server.stop();
}
