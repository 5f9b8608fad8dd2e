use std::{
    cell::Cell,
    collections::BTreeSet,
    ffi::OsString,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use koshin_ra::NoEntropy;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SerialNumber};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;

use super::{Identity, Imported, Removed, database_of, import, remove};
use crate::p12;

const PASSPHRASE: &str = "k7mq-2xvf-9abc-defg-hijk";

#[test]
fn chromiums_rule_finds_the_database() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    assert_eq!(database_of(home, None), home.join(".local/share/pki/nssdb"));
    assert_eq!(database_of(home, Some("/data".into())), Path::new("/data/pki/nssdb"));
    assert_eq!(database_of(home, Some(OsString::new())), home.join(".local/share/pki/nssdb"));
    assert_eq!(database_of(home, Some("relative".into())), home.join(".local/share/pki/nssdb"));
    std::fs::create_dir_all(home.join(".pki/nssdb")).unwrap();
    assert_eq!(database_of(home, Some("/data".into())), home.join(".pki/nssdb"));
}

#[test]
fn import_makes_the_database_and_the_keys_are_usable() {
    let demo = Demo::new();
    let identities = [demo.identity("A123", 2), demo.identity("U4567", 3)];
    let asked = Cell::new(String::new());
    let imported = demo.import(&identities, |question| {
        asked.set(question.to_owned());
        true
    });
    assert_eq!(imported, Imported::Added { certificates: 4, present: 0 });
    let question = asked.take();
    assert!(question.contains(&demo.database.display().to_string()), "{question}");
    assert!(question.contains("4 certificates"), "{question}");

    let listed = demo.certutil(&["-L"]);
    assert_eq!(listed.lines().filter(|line| line.ends_with("u,u,u")).count(), 2, "{listed}");
    let trusted = listed.lines().filter(|line| line.trim_end().ends_with("C,,")).collect::<Vec<_>>();
    assert_eq!(trusted.len(), 1, "{listed}");
    assert!(trusted[0].starts_with("Koshin demo server CA "), "{listed}");
    assert_eq!(mode(&demo.database), 0o700);
    assert_eq!(mode(&demo.record()), 0o600);
    let record = std::fs::read_to_string(demo.record()).unwrap();
    assert!(record.contains("A123") && record.contains("U4567"), "{record}");
    assert!(!record.contains(PASSPHRASE), "{record}");
}

#[test]
fn a_second_import_asks_nothing_and_changes_nothing() {
    let demo = Demo::new();
    let identities = [demo.identity("A123", 2)];
    demo.import(&identities, |_| true);
    let (listed, record) = (demo.everything(), std::fs::read(demo.record()).unwrap());
    let again = demo.import(&identities, |question| panic!("{question}"));
    assert_eq!(again, Imported::Present { certificates: 3 });
    assert_eq!(demo.everything(), listed);
    assert_eq!(std::fs::read(demo.record()).unwrap(), record);
}

#[test]
fn a_later_import_adds_only_what_is_new_and_one_removal_undoes_both() {
    let demo = Demo::new();
    let first = demo.identity("A123", 2);
    demo.import(std::slice::from_ref(&first), |_| true);
    let both = [first, demo.identity("A123", 3)];
    assert_eq!(demo.import(&both, |_| true), Imported::Added { certificates: 1, present: 3 });
    assert_eq!(remove(&demo.record()).unwrap(), Removed { certificates: 4, gone: 0, left: vec![] });
    assert!(demo.is_empty());
}

#[test]
fn a_no_touches_nothing() {
    let demo = Demo::new();
    assert_eq!(demo.import(&[demo.identity("A123", 2)], |_| false), Imported::Declined);
    assert!(!demo.database.exists());
    assert!(!demo.record().exists());
}

#[test]
fn removal_takes_all_of_ours_and_leaves_the_foreign_of_the_same_subject() {
    let demo = Demo::new();
    demo.make_database();
    // The same subject: NSS gives all of them one nickname.
    let older = demo.identity("A123", 1);
    demo.pk12util(&older);
    let stranger = demo.identity("Somebody", 7);
    demo.pk12util(&stranger);
    let before = demo.everything();

    // Ours, with a foreign one that comes in between and after.
    demo.import(&[demo.identity("A123", 2), demo.identity("A123", 3), demo.identity("U4567", 4)], |_| true);
    assert_ne!(demo.everything(), before);
    let removed = remove(&demo.record()).unwrap();
    // The client CA came with the foreign files, so it is not ours to remove.
    assert_eq!(removed, Removed { certificates: 4, gone: 0, left: vec![] });
    assert_eq!(demo.everything(), before);
    assert!(!demo.record().exists());
}

