//! The CA as a service: what an RA client may ask for, done once and recorded first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use koshin_issuance::{
    Ca, CertificationRequest, Gate, IssueError, LoadError, PrepareError, Random, Recorded as Signable, Signer,
    SubjectName, new_serial,
};
use koshin_types::{RenewalId, RevocationReason, SerialNumber, Validity};
use time::{Duration, UtcDateTime};

use super::{
    client::{Client, ClientError, Clients, Right, is_name},
    clock::Latest,
    ledger::{
        Change, Entry, IntendError, Intent, IssuedError, Ledger, LedgerError, OrderKey, Recorded, Revocation,
        RevokeError, Standing,
    },
    profile::IssuingProfile,
    refused::{ChangesRefused, IssueRefused, RevocationRefused, Unsignable},
    room::{Full, Room},
    signer::SharedSigner,
    turns::Turns,
};

/// From this many octets on a request may hold a large RSA key, which costs some tenths of a second at the gate.
const LARGE: usize = 1024;
/// How many of those are looked at at once, and how many may be looked at or wait.
const LARGE_AT_ONCE: (usize, usize) = (2, 32);
/// How many serial numbers are drawn before the ledger's refusal is believed to mean something else.
const DRAWS: usize = 3;
/// By whom what can never be signed is abandoned, in the ledger.
const OURSELVES: &str = "koshin-ca";

/// Where signatures are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// At once, on the thread that needs it: for keys in memory, which sign in less time than a change of threads takes.
    Inline,
    /// On threads for blocking work: for tokens and whatever else may keep a thread waiting.
    Apart {
        /// How many signatures are asked for at once.
        at_once: usize,
        /// How many requests may wait for one, those included. More are told to come back.
        most: usize,
    },
}

impl Signing {
    /// [`Apart`](Self::Apart) for a token: 4 at once, 64 in all.
    ///
    /// ```
    /// use koshin_endpoints::ca::Signing;
    /// assert_eq!(Signing::token(), Signing::Apart { at_once: 4, most: 64 });
    /// ```
    pub const fn token() -> Self {
        Self::Apart { at_once: 4, most: 64 }
    }
}

/// What a [`CaService`] is put together from.
pub struct CaParts {
    /// The issuing CA's certificate, DER.
    pub certificate: Vec<u8>,
    /// The certificates above it, the next one first.
    pub chain: Vec<Vec<u8>>,
    /// The issuing CA's key.
    pub signer: Arc<dyn Signer>,
    /// Where signatures are made.
    pub signing: Signing,
    /// Where serial numbers come from.
    pub random: Random,
    /// What every certification request has to pass.
    pub gate: Gate,
    /// Where everything is recorded.
    pub ledger: Arc<dyn Ledger>,
    /// What may be issued, by name: at least one.
    pub profiles: BTreeMap<String, IssuingProfile>,
    /// Who may ask.
    pub clients: Vec<Client>,
}

/// A request for a certificate, as an RA client makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct IssueRequest {
    /// The renewal at the RA: with the key in `request`, what makes two requests the same one.
    pub renewal: RenewalId,
    /// The profile.
    pub profile: String,
    /// O of the subject.
    pub organization: String,
    /// CN of the subject: its ID.
    pub subject: String,
    /// The subject's address, to stand in the certificate.
    pub mail: Option<String>,
    /// The validity, as the RA's policy decided.
    pub validity: Validity,
    /// The RA's instant.
    pub now: UtcDateTime,
    /// The certification request (RFC 2986), DER or PEM. Of it only the key is used.
    pub request: Vec<u8>,
}

impl fmt::Debug for IssueRequest {
    /// Leaves out who it is for, and the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("IssueRequest");
        shown.field("renewal", &self.renewal).field("profile", &self.profile).field("validity", &self.validity);
        shown.finish_non_exhaustive()
    }
}

/// An issued certificate. The same order gets the same one every time, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its serial number.
    pub serial: SerialNumber,
    /// The DER `Certificate`.
    pub certificate: Vec<u8>,
    /// Its validity: that of the first request of this order.
    pub validity: Validity,
}

impl fmt::Debug for Issued {
    /// Leaves the bytes out: they name a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// A revocation, as an RA client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRequest {
    /// The certificate.
    pub serial: SerialNumber,
    /// Why.
    pub reason: RevocationReason,
    /// When the RA decided it: from there on its own logins refuse the certificate.
    pub revoked_at: UtcDateTime,
    /// Since when the key may have been in other hands.
    pub invalidity_date: Option<UtcDateTime>,
}

