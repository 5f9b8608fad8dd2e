//! `koshin init` and `koshin config`.

use std::fs;

use crate::program::{Site, koshin};

#[cfg(unix)]
fn mode(path: &std::path::Path) -> u32 {
    std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777
}

#[test]
fn init_makes_an_installation_and_never_replaces_one() {
    let site = Site::new();
    let file = |name: &str| site.folder().join(name);
    let before = fs::read(file("ca/issuing.key")).unwrap();
    #[cfg(unix)]
    for private in ["ca/root.key", "ca/issuing.key", "koshin.db"] {
        assert_eq!(mode(&file(private)), 0o600, "{private}");
    }
    let folder = site.folder().to_str().unwrap();
    assert!(koshin(["init", "--dir", folder]).refused(4).contains("exists already; nothing was changed"));
    // A single leftover is enough: a key is never overwritten.
    for name in ["koshin.toml", "koshin.db", "ca/root.pem", "ca/root.key", "ca/issuing.pem"] {
        fs::remove_file(file(name)).unwrap();
    }
    koshin(["init", "--dir", folder]).refused(4);
    assert_eq!(fs::read(file("ca/issuing.key")).unwrap(), before);
    assert!(!file("koshin.toml").exists());
}

#[test]
fn init_refuses_what_could_not_stand_in_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    assert!(koshin(["init", "--dir", folder, "--country", "Japan"]).refused(2).contains("country"));
    assert!(koshin(["init", "--dir", folder, "--host", "a b"]).refused(2).contains("hosts.portal"));
    assert!(fs::read_dir(folder).unwrap().next().is_none());
}

#[test]
fn a_configuration_is_shown_as_written_and_as_meant() {
    let site = Site::new();
    insta::assert_snapshot!("config_show", site.run("config show").out);
    insta::assert_snapshot!("config_show_effective", site.run("config show --effective").out);
    let object = site.run("config show --effective --json").one();
    assert_eq!(object["rules"]["session_idle_minutes"], 15);
    assert!(site.run("config show --json").one().get("rules").is_none());
}

#[test]
fn an_unknown_key_is_named_with_file_and_key() {
    let site = Site::new();
    let file = site.folder().join("koshin.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("notice_days = 30", "notice_dayz = 30")).unwrap();
    for command in ["config check", "config show", "organization list", "serve"] {
        let ended = site.run(command);
        let said = ended.refused(1);
        assert!(said.contains("koshin.toml: policy.notice_dayz: unknown field"), "{said}");
        assert!(said.contains("(line "), "{said}");
    }
}

#[test]
fn check_reads_every_file_and_refuses_keys_that_others_can_read() {
    let site = Site::new();
    let missing = site.run("config check");
    assert!(missing.refused(3).contains("tls.certificate: ") && missing.err.contains("tls.key: "), "{}", missing.err);
    server_certificate(&site);
    assert_eq!(site.run("config check --json").one()["ok"], true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for key in ["ca/issuing.key", "tls/server.key"] {
            let path = site.folder().join(key);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            for command in ["config check", "serve"] {
                let ended = site.run(command);
                let said = ended.refused(5);
                assert!(said.contains("has mode 0640") && said.contains(key), "{said}");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    // The right kind of file, but of somebody else.
    fs::copy(site.folder().join("ca/root.key"), site.folder().join("ca/issuing.key")).unwrap();
    assert!(site.run("config check").refused(1).contains("ca: the certificate is for the key"));
}

#[test]
fn check_finds_what_could_not_work() {
    let site = Site::new();
    let file = site.folder().join("koshin.toml");
    let text = fs::read_to_string(&file).unwrap();
    server_certificate_for(&site, "DNS:localhost");
    let ended = site.run("config check");
    let said = ended.refused(1);
    let expected =
        "koshin.toml: tls.certificate: it is for localhost, and hosts.activate is https://activate.localhost:8445\n";
    assert!(said.ends_with(expected), "{said}");
    server_certificate_for(&site, "DNS:localhost,DNS:*.localhost");
    assert!(
        site.run("config check").refused(1).contains("hosts.activate"),
        "browsers take no wildcard below one label"
    );
    server_certificate(&site);
    assert_eq!(site.run("config check --json").one()["warnings"], serde_json::json!([]));

    fs::write(&file, text.replace("127.0.0.1:8445", "127.0.0.1:8443").replace("127.0.0.1:8446", "0.0.0.0:8444"))
        .unwrap();
    for command in ["config check", "serve"] {
        let ended = site.run(command);
        let said = ended.refused(1);
        assert!(said.contains("listen.activate: 127.0.0.1:8443 is taken by listen.portal\n"), "{said}");
        assert!(said.contains("listen.publication: 0.0.0.0:8444 is taken by listen.public\n"), "{said}");
    }

    // Longer than the CA lives: that is so at the latest when it is nine years old.
    fs::write(&file, text.replace("validity = \"p1y\"", "validity = \"days:4000\"")).unwrap();
    let warned = site.run("config check --json");
    let warning = warned.one()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.starts_with("ca.certificate: nothing can be issued: "), "{warning}");
    assert!(warned.err.contains(&warning), "{}", warned.err);

    fs::write(&file, text).unwrap();
    fs::remove_file(site.folder().join("koshin.db")).unwrap();
    assert!(site.run("config check").refused(3).contains("storage.database: there is no database "));
    assert!(!site.folder().join("koshin.db").exists());
}

/// A certificate for the servers that nobody trusts.
pub(crate) fn server_certificate(site: &Site) {
    server_certificate_for(site, "DNS:localhost,DNS:activate.localhost");
}

fn server_certificate_for(site: &Site, names: &str) {
    fs::create_dir_all(site.folder().join("tls")).unwrap();
    let made = std::process::Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=localhost".split(' '))
        .args(["-keyout", "tls/server.key", "-out", "tls/server.pem", "-addext", &format!("subjectAltName={names}")])
        .current_dir(site.folder())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
