//! The dealings with a CA elsewhere beside the issue: what it has to be told, what it has to say, and orders that came to
//! nothing. With a CA in this process there are none.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use koshin_renewal::{HeldCertificate, Status};
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::{
    Actor, AuthorityError, ChangeError, ChangeSeen, IssuanceError, Order, Owed, Ra, Reached, Revocation, Settled,
    StorageError, SubjectFile, change::Decided, issue::Elsewhere,
};

/// Why the dealings with the CA did not come further. They go on with the next call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DealingsError {
    /// The CA does not answer.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A revocation that the CA reports could not be stored.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How many changes are read at once; when the CA has acknowledged so many, it is recorded that it has.
const TOLD_AT_ONCE: u32 = 64;
/// How many void orders one sweep settles.
const VOID_ORDERS: u32 = 100;
/// How many pages of changes are read in one call.
const PAGES: usize = 100;

/// How many serial numbers that the registry did not know are looked up again in one call.
const LOOKED_UP_AGAIN: usize = 1000;
/// By how much the clocks of the CA and of this process may differ.
const CLOCKS_DIFFER: Duration = Duration::HOUR;
/// How long a void order rests that could not be settled for a reason of its own.
const VOID_RESTS: Duration = Duration::MINUTE;
/// How long an order rests at first that is not answered for a reason of its own; twice as long after each further try, up
/// to the longest.
const RESTS_FIRST: Duration = Duration::seconds(2);
const RESTS_LONGEST: Duration = Duration::MINUTE;
/// After how long an order is forgotten here that no sweep has come across.
const GONE_AFTER: Duration = Duration::minutes(5);

/// What this process remembers of the dealings beside what is recorded. After a restart it begins with what is recorded.
#[derive(Debug, Default)]
pub(crate) struct Dealings {
    followed: Mutex<Option<Followed>>,
    /// Void orders that could not be settled, and when that was tried last.
    unsettled: Mutex<BTreeMap<RenewalId, UtcDateTime>>,
    /// Orders that are not answered for reasons of their own.
    unanswered: Mutex<BTreeMap<RenewalId, Unanswered>>,
    /// What is said of a CA, or of a key, that gives no certificate to anybody, and since when.
    silent: Mutex<Option<Silent>>,
}

/// A CA, or a key, that gives no certificate to anybody.
#[derive(Debug)]
struct Silent {
    reason: String,
    since: UtcDateTime,
}

/// An order that an operator has to help, as long as nothing else does.
#[derive(Debug)]
struct Unanswered {
    reason: String,
    rests: Duration,
    tried: UtcDateTime,
}

/// How far the CA was followed, beyond the recorded place when serial numbers are left that may become known.
#[derive(Debug, Default)]
struct Followed {
    recorded: u64,
    place: u64,
    /// What was revoked up to this place and may be a certificate whose issue has not been answered.
    unknown: BTreeMap<SerialNumber, Revocation>,
    /// The last one of them that was looked up again.
    looked_up: Option<SerialNumber>,
}

impl Followed {
    /// Those that are looked up next, in turn.
    fn again(&mut self) -> Vec<Revocation> {
        let after = self.looked_up.map_or(Bound::Unbounded, Bound::Excluded);
        let again: Vec<_> =
            self.unknown.range((after, Bound::Unbounded)).take(LOOKED_UP_AGAIN).map(|(_, one)| *one).collect();
        self.looked_up = again.get(LOOKED_UP_AGAIN - 1).map(|last| last.serial);
        again
    }
}

impl Dealings {
    fn unsettled(&self) -> MutexGuard<'_, BTreeMap<RenewalId, UtcDateTime>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unanswered(&self) -> MutexGuard<'_, BTreeMap<RenewalId, Unanswered>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an order was tried so lately, and so often in vain, that it is left alone for now.
    pub(crate) fn rests(&self, id: &RenewalId, now: UtcDateTime) -> bool {
        // A clock that was set back makes nobody wait.
        let resting = |order: &Unanswered| (order.tried..order.tried.saturating_add(order.rests)).contains(&now);
        self.unanswered().get(id).is_some_and(resting)
    }

