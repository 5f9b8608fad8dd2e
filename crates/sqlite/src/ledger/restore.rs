//! Reconciling a ledger that was put back.

use std::collections::HashSet;

use async_trait::async_trait;
use koshin_endpoints::ca::{Entry, Revocation, Standing};
use koshin_types::{RevocationReason, SerialNumber};
use time::UtcDateTime;

use super::{
    LedgerStore, revoke,
    rows::{self, entry_query, octets, put_change, put_revocation, put_stray_change},
    write,
};
use crate::{
    codec::Columns,
    error::{StoreError, damaged},
    restore::{Evidence, FoundCertificate, Ground, ListedRevocation, NO_END, ReconcileError, Reconciled},
    script::Script,
    witness::put_edition,
    writer::{Failed, Job, Transaction},
};

impl LedgerStore {
    /// Brings a ledger that was put back to where nothing that it may have signed since is forgotten, in one transaction;
    /// from then on it is [`Current`](crate::Standing::Current).
    ///
    /// - What the list names and the ledger does not know, is revoked as listed. What the ledger knows as valid too.
    /// - A found certificate that belongs to an intent is stored. One that nobody here knows is revoked at `now`, and its key
    ///   is never taken again.
    /// - Other intents are abandoned: they may have been signed, and nothing is signed twice.
    /// - The next list has a number and dates that follow all that are known.
    ///
    /// `by` is who vouches for it.
    ///
    /// # Errors
    ///
    /// [`ReconcileError`]; nothing was changed then.
    pub async fn reconcile(
        &self,
        evidence: Evidence,
        by: &str,
        now: UtcDateTime,
    ) -> Result<Reconciled, ReconcileError> {
        let ground = self.database.ground(&evidence, now).await?;
        let job = Reconcile { evidence, by: by.to_owned(), now, ground, done: Reconciled::default() };
        let done = self.database.write(job).await?;
        self.database.reconciled().await?;
        Ok(done)
    }
}

struct Reconcile {
    evidence: Evidence,
    by: String,
    now: UtcDateTime,
    ground: Ground,
    done: Reconciled,
}

#[async_trait]
impl Job for Reconcile {
    type Done = Reconciled;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Reconciled, Failed<StoreError>> {
        self.done = Reconciled { epoch: self.ground.epoch, ..Reconciled::default() };
        // First what completes an entry: after it the list may revoke it.
        for found in self.evidence.certificates.clone() {
            self.found(tx, &found).await?;
        }
        for listed in self.evidence.listed().to_vec() {
            self.listed(tx, &listed).await?;
        }
        self.abandon(tx).await?;
        let mut script = Script::default();
        if let Some(list) = self.ground.list {
            put_edition(&mut script, "reserved", list);
        }
        self.ground.note(&self.by, self.now, &self.done).append(&mut tx.head, &mut script);
        self.ground.settle(&mut script);
        tx.write(script).await?;
        Ok(self.done)
    }
}

impl Reconcile {
    async fn found(&mut self, tx: &mut Transaction<'_>, found: &FoundCertificate) -> Result<(), Failed<StoreError>> {
        let mut script = Script::default();
        match entry(tx, &found.serial).await? {
            Some(Entry { intent, certificate: None, standing: Standing::Intended })
                if holds(&found.der, &intent.tbs) =>
            {
                let body = write::issued(&found.serial, &found.der);
                let record = write::record(self.now, &intent.client, &intent.subject, "issued", body);
                let sequence = record.append(&mut tx.head, &mut script);
                write::put_certificate(&mut script, &found.serial, &found.der);
                put_change(&mut script, sequence, &found.serial, "issued");
                self.done.recovered += 1;
            }
            Some(_) => {}
            None => {
                let known = "/* Reconcile::found */ SELECT 1 FROM strays WHERE serial = ?";
                if tx.read(Script::one(known).with(octets(&found.serial))).await?.is_empty() {
                    let revocation = self.given_up();
                    self.adopt(tx, &mut script, &found.serial, &revocation, found.not_after);
                    put_stray(&mut script, &found.serial, Some(found.spki.as_bytes()));
                }
            }
        }
        if !script.text.is_empty() {
            tx.write(script).await?;
        }
        Ok(())
    }

