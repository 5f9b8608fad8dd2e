//! Keys in a TPM: they log in, and nowhere else.

use std::{ffi::OsStr, fs, path::Path, process::Command};

use koshin_keystore::{
    KeyError, KeyId, KeyStore,
    conformance::{Authority, Case, Rig},
};
use koshin_pkcs11::keystore::{TokenKeyStore, TpmConfig, tpm_module};
use koshin_types::ProtectionLevel;
use tempfile::TempDir;

use super::{STEP, alone, login::log_in, place, swtpm::SoftTpm};

struct Tpm;

impl Rig for Tpm {
    fn store(&self) -> Box<dyn KeyStore> {
        Box::new(open())
    }
}

fn open() -> TokenKeyStore {
    TokenKeyStore::tpm(TpmConfig::new(tpm_module().expect("these tests need the Debian package libtpm2-pkcs11-1")))
}

/// Runs a test in a process of its own that sees this TPM and this home.
fn beside(tpm: &SoftTpm, home: &Path, name: &str, step: &str) {
    let mut variables = tpm.environment(home);
    variables.push((STEP, step.into()));
    let variables: Vec<(&str, &OsStr)> = variables.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
    alone(name, home.as_os_str(), &variables);
}

/// A home with a token in this TPM, as the commands in the documentation make it.
fn new_home(tpm: &SoftTpm) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".tpm2_pkcs11")).unwrap();
    for command in TpmConfig::new("module".into()).setup_commands() {
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).envs(tpm.environment(home.path()));
        let done = shell.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{command}: {said}; these tests need the Debian package libtpm2-pkcs11-tools");
    }
    home
}

fn run(name: &str, case: Case) {
    if place().is_some() {
        return case(&Tpm);
    }
    let tpm = SoftTpm::start();
    beside(&tpm, new_home(&tpm).path(), name, "");
}

koshin_keystore::keystore_conformance!(run);

#[test]
fn a_key_in_the_tpm_logs_in_on_this_pc_only() {
    let name = concat!(module_path!(), "::a_key_in_the_tpm_logs_in_on_this_pc_only");
    if let Some(home) = place() {
        return match std::env::var(STEP).unwrap().as_str() {
            "enrol" => enrol(&home),
            "log in" => log_in_with_what_is_there(&home),
            _ => be_refused(&home),
        };
    }
    let (here, there) = (SoftTpm::start(), SoftTpm::start());
    let home = new_home(&here);
    beside(&here, home.path(), name, "enrol");
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("home");
    assert!(Command::new("cp").arg("-a").arg(home.path()).arg(&copy).status().unwrap().success());
    // The whole home folder beside another TPM is of no use; beside this one it is, so it was not the copying.
    beside(&there, &copy, name, "be refused");
    beside(&here, &copy, name, "log in");
    beside(&here, home.path(), name, "log in");
    // And nothing is wrong with the other TPM.
    beside(&there, new_home(&there).path(), name, "enrol");
    beside(&there, home.path(), name, "be refused");
}

/// Makes a key and logs in with it.
fn enrol(home: &Path) {
    let store = open();
    assert_eq!(store.protection(), ProtectionLevel::Hardware);
    let id = store.generate("U-1001").unwrap().id();
    fs::write(home.join("key"), id.to_string()).unwrap();
    log_in_with_what_is_there(home);
}

fn log_in_with_what_is_there(home: &Path) {
    let (store, authority) = (open(), Authority::default());
    let key = store.key(known(home)).unwrap();
    assert_eq!(key.protection(), ProtectionLevel::Hardware);
    let certificate = authority.certify(&key, "U-1001", 0x4001);
    store.install(key.id(), &certificate, &authority.chain()).unwrap();
    assert_eq!(log_in(&key, &certificate, &authority), Ok(certificate));
}

fn be_refused(home: &Path) {
    let store = open();
    match store.key(known(home)) {
        Err(KeyError::Store(error)) => eprintln!("no key: {error:?}"),
        Err(error) => panic!("the files are there: {error}"),
        Ok(key) => {
            let authority = Authority::default();
            let certificate = authority.certify(&key, "U-1001", 0x4001);
            assert!(log_in(&key, &certificate, &authority).is_err());
            assert!(key.certification_request().is_err());
        }
    }
    assert!(store.generate("another").is_err());
}

fn known(home: &Path) -> KeyId {
    fs::read_to_string(home.join("key")).unwrap().parse().unwrap()
}

#[test]
fn a_token_that_is_not_there_is_named() {
    let name = concat!(module_path!(), "::a_token_that_is_not_there_is_named");
    if place().is_some() {
        let mut config = TpmConfig::new(tpm_module().unwrap());
        config.token = "another".to_owned();
        let missing = TokenKeyStore::tpm(config).list().unwrap_err();
        let source = std::error::Error::source(&missing).map(ToString::to_string).unwrap_or_default();
        assert!(missing.is_transient() && source.contains("\"koshin\""), "{missing:?}");
        return;
    }
    let tpm = SoftTpm::start();
    beside(&tpm, new_home(&tpm).path(), name, "");
}
