//! The key stores of this computer: which there are, and which one is for new keys.

use std::{error::Error, sync::Arc};

use koshin_keystore::{Entry, InstallError, KeyError, KeyPresence, KeyStore, SignError, StoreError, StoredCertificate};
use koshin_types::ProtectionLevel;

use crate::{
    ask::Asker,
    config::{Choice, Config},
    exit::{Fault, Status},
    places::Places,
    state::Held,
};

/// Those that can be reached, the best for new keys first, and why others cannot.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    all: Vec<Arc<dyn KeyStore>>,
    troubles: Vec<Trouble>,
    /// Configured cards that do not answer.
    missing: Vec<String>,
}

/// A store that cannot be reached.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    /// Why.
    pub(crate) says: String,
    /// What helps, where that is known.
    pub(crate) remedy: Option<String>,
}

impl From<String> for Trouble {
    fn from(says: String) -> Self {
        Self { says, remedy: None }
    }
}

impl Stores {
    /// Looks which stores there are.
    pub(crate) fn find(places: &Places, config: &Config, asker: &Arc<Asker>) -> Self {
        let mut stores = Self::default();
        #[cfg(target_os = "linux")]
        linux::find(&mut stores, places, config, asker);
        #[cfg(windows)]
        {
            use koshin_keystore::windows::{CngKeyStore, CngProvider};
            // Either one finds the keys of both; they differ in where new ones are made.
            let opened = match config.store {
                Choice::System => Ok(CngKeyStore::with(CngProvider::Software)),
                Choice::Auto | Choice::Hardware => CngKeyStore::open(),
            };
            match opened {
                Ok(store) => stores.take(store),
                Err(error) => stores.troubles.push(in_full(&error).into()),
            }
        }
        #[cfg(target_os = "macos")]
        stores.take(koshin_keystore::macos::CtkKeyStore);
        #[cfg(not(target_os = "linux"))]
        {
            // Both have their own way of asking for a PIN, and of finding the user's files.
            _ = (places, asker);
            if !config.cards.is_empty() {
                stores.troubles.push("cards are taken on Linux only".to_owned().into());
            }
        }
        stores
    }

    /// Takes a store in, if it answers.
    fn take(&mut self, store: impl KeyStore + 'static) {
        match store.list() {
            Ok(_) => self.all.push(Arc::new(store)),
            Err(error) => self.troubles.push(in_full(&error).into()),
        }
    }

    /// The stores themselves.
    pub(crate) fn all(&self) -> &[Arc<dyn KeyStore>] {
        &self.all
    }

    /// Why others cannot be reached, as the end of a sentence; empty when there is nothing to say.
    pub(crate) fn complaints(&self) -> String {
        let says: Vec<&str> = self.troubles.iter().map(|trouble| trouble.says.as_str()).collect();
        if says.is_empty() { String::new() } else { format!(" ({})", says.join("; ")) }
    }

    /// The same one by one.
    pub(crate) fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// All certificates of which the key is here, each with the name of its store.
    pub(crate) fn certificates(&self) -> Vec<(String, Entry)> {
        let mut found = Vec::new();
        for store in &self.all {
            let name = store.describe();
            for entry in store.list().unwrap_or_default() {
                if entry.key == KeyPresence::Here && entry.certificate.is_some() {
                    found.push((name.clone(), entry));
                }
            }
        }
        found
    }

    /// The store of this name.
    pub(crate) fn named(&self, name: &str) -> anyhow::Result<Arc<dyn KeyStore>> {
        let found = self.all.iter().find(|store| store.describe() == name).map(Arc::clone);
        found.ok_or_else(|| {
            let reason = format!("the key store that was begun with is not here now: {name}{}", self.complaints());
            Fault::new(Status::TryAgain, reason).into()
        })
    }

    /// A certificate that was seen before, and its store.
    pub(crate) fn held(&self, held: &Held) -> anyhow::Result<(Arc<dyn KeyStore>, StoredCertificate)> {
        let store = self.named(&held.store)?;
        let entries = store.list()?;
        let certificates = entries.into_iter().filter_map(|entry| entry.certificate);
        let found = certificates.into_iter().find(|certificate| certificate.fingerprint() == held.fingerprint);
        let certificate = found.ok_or_else(|| {
            Fault::new(Status::NotFound, format!("the certificate {} is no longer in {}", held.serial, held.store))
        })?;
        Ok((store, certificate))
    }

