//! The port `Sessions`.

use async_trait::async_trait;
use koshin_ra::{AuditNote, Proof, Session, SessionKey, SessionKind, Sessions, StorageError, Tries};
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{Columns, damaged, millis},
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

/// Ended sessions that a new one clears away by the way.
const CLEARED: i64 = 16;

/// Failed tries are forgotten after a day, in milliseconds: their keys come from whoever types them.
const TRIES_KEPT: i64 = 86_400_000;

/// Binds every column of a session in the order in which the statements below name them.
fn bind(script: &mut Script, session: &Session) {
    let (mut certificate, mut code, mut tries, mut until, mut renewal) = (None, None, None, None, None);
    let mut previous = None;
    let (kind, subject) = match &session.kind {
        SessionKind::Portal { subject, certificate: fingerprint, previous_sign_in } => {
            previous = previous_sign_in.map(millis);
            certificate = Some(fingerprint.as_bytes().to_vec());
            ("portal", Some(subject))
        }
        SessionKind::Enrolment { subject, proof: Proof::CodeSent { code: hash, tries: count, until: end } } => {
            (code, tries, until) = (Some(hash.as_bytes().to_vec()), Some(i64::from(*count)), Some(millis(*end)));
            ("code_sent", subject.as_ref())
        }
        SessionKind::Enrolment { subject, proof: Proof::Proven { renewal: id } } => {
            renewal = Some(id.as_bytes().to_vec());
            ("proven", subject.as_ref())
        }
    };
    script.bind(session.key.as_bytes().to_vec()).bind(kind).bind(subject.map(ToString::to_string)).bind(certificate);
    script.bind(code).bind(tries).bind(until).bind(renewal).bind(previous);
    script.bind(millis(session.opened_at)).bind(millis(session.seen_at)).bind(millis(session.ends_at));
}

fn read(key: SessionKey, mut columns: Columns<'_>) -> Result<Session, StorageError> {
    let kind = columns.get::<&str>("sessions.kind")?;
    let subject = columns.maybe_word("sessions.subject")?;
    let certificate = columns.maybe_fingerprint("sessions.certificate")?;
    let code = columns.maybe_fingerprint("sessions.code")?;
    let tries = columns.get::<Option<i64>>("sessions.code_tries")?.and_then(|tries| u8::try_from(tries).ok());
    let until = columns.maybe_instant("sessions.code_until")?;
    let renewal = columns.maybe_renewal_id("sessions.renewal")?;
    let previous_sign_in = columns.maybe_instant("sessions.previous_sign_in")?;
    let kind = match (kind, subject, certificate, code, tries, until, renewal) {
        ("portal", Some(subject), Some(certificate), ..) => {
            SessionKind::Portal { subject, certificate, previous_sign_in }
        }
        ("code_sent", subject, _, Some(code), Some(tries), Some(until), _) => {
            SessionKind::Enrolment { subject, proof: Proof::CodeSent { code, tries, until } }
        }
        ("proven", subject, .., Some(renewal)) => SessionKind::Enrolment { subject, proof: Proof::Proven { renewal } },
        _ => return Err(damaged("sessions.kind")),
    };
    Ok(Session {
        key,
        kind,
        opened_at: columns.instant("sessions.opened_at")?,
        seen_at: columns.instant("sessions.seen_at")?,
        ends_at: columns.instant("sessions.ends_at")?,
    })
}

struct Open {
    session: Session,
    note: Entry,
}

