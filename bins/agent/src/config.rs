//! Which portals this program talks to. Two files say so: the administrator's, and the one that `register` writes for this user.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use koshin_types::Language;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};

use crate::{
    exit::{Fault, Status},
    http::Client,
    link::Kind,
    origin::Origin,
    places::{self, Places},
};

/// One portal, with all hosts it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Portal {
    /// The host for those who have a certificate.
    pub(crate) origin: Origin,
    /// The host for those who have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public: Option<Origin>,
    /// The host where a new certificate proves itself; without it, the one that the portal names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) activation: Option<Origin>,
    /// The only CAs that vouch for these hosts, in PEM; without it, those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
}

impl Portal {
    /// A client that trusts what vouches for this portal.
    pub(crate) fn client(&self, language: Language) -> anyhow::Result<Client> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = &self.ca {
            for certificate in certificates(pem)? {
                roots.add(certificate).context("a certificate of `ca` cannot be a trust anchor")?;
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            let (good, _) = roots.add_parsable_certificates(found.certs);
            if good == 0 {
                let reason = "this system has no list of trusted CAs; name the portal's with `register --ca FILE`";
                return Err(Fault::new(Status::Failure, reason).into());
            }
        }
        Ok(Client::new(roots, language))
    }

    fn host(&self, kind: Kind) -> Option<&Origin> {
        match kind {
            Kind::Renew => Some(&self.origin),
            Kind::Enrol => self.public.as_ref(),
        }
    }
}

/// The certificates in a PEM text: at least one.
pub(crate) fn certificates(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.context("the CA's file is no PEM")?;
    if found.is_empty() { Err(Fault::usage("the CA's file holds no certificate in PEM").into()) } else { Ok(found) }
}

/// Where keys are made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// In hardware where there is any, else with the browser's certificates.
    #[default]
    Auto,
    /// In hardware or nowhere.
    Hardware,
    /// With the browser's certificates, or in the system's store.
    System,
}

/// A smart card or another token, by its PKCS#11 module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Card {
    /// A shared library.
    pub(crate) module: PathBuf,
    /// The token's label.
    pub(crate) token: String,
    /// Whether no key leaves it. Modules that are known to be software are not believed.
    #[serde(default)]
    pub(crate) hardware: bool,
}

/// A configuration file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Choice>,
    /// Only in the administrator's file: confirmations may be answered by `--assume-yes`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    assume_yes: bool,
    /// Only in the administrator's file: the portals in it are the only ones.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    only_these_portals: bool,
    #[serde(rename = "portal")]
    portals: Vec<Portal>,
    /// Smart cards and other tokens.
    #[serde(rename = "card", skip_serializing_if = "Vec::is_empty")]
    cards: Vec<Card>,
}

/// What both files say together.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) portals: Vec<Portal>,
    pub(crate) store: Choice,
    pub(crate) cards: Vec<Card>,
    pub(crate) assume_yes: bool,
    only_these_portals: bool,
}

impl Config {
    /// Reads both files. Neither has to be there.
    pub(crate) fn read(places: &Places) -> anyhow::Result<Self> {
        let administrators = match places::administrators_file() {
            Some(path) => match read(path)? {
                Some(file) => {
                    only_root_writes(path)?;
                    file
                }
                None => File::default(),
            },
            None => File::default(),
        };
        let own = read(&places.config_file())?.unwrap_or_default();
        if own.assume_yes || own.only_these_portals {
            let path = places.config_file();
            let reason = format!("{}: only the administrator's file may say this", path.display());
            return Err(Fault::new(Status::NotPermitted, reason).into());
        }
        Ok(Self::joined(administrators, own))
    }

    /// What the administrator says comes first.
    fn joined(administrators: File, own: File) -> Self {
        let mut portals = administrators.portals;
        if !administrators.only_these_portals {
            for portal in own.portals {
                if portals.iter().all(|known| known.origin != portal.origin) {
                    portals.push(portal);
                }
            }
        }
        Self {
            portals,
            store: administrators.store.or(own.store).unwrap_or_default(),
            // A module is code that runs here: the user could run it anyhow.
            cards: [administrators.cards, own.cards].concat(),
            assume_yes: administrators.assume_yes,
            only_these_portals: administrators.only_these_portals,
        }
    }

    /// The portal that a link names.
    pub(crate) fn portal(&self, kind: Kind, host: &Origin) -> Option<&Portal> {
        self.portals.iter().find(|portal| portal.host(kind) == Some(host))
    }

    /// The portal of this main host.
    pub(crate) fn of_origin(&self, origin: &Origin) -> Option<&Portal> {
        self.portals.iter().find(|portal| portal.origin == *origin)
    }
}

fn read(path: &Path) -> anyhow::Result<Option<File>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let file =
        toml::from_str(&text).map_err(|error| Fault::usage(format!("{}: {}", path.display(), error.message())))?;
    Ok(Some(file))
}

