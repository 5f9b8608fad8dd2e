//! The port `Matters`. Matters are opened and ended by the triggers of migration 12, and by the commit that permits.

use std::collections::{HashMap, hash_map::Entry};

use async_trait::async_trait;
use koshin_expiry::RenewalProgress;
use koshin_notify::{
    By, Coming, Conclusion, DaySummary, Digested, Digests, Disposition, Gathering, Mail, Matter, MatterPage, Matters,
    Member, OutboxError, Parties, Party, Past, Place, Suppression, Telling, Then, What,
};
use koshin_types::{OrganizationId, Role, SubjectId};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    codec::{Columns, millis, signed},
    error::{StoreError, damaged},
    outbox::unavailable,
    schedule::notice,
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

/// Whether a mail to the registered address of the subject `s` is an open task.
macro_rules! refused {
    () => {
        "EXISTS (SELECT 1 FROM outbox AS t WHERE t.subject = s.id AND t.addressee IS NULL \
         AND t.disposition IN ('undeliverable', 'bounced', 'unknown') AND t.state = 'done' AND t.settled = 0 \
         AND t.disposition <> 'unknown' AND t.kind NOT GLOB '*_administrator' AND t.kind <> 'operator_summary') \
         OR EXISTS (SELECT 1 FROM outbox AS t WHERE t.addressee = s.number AND t.state = 'done' AND t.settled = 0 \
         AND t.disposition IN ('undeliverable', 'bounced'))"
    };
}

struct Conclude {
    conclusions: Vec<Conclusion>,
    now: UtcDateTime,
}

#[async_trait]
impl Job for Conclude {
    type Done = usize;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<usize, Failed<StoreError>> {
        let wanted: Vec<u64> = self.conclusions.iter().map(|conclusion| conclusion.place.number).collect();
        let standing = "/* Conclude::run */ SELECT number, look_at, certificate FROM matters \
                        WHERE look_at IS NOT NULL AND number IN (SELECT value FROM json_each(?))";
        let mut known = HashMap::new();
        for row in &tx.read(Script::one(standing).with(json!(wanted).to_string())).await? {
            let mut columns = Columns::of(row);
            let (number, look_at): (i64, i64) = (columns.get("matters.number")?, columns.get("matters.look_at")?);
            known.insert((number, look_at), columns.get::<Option<i64>>("matters.certificate")?);
        }
        let (mut looks, mut mails) = (Vec::new(), Vec::new());
        for Conclusion { place, owed, then } in &self.conclusions {
            let Some(certificate) = known.get(&(signed(place.number), millis(place.at))) else { continue };
            let (look_at, over) = match then {
                Then::LookAt(at) => (Some(millis(*at)), 0),
                Then::Rest => (None, 0),
                Then::Over => (None, 1),
            };
            looks.push(json!([place.number, look_at, over]));
            mails.extend(owed.iter().map(|telling| row(telling, *certificate, self.now)));
        }
        let stored = looks.len();
        if stored > 0 {
            let mut script = Script::one(
                "/* Conclude::run */ UPDATE matters SET look_at = j.value ->> 1, over = j.value ->> 2 \
                 FROM json_each(?) AS j WHERE number = j.value ->> 0",
            );
            script.bind(Value::from(looks).to_string());
            put_mails(&mut script, mails, self.now);
            tx.write_last(script).await?;
        }
        Ok(stored)
    }
}

/// A mail as a row of a list: name, kind, ID, certificate, addressee, text, urgency, state, when it can be claimed,
/// disposition, when that was recorded.
fn row(Telling { mail, addressee, by }: &Telling, certificate: Option<i64>, now: UtcDateTime) -> Value {
    let (text, now) = (mail.encode(), millis(now));
    let left = Disposition::Suppressed { why: Suppression::InDigest };
    let (state, from, disposition, recorded) = match by {
        By::Itself => ("waiting", Some(now), None, None),
        By::Digest => ("done", None, Some(left.word()), Some(now)),
    };
    json!([
        mail.id.to_string(),
        mail.kind.word(),
        mail.subject_id.as_str(),
        certificate,
        addressee.as_ref().map(SubjectId::as_str),
        text.as_str(),
        mail.kind.urgency().number(),
        state,
        from,
        disposition,
        recorded,
    ])
}

