//! One commit about one subject.

use async_trait::async_trait;
use koshin_notify::{Mail, reminder_opens};
use koshin_ra::{Commit, CommitError, Intent};
use koshin_renewal::{Basis, Fact, HeldCertificate, Renewal, State};
use koshin_types::Fingerprint;
use sqlx::Row as _;
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{is_constraint, millis, signed, unsigned},
    correspondence::{answer_order, put_order},
    error::damaged,
    file::{Loaded, status_columns},
    fresh::Fresh,
    note::actor_text,
    script::Script,
    writer::{Failed, Job, Transaction},
};

/// A commit, worked out as far as it can be without the writer: the rows that change and the records.
pub(crate) struct CommitJob {
    fresh: Fresh,
    commit: Commit,
    number: i64,
    renewals: Vec<Change<Renewal>>,
    /// With the generation: 1 for the first certificate of the subject.
    certificates: Vec<(i64, Change<HeldCertificate>)>,
    records: Vec<Record>,
}

enum Change<T> {
    New(T),
    Changed(T),
}

struct Record {
    entry: Entry,
    /// The certificate that this fact superseded or revoked.
    settled: Option<Fingerprint>,
}

impl CommitJob {
    /// Works out what changes from the file the decision was made on.
    pub(crate) fn new(commit: Commit, on: &Loaded, fresh: Fresh) -> Result<Self, CommitError> {
        commit.check(&on.file.holding)?;
        let mut holding = on.file.holding.clone();
        let mut renewals = Vec::new();
        let mut records = Vec::new();
        let actor = actor_text(&commit.actor);
        for fact in &commit.facts {
            let before = holding.renewal.clone();
            holding.apply(fact, commit.at);
            if let Some(after) = holding.renewal.clone().filter(|after| before.as_ref() != Some(after)) {
                keep(&mut renewals, before, after);
            }
            let body = serde_json::to_string(fact).map_err(|_| damaged("commit: a fact is no JSON"))?;
            let settled = match fact {
                Fact::Superseded { serial, .. } | Fact::Revoked { serial, .. } => {
                    let held = holding.certificates.iter().find(|held| held.serial == *serial);
                    held.map(|held| held.fingerprint)
                }
                _ => None,
            };
            let entry = Entry {
                at: millis(commit.at),
                actor: actor.clone(),
                subject: Some(commit.subject.to_string()),
                fact: true,
                word: fact.as_str().to_owned(),
                body,
            };
            records.push(Record { entry, settled });
        }
        records.extend(commit.note().map(|note| Record { entry: Entry::note(&note, commit.at), settled: None }));
        let certificates = certificates(&on.file.holding.certificates, &commit.next.certificates);
        Ok(Self { fresh, commit, number: on.number, renewals, certificates, records })
    }

    fn script(&mut self, tx: &mut Transaction<'_>) -> Script {
        let mut script = Script::default();
        for renewal in &self.renewals {
            put_renewal(&mut script, self.number, renewal);
        }
        guard(&mut script, self.number, &self.commit);
        self.permission(&mut script);
        for fact in &self.commit.facts {
            if let Fact::Requested { id, spki, .. } = fact {
                script.push("/* CommitJob::script */ INSERT INTO keys_seen (spki, renewal) VALUES (?, ?)");
                script.bind(spki.as_bytes().to_vec()).bind(id.as_bytes().to_vec());
            }
        }
        if let Some(order) = &self.commit.order {
            put_order(&mut script, order);
        }
        if let Some(intent) = &self.commit.intent {
            put_intent(&mut script, intent);
            if self.commit.certified.is_some() {
                answer_order(&mut script, &intent.renewal);
            }
        }
        if let Some(certified) = &self.commit.certified {
            script.push("/* CommitJob::script */ INSERT INTO documents (serial, der) VALUES (?, ?)");
            script.bind(certified.serial.as_be_bytes()).bind(certified.der.as_slice());
        }
        for (generation, certificate) in &self.certificates {
            put_certificate(&mut script, self.number, *generation, certificate);
        }
        for Record { entry, settled } in self.records.drain(..) {
            let sequence = entry.append(&mut tx.head, &mut script);
            if let Some(fingerprint) = settled {
                script.push("/* CommitJob::script */ INSERT INTO changes (sequence, fingerprint) VALUES (?, ?)");
                script.bind(signed(sequence)).bind(fingerprint.as_bytes().to_vec());
            }
        }
        for mail in &self.commit.mails {
            put_mail(&mut script, mail, self.commit.at);
        }
        script
    }

