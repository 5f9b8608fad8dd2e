//! The heads of the audit log, and block lists that are read again.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, thread::sleep, time::Duration};

use crate::{
    config::server_certificate,
    program::Site,
    serve::{Running, choose_ports, fetch},
};
use serde_json::json;

/// Puts a whole state of the database back, with its witness, as somebody would who wants something forgotten.
fn put_back(site: &Site, state: &[(String, Vec<u8>)]) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(site.folder().join(format!("koshin.db{suffix}")));
    }
    for (name, octets) in state {
        fs::write(site.folder().join(name), octets).unwrap();
    }
}

#[test]
fn cuts_and_edits_are_found_by_the_heads_alone() {
    let site = Site::new();
    server_certificate(&site);
    let port = choose_ports(&site);
    let key = site.folder().join("audit/audit.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    site.run("organization add C-1 x --json").one();
    let kept = |name: &str| (name.to_owned(), fs::read(site.folder().join(name)).unwrap());
    let before = ["koshin.db", "koshin.db.witness"].map(kept);
    for id in ["C-2", "C-3"] {
        site.run(&format!("organization add {id} x --json")).one();
    }
    let service = Running::serve(&site);
    assert!(!fetch(port, "/issuing.crl").is_empty());
    let (status, said) = service.end("TERM");
    assert_eq!(status, Some(0), "{said}");
    let heads = site.folder().join("audit/heads");
    let verify = format!("audit verify --json --heads {}", heads.display());
    let report = site.run(&verify).one();
    assert_eq!((&report["ok"], &report["newest_head"]), (&json!(true), &report["records"]));
    // With the public half alone, as an auditor would.
    let public = site.folder().join("audit/audit.pub");
    fs::rename(&key, site.folder().join("elsewhere.key")).unwrap();
    site.run(&format!("{verify} --heads-key {}", public.display())).one();
    fs::rename(site.folder().join("elsewhere.key"), &key).unwrap();
    assert!(!site.run("doctor --json").out.contains("audit log"));

    // An older log hangs together as well.
    put_back(&site, &before);
    assert_eq!(site.run("audit verify --json").one()["ok"], true, "the chain alone does not tell");
    let said = site.run(&verify).refused(1).to_owned();
    assert!(said.contains("does not fit its heads") && said.contains("the log was cut"), "{said}");
    let found = site.run("doctor --json").out;
    assert!(found.contains("audit log") && found.contains("the log was cut"), "{found}");
    // So does one that went another way since, however long it is.
    for id in ["C-4", "C-5", "C-6", "C-7", "C-8"] {
        site.run(&format!("organization add {id} y --json")).one();
    }
    let said = site.run(&verify).refused(1).to_owned();
    assert!(said.contains("is not the one of"), "{said}");
    // A head that was changed is nobody's word.
    let text = fs::read_to_string(&heads).unwrap();
    fs::write(&heads, text.replacen("\"sequence\":", "\"sequence\":1", 1)).unwrap();
    assert!(site.run(&verify).refused(1).contains("the signature is not by the audit key"));
}

/// SIGHUP takes up another block list, and keeps the old one when the new one is none; the service goes on.
#[test]
fn a_block_list_is_read_again() {
    let site = Site::new();
    server_certificate(&site);
    let port = choose_ports(&site);
    let config = site.folder().join("koshin.toml");
    let service = Running::serve(&site);
    assert!(!fetch(port, "/issuing.crl").is_empty());
    let hang_up = || {
        let sent = Command::new("kill").args(["-s", "HUP", &service.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        sleep(Duration::from_millis(600));
    };
    let list = site.folder().join("blocked-keys.txt");
    fs::write(&list, format!("{}\n", "0a".repeat(32))).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("# blocked_keys =", "blocked_keys =")).unwrap();
    hang_up();
    fs::write(&list, "no fingerprint\n").unwrap();
    hang_up();
    assert!(!fetch(port, "/issuing.crl").is_empty(), "it goes on");
    let (status, said) = service.end("TERM");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("the block list was read again") && said.contains("\"blocked\":1"), "{said}");
    assert!(said.contains("the block list stays as it was") && said.contains("line 1"), "{said}");
}