fn put_mails(script: &mut Script, mails: Vec<Value>, now: UtcDateTime) {
    if !mails.is_empty() {
        script.push(
            "/* matters::put_mails */ INSERT INTO outbox (id, kind, subject, certificate, addressee, mail, planned_at, \
             urgency, state, claimable_from, disposition, recorded_at) SELECT unhex(j.value ->> 0), j.value ->> 1, \
             j.value ->> 2, j.value ->> 3, (SELECT s.number FROM subjects AS s WHERE s.id = j.value ->> 4), \
             j.value ->> 5, ?, j.value ->> 6, j.value ->> 7, j.value ->> 8, j.value ->> 9, j.value ->> 10 \
             FROM json_each(?) AS j WHERE true ON CONFLICT (id) DO NOTHING",
        );
        script.bind(millis(now)).bind(Value::from(mails).to_string());
    }
}

struct Digest {
    digested: Digested,
    due: UtcDateTime,
    now: UtcDateTime,
}

#[async_trait]
impl Job for Digest {
    type Done = bool;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<StoreError>> {
        let Digested { organization, owed, unreachable } = &self.digested;
        let standing = "/* Digest::run */ SELECT number FROM organizations \
                        WHERE id = ? AND digests = 1 AND coalesce(digest_due < ?, TRUE)";
        let rows = tx.read(Script::one(standing).with(organization.as_str()).with(millis(self.due))).await?;
        let Some(standing) = rows.first() else { return Ok(false) };
        let number: i64 = Columns::of(standing).get("organizations.number")?;
        let mut script = Script::one("/* Digest::run */ UPDATE organizations SET digest_due = ? WHERE number = ?");
        script.bind(millis(self.due)).bind(number);
        let unreachable: Vec<_> = unreachable.iter().map(SubjectId::as_str).collect();
        script.push(
            "/* Digest::run */ UPDATE outbox SET state = 'waiting', claimable_from = ?, disposition = NULL, \
             recorded_at = NULL WHERE disposition = 'suppressed_in_digest' AND settled = 0 AND addressee IN \
             (SELECT s.number FROM json_each(?) AS j JOIN subjects AS s ON s.id = j.value)",
        );
        script.bind(millis(self.now)).bind(json!(unreachable).to_string());
        script.push(
            "/* Digest::run */ UPDATE outbox SET settled = 1 WHERE disposition = 'suppressed_in_digest' AND settled = 0 \
             AND addressee IN (SELECT number FROM subjects WHERE organization = ?)",
        );
        script.bind(number);
        put_mails(&mut script, owed.iter().map(|telling| row(telling, None, self.now)).collect(), self.now);
        tx.write_last(script).await?;
        Ok(true)
    }
}

struct Summarize {
    from: Option<UtcDateTime>,
    until: UtcDateTime,
    mail: Option<Mail>,
    now: UtcDateTime,
}

#[async_trait]
impl Job for Summarize {
    type Done = bool;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<StoreError>> {
        let mut script = match self.from {
            Some(from) => {
                Script::one("/* Summarize::run */ UPDATE summaries SET until = ? WHERE until = ? RETURNING 1")
                    .with(millis(self.until))
                    .with(millis(from))
            }
            None => Script::one(
                "/* Summarize::run */ INSERT INTO summaries (number, until) VALUES (1, ?) ON CONFLICT DO NOTHING \
                 RETURNING 1",
            )
            .with(millis(self.until)),
        };
        if tx.write(std::mem::take(&mut script)).await?.is_empty() {
            return Ok(false);
        }
        if let Some(mail) = self.mail.take() {
            let telling = Telling { mail, addressee: None, by: By::Itself };
            put_mails(&mut script, vec![row(&telling, None, self.now)], self.now);
            tx.write(script).await?;
        }
        Ok(true)
    }
}

/// Number, ID, language, address, whether that refuses.
fn party(columns: &mut Columns<'_>) -> Result<Party, StoreError> {
    Ok(Party {
        subject_id: columns.word("subjects.id")?,
        language: columns.word("subjects.language")?,
        address: columns.maybe_word("subjects.address")?,
        refused: columns.get("outbox.disposition")?,
    })
}

