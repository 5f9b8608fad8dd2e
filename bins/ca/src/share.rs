//! One CA's share of the ledger.
//!
//! The CAs of an installation, the issuing one and those before it, share one ledger, so that no serial number and no key
//! is used twice and RAs see one sequence of changes. Whose certificate it was shows in its serial number: it begins with
//! the instant it was drawn at, and of two CAs one begins to issue when the other ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use koshin_endpoints::{
    Editions, RevocationSource, Revoked, SourceUnavailable, StatusSource, StatusUnavailable,
    ca::{
        Changes, Entry, IntendError, Intent, IssuedError, Ledger, LedgerError, OrderKey, Recorded, Revocation,
        RevokeError, Standing, Status,
    },
};
use koshin_issuance::{CrlEdition, OcspStatus};
use koshin_sqlite::LedgerStore;
use koshin_types::SerialNumber;
use time::UtcDateTime;

/// The ledger as one of its CAs sees it.
pub(crate) struct Share {
    store: LedgerStore,
    reservations: Reservations,
    state: Mutex<State>,
}

/// The newest number of a list that this process has reserved, for whichever of its CAs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reservations(Arc<Mutex<u64>>);

struct State {
    span: Span,
    /// When the newest serial number was drawn that this process recorded for this CA.
    newest: Option<UtcDateTime>,
    /// The newest list of this CA that was published, as far as this process knows. The ledger counts the lists of all
    /// CAs together: each one's numbers grow, with gaps.
    published: Option<CrlEdition>,
    /// The newest one of this CA that this process reserved.
    reserved: Option<CrlEdition>,
}

/// When a CA draws serial numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first instant; `None` for the first CA.
    pub(crate) from: Option<UtcDateTime>,
    /// The first instant of the next CA.
    pub(crate) until: Option<UtcDateTime>,
}

impl Span {
    /// Whether a serial number was drawn in it. One that tells no time belongs to the first CA.
    pub(crate) fn holds(self, serial: &SerialNumber) -> bool {
        match drawn_at(serial) {
            None => self.from.is_none(),
            Some(at) => self.covers(at),
        }
    }

    /// Whether it is this CA's turn at this instant.
    fn covers(self, at: UtcDateTime) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Whether this is the only CA there is.
    const fn is_all(self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    /// The instant by which this CA draws its serial numbers: never one of the next CA's.
    pub(crate) fn clamp(self, now: UtcDateTime) -> UtcDateTime {
        let last = self.until.map(|until| until.saturating_sub(time::Duration::MILLISECOND));
        last.map_or(now, |last| now.min(last))
    }
}

/// The instant that a serial number begins with.
fn drawn_at(serial: &SerialNumber) -> Option<UtcDateTime> {
    let (time, random) = serial.as_be_bytes().split_at_checked(6)?;
    if random.len() != 13 {
        return None;
    }
    let milliseconds = time.iter().fold(0_i128, |sum, octet| sum << 8 | i128::from(*octet));
    UtcDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).ok()
}

