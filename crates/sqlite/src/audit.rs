//! The audit log: a chain of hashes over its records.

use koshin_types::Fingerprint;
use ring::digest::{Context, SHA256};
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    codec::{Columns, instant, signed},
    error::StoreError,
    script::Script,
};

/// The end of the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The newest record's number; 0 when there is none.
    pub sequence: u64,
    /// The newest record's hash; zeros when there is none.
    pub hash: Fingerprint,
}

impl Default for AuditHead {
    fn default() -> Self {
        Self { sequence: 0, hash: Fingerprint::new([0; 32]) }
    }
}

/// One record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// When.
    pub at: UtcDateTime,
    /// On whose behalf: `system`, or a kind and a name with a colon between them, as `operator:name`.
    pub actor: String,
    /// Whom it is about, where that is known.
    pub subject: Option<String>,
    /// Whether it is a fact that changes what is stored, else a note.
    pub fact: bool,
    /// The word of the fact or the note.
    pub word: String,
    /// The fact, or the details of the note, as JSON.
    pub body: String,
    /// SHA-256 over the hash of the record before it and everything above.
    pub hash: Fingerprint,
}

/// A record on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) subject: Option<String>,
    pub(crate) fact: bool,
    pub(crate) word: String,
    pub(crate) body: String,
}

impl Entry {
    /// The hash of this entry as the one after `head`. Every field has its length in front, so that no two different
    /// records read as the same octets.
    fn hash(&self, head: AuditHead) -> Fingerprint {
        let mut context = Context::new(&SHA256);
        context.update(b"koshin audit 1");
        context.update(head.hash.as_bytes());
        context.update(&(head.sequence + 1).to_be_bytes());
        context.update(&self.at.to_be_bytes());
        context.update(&[u8::from(self.fact), u8::from(self.subject.is_some())]);
        for field in [&self.actor, self.subject.as_ref().unwrap_or(&String::new()), &self.word, &self.body] {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field.as_bytes());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Fingerprint::new(hash)
    }

    /// The head after this entry.
    pub(crate) fn follow(&self, head: AuditHead) -> AuditHead {
        AuditHead { sequence: head.sequence + 1, hash: self.hash(head) }
    }

    /// Adds the statement that stores this entry and moves the head on.
    pub(crate) fn append(self, head: &mut AuditHead, script: &mut Script) -> u64 {
        *head = self.follow(*head);
        script.push(
            "/* Entry::append */ INSERT INTO audit (sequence, at, actor, subject, fact, word, body, hash) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        );
        script.bind(signed(head.sequence)).bind(self.at).bind(self.actor).bind(self.subject);
        script.bind(self.fact).bind(self.word).bind(self.body).bind(head.hash.as_bytes().to_vec());
        head.sequence
    }
}

/// The newest record. The whole of a transaction's first step, so that it comes in one hand-over with its begin.
pub(crate) const HEAD: &str = "/* audit::head */ SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";

pub(crate) fn head(row: Option<&SqliteRow>) -> Result<AuditHead, StoreError> {
    let Some(row) = row else { return Ok(AuditHead::default()) };
    let mut columns = Columns::of(row);
    Ok(AuditHead { sequence: columns.unsigned("audit.sequence")?, hash: columns.fingerprint("audit.hash")? })
}

/// Records after a sequence number, at most so many.
pub(crate) fn page(after: u64, limit: u32) -> Script {
    Script::one(
        "/* audit::page */ SELECT sequence, at, actor, subject, fact, word, body, hash \
         FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?",
    )
    .with(signed(after))
    .with(i64::from(limit))
}

/// A row of [`page`]: number, what was hashed, the hash beside it.
pub(crate) fn stored(row: &SqliteRow) -> Result<(u64, Entry, Fingerprint), StoreError> {
    let mut columns = Columns::of(row);
    let sequence = columns.unsigned("audit.sequence")?;
    let entry = Entry {
        at: columns.get("audit.at")?,
        actor: columns.get("audit.actor")?,
        subject: columns.get("audit.subject")?,
        fact: columns.get("audit.fact")?,
        word: columns.get("audit.word")?,
        body: columns.get("audit.body")?,
    };
    Ok((sequence, entry, columns.fingerprint("audit.hash")?))
}

pub(crate) fn record(row: &SqliteRow) -> Result<AuditRecord, StoreError> {
    let (sequence, entry, hash) = stored(row)?;
    let Entry { at, actor, subject, fact, word, body } = entry;
    Ok(AuditRecord { sequence, at: instant(at, "audit.at")?, actor, subject, fact, word, body, hash })
}