/// How far the renewal is that is in this state; `None` for one that has ended.
fn progress(state: Option<&str>) -> RenewalProgress {
    match state {
        Some("started" | "requested" | "intended") => RenewalProgress::Started,
        Some("issued" | "delivered") => RenewalProgress::Issued,
        _ => RenewalProgress::None,
    }
}

fn digests(wanted: bool) -> Digests {
    if wanted { Digests::Wanted } else { Digests::OptedOut }
}

/// A matter as it was read, without its notices and its administrators.
struct Read {
    matter: Matter,
    organization: i64,
    certificate: Option<i64>,
}

fn read(row: &SqliteRow, place: Place) -> Result<Read, StoreError> {
    let mut columns = Columns::of(row);
    columns.skip(2);
    let kind: &str = columns.get("matters.kind")?;
    let at = columns.maybe_instant("matters.at")?;
    let certificate = columns.get("matters.certificate")?;
    let holder = party(&mut columns)?;
    let role: Role = columns.word("subjects.role")?;
    let (organization, wanted) = (columns.get("subjects.organization")?, columns.get("organizations.digests")?);
    let renewal = progress(columns.get("renewals.state")?);
    let what = match (kind, at) {
        ("permission", Some(until)) => What::Permission { until },
        ("address", Some(at)) => What::Address { at },
        ("ignored", _) => {
            let serial = columns.serial("certificates.serial")?;
            let validity = columns.validity("certificates.not_before")?;
            What::Ignored { serial, validity, notices: Vec::new(), renewal }
        }
        _ => return Err(damaged("matters.kind")),
    };
    let parties = Parties { holder, role, administrators: Vec::new(), digests: digests(wanted) };
    Ok(Read { matter: Matter { place, what, parties }, organization, certificate })
}

impl Store {
    /// The administrators of an organization, by identifier.
    async fn administrators(&self, organization: i64) -> Result<Vec<Party>, StoreError> {
        let query = concat!(
            "/* Store::administrators */ SELECT s.id, s.language, s.address, ",
            refused!(),
            " FROM subjects AS s WHERE s.organization = ? AND s.role = 'administrator' ORDER BY s.id"
        );
        let rows = self.readers().all(Script::one(query).with(organization)).await?;
        rows.iter().map(|row| party(&mut Columns::of(row))).collect()
    }