    /// Opens the matter of a permission that is given. That of an older one went with the subject's row.
    fn permission(&self, script: &mut Script) {
        let Some(grant) = self.commit.next.grant else { return };
        if self.commit.facts.iter().any(|fact| matches!(fact, Fact::Permitted { .. })) {
            script.push(
                "/* CommitJob::permission */ INSERT INTO matters (kind, subject, at, look_at) \
                 VALUES ('permission', ?, ?, ?) ON CONFLICT DO UPDATE SET look_at = excluded.look_at, over = 0",
            );
            let look_at = reminder_opens(self.commit.at, grant.until);
            script.bind(self.number).bind(millis(grant.until)).bind(millis(look_at));
        }
    }

    /// Why the tables refused the commit.
    async fn diagnose(&self, tx: &mut Transaction<'_>, message: &str) -> Result<CommitError, sqlx::Error> {
        let found = "/* CommitJob::diagnose */ SELECT version FROM subjects WHERE id = ?";
        let rows = tx.read(Script::one(found).with(self.commit.subject.as_str())).await?;
        let Some(row) = rows.first() else { return Ok(CommitError::NoSubject(self.commit.subject.clone())) };
        let found = match unsigned(row.try_get::<i64, _>(0)?, "subjects.version") {
            Ok(found) => found,
            Err(error) => return Ok(error.into()),
        };
        if found != self.commit.version {
            return Ok(CommitError::Conflict { expected: self.commit.version, found });
        }
        for fact in &self.commit.facts {
            let Fact::Requested { spki, .. } = fact else { continue };
            let seen = "/* CommitJob::diagnose */ SELECT spki FROM keys_seen WHERE spki = ?";
            if !tx.read(Script::one(seen).with(spki.as_bytes().to_vec())).await?.is_empty() {
                return Ok(CommitError::KeySeen { spki: *spki });
            }
        }
        if let Some(intent) = &self.commit.intent {
            let used = "/* CommitJob::diagnose */ SELECT number FROM intents WHERE serial = ?";
            if !tx.read(Script::one(used).with(intent.serial.as_be_bytes())).await?.is_empty() {
                return Ok(CommitError::SerialUsed { serial: intent.serial });
            }
        }
        if let Some(certified) = &self.commit.certified {
            let stray = "/* CommitJob::diagnose */ SELECT serial FROM strays WHERE serial = ?";
            if !tx.read(Script::one(stray).with(certified.serial.as_be_bytes())).await?.is_empty() {
                return Ok(CommitError::SerialRevoked { serial: certified.serial });
            }
        }
        Ok(damaged(format!("commit: {message}")).into())
    }
}

#[async_trait]
impl Job for CommitJob {
    type Done = ();
    type Refused = CommitError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<CommitError>> {
        let script = self.script(tx);
        let error = match tx.write_last(script).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let message = match error.as_database_error() {
            Some(refusal) if is_constraint(refusal) => refusal.message().to_owned(),
            _ => return Err(error.into()),
        };
        tx.undo().await?;
        Err(Failed::Refused(self.diagnose(tx, &message).await?))
    }

    fn durable(&self, (): &()) {
        self.fresh.committed(&self.commit);
    }
}

/// Remembers the newest state of a renewal that a fact touched.
fn keep(renewals: &mut Vec<Change<Renewal>>, before: Option<Renewal>, after: Renewal) {
    let same = |change: &&mut Change<Renewal>| match change {
        Change::New(renewal) | Change::Changed(renewal) => renewal.id == after.id,
    };
    match renewals.iter_mut().find(same) {
        Some(Change::New(renewal) | Change::Changed(renewal)) => *renewal = after,
        None if before.is_some_and(|before| before.id == after.id) => renewals.push(Change::Changed(after)),
        None => renewals.push(Change::New(after)),
    }
}

/// The rows of certificates that change, in an order in which there never are two active or two pending ones.
fn certificates(before: &[HeldCertificate], after: &[HeldCertificate]) -> Vec<(i64, Change<HeldCertificate>)> {
    let mut changes = Vec::new();
    for (generation, (index, held)) in (1..).zip(after.iter().enumerate()) {
        match before.get(index) {
            Some(same) if same == held => {}
            Some(_) => changes.push((generation, Change::Changed(held.clone()))),
            None => changes.push((generation, Change::New(held.clone()))),
        }
    }
    changes.sort_by_key(|(_, change)| match change {
        Change::New(held) | Change::Changed(held) => std::cmp::Reverse(held.status.word()),
    });
    changes
}

/// Sets the subject's row, and fails on its `NOT NULL` when the version is another one.
fn guard(script: &mut Script, number: i64, commit: &Commit) {
    script.push(
        "/* commit::guard */ UPDATE subjects SET version = CASE WHEN version = ? THEN version + 1 END, wake_at = ?, \
         grant_until = ?, renewal = ? WHERE number = ?",
    );
    script.bind(signed(commit.version)).bind(commit.wake_at.map(millis));
    script.bind(commit.next.grant.map(|grant| millis(grant.until)));
    script.bind(commit.next.renewal.as_ref().map(|renewal| renewal.id.as_bytes().to_vec())).bind(number);
}

