//! The NSS database, as Chromium reads it, and as NSS's own tools see it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use koshin_keystore::{
    KeyId, KeyPresence, KeyStore, PublicPoint, StoreError,
    conformance::{Authority, Case, Rig},
};
use koshin_pkcs11::{
    Pin,
    keystore::{Places, TokenKeyStore, nss_folder, softoken},
};
use koshin_types::ProtectionLevel;

use super::{alone, foreign, login::log_in, place};

struct Nss(PathBuf);

impl Nss {
    fn folder(&self) -> PathBuf {
        nss_folder(&Places { home: self.0.clone(), data_home: None })
    }

    fn open(&self) -> TokenKeyStore {
        TokenKeyStore::nss(&self.folder(), &softoken().expect("these tests need the Debian package libnss3"), None)
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let database = format!("sql:{}", self.folder().display());
        foreign(program, &[arguments, &["-d", &database]].concat(), "libnss3-tools")
    }

    /// The path of a file in this home.
    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Rig for Nss {
    fn store(&self) -> Box<dyn KeyStore> {
        Box::new(self.open())
    }
}

/// In a process of its own, with a home of its own.
fn with_home(name: &str, case: impl FnOnce(&Nss)) {
    if let Some(home) = place() {
        return case(&Nss(home));
    }
    let home = tempfile::tempdir().unwrap();
    alone(name, home.path().as_os_str(), &[("HOME", home.path().as_os_str())]);
}

fn run(name: &str, case: Case) {
    with_home(name, |nss| case(nss));
}

koshin_keystore::keystore_conformance!(run);

/// A private key in PKCS#8 that openssl made, and its identifier.
pub(crate) fn made_outside(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (key, public) = (path("outside.pem"), path("outside.der"));
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key]);
    openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", &public]);
    let point = PublicPoint::from_spki(&fs::read(&public).unwrap()).unwrap();
    (key, KeyId::of_point(&point).to_string())
}

fn openssl(arguments: &[&str]) {
    let (done, said) = foreign("openssl", arguments, "openssl");
    assert!(done, "{said}");
}

#[test]
fn nss_tools_see_key_and_certificate() {
    with_home(concat!(module_path!(), "::nss_tools_see_key_and_certificate"), |nss| {
        assert!(nss.folder().ends_with(".local/share/pki/nssdb"));
        let authority = Authority::default();
        let (predecessor, successor) = {
            let store = nss.open();
            let keys = [store.generate("U-1001").unwrap(), store.generate("U-1001").unwrap()];
            for (serial, key) in [0x1001, 0x1002].into_iter().zip(&keys) {
                let certificate = authority.certify(key, "U-1001", serial);
                store.install(key.id(), &certificate, &authority.chain()).unwrap();
            }
            (keys[0].id(), keys[1].id())
        };
        let (done, keys) = nss.tool("certutil", &["-K"]);
        assert!(done && keys.contains(&predecessor.to_string()) && keys.contains(&successor.to_string()), "{keys}");
        // `u` says that NSS has found the private key of a certificate. Both have the same name, since they have the same subject.
        let (_, listed) = nss.tool("certutil", &["-L"]);
        assert_eq!(
            listed.lines().filter(|line| line.starts_with("U-1001") && line.contains("u,u,u")).count(),
            2,
            "{listed}"
        );
        assert!(listed.lines().any(|line| line.contains("Conformance CA")), "the chain: {listed}");
        assert!(!listed.contains("Conformance Root"), "what to trust is decided elsewhere: {listed}");

        nss.open().remove(predecessor).unwrap();
        let (_, keys) = nss.tool("certutil", &["-K"]);
        assert!(!keys.contains(&predecessor.to_string()) && keys.contains(&successor.to_string()), "{keys}");
        let (_, left) = nss.tool("certutil", &["-L", "-n", "U-1001"]);
        assert!(left.contains("4098 (0x1002)") && !left.contains("4097 (0x1001)"), "{left}");

        // The reason why these keys are never called bound to the PC: they are marked as not extractable, and come out.
        assert_eq!(nss.open().protection(), ProtectionLevel::Os);
        let file = nss.file("exported.p12");
        let (done, said) = nss.tool("pk12util", &["-o", &file, "-n", "U-1001", "-W", "secret", "-K", ""]);
        assert!(done && Path::new(&file).is_file(), "{said}");
    });
}