#[test]
fn a_foreign_certificate_imported_later_stays_with_its_key() {
    let demo = Demo::new();
    demo.import(&[demo.identity("A123", 2)], |_| true);
    let renewed = demo.identity("A123", 5);
    demo.pk12util(&renewed);
    remove(&demo.record()).unwrap();
    let keys = demo.certutil(&["-K"]);
    assert_eq!(keys.lines().filter(|line| line.starts_with('<')).count(), 1, "{keys}");
    let listed = demo.certutil(&["-L"]);
    assert_eq!(listed.lines().filter(|line| line.ends_with("u,u,u")).count(), 1, "{listed}");
}

#[test]
fn what_was_there_before_stays_even_if_it_is_the_same() {
    let demo = Demo::new();
    demo.make_database();
    let person = demo.identity("A123", 2);
    demo.pk12util(&person);
    let before = demo.everything();
    assert_eq!(demo.import(&[person], |_| true), Imported::Added { certificates: 1, present: 2 });
    assert_eq!(remove(&demo.record()).unwrap(), Removed { certificates: 1, gone: 0, left: vec![] });
    assert_eq!(demo.everything(), before);
}

#[test]
fn a_certificate_that_shares_its_key_with_a_foreign_one_is_left_and_named() {
    let demo = Demo::new();
    let (key, _) = p12::new_key_and_request().unwrap();
    demo.import(&[demo.identity_of("A123", 2, &key)], |_| true);
    demo.pk12util(&demo.identity_of("A123", 3, &key));
    let removed = remove(&demo.record()).unwrap();
    assert_eq!(removed, Removed { certificates: 2, gone: 0, left: vec!["A123".to_owned()] });
    assert!(demo.certutil(&["-K"]).contains("< 0>"));
    let mut serials: Vec<_> = demo.everything().certificates.into_iter().map(|one| one.serial).collect();
    serials.sort();
    assert_eq!(serials, ["02", "03"]);
    // It stays on record, alone.
    let record = std::fs::read_to_string(demo.record()).unwrap();
    assert_eq!(record.matches("key_id").count(), 1, "{record}");
}

#[test]
fn removal_may_be_repeated_and_bears_what_is_gone() {
    let demo = Demo::new();
    assert_eq!(remove(&demo.record()).unwrap(), Removed::default());
    demo.import(&[demo.identity("A123", 2)], |_| true);
    let record = std::fs::read(demo.record()).unwrap();
    assert_eq!(remove(&demo.record()).unwrap().certificates, 3);
    assert_eq!(remove(&demo.record()).unwrap(), Removed::default());

    std::fs::write(demo.record(), &record).unwrap();
    assert_eq!(remove(&demo.record()).unwrap(), Removed { certificates: 0, gone: 3, left: vec![] });
    std::fs::write(demo.record(), &record).unwrap();
    std::fs::remove_dir_all(&demo.database).unwrap();
    assert_eq!(remove(&demo.record()).unwrap(), Removed { certificates: 0, gone: 3, left: vec![] });
    assert!(!demo.record().exists());
}

#[test]
fn a_record_of_another_database_is_not_overwritten() {
    let demo = Demo::new();
    let identities = [demo.identity("A123", 2)];
    demo.import(&identities, |_| true);
    let other = demo.folder.path().join("other");
    let error = import(&other, &demo.record(), &demo.ca_pem, &identities, |_| true).unwrap_err();
    assert!(error.to_string().contains("remove that one first"), "{error}");
    assert!(!other.exists());
}

#[test]
fn a_database_with_a_password_fails_without_asking_for_it() {
    let demo = Demo::new();
    std::fs::create_dir_all(&demo.database).unwrap();
    let password = demo.folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    demo.certutil(&["-N", "-f", password.to_str().unwrap()]);
    let error = demo.try_import(&[demo.identity("A123", 2)], |_| true).unwrap_err();
    assert!(format!("{error:#}").contains("SEC_ERROR_BAD_PASSWORD"), "{error:#}");
}

