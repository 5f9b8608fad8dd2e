//! The ledger in memory: for tests, and as the shortest statement of what a ledger does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use koshin_types::{Fingerprint, RenewalId, SerialNumber};
use time::UtcDateTime;

use super::ledger::{
    Change, ChangeKind, Changes, Entry, IntendError, Intent, IssuedError, Ledger, LedgerError, OrderKey, Recorded,
    Revocation, RevokeError, Standing, Status,
};

/// A ledger that is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// In the order of their recording.
    entries: Vec<Entry>,
    by_serial: HashMap<SerialNumber, usize>,
    by_spki: HashMap<Fingerprint, usize>,
    by_renewal: HashMap<RenewalId, usize>,
    changes: BTreeMap<u64, Change>,
    largest: Option<UtcDateTime>,
    /// One for each change: the audit log, of which only the length is of interest here.
    audited: u64,
}

impl MemoryLedger {
    /// How many audit records there are.
    pub fn audited(&self) -> u64 {
        self.book().audited
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn entry(&self, serial: &SerialNumber) -> Option<&Entry> {
        self.by_serial.get(serial).and_then(|at| self.entries.get(*at))
    }

    fn entry_mut(&mut self, serial: &SerialNumber) -> Option<&mut Entry> {
        self.by_serial.get(serial).and_then(|at| self.entries.get_mut(*at))
    }

    fn of_order(&self, order: &OrderKey) -> Option<&Entry> {
        let entry = self.entries.get(*self.by_spki.get(&order.spki)?)?;
        (entry.intent.order == *order).then_some(entry)
    }

    fn note(&mut self, now: UtcDateTime) {
        self.audited += 1;
        self.largest = self.largest.max(Some(now));
    }

    fn change(&mut self, serial: SerialNumber, client: String, at: UtcDateTime, kind: ChangeKind) {
        self.note(at);
        let sequence = self.changes.last_key_value().map_or(1, |(last, _)| last + 1);
        self.changes.insert(sequence, Change { sequence, serial, client: Some(client), at, kind });
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn find(&self, order: &OrderKey) -> Result<Option<Entry>, LedgerError> {
        Ok(self.book().of_order(order).cloned())
    }

    async fn intend(&self, intent: Intent) -> Result<Recorded, IntendError> {
        let mut book = self.book();
        let OrderKey { renewal, spki } = intent.order;
        if let Some(known) = book.of_order(&intent.order) {
            return Ok(Recorded::Known(Box::new(known.clone())));
        }
        if book.by_spki.contains_key(&spki) {
            return Err(IntendError::KeySeen { spki });
        }
        if let Some(other) = book.by_renewal.get(&renewal).and_then(|at| book.entries.get(*at)) {
            return Err(IntendError::RenewalTaken { recorded: other.intent.order.spki, asked: spki });
        }
        let serial = intent.serial;
        if book.by_serial.contains_key(&serial) {
            return Err(IntendError::SerialTaken { serial });
        }
        let at = book.entries.len();
        book.by_serial.insert(serial, at);
        book.by_spki.insert(spki, at);
        book.by_renewal.insert(renewal, at);
        book.note(intent.at);
        book.entries.push(Entry { intent, certificate: None, standing: Standing::Intended });
        Ok(Recorded::New)
    }

    async fn issued(&self, serial: &SerialNumber, der: &[u8], now: UtcDateTime) -> Result<Vec<u8>, IssuedError> {
        let mut book = self.book();
        let entry = book.entry_mut(serial).ok_or(IssuedError::Unknown { serial: *serial })?;
        if let Some(stored) = &entry.certificate {
            return Ok(stored.clone());
        }
        if entry.standing != Standing::Intended {
            return Err(IssuedError::Abandoned { serial: *serial });
        }
        entry.certificate = Some(der.to_vec());
        entry.standing = Standing::Issued;
        let client = entry.intent.client.clone();
        book.change(*serial, client, now, ChangeKind::Issued);
        Ok(der.to_vec())
    }

    async fn revoke(
        &self,
        serial: &SerialNumber,
        revocation: &Revocation,
        now: UtcDateTime,
    ) -> Result<Standing, RevokeError> {
        let mut book = self.book();
        let entry = book.entry_mut(serial).ok_or(RevokeError::Unknown { serial: *serial })?;
        let (standing, kind) = match entry.standing {
            Standing::Intended => (Standing::Abandoned(revocation.clone()), ChangeKind::Abandoned(revocation.clone())),
            Standing::Issued => (Standing::Revoked(revocation.clone()), ChangeKind::Revoked(revocation.clone())),
            Standing::Abandoned(_) | Standing::Revoked(_) => return Ok(entry.standing.clone()),
        };
        entry.standing = standing.clone();
        let client = entry.intent.client.clone();
        book.change(*serial, client, now, kind);
        Ok(standing)
    }

    async fn status(&self, serial: &SerialNumber) -> Result<Option<Status>, LedgerError> {
        Ok(self.book().entry(serial).map(|entry| Status {
            order: entry.intent.order,
            client: entry.intent.client.clone(),
            validity: entry.intent.validity,
            standing: entry.standing.clone(),
        }))
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Changes, LedgerError> {
        let book = self.book();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let newer = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        Ok(Changes {
            changes: book.changes.range(newer).take(limit).map(|(_, change)| change.clone()).collect(),
            head: book.changes.last_key_value().map_or(0, |(last, _)| *last),
            largest: book.largest,
        })
    }

    async fn unfinished(&self, limit: u32) -> Result<Vec<Intent>, LedgerError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let book = self.book();
        let open = book.entries.iter().filter(|entry| entry.standing == Standing::Intended);
        Ok(open.take(limit).map(|entry| entry.intent.clone()).collect())
    }
}
