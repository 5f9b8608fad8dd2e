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
    assert!(missing.refused(1).contains("tls.certificate: ") && missing.err.contains("tls.key: "), "{}", missing.err);
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

/// The issuing CA's key and certificate will do: nobody connects.
pub(crate) fn server_certificate(site: &Site) {
    let file = |name: &str| site.folder().join(name);
    fs::create_dir(file("tls")).unwrap();
    fs::copy(file("ca/issuing.pem"), file("tls/server.pem")).unwrap();
    fs::copy(file("ca/issuing.key"), file("tls/server.key")).unwrap();
}
