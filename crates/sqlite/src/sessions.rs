//! The port `Sessions`.

use async_trait::async_trait;
use koshin_ra::{
    AgentBound, AgentRight, AuditNote, Beginning, Begun, Proof, SentCode, Session, SessionKey, SessionKind, Sessions,
    StorageError, Subject, Trace, Tries,
};
use koshin_types::{Fingerprint, RenewalId, SubjectId};
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

/// A session as its row: everything that is not there is NULL.
#[derive(Default)]
struct Row<'a> {
    kind: &'static str,
    subject: Option<&'a SubjectId>,
    certificate: Option<Fingerprint>,
    code: Option<Fingerprint>,
    code_tries: Option<u8>,
    code_until: Option<UtcDateTime>,
    typed_id: Option<Fingerprint>,
    renewal: Option<RenewalId>,
    previous_sign_in: Option<UtcDateTime>,
    made_in: Option<SessionKey>,
    opened_by: Option<SessionKey>,
}

impl<'a> Row<'a> {
    fn of(kind: &'a SessionKind) -> Self {
        match kind {
            SessionKind::Portal { subject, certificate, previous_sign_in } => Row {
                kind: "portal",
                subject: Some(subject),
                certificate: Some(*certificate),
                previous_sign_in: *previous_sign_in,
                ..Row::default()
            },
            SessionKind::Enrolment { subject, proof } => Row { subject: subject.as_ref(), ..Row::proof(*proof) },
            SessionKind::Ticket { subject, certificate, renewal, session } => Row {
                kind: "ticket",
                subject: Some(subject),
                certificate: Some(*certificate),
                renewal: Some(*renewal),
                made_in: Some(*session),
                ..Row::default()
            },
            SessionKind::ProgramKey { renewal } => Row::mark("program_key", *renewal),
            SessionKind::AgentKey { renewal } => Row::mark("agent_key", *renewal),
            SessionKind::Agent { subject, session, right } => {
                Row { subject: subject.as_ref(), made_in: Some(*session), ..Row::right(*right) }
            }
        }
    }

    fn mark(kind: &'static str, renewal: RenewalId) -> Self {
        Row { kind, renewal: Some(renewal), ..Row::default() }
    }

    fn proof(proof: Proof) -> Self {
        let sent = |kind, SentCode { code, tries, until, typed_id }: SentCode| Row {
            kind,
            code: Some(code),
            code_tries: Some(tries),
            code_until: Some(until),
            typed_id: Some(typed_id),
            ..Row::default()
        };
        match proof {
            Proof::CodeSent(code) => sent("code_sent", code),
            Proof::CodeUsed { sent: code, renewal } => Row { renewal: Some(renewal), ..sent("code_used", code) },
            Proof::Proven { renewal } => Row::mark("proven", renewal),
        }
    }

    fn right(right: AgentRight) -> Self {
        let bound = |kind, AgentBound { certificate, renewal }: AgentBound| Row {
            certificate: Some(certificate),
            ..Row::mark(kind, renewal)
        };
        let kept = |kind, code| Row { kind, code: Some(code), ..Row::default() };
        match right {
            AgentRight::Ticket { bound: to, code } => Row { code: Some(code), ..bound("agent_ticket", to) },
            AgentRight::Used { bound: to } => bound("agent_used", to),
            AgentRight::Opened { bound: to, code, ticket, tries } => {
                Row { code: Some(code), code_tries: Some(tries), opened_by: Some(ticket), ..bound("agent_opened", to) }
            }
            AgentRight::Confirmed { bound: to } => bound("agent_confirmed", to),
            AgentRight::Exhausted { bound: to } => bound("agent_exhausted", to),
            AgentRight::EnrolmentTicket { sealed } => kept("enrolment_ticket", sealed),
            AgentRight::EnrolmentUsed => Row { kind: "enrolment_used", ..Row::default() },
            AgentRight::EnrolmentOpened { sealed } => kept("enrolment_opened", sealed),
        }
    }

    /// What the row says; `None` for a row that is not what this program writes.
    fn meaning(self) -> Option<SessionKind> {
        let (certificate, renewal, made_in) = (self.certificate, self.renewal, self.made_in);
        let subject = || self.subject.cloned();
        let sent = || {
            let (code, tries) = (self.code?, self.code_tries?);
            Some(SentCode { code, tries, until: self.code_until?, typed_id: self.typed_id? })
        };
        let enrolment = |proof| SessionKind::Enrolment { subject: subject(), proof };
        Some(match self.kind {
            "portal" => SessionKind::Portal {
                subject: subject()?,
                certificate: certificate?,
                previous_sign_in: self.previous_sign_in,
            },
            "code_sent" => enrolment(Proof::CodeSent(sent()?)),
            "code_used" => enrolment(Proof::CodeUsed { sent: sent()?, renewal: renewal? }),
            "proven" => enrolment(Proof::Proven { renewal: renewal? }),
            "ticket" => SessionKind::Ticket {
                subject: subject()?,
                certificate: certificate?,
                renewal: renewal?,
                session: made_in?,
            },
            "program_key" => SessionKind::ProgramKey { renewal: renewal? },
            "agent_key" => SessionKind::AgentKey { renewal: renewal? },
            _ => {
                let right = self.agents()?;
                SessionKind::Agent { subject: subject(), session: made_in?, right }
            }
        })
    }

