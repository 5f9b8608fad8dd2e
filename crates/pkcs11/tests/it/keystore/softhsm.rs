//! SoftHSM in the place of a smart card.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use koshin_keystore::{
    KeyStore, StoreError,
    conformance::{Authority, Case, Rig},
};
use koshin_pkcs11::{
    Pin,
    keystore::{CardConfig, ModuleKind, TokenKeyStore, Tries},
};
use koshin_types::ProtectionLevel;

use super::{alone, login::log_in, place};
use crate::bench::{Bench, SOFTHSM};

struct Card;

impl Rig for Card {
    fn store(&self) -> Box<dyn KeyStore> {
        Box::new(card("1234", ModuleKind::Software).0)
    }
}

/// The token, and how often its PIN was asked for.
fn card(pin: &str, kind: ModuleKind) -> (TokenKeyStore, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (pin, counter) = (Pin::new(pin), Arc::clone(&asked));
    let config = CardConfig {
        module: SOFTHSM.into(),
        token: "koshin-test".to_owned(),
        pin: Some(Arc::new(move |request| {
            assert_eq!(request.token, "koshin-test");
            counter.fetch_add(1, Ordering::SeqCst);
            Some(pin.clone())
        })),
        kind,
    };
    (TokenKeyStore::token(config).unwrap(), asked)
}

fn with_token(name: &str, case: impl FnOnce()) {
    if place().is_some() {
        return case();
    }
    let bench = Bench::new();
    let config = bench.path("softhsm2.conf");
    alone(name, config.parent().unwrap().as_os_str(), &[("SOFTHSM2_CONF", config.as_os_str())]);
}

fn run(name: &str, case: Case) {
    with_token(name, || case(&Card));
}

koshin_keystore::keystore_conformance!(run);

#[test]
fn a_wrong_pin_is_tried_once() {
    with_token(concat!(module_path!(), "::a_wrong_pin_is_tried_once"), || {
        let (store, asked) = card("9999", ModuleKind::Software);
        for _again in 0..5 {
            let refused = store.generate("key");
            assert!(matches!(&refused, Err(StoreError::Locked { .. })), "{refused:?}");
            assert!(!refused.unwrap_err().is_transient());
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // A person who tries again is told that it is no longer the first time.
        let tries = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&tries);
        let config = CardConfig {
            module: SOFTHSM.into(),
            token: "koshin-test".to_owned(),
            pin: Some(Arc::new(move |request| {
                seen.fetch_add(usize::from(request.tries == Tries::Fewer), Ordering::SeqCst);
                None
            })),
            kind: ModuleKind::Software,
        };
        let store = TokenKeyStore::token(config).unwrap();
        assert!(matches!(store.list(), Err(StoreError::Locked { .. })));
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        let (store, asked) = card("1234", ModuleKind::Software);
        let key = store.generate("key").unwrap();
        key.sign(b"message").unwrap();
        store.list().unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1, "one session serves all calls");
    });
}

#[test]
fn software_is_no_hardware() {
    with_token(concat!(module_path!(), "::software_is_no_hardware"), || {
        for kind in [ModuleKind::Software, ModuleKind::Hardware] {
            let (store, asked) = card("1234", kind);
            assert_eq!(store.protection(), ProtectionLevel::Os, "{kind:?}");
            assert_eq!(asked.load(Ordering::SeqCst), 0, "who made it is known without its PIN");
        }
        assert!(store_missing("another-token"));
        assert!(TokenKeyStore::token(named(Path::new("/nowhere/module.so"), "koshin-test")).is_err());
    });
}

fn store_missing(label: &str) -> bool {
    match TokenKeyStore::token(named(Path::new(SOFTHSM), label)) {
        Err(error) => error.is_transient(),
        Ok(_) => false,
    }
}

fn named(module: &Path, token: &str) -> CardConfig {
    CardConfig { module: module.to_owned(), token: token.to_owned(), pin: None, kind: ModuleKind::Software }
}

#[test]
fn a_key_in_the_card_logs_in() {
    with_token(concat!(module_path!(), "::a_key_in_the_card_logs_in"), || {
        let (store, _) = card("1234", ModuleKind::Software);
        let authority = Authority::default();
        let key = store.generate("U-1001").unwrap();
        let certificate = authority.certify(&key, "U-1001", 0x3001);
        store.install(key.id(), &certificate, &authority.chain()).unwrap();
        let found = store.key(key.id()).unwrap();
        assert_eq!(log_in(&found, &certificate, &authority), Ok(certificate.clone()));
        // And not after it was removed.
        store.remove(key.id()).unwrap();
        assert!(log_in(&found, &certificate, &authority).is_err());
    });
}

#[test]
fn a_key_of_another_maker_is_a_files() {
    with_token(concat!(module_path!(), "::a_key_of_another_maker_is_a_files"), || {
        // A key that was made outside, with its public key and certificate, under the identifier that stores give.
        let folder = place().unwrap();
        let (private, id) = super::nss::made_outside(&folder);
        let arguments =
            ["--import", &private, "--token", "koshin-test", "--label", "imported", "--id", &id, "--pin", "1234"];
        let (done, said) = super::foreign("softhsm2-util", &arguments, "softhsm2");
        assert!(done, "{said}");
        let (store, _) = card("1234", ModuleKind::Software);
        let key = store.key(id.parse().unwrap()).unwrap();
        assert_eq!(key.protection(), ProtectionLevel::File);
        assert_eq!(store.generate("own").unwrap().protection(), ProtectionLevel::Os);
    });
}

#[test]
fn what_a_killed_program_left_is_swept() {
    with_token(concat!(module_path!(), "::what_a_killed_program_left_is_swept"), || {
        // A pair as it is before its identifier is known; whoever made it was killed then.
        let nascent: String = b"koshin: not yet made".iter().map(|octet| format!("{octet:02x}")).collect();
        let pkcs11_tool = |arguments: &[&str]| {
            let token = ["--module", SOFTHSM, "--token-label", "koshin-test", "--login", "--pin", "1234"];
            let (done, said) = super::foreign("pkcs11-tool", &[&token, arguments].concat(), "opensc");
            assert!(done, "{said}");
            said
        };
        pkcs11_tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "left", "--id", &nascent]);
        let (store, _) = card("1234", ModuleKind::Software);
        assert_eq!(store.list().unwrap(), []);
        assert!(pkcs11_tool(&["--list-objects"]).contains(&nascent));
        let key = store.generate("made").unwrap();
        let objects = pkcs11_tool(&["--list-objects"]);
        assert!(objects.contains(&key.id().to_string()) && !objects.contains(&nascent), "{objects}");
    });
}
