//! `koshin demo` and its folder.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    program::{Site, koshin},
    serve::{Running, five_ports},
};

/// Everything below a folder, with its contents.
fn contents(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn refused(folder: &std::path::Path, status: i32) -> String {
    let base = five_ports().to_string();
    let data = folder.to_str().unwrap();
    koshin(["demo", "--json", "--data", data, "--port-base", &base]).refused(status).to_owned()
}

#[test]
fn a_folder_that_is_no_demonstrations_is_left_alone() {
    let site = Site::new();
    let before = contents(site.folder());
    let said = refused(site.folder(), 4);
    assert!(said.contains("koshin.toml is an installation's") && said.contains("nothing was changed"), "{said}");
    assert_eq!(contents(site.folder()), before);

    // Somebody's keys under the very names that a demonstration uses.
    let folder = tempfile::tempdir().unwrap();
    for name in ["issuing.key", "server.key"] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let before = contents(folder.path());
    let said = refused(folder.path(), 4);
    assert!(said.contains(".key is no demonstration's") && said.contains("an empty folder"), "{said}");
    assert_eq!(contents(folder.path()), before);

    // A demonstration that has lost its keys does not get new ones.
    fs::write(folder.path().join("demo.json"), "{}").unwrap();
    let said = refused(folder.path(), 4);
    assert!(said.contains("koshin.db is missing from this demonstration"), "{said}");
    assert_eq!(fs::read(folder.path().join("issuing.key")).unwrap(), b"mine");
}

#[test]
fn a_new_folder_is_filled_and_an_old_one_continued() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let start = || {
        let base = five_ports().to_string();
        let mut demo = Running::start(&["demo", "--json", "--data", data.to_str().unwrap(), "--port-base", &base]);
        let ready: serde_json::Value = serde_json::from_str(&demo.first_line()).unwrap();
        assert!(!data.join("demo.unfinished").exists());
        let (status, said) = demo.end("TERM");
        assert_eq!(status, Some(0), "{said}");
        ready["subjects"].clone()
    };
    let first = start();
    assert_eq!(first[3]["days_left"], serde_json::Value::Null);
    assert_eq!(start(), first);
}

#[test]
fn a_first_start_that_was_interrupted_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let start = || {
        let base = five_ports().to_string();
        Running::start(&["demo", "--json", "--data", data.to_str().unwrap(), "--port-base", &base])
    };
    let interrupted = start();
    let begun = Instant::now();
    // The first of the five has enrolled.
    while fs::read_dir(data.join("people")).map_or(0, Iterator::count) == 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody enrols");
        sleep(Duration::from_millis(5));
    }
    drop(interrupted);
    assert!(data.join("demo.unfinished").exists() && !data.join("demo.json").exists());
    let mut demo = start();
    let ready: serde_json::Value = serde_json::from_str(&demo.first_line()).unwrap();
    assert_eq!(ready["subjects"].as_array().unwrap().len(), 5);
    let (status, said) = demo.end("TERM");
    assert_eq!(status, Some(0), "{said}");
    let data = data.to_str().unwrap();
    assert_eq!(koshin(["audit", "replay", "--json", "--data", data]).one()["subjects"], 5);
}

#[test]
fn nothing_is_taken_out_where_nothing_was_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let said = koshin(["demo", "--remove-nss", "--data", folder.path().to_str().unwrap()]);
    assert!(said.refused(3).contains("nss-import.json"), "{said:?}");
}
