//! The port `Sessions`.

use async_trait::async_trait;
use koshin_ra::{
    AuditNote, Beginning, Begun, Proof, SentCode, Session, SessionKey, SessionKind, Sessions, StorageError, Subject,
    Trace, Tries,
};
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{Columns, millis},
    commit::put_mail,
    error::{StoreError, damaged},
    fresh::Fresh,
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
    let (mut certificate, mut previous, mut code, mut used, mut made_in) = (None, None, None, None, None);
    let (kind, subject) = match &session.kind {
        SessionKind::Portal { subject, certificate: fingerprint, previous_sign_in } => {
            (certificate, previous) = (Some(fingerprint.as_bytes().to_vec()), previous_sign_in.map(millis));
            ("portal", Some(subject))
        }
        SessionKind::Enrolment { subject, proof } => {
            let kind = match proof {
                Proof::CodeSent(sent) => {
                    code = Some(sent);
                    "code_sent"
                }
                Proof::CodeUsed { sent, renewal } => {
                    (code, used) = (Some(sent), Some(renewal));
                    "code_used"
                }
                Proof::Proven { renewal } => {
                    used = Some(renewal);
                    "proven"
                }
            };
            (kind, subject.as_ref())
        }
        SessionKind::Ticket { subject, certificate: fingerprint, renewal, session } => {
            (certificate, used) = (Some(fingerprint.as_bytes().to_vec()), Some(renewal));
            made_in = Some(session.as_bytes().to_vec());
            ("ticket", Some(subject))
        }
        SessionKind::ProgramKey { renewal } => {
            used = Some(renewal);
            ("program_key", None)
        }
    };
    script.bind(session.key.as_bytes().to_vec()).bind(kind).bind(subject.map(ToString::to_string)).bind(certificate);
    script.bind(code.map(|sent| sent.code.as_bytes().to_vec())).bind(code.map(|sent| i64::from(sent.tries)));
    script.bind(code.map(|sent| millis(sent.until))).bind(code.map(|sent| sent.typed_id.as_bytes().to_vec()));
    script.bind(used.map(|renewal| renewal.as_bytes().to_vec())).bind(previous).bind(made_in);
    script.bind(millis(session.opened_at)).bind(millis(session.seen_at)).bind(millis(session.ends_at));
}

