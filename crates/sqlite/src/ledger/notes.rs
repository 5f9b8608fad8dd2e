//! Notes in the audit log, and what an operator asks of a ledger.

use async_trait::async_trait;
use koshin_endpoints::{LogUnavailable, ResponderLog};
use koshin_types::{Rfc3339, SerialNumber, Validity};
use serde_json::{Map, Value};
use time::UtcDateTime;

use super::LedgerStore;
use crate::{
    audit::{self, AuditRecord, Entry},
    codec::{Columns, millis},
    error::StoreError,
    script::Script,
    writer::{Failed, Job, Transaction},
};

/// How much there is in a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerCounts {
    /// Certificates that are neither revoked nor past their end.
    pub valid: u64,
    /// Certificates that were ever stored.
    pub issued: u64,
    /// Revoked ones.
    pub revoked: u64,
    /// Serial numbers that were given up before there was a certificate.
    pub abandoned: u64,
    /// Serial numbers whose certificate is still to be signed.
    pub unfinished: u64,
    /// The serial number that was recorded last.
    pub newest: Option<SerialNumber>,
}

impl LedgerStore {
    /// Puts a note into the audit log: something was done that changes no row.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn note(
        &self,
        actor: &str,
        word: &str,
        details: impl IntoIterator<Item = (&str, String)>,
        now: UtcDateTime,
    ) -> Result<(), StoreError> {
        let details: Map<_, _> =
            details.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
        let (actor, word) = (actor.to_owned(), word.to_owned());
        let (at, body) = (millis(now), Value::Object(details).to_string());
        self.database.write(Note(Entry { at, actor, subject: None, fact: false, word, body })).await
    }

    /// The newest note with this word.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn newest_note(&self, word: &str) -> Result<Option<AuditRecord>, StoreError> {
        let query = "/* LedgerStore::newest_note */ SELECT sequence, at, actor, subject, fact, word, body, hash \
                     FROM audit WHERE fact = 0 AND word = ? ORDER BY sequence DESC LIMIT 1";
        let row = self.database.readers().one(Script::one(query).with(word.to_owned())).await?;
        row.map(|row| audit::record(&row)).transpose()
    }

    /// Counts what there is at an instant, of one moment.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn counts(&self, now: UtcDateTime) -> Result<LedgerCounts, StoreError> {
        let query = "/* LedgerStore::counts */ SELECT \
                     (SELECT count(*) FROM certificates AS c JOIN entries AS e ON e.number = c.entry WHERE e.not_after >= ? \
                     AND NOT EXISTS (SELECT 1 FROM revocations AS r WHERE r.serial = e.serial)), \
                     (SELECT count(*) FROM certificates), \
                     (SELECT count(*) FROM revocations WHERE kind <> 'abandoned'), \
                     (SELECT count(*) FROM revocations WHERE kind = 'abandoned'), \
                     (SELECT count(*) FROM unfinished), \
                     (SELECT serial FROM entries ORDER BY number DESC LIMIT 1)";
        let Some(row) = self.database.readers().one(Script::one(query).with(now.unix_timestamp())).await? else {
            return Ok(LedgerCounts::default());
        };
        let mut columns = Columns::of(&row);
        Ok(LedgerCounts {
            valid: columns.unsigned("valid")?,
            issued: columns.unsigned("issued")?,
            revoked: columns.unsigned("revoked")?,
            abandoned: columns.unsigned("abandoned")?,
            unfinished: columns.unsigned("unfinished")?,
            newest: columns.maybe_serial("entries.serial")?,
        })
    }

    /// The newest end of a certificate among the serial numbers from `first` on and before `next`, revoked ones left out:
    /// until then the CA that issued them has to publish. `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn last_end(
        &self,
        first: Option<&SerialNumber>,
        next: Option<&SerialNumber>,
    ) -> Result<Option<UtcDateTime>, StoreError> {
        let query = "/* LedgerStore::last_end */ SELECT max(e.not_after) FROM entries AS e \
                     JOIN certificates AS c ON c.entry = e.number WHERE e.serial >= ? AND e.serial < ? \
                     AND NOT EXISTS (SELECT 1 FROM revocations AS r WHERE r.serial = e.serial)";
        let bound = |serial: Option<&SerialNumber>, open| serial.map_or_else(|| vec![open; 20], super::rows::octets);
        let script = Script::one(query).with(bound(first, 0)).with(bound(next, 0xff));
        let Some(row) = self.database.readers().one(script).await? else { return Ok(None) };
        let seconds: Option<i64> = Columns::of(&row).get("entries.not_after")?;
        let unread = |_| crate::error::damaged("entries.not_after");
        seconds.map(|seconds| UtcDateTime::from_unix_timestamp(seconds).map_err(unread)).transpose()
    }
}

