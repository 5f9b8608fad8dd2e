//! What stands in the certificates of a configuration, and the keys that nothing is issued for.

use std::{fs, path::Path};

use anyhow::Context as _;
use koshin_issuance::{Gate, KeyChoice, Profile, ProfileConfig};

use crate::config::Problems;

/// The words for every kind of key that can be issued for at all.
pub fn all_keys() -> Vec<String> {
    ["P-256", "P-384", "RSA-2048"].map(str::to_owned).into()
}

/// The kinds of keys that these words name; `None` after a problem, which is noted below `table`.
pub fn keys(table: &str, words: &[String], problems: &mut Problems) -> Option<Vec<KeyChoice>> {
    let key = format!("{table}.keys");
    if words.is_empty() {
        problems.add(&key, "no kind of key is named; leave it out to take every one");
        return None;
    }
    let read: Vec<_> = words
        .iter()
        .map(|word| problems.note(&key, word.parse::<KeyChoice>().with_context(|| format!("{word:?}"))))
        .collect();
    read.into_iter().collect()
}

/// The profile of these settings; `None` after problems. Each is checked by itself and noted under its own key below
/// `table`, so that all that is wrong is said at once.
pub fn profile(table: &str, config: ProfileConfig, problems: &mut Problems) -> Option<Profile> {
    let none = ProfileConfig::default;
    let alone = [
        ("country", ProfileConfig { country: config.country.clone(), ..none() }),
        ("organizational_unit", ProfileConfig { organizational_unit: config.organizational_unit.clone(), ..none() }),
        ("extended_key_usages", ProfileConfig { extended_key_usages: config.extended_key_usages.clone(), ..none() }),
        ("crl_urls", ProfileConfig { crl_urls: config.crl_urls.clone(), ..none() }),
        ("ca_issuers_url", ProfileConfig { ca_issuers_url: config.ca_issuers_url.clone(), ..none() }),
        ("ocsp_url", ProfileConfig { ocsp_url: config.ocsp_url.clone(), ..none() }),
    ];
    let mut good = true;
    for (setting, alone) in alone {
        good &= check(table, setting, alone, problems);
    }
    let policies = ProfileConfig { policy_oids: config.policy_oids.clone(), ..none() };
    let good = check(table, "policy_oids", policies.clone(), problems)
        // A practice statement belongs to a policy.
        && check(table, "cps_url", ProfileConfig { cps_url: config.cps_url.clone(), ..policies }, problems)
        && good;
    if good { problems.note(table, Profile::new(config)) } else { None }
}

fn check(table: &str, setting: &str, alone: ProfileConfig, problems: &mut Problems) -> bool {
    problems.note(&format!("{table}.{setting}"), Profile::new(alone)).is_some()
}

/// The gate that refuses the keys of a block list, too: one SHA-256 of a `SubjectPublicKeyInfo` a line.
///
/// # Errors
///
/// When the file cannot be read, or the first line that is no fingerprint.
pub fn block(gate: Gate, file: &Path) -> anyhow::Result<Gate> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    gate.with_block_list(&text).with_context(|| format!("{name} is no block list"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    fn said(config: ProfileConfig, words: &[&str]) -> String {
        let mut problems = Problems::new(Path::new("a.toml"), exit::none);
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let keys = keys("ca", &words, &mut problems);
        let made = profile("ca", config, &mut problems);
        assert_eq!(keys.is_some() && made.is_some(), problems.is_empty());
        problems.to_string()
    }

    #[test]
    fn each_setting_is_named_that_cannot_be_used() {
        let all: Vec<_> = all_keys();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        assert_eq!(said(ProfileConfig::default(), &all), "");
        let wrong = ProfileConfig {
            country: Some("Japan".into()),
            organizational_unit: Some(String::new()),
            extended_key_usages: vec!["1.3.6.1.5.5.7.3.1".into()],
            crl_urls: vec!["https://x".into()],
            ca_issuers_url: Some("x".into()),
            ocsp_url: Some("x".into()),
            policy_oids: vec!["1.2.x".into()],
            ..ProfileConfig::default()
        };
        let said = said(wrong, &["P-256", "rsa", "p256"]);
        let keys: Vec<_> = said.lines().filter_map(|line| line.split(": ").nth(1)).collect();
        let settings = [
            "keys",
            "keys",
            "country",
            "organizational_unit",
            "extended_key_usages",
            "crl_urls",
            "ca_issuers_url",
            "ocsp_url",
            "policy_oids",
        ];
        assert_eq!(keys, settings.map(|setting| format!("ca.{setting}")), "{said}");
        assert!(said.contains("\"rsa\": a kind of key is P-256, P-384, or RSA-"), "{said}");
    }

    #[test]
    fn a_practice_statement_needs_its_policy() {
        let config = |policies: &[&str]| ProfileConfig {
            cps_url: Some("https://ca.example/cps".into()),
            policy_oids: policies.iter().map(|oid| (*oid).to_owned()).collect(),
            ..ProfileConfig::default()
        };
        assert!(said(config(&[]), &["P-256"]).starts_with("a.toml: ca.cps_url: "));
        assert_eq!(said(config(&["1.2.3"]), &["RSA-3072"]), "");
        assert!(said(config(&["1.2.3"]), &[]).starts_with("a.toml: ca.keys: no kind"));
    }

    #[test]
    fn a_block_list_that_is_none_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("blocked");
        let failed = |file: &Path| format!("{:#}", block(Gate::new(), file).unwrap_err());
        assert!(failed(&file).contains("blocked cannot be read"));
        fs::write(&file, format!("# known\n{}\nx\n", "0a".repeat(32))).unwrap();
        assert!(failed(&file).contains("line 3"), "{}", failed(&file));
        fs::write(&file, format!("{}  # known\n", "0a".repeat(32))).unwrap();
        assert!(block(Gate::new(), &file).is_ok());
    }
}
