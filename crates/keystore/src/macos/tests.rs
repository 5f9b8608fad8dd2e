//! The suite in the Secure Enclave of the Mac that runs it, for a user without other identities; not run so far.

use super::{CtkKeyStore, KeyId, KeyStore, identifiers_in};
use crate::conformance::{Case, Rig};

struct Enclave;

impl Rig for Enclave {
    fn store(&self) -> Box<dyn KeyStore> {
        Box::new(CtkKeyStore)
    }
}

impl Drop for Enclave {
    fn drop(&mut self) {
        for entry in CtkKeyStore.list().unwrap_or_default() {
            drop(CtkKeyStore.remove(entry.id));
        }
    }
}

/// One case at a time: there is one Secure Enclave.
fn run(_name: &str, case: Case) {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock();
    let rig = Enclave;
    assert!(CtkKeyStore.list().unwrap().is_empty(), "these tests remove every identity of their user");
    case(&rig);
}

crate::keystore_conformance!(run);

#[test]
fn hashes_are_found_in_the_table() {
    let hash = "7A0B7B93DF197F903C5DC1C31B47B3C615D94E25";
    let table = format!("Key Type Public Key Hash Prot Label\np-256-ne {hash} none U-1001\n");
    assert_eq!(identifiers_in(&table), [hash.parse::<KeyId>().unwrap()].into());
}
