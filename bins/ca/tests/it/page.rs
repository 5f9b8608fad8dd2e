//! The commands of `docs/ca.md`, typed into a shell.

use std::{fs, path::Path};

use crate::{
    program::{Ended, Server, eventually, run_with},
    site::Site,
};

const ENGLISH: &str = include_str!("../../../../docs/ca.md");
const JAPANESE: &str = include_str!("../../../../docs/ca.ja.md");

/// The blocks of a page that show a console.
fn consoles(page: &str) -> Vec<&str> {
    page.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The commands that stand within sentences, in their order.
fn commands(page: &str) -> Vec<&str> {
    let text = page.split("```").step_by(2);
    let spans = text.flat_map(|text| text.split('`').skip(1).step_by(2));
    spans.filter(|span| span.starts_with("koshin-ca ")).collect()
}

/// Types a line into a shell that finds the program and this installation.
fn shell(folder: &Path, config: &Path, line: &str) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_koshin-ca")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let environment = [("PATH".to_owned(), path), ("KOSHIN_CA_CONFIG".to_owned(), config.display().to_string())];
    run_with(folder, "bash", ["-euo", "pipefail", "-c", line], &environment)
}

/// All at once, and everything that the page says of an installation that runs.
#[test]
fn the_commands_of_the_page_work() {
    let [at_once, _] = consoles(ENGLISH).try_into().unwrap();
    assert_eq!(consoles(JAPANESE), consoles(ENGLISH));
    let [install, init, serve] = at_once.lines().collect::<Vec<_>>().try_into().unwrap();
    let crate_folder = install.strip_prefix("cargo install --locked --path ").unwrap();
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).ends_with(crate_folder));

    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let config = folder.join("ca/koshin-ca.toml");
    let say = |line: &str| shell(folder, &config, line);
    say(init).done();
    assert!(folder.join("ca/clients/portal.pem").exists() && folder.join("ca/ca/root.key").exists());
    assert!(folder.join("ca/tls/api-ca.pem").exists(), "the page names it for the portal");
    free_ports(&config);
    assert_eq!(say("koshin-ca status").status, 4, "until the first list is published");
    let its_config = serve.strip_prefix("koshin-ca serve --config ").unwrap();
    let server = Server::start(folder, Path::new(its_config), &[]);
    eventually("nobody has to act", || say("koshin-ca status").status == 0);

    let site = Site::at(place, "ca");
    let issued = site.issue(&server, &site.order(1));
    let before = site.issue(&server, &site.order(2));
    let (serial, other) = (issued.serial(), before.serial());
    // The commands within the sentences, with the words in capitals filled in.
    let mut missing: Vec<_> = commands(ENGLISH);
    missing.retain(|command| !["koshin-ca serve", "koshin-ca init sign"].contains(command));
    let mut typed = |command: &str, fill: &[(&str, &str)], status: i32| {
        assert!(ENGLISH.contains(&format!("`{command}")) && JAPANESE.contains(&format!("`{command}")), "{command}");
        // A sentence may name a command again without its words.
        missing.retain(|known| *known != command && !command.starts_with(&format!("{known} ")));
        let line = fill.iter().fold(command.to_owned(), |line, (word, value)| line.replace(word, value));
        let ended = shell(site.folder(), &config, &line);
        assert_eq!(ended.status, status, "{line}: {ended:?}");
        ended
    };
    typed("koshin-ca client portal", &[], 0);
    typed("koshin-ca status", &[], 0);
    typed("koshin-ca doctor", &[], 0);
    typed("koshin-ca backup FILE", &[("FILE", "backup.db")], 0);
    typed("koshin-ca revoke SERIAL --reason keyCompromise", &[("SERIAL", &serial)], 0);
    eventually("it is published", || site.fetch_list(&server, "issuing").contains(&serial));
    typed("koshin-ca clock status", &[], 0);
    typed("koshin-ca clock confirm", &[], 0);
    typed("koshin-ca crl resign", &[], 0);
    typed("koshin-ca rollover status", &[], 0);
    let digest = typed("koshin-ca rollover start", &[], 0).err;
    let sign = digest.lines().find_map(|line| line.split_once("koshin-ca init sign ")).unwrap().1.to_owned();
    shell(&site.path("ca"), &config, &format!("koshin-ca init sign {sign} --out next.pem")).done();
    let next = site.path("ca/next.pem");
    typed("koshin-ca rollover install CERTIFICATE", &[("CERTIFICATE", next.to_str().unwrap())], 0);
    eventually("the running service publishes it", || site.published(&server, "/issuing-2.cer").status == 200);
    assert!(typed("koshin-ca rollover finish NAME", &[("NAME", "issuing")], 4).err.contains("the issuing CA"));
    server.stop();

    // Back to the copy. The RA has what was issued since.
    site.keep(&before, "kept.pem");
    fs::create_dir(site.folder().join("found")).unwrap();
    fs::rename(site.folder().join("kept.pem"), site.folder().join("found/kept.pem")).unwrap();
    for name in ["koshin-ca.db", "koshin-ca.db-wal", "koshin-ca.db-shm"] {
        drop(fs::remove_file(site.path(name)));
    }
    fs::copy(site.folder().join("backup.db"), site.path("koshin-ca.db")).unwrap();
    let doctor = "koshin-ca doctor --after-restore";
    typed(doctor, &[(doctor, "koshin-ca doctor --after-restore --certificates found")], 0);
    assert!(ENGLISH.contains("`--certificates DIR`") && JAPANESE.contains("`--certificates DIR`"));
    assert_eq!(shell(site.folder(), &config, &format!("koshin-ca ocsp check {other} --json")).one()["status"], "good");
    assert_eq!(missing, [""; 0], "the page names commands that this test does not type");
}

