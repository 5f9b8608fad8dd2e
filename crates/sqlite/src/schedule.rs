//! The port `Schedule`.

use std::collections::HashSet;

use async_trait::async_trait;
use koshin_notify::{
    Ahead, InUse, Look, Next, Page, Place, Plan, PolicyMark, Schedule, ScheduleError, Scheduled, Stage,
};
use serde_json::{Value, json};
use sqlx::{Row as _, sqlite::SqliteRow};
use time::UtcDateTime;

use crate::{
    codec::{Columns, instant, millis, signed, unsigned},
    error::{StoreError, damaged},
    outbox::counts,
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

/// Plans that become outdated in one commit when the policy changes.
const SHARE: usize = 5_000;

/// What the schedule's jobs answer with; the port has its own error.
enum Refusal {
    OtherPolicy,
    Storage(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

impl From<Refusal> for ScheduleError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OtherPolicy => Self::OtherPolicy,
            Refusal::Storage(error) => unavailable(error),
        }
    }
}

fn unavailable(error: StoreError) -> ScheduleError {
    ScheduleError::Unavailable(Box::new(error))
}

struct Adopt {
    policy: PolicyMark,
}

#[async_trait]
impl Job for Adopt {
    type Done = bool;
    type Refused = Refusal;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<Refusal>> {
        if adopted(tx).await? == Some(self.policy) {
            return Ok(true);
        }
        let outdate = "/* Adopt::run */ UPDATE schedule SET planned = 2, next_look = NULL, revision = revision + 1 \
                    WHERE certificate IN (SELECT certificate FROM schedule WHERE planned = 1 LIMIT ?) \
                    RETURNING certificate";
        let outdated = tx.write(Script::one(outdate).with(i64::try_from(SHARE).unwrap_or(i64::MAX))).await?;
        if outdated.len() >= SHARE {
            return Ok(false);
        }
        let mark = "/* Adopt::run */ INSERT INTO schedule_policy (number, mark) VALUES (1, ?) \
                    ON CONFLICT (number) DO UPDATE SET mark = excluded.mark";
        tx.write(Script::one(mark).with(self.policy.as_bytes().to_vec())).await?;
        Ok(true)
    }
}

async fn adopted(tx: &mut Transaction<'_>) -> sqlx::Result<Option<PolicyMark>> {
    let rows = tx.read(Script::one("/* schedule::adopted */ SELECT mark FROM schedule_policy")).await?;
    Ok(rows.first().map(|row| row.try_get::<&[u8], _>(0)).transpose()?.and_then(policy_mark))
}

fn policy_mark(octets: &[u8]) -> Option<PolicyMark> {
    octets.try_into().ok().map(PolicyMark::from_bytes)
}

struct StorePlans {
    policy: PolicyMark,
    plans: Vec<Plan>,
    now: UtcDateTime,
}

#[async_trait]
impl Job for StorePlans {
    type Done = usize;
    type Refused = Refusal;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<usize, Failed<Refusal>> {
        if adopted(tx).await? != Some(self.policy) {
            return Err(Failed::Refused(Refusal::OtherPolicy));
        }
        let wanted: Vec<u64> = self.plans.iter().map(|plan| plan.number).collect();
        let standing = "/* StorePlans::run */ SELECT certificate, revision FROM schedule \
                        WHERE certificate IN (SELECT value FROM json_each(?))";
        let rows = tx.read(Script::one(standing).with(json!(wanted).to_string())).await?;
        let mut unchanged = HashSet::new();
        for row in &rows {
            unchanged.insert((row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?));
        }
        self.plans.retain(|plan| unchanged.contains(&(signed(plan.number), signed(plan.revision))));
        if !self.plans.is_empty() {
            tx.write_last(script(&self.plans, self.now)).await?;
        }
        Ok(self.plans.len())
    }
}

/// What plans change, as lists for `json_each`.
#[derive(Default)]
struct Lists {
    /// Certificate, threshold.
    withdrawn: Vec<Value>,
    /// Name, kind, ID, certificate, text, urgency.
    mails: Vec<Value>,
    /// Certificate, threshold, name of the mail, what it is closed with.
    notices: Vec<Value>,
    /// Certificate, whether it is planned, next look.
    looks: Vec<Value>,
}