    async fn read_matter(
        &self,
        row: &SqliteRow,
        place: Place,
        known: &mut HashMap<i64, Vec<Party>>,
    ) -> Result<Matter, StoreError> {
        let Read { mut matter, organization, certificate } = read(row, place)?;
        if let What::Ignored { notices, .. } = &mut matter.what {
            let query = "/* Store::read_matter */ SELECT n.threshold, n.closed_with, o.state, o.claimable_from, \
                         o.unanswered, o.disposition FROM notices AS n LEFT JOIN outbox AS o ON o.number = n.mail \
                         WHERE n.certificate = ? ORDER BY n.threshold";
            let rows = self.readers().all(Script::one(query).with(certificate)).await?;
            *notices = rows.iter().filter_map(|row| notice(row, 0).transpose()).collect::<Result<_, _>>()?;
        }
        let others = match known.entry(organization) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.administrators(organization).await?),
        };
        let holder = &matter.parties.holder.subject_id;
        matter.parties.administrators = others.iter().filter(|other| other.subject_id != *holder).cloned().collect();
        Ok(matter)
    }

    async fn members(&self, organization: i64) -> Result<Vec<Member>, StoreError> {
        let query = concat!(
            "/* Store::members */ SELECT s.id, c.not_before, c.not_after, r.state, ",
            refused!(),
            " FROM subjects AS s JOIN certificates AS c ON c.subject = s.number AND c.status = 'active' \
             LEFT JOIN renewals AS r ON r.id = s.renewal WHERE s.organization = ? ORDER BY s.id"
        );
        let rows = self.readers().all(Script::one(query).with(organization)).await?;
        let member = |row| {
            let mut columns = Columns::of(row);
            Ok(Member {
                subject_id: columns.word("subjects.id")?,
                validity: Some(columns.validity("certificates.not_before")?),
                renewal: progress(columns.get("renewals.state")?),
                address_refused: columns.get("outbox.disposition")?,
            })
        };
        rows.iter().map(member).collect()
    }

    async fn page(&self, now: UtcDateTime, after: Option<Place>, limit: usize) -> Result<MatterPage, StoreError> {
        const QUERY: &str = concat!(
            "/* Store::page */ SELECT m.look_at, m.number, m.kind, m.at, m.certificate, s.id, s.language, s.address, ",
            refused!(),
            ", s.role, s.organization, o.digests, r.state, c.serial, c.not_before, c.not_after FROM matters AS m \
             JOIN subjects AS s ON s.number = m.subject JOIN organizations AS o ON o.number = s.organization \
             LEFT JOIN renewals AS r ON r.id = s.renewal LEFT JOIN certificates AS c ON c.number = m.certificate \
             WHERE m.look_at BETWEEN ? AND ? AND (m.look_at, m.number) > (?, ?) ORDER BY m.look_at, m.number LIMIT ?"
        );
        let (at, number) = after.map_or((i64::MIN, i64::MIN), |place| (millis(place.at), signed(place.number)));
        let script = Script::one(QUERY).with(at).with(millis(now)).with(at).with(number);
        let rows = self.readers().all(script.with(i64::try_from(limit).unwrap_or(i64::MAX))).await?;
        let (mut page, mut known) = (MatterPage::default(), HashMap::new());
        for row in &rows {
            let mut columns = Columns::of(row);
            let (at, number) = (columns.instant("matters.look_at")?, columns.unsigned("matters.number")?);
            let place = Place { at, number };
            page.more = Some(place);
            match self.read_matter(row, place, &mut known).await {
                Ok(matter) => page.rows.push(matter),
                Err(StoreError::Unavailable(error)) => return Err(StoreError::Unavailable(error)),
                Err(error) => tracing::error!(matter = number, %error, "nobody can be told of it"),
            }
        }
        page.more = page.more.filter(|_| rows.len() >= limit);
        Ok(page)
    }

    async fn gathered(
        &self,
        due: UtcDateTime,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Gathering>, StoreError> {
        let query = "/* Store::gathered */ SELECT number, id, digest_due FROM organizations \
                     WHERE digests = 1 AND coalesce(digest_due < ?, TRUE) AND id > ? ORDER BY id LIMIT ?";
        let script = Script::one(query).with(millis(due)).with(after.map_or("", OrganizationId::as_str));
        let rows = self.readers().all(script.with(i64::try_from(limit).unwrap_or(i64::MAX))).await?;
        let mut gatherings = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row);
            let number: i64 = columns.get("organizations.number")?;
            let organization = columns.word("organizations.id")?;
            let last = columns.maybe_instant("organizations.digest_due")?;
            // A first digest says nothing: it only marks where to begin.
            let (administrators, members) = match last {
                Some(_) => (self.administrators(number).await?, self.members(number).await?),
                None => (Vec::new(), Vec::new()),
            };
            gatherings.push(Gathering { organization, last, administrators, members });
        }
        Ok(gatherings)
    }

    async fn summed_up(&self, from: UtcDateTime, until: UtcDateTime) -> Result<DaySummary, StoreError> {
        let mails = "/* Store::summed_up */ SELECT count(*) FILTER (WHERE disposition = 'sent'), \
                     count(*) FILTER (WHERE disposition = 'undeliverable'), count(*) FILTER (WHERE disposition = 'bounced'), \
                     count(*) FILTER (WHERE disposition = 'unknown') FROM outbox \
                     WHERE state = 'done' AND recorded_at >= ? AND recorded_at < ?";
        let open = "/* Store::summed_up */ SELECT (SELECT count(*) FROM outbox WHERE claimable_from IS NOT NULL), \
                    (SELECT count(*) FROM outbox WHERE disposition IN ('undeliverable', 'bounced', 'unknown') \
                    AND state = 'done' AND settled = 0)";
        let made = "/* Store::summed_up */ SELECT (SELECT count(*) FROM certificates WHERE issued_at >= ? AND issued_at < ?), \
                    (SELECT count(*) FROM certificates WHERE status = 'revoked' AND status_at >= ? AND status_at < ?)";
        let ends = "/* Store::summed_up */ SELECT count(*) FROM certificates \
                    WHERE status = 'active' AND not_after >= ? AND not_after < ?";
        let mut counts = Vec::new();
        let (first, last) = (millis(from), millis(until));
        for script in [
            Script::one(mails).with(first).with(last),
            Script::one(open),
            Script::one(made).with(first).with(last).with(first).with(last),
        ] {
            let row = self.readers().one(script).await?.ok_or_else(|| damaged("a count"))?;
            counts.push(row);
        }
        let [mails, open, made] = counts.as_slice() else { return Err(damaged("a count")) };
        // notAfter is a whole second, and a day begins with one.
        let second = |at: UtcDateTime| at.unix_timestamp();
        let ending = async |from: i64, until: i64| {
            let row = self.readers().one(Script::one(ends).with(from).with(until)).await?;
            let row = row.ok_or_else(|| damaged("a count"))?;
            Columns::of(&row).unsigned("certificates.not_after")
        };
        let after = |days: i64| second(until) + days * 86_400;
        let (mut mails, mut open, mut made) = (Columns::of(mails), Columns::of(open), Columns::of(made));
        Ok(DaySummary {
            sent: mails.unsigned("outbox.disposition")?,
            refused: mails.unsigned("outbox.disposition")?,
            bounced: mails.unsigned("outbox.disposition")?,
            unknown: mails.unsigned("outbox.disposition")?,
            waiting: open.unsigned("outbox.claimable_from")?,
            tasks: open.unsigned("outbox.settled")?,
            issued: made.unsigned("certificates.issued_at")?,
            revoked: made.unsigned("certificates.status_at")?,
            ended: ending(second(from), second(until)).await?,
            ending_soon: ending(second(until), after(10)).await?,
            ending: ending(second(until), after(30)).await?,
        })
    }
}

