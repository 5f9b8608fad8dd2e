//! People whose certificates are about to end.
//!
//! Each was registered, permitted, enrolled with a code from the mail, activated its certificate, and has a session
//! now, all through the use cases. Newcomers have come half the way.

use std::{collections::HashMap, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};
use argon2::{
    Algorithm, Argon2, Params, Version, password_hash::PasswordHasher as _, password_hash::phc::PasswordHash,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use koshin_expiry::Policy;
use koshin_issuance::{Ca, Gate};
use koshin_notify::{Notice, Outbox as _};
use koshin_ra::{Actor, Organization, Passwords, Ra, SessionToken, Settings, Subject};
use koshin_sqlite::{Options, Store};
use koshin_types::{Fingerprint, Language, OrganizationId, ProtectionLevel, RenewalId, Role, SubjectId};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::digest;
use time::{Duration, UtcDateTime};

use crate::{authority, rim};

/// The file of the registry and ledger.
pub const DATABASE: &str = "koshin.db";
const PASSWORD: &str = "correct horse";
/// Days that a certificate has left. A year after its issue, so that it was issued 357 days ago.
const DAYS_LEFT: i64 = 8;
/// How many enrol at once, and belong to one organization: fewer than may wait for a password check.
const AT_ONCE: usize = 48;

/// A key of a holder with a request for it.
pub struct ClientKey {
    /// The key, PKCS#8 DER.
    pub pkcs8: Vec<u8>,
    /// The request, PKCS#10 DER.
    pub request: Vec<u8>,
}

impl ClientKey {
    /// A new P-256 key, as the page makes it.
    ///
    /// # Errors
    ///
    /// When no key is made.
    pub fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "koshin");
        let request = parameters.serialize_request(&key)?.der().to_vec();
        Ok(Self { pkcs8: key.serialize_der(), request })
    }
}

/// Somebody with a certificate, a session and the key for the next certificate.
pub struct Resident {
    /// The ID.
    pub id: SubjectId,
    /// The key of the certificate, PKCS#8 DER.
    pub pkcs8: Vec<u8>,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// The token of an open session.
    pub session: SessionToken,
    /// A new key, with its request.
    pub next: ClientKey,
}

/// Somebody who proved to be the one that may enrol, and has no certificate yet.
pub struct Newcomer {
    /// The ID.
    pub id: SubjectId,
    /// The token of a session that waits for the one-time code.
    pub waiting: SessionToken,
    /// The token of the enrolment's session.
    pub session: SessionToken,
    /// The enrolment.
    pub renewal: RenewalId,
    /// A new key, with its request.
    pub key: ClientKey,
}

impl Resident {
    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.certificate)
    }
}

/// Organizations and the people in them.
pub struct Town {
    /// Registry, ledger, sessions, outbox.
    pub store: Arc<Store>,
    /// The use cases.
    pub ra: Ra,
    password_hash: String,
    people: usize,
}

impl Town {
    /// Makes the CA and an empty registry in a folder.
    ///
    /// # Errors
    ///
    /// When a file is not made.
    pub async fn found(folder: &Path, now: UtcDateTime) -> anyhow::Result<Self> {
        authority::make(folder, now)?;
        let ca = authority::load(folder)?.ca;
        let store = Arc::new(Store::open(&folder.join(DATABASE), &Options::default()).await?);
        let ra = ra(&store, ca)?;
        Ok(Self { store, ra, password_hash: cheap_hash()?, people: 0 })
    }

    /// Lets so many people enrol, long enough ago that their certificates are about to end.
    ///
    /// # Errors
    ///
    /// When a use case refuses.
    pub async fn settle(&mut self, count: usize, now: UtcDateTime) -> anyhow::Result<Vec<Resident>> {
        let then = now - Duration::days(365 - DAYS_LEFT);
        let mut residents = Vec::with_capacity(count);
        while residents.len() < count {
            let proven = self.chunk(count - residents.len(), then).await?;
            let enrolled = stream::iter(proven).map(|newcomer| self.enrol(newcomer, then, now));
            residents.extend(enrolled.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?);
        }
        Ok(residents)
    }

    /// Lets so many people come as far as the proof of who they are.
    ///
    /// # Errors
    ///
    /// When a use case refuses.
    pub async fn welcome(&mut self, count: usize, now: UtcDateTime) -> anyhow::Result<Vec<Newcomer>> {
        let mut newcomers = Vec::with_capacity(count);
        while newcomers.len() < count {
            newcomers.extend(self.chunk(count - newcomers.len(), now).await?);
        }
        Ok(newcomers)
    }

    /// The next people of one organization, at most as many as may be checked at once.
    async fn chunk(&mut self, wanted: usize, then: UtcDateTime) -> anyhow::Result<Vec<Newcomer>> {
        let numbers = self.people..self.people + AT_ONCE.min(wanted);
        self.people = numbers.end;
        self.prove(numbers, then).await
    }

