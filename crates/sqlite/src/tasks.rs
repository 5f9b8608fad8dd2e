//! The port `Tasks`: what became of mails that reached nobody.

use async_trait::async_trait;
use koshin_notify::{Bounce, Mail, MailId, OutboxError, Task, Tasks, Trouble, Whose};
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    codec::{Columns, millis},
    error::{StoreError, damaged},
    outbox::{is_readdressed, registered, unavailable},
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

struct Bounced {
    id: MailId,
    bounce: Bounce,
    now: UtcDateTime,
}

#[async_trait]
impl Job for Bounced {
    type Done = bool;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<StoreError>> {
        let known = Script::one(concat!(
            "/* Bounced::run */ SELECT o.number, o.mail, o.state, o.kind, o.recipient, ",
            registered!(),
            " FROM outbox AS o WHERE o.id = ? AND o.attempts > 0 \
             AND (o.state <> 'done' OR o.disposition IN ('sent', 'unknown'))",
        ));
        let rows = tx.read(known.with(self.id.as_bytes().to_vec())).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let mut columns = Columns::of(row);
        let number: i64 = columns.get("outbox.number").map_err(Failed::Refused)?;
        let mail: &str = columns.get("outbox.mail").map_err(Failed::Refused)?;
        let state: &str = columns.get("outbox.state").map_err(Failed::Refused)?;
        let readdressed = is_readdressed(&mut columns).map_err(Failed::Refused)?;
        match &self.bounce {
            Bounce::Failed { reply } => {
                let kept = Mail::decode(mail).map(|mail| mail.without_secret().encode().to_string());
                // Whoever is about to record or to repeat it is overtaken.
                let mut script = Script::one(
                    "/* Bounced::run */ UPDATE outbox SET state = 'done', claimable_from = NULL, mail = ?, \
                     fence = fence + 1, disposition = 'bounced', reply = ?, recorded_at = ?, settled = ? \
                     WHERE number = ?",
                );
                script.bind(kept.unwrap_or_default()).bind(reply.to_string()).bind(millis(self.now));
                script.bind(i64::from(readdressed)).bind(number);
                tx.write_last(script).await?;
            }
            Bounce::Delayed { reply } if state == "done" => {
                let script = Script::one("/* Bounced::run */ UPDATE outbox SET reply = ? WHERE number = ?");
                tx.write_last(script.with(reply.to_string()).with(number)).await?;
            }
            Bounce::Delayed { .. } => {}
        }
        Ok(true)
    }
}

struct Settle {
    id: MailId,
}

#[async_trait]
impl Job for Settle {
    type Done = bool;
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<bool, Failed<StoreError>> {
        let script = Script::one(
            "/* Settle::run */ UPDATE outbox SET settled = 1 WHERE id = ? AND state = 'done' AND settled = 0 \
             AND disposition IN ('undeliverable', 'bounced', 'unknown') RETURNING number",
        );
        Ok(!tx.write(script.with(self.id.as_bytes().to_vec())).await?.is_empty())
    }
}

/// The open tasks behind a place; `$also` says which of them.
macro_rules! tasks_query {
    ($also:literal) => {
        concat!(
            "/* Store::open_tasks */ SELECT id, kind, subject, disposition, recorded_at, reply FROM outbox \
             WHERE disposition IN ('undeliverable', 'bounced', 'unknown') AND state = 'done' AND settled = 0 \
             AND (recorded_at, id) > (?, ?)",
            $also,
            " ORDER BY recorded_at, id LIMIT ?"
        )
    };
}

#[async_trait]
impl Tasks for Store {
    async fn bounced(&self, id: MailId, bounce: &Bounce, now: UtcDateTime) -> Result<bool, OutboxError> {
        self.write(Bounced { id, bounce: bounce.clone(), now }).await.map_err(unavailable)
    }

    async fn open_tasks(
        &self,
        of: Whose<'_>,
        after: Option<(UtcDateTime, MailId)>,
        limit: usize,
    ) -> Result<Vec<Task>, OutboxError> {
        let (at, id) = after.map_or((i64::MIN, Vec::new()), |(at, id)| (millis(at), id.as_bytes().to_vec()));
        let script = match of {
            Whose::All => Script::one(tasks_query!("")).with(at).with(id),
            Whose::About(of) => Script::one(tasks_query!(" AND subject = ?")).with(at).with(id).with(of.as_str()),
            Whose::To(of) => Script::one(tasks_query!(
                " AND (addressee = (SELECT number FROM subjects WHERE id = ?) OR (addressee IS NULL AND subject = ? \
                 AND kind NOT GLOB '*_administrator' AND kind <> 'operator_summary'))"
            ))
            .with(at)
            .with(id)
            .with(of.as_str())
            .with(of.as_str()),
            Whose::Organization(of) => Script::one(tasks_query!(
                " AND subject IN (SELECT s.id FROM organizations AS o JOIN subjects AS s ON s.organization = o.number \
                 WHERE o.id = ?)"
            ))
            .with(at)
            .with(id)
            .with(of.as_str()),
        };
        let rows =
            self.readers().all(script.with(i64::try_from(limit).unwrap_or(i64::MAX))).await.map_err(unavailable)?;
        rows.iter().map(|row| task(row).map_err(unavailable)).collect()
    }

    async fn settle(&self, id: MailId) -> Result<bool, OutboxError> {
        self.write(Settle { id }).await.map_err(unavailable)
    }
}

fn task(row: &SqliteRow) -> Result<Task, StoreError> {
    let mut columns = Columns::of(row);
    let id: &[u8] = columns.get("outbox.id")?;
    let mail = MailId::from_bytes(id.try_into().map_err(|_| damaged("outbox.id"))?);
    let kind: String = columns.get("outbox.kind")?;
    let subject_id = columns.word("outbox.subject")?;
    let trouble = Trouble::of(columns.get("outbox.disposition")?).ok_or_else(|| damaged("outbox.disposition"))?;
    let at = columns.maybe_instant("outbox.recorded_at")?.ok_or_else(|| damaged("outbox.recorded_at"))?;
    let said = columns.get::<Option<String>>("outbox.reply")?.unwrap_or_default();
    Ok(Task { mail, kind, subject_id, trouble, at, said })
}
