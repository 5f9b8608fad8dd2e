//! The configuration file: read once, checked as a whole. Every complaint names file, key and reason.

pub(crate) mod edit;
mod load;
mod schema;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use koshin_endpoints::ca::{Client, IssuingProfile, KeyClass, Right};
use koshin_issuance::{Gate, KeyChoice, MailName, ProfileConfig};
use koshin_operator::{
    config::{self, Problems},
    evidence::fingerprint,
    instant, pem, profile,
};
use koshin_types::Fingerprint;
use time::{Duration, UtcDateTime};

use self::schema::{ClientTable, CrlTable, Listen, ProfileTable, RightName};
pub(crate) use self::{
    load::{Identity, Loaded, Opened},
    schema::{Authority, Config},
};
use crate::{exit, share::Span};

/// A configuration that was checked, with what follows from it alone. The files it names are not read yet.
pub(crate) struct Checked {
    pub(crate) file: PathBuf,
    pub(crate) config: Config,
    /// From when on each authority issues.
    issues_from: Vec<UtcDateTime>,
}

/// What a program is told that has no configuration.
const REMEDY: &str = "`koshin-ca init` makes one";
/// What the file is called.
pub(crate) const CONFIG: &str = "koshin-ca.toml";

impl Checked {
    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = config::read(file, REMEDY)?;
        Ok(Self::parse(file, &text)?)
    }

    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::new(file, exit::known);
        let config: Config = match config::tables(text) {
            Ok(config) => config,
            Err((key, reason)) => {
                problems.add(&key, &reason);
                return Err(problems);
            }
        };
        config.check(&mut problems);
        let mut issues_from = Vec::new();
        for (authority, at) in config.authorities.iter().zip(0..) {
            let from = authority.issues_from.as_deref().map_or(Ok(UtcDateTime::MIN), instant::parse);
            let from = problems.note(&format!("ca[{at}].issues_from"), from.map_err(anyhow::Error::msg));
            issues_from.push(from.unwrap_or(UtcDateTime::MIN));
        }
        if issues_from.iter().skip(1).any(|from| *from == UtcDateTime::MIN) || !issues_from.is_sorted_by(|a, b| a < b) {
            problems.add("ca", "every [[ca]] but the first needs issues_from, later than the one before it");
        }
        let checked = Self { file: file.to_owned(), config, issues_from };
        for (name, table) in &checked.config.profiles {
            if table.max_validity_days == 0 {
                problems.add(&format!("profiles.{name}.max_validity_days"), "0 would let nothing be issued");
            }
            // The URLs are those of the CA and of publication.url, which are checked where they stand.
            checked.profile(name, table, None, &mut problems);
        }
        problems.none()?;
        Ok(checked)
    }

    /// Which CA issues at an instant: the last one whose time has come, the first before any has.
    pub(crate) fn issuing(&self, now: UtcDateTime) -> usize {
        self.issues_from.iter().rposition(|from| *from <= now).unwrap_or_default()
    }

    /// When one of the CAs draws serial numbers.
    pub(crate) fn span(&self, at: usize) -> Span {
        let from = |at: usize| self.issues_from.get(at).copied().filter(|from| *from != UtcDateTime::MIN);
        Span { from: from(at), until: from(at + 1) }
    }

    /// What in this configuration a service cannot take up that works by another one: it takes a restart.
    pub(crate) fn unlike(&self, at_work: &Self) -> Vec<String> {
        let (new, old) = (&self.config, &at_work.config);
        let parts = [
            ("storage", new.storage != old.storage),
            ("listen", new.listen != old.listen),
            ("crl", new.crl != old.crl),
        ];
        let changed = |authority: &&Authority| {
            let same = |known: &&Authority| known.stem() == authority.stem();
            old.authorities.iter().find(same).is_some_and(|known| !known.is_like(authority))
        };
        let authorities = new.authorities.iter().filter(changed).map(|it| format!("the [[ca]] {}", it.stem()));
        parts
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(part, _)| format!("[{part}]"))
            .chain(authorities)
            .collect()
    }

    /// Whether it names the same CAs with the same turns.
    pub(crate) fn has_the_turns_of(&self, other: &Self) -> bool {
        self.config.authorities == other.config.authorities
    }

    /// Where the ledger is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path(&self.config.storage.database)
    }

    /// A path of the file: relative to its folder; `credential:NAME` is one that systemd hands over.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        config::resolve(&self.file, path)
    }

    /// The folder of the file.
    pub(crate) fn folder(&self) -> PathBuf {
        self.file.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// The file with every default filled in, as TOML.
    pub(crate) fn effective(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(&self.config)?)
    }

    /// What may be issued under each name, by one of the CAs.
    pub(crate) fn profiles(&self, authority: &Authority) -> anyhow::Result<BTreeMap<String, IssuingProfile>> {
        let mut problems = Problems::new(&self.file, exit::known);
        let mut profiles = BTreeMap::new();
        for (name, table) in &self.config.profiles {
            profiles.extend(
                self.profile(name, table, Some(authority), &mut problems).map(|profile| (name.clone(), profile)),
            );
        }
        problems.none()?;
        Ok(profiles)
    }

    fn profile(
        &self,
        name: &str,
        table: &ProfileTable,
        authority: Option<&Authority>,
        problems: &mut Problems,
    ) -> Option<IssuingProfile> {
        let below = |name: String| format!("{}/{name}", self.config.publication.url);
        let stem = authority.map(Authority::stem);
        let stem = stem.as_deref();
        let key = format!("profiles.{name}");
        let keys = profile::keys(&key, &table.keys, problems);
        let config = ProfileConfig {
            country: table.country.clone(),
            organizational_unit: table.organizational_unit.clone(),
            mail_name: if table.mail_in_certificate { MailName::Written } else { MailName::LeftOut },
            extended_key_usages: table.extended_key_usages.clone(),
            crl_urls: stem.map(|stem| below(format!("{stem}.crl"))).into_iter().collect(),
            ca_issuers_url: stem.map(|stem| below(format!("{stem}.cer"))),
            ocsp_url: stem.map(|stem| below(format!("ocsp/{stem}"))),
            policy_oids: table.policy_oids.clone(),
            cps_url: table.cps_url.clone(),
            keys: keys.clone().unwrap_or_default(),
            // max_validity_days limits what may be asked for.
            longest_days: None,
        };
        let profile = profile::profile(&key, config, problems);
        let (keys, profile) = (keys?, profile?);
        Some(IssuingProfile {
            max_validity: Duration::days(table.max_validity_days.into()),
            max_backdate: Duration::seconds(table.max_backdate_seconds.into()),
            keys: keys.into_iter().filter_map(class).collect(),
            ..IssuingProfile::new(profile)
        })
    }

    /// What requests have to pass: nothing is issued for a blocked key.
    pub(crate) fn gate(&self) -> anyhow::Result<Gate> {
        match &self.config.blocked_keys {
            Some(file) => profile::block(Gate::new(), &self.path(file)),
            None => Ok(Gate::new()),
        }
    }

    /// The RA clients, with the certificates that the file names.
    pub(crate) fn clients(&self, problems: &mut Problems) -> Vec<Client> {
        let tables = self.config.clients.iter();
        tables.filter_map(|(name, table)| self.client(name, table, problems)).collect()
    }

    fn client(&self, name: &str, table: &ClientTable, problems: &mut Problems) -> Option<Client> {
        let key = |part: &str| format!("clients.{name}.{part}");
        let mut certificates = BTreeSet::new();
        for file in &table.certificates {
            let der = problems.note(&key("certificates"), pem::certificate(&self.path(file)))?;
            certificates.insert(fingerprint(&der));
        }
        for text in &table.fingerprints {
            let hex: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
            let parsed = hex.parse::<Fingerprint>();
            certificates.insert(problems.note(&key("fingerprints"), parsed)?);
        }
        if certificates.is_empty() {
            problems.add(&format!("clients.{name}"), "no certificate and no fingerprint is named");
            return None;
        }
        let rights = table.rights.iter().map(|right| match right {
            RightName::Issue => Right::Issue,
            RightName::Revoke => Right::Revoke,
            RightName::Changes => Right::Changes,
        });
        Some(Client {
            name: name.to_owned(),
            certificates,
            profiles: table.profiles.iter().cloned().collect(),
            rights: rights.collect(),
        })
    }
}