#[async_trait]
impl Job for Open {
    type Done = ();
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StorageError>> {
        let mut script = Script::one(
            "/* Open::run */ DELETE FROM sessions WHERE key IN \
             (SELECT key FROM sessions WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
        );
        script.bind(millis(self.session.opened_at)).bind(CLEARED);
        script.push(
            "/* Open::run */ DELETE FROM tries WHERE key IN \
             (SELECT key FROM tries WHERE last_at <= ? ORDER BY last_at LIMIT ?)",
        );
        script.bind(millis(self.session.opened_at) - TRIES_KEPT).bind(CLEARED);
        script.push(
            "/* Open::run */ INSERT INTO sessions (key, kind, subject, certificate, code, code_tries, code_until, \
             renewal, previous_sign_in, opened_at, seen_at, ends_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        bind(&mut script, &self.session);
        if let SessionKind::Portal { subject, .. } = &self.session.kind {
            script.push("/* Open::run */ UPDATE subjects SET last_sign_in = ? WHERE id = ?");
            script.bind(millis(self.session.opened_at)).bind(subject.as_str());
        }
        self.note.clone().append(&mut tx.head, &mut script);
        tx.write_last(script).await?;
        Ok(())
    }
}

struct Replace {
    before: Session,
    after: Session,
    note: Option<Entry>,
}

#[async_trait]
impl Job for Replace {
    type Done = bool;
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<StorageError>> {
        let mut script = Script::one(
            "/* Replace::run */ UPDATE sessions SET key = ?, kind = ?, subject = ?, certificate = ?, code = ?, \
             code_tries = ?, code_until = ?, renewal = ?, previous_sign_in = ?, opened_at = ?, seen_at = ?, ends_at = ? \
             WHERE key = ? AND kind = ? AND subject IS ? AND certificate IS ? AND code IS ? AND code_tries IS ? \
             AND code_until IS ? AND renewal IS ? AND previous_sign_in IS ? AND opened_at = ? AND seen_at = ? \
             AND ends_at = ? \
             RETURNING key",
        );
        bind(&mut script, &self.after);
        bind(&mut script, &self.before);
        let replaced = !tx.write(script).await?.is_empty();
        if replaced && let Some(note) = self.note.take() {
            tx.record(note).await?;
        }
        Ok(replaced)
    }
}

struct Close {
    key: SessionKey,
    note: Entry,
}

#[async_trait]
impl Job for Close {
    type Done = ();
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StorageError>> {
        let statement = "/* Close::run */ DELETE FROM sessions WHERE key = ? RETURNING key";
        if !tx.write(Script::one(statement).with(self.key.as_bytes().to_vec())).await?.is_empty() {
            tx.record(self.note.clone()).await?;
        }
        Ok(())
    }
}

struct NoteTry {
    key: String,
    failed: Option<Entry>,
}

#[async_trait]
impl Job for NoteTry {
    type Done = Tries;
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Tries, Failed<StorageError>> {
        let mut script = match &self.failed {
            Some(entry) => Script::one(
                "/* NoteTry::run */ INSERT INTO tries (last_at, key, failures) VALUES (?, ?, 1) \
                 ON CONFLICT (key) DO UPDATE SET failures = failures + 1, last_at = excluded.last_at",
            )
            .with(entry.at),
            None => Script::one("/* NoteTry::run */ DELETE FROM tries WHERE key = ?"),
        };
        script.bind(self.key.as_str());
        if let Some(entry) = self.failed.take() {
            entry.append(&mut tx.head, &mut script);
        }
        tx.write(script).await?;
        let rows = tx.read(tries(&self.key)).await?;
        counted(rows.first()).map_err(Failed::Refused)
    }
}

fn tries(key: &str) -> Script {
    Script::one("/* sessions::tries */ SELECT failures, last_at FROM tries WHERE key = ?").with(key)
}

fn counted(row: Option<&SqliteRow>) -> Result<Tries, StorageError> {
    let Some(row) = row else { return Ok(Tries::default()) };
    let mut columns = Columns::of(row);
    Ok(Tries { failures: columns.unsigned("tries.failures")?, last_at: columns.get("tries.last_at")? })
}

#[async_trait]
impl Sessions for Store {
    async fn open(&self, session: Session, note: AuditNote) -> Result<(), StorageError> {
        let note = Entry::note(&note, session.opened_at);
        self.write(Open { session, note }).await
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Session>, StorageError> {
        let query = "/* Store::find */ SELECT kind, subject, certificate, code, code_tries, code_until, renewal, \
                     previous_sign_in, opened_at, seen_at, ends_at FROM sessions WHERE key = ?";
        let row = self.readers().one(Script::one(query).with(key.as_bytes().to_vec())).await?;
        row.map(|row| read(*key, Columns::of(&row))).transpose()
    }

    async fn replace(
        &self,
        before: &Session,
        after: &Session,
        note: Option<(UtcDateTime, AuditNote)>,
    ) -> Result<bool, StorageError> {
        let note = note.map(|(at, note)| Entry::note(&note, at));
        self.write(Replace { before: before.clone(), after: after.clone(), note }).await
    }

    async fn close(&self, key: &SessionKey, note: AuditNote, at: UtcDateTime) -> Result<(), StorageError> {
        self.write(Close { key: *key, note: Entry::note(&note, at) }).await
    }

    async fn tries(&self, key: &str) -> Result<Tries, StorageError> {
        counted(self.readers().one(tries(key)).await?.as_ref())
    }

    async fn note_try(&self, key: &str, failed: Option<(UtcDateTime, AuditNote)>) -> Result<Tries, StorageError> {
        let failed = failed.map(|(at, note)| Entry::note(&note, at));
        self.write(NoteTry { key: key.to_owned(), failed }).await
    }
}