    async fn listed(&mut self, tx: &mut Transaction<'_>, listed: &ListedRevocation) -> Result<(), Failed<StoreError>> {
        let ListedRevocation { serial, at, reason, invalidity_date } = *listed;
        let revocation = Revocation { at, reason, invalidity_date, by: self.by.clone() };
        let mut script = Script::default();
        match entry(tx, &serial).await? {
            Some(known) if known.standing.revocation().is_none() => {
                self.revoke(tx, &mut script, &known, &revocation);
            }
            Some(_) => {}
            None => {
                let query = "/* Reconcile::listed */ SELECT 1 FROM revocations WHERE serial = ?";
                if tx.read(Script::one(query).with(octets(&serial))).await?.is_empty() {
                    let no_end = rows::second(NO_END)?;
                    self.adopt(tx, &mut script, &serial, &revocation, no_end);
                    put_stray(&mut script, &serial, None);
                }
            }
        }
        if !script.text.is_empty() {
            tx.write(script).await?;
        }
        Ok(())
    }

    /// Gives up what is begun: nobody can say whether it was signed.
    async fn abandon(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        const UNFINISHED: &str = entry_query!(
            "Reconcile::abandon",
            "WHERE e.number IN (SELECT entry FROM unfinished ORDER BY entry LIMIT 500) ORDER BY e.number"
        );
        let mut seen = HashSet::new();
        loop {
            let rows = tx.read(Script::one(UNFINISHED)).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                let known = rows::entry(&mut Columns::of(row))?;
                if !seen.insert(known.intent.serial) {
                    return Err(damaged("unfinished").into());
                }
                let mut script = Script::default();
                let revocation = self.given_up();
                self.revoke(tx, &mut script, &known, &revocation);
                tx.write(script).await?;
            }
        }
    }

    fn given_up(&self) -> Revocation {
        Revocation { at: self.now, reason: RevocationReason::Unspecified, invalidity_date: None, by: self.by.clone() }
    }

    fn revoke(&mut self, tx: &mut Transaction<'_>, script: &mut Script, known: &Entry, revocation: &Revocation) {
        let (serial, not_after) = (known.intent.serial, known.intent.validity.not_after());
        let word = if known.certificate.is_some() {
            self.done.revoked += 1;
            "revoked"
        } else {
            self.done.abandoned += 1;
            "abandoned"
        };
        let record = revoke::revoked(&serial, &known.intent.subject, word, revocation, self.now);
        let sequence = record.append(&mut tx.head, script);
        put_revocation(script, &serial, word, revocation, not_after);
        put_change(script, sequence, &serial, word);
    }

    fn adopt(
        &mut self,
        tx: &mut Transaction<'_>,
        script: &mut Script,
        serial: &SerialNumber,
        revocation: &Revocation,
        not_after: UtcDateTime,
    ) {
        self.done.adopted += 1;
        let record = crate::audit::Entry {
            subject: None,
            ..write::record(self.now, &revocation.by, "", "adopted", revoke::body(serial, revocation))
        };
        let sequence = record.append(&mut tx.head, script);
        put_revocation(script, serial, "adopted", revocation, not_after);
        put_stray_change(script, sequence, serial);
    }
}

async fn entry(tx: &mut Transaction<'_>, serial: &SerialNumber) -> Result<Option<Entry>, Failed<StoreError>> {
    const QUERY: &str = entry_query!("restore::entry", "WHERE e.serial = ?");
    let rows = tx.read(Script::one(QUERY).with(octets(serial))).await?;
    Ok(rows.first().map(|row| rows::entry(&mut Columns::of(row))).transpose()?)
}

/// Adds the statement after which neither serial number nor key are taken again.
fn put_stray(script: &mut Script, serial: &SerialNumber, spki: Option<&[u8; 32]>) {
    script.push(
        "/* restore::put_stray */ INSERT INTO strays (serial, spki) SELECT ?, (SELECT k.spki FROM (SELECT ? AS spki) AS k \
         WHERE NOT EXISTS (SELECT 1 FROM strays AS s WHERE s.spki = k.spki) \
         AND NOT EXISTS (SELECT 1 FROM entries AS e WHERE e.spki = k.spki)) WHERE true ON CONFLICT (serial) DO NOTHING",
    );
    script.bind(octets(serial)).bind(spki.map(|spki| spki.to_vec()));
}

/// Whether a certificate begins with these to-be-signed bytes, after the head of its SEQUENCE.
fn holds(der: &[u8], tbs: &[u8]) -> bool {
    (2..=5).any(|head| der.get(head..).is_some_and(|content| content.starts_with(tbs)))
}