    /// What came of asking for a certificate. The reason is logged when it is another one than before.
    pub(crate) fn tried<T>(&self, id: RenewalId, answer: &Result<T, IssuanceError>, now: UtcDateTime) {
        match answer {
            Ok(_) => self.answers(),
            Err(error) if error.is_of_everybody() => return self.is_silent(error, now),
            Err(error) if error.is_final() => {}
            // Storage, the clock, or somebody else's commit: nothing that the order itself could change.
            Err(IssuanceError::Change(_) | IssuanceError::Storage(_)) => return,
            Err(error) => {
                let first = Unanswered { reason: String::new(), rests: Duration::ZERO, tried: now };
                let mut unanswered = self.unanswered();
                unanswered.retain(|_, order| now < order.tried.saturating_add(GONE_AFTER));
                let order = unanswered.entry(id).or_insert(first);
                order.rests = order.rests.saturating_mul(2).clamp(RESTS_FIRST, RESTS_LONGEST);
                order.tried = now;
                let reason = error.to_string();
                if order.reason != reason {
                    tracing::error!(renewal = %id, %error, "a certificate that is owed is not issued; it is tried again");
                    order.reason = reason;
                }
                return;
            }
        }
        self.unanswered().remove(&id);
    }

    /// Nobody gets a certificate at the moment. Logged when the reason is another one than before.
    pub(crate) fn is_silent(&self, error: &IssuanceError, now: UtcDateTime) {
        let reason = error.to_string();
        let mut silent = self.silent();
        if silent.as_ref().is_none_or(|silent| silent.reason != reason) {
            tracing::warn!(%error, "no certificates are issued; it is tried again");
            let since = silent.as_ref().map_or(now, |silent| silent.since);
            *silent = Some(Silent { reason, since });
        }
    }

    fn answers(&self) {
        if self.silent().take().is_some() {
            tracing::warn!("certificates are issued again");
        }
    }

    fn silent(&self) -> MutexGuard<'_, Option<Silent>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followed(&self) -> MutexGuard<'_, Option<Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a serial number stands that the CA has revoked.
enum Known {
    /// It is in the registry, and so is the revocation now.
    Settled(Owed),
    /// The registry does not know it.
    Unknown,
}

impl Ra {
    /// Since when the CA, or its key, has given no certificate to anybody who asked; `None` while it does.
    pub fn silent_since(&self) -> Option<UtcDateTime> {
        self.dealings.silent().as_ref().map(|silent| silent.since)
    }

    /// Tells the CA of every revocation that it has not acknowledged, in their order. The registry has decided; the CA
    /// follows, for its revocation list and status answers. To be called after each revocation, and every second for those
    /// of other processes and for what a crash left.
    ///
    /// # Errors
    ///
    /// [`DealingsError`]; what was acknowledged stays so.
    pub async fn tell_authority(&self, now: UtcDateTime) -> Result<(), DealingsError> {
        let Some(there) = self.issuing.elsewhere() else { return Ok(()) };
        let mut told = there.correspondence.progress().await?.told;
        loop {
            let (_, page) = self.desk.registry.changes(told, TOLD_AT_ONCE).await?;
            let mut at = told;
            let outcome = self.tell(there, &page, &mut at, now).await;
            if at != told {
                there.correspondence.reached(Reached::Told(at)).await?;
                told = at;
            }
            outcome?;
            if (page.len() as u64) < u64::from(TOLD_AT_ONCE) {
                return Ok(());
            }
        }
    }

