//! The suite over each provider, in a system store and under names of the test's own.

use super::{CngKeyStore, CngProvider, KeyStore, Place, Provider};
use crate::conformance::{Case, Rig};

struct Cng(CngKeyStore);

impl Rig for Cng {
    fn store(&self) -> Box<dyn KeyStore> {
        Box::new(self.0.clone())
    }
}

impl Drop for Cng {
    fn drop(&mut self) {
        for entry in self.0.list().unwrap_or_default() {
            drop(self.0.remove(entry.id));
        }
    }
}

fn rig(name: &str, provider: CngProvider) -> Cng {
    let own = format!("koshin-test-{}-{}", std::process::id(), name.replace("::", "-"));
    let place = Place { certificates: own.clone(), authorities: format!("{own}-ca"), prefix: own };
    Cng(CngKeyStore { provider, place })
}

mod software {
    fn run(name: &str, case: super::Case) {
        case(&super::rig(name, super::CngProvider::Software));
    }

    crate::keystore_conformance!(run);
}

/// On a PC without a TPM the provider of its keys is not there, and what is asked of it fails.
mod platform {
    use super::{CngProvider, KeyStore as _, Provider};

    fn run(name: &str, case: super::Case) {
        let rig = super::rig(name, CngProvider::Platform);
        if Provider::open(CngProvider::Platform.name()).is_ok_and(|provider| provider.makes_p256()) {
            case(&rig);
        } else {
            assert!(rig.0.generate("no TPM").is_err());
        }
    }

    crate::keystore_conformance!(run);
}

#[test]
fn only_names_of_this_place_are_its_keys() {
    let place = Place { certificates: "MY".to_owned(), authorities: "CA".to_owned(), prefix: "koshin".to_owned() };
    let name = place.name([0xab; 16], "更新 U-1001/a");
    assert_eq!(name, format!("koshin-{}-更新 U-1001_a", "ab".repeat(16)));
    assert_eq!(place.label_in(&name), Some("更新 U-1001_a"));
    for foreign in ["koshin", "koshin-", "koshin-1-a", "koshin-test-1-2-3", "tq-abc", ""] {
        assert_eq!(place.label_in(foreign), None, "{foreign}");
    }
}
