//! The port `Registry`.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_ra::{ChangeSeen, Commit, CommitError, Document, Intent, Registry, Settled, StorageError, SubjectFile};
use koshin_types::{Fingerprint, RenewalId, SerialNumber, SubjectId};
use time::UtcDateTime;

use crate::{
    codec::{Columns, millis, signed},
    commit::CommitJob,
    error::damaged,
    file::{self, Loaded, file_query},
    script::Script,
    store::Store,
};

impl Store {
    /// Reads one file, and remembers it for the commit that may follow.
    async fn load(&self, script: Script) -> Result<Option<Loaded>, StorageError> {
        let loaded = file::files(&self.readers().all(script).await?)?.into_iter().next();
        if let Some(loaded) = &loaded {
            self.recent().put(loaded);
        }
        Ok(loaded)
    }

    async fn load_subject(&self, id: &SubjectId) -> Result<Option<Loaded>, StorageError> {
        const QUERY: &str = file_query!("Store::load_subject", "WHERE s.id = ? ORDER BY c.generation");
        self.load(Script::one(QUERY).with(id.as_str())).await
    }

    /// The file that a commit was decided on.
    async fn decided_on(&self, commit: &Commit) -> Result<Loaded, CommitError> {
        if let Some(recent) = self.recent().get(&commit.subject, commit.version) {
            return Ok(recent);
        }
        let found = self.load_subject(&commit.subject).await?;
        let found = found.ok_or_else(|| CommitError::NoSubject(commit.subject.clone()))?;
        if found.file.version != commit.version {
            return Err(CommitError::Conflict { expected: commit.version, found: found.file.version });
        }
        Ok(found)
    }
}

#[async_trait]
impl Registry for Store {
    async fn subject(&self, id: &SubjectId) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        Ok(self.load_subject(id).await?.map(|loaded| loaded.file))
    }

    async fn holder(&self, certificate: &Fingerprint) -> Result<Option<Arc<SubjectFile>>, StorageError> {
        const QUERY: &str = file_query!(
            "Store::holder",
            "WHERE s.number = (SELECT subject FROM certificates WHERE fingerprint = ?) ORDER BY c.generation"
        );
        if let Some(file) = self.fresh().holder(certificate) {
            return Ok(Some(file));
        }
        let since = self.fresh().since();
        let loaded = self.load(Script::one(QUERY).with(certificate.as_bytes().to_vec())).await?;
        if let Some(loaded) = &loaded {
            self.fresh().keep_file(loaded, since);
        }
        Ok(loaded.map(|loaded| loaded.file))
    }

    async fn renewal(&self, id: &RenewalId) -> Result<Option<SubjectId>, StorageError> {
        let query = "/* Store::renewal */ SELECT s.id FROM renewals AS r JOIN subjects AS s ON s.number = r.subject \
                     WHERE r.id = ?";
        let row = self.readers().one(Script::one(query).with(id.as_bytes().to_vec())).await?;
        Ok(row.map(|row| Columns::of(&row).word("subjects.id")).transpose()?)
    }

    async fn document(&self, serial: &SerialNumber) -> Result<Option<Document>, StorageError> {
        let query = "/* Store::document */ SELECT i.renewal, i.spki, i.not_before, i.not_after, i.tbs, d.der \
                     FROM intents AS i LEFT JOIN documents AS d ON d.serial = i.serial WHERE i.serial = ?";
        let Some(row) = self.readers().one(Script::one(query).with(serial.as_be_bytes())).await? else {
            return Ok(None);
        };
        let mut columns = Columns::of(&row);
        let intent = Intent {
            renewal: columns.renewal_id("intents.renewal")?,
            serial: *serial,
            spki: columns.fingerprint("intents.spki")?,
            validity: columns.validity("intents.not_before")?,
            tbs: columns.get("intents.tbs")?,
        };
        Ok(Some(Document { intent, certificate: columns.get("documents.der")? }))
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if commit.order.is_some() || commit.intent.is_some() || commit.certified.is_some() {
            self.database().may_issue().await?;
        }
        let on = self.decided_on(&commit).await?;
        self.write(CommitJob::new(commit, &on, self.fresh().clone())?).await
    }

    async fn overdue(&self, now: UtcDateTime, limit: u32) -> Result<Vec<SubjectId>, StorageError> {
        let query = "/* Store::overdue */ SELECT id FROM subjects WHERE wake_at <= ? ORDER BY wake_at LIMIT ?";
        let rows = self.readers().all(Script::one(query).with(millis(now)).with(i64::from(limit))).await?;
        rows.iter().map(|row| Ok(Columns::of(row).word("subjects.id")?)).collect()
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<(u64, Vec<ChangeSeen>), StorageError> {
        // One statement, so that nothing between the newest number and the changes is missed.
        let query = "/* Store::changes */ SELECT head.sequence, c.sequence, c.fingerprint, a.word \
                     FROM (SELECT coalesce(max(sequence), 0) AS sequence FROM audit) AS head \
                     LEFT JOIN (SELECT sequence, fingerprint FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?) AS c \
                     ON true LEFT JOIN audit AS a ON a.sequence = c.sequence ORDER BY c.sequence";
        let rows = self.readers().all(Script::one(query).with(signed(after)).with(i64::from(limit))).await?;
        let (mut newest, mut seen) = (0, Vec::new());
        for row in &rows {
            let mut columns = Columns::of(row);
            newest = columns.unsigned("audit.sequence")?;
            if let Some(sequence) = columns.get::<Option<i64>>("changes.sequence")? {
                let sequence = crate::codec::unsigned(sequence, "changes.sequence")?;
                let fingerprint = columns.fingerprint("changes.fingerprint")?;
                let settled = match columns.get::<&str>("audit.word")? {
                    "superseded" => Settled::Superseded,
                    "revoked" => Settled::Revoked,
                    _ => return Err(damaged("changes.sequence").into()),
                };
                seen.push(ChangeSeen { sequence, fingerprint, settled });
            }
        }
        let last = seen.last().filter(|_| seen.len() as u64 == u64::from(limit)).map(|change| change.sequence);
        Ok((last.unwrap_or(newest), seen))
    }
}