impl Lists {
    fn add(&mut self, plan: &Plan) {
        let certificate = plan.number;
        self.withdrawn.extend(plan.withdraw.iter().map(|days| json!([certificate, days])));
        if let Some(owed) = &plan.due {
            let days = owed.threshold_days;
            let id = owed.mail.as_ref().map(|mail| mail.id.to_string());
            self.notices.push(json!([certificate, days, id, null]));
            self.notices.extend(owed.closes.iter().map(|closed| json!([certificate, closed, null, days])));
            if let Some(mail) = &owed.mail {
                let text = mail.encode();
                let (kind, urgency) = (mail.kind.word(), mail.kind.urgency().number());
                self.mails.push(json!([id, kind, mail.subject_id.as_str(), certificate, text.as_str(), urgency]));
            }
        }
        let (planned, next) = match plan.next {
            Next::At(at) => (1, Some(millis(at))),
            Next::Never => (1, None),
            Next::Ended => (0, None),
        };
        self.looks.push(json!([certificate, planned, next]));
    }
}

/// The statements that store plans, each once for all of them: preparing one costs more than a row.
fn script(plans: &[Plan], now: UtcDateTime) -> Script {
    let mut lists = Lists::default();
    for plan in plans {
        lists.add(plan);
    }
    let Lists { withdrawn, mails, notices, looks } = lists;
    let (mut script, now) = (Script::default(), millis(now));
    if !withdrawn.is_empty() {
        let withdrawn = Value::from(withdrawn).to_string();
        script.push(
            "/* schedule::script */ UPDATE outbox SET state = 'done', claimable_from = NULL, recorded_at = ?, \
             disposition = CASE WHEN unanswered + (state = 'transmitting') > 0 THEN 'unknown' \
             ELSE 'suppressed_withdrawn' END WHERE number IN (SELECT n.mail FROM json_each(?) AS j \
             JOIN notices AS n ON n.certificate = j.value ->> 0 AND n.threshold = j.value ->> 1) \
             AND (state IN ('waiting', 'claimed') OR (state = 'transmitting' AND claimable_from <= ?))",
        );
        script.bind(now).bind(withdrawn.clone()).bind(now);
        script.push(
            "/* schedule::script */ DELETE FROM notices WHERE (certificate, threshold) IN \
             (SELECT n.certificate, n.threshold FROM json_each(?) AS j \
             JOIN notices AS n ON n.certificate = j.value ->> 0 AND n.closed_with = j.value ->> 1)",
        );
        script.bind(withdrawn);
    }
    if !mails.is_empty() {
        script.push(
            "/* schedule::script */ INSERT INTO outbox (id, kind, subject, certificate, mail, planned_at, state, \
             claimable_from, urgency) SELECT unhex(j.value ->> 0), j.value ->> 1, j.value ->> 2, j.value ->> 3, \
             j.value ->> 4, ?, 'waiting', ?, j.value ->> 5 FROM json_each(?) AS j WHERE true ON CONFLICT (id) DO UPDATE SET state = 'waiting', \
             claimable_from = excluded.claimable_from, mail = excluded.mail, disposition = NULL, reply = NULL, \
             recorded_at = NULL WHERE outbox.state = 'done' AND outbox.unanswered = 0 \
             AND outbox.disposition GLOB 'suppressed_*' AND outbox.disposition <> 'suppressed_unreadable'",
        );
        script.bind(now).bind(now).bind(Value::from(mails).to_string());
    }
    if !notices.is_empty() {
        script.push(
            "/* schedule::script */ INSERT INTO notices (certificate, threshold, mail, closed_with, planned_at) \
             SELECT j.value ->> 0, j.value ->> 1, (SELECT o.number FROM outbox AS o WHERE o.id = unhex(j.value ->> 2)), \
             j.value ->> 3, ? FROM json_each(?) AS j WHERE true ON CONFLICT (certificate, threshold) DO UPDATE SET \
             mail = excluded.mail, closed_with = excluded.closed_with, planned_at = excluded.planned_at \
             WHERE notices.closed_with IS NOT NULL AND notices.closed_with IS NOT excluded.closed_with",
        );
        script.bind(now).bind(Value::from(notices).to_string());
    }
    script.push(
        "/* schedule::script */ UPDATE schedule SET planned = j.value ->> 1, next_look = j.value ->> 2, \
         revision = revision + 1 FROM json_each(?) AS j WHERE certificate = j.value ->> 0",
    );
    script.bind(Value::from(looks).to_string());
    script
}