    /// Where new keys are made.
    pub(crate) fn for_new_keys(&self, choice: &Choice) -> anyhow::Result<Arc<dyn KeyStore>> {
        // Somebody wants keys on a card; a wrong PIN does not put them elsewhere.
        if let ([card, ..], Choice::Auto | Choice::Hardware) = (self.missing.as_slice(), choice) {
            return Err(
                Fault::new(Status::TryAgain, format!("the card that is configured cannot be used: {card}")).into()
            );
        }
        let fits = |store: &&Arc<dyn KeyStore>| match choice {
            Choice::Auto => true,
            Choice::Hardware => store.protection() == ProtectionLevel::Hardware,
            Choice::System => store.protection() != ProtectionLevel::Hardware,
        };
        self.all.iter().find(fits).map(Arc::clone).ok_or_else(|| {
            let reason = match choice {
                Choice::Hardware => "there is no hardware for keys here, and the configuration wants it",
                Choice::Auto | Choice::System => "there is no key store here that a browser reads",
            };
            Fault::new(Status::NotFound, format!("{reason}{}", self.complaints())).into()
        })
    }
}

/// The exit status of what a store says.
pub(crate) fn status(cause: &(dyn Error + 'static)) -> Option<Status> {
    let transient = cause.downcast_ref().map(StoreError::is_transient);
    let transient = transient.or_else(|| cause.downcast_ref().map(KeyError::is_transient));
    let transient = transient.or_else(|| cause.downcast_ref().map(SignError::is_transient));
    let transient = transient.or_else(|| cause.downcast_ref().map(InstallError::is_transient))?;
    Some(if transient { Status::TryAgain } else { Status::Failure })
}

/// An error with its causes.
fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{path::Path, sync::Arc};

    use koshin_pkcs11::{
        Pin,
        keystore::{
            CardConfig, ModuleKind, PinSource, Places as Folders, TokenKeyStore, TpmConfig, Tries, nss_folder,
            softoken, tpm_module,
        },
    };

    use super::{Stores, Trouble, in_full};
    use crate::{
        ask::Asker,
        config::Config,
        places::{Places, folder},
    };

    /// The TPM with its resource manager in the kernel.
    const TPM: &str = "/dev/tpmrm0";

    /// Cards that are configured come first, since somebody wanted them; then the TPM, then the browser's own store.
    pub(super) fn find(stores: &mut Stores, places: &Places, config: &Config, asker: &Arc<Asker>) {
        for card in &config.cards {
            let kind = if card.hardware { ModuleKind::Hardware } else { ModuleKind::Software };
            let (module, token) = (card.module.clone(), card.token.clone());
            let before = stores.troubles.len();
            match TokenKeyStore::token(CardConfig { module, token, pin: Some(pin(asker)), kind }) {
                Ok(store) => stores.take(store),
                Err(error) => stores.troubles.push(in_full(&error).into()),
            }
            let missing = stores.troubles.get(before).map(|trouble| trouble.says.clone());
            stores.missing.extend(missing);
        }
        // A TPM elsewhere than in the kernel is named by tpm2-pkcs11's own variable.
        if (Path::new(TPM).exists() || std::env::var_os("TPM2_PKCS11_TCTI").is_some())
            && let Some(module) = tpm_module()
        {
            let config = TpmConfig { pin: Some(pin(asker)), ..TpmConfig::new(module) };
            let remedy = config.setup_commands().join("; ");
            let before = stores.troubles.len();
            stores.take(TokenKeyStore::tpm(config));
            if let Some(trouble) = stores.troubles.get_mut(before) {
                trouble.remedy = Some(remedy);
            }
        }
        match softoken() {
            Some(module) => {
                let folders = Folders { home: places.home.clone(), data_home: folder("XDG_DATA_HOME") };
                stores.take(TokenKeyStore::nss(&nss_folder(&folders), &module, Some(pin(asker))));
            }
            None => stores.troubles.push(Trouble {
                says: "libsoftokn3.so was not found".to_owned(),
                remedy: Some("install libnss3".to_owned()),
            }),
        }
    }

    fn pin(asker: &Arc<Asker>) -> PinSource {
        let asker = Arc::clone(asker);
        Arc::new(move |request| asker.pin(request.token, request.tries == Tries::Fewer).map(|pin| Pin::new(&pin)))
    }
}