#[async_trait]
impl ResponderLog for LedgerStore {
    async fn intended(
        &self,
        serial: &SerialNumber,
        validity: &Validity,
        now: UtcDateTime,
    ) -> Result<(), LogUnavailable> {
        let details = [("serial", serial.to_string()), ("not_after", Rfc3339(validity.not_after()).to_string())];
        let noted = self.note("system", "ocsp_responder_intended", details, now).await;
        noted.map_err(|error| LogUnavailable(Box::new(error)))
    }
}

struct Note(Entry);

#[async_trait]
impl Job for Note {
    type Done = ();
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        let mut script = Script::default();
        self.0.clone().append(&mut tx.head, &mut script);
        tx.write_last(script).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use koshin_endpoints::ca::{Intent, Ledger as _, OrderKey, Revocation};
    use koshin_types::{Fingerprint, RenewalId, RevocationReason};
    use time::{Duration, macros::utc_datetime};

    use super::*;
    use crate::Options;

    const NOW: UtcDateTime = utc_datetime!(2026-11-22 12:00);

    fn serial(day: i64) -> SerialNumber {
        let at = NOW + Duration::days(day);
        SerialNumber::from_time_and_random(at.unix_timestamp() * 1000, [1; 13])
    }

    /// Issued on one day, valid for `days` days.
    async fn issue(store: &LedgerStore, day: i64, days: i64) {
        let at = NOW + Duration::days(day);
        let number = u8::try_from(day).unwrap();
        let intent = Intent {
            order: OrderKey { renewal: RenewalId::new([number; 16]), spki: Fingerprint::new([number; 32]) },
            client: "portal".into(),
            profile: "user".into(),
            organization: "緑商店".into(),
            subject: "U-1".into(),
            serial: serial(day),
            validity: Validity::new(at, at + Duration::days(days)).unwrap(),
            tbs: vec![0x30, number],
            at,
        };
        store.intend(intent).await.unwrap();
        if days > 0 {
            store.issued(&serial(day), &[0x30, number], at).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_there_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = LedgerStore::open(&folder.path().join("ca.db"), &Options::default()).await.unwrap();
        assert_eq!(store.counts(NOW).await.unwrap(), LedgerCounts::default());
        issue(&store, 1, 365).await;
        issue(&store, 2, 3).await;
        issue(&store, 3, 300).await;
        issue(&store, 4, 0).await;
        let revocation =
            |at| Revocation { at, reason: RevocationReason::Superseded, invalidity_date: None, by: "x".into() };
        store.revoke(&serial(3), &revocation(NOW), NOW).await.unwrap();
        let counts =
            LedgerCounts { valid: 2, issued: 3, revoked: 1, abandoned: 0, unfinished: 1, newest: Some(serial(4)) };
        assert_eq!(store.counts(NOW + Duration::days(5)).await.unwrap(), counts, "its last second counts");
        let later = NOW + Duration::days(5) + Duration::SECOND;
        assert_eq!(store.counts(later).await.unwrap(), LedgerCounts { valid: 1, ..counts });
        // By the spans of two CAs, of which one begins on the second day.
        let end = |day| Some(NOW + Duration::days(day));
        let turn = serial(2);
        assert_eq!(store.last_end(None, None).await.unwrap(), end(366));
        assert_eq!(store.last_end(None, Some(&turn)).await.unwrap(), end(366));
        assert_eq!(store.last_end(Some(&turn), None).await.unwrap(), end(5), "what was revoked needs nothing more");
        assert_eq!(store.last_end(Some(&serial(3)), None).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_newest_note_of_a_word_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = LedgerStore::open(&folder.path().join("ca.db"), &Options::default()).await.unwrap();
        assert_eq!(store.newest_note("ocsp_responder_intended").await.unwrap(), None);
        for day in [1, 2] {
            let validity = Validity::new(NOW, NOW + Duration::days(day)).unwrap();
            store.intended(&serial(day), &validity, NOW).await.unwrap();
            store.note("operator:x", "other", [("day", day.to_string())], NOW).await.unwrap();
        }
        let note = store.newest_note("ocsp_responder_intended").await.unwrap().unwrap();
        assert_eq!((note.sequence, note.actor.as_str(), note.fact), (3, "system", false));
        let expected = format!(r#"{{"not_after":"2026-11-24T12:00:00Z","serial":"{}"}}"#, serial(2));
        assert_eq!(note.body, expected);
        assert_eq!(store.audit_replay().await.unwrap().head.sequence, 4);
    }
}