/// A page of a look. The rows of one certificate, one for each notice, stand together.
fn page(look: Look, rows: &[SqliteRow], limit: usize) -> Result<Page, ScheduleError> {
    let (mut page, mut count) = (Page::default(), 0);
    for rows in rows.chunk_by(|one, next| number(one).ok() == number(next).ok()) {
        let Some(first) = rows.first() else { continue };
        let place = place(look, first).map_err(unavailable)?;
        match scheduled(place, first, rows) {
            Ok(row) => page.rows.push(row),
            Err(error) => tracing::error!(certificate = place.number, %error, "no notice can be planned for it"),
        }
        count += 1;
        page.more = (count >= limit).then_some(place);
    }
    Ok(page)
}

fn number(row: &SqliteRow) -> sqlx::Result<i64> {
    row.try_get(1)
}

fn place(look: Look, row: &SqliteRow) -> Result<Place, StoreError> {
    let mut columns = Columns::of(row);
    let at: i64 = columns.get("schedule.next_look")?;
    let at = match look {
        Look::Due => instant(at, "schedule.next_look")?,
        Look::Outdated | Look::Unplanned { .. } => {
            UtcDateTime::from_unix_timestamp(at).map_err(|_| damaged("schedule.not_after"))?
        }
    };
    Ok(Place { at, number: columns.unsigned("schedule.certificate")? })
}

fn scheduled(place: Place, first: &SqliteRow, rows: &[SqliteRow]) -> Result<Scheduled, StoreError> {
    let mut columns = Columns::of(first);
    columns.skip(2);
    let revision = columns.unsigned("schedule.revision")?;
    let serial = columns.maybe_serial("certificates.serial")?.ok_or_else(|| damaged("certificates.serial"))?;
    let certificate = InUse {
        serial,
        validity: columns.validity("certificates.not_before")?,
        subject_id: columns.word("subjects.id")?,
        language: columns.word("subjects.language")?,
        address: columns.maybe_word("subjects.address")?,
    };
    let notices = rows.iter().filter_map(|row| notice(row, 9).transpose()).collect::<Result<_, _>>()?;
    Ok(Scheduled { place, revision, certificate, notices })
}

/// The columns of a notice behind so many others: those of a look are nine.
pub(crate) fn notice(row: &SqliteRow, behind: usize) -> Result<Option<(u16, Stage)>, StoreError> {
    let mut columns = Columns::of(row);
    columns.skip(behind);
    let Some(threshold) = columns.get::<Option<i64>>("notices.threshold")? else { return Ok(None) };
    let threshold = unsigned(threshold, "notices.threshold")?;
    let closed_with = columns.get::<Option<i64>>("notices.closed_with")?;
    let word: Option<&str> = columns.get("outbox.state")?;
    let until = columns.maybe_instant("outbox.claimable_from")?;
    let doubtful = columns.get::<Option<i64>>("outbox.unanswered")?.is_some_and(|unanswered| unanswered > 0);
    let disposition: Option<&str> = columns.get("outbox.disposition")?;
    let stage = match (closed_with, word, until) {
        (Some(with), _, _) => Stage::Closed { with: unsigned(with, "notices.closed_with")? },
        (None, Some("transmitting"), Some(until)) => Stage::OnItsWay { until },
        (None, Some("waiting" | "claimed"), _) if doubtful => Stage::Doubtful,
        (None, Some("waiting" | "claimed"), _) => Stage::Waiting,
        (None, Some("done"), _) if disposition.is_some_and(|word| !counts(word)) => Stage::Withdrawn,
        // Ended as sent, or without an address to send to.
        (None, Some("done") | None, _) => Stage::Counts,
        _ => return Err(damaged("outbox.state")),
    };
    Ok(Some((threshold, stage)))
}

/// The statement of a look; `$of` says which rows of the schedule, in which order and from which place.
macro_rules! look_query {
    ($of:literal) => {
        concat!(
            "/* Store::look */ SELECT q.at, q.certificate, q.revision, c.serial, c.not_before, c.not_after, s.id, \
             s.language, s.address, n.threshold, n.closed_with, o.state, o.claimable_from, o.unanswered, o.disposition \
             FROM (",
            $of,
            ") AS q JOIN certificates AS c ON c.number = q.certificate JOIN subjects AS s ON s.number = c.subject \
             LEFT JOIN notices AS n ON n.certificate = q.certificate LEFT JOIN outbox AS o ON o.number = n.mail \
             ORDER BY q.at, q.certificate, n.threshold"
        )
    };
}

