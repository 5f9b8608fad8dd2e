//! The store in memory.

use std::sync::Arc;

use koshin_keystore::{
    KeyStore, MemoryKeyStore,
    conformance::{Case, Rig},
};
use koshin_types::ProtectionLevel;

struct Memory(MemoryKeyStore);

impl Rig for Memory {
    fn store(&self) -> Box<dyn KeyStore> {
        Box::new(self.0.clone())
    }
}

fn run(_name: &str, case: Case) {
    let random = Arc::new(ring::rand::SystemRandom::new());
    case(&Memory(MemoryKeyStore::new(random, ProtectionLevel::File)));
}

koshin_keystore::keystore_conformance!(run);
