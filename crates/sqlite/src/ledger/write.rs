//! Recording intents, certificates and the time.

use async_trait::async_trait;
use koshin_endpoints::ca::{IntendError, Intent, IssuedError, LedgerError, Recorded, Standing};
use koshin_types::SerialNumber;
use ring::digest::{SHA256, digest};
use serde_json::json;
use sqlx::Row as _;
use time::UtcDateTime;

use super::{
    begun::Named,
    rows::{self, entry_query, octets, put_change},
};
use crate::{
    audit::Entry,
    codec::{Columns, is_constraint, millis, signed},
    error::{StoreError, damaged},
    script::Script,
    writer::{Failed, Job, Transaction},
};

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) => Self::Unavailable(error),
            StoreError::Damaged { what } => Self::Damaged { what },
        }
    }
}

impl From<StoreError> for IntendError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<StoreError> for IssuedError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(octets: &[u8]) -> String {
    digest(&SHA256, octets).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What the audit log says of an intent: everything in its row.
pub(super) fn intended(intent: &Intent) -> Entry {
    let body = json!({
        "serial": intent.serial.to_string(),
        "spki": intent.order.spki.to_string(),
        "renewal": intent.order.renewal.to_string(),
        "profile": intent.profile,
        "organization": intent.organization,
        "not_before": intent.validity.not_before().unix_timestamp(),
        "not_after": intent.validity.not_after().unix_timestamp(),
        "tbs": sha256(&intent.tbs),
    });
    record(intent.at, &intent.client, &intent.subject, "intended", body.to_string())
}

/// What the audit log says of a certificate.
pub(super) fn issued(serial: &SerialNumber, der: &[u8]) -> String {
    json!({ "serial": serial.to_string(), "certificate": sha256(der) }).to_string()
}

pub(super) fn record(at: UtcDateTime, actor: &str, subject: &str, word: &str, body: String) -> Entry {
    Entry {
        at: millis(at),
        actor: actor.to_owned(),
        subject: Some(subject.to_owned()),
        fact: true,
        word: word.to_owned(),
        body,
    }
}

pub(super) struct Intend {
    intent: Intent,
    record: Entry,
}

impl Intend {
    pub(super) fn new(intent: Intent) -> Self {
        Self { record: intended(&intent), intent }
    }