    async fn prove(&self, numbers: std::ops::Range<usize>, then: UtcDateTime) -> anyhow::Result<Vec<Newcomer>> {
        let organization =
            Organization { id: format!("C-{:06}", numbers.start).parse()?, name: "更新商店株式会社".into() };
        self.ra.administration().add_organization(&organization, &operator(), then).await?;
        let begun = stream::iter(numbers).map(|number| self.begin(number, &organization.id, then));
        let begun: Vec<(SubjectId, SessionToken)> = begun.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut codes = HashMap::new();
        // Nobody sends the other mails, so those of earlier people come with the codes.
        loop {
            let claimed = self.store.claim(then, "benches", Duration::DAY, 10 * AT_ONCE).await?;
            if claimed.is_empty() {
                break;
            }
            for claimed in claimed {
                if let Notice::EnrolmentCode { code, .. } = &claimed.mail.kind {
                    codes.insert(claimed.mail.subject_id.clone(), code.reveal().to_owned());
                }
            }
        }
        let proven = stream::iter(begun).map(|(id, token)| {
            let code = codes.get(&id).cloned();
            async move {
                let (session, renewal, _) =
                    self.ra.prove_enrolment(&token, &code.context("no code was sent")?, then).await?;
                let waiting = self.ra.begin_enrolment(id.as_str(), PASSWORD, then).await?;
                anyhow::Ok(Newcomer { id, waiting, session, renewal, key: ClientKey::new()? })
            }
        });
        proven.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn begin(
        &self,
        number: usize,
        organization: &OrganizationId,
        then: UtcDateTime,
    ) -> anyhow::Result<(SubjectId, SessionToken)> {
        let id: SubjectId = format!("U-{number:06}").parse()?;
        let subject = Subject {
            id: id.clone(),
            organization: organization.clone(),
            role: Role::User,
            name: format!("更新 {number:06}"),
            language: Language::Ja,
            address: Some(format!("u-{number:06}@example.co.jp").parse()?),
            address_rests_until: None,
            password_hash: Some(self.password_hash.clone()),
            last_sign_in: None,
        };
        self.ra.administration().add_subject(&subject, &operator(), then).await?;
        self.ra.administration().permit(&id, &operator(), then).await?;
        let token = self.ra.begin_enrolment(id.as_str(), PASSWORD, then).await?;
        Ok((id, token))
    }

    async fn enrol(&self, newcomer: Newcomer, then: UtcDateTime, now: UtcDateTime) -> anyhow::Result<Resident> {
        let Newcomer { id, session, renewal, key, .. } = newcomer;
        let (access, _) = self.ra.enrolment_session(&session, then).await?;
        let requested = self.ra.request_certificate(&access, renewal, &key.request, ProtectionLevel::File, then).await;
        let (bundle, _) = requested?;
        self.ra.deliver(&access, renewal, then).await?;
        let fingerprint = fingerprint(&bundle.certificate);
        let (_, owed) = self.ra.activate(&fingerprint, then).await?;
        drop(owed);
        self.ra.sign_out(&access, then).await?;
        let signed_in = self.ra.sign_in(Some(&fingerprint), id.as_str(), PASSWORD, now).await?;
        anyhow::ensure!(signed_in.notice, "the renewal of {id} is not open");
        Ok(Resident {
            id,
            pkcs8: key.pkcs8,
            certificate: bundle.certificate,
            session: signed_in.token,
            next: ClientKey::new()?,
        })
    }
}

/// The use cases over a store.
///
/// # Errors
///
/// When Argon2 or the random source fails.
pub fn ra(store: &Arc<Store>, ca: Arc<Ca>) -> anyhow::Result<Ra> {
    Ok(Ra::new(
        store.clone(),
        store.clone(),
        store.clone(),
        ca,
        Arc::new(Gate::new()),
        Arc::new(Policy::default_jst()),
        Passwords::new(&rim::octets()?)?,
        rim::entropy,
        Settings::default(),
    ))
}

fn operator() -> Actor {
    Actor::Operator("benches".into())
}

/// A hash that is verified at once: its parameters stand in it, and they are the least that Argon2 takes.
fn cheap_hash() -> anyhow::Result<String> {
    let least = Params::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST, None);
    let least = least.map_err(|error| anyhow!("{error}"))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, least);
    let hash: PasswordHash = argon2
        .hash_password_with_salt(PASSWORD.as_bytes(), &rim::octets::<16>()?)
        .map_err(|error| anyhow!("{error}"))?;
    Ok(hash.to_string())
}

fn fingerprint(der: &[u8]) -> Fingerprint {
    let digest = digest::digest(&digest::SHA256, der);
    Fingerprint::new(digest.as_ref().first_chunk().copied().unwrap_or_default())
}