    fn agents(&self) -> Option<AgentRight> {
        let bound = || Some(AgentBound { certificate: self.certificate?, renewal: self.renewal? });
        Some(match self.kind {
            "agent_ticket" => AgentRight::Ticket { bound: bound()?, code: self.code? },
            "agent_used" => AgentRight::Used { bound: bound()? },
            "agent_opened" => AgentRight::Opened {
                bound: bound()?,
                code: self.code?,
                ticket: self.opened_by?,
                tries: self.code_tries?,
            },
            "agent_confirmed" => AgentRight::Confirmed { bound: bound()? },
            "agent_exhausted" => AgentRight::Exhausted { bound: bound()? },
            "enrolment_ticket" => AgentRight::EnrolmentTicket { sealed: self.code? },
            "enrolment_used" => AgentRight::EnrolmentUsed,
            "enrolment_opened" => AgentRight::EnrolmentOpened { sealed: self.code? },
            _ => return None,
        })
    }
}

/// Binds every column of a session in the order in which the statements below name them.
fn bind(script: &mut Script, session: &Session) {
    let octets = |id: Option<Fingerprint>| id.map(|id| id.as_bytes().to_vec());
    let row = Row::of(&session.kind);
    script.bind(session.key.as_bytes().to_vec()).bind(row.kind).bind(row.subject.map(ToString::to_string));
    script.bind(octets(row.certificate)).bind(octets(row.code)).bind(row.code_tries.map(i64::from));
    script.bind(row.code_until.map(millis)).bind(octets(row.typed_id));
    script.bind(row.renewal.map(|renewal| renewal.as_bytes().to_vec())).bind(row.previous_sign_in.map(millis));
    script.bind(octets(row.made_in)).bind(octets(row.opened_by));
    script.bind(millis(session.opened_at)).bind(millis(session.seen_at)).bind(millis(session.ends_at));
}

fn read(key: SessionKey, mut columns: Columns<'_>) -> Result<Session, StoreError> {
    let kind = columns.get::<&str>("sessions.kind")?;
    let kind = KINDS.iter().copied().find(|known| *known == kind).ok_or_else(|| damaged("sessions.kind"))?;
    let subject: Option<SubjectId> = columns.maybe_word("sessions.subject")?;
    let row = Row {
        kind,
        subject: subject.as_ref(),
        certificate: columns.maybe_fingerprint("sessions.certificate")?,
        code: columns.maybe_fingerprint("sessions.code")?,
        code_tries: columns.get::<Option<i64>>("sessions.code_tries")?.and_then(|tries| u8::try_from(tries).ok()),
        code_until: columns.maybe_instant("sessions.code_until")?,
        typed_id: columns.maybe_fingerprint("sessions.typed_id")?,
        renewal: columns.maybe_renewal_id("sessions.renewal")?,
        previous_sign_in: columns.maybe_instant("sessions.previous_sign_in")?,
        made_in: columns.maybe_fingerprint("sessions.made_in")?,
        opened_by: columns.maybe_fingerprint("sessions.opened_by")?,
    };
    Ok(Session {
        key,
        kind: row.meaning().ok_or_else(|| damaged("sessions.kind"))?,
        opened_at: columns.instant("sessions.opened_at")?,
        seen_at: columns.instant("sessions.seen_at")?,
        ends_at: columns.instant("sessions.ends_at")?,
    })
}

/// Every word of `sessions.kind`.
const KINDS: [&str; 15] = [
    "portal",
    "code_sent",
    "code_used",
    "proven",
    "ticket",
    "program_key",
    "agent_ticket",
    "agent_used",
    "agent_opened",
    "agent_confirmed",
    "agent_exhausted",
    "enrolment_ticket",
    "enrolment_used",
    "enrolment_opened",
    "agent_key",
];

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
         typed_id, renewal, previous_sign_in, made_in, opened_by, opened_at, seen_at, ends_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
             code_tries = ?, code_until = ?, typed_id = ?, renewal = ?, previous_sign_in = ?, made_in = ?, opened_by = ?, \
             opened_at = ?, seen_at = ?, ends_at = ? \
             WHERE key = ? AND kind = ? AND subject IS ? AND certificate IS ? AND code IS ? AND code_tries IS ? \
             AND code_until IS ? AND typed_id IS ? AND renewal IS ? AND previous_sign_in IS ? AND made_in IS ? \
             AND opened_by IS ? \
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
                     previous_sign_in, made_in, opened_by, opened_at, seen_at, ends_at FROM sessions WHERE key = ?";
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