/// Nobody but root may have written what an administrator says, nor put another file or folder in its place.
#[cfg(unix)]
fn only_root_writes(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    for place in path.ancestors() {
        let found = fs::symlink_metadata(place).with_context(|| format!("{} cannot be looked at", place.display()))?;
        if found.uid() != 0 || found.mode() & 0o022 != 0 || found.is_symlink() {
            let reason = format!(
                "{} counts only when {} belongs to root, is no link, and nobody else can write it",
                path.display(),
                place.display()
            );
            return Err(Fault::new(Status::NotPermitted, reason).into());
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn only_root_writes(path: &Path) -> anyhow::Result<()> {
    Err(Fault::new(Status::NotPermitted, format!("{} does not count on this system", path.display())).into())
}

/// Adds a portal to the user's own file, or replaces the one of the same origin.
pub(crate) fn add(places: &Places, portal: Portal) -> anyhow::Result<()> {
    let config = Config::read(places)?;
    if config.only_these_portals {
        let reason = "this computer's administrator has said which portals there are; no other can be added";
        return Err(Fault::new(Status::NotPermitted, reason).into());
    }
    change(places, |portals| {
        portals.retain(|known| known.origin != portal.origin);
        portals.push(portal);
    })
}

/// Takes a portal out of the user's own file, or all of them.
pub(crate) fn remove(places: &Places, origin: Option<&Origin>) -> anyhow::Result<()> {
    change(places, |portals| portals.retain(|known| origin.is_some_and(|origin| known.origin != *origin)))
}

fn change(places: &Places, change: impl FnOnce(&mut Vec<Portal>)) -> anyhow::Result<()> {
    let path = places.config_file();
    let mut file = read(&path)?.unwrap_or_default();
    change(&mut file.portals);
    let rest = File { portals: Vec::new(), ..File::default() };
    if toml::to_string(&file)? == toml::to_string(&rest)? {
        // Nothing is left to say; the folder goes when nobody else has put anything there.
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
        }
        _ = fs::remove_dir(&places.config);
        return Ok(());
    }
    places::make_private(&places.config)?;
    let text = toml::to_string(&file)?;
    places::write_private(&path, text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(origin: &str, public: Option<&str>) -> Portal {
        let read = |text: &str| text.parse().unwrap();
        Portal { origin: read(origin), public: public.map(read), activation: None, ca: None }
    }

    fn file(portals: Vec<Portal>) -> File {
        File { portals, ..File::default() }
    }

    #[test]
    fn only_configured_hosts_are_known_each_for_its_own_kind() {
        let own = file(vec![portal("https://portal.a.example", Some("https://public.a.example"))]);
        let config = Config::joined(File::default(), own);
        let known = |kind, host: &str| config.portal(kind, &host.parse().unwrap()).is_some();
        assert!(known(Kind::Renew, "https://portal.a.example") && known(Kind::Enrol, "https://public.a.example"));
        assert!(!known(Kind::Enrol, "https://portal.a.example") && !known(Kind::Renew, "https://public.a.example"));
        for foreign in ["https://portal.a.example:444", "https://a.example", "https://portal.a.example.evil.example"] {
            assert!(!known(Kind::Renew, foreign), "{foreign}");
        }
    }

    #[test]
    fn the_administrator_comes_first_and_may_be_alone() {
        let administrators = || file(vec![portal("https://a.example", Some("https://public.a.example"))]);
        let own = || file(vec![portal("https://a.example", None), portal("https://b.example", None)]);
        let both = Config::joined(administrators(), own());
        assert_eq!(
            both.portals,
            [portal("https://a.example", Some("https://public.a.example")), portal("https://b.example", None)]
        );
        let alone = Config::joined(File { only_these_portals: true, ..administrators() }, own());
        assert_eq!(alone.portals.len(), 1);
        assert!(!both.assume_yes && Config::joined(File { assume_yes: true, ..administrators() }, own()).assume_yes);
    }

    #[test]
    fn what_is_added_is_removed_again_exactly() {
        let home = tempfile::tempdir().unwrap();
        let places = Places { config: home.path().join("c"), state: home.path().join("s"), home: home.path().into() };
        let (a, b) = (portal("https://a.example", None), portal("https://b.example", None));
        add(&places, a.clone()).unwrap();
        add(&places, b.clone()).unwrap();
        add(&places, portal("https://a.example", Some("https://p.example"))).unwrap();
        assert_eq!(
            Config::read(&places).unwrap().portals,
            [b.clone(), portal("https://a.example", Some("https://p.example"))]
        );
        remove(&places, Some(&a.origin)).unwrap();
        assert_eq!(Config::read(&places).unwrap().portals, [b]);
        remove(&places, None).unwrap();
        assert!(!places.config.exists());
    }

    #[test]
    fn a_user_cannot_allow_to_be_asked_nothing() {
        let home = tempfile::tempdir().unwrap();
        let places = Places { config: home.path().into(), state: home.path().into(), home: home.path().into() };
        for line in ["assume_yes = true\nportal = []", "only_these_portals = true\nportal = []"] {
            fs::write(places.config_file(), line).unwrap();
            let error = Config::read(&places).unwrap_err();
            assert_eq!(error.downcast_ref::<Fault>().unwrap().status, Status::NotPermitted);
        }
        fs::write(places.config_file(), "portals = []").unwrap();
        assert!(Config::read(&places).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_write_is_not_the_administrators() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        fs::write(&path, "assume_yes = true").unwrap();
        // The folder for temporary files is everybody's, so even a file of root's in it is not enough.
        assert!(only_root_writes(&path).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(only_root_writes(&path).is_err());
        // The machine's own files are root's, all the way up.
        assert!(only_root_writes(Path::new("/etc/passwd")).is_ok());
    }
}
