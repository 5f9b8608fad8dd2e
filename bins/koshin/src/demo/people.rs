//! The people of the demonstration, and how they came to their certificates: by enrolling, like everybody, on days
//! that lie in the past.

use std::{fs, path::Path, sync::Arc};

use anyhow::Context as _;
use koshin_expiry::ValidityRule;
use koshin_issuance::Gate;
use koshin_notify::{Mailbox, Mailer, Sender};
use koshin_operator::zone::NamedZone;
use koshin_ra::{Actor, Organization, Passwords, Ra, Settings, Subject};
use koshin_types::{Language, ProtectionLevel, Role, SubjectId};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime, Time, UtcDateTime};

use super::site::{self, Site};
use crate::{clock::entropy, p12};

/// Written when everybody has enrolled.
pub(crate) const FILE: &str = "demo.json";
const PEOPLE: &str = "people";
const ORGANIZATION: &str = "C-2001";

/// Who they are: ID, role, days until the certificate's last day (none: not yet enrolled), name in both languages.
const CAST: [(&str, Role, Option<i64>, &str, &str); 5] = [
    ("A-0001", Role::Administrator, Some(200), "管理 花子", "Hanako Kanri"),
    ("U-0030", Role::User, Some(30), "更新 太郎", "Taro Koshin"),
    ("U-0008", Role::User, Some(8), "期限 次郎", "Jiro Kigen"),
    ("U-0003", Role::User, Some(-3), "満了 三郎", "Saburo Manryo"),
    ("U-0100", Role::User, None, "新規 四郎", "Shiro Shinki"),
];

/// What the demonstration remembers of its people, beside the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct People {
    pub(crate) mailbox_token: String,
    pub(crate) people: Vec<Person>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) language: String,
    pub(crate) name: String,
    pub(crate) password: String,
    /// The file with key and certificate, in the demo's folder; none for the one not yet enrolled.
    pub(crate) p12: Option<String>,
    pub(crate) p12_passphrase: Option<String>,
    /// The local date of notAfter.
    pub(crate) last_day: Option<String>,
    /// The last second of the certificate, in seconds since 1970.
    pub(crate) not_after: Option<i64>,
}

/// Reads who the people are, or lets them enrol.
pub(crate) async fn settle(
    site: &Site,
    folder: &Path,
    sender: &Sender,
    zone: &NamedZone,
    language: Language,
    now: UtcDateTime,
) -> anyhow::Result<People> {
    let file = folder.join(FILE);
    if file.exists() {
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        return serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()));
    }
    fs::create_dir_all(folder.join(PEOPLE)).context("the folder for the people's files cannot be made")?;
    let town = Town::new(site, sender, zone, language)?;
    town.found(now).await?;
    let mut people = Vec::new();
    for (id, role, days, ja, en) in CAST {
        let name = if language == Language::Ja { ja } else { en };
        let mut person = town.register(id, role, name, now).await?;
        match days {
            Some(days) => town.enrol(&mut person, days, folder, now).await?,
            None => drop(town.ra.administration().permit(&id.parse()?, &operator(), now).await?),
        }
        people.push(person);
    }
    let people = People { mailbox_token: hex(&random_octets::<16>()?), people };
    site::write_private(&file, &serde_json::to_vec_pretty(&people)?)?;
    Ok(people)
}

/// The past in which the people enrolled.
struct Town<'a> {
    ra: Ra,
    mailer: Mailer<Arc<koshin_sqlite::Store>, Mailbox>,
    mailbox: Mailbox,
    zone: &'a NamedZone,
    language: Language,
}

impl<'a> Town<'a> {
    fn new(site: &Site, sender: &Sender, zone: &'a NamedZone, language: Language) -> anyhow::Result<Self> {
        let store = &site.store;
        let ra = Ra::new(
            store.clone(),
            store.clone(),
            store.clone(),
            Arc::clone(&site.ca),
            Arc::new(Gate::new()),
            site::policy(zone, ValidityRule::Days(YEAR))?,
            Passwords::new(&random_octets()?)?,
            entropy,
            Settings::default(),
        );
        let mailbox = Mailbox::default();
        let mailer = Mailer::new(Arc::clone(store), mailbox.clone(), sender.clone());
        Ok(Self { ra, mailer, mailbox, zone, language })
    }

    async fn found(&self, now: UtcDateTime) -> anyhow::Result<()> {
        let name = if self.language == Language::Ja { "更新商店株式会社" } else { "Koshin Trading Co., Ltd." };
        let organization = Organization { id: ORGANIZATION.parse()?, name: name.into() };
        Ok(self.ra.administration().add_organization(&organization, &operator(), now).await?)
    }

