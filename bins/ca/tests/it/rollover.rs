//! From one issuing CA to the next.

use std::fs;

use crate::{
    program::{eventually, run},
    site::Site,
};

/// An instant some seconds away, as the command line takes it.
fn soon(site: &Site, when: &str) -> String {
    run(site.folder(), "date", ["-u", "-d", when, "+%FT%TZ"]).done().out.trim().to_owned()
}

#[test]
fn the_next_ca_is_published_before_it_issues_and_the_former_one_after() {
    let site = Site::new();
    let server = site.serve();
    let order = site.order(1);
    let old = site.issue(&server, &order);
    site.keep(&old, "old.pem");
    assert!(
        site.run("rollover start --root-here --root-dir ca-site/ca --from 2026-01-01T00:00:00Z")
            .refused(2)
            .contains("past")
    );
    let from = soon(&site, "+8 seconds");
    let started = site.run(&format!("rollover start --root-here --root-dir ca-site/ca --from {from} --json")).one();
    assert_eq!((&started["ca"], &started["issues_from"]), (&"issuing-2".into(), &from.as_str().into()));
    let folder = site.path("");
    run(&folder, "openssl", ["verify", "-x509_strict", "-CAfile", "ca/root.pem", "ca/issuing-2.pem"]).done();

    // The service runs on, notices, and says so.
    eventually("it is said", || server.said("ca_taken_up"));
    eventually("the next one has a list before it issues", || site.published(&server, "/issuing-2.crl").status == 200);
    assert_eq!(site.published(&server, "/issuing-2.cer").status, 200);
    let roles = || {
        let rows = site.run("rollover status --json").json();
        rows.iter().map(|row| row["role"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    if roles() == ["issuing", "next"] {
        let still = site.issue(&server, &site.order(2));
        site.keep(&still, "still.pem");
        site.fetch_list(&server, "issuing");
        // The clock may have passed the turn in between.
        assert!(site.verify("still.pem", "issuing").status == 0 || roles() == ["former", "issuing"]);
    }
    eventually("its time comes", || roles() == ["former", "issuing"]);
    eventually("it is said", || server.said("ca_turn"));
    let new = site.issue(&server, &site.order(3));
    site.keep(&new, "new.pem");
    site.fetch_list(&server, "issuing-2");
    assert_eq!(site.verify("new.pem", "issuing-2").status, 0, "{:?}", site.verify("new.pem", "issuing-2"));
    // Whose answer was lost asks again, and gets what the former CA issued, with that CA's chain.
    let again = site.issue(&server, &order).ok();
    assert_eq!((&again["certificate"], &again["chain"]), (&old.json()["certificate"], &old.json()["chain"]));
    assert_ne!(again["chain"][0], new.json()["chain"][0]);
    // Both are accepted, and each answers for its own.
    site.fetch_list(&server, "issuing");
    assert_eq!(site.verify("old.pem", "issuing").status, 0);
    eventually("responders", || site.ocsp(&server, "new.pem", "issuing-2") == "good");
    assert_eq!(site.ocsp(&server, "old.pem", "issuing"), "good");
    // A turn that was taken cannot be put off: that is said, and each CA keeps its own serial numbers.
    let later = soon(&site, "+2 hours");
    let config = fs::read_to_string(site.config()).unwrap();
    assert!(config.contains(&from), "{config}");
    fs::write(site.config(), config.replace(&from, &later)).unwrap();
    eventually("it is refused", || server.said("reload_refused"));
    let still = site.issue(&server, &site.order(4));
    site.keep(&still, "still.pem");
    site.fetch_list(&server, "issuing-2");
    assert_eq!(site.verify("still.pem", "issuing-2").status, 0);
    fs::write(site.config(), config).unwrap();
    // Revoked certificates stand on the list of the CA that issued them, and on no other.
    for answer in [&old, &new] {
        site.run(&format!("revoke {} --reason superseded", answer.serial())).done();
    }
    eventually("the former CA lists its own", || site.fetch_list(&server, "issuing").contains(&old.serial()));
    eventually("and the new one its own", || site.fetch_list(&server, "issuing-2").contains(&new.serial()));
    assert!(!site.fetch_list(&server, "issuing").contains(&new.serial()));
    assert!(!site.fetch_list(&server, "issuing-2").contains(&old.serial()));
    assert_eq!(site.ocsp(&server, "old.pem", "issuing"), "revoked");
    server.stop();
}

#[test]
fn a_former_ca_stays_until_its_certificates_have_ended() {
    let site = Site::new();
    let server = site.serve();
    let serial = site.issue(&server, &site.order(1)).serial();
    server.stop();
    assert!(site.run("rollover finish issuing").refused(4).contains("the issuing CA"));
    let from = soon(&site, "+5 seconds");
    site.run(&format!("rollover start --root-here --root-dir ca-site/ca --from {from}")).done();
    eventually("its time comes", || site.run("rollover status --json").json()[0]["role"] == "former");
    assert!(site.run("rollover finish issuing").refused(4).contains("has certificates until"));
    assert!(site.run("rollover finish nobody").refused(3).contains("there is no CA"));
    site.run(&format!("revoke {serial} --reason superseded")).done();
    let server = site.serve();
    eventually("the former CA has a list", || site.published(&server, "/issuing.crl").status == 200);
    let before = fs::read_to_string(site.config()).unwrap();
    site.run("rollover finish issuing --json").one();
    let after = fs::read_to_string(site.config()).unwrap();
    assert!(before.starts_with(after.split("[[ca]]").next().unwrap().trim_end()), "what people wrote stays");
    assert_eq!(after.matches("\n[[ca]]").count(), 1);
    eventually("the running service takes it out", || site.published(&server, "/issuing.crl").status == 404);
    assert_eq!(site.published(&server, "/issuing.cer").status, 404);
    let issued = site.issue(&server, &site.order(2));
    site.keep(&issued, "new.pem");
    eventually("there is a list", || site.published(&server, "/issuing-2.crl").status == 200);
    site.fetch_list(&server, "issuing-2");
    assert_eq!(site.verify("new.pem", "issuing-2").status, 0);
    server.stop();
}

/// What the service cannot take up, it does not ignore: serial numbers of that turn would be another CA's.
#[test]
fn a_next_ca_that_cannot_be_taken_up_stops_the_former_one_at_its_turn() {
    let site = Site::new();
    let server = site.serve();
    let first = site.issue(&server, &site.order(1));
    assert_eq!(first.status, 200, "{first:?}");
    eventually("it is ready", || site.published(&server, "/readyz").status == 200);
    let from = soon(&site, "+7 seconds");
    // A key that this service may not open.
    fs::write(site.folder().join("pass"), "secret\n").unwrap();
    fs::set_permissions(site.folder().join("pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let words = format!("rollover start --root-here --root-dir ca-site/ca --from {from} --passphrase-file pass --json");
    site.run(&words).one();
    fs::rename(site.folder().join("pass"), site.folder().join("away")).unwrap();
    fs::write(site.config(), fs::read_to_string(site.config()).unwrap() + "\n# touched\n").unwrap();
    eventually("nothing is signed from its turn on", || {
        let answer = site.issue(&server, &site.order(2));
        answer.status == 503 && answer.json()["code"] == "ca.held"
    });
    let ready = site.published(&server, "/readyz");
    assert!(ready.status == 503 && ready.body.contains("the CA issuing-2 issues from"), "{ready:?}");
    assert!(server.said("ca_turn_refused"));
    // What is issued already is handed out, and revoking goes on.
    site.run(&format!("revoke {} --reason superseded", first.serial())).done();
    eventually("it is listed", || site.fetch_list(&server, "issuing").contains(&first.serial()));
    // The key can be opened again: it is noticed, or said.
    fs::rename(site.folder().join("away"), site.folder().join("pass")).unwrap();
    run(site.folder(), "kill", ["-HUP", &server.pid().to_string()]).done();
    eventually("the next CA issues", || site.issue(&server, &site.order(3)).status == 200);
    let issued = site.issue(&server, &site.order(4));
    site.keep(&issued, "new.pem");
    eventually("there is a list", || site.published(&server, "/issuing-2.crl").status == 200);
    site.fetch_list(&server, "issuing-2");
    assert_eq!(site.verify("new.pem", "issuing-2").status, 0);
    eventually("it is ready again", || site.published(&server, "/readyz").status == 200);
    server.stop();
}

#[test]
fn with_a_root_that_is_elsewhere() {
    let site = Site::new();
    let asked = site.run("rollover start --json").one();
    let digest = asked["key_fingerprint"].as_str().unwrap().to_owned();
    assert!(site.run("rollover start").refused(4).contains("exists already"), "one at a time");
    assert_eq!(site.run("rollover status --json").json().len(), 1, "it is none yet");
    let csr = "ca-site/ca/issuing-2.csr";
    let words = ["init", "sign", csr, "--root-dir", "ca-site/ca", "--common-name", "みどり信用金庫 Issuing CA 2"];
    site.ca(words.into_iter().chain(["--out", "next.pem", "--key-fingerprint", &digest])).done();
    site.run("rollover install next.pem").done();
    let rows = site.run("rollover status --json").json();
    assert_eq!((rows.len(), &rows[1]["role"]), (2, &"next".into()));
    assert!(site.run("rollover install next.pem").refused(4).contains("no CA waits"));
    site.run("config check").done();
}