#[test]
fn a_wrong_passphrase_is_found_before_anything_is_touched() {
    let demo = Demo::new();
    let mut person = demo.identity("A123", 2);
    person.passphrase = "wrong".to_owned();
    let error = demo.try_import(&[person], |question| panic!("{question}")).unwrap_err();
    assert!(format!("{error:#}").contains("A123-2.p12"), "{error:#}");
    assert!(!demo.database.exists());
}

/// A home with a demo in it: its CAs, and where its record and database would be.
struct Demo {
    folder: TempDir,
    database: PathBuf,
    ca_pem: PathBuf,
    client_ca: Issuer<'static, KeyPair>,
    client_ca_der: Vec<u8>,
}

impl Demo {
    fn new() -> Self {
        // A blank and a quotation mark, as a home may have them.
        let folder = tempfile::Builder::new().prefix("it's a home ").tempdir().unwrap();
        let (server_ca, _) = authority("Koshin demo server CA");
        let ca_pem = folder.path().join("ca.pem");
        std::fs::write(&ca_pem, server_ca.pem()).unwrap();
        let (client_ca_certificate, client_ca) = authority("Koshin demo client CA");
        let client_ca_der = client_ca_certificate.der().to_vec();
        let database = database_of(folder.path(), None);
        Self { folder, database, ca_pem, client_ca, client_ca_der }
    }

    fn identity(&self, id: &str, serial: u64) -> Identity {
        self.identity_of(id, serial, &p12::new_key_and_request().unwrap().0)
    }

    fn identity_of(&self, id: &str, serial: u64, key: &[u8]) -> Identity {
        let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key)).unwrap();
        let mut person = named(id);
        person.serial_number = Some(SerialNumber::from(serial));
        let certificate = person.signed_by(&pair, &self.client_ca).unwrap().der().to_vec();
        let chain = [self.client_ca_der.clone()];
        let name = format!("{id} serial {serial}");
        let file = p12::pkcs12(key, &certificate, &chain, PASSPHRASE, &name, random).unwrap();
        let path = self.folder.path().join(format!("{id}-{serial}.p12"));
        std::fs::write(&path, &*file).unwrap();
        Identity { p12: path, passphrase: PASSPHRASE.to_owned(), label: id.to_owned() }
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("nss-import.json")
    }

    fn import(&self, identities: &[Identity], ask: impl FnOnce(&str) -> bool) -> Imported {
        self.try_import(identities, ask).unwrap()
    }

    fn try_import(&self, identities: &[Identity], ask: impl FnOnce(&str) -> bool) -> anyhow::Result<Imported> {
        import(&self.database, &self.record(), &self.ca_pem, identities, ask)
    }

    fn make_database(&self) {
        std::fs::create_dir_all(&self.database).unwrap();
        self.certutil(&["-N", "--empty-password"]);
    }

    fn certutil(&self, arguments: &[&str]) -> String {
        self.tool("certutil", arguments)
    }

    /// As the user imports a file by hand.
    fn pk12util(&self, person: &Identity) {
        self.tool("pk12util", &["-i", person.p12.to_str().unwrap(), "-W", &person.passphrase]);
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let database = format!("sql:{}", self.database.display());
        let output = Command::new(name).args(arguments).args(["-d", &database]).output().unwrap();
        let (said, listed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success() || listed.contains("no keys found"), "{name} {arguments:?}: {said}");
        listed.into_owned()
    }

    fn everything(&self) -> Everything {
        let mut keys: Vec<String> = self.certutil(&["-K"]).split_whitespace().map(str::to_owned).collect();
        keys.retain(|word| word.len() == 40);
        keys.sort();
        let certificates = super::Database::new(&self.database).certificates().unwrap();
        Everything { certificates, listed: self.certutil(&["-L"]), keys }
    }

    fn is_empty(&self) -> bool {
        let Everything { certificates, keys, .. } = self.everything();
        certificates.is_empty() && keys.is_empty()
    }
}

/// What a database holds.
#[derive(Debug, PartialEq, Eq)]
struct Everything {
    certificates: BTreeSet<super::Certificate>,
    /// `certutil -L`, with the trust flags.
    listed: String,
    /// Key ids.
    keys: Vec<String>,
}

fn authority(name: &str) -> (rcgen::Certificate, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = named(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (parameters.self_signed(&key).unwrap(), Issuer::new(parameters, key))
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn random(octets: &mut [u8]) -> Result<(), NoEntropy> {
    koshin_operator::machine::entropy(octets).map_err(|_| NoEntropy)
}