    /// Tells of one page; `at` is the place up to which that went well.
    async fn tell(
        &self,
        there: Elsewhere<'_>,
        page: &[ChangeSeen],
        at: &mut u64,
        now: UtcDateTime,
    ) -> Result<(), DealingsError> {
        for change in page {
            if change.settled == Settled::Revoked
                && let Some(revocation) = self.revocation(&change.fingerprint).await?
            {
                there.revoke(&revocation, now).await?;
            }
            *at = change.sequence;
        }
        Ok(())
    }

    /// Takes over what was revoked at the CA, by its own operator or another registration authority: everything that the
    /// certificate's subject holds is revoked, for the same reason, as by the operator of this one. To be called twice a
    /// second.
    ///
    /// A serial number that the registry does not know may be that of a certificate whose issue has not been answered yet:
    /// as long as an order is waiting that is older than the revocation, it is looked up again, and the recorded place stays
    /// before it. What comes after it is taken over all the same.
    ///
    /// # Errors
    ///
    /// [`DealingsError`]; what was stored stays so.
    pub async fn follow_authority(&self, now: UtcDateTime) -> Result<Owed, DealingsError> {
        let mut owed = Owed::default();
        let Some(there) = self.issuing.elsewhere() else { return Ok(owed) };
        let heard = there.correspondence.progress().await?.heard;
        let known = self.dealings.followed().take().filter(|followed| followed.recorded == heard);
        let begun = Followed { recorded: heard, place: heard, ..Followed::default() };
        let mut followed = known.unwrap_or(begun);
        let outcome = self.follow(there, &mut followed, &mut owed, now).await;
        *self.dealings.followed() = Some(followed);
        outcome.map(|()| owed)
    }

    async fn follow(
        &self,
        there: Elsewhere<'_>,
        followed: &mut Followed,
        owed: &mut Owed,
        now: UtcDateTime,
    ) -> Result<(), DealingsError> {
        if !followed.unknown.is_empty() {
            let waiting = there.correspondence.waiting_since().await?;
            self.take_over(&followed.again(), waiting, followed, owed, now).await?;
        }
        for _ in 0..PAGES {
            let (next, revoked) = there.authority.changes(followed.place).await?;
            // Asked after the changes and before the registry: an order of before them is waiting, or its certificate known.
            let waiting = there.correspondence.waiting_since().await?;
            self.take_over(&revoked, waiting, followed, owed, now).await?;
            let is_end = next == followed.place;
            // An older copy of the CA's ledger: what it tells may be new from its beginning on.
            followed.place = if next < followed.place { 0 } else { next };
            if followed.unknown.is_empty() && followed.recorded != followed.place {
                there.correspondence.reached(Reached::Heard(followed.place)).await?;
                followed.recorded = followed.place;
            }
            if is_end {
                break;
            }
        }
        Ok(())
    }

    async fn take_over(
        &self,
        revoked: &[Revocation],
        waiting_since: Option<UtcDateTime>,
        followed: &mut Followed,
        owed: &mut Owed,
        now: UtcDateTime,
    ) -> Result<(), DealingsError> {
        for revocation in revoked {
            let at_latest = revocation.at.saturating_add(CLOCKS_DIFFER);
            match self.revoked_there(revocation, now).await? {
                Known::Unknown if waiting_since.is_some_and(|since| since <= at_latest) => {
                    followed.unknown.insert(revocation.serial, *revocation);
                    continue;
                }
                Known::Unknown => {}
                Known::Settled(more) => {
                    owed.close.extend(more.close);
                    owed.mail |= more.mail;
                }
            }
            followed.unknown.remove(&revocation.serial);
        }
        Ok(())
    }

    /// The revocation of a certificate. Its holder may be remembered from before it, so the file is read anew.
    async fn revocation(&self, certificate: &Fingerprint) -> Result<Option<Revocation>, StorageError> {
        let Some(holder) = self.desk.registry.holder(certificate).await? else { return Ok(None) };
        let file = self.desk.registry.subject(&holder.subject.id).await?;
        Ok(file.as_ref().and_then(|file| file.holding.certificate(certificate)).and_then(revocation))
    }