#[async_trait]
impl Schedule for Store {
    async fn ahead(&self, now: UtcDateTime) -> Result<Ahead, ScheduleError> {
        let query = "/* Store::ahead */ SELECT (SELECT mark FROM schedule_policy), \
                     (SELECT min(next_look) FROM schedule WHERE next_look IS NOT NULL), \
                     (SELECT min(not_after) FROM schedule WHERE planned = 2 AND not_after >= ?), \
                     (SELECT min(not_after) FROM schedule WHERE planned = 0 AND not_after >= ?)";
        let script = Script::one(query).with(now.unix_timestamp()).with(now.unix_timestamp());
        let Some(row) = self.readers().one(script).await.map_err(unavailable)? else { return Ok(Ahead::default()) };
        let mut columns = Columns::of(&row);
        let policy = columns.get::<Option<&[u8]>>("schedule_policy.mark").map_err(unavailable)?;
        let next_look = columns.maybe_instant("schedule.next_look").map_err(unavailable)?;
        let mut not_after = || {
            let seconds = columns.get::<Option<i64>>("schedule.not_after").map_err(unavailable)?;
            Ok::<_, ScheduleError>(seconds.and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok()))
        };
        let (outdated, unplanned) = (not_after()?, not_after()?);
        Ok(Ahead { policy: policy.and_then(policy_mark), next_look, outdated, unplanned })
    }

    async fn adopt(&self, policy: PolicyMark) -> Result<bool, ScheduleError> {
        Ok(self.write(Adopt { policy }).await?)
    }

    async fn look(
        &self,
        look: Look,
        now: UtcDateTime,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Page, ScheduleError> {
        const DUE: &str = look_query!(
            "SELECT next_look AS at, certificate, revision FROM schedule WHERE next_look BETWEEN ? AND ? \
             AND (next_look, certificate) > (?, ?) ORDER BY next_look, certificate LIMIT ?"
        );
        const BY_END: &str = look_query!(
            "SELECT not_after AS at, certificate, revision FROM schedule WHERE planned = ? AND not_after BETWEEN ? AND ? \
             AND (not_after, certificate) > (?, ?) ORDER BY not_after, certificate LIMIT ?"
        );
        let millis_of = |place: &Place| millis(place.at);
        let seconds_of = |place: &Place| place.at.unix_timestamp();
        let today = now.unix_timestamp();
        let (script, first, last, key): (_, _, _, &dyn Fn(&Place) -> i64) = match look {
            Look::Due => (Script::one(DUE), i64::MIN, millis(now), &millis_of),
            Look::Outdated => (Script::one(BY_END).with(2_i64), today, i64::MAX, &seconds_of),
            Look::Unplanned { until } => (Script::one(BY_END).with(0_i64), today, until.unix_timestamp(), &seconds_of),
        };
        let (at, number) = after.map_or((i64::MIN, i64::MIN), |place| (key(&place), signed(place.number)));
        let mut script = script.with(first.max(at)).with(last).with(at).with(number);
        script.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        page(look, &self.readers().all(script).await.map_err(unavailable)?, limit)
    }

    async fn plan(&self, policy: PolicyMark, plans: Vec<Plan>, now: UtcDateTime) -> Result<usize, ScheduleError> {
        Ok(self.write(StorePlans { policy, plans, now }).await?)
    }
}

#[cfg(test)]
mod tests {
    use koshin_notify::{Mail, Notice, Owed};
    use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
    use time::Duration;

    use super::*;
    use crate::Options;

    /// What a plan costs does not grow with the tables: of each statement only the list of plans is gone through.
    #[tokio::test]
    async fn a_plan_scans_no_table() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("koshin.db");
        Store::open(&file, &Options::default()).await.unwrap().shut_down().await;
        let now = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
        let (to, id) = ("taro@example.co.jp".parse().unwrap(), "U-1".parse().unwrap());
        let mail = Mail::new(Notice::AddressChanged { at: now }, "1", to, koshin_types::Language::Ja, id);
        let due = Some(Owed { threshold_days: 10, mail: Some(mail), closes: vec![30] });
        let plan = Plan { number: 1, revision: 0, withdraw: vec![30], due, next: Next::At(now) };
        let script = script(&[plan], now);
        let statements: Vec<_> = script.text.split(";\n").filter(|statement| !statement.is_empty()).collect();
        assert_eq!(statements.len(), 5);
        let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        for statement in statements {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            // A new mail's notices are only searched for while a foreign key lacks its parent, which none ever does.
            let expected =
                ["SCAN j VIRTUAL TABLE", if statement.contains("INTO outbox") { "SCAN notices" } else { "-" }];
            let known = |step: &&String| expected.iter().any(|expected| step.starts_with(expected));
            let scans = steps.iter().filter(|step| step.starts_with("SCAN") && !known(step));
            assert_eq!(scans.count(), 0, "{statement}: {steps:?}");
        }
    }
}