    async fn register(&self, id: &str, role: Role, name: &str, now: UtcDateTime) -> anyhow::Result<Person> {
        let id: SubjectId = id.parse()?;
        let subject = Subject {
            id: id.clone(),
            organization: ORGANIZATION.parse()?,
            role,
            name: name.into(),
            language: self.language,
            address: Some(format!("{}@example.co.jp", id.as_str().to_lowercase()).parse()?),
            address_rests_until: None,
            password_hash: None,
            last_sign_in: None,
        };
        let password = readable_secret(3)?;
        self.ra.administration().add_subject(&subject, &operator(), now).await?;
        self.ra.administration().set_password(&id, &password, &operator(), now).await?;
        Ok(Person {
            id: id.to_string(),
            role: role.to_string(),
            language: self.language.to_string(),
            name: name.into(),
            password,
            p12: None,
            p12_passphrase: None,
            last_day: None,
            not_after: None,
        })
    }

    /// Enrols somebody on the day that lets the certificate end at noon, `days` days from today.
    async fn enrol(&self, person: &mut Person, days: i64, folder: &Path, now: UtcDateTime) -> anyhow::Result<()> {
        let offset = self.zone.info_at(now).0;
        let today = OffsetDateTime::from(now).to_offset(offset).date();
        let noon = Time::from_hms(12, 0, 0)?;
        let end = today.saturating_add(Duration::days(days)).with_time(noon).assume_offset(offset);
        let then = UtcDateTime::from(end).saturating_sub(Duration::days(i64::from(YEAR)));
        let id: SubjectId = person.id.parse()?;
        self.ra.administration().permit(&id, &operator(), then).await?;
        let token = self.ra.begin_enrolment(&person.id, &person.password, then).await?;
        self.mailer.run(then).await?;
        // Among the mails of this enrolment the code's is not the last that leaves: the most urgent goes first.
        let mails = self.mailbox.newest(4);
        let code = mails.iter().find_map(|mail| code_in(&mail.envelope.words.text)).context("no code was sent")?;
        let (token, renewal, _) = self.ra.prove_enrolment(&token, &code, then).await?;
        let (access, _) = self.ra.enrolment_session(&token, then).await?;
        let (key, request) = p12::new_key_and_request()?;
        let requested = self.ra.request_certificate(&access, renewal, &request, ProtectionLevel::File, then).await?;
        let (bundle, _) = requested;
        self.ra.deliver(&access, renewal, then).await?;
        let fingerprint = fingerprint(&bundle.certificate);
        let (_, owed) = self.ra.activate(&fingerprint, then).await?;
        debug_assert!(owed.close.is_empty(), "nobody has connected yet");
        self.ra.sign_out(&access, then).await?;
        // What was told at the time has been read at the time.
        self.mailer.run(then).await?;

        let passphrase = readable_secret(5)?;
        let label = format!("{} {}", person.id, bundle.validity.not_after().date());
        let file = p12::pkcs12(&key, &bundle.certificate, &bundle.chain, &passphrase, &label, entropy)?;
        let path = folder.join(PEOPLE).join(format!("{}.p12", person.id));
        site::write_private(&path, &file)?;
        person.p12 = Some(path.to_string_lossy().into_owned());
        person.p12_passphrase = Some(passphrase);
        person.last_day = Some(end.date().to_string());
        person.not_after = Some(bundle.validity.not_after().unix_timestamp());
        Ok(())
    }
}

/// Every certificate of the demo was issued for so many days, so that it can be made to end on a given one.
const YEAR: u32 = 365;

fn operator() -> Actor {
    Actor::Operator("demo".into())
}

fn fingerprint(der: &[u8]) -> koshin_types::Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let mut octets = [0; 32];
    octets.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    koshin_types::Fingerprint::new(octets)
}

/// The first run of eight digits in a mail.
fn code_in(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '-'))
        .map(|word| word.chars().filter(char::is_ascii_digit).collect::<String>())
        .find(|digits| digits.len() == 8)
}

/// `groups` groups of four letters and digits that are hard to mistake: 20 bits each.
fn readable_secret(groups: usize) -> anyhow::Result<String> {
    const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
    let mut secret = String::new();
    for group in 0..groups {
        if group > 0 {
            secret.push('-');
        }
        for octet in random_octets::<4>()? {
            let at = usize::from(octet % 32);
            secret.push(ALPHABET.get(at).copied().map_or('2', char::from));
        }
    }
    Ok(secret)
}

fn random_octets<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut octets = [0; N];
    entropy(&mut octets)?;
    Ok(octets)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_code_and_nothing_shorter() {
        assert_eq!(code_in("期限 2026年\n\n  1234-5678\n\n10分").as_deref(), Some("12345678"));
        assert_eq!(code_in("0120-000-000, 2026-11-22 no").as_deref(), Some("20261122"));
        assert_eq!(code_in("1234567"), None);
    }
}