impl Reservations {
    fn newest(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    pub(crate) fn new(store: LedgerStore, span: Span, reservations: Reservations) -> Self {
        let state = State { span, newest: None, published: None, reserved: None };
        Self { store, reservations, state: Mutex::new(state) }
    }

    pub(crate) fn span(&self) -> Span {
        self.state().span
    }

    /// Gives this CA another span, unless it has drawn serial numbers outside of it already: then answers when.
    pub(crate) fn set_span(&self, span: Span) -> Result<(), UtcDateTime> {
        let mut state = self.state();
        match state.newest {
            Some(newest) if !span.covers(newest) => Err(newest),
            _ => {
                state.span = span;
                Ok(())
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a serial number as drawn, if it is one of this CA's.
    fn draw(&self, serial: &SerialNumber) -> Result<(), LedgerError> {
        let mut state = self.state();
        if !state.span.holds(serial) {
            return Err(LedgerError::Unavailable(Box::new(Elsewhere { serial: *serial })));
        }
        state.newest = state.newest.max(drawn_at(serial));
        Ok(())
    }

    /// What another CA recorded and has not signed yet is not to be had: this one's key would spoil it, and the other one
    /// signs it within seconds.
    fn signed_or_ours(&self, entry: Entry) -> Result<Entry, LedgerError> {
        let serial = entry.intent.serial;
        if entry.standing == Standing::Intended && !self.span().holds(&serial) {
            return Err(LedgerError::Unavailable(Box::new(Elsewhere { serial })));
        }
        Ok(entry)
    }
}

/// An order whose certificate another CA of this installation signs.
#[derive(Debug, thiserror::Error)]
#[error("another CA of this installation recorded the serial number {serial}, and has not signed it yet")]
struct Elsewhere {
    serial: SerialNumber,
}

#[async_trait]
impl Ledger for Share {
    async fn find(&self, order: &OrderKey) -> Result<Option<Entry>, LedgerError> {
        let entry = self.store.find(order).await?;
        entry.map(|entry| self.signed_or_ours(entry)).transpose()
    }

    async fn intend(&self, intent: Intent) -> Result<Recorded, IntendError> {
        self.draw(&intent.serial)?;
        match self.store.intend(intent).await? {
            Recorded::New => Ok(Recorded::New),
            Recorded::Known(entry) => Ok(Recorded::Known(Box::new(self.signed_or_ours(*entry)?))),
        }
    }

    async fn issued(&self, serial: &SerialNumber, der: &[u8], now: UtcDateTime) -> Result<Vec<u8>, IssuedError> {
        self.store.issued(serial, der, now).await
    }

    async fn revoke(
        &self,
        serial: &SerialNumber,
        revocation: &Revocation,
        now: UtcDateTime,
    ) -> Result<Standing, RevokeError> {
        self.store.revoke(serial, revocation, now).await
    }

    async fn status(&self, serial: &SerialNumber) -> Result<Option<Status>, LedgerError> {
        Ledger::status(&self.store, serial).await
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Changes, LedgerError> {
        self.store.changes(after, limit).await
    }

    /// What this CA left unfinished: only its own key can sign that.
    async fn unfinished(&self, limit: u32) -> Result<Vec<Intent>, LedgerError> {
        let span = self.span();
        if span.is_all() {
            return self.store.unfinished(limit).await;
        }
        let mut all = self.store.unfinished(u32::MAX).await?;
        all.retain(|intent| span.holds(&intent.serial));
        all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(all)
    }
}

#[async_trait]
impl RevocationSource for Share {
    async fn revocations(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Revoked>, SourceUnavailable> {
        let span = self.span();
        if span.is_all() {
            return self.store.revocations(after, limit).await;
        }
        let (mut own, mut after) = (Vec::new(), after);
        loop {
            let page = self.store.revocations(after, limit).await?;
            let ended = page.len() < limit;
            for revoked in page {
                after = Some(revoked.entry.serial);
                if span.holds(&revoked.entry.serial) {
                    own.push(revoked);
                    if own.len() == limit {
                        return Ok(own);
                    }
                }
            }
            if ended {
                return Ok(own);
            }
        }
    }

    async fn editions(&self) -> Result<Editions, SourceUnavailable> {
        let editions = self.store.editions().await?;
        let state = self.state();
        if state.span.is_all() {
            return Ok(editions);
        }
        // What this process reserved for its other CAs is no other process's doing.
        let ours = editions.reserved.is_some_and(|newest| newest.number <= *self.reservations.newest());
        let reserved = if ours { state.reserved } else { editions.reserved };
        Ok(Editions { reserved, published: state.published })
    }

    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, SourceUnavailable> {
        let edition = self.store.reserve(wanted).await?;
        self.state().reserved = Some(edition);
        let mut newest = self.reservations.newest();
        *newest = edition.number.max(*newest);
        Ok(edition)
    }

    async fn published(&self, edition: CrlEdition) -> Result<(), SourceUnavailable> {
        self.state().published = Some(edition);
        self.store.published(edition).await
    }
}

#[async_trait]
impl StatusSource for Share {
    async fn status(&self, serial: &SerialNumber) -> Result<OcspStatus, StatusUnavailable> {
        if self.span().holds(serial) {
            return StatusSource::status(&self.store, serial).await;
        }
        // Another CA's: this one never issued it.
        Ok(OcspStatus::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use koshin_sqlite::Options;
    use koshin_types::{Fingerprint, RenewalId, Validity};
    use time::{Duration, macros::utc_datetime};

    use super::*;

    #[test]
    fn serial_numbers_are_parted_by_their_instant() {
        let turn = utc_datetime!(2027-01-01 00:00);
        let old = Span { from: None, until: Some(turn) };
        let new = Span { from: Some(turn), until: None };
        let drawn = |at: UtcDateTime| {
            let milliseconds = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap();
            SerialNumber::from_time_and_random(milliseconds, [7; 13])
        };
        for (at, of_new) in [(turn - Duration::MILLISECOND, false), (turn, true), (turn + Duration::days(9), true)] {
            let serial = drawn(at);
            assert_eq!(drawn_at(&serial), Some(at));
            assert_eq!((old.holds(&serial), new.holds(&serial)), (!of_new, of_new), "{at}");
        }
        let foreign = "1AFF".parse().unwrap();
        assert!(old.holds(&foreign) && !new.holds(&foreign), "what tells no time was there before");
        assert!(old.holds(&drawn(old.clamp(turn + Duration::HOUR))), "a slow request draws no number of the next CA");
        assert_eq!(new.clamp(turn), turn);
    }

    #[tokio::test]
    async fn what_another_ca_recorded_is_not_to_be_had_before_it_is_signed() {
        let turn = utc_datetime!(2027-01-01 00:00);
        let folder = tempfile::tempdir().unwrap();
        let store = LedgerStore::open(&folder.path().join("ca.db"), &Options::default()).await.unwrap();
        let share = |span| Share::new(store.clone(), span, Reservations::default());
        let old = share(Span { from: None, until: Some(turn) });
        let new = share(Span { from: Some(turn), until: None });
        let before = turn - Duration::SECOND;
        let order = OrderKey { renewal: RenewalId::new([1; 16]), spki: Fingerprint::new([2; 32]) };
        let drawn = |at: UtcDateTime| {
            let milliseconds = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap();
            SerialNumber::from_time_and_random(milliseconds, [7; 13])
        };
        let intent = |at: UtcDateTime| Intent {
            order,
            client: "portal".to_owned(),
            profile: "user".to_owned(),
            organization: "緑商店".to_owned(),
            subject: "U-1".to_owned(),
            serial: drawn(at),
            validity: Validity::new(before, before + Duration::days(365)).unwrap(),
            tbs: b"to be signed".to_vec(),
            at,
        };
        let recorded = intent(before);
        assert_eq!(old.intend(recorded.clone()).await.unwrap(), Recorded::New);

        // Its turn is over, and it was not signed yet.
        let refused = new.find(&order).await.unwrap_err();
        assert!(refused.is_transient(), "{refused:?}");
        let refused = new.intend(intent(turn)).await.unwrap_err();
        assert!(matches!(&refused, IntendError::Ledger(error) if error.is_transient()), "{refused:?}");
        assert_eq!(new.unfinished(10).await.unwrap(), []);
        assert_eq!(old.unfinished(10).await.unwrap(), std::slice::from_ref(&recorded));
        assert_eq!(old.find(&order).await.unwrap().unwrap().standing, Standing::Intended);

        old.issued(&recorded.serial, b"signed", turn).await.unwrap();
        let entry = new.find(&order).await.unwrap().unwrap();
        assert_eq!((entry.standing, entry.certificate.as_deref()), (Standing::Issued, Some(&b"signed"[..])));

        // What would belong to the other one, were it recorded, is not recorded.
        let late = Intent {
            order: OrderKey { renewal: RenewalId::new([3; 16]), spki: Fingerprint::new([4; 32]) },
            ..intent(turn)
        };
        assert!(
            old.intend(late.clone())
                .await
                .is_err_and(|error| matches!(error, IntendError::Ledger(it) if it.is_transient()))
        );
        assert_eq!(new.intend(late).await.unwrap(), Recorded::New);
        // And nobody's turn ends before its newest serial number.
        let shorter = |by| Span { from: None, until: Some(turn - by) };
        assert_eq!(old.set_span(shorter(Duration::SECOND)), Err(before));
        assert_eq!(
            (old.set_span(shorter(Duration::MILLISECOND * 999)), old.span()),
            (Ok(()), shorter(Duration::MILLISECOND * 999))
        );
        store.shut_down().await;
    }

    /// Each CA keeps the number that it could not use, although the other one reserves in between.
    #[tokio::test]
    async fn a_reservation_of_another_ca_here_is_none_of_another_process() {
        let turn = utc_datetime!(2027-01-01 00:00);
        let folder = tempfile::tempdir().unwrap();
        let store = LedgerStore::open(&folder.path().join("ca.db"), &Options::default()).await.unwrap();
        let here = Reservations::default();
        let old = Share::new(store.clone(), Span { from: None, until: Some(turn) }, here.clone());
        let new = Share::new(store.clone(), Span { from: Some(turn), until: None }, here);
        let wanted = |number| CrlEdition { number, this_update: turn, next_update: turn + Duration::DAY };
        let (first, second) = (old.reserve(wanted(1)).await.unwrap(), new.reserve(wanted(1)).await.unwrap());
        assert!(first.number < second.number);
        assert_eq!(old.editions().await.unwrap().reserved, Some(first));
        assert_eq!(new.editions().await.unwrap().reserved, Some(second));
        let elsewhere = store.reserve(wanted(1)).await.unwrap();
        assert_eq!(old.editions().await.unwrap().reserved, Some(elsewhere));
        store.shut_down().await;
    }
}