    /// One revocation by the CA.
    async fn revoked_there(&self, revocation: &Revocation, now: UtcDateTime) -> Result<Known, DealingsError> {
        let Revocation { serial, reason, .. } = *revocation;
        let Some(document) = self.desk.registry.document(&serial).await? else { return Ok(Known::Unknown) };
        let Some(subject) = self.desk.registry.renewal(&document.intent.renewal).await? else {
            return Ok(Known::Unknown);
        };
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            let held = file.holding.certificates.iter().find(|held| held.serial == serial);
            let in_use = held.is_some_and(|held| matches!(held.status, Status::Pending | Status::Active { .. }));
            Ok(if in_use { file.holding.revoke(reason, now)? } else { file.holding.unchanged() }.into())
        };
        let changed = self.desk.change(&subject, &Actor::Operator(CA.into()), now, decide).await?;
        if !changed.owed.close.is_empty() {
            tracing::warn!(%subject, %serial, reason = reason.as_str(), "revoked at the CA");
        }
        Ok(Known::Settled(changed.owed))
    }

    /// Asks once more for the certificates of renewals that have ended without one, and revokes them. Nobody has them; but
    /// to everybody who asks the CA they would be good. An order that never arrived is mostly too old to be issued now.
    pub(crate) async fn settle_void_orders(&self, now: UtcDateTime) -> Result<(), StorageError> {
        let Some(there) = self.issuing.elsewhere() else { return Ok(()) };
        // Those that rest keep no others back, however many they are.
        let resting = u32::try_from(self.dealings.unsettled().len()).unwrap_or(u32::MAX);
        let orders = there.correspondence.void(VOID_ORDERS.saturating_add(resting)).await?;
        self.dealings.unsettled().retain(|id, _| orders.iter().any(|order| order.renewal == *id));
        for order in orders {
            let id = order.renewal;
            let tried = self.dealings.unsettled().get(&id).copied();
            if tried.is_some_and(|at| (at..at.saturating_add(VOID_RESTS)).contains(&now)) {
                continue;
            }
            match there.settle_void(&order, now).await {
                Ok(()) => {
                    there.correspondence.forget(&id).await?;
                    self.dealings.unsettled().remove(&id);
                }
                Err(error) if error.is_of_everybody() => {
                    self.dealings.is_silent(&error, now);
                    break;
                }
                Err(error) => {
                    if self.dealings.unsettled().insert(id, now).is_none() {
                        tracing::error!(renewal = %id, %error, "an order that is void cannot be settled; it is tried each minute");
                    }
                }
            }
        }
        Ok(())
    }
}

/// The name under which revocations by the CA stand in the audit log.
const CA: &str = "ca";

impl Elsewhere<'_> {
    /// Tells of one revocation. A serial number that the CA never issued is none of its business.
    async fn revoke(&self, revocation: &Revocation, now: UtcDateTime) -> Result<(), AuthorityError> {
        match self.authority.revoke(revocation, now).await {
            Err(AuthorityError::Refused { code }) => {
                tracing::warn!(serial = %revocation.serial, code, "the CA refuses to revoke what the registry has revoked");
                Ok(())
            }
            other => other,
        }
    }

    async fn settle_void(&self, order: &Order, now: UtcDateTime) -> Result<(), IssuanceError> {
        let certificate = match self.issue(order, now).await {
            // Nothing was issued, or it is revoked.
            Err(IssuanceError::Authority(AuthorityError::Stale | AuthorityError::Refused { .. })) => return Ok(()),
            other => other?,
        };
        let reason = RevocationReason::CessationOfOperation;
        Ok(self.revoke(&Revocation { serial: certificate.serial(), at: now, reason }, now).await?)
    }
}

fn revocation(held: &HeldCertificate) -> Option<Revocation> {
    match held.status {
        Status::Revoked { at, reason } => Some(Revocation { serial: held.serial, at, reason }),
        _ => None,
    }
}
