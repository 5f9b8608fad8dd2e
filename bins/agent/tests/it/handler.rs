//! Opening links: registered, and as if it never had been.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    pc::{AGENT, Pc, eventually, text},
    portal::Portal,
};

/// All files below a folder with their contents.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(text(&path), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn what_is_registered_is_undone_exactly() {
    let (portal, ..) = Portal::start();
    let pc = Pc::new();
    let defaults = pc.home().join(".config/mimeapps.list");
    for before in [
        None,
        Some("[Default Applications]\nx-scheme-handler/mailto=mail.desktop\nx-scheme-handler/koshin=other.desktop;"),
    ] {
        if let Some(text) = before {
            fs::create_dir_all(pc.home().join(".config")).unwrap();
            fs::write(&defaults, text).unwrap();
        }
        let untouched = files(&pc.home());
        pc.register(&portal);
        pc.register(&portal);
        let entry = fs::read_to_string(pc.home().join(".local/share/applications/koshin-agent.desktop")).unwrap();
        assert!(entry.contains(&format!("Exec={AGENT} open %u\n")), "{entry}");
        assert!(entry.contains("MimeType=x-scheme-handler/koshin;\n") && entry.contains("Terminal=false\n"));
        let list = fs::read_to_string(&defaults).unwrap();
        assert!(list.contains("x-scheme-handler/koshin=koshin-agent.desktop"), "{list}");
        assert!(before.is_none() || list.contains("mailto=mail.desktop"));
        // What the desktop itself reads there.
        let mut query = pc.command("/usr/bin/xdg-mime");
        query.env("PATH", "/usr/bin:/bin").args(["query", "default", "x-scheme-handler/koshin"]);
        let said = String::from_utf8_lossy(&query.output().unwrap().stdout).into_owned();
        assert_eq!(said.trim(), "koshin-agent.desktop");
        // And what it does with a link.
        pc.answers(&[]);
        let mut open = pc.command("/usr/bin/xdg-open");
        let path = format!("{}:/usr/bin:/bin", text(&pc.home().join("../desk")));
        open.env("PATH", path)
            .arg(format!("koshin:renew?v=1&portal=https%3A%2F%2Fother.example&t={}", "ab".repeat(32)));
        drop(open.output().unwrap());
        eventually("the agent was opened", || pc.shown().contains("other.example is no portal"));
        pc.run(&["unregister"]).is(0);
        assert_eq!(files(&pc.home()), untouched);
        pc.run(&["unregister"]).is(0);
        assert_eq!(files(&pc.home()), untouched);
    }
}

#[test]
fn folders_that_the_environment_names_are_used() {
    let (portal, ..) = Portal::start();
    let pc = Pc::new();
    let other = |name: &str| text(&pc.home().join(name));
    let ca = pc.home().join("ca.pem");
    fs::write(&ca, portal.ca_pem()).unwrap();
    let mut command = pc.command(AGENT);
    command.env("XDG_CONFIG_HOME", other("c")).env("XDG_DATA_HOME", other("d")).env("XDG_STATE_HOME", other("s"));
    let done = command.args(["register", "--portal", &portal.main(), "--ca", &text(&ca)]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    for file in ["c/koshin/agent.toml", "c/mimeapps.list", "d/applications/koshin-agent.desktop"] {
        assert!(pc.home().join(file).exists(), "{file}");
    }
    assert!(!pc.home().join(".config").exists());
    // The CA is kept, not the path to it: the file may be deleted.
    let kept = fs::read_to_string(pc.home().join("c/koshin/agent.toml")).unwrap();
    assert!(kept.contains("BEGIN CERTIFICATE") && !kept.contains("ca.pem"), "{kept}");
}

#[test]
fn one_portal_can_be_taken_away_alone() {
    let (portal, ..) = Portal::start();
    let pc = Pc::new();
    pc.register(&portal);
    pc.run(&["register", "--portal", "https://other.example", "--ca", "missing.pem"]).is(3);
    pc.run(&["unregister", "--portal", &portal.main()]).is(0);
    pc.run(&["open", &portal.click()]).is(5);
    assert!(pc.home().join(".local/share/applications/koshin-agent.desktop").exists());
    let seen = pc.run(&["doctor"]);
    seen.is(4);
    assert!(seen.out.contains("no portal is configured"), "{}", seen.out);
}