#[test]
fn the_ceremony_of_the_page_works() {
    let [_, ceremony] = consoles(ENGLISH).try_into().unwrap();
    let place = tempfile::tempdir().unwrap();
    let (offline, online) = (place.path().join("offline"), place.path().join("online"));
    for folder in [&offline, &online] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(online.join("passphrase"), "発行 secret\n").unwrap();
    fs::set_permissions(online.join("passphrase"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = online.join("ca/koshin-ca.toml");
    let carry = |from: &Path, to: &Path| fs::copy(from, to.join(from.file_name().unwrap())).map(drop).unwrap();
    for line in ceremony.lines() {
        let (prompt, command) = line.split_once("$ ").unwrap();
        let folder = if prompt == "offline" { &offline } else { &online };
        // "Carry ca/ca/issuing.csr to the offline machine, and issuing.pem and root.pem back."
        if command.contains("init sign") {
            carry(&online.join("ca/ca/issuing.csr"), &offline);
        } else if command.contains("init install") {
            carry(&offline.join("issuing.pem"), &online);
            carry(&offline.join("root/root.pem"), &online);
        }
        shell(folder, &config, command.trim()).done();
    }
    shell(&online, &config, "koshin-ca config check").done();
}

/// The places of a key, as the page writes them.
#[test]
fn the_places_of_a_key_are_read() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("ca/koshin-ca.toml");
    shell(place.path(), &config, "koshin-ca init --dir ca --organization Midori").done();
    let text = fs::read_to_string(&config).unwrap();
    for page in [ENGLISH, JAPANESE] {
        let rows = page.split("| `key =` |").nth(1).unwrap().lines().skip(2).take(3);
        let places: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
        assert_eq!(places.len(), 3);
        for key in places {
            fs::write(&config, text.replace("key = \"ca/issuing.key\"", &format!("key = {key}"))).unwrap();
            assert!(fs::read_to_string(&config).unwrap().contains(key));
            shell(place.path(), &config, "koshin-ca config show --effective").done();
        }
    }
}

fn free_ports(config: &Path) {
    let text = fs::read_to_string(config).unwrap();
    let text = text.replace("127.0.0.1:8450", "127.0.0.1:0").replace("\"127.0.0.1:8451\"", "\"127.0.0.1:0\"");
    fs::write(config, text).unwrap();
}