/// A page of what became of one client's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    /// In their order.
    pub changes: Vec<Change>,
    /// What to ask after next. A page may be empty and still lead on: what belongs to others is passed over.
    pub next: u64,
    /// The newest change there is of anybody. The page is the last one when `next` is not smaller.
    pub head: u64,
}

/// What [`CaService::finish_unfinished`] did.
#[derive(Debug, Default)]
pub struct Finished {
    /// Intents that are certificates now.
    pub issued: Vec<SerialNumber>,
    /// Intents that can never be signed, and why; they are abandoned. An operator should read this.
    pub abandoned: Vec<(SerialNumber, Unsignable)>,
    /// Why the rest is left for the next time.
    pub stopped: Option<IssueRefused>,
}

/// One issuing CA as a service: issues, revokes, tells what changed.
///
/// Every certificate is recorded before it is signed: serial number, key and bytes are durable in the [`Ledger`], the
/// signature comes after, and a crash between the two is made good by the same request, or by
/// [`finish_unfinished`](Self::finish_unfinished), with the recorded bytes. So one order, renewal and key, has one serial
/// number and one certificate, whatever is repeated, lost or concurrent.
///
/// It reads no clock: every call brings the CA's own `now`.
pub struct CaService {
    /// One for each profile, over the same key.
    cas: BTreeMap<String, Arc<Ca>>,
    any: Arc<Ca>,
    profiles: BTreeMap<String, IssuingProfile>,
    clients: Clients,
    gate: Arc<Gate>,
    ledger: Arc<dyn Ledger>,
    random: Random,
    signing: Option<Room>,
    large: Room,
    turns: Turns,
    latest: Latest,
    held: RwLock<Option<String>>,
}

impl CaService {
    /// How far an RA's clock may be from the CA's, either way: 1 hour.
    ///
    /// ```
    /// assert_eq!(koshin_endpoints::ca::CaService::CLOCKS_DIFFER.whole_minutes(), 60);
    /// ```
    pub const CLOCKS_DIFFER: Duration = Duration::HOUR;
    /// How far the CA's clock may be behind the largest instant it recorded: 1 hour (I-41).
    ///
    /// ```
    /// assert_eq!(koshin_endpoints::ca::CaService::CLOCK_BEHIND.whole_minutes(), 60);
    /// ```
    pub const CLOCK_BEHIND: Duration = Duration::HOUR;
    /// Most changes of a page: 1000. Asked for more, it gives these.
    ///
    /// ```
    /// assert_eq!(koshin_endpoints::ca::CaService::LARGEST_PAGE, 1000);
    /// ```
    pub const LARGEST_PAGE: u32 = 1000;

    /// Puts the service together.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] when the CA cannot be loaded, or profiles or clients contradict each other.
    pub fn new(parts: CaParts) -> Result<Self, ServiceError> {
        let CaParts { certificate, chain, signer, signing, random, gate, ledger, profiles, clients } = parts;
        let mut cas = BTreeMap::new();
        for (name, profile) in &profiles {
            if !is_name(name) {
                return Err(ServiceError::ProfileName { name: name.clone() });
            }
            let signer = Box::new(SharedSigner::new(Arc::clone(&signer)));
            let ca = Ca::load(&certificate, &chain, signer, profile.profile.clone())?;
            cas.insert(name.clone(), Arc::new(ca));
        }
        let any = cas.values().next().map(Arc::clone).ok_or(ServiceError::NoProfile)?;
        let clients = Clients::new(clients, &profiles.keys().map(String::as_str).collect::<BTreeSet<_>>())?;
        let signing = match signing {
            Signing::Inline => None,
            Signing::Apart { at_once, most } => Some(Room::new(at_once, most)),
        };
        let large = Room::new(LARGE_AT_ONCE.0, LARGE_AT_ONCE.1);
        let (gate, turns, latest) = (Arc::new(gate), Turns::default(), Latest::default());
        let held = RwLock::default();
        Ok(Self { cas, any, profiles, clients, gate, ledger, random, signing, large, turns, latest, held })
    }