#[async_trait]
impl Matters for Store {
    async fn coming(&self) -> Result<Coming, OutboxError> {
        let query = "/* Store::coming */ SELECT (SELECT min(look_at) FROM matters WHERE look_at IS NOT NULL), \
                     EXISTS (SELECT 1 FROM organizations WHERE digests = 1), \
                     (SELECT digest_due FROM organizations WHERE digests = 1 ORDER BY digest_due LIMIT 1), \
                     (SELECT until FROM summaries)";
        let Some(row) = self.readers().one(Script::one(query)).await.map_err(unavailable)? else {
            return Ok(Coming::default());
        };
        let mut columns = Columns::of(&row);
        let mut coming = || {
            let matter = columns.maybe_instant("matters.look_at")?;
            let wanted: bool = columns.get("organizations.digests")?;
            // Of several, those without a digest come first.
            let digested = match (wanted, columns.maybe_instant("organizations.digest_due")?) {
                (false, _) => Past::Nobody,
                (true, None) => Past::Never,
                (true, Some(due)) => Past::Since(due),
            };
            Ok(Coming { matter, digested, summarized: columns.maybe_instant("summaries.until")? })
        };
        coming().map_err(unavailable)
    }

    async fn matters(&self, now: UtcDateTime, after: Option<Place>, limit: usize) -> Result<MatterPage, OutboxError> {
        self.page(now, after, limit).await.map_err(unavailable)
    }

    async fn conclude(&self, conclusions: Vec<Conclusion>, now: UtcDateTime) -> Result<usize, OutboxError> {
        self.write(Conclude { conclusions, now }).await.map_err(unavailable)
    }

    async fn gatherings(
        &self,
        due: UtcDateTime,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Gathering>, OutboxError> {
        self.gathered(due, after, limit).await.map_err(unavailable)
    }

    async fn digest(&self, digested: Digested, due: UtcDateTime, now: UtcDateTime) -> Result<bool, OutboxError> {
        self.write(Digest { digested, due, now }).await.map_err(unavailable)
    }

    async fn day(&self, from: UtcDateTime, until: UtcDateTime) -> Result<DaySummary, OutboxError> {
        self.summed_up(from, until).await.map_err(unavailable)
    }

    async fn summarize(
        &self,
        from: Option<UtcDateTime>,
        until: UtcDateTime,
        mail: Option<Mail>,
        now: UtcDateTime,
    ) -> Result<bool, OutboxError> {
        self.write(Summarize { from, until, mail, now }).await.map_err(unavailable)
    }
}
