//! The CA as a service: what an RA client may ask for, done once and recorded first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, iter,
    sync::{Arc, PoisonError, RwLock},
};

use koshin_issuance::{Ca, Gate, Random};
use time::{Duration, UtcDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    client::{Client, Clients, Right, is_name},
    clock::Latest,
    ledger::{Ledger, LedgerError, Revocation, RevokeError},
    order::{ChangesPage, RevocationRequest},
    parts::{CaParts, ServiceError, Signing},
    profile::IssuingProfile,
    refused::{ChangesRefused, RevocationRefused},
    room::Room,
    signer::SharedSigner,
    turns::Turns,
};

/// How many large requests are looked at at once, and how many may be looked at or wait.
const LARGE_AT_ONCE: (usize, usize) = (2, 32);

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
    pub(super) cas: BTreeMap<String, Arc<Ca>>,
    pub(super) any: Arc<Ca>,
    /// Of the other CAs that issue into the same ledger, or did.
    beside: Vec<Vec<Vec<u8>>>,
    pub(super) profiles: BTreeMap<String, IssuingProfile>,
    clients: Clients,
    pub(super) gate: Arc<Gate>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) random: Random,
    pub(super) signing: Option<Room>,
    pub(super) large: Room,
    pub(super) turns: Turns,
    pub(super) latest: Latest,
    pub(super) held: RwLock<Option<String>>,
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
        let beside = Vec::new();
        Ok(Self { cas, any, beside, profiles, clients, gate, ledger, random, signing, large, turns, latest, held })
    }

    /// The CA, to sign revocation lists and OCSP responders with.
    pub fn ca(&self) -> &Arc<Ca> {
        &self.any
    }

    /// Takes the chains of the other CAs that issue into the same ledger, or did: DER, each from the issuing CA's own
    /// certificate upwards.
    #[must_use]
    pub fn beside(mut self, chains: Vec<Vec<Vec<u8>>>) -> Self {
        self.beside = chains;
        self
    }

    /// The chain of the CA that issued this certificate, DER, from that CA's own certificate upwards; of those that it was
    /// told of by [`beside`](Self::beside), or else this one's.
    pub fn chain_of(&self, certificate_der: &[u8]) -> Vec<&[u8]> {
        let own = self.any.certificate_der();
        let by = |chain: &&Vec<Vec<u8>>| chain.first().is_some_and(|issuer| issued_by(certificate_der, issuer));
        if !self.beside.is_empty()
            && !issued_by(certificate_der, own)
            && let Some(chain) = self.beside.iter().find(by)
        {
            return chain.iter().map(Vec::as_slice).collect();
        }
        self.chain()
    }

    /// This CA's chain, DER, from its own certificate upwards.
    pub fn chain(&self) -> Vec<&[u8]> {
        iter::once(self.any.certificate_der()).chain(self.any.chain_der().iter().map(Vec::as_slice)).collect()
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
    /// [`LARGEST_PAGE`](Self::LARGEST_PAGE). Everybody is told of a certificate of which nobody knows any more whose it is.
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
        changes.retain(|change| change.client.as_ref().is_none_or(|owner| *owner == client.name));
        Ok(ChangesPage { changes, next, head: page.head })
    }
}

/// Whether a certificate has the name and the signature of this issuer (RFC 5280, 6.1.3).
fn issued_by(certificate_der: &[u8], issuer_der: &[u8]) -> bool {
    let read = |der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
    let (Some(certificate), Some(issuer)) = (read(certificate_der), read(issuer_der)) else { return false };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

impl fmt::Debug for CaService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaService").field("ca", &self.any).field("clients", &self.clients).finish_non_exhaustive()
    }
}