    fn script(&self, tx: &mut Transaction<'_>) -> Script {
        let (mut script, intent) = (Script::default(), &self.intent);
        let number = self.record.clone().append(&mut tx.head, &mut script);
        script.push(
            "/* Intend::script */ INSERT INTO entries (number, serial, spki, renewal, client, profile, organization, \
             subject, not_before, not_after, at, tbs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        script.bind(signed(number)).bind(octets(&intent.serial)).bind(intent.order.spki.as_bytes().to_vec());
        script.bind(intent.order.renewal.as_bytes().to_vec()).bind(intent.client.as_str());
        script.bind(intent.profile.as_str()).bind(intent.organization.as_str()).bind(intent.subject.as_str());
        script.bind(intent.validity.not_before().unix_timestamp());
        script.bind(intent.validity.not_after().unix_timestamp()).bind(millis(intent.at)).bind(intent.tbs.as_slice());
        script
    }

    /// Why the tables refused it: the same order is there, or something of it belongs to another.
    async fn diagnose(&self, tx: &mut Transaction<'_>, message: &str) -> Result<Recorded, Failed<IntendError>> {
        const BY_SPKI: &str = entry_query!("Intend::diagnose", "WHERE e.spki = ?");
        let (order, serial) = (self.intent.order, self.intent.serial);
        let rows = tx.read(Script::one(BY_SPKI).with(order.spki.as_bytes().to_vec())).await?;
        if let Some(row) = rows.first() {
            let known = rows::entry(&mut Columns::of(row))?;
            if known.intent.order == order {
                return Ok(Recorded::Known(Box::new(known)));
            }
            return Err(Failed::Refused(IntendError::KeySeen { spki: order.spki }));
        }
        let stray = "/* Intend::diagnose */ SELECT 1 FROM strays WHERE spki = ?";
        if !tx.read(Script::one(stray).with(order.spki.as_bytes().to_vec())).await?.is_empty() {
            return Err(Failed::Refused(IntendError::KeySeen { spki: order.spki }));
        }
        let renewal = "/* Intend::diagnose */ SELECT spki FROM entries WHERE renewal = ?";
        let rows = tx.read(Script::one(renewal).with(order.renewal.as_bytes().to_vec())).await?;
        if let Some(row) = rows.first() {
            let recorded = Columns::of(row).fingerprint("entries.spki")?;
            return Err(Failed::Refused(IntendError::RenewalTaken { recorded, asked: order.spki }));
        }
        let used = "/* Intend::diagnose */ SELECT 1 FROM entries WHERE serial = ? UNION ALL \
                    SELECT 1 FROM strays WHERE serial = ?";
        if !tx.read(Script::one(used).with(octets(&serial)).with(octets(&serial))).await?.is_empty() {
            return Err(Failed::Refused(IntendError::SerialTaken { serial }));
        }
        Err(damaged(format!("intend: {message}")).into())
    }
}

#[async_trait]
impl Job for Intend {
    type Done = Recorded;
    type Refused = IntendError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Recorded, Failed<IntendError>> {
        let head = tx.head;
        let script = self.script(tx);
        match refusal(tx, script).await? {
            None => Ok(Recorded::New),
            Some(message) => {
                tx.head = head;
                self.diagnose(tx, &message).await
            }
        }
    }
}

/// Runs the only script of a job. What a constraint of the tables says against it comes back, and nothing was done.
async fn refusal(tx: &mut Transaction<'_>, script: Script) -> sqlx::Result<Option<String>> {
    let error = match tx.write_last(script).await {
        Ok(()) => return Ok(None),
        Err(error) => error,
    };
    let message = match error.as_database_error() {
        Some(refusal) if is_constraint(refusal) => refusal.message().to_owned(),
        _ => return Err(error),
    };
    tx.undo().await?;
    Ok(Some(message))
}

pub(super) struct Issue {
    serial: SerialNumber,
    der: Vec<u8>,
    record: Entry,
}

impl Issue {
    pub(super) fn new(serial: SerialNumber, named: &Named, der: &[u8], now: UtcDateTime) -> Self {
        let record = record(now, &named.client, &named.subject, "issued", issued(&serial, der));
        Self { serial, der: der.to_vec(), record }
    }
}

#[async_trait]
impl Job for Issue {
    type Done = Vec<u8>;
    type Refused = IssuedError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Vec<u8>, Failed<IssuedError>> {
        const STORED: &str = entry_query!("Issue::run", "WHERE e.serial = ?");
        let head = tx.head;
        let mut script = Script::default();
        let sequence = self.record.clone().append(&mut tx.head, &mut script);
        put_certificate(&mut script, &self.serial, &self.der);
        put_change(&mut script, sequence, &self.serial, "issued");
        let Some(message) = refusal(tx, script).await? else { return Ok(std::mem::take(&mut self.der)) };
        tx.head = head;
        // Somebody was faster since the entry was read.
        let rows = tx.read(Script::one(STORED).with(octets(&self.serial))).await?;
        let entry = rows.first().map(|row| rows::entry(&mut Columns::of(row))).transpose()?;
        match entry.map(|entry| (entry.certificate, entry.standing)) {
            Some((Some(stored), _)) => Ok(stored),
            Some((None, Standing::Abandoned(_))) => {
                Err(Failed::Refused(IssuedError::Abandoned { serial: self.serial }))
            }
            _ => Err(damaged(format!("issue: {message}")).into()),
        }
    }
}

/// Adds the statement that stores a certificate of an entry.
pub(super) fn put_certificate(script: &mut Script, serial: &SerialNumber, der: &[u8]) {
    script.push(
        "/* write::put_certificate */ INSERT INTO certificates (entry, der) SELECT number, ? FROM entries WHERE serial = ?",
    );
    script.bind(der).bind(octets(serial));
}

pub(super) struct Advance {
    pub(super) to: i64,
}

#[async_trait]
impl Job for Advance {
    type Done = ();
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        let advance = "/* Advance::run */ UPDATE clock SET largest = max(coalesce(largest, ?), ?) WHERE number = 1";
        tx.write_last(Script::one(advance).with(self.to).with(self.to)).await?;
        Ok(())
    }
}

pub(super) struct ConfirmClock {
    pub(super) by: String,
    pub(super) now: UtcDateTime,
}

#[async_trait]
impl Job for ConfirmClock {
    type Done = ();
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        let largest = "/* ConfirmClock::run */ SELECT largest FROM clock WHERE number = 1";
        let rows = tx.read(Script::one(largest)).await?;
        let largest = rows.first().map(|row| row.try_get::<Option<i64>, _>(0)).transpose()?.flatten();
        let note = Entry {
            at: millis(self.now),
            actor: self.by.clone(),
            subject: None,
            fact: false,
            word: "clock_confirmed".to_owned(),
            body: json!({ "largest": largest }).to_string(),
        };
        let mut script = Script::default();
        let sequence = note.append(&mut tx.head, &mut script);
        script.push("/* ConfirmClock::run */ UPDATE clock SET largest = ?, confirmed = ? WHERE number = 1");
        script.bind(millis(self.now)).bind(signed(sequence));
        tx.write_last(script).await?;
        Ok(())
    }
}