impl Config {
    fn check(&self, problems: &mut Problems) {
        if self.authorities.is_empty() {
            problems.add("ca", "at least one [[ca]] is needed");
        }
        let mut stems = BTreeSet::new();
        for (authority, at) in self.authorities.iter().zip(0..) {
            let stem = authority.stem();
            if !stem.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) || stem.is_empty() {
                problems.add(
                    &format!("ca[{at}].certificate"),
                    "its file name becomes part of URLs: letters, digits, - _ and . only",
                );
            }
            if !stems.insert(stem.clone()) {
                problems.add(&format!("ca[{at}].certificate"), &format!("another CA is published as {stem} already"));
            }
        }
        let origin = self.publication.url.strip_prefix("http://");
        if !origin.is_some_and(|origin| !origin.is_empty() && !origin.contains('/')) {
            let url = &self.publication.url;
            problems.add(
                "publication.url",
                &format!("{url:?} is no http origin without a path, such as http://ca.example"),
            );
        }
        for (name, client) in &self.clients {
            for profile in client.profiles.iter().filter(|profile| !self.profiles.contains_key(*profile)) {
                problems.add(&format!("clients.{name}.profiles"), &format!("there is no profile {profile:?}"));
            }
        }
        let CrlTable { valid_hours, every_hours } = self.crl;
        if every_hours == 0 || every_hours * 2 > valid_hours {
            problems.add("crl", "every_hours has to be at least 1 and at most half of valid_hours");
        }
        let Listen { api, publication } = self.listen;
        if api == publication && api.port() != 0 {
            problems.add("listen.publication", &format!("{publication} is taken by listen.api"));
        }
    }
}

impl Authority {
    /// Whether it is the same but for its turn.
    fn is_like(&self, other: &Self) -> bool {
        Self { issues_from: None, ..self.clone() } == Self { issues_from: None, ..other.clone() }
    }

    /// What its files are called where they are published.
    pub(crate) fn stem(&self) -> String {
        self.certificate.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A word of the API's refusal; how many bits an RSA key needs is the profile's to say.
const fn class(choice: KeyChoice) -> Option<KeyClass> {
    match choice {
        KeyChoice::P256 => Some(KeyClass::P256),
        KeyChoice::P384 => Some(KeyClass::P384),
        KeyChoice::Rsa { .. } => Some(KeyClass::Rsa),
        _ => None,
    }
}

/// The configuration file that is meant when none is named.
pub(crate) fn find(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    config::find(named, "KOSHIN_CA_CONFIG", CONFIG, "make one with `koshin-ca init`")
}