fn put_renewal(script: &mut Script, subject: i64, change: &Change<Renewal>) {
    let renewal = match change {
        Change::New(renewal) => {
            script.push(
                "/* commit::put_renewal */ INSERT INTO renewals (subject, basis, predecessor, predecessor_end, \
                 started_at, again, chain_started_at, state, why, spki, protection, serial, fingerprint, issued_at, id) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            );
            let (basis, predecessor, end) = match renewal.basis {
                Basis::Renewal { predecessor, end } => ("renewal", Some(predecessor), Some(end)),
                Basis::Enrolment { predecessor_end } => ("enrolment", None, predecessor_end),
            };
            script.bind(subject).bind(basis).bind(predecessor.map(|serial| serial.as_be_bytes().to_vec()));
            script.bind(end.map(millis)).bind(millis(renewal.started_at)).bind(i64::from(renewal.again));
            script.bind(millis(renewal.chain_started_at));
            renewal
        }
        Change::Changed(renewal) => {
            // What an ended renewal had been bound to stays beside its end.
            script.push(
                "/* commit::put_renewal */ UPDATE renewals SET state = ?, why = ?, spki = coalesce(?, spki), \
                 protection = coalesce(?, protection), serial = coalesce(?, serial), \
                 fingerprint = coalesce(?, fingerprint), issued_at = coalesce(?, issued_at) WHERE id = ?",
            );
            renewal
        }
    };
    let why = match renewal.state {
        State::Abandoned { why } => Some(why.as_str()),
        _ => None,
    };
    let (key, issued) = (renewal.state.key(), renewal.state.issued());
    script.bind(renewal.state.as_str()).bind(why).bind(key.map(|key| key.spki.as_bytes().to_vec()));
    script.bind(key.map(|key| key.protection.as_str()));
    script.bind(renewal.state.serial().map(|serial| serial.as_be_bytes().to_vec()));
    script.bind(issued.map(|issued| issued.fingerprint.as_bytes().to_vec()));
    script.bind(issued.map(|issued| millis(issued.at))).bind(renewal.id.as_bytes().to_vec());
}

fn put_intent(script: &mut Script, intent: &Intent) {
    script.push(
        "/* commit::put_intent */ INSERT INTO intents (serial, renewal, spki, not_before, not_after, tbs) \
         VALUES (?, ?, ?, ?, ?, ?)",
    );
    script.bind(intent.serial.as_be_bytes()).bind(intent.renewal.as_bytes().to_vec());
    script.bind(intent.spki.as_bytes().to_vec()).bind(intent.validity.not_before().unix_timestamp());
    script.bind(intent.validity.not_after().unix_timestamp()).bind(intent.tbs.as_slice());
}

fn put_certificate(script: &mut Script, subject: i64, generation: i64, change: &Change<HeldCertificate>) {
    let held = match change {
        Change::New(held) => {
            script.push(
                "/* commit::put_certificate */ INSERT INTO certificates (serial, fingerprint, not_before, not_after, \
                 spki, protection, issued_at, status, status_at, superseded_by, reason, deferred, subject, generation) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            );
            script.bind(held.serial.as_be_bytes()).bind(held.fingerprint.as_bytes().to_vec());
            script.bind(held.validity.not_before().unix_timestamp());
            script.bind(held.validity.not_after().unix_timestamp()).bind(held.key.spki.as_bytes().to_vec());
            script.bind(held.key.protection.as_str()).bind(millis(held.issued_at));
            held
        }
        Change::Changed(held) => {
            script.push(
                "/* commit::put_certificate */ UPDATE certificates SET status = ?, status_at = ?, superseded_by = ?, \
                 reason = ?, deferred = ? WHERE subject = ? AND generation = ?",
            );
            held
        }
    };
    let (status, at, by, reason) = status_columns(&held.status);
    script.bind(status).bind(at.map(millis)).bind(by).bind(reason).bind(i64::from(held.deferred));
    script.bind(subject).bind(generation);
}

/// Owes a mail, unless it was owed before.
pub(crate) fn put_mail(script: &mut Script, mail: &Mail, due: UtcDateTime) {
    script.push(
        "/* commit::put_mail */ INSERT INTO outbox (id, kind, subject, mail, planned_at, state, claimable_from, \
         urgency) VALUES (?, ?, ?, ?, ?, 'waiting', ?, ?) ON CONFLICT (id) DO NOTHING",
    );
    script.bind(mail.id.as_bytes().to_vec()).bind(mail.kind.word()).bind(mail.subject_id.as_str());
    script.bind(mail.encode().as_str()).bind(millis(due)).bind(millis(due));
    script.bind(i64::from(mail.kind.urgency().number()));
}