fn read(key: SessionKey, mut columns: Columns<'_>) -> Result<Session, StoreError> {
    let kind = columns.get::<&str>("sessions.kind")?;
    let subject = columns.maybe_word("sessions.subject")?;
    let certificate = columns.maybe_fingerprint("sessions.certificate")?;
    let code = columns.maybe_fingerprint("sessions.code")?;
    let tries = columns.get::<Option<i64>>("sessions.code_tries")?.and_then(|tries| u8::try_from(tries).ok());
    let until = columns.maybe_instant("sessions.code_until")?;
    let typed_id = columns.maybe_fingerprint("sessions.typed_id")?;
    let renewal = columns.maybe_renewal_id("sessions.renewal")?;
    let previous_sign_in = columns.maybe_instant("sessions.previous_sign_in")?;
    let made_in = columns.maybe_fingerprint("sessions.made_in")?;
    let sent = match (code, tries, until, typed_id) {
        (Some(code), Some(tries), Some(until), Some(typed_id)) => Some(SentCode { code, tries, until, typed_id }),
        _ => None,
    };
    let kind = match (kind, subject, certificate, sent, renewal) {
        ("portal", Some(subject), Some(certificate), ..) => {
            SessionKind::Portal { subject, certificate, previous_sign_in }
        }
        ("code_sent", subject, _, Some(sent), _) => SessionKind::Enrolment { subject, proof: Proof::CodeSent(sent) },
        ("code_used", subject, _, Some(sent), Some(renewal)) => {
            SessionKind::Enrolment { subject, proof: Proof::CodeUsed { sent, renewal } }
        }
        ("proven", subject, .., Some(renewal)) => SessionKind::Enrolment { subject, proof: Proof::Proven { renewal } },
        ("ticket", Some(subject), Some(certificate), _, Some(renewal)) => {
            let session = made_in.ok_or_else(|| damaged("sessions.made_in"))?;
            SessionKind::Ticket { subject, certificate, renewal, session }
        }
        ("program_key", None, None, None, Some(renewal)) => SessionKind::ProgramKey { renewal },
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

/// Adds a session and clears away what has ended by the way.
fn put(script: &mut Script, session: &Session) {
    script.push(
        "/* sessions::put */ DELETE FROM sessions WHERE key IN \
         (SELECT key FROM sessions WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
    );
    script.bind(millis(session.opened_at)).bind(CLEARED);
    script.push(
        "/* sessions::put */ DELETE FROM tries WHERE key IN \
         (SELECT key FROM tries WHERE last_at <= ? ORDER BY last_at LIMIT ?)",
    );
    script.bind(millis(session.opened_at) - TRIES_KEPT).bind(CLEARED);
    script.push(
        "/* sessions::put */ INSERT INTO sessions (key, kind, subject, certificate, code, code_tries, code_until, \
         typed_id, renewal, previous_sign_in, made_in, opened_at, seen_at, ends_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    bind(script, session);
}

/// Binds a subject as its password was checked: ID, password, address.
fn bind_subject(script: &mut Script, subject: Option<&Subject>) {
    script.bind(subject.map(|subject| subject.id.to_string()));
    script.bind(subject.and_then(|subject| subject.password_hash.clone()));
    script.bind(subject.and_then(|subject| subject.address.as_ref()).map(|address| address.as_str().to_owned()));
}

struct Open {
    fresh: Fresh,
    session: Session,
    subject: Subject,
    note: Entry,
}

#[async_trait]
impl Job for Open {
    type Done = bool;
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<StorageError>> {
        let mut known =
            Script::one("/* Open::run */ SELECT 1 FROM subjects WHERE id = ? AND password_hash IS ? AND address IS ?");
        bind_subject(&mut known, Some(&self.subject));
        if tx.read(known).await?.is_empty() {
            return Ok(false);
        }
        let mut script = Script::default();
        put(&mut script, &self.session);
        if let SessionKind::Portal { subject, .. } = &self.session.kind {
            script.push("/* Open::run */ UPDATE subjects SET last_sign_in = ? WHERE id = ?");
            script.bind(millis(self.session.opened_at)).bind(subject.as_str());
        }
        self.note.clone().append(&mut tx.head, &mut script);
        tx.write_last(script).await?;
        Ok(true)
    }

    fn durable(&self, opened: &bool) {
        if *opened {
            // Of a sign-in its instant is noted beside the subject.
            self.fresh.forget_file(&self.subject.id);
            self.fresh.session_changed(None, Some(&self.session));
        }
    }
}

struct Begin {
    beginning: Beginning,
}

#[async_trait]
impl Job for Begin {
    type Done = Begun;
    type Refused = StorageError;

    /// As many statements whatever is begun: who owes nothing to anybody counts that instead.
    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Begun, Failed<StorageError>> {
        let Beginning { session, tries, patience, subject, trace, mail } = &self.beginning;
        let at = session.opened_at;
        let mut asked = Script::one(
            "/* Begin::run */ SELECT coalesce(max(failures), 0), coalesce(max(last_at), 0), \
             EXISTS (SELECT 1 FROM subjects WHERE id = ? AND password_hash IS ? AND address IS ?) \
             FROM tries WHERE key = ?",
        );
        bind_subject(&mut asked, subject.as_ref());
        asked.bind(tries.as_str());
        let rows = tx.read(asked).await?;
        let row = rows.first().ok_or_else(|| damaged("tries"))?;
        let mut columns = Columns::of(row);
        let before = read_tries(&mut columns)?;
        let is_known: bool = columns.get("subjects.id")?;
        if let Some(retry_at) = patience.blocked_until(before).filter(|retry_at| at < *retry_at) {
            return Ok(Begun::TooSoon { retry_at });
        }
        if subject.is_some() && !is_known {
            return Ok(Begun::Changed);
        }
        let mut script = Script::default();
        put(&mut script, session);
        count(&mut script, tries, millis(at));
        match mail {
            Some(mail) => put_mail(&mut script, mail, at),
            None => count(&mut script, WITHOUT_MAIL, millis(at)),
        }
        leave(tx, script, trace, at).await?;
        Ok(Begun::Opened)
    }
}

/// Under which key those enrolments are counted that owed no mail.
const WITHOUT_MAIL: &str = "enrolment without mail";

/// Runs a script with the trace of what it does.
async fn leave(
    tx: &mut Transaction<'_>,
    mut script: Script,
    trace: &Trace,
    at: UtcDateTime,
) -> Result<(), Failed<StorageError>> {
    match trace {
        Trace::Recorded(note) => {
            Entry::note(note, at).append(&mut tx.head, &mut script);
            tx.write(script).await?;
        }
        Trace::Counted(note) => {
            script.push(
                "/* sessions::leave */ INSERT INTO tries (key, failures, last_at) VALUES (?, 1, ?) \
                 ON CONFLICT (key) DO UPDATE SET failures = failures + 1, last_at = excluded.last_at \
                 RETURNING failures, last_at",
            );
            script.bind(note.word).bind(millis(at));
            let rows = tx.write(script).await?;
            let counted = counted(rows.last())?;
            if let Some(due) = Trace::due(note, counted.failures) {
                tx.record(Entry::note(&due, at)).await?;
            }
        }
    }
    Ok(())
}

fn count(script: &mut Script, key: &str, at: i64) {
    script.push(
        "/* sessions::count */ INSERT INTO tries (key, failures, last_at) VALUES (?, 1, ?) \
         ON CONFLICT (key) DO UPDATE SET failures = failures + 1, last_at = excluded.last_at",
    );
    script.bind(key).bind(at);
}

struct Replace {
    fresh: Fresh,
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
             code_tries = ?, code_until = ?, typed_id = ?, renewal = ?, previous_sign_in = ?, made_in = ?, opened_at = ?, \
             seen_at = ?, ends_at = ? \
             WHERE key = ? AND kind = ? AND subject IS ? AND certificate IS ? AND code IS ? AND code_tries IS ? \
             AND code_until IS ? AND typed_id IS ? AND renewal IS ? AND previous_sign_in IS ? AND made_in IS ? \
             AND opened_at = ? AND seen_at = ? \
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

    fn durable(&self, replaced: &bool) {
        self.fresh.session_changed(Some(&self.before.key), replaced.then_some(&self.after));
    }
}

struct Close {
    fresh: Fresh,
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

    fn durable(&self, (): &()) {
        self.fresh.session_changed(Some(&self.key), None);
    }
}

struct NoteTry {
    key: String,
    failed: Option<(UtcDateTime, Trace)>,
}

#[async_trait]
impl Job for NoteTry {
    type Done = Tries;
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Tries, Failed<StorageError>> {
        if let Some((at, trace)) = &self.failed {
            let mut script = Script::default();
            count(&mut script, &self.key, millis(*at));
            leave(tx, script, trace, *at).await?;
        } else {
            let forget = "/* NoteTry::run */ DELETE FROM tries WHERE key = ?";
            tx.write(Script::one(forget).with(self.key.as_str())).await?;
        }
        let rows = tx.read(tries(&self.key)).await?;
        Ok(counted(rows.first())?)
    }
}

fn tries(key: &str) -> Script {
    Script::one("/* sessions::tries */ SELECT failures, last_at FROM tries WHERE key = ?").with(key)
}

fn counted(row: Option<&SqliteRow>) -> Result<Tries, StoreError> {
    let Some(row) = row else { return Ok(Tries::default()) };
    read_tries(&mut Columns::of(row))
}

fn read_tries(columns: &mut Columns<'_>) -> Result<Tries, StoreError> {
    Ok(Tries { failures: columns.unsigned("tries.failures")?, last_at: columns.get("tries.last_at")? })
}

#[async_trait]
impl Sessions for Store {
    async fn open(&self, session: Session, subject: &Subject, note: AuditNote) -> Result<bool, StorageError> {
        let note = Entry::note(&note, session.opened_at);
        self.write(Open { fresh: self.fresh().clone(), session, subject: subject.clone(), note }).await
    }

    async fn begin(&self, beginning: Beginning) -> Result<Begun, StorageError> {
        self.write(Begin { beginning }).await
    }

    async fn find(&self, key: &SessionKey) -> Result<Option<Session>, StorageError> {
        let query = "/* Store::find */ SELECT kind, subject, certificate, code, code_tries, code_until, typed_id, renewal, \
                     previous_sign_in, made_in, opened_at, seen_at, ends_at FROM sessions WHERE key = ?";
        if let Some(session) = self.fresh().session(key) {
            return Ok(Some(session));
        }
        let since = self.fresh().since();
        let row = self.readers().one(Script::one(query).with(key.as_bytes().to_vec())).await?;
        let session = row.map(|row| read(*key, Columns::of(&row))).transpose()?;
        if let Some(session) = &session {
            self.fresh().keep_session(session, since);
        }
        Ok(session)
    }

    async fn replace(
        &self,
        before: &Session,
        after: &Session,
        note: Option<(UtcDateTime, AuditNote)>,
    ) -> Result<bool, StorageError> {
        let note = note.map(|(at, note)| Entry::note(&note, at));
        self.write(Replace { fresh: self.fresh().clone(), before: before.clone(), after: after.clone(), note }).await
    }

    async fn close(&self, key: &SessionKey, note: AuditNote, at: UtcDateTime) -> Result<(), StorageError> {
        self.write(Close { fresh: self.fresh().clone(), key: *key, note: Entry::note(&note, at) }).await
    }

    async fn tries(&self, key: &str) -> Result<Tries, StorageError> {
        Ok(counted(self.readers().one(tries(key)).await?.as_ref())?)
    }

    async fn note_try(&self, key: &str, failed: Option<(UtcDateTime, Trace)>) -> Result<Tries, StorageError> {
        self.write(NoteTry { key: key.to_owned(), failed }).await
    }
}