#[test]
fn a_key_in_nss_logs_in_and_so_does_its_copy() {
    with_home(concat!(module_path!(), "::a_key_in_nss_logs_in_and_so_does_its_copy"), |nss| {
        let authority = Authority::default();
        let (id, certificate) = {
            let store = nss.open();
            let key = store.generate("U-1001").unwrap();
            let certificate = authority.certify(&key, "U-1001", 1);
            store.install(key.id(), &certificate, &authority.chain()).unwrap();
            (key.id(), certificate)
        };
        let there = nss.0.join("another PC");
        let copied = Command::new("cp").arg("-a").arg(nss.folder().parent().unwrap()).arg(&there).status();
        assert!(copied.unwrap().success());
        for folder in [nss.folder(), there.join("nssdb")] {
            let store = TokenKeyStore::nss(&folder, &softoken().unwrap(), None);
            let key = store.key(id).unwrap();
            assert_eq!(log_in(&key, &certificate, &authority), Ok(certificate.clone()), "{}", folder.display());
        }
    });
}

#[test]
fn the_file_of_the_page_is_found_and_said_to_be_one() {
    with_home(concat!(module_path!(), "::the_file_of_the_page_is_found_and_said_to_be_one"), |nss| {
        drop(nss.open().list().unwrap());
        let (private, id) = made_outside(&nss.0);
        let (certificate, file) = (nss.file("outside.crt"), nss.file("outside.p12"));
        let request = ["req", "-x509", "-new", "-key", &private, "-subj", "/CN=U-1001", "-out", &certificate];
        openssl(&[&request[..], &["-addext", "basicConstraints=critical,CA:FALSE"]].concat());
        let pack =
            ["pkcs12", "-export", "-inkey", &private, "-in", &certificate, "-passout", "pass:secret", "-out", &file];
        openssl(&pack);
        let (done, said) = nss.tool("pk12util", &["-i", &file, "-W", "secret", "-K", ""]);
        assert!(done, "{said}");

        let store = nss.open();
        let entries = store.list().unwrap();
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!((entries[0].id.to_string(), entries[0].key), (id, KeyPresence::Here));
        let key = store.key(entries[0].id).unwrap();
        assert_eq!(key.protection(), ProtectionLevel::File, "nobody knows what became of the file");
        key.sign(b"message").unwrap();
    });
}

#[test]
fn a_database_with_a_password_asks_for_it() {
    with_home(concat!(module_path!(), "::a_database_with_a_password_asks_for_it"), |nss| {
        fs::create_dir_all(nss.folder()).unwrap();
        fs::write(nss.0.join("password"), "master\n").unwrap();
        let (done, said) = nss.tool("certutil", &["-N", "-f", &nss.file("password")]);
        assert!(done, "{said}");
        let open = |pin: Option<&'static str>| {
            let ask = move |_: &koshin_pkcs11::keystore::PinRequest<'_>| pin.map(Pin::new);
            TokenKeyStore::nss(&nss.folder(), &softoken().unwrap(), Some(std::sync::Arc::new(ask)))
        };
        for pin in [None, Some("wrong")] {
            let refused = open(pin).generate("key");
            assert!(matches!(&refused, Err(StoreError::Locked { .. })), "{pin:?}: {refused:?}");
        }
        let store = open(Some("master"));
        let key = store.generate("key").unwrap();
        assert_eq!(store.list().unwrap()[0].id, key.id());
    });
}

#[test]
fn one_process_uses_one_database_at_a_time() {
    with_home(concat!(module_path!(), "::one_process_uses_one_database_at_a_time"), |nss| {
        let first = nss.open();
        let key = first.generate("first").unwrap();
        // Another folder would silently be the first one.
        let elsewhere = TokenKeyStore::nss(&nss.0.join("it's another"), &softoken().unwrap(), None);
        let refused = elsewhere.list();
        assert!(refused.as_ref().is_err_and(StoreError::is_transient), "{refused:?}");
        // The same one twice is no trouble, in any order.
        let again = nss.open();
        assert_eq!(again.list().unwrap().len(), 1);
        drop(first);
        assert_eq!(again.list().unwrap().len(), 1);
        key.sign(b"message").unwrap();
        drop((again, key));
        assert_eq!(elsewhere.list().unwrap(), []);
        assert!(nss.0.join("it's another/key4.db").is_file());
    });
}