    /// The CA, to sign revocation lists and OCSP responders with.
    pub fn ca(&self) -> &Arc<Ca> {
        &self.any
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The client that shows this certificate. That it holds the key, and that the certificate is valid now, was the TLS
    /// handshake's to find out.
    pub fn client(&self, certificate_der: &[u8]) -> Option<&Arc<Client>> {
        self.clients.who(certificate_der)
    }

    /// Signs nothing from now on, because of `why`, or goes on again with `None`. What is issued already is still handed
    /// out, and revocations are still taken.
    pub fn hold(&self, why: Option<String>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// An operator says that it is `now`, although a greater instant was recorded: from here on this one counts.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the ledger cannot be asked what it recorded.
    pub async fn confirm_clock(&self, now: UtcDateTime) -> Result<(), LedgerError> {
        self.latest.confirm(self.ledger.as_ref(), now).await
    }

    /// Issues a certificate, or answers with the one that this order has already.
    ///
    /// `now` is the CA's own instant; the request bears the RA's.
    ///
    /// # Errors
    ///
    /// [`IssueRefused`]. Whatever it is, no second certificate comes of it.
    pub async fn issue(
        &self,
        client: &Client,
        request: &IssueRequest,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        let not_allowed = || IssueRefused::NotAllowed { client: client.name.clone(), profile: request.profile.clone() };
        let allowed = client.may(Right::Issue) && client.profiles.contains(&request.profile);
        let profile = self.profiles.get(&request.profile).filter(|_| allowed).ok_or_else(not_allowed)?;
        let ca = self.cas.get(&request.profile).ok_or_else(not_allowed)?;
        if (request.now - now).abs() > Self::CLOCKS_DIFFER {
            return Err(IssueRefused::ClocksDiffer { ra: request.now, ca: now, limit: Self::CLOCKS_DIFFER });
        }
        let checked = self.through_the_gate(&request.request).await?;
        let order = OrderKey { renewal: request.renewal, spki: checked.spki_fingerprint() };
        let _turn = self.turns.of(order).await;
        if let Some(entry) = self.ledger.find(&order).await? {
            return self.take_up(client, request, entry, now).await;
        }
        self.may_sign(now).await?;
        profile.check_key(checked.key_kind())?;
        profile.check_validity(request.validity, request.now)?;
        let subject = SubjectName::new(&request.organization, &request.subject)?;
        for _ in 0..DRAWS {
            let serial = new_serial(now, self.random.as_ref()).map_err(|_| IssueRefused::NoRandomness)?;
            let mail = request.mail.as_deref();
            let prepared = ca.prepare(checked.clone(), &subject, mail, serial, request.validity);
            let prepared = prepared.map_err(|error| match error {
                PrepareError::Mail(error) => IssueRefused::Mail(error),
                other => IssueRefused::Prepare(other),
            })?;
            let intent = Intent {
                order,
                client: client.name.clone(),
                profile: request.profile.clone(),
                organization: request.organization.clone(),
                subject: request.subject.clone(),
                serial,
                validity: request.validity,
                tbs: prepared.tbs().to_vec(),
                at: now.truncate_to_millisecond(),
            };
            match self.ledger.intend(intent).await {
                Ok(Recorded::New) => {
                    self.latest.saw(now);
                    return self.sign(ca, prepared.recorded(), request.validity, now).await;
                }
                // Another process was faster.
                Ok(Recorded::Known(entry)) => return self.take_up(client, request, *entry, now).await,
                Err(IntendError::SerialTaken { .. }) => {}
                Err(IntendError::KeySeen { spki }) => return Err(IssueRefused::KeySeen { spki }),
                Err(IntendError::RenewalTaken { recorded, asked }) => {
                    return Err(IssueRefused::RenewalTaken { recorded, asked });
                }
                Err(IntendError::Ledger(error)) => return Err(error.into()),
            }
        }
        Err(IssueRefused::NoRandomness)
    }

    /// Revokes a certificate that was issued for this client; answers with the revocation that counts, which is the first.
    ///
    /// Clocks do not matter here: a revocation is never refused for being dated wrong. Its date is taken as near to what
    /// the RA says as the certificate's notBefore and the CA's own `now` allow.
    ///
    /// # Errors
    ///
    /// [`RevocationRefused`].
    pub async fn revoke(
        &self,
        client: &Client,
        request: &RevocationRequest,
        now: UtcDateTime,
    ) -> Result<Revocation, RevocationRefused> {
        if !client.may(Right::Revoke) {
            return Err(RevocationRefused::NotAllowed { client: client.name.clone() });
        }
        let serial = request.serial;
        let unknown = || RevocationRefused::Unknown { serial, client: client.name.clone() };
        let status = self.ledger.status(&serial).await?;
        let status = status.filter(|status| status.client == client.name).ok_or_else(unknown)?;
        let now = now.truncate_to_millisecond();
        let revocation = Revocation {
            at: request.revoked_at.truncate_to_millisecond().max(status.validity.not_before()).min(now),
            reason: request.reason,
            invalidity_date: request.invalidity_date.map(UtcDateTime::truncate_to_second),
            by: client.name.clone(),
        };
        let standing = match self.ledger.revoke(&serial, &revocation, now).await {
            Ok(standing) => standing,
            Err(RevokeError::Unknown { .. }) => return Err(unknown()),
            Err(RevokeError::Ledger(error)) => return Err(error.into()),
        };
        self.latest.saw(now);
        Ok(standing.revocation().cloned().unwrap_or(revocation))
    }

    /// What became of this client's certificates after the change `since`, at most `limit` of them and at most
    /// [`LARGEST_PAGE`](Self::LARGEST_PAGE).
    ///
    /// # Errors
    ///
    /// [`ChangesRefused`].
    pub async fn changes(&self, client: &Client, since: u64, limit: u32) -> Result<ChangesPage, ChangesRefused> {
        if !client.may(Right::Changes) {
            return Err(ChangesRefused::NotAllowed { client: client.name.clone() });
        }
        let page = self.ledger.changes(since, limit.clamp(1, Self::LARGEST_PAGE)).await?;
        let next = page.changes.last().map_or(since, |last| last.sequence);
        let mut changes = page.changes;
        changes.retain(|change| change.client == client.name);
        Ok(ChangesPage { changes, next, head: page.head })
    }

    /// Signs what a crash left recorded and unsigned, at start and from time to time. What can never be signed is abandoned.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when the ledger cannot be asked for it.
    pub async fn finish_unfinished(&self, now: UtcDateTime) -> Result<Finished, LedgerError> {
        const PAGE: u32 = 100;
        let mut finished = Finished::default();
        loop {
            let intents = self.ledger.unfinished(PAGE).await?;
            if intents.is_empty() {
                return Ok(finished);
            }
            for intent in intents {
                let (serial, _turn) = (intent.serial, self.turns.of(intent.order).await);
                match self.sign_recorded(intent, now).await {
                    Ok(issued) => finished.issued.push(issued.serial),
                    Err(IssueRefused::Unsignable { serial, source }) => finished.abandoned.push((serial, source)),
                    // Somebody else ended it meanwhile.
                    Err(IssueRefused::Abandoned { .. } | IssueRefused::Revoked { .. }) => {
                        tracing::info!(%serial, "an unfinished serial number was abandoned meanwhile");
                    }
                    Err(stopped) => {
                        finished.stopped = Some(stopped);
                        return Ok(finished);
                    }
                }
            }
        }
    }

    /// A request with an elliptic curve is checked here and now: it costs less than two changes of threads.
    async fn through_the_gate(&self, octets: &[u8]) -> Result<CertificationRequest, IssueRefused> {
        if octets.len() < LARGE {
            return Ok(CertificationRequest::from_bytes(octets, &self.gate)?);
        }
        let (gate, octets) = (Arc::clone(&self.gate), octets.to_vec());
        let checked = self.large.run(move || CertificationRequest::from_bytes(&octets, &gate)).await;
        Ok(checked.map_err(|Full| IssueRefused::Busy)??)
    }

    /// Goes on with an order that is recorded.
    async fn take_up(
        &self,
        client: &Client,
        request: &IssueRequest,
        entry: Entry,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        let Entry { intent, certificate, standing } = entry;
        if intent.client != client.name {
            return Err(IssueRefused::KeySeen { spki: intent.order.spki });
        }
        if intent.profile != request.profile {
            return Err(IssueRefused::OrderDiffers { field: "profile" });
        }
        if intent.subject != request.subject {
            return Err(IssueRefused::OrderDiffers { field: "subject" });
        }
        let Intent { serial, validity, .. } = intent;
        match (standing, certificate) {
            (Standing::Issued, Some(certificate)) => Ok(Issued { serial, certificate, validity }),
            (Standing::Intended, None) => self.sign_recorded(intent, now).await,
            (Standing::Abandoned(_), _) => Err(IssueRefused::Abandoned { serial }),
            (Standing::Revoked(revocation), _) => Err(IssueRefused::revoked(serial, &revocation)),
            (Standing::Issued, None) | (Standing::Intended, Some(_)) => {
                let what = format!("the standing of {serial} and its certificate contradict each other");
                Err(LedgerError::Damaged { what }.into())
            }
        }
    }

    async fn sign_recorded(&self, intent: Intent, now: UtcDateTime) -> Result<Issued, IssueRefused> {
        self.may_sign(now).await?;
        let Intent { serial, validity, order, tbs, profile, .. } = intent;
        match Signable::restore(tbs, serial, validity, order.spki) {
            Ok(recorded) => {
                let ca = self.cas.get(&profile).unwrap_or(&self.any);
                self.sign(ca, recorded, validity, now).await
            }
            Err(error) => self.abandon(serial, error.into(), now).await,
        }
    }

    /// Signs, and stores what came of it.
    async fn sign(
        &self,
        ca: &Arc<Ca>,
        recorded: Signable,
        validity: Validity,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        let serial = recorded.serial();
        let signed = match &self.signing {
            None => ca.issue(recorded),
            Some(room) => {
                let ca = Arc::clone(ca);
                room.run(move || ca.issue(recorded)).await.map_err(|Full| IssueRefused::Busy)?
            }
        };
        let certificate = match signed {
            Ok(certificate) => certificate,
            Err(error @ (IssueError::Lint(_) | IssueError::Differs { .. })) => {
                return self.abandon(serial, error.into(), now).await;
            }
            // A key that cannot be reached, or that gives no sound signature, says nothing about the record.
            Err(source) => {
                tracing::error!(%serial, error = ?source, "a recorded certificate was not signed");
                return Err(IssueRefused::Unsigned { serial, source });
            }
        };
        match self.ledger.issued(&serial, certificate.der(), now.truncate_to_millisecond()).await {
            Ok(certificate) => {
                self.latest.saw(now);
                Ok(Issued { serial, certificate, validity })
            }
            Err(IssuedError::Abandoned { serial }) => Err(IssueRefused::Abandoned { serial }),
            Err(IssuedError::Unknown { serial }) => {
                Err(LedgerError::Damaged { what: format!("the intent of {serial} is gone") }.into())
            }
            Err(IssuedError::Ledger(error)) => Err(error.into()),
        }
    }

    /// Gives up what can never be signed.
    async fn abandon(
        &self,
        serial: SerialNumber,
        source: Unsignable,
        now: UtcDateTime,
    ) -> Result<Issued, IssueRefused> {
        tracing::error!(%serial, error = ?source, "what was recorded can never be signed: it is abandoned");
        let at = now.truncate_to_millisecond();
        let reason = RevocationReason::Unspecified;
        let given_up = Revocation { at, reason, invalidity_date: None, by: OURSELVES.to_owned() };
        let status = self.ledger.status(&serial).await?;
        // What another process made a certificate of after all is not ours to revoke.
        if status.is_some_and(|status| status.standing == Standing::Intended)
            && let Err(RevokeError::Ledger(error)) = self.ledger.revoke(&serial, &given_up, at).await
        {
            return Err(error.into());
        }
        Err(IssueRefused::Unsignable { serial, source })
    }

    async fn may_sign(&self, now: UtcDateTime) -> Result<(), IssueRefused> {
        if let Some(why) = self.held.read().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(IssueRefused::Held { why });
        }
        let largest = self.latest.largest(self.ledger.as_ref()).await?;
        match largest {
            Some(largest) if now < largest.saturating_sub(Self::CLOCK_BEHIND) => {
                Err(IssueRefused::ClockBehind { now, largest })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for CaService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaService").field("ca", &self.any).field("clients", &self.clients).finish_non_exhaustive()
    }
}

/// Why a service cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The CA's certificate, chain or key.
    #[error("the CA cannot be loaded")]
    Ca(#[from] LoadError),
    /// There is nothing to issue.
    #[error("no profile is configured")]
    NoProfile,
    /// A name that cannot be recorded.
    #[error("{name:?} cannot be a profile's name: it takes 1 to 64 of A-Z a-z 0-9 . _ -")]
    ProfileName {
        /// The name.
        name: String,
    },
    /// The RA clients.
    #[error("the RA clients cannot be used")]
    Client(#[from] ClientError),
}
