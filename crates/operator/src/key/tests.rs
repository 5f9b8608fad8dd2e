use std::{fs, process::Command};

use koshin_issuance::{Curve, Signer as _};

use super::*;
use crate::exit::{self, Status};

fn status(error: &anyhow::Error) -> Option<Status> {
    exit::status(error, exit::none)
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Tables {
    key: KeyPlace,
}

#[test]
fn each_place_is_written_as_it_was_read() {
    for text in [
        "key = \"a.key\"\n",
        "[key]\nfile = \"a.key\"\npassphrase_file = \"credential:p\"\n",
        "[key.pkcs11]\nmodule = \"m.so\"\ntoken = \"t\"\nlabel = \"l\"\npin_file = \"pin\"\npatience_seconds = 3\n",
    ] {
        let tables: Tables = config::tables(text).unwrap();
        assert_eq!(toml::to_string(&tables).unwrap(), text);
    }
    for wrong in [
        "key = 1",
        "key = {}",
        "key = { passphrase_file = 'b' }",
        "key = { file = 'a', pkcs11 = { module = 'm', token = 't', label = 'l' } }",
        "key = { pkcs11 = { module = 'm', token = 't' } }",
    ] {
        let (key, _) = config::tables::<Tables>(wrong).err().unwrap();
        assert!(key.starts_with("key"), "{wrong}: {key}");
    }
}

#[cfg(unix)]
#[test]
fn an_encrypted_key_opens_with_its_passphrase_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    secret::create(&at("right"), "正しい passphrase\n".as_bytes(), true).unwrap();
    secret::create(&at("wrong"), b"wrong\n", true).unwrap();
    secret::create(&at("empty"), b"\n", true).unwrap();
    let config = at("a.toml");
    let place =
        |passphrase: Option<&str>| KeyPlace::File { file: "key".into(), passphrase_file: passphrase.map(Into::into) };
    let made = place(Some("right")).generate(&config, Curve::P256).unwrap();
    let again = place(Some("right")).load(&config).unwrap();
    assert_eq!(made.public_key_spki(), again.public_key_spki());
    let refused = |passphrase| place(passphrase).load(&config).err().unwrap();
    let wrong = refused(Some("wrong"));
    assert_eq!(status(&wrong), Some(Status::NotPermitted));
    assert!(wrong.to_string().contains("the passphrase does not open it"), "{wrong}");
    assert_eq!(status(&refused(None)), Some(Status::Usage));
    assert_eq!(status(&refused(Some("empty"))), Some(Status::Usage));
    let taken = place(Some("right")).generate(&config, Curve::P256).err().unwrap();
    assert!(taken.to_string().contains("cannot be made"), "{taken}");
    // Foreign eyes.
    let judged = Command::new("openssl")
        .args(["pkey", "-noout", "-text", "-passin", "file:right", "-in", "key"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(judged.status.success(), "{judged:?}");
    // And the other way round, with both derivations.
    for (name, derivation) in [("by-pbkdf2", &["-v2prf", "hmacWithSHA256"][..]), ("by-scrypt", &["-scrypt"])] {
        let written = Command::new("openssl")
            .args(["pkcs8", "-topk8", "-in", "key", "-passin", "file:right", "-passout", "file:wrong", "-out", name])
            .args(["-v2", "aes-256-cbc"].into_iter().filter(|_| name == "by-pbkdf2"))
            .args(derivation)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(written.status.success(), "{written:?}");
        fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let read = read_key(&at(name), Some(&at("wrong"))).unwrap();
        assert_eq!(read.public_key_spki(), made.public_key_spki());
    }
}

#[cfg(unix)]
#[test]
fn a_plain_key_needs_no_passphrase_and_takes_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("a.toml");
    secret::create(&folder.path().join("passphrase"), b"x\n", true).unwrap();
    let plain = KeyPlace::File { file: "key".into(), passphrase_file: None };
    let made = plain.generate(&config, Curve::P384).unwrap();
    assert_eq!(made.public_key_spki(), plain.load(&config).unwrap().public_key_spki());
    let with = KeyPlace::File { file: "key".into(), passphrase_file: Some("passphrase".into()) };
    assert_eq!(status(&with.load(&config).err().unwrap()), Some(Status::Usage));
}

#[test]
fn damaged_blocks_are_said() {
    assert!(decrypt("", "x").unwrap_err().contains("damaged"));
    let nonsense = koshin_issuance::pem("ENCRYPTED PRIVATE KEY", &[0x30, 0]);
    assert!(decrypt(&nonsense, "x").unwrap_err().contains("no encrypted key"));
}

#[test]
fn a_module_that_is_not_there_is_said() {
    let token = TokenPlace {
        module: "/nowhere/module.so".into(),
        token: "t".into(),
        label: "l".into(),
        pin_file: None,
        patience_seconds: 1,
    };
    let place = KeyPlace::Token(token);
    let error = place.load(Path::new("a.toml")).err().unwrap();
    assert_eq!(status(&error), Some(Status::NotFound), "{error}");
    let key = FileSigner::generate(Curve::P256, machine::random()).unwrap().0;
    let later = place.load_known(Path::new("a.toml"), key.public_key_spki()).unwrap();
    assert!(later.sign(b"x").unwrap_err().is_transient(), "it may come back");
}
