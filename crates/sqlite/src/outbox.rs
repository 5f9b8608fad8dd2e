//! The port `Outbox`.

use async_trait::async_trait;
use koshin_notify::{Claimed, Disposition, Fence, Mail, MailId, Outbox, OutboxError, Suppression};
use koshin_ra::StorageError;
use sqlx::sqlite::SqliteRow;
use time::{Duration, UtcDateTime};

use crate::{
    codec::{Columns, millis, signed},
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

/// What the outbox's jobs answer with; the port has its own error.
pub(crate) enum Refusal {
    LeaseLost,
    Storage(StorageError),
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

fn unavailable(error: StorageError) -> OutboxError {
    OutboxError::Unavailable(Box::new(error))
}

struct Claim {
    now: UtcDateTime,
    worker: String,
    lease: Duration,
    limit: usize,
}

#[async_trait]
impl Job for Claim {
    type Done = Vec<Claimed>;
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Vec<Claimed>, Failed<StorageError>> {
        let now = millis(self.now);
        let mut claimed = Vec::new();
        loop {
            // An expiry notice is pointless once its certificate is not the active one any more (I-39, I-56).
            let due = Script::one(
                "/* Claim::run */ SELECT number, mail, fence + 1, attempts, unanswered + (state = 'transmitting'), \
                 not_after IS NOT NULL AND NOT EXISTS (SELECT c.number FROM subjects AS s \
                 JOIN certificates AS c ON c.subject = s.number \
                 WHERE s.id = outbox.subject AND c.status = 'active' AND c.not_after = outbox.not_after) \
                 FROM outbox WHERE claimable_from <= ? ORDER BY claimable_from, number LIMIT ?",
            );
            let room = self.limit.saturating_sub(claimed.len());
            let rows = tx.read(due.with(now).with(i64::try_from(room).unwrap_or(i64::MAX))).await?;
            if rows.is_empty() {
                return Ok(claimed);
            }
            for row in &rows {
                match read(row).map_err(Failed::Refused)? {
                    (number, Found::Claimed(found)) => {
                        self.take(tx, number, &found).await?;
                        claimed.push(found);
                    }
                    (number, Found::Pointless(disposition)) => self.suppress(tx, number, &disposition).await?,
                }
            }
        }
    }
}

impl Claim {
    async fn take(&self, tx: &mut Transaction<'_>, number: i64, claimed: &Claimed) -> sqlx::Result<()> {
        let mut script = Script::one(
            "/* Claim::take */ UPDATE outbox SET state = 'claimed', claimable_from = ?, lease = ?, worker = ?, \
             fence = ?, unanswered = ? WHERE number = ?",
        );
        script.bind(millis(self.now.saturating_add(self.lease))).bind(lease_millis(self.lease));
        script.bind(self.worker.as_str()).bind(signed(claimed.fence.0)).bind(i64::from(claimed.unanswered));
        script.bind(number);
        tx.write(script).await.map(drop)
    }

    /// Ends a row that will not be sent. A text that cannot be read goes with it: it may hold a secret. An expiry
    /// notice, the only one that is withdrawn, holds none.
    async fn suppress(&self, tx: &mut Transaction<'_>, number: i64, why: &Disposition) -> sqlx::Result<()> {
        let script = Script::one(
            "/* Claim::suppress */ UPDATE outbox SET state = 'done', claimable_from = NULL, mail = coalesce(?, mail), \
             disposition = ?, recorded_at = ? WHERE number = ?",
        );
        let unreadable = matches!(why, Disposition::Suppressed { why: Suppression::Unreadable });
        tx.write(script.with(unreadable.then_some("")).with(why.word()).with(millis(self.now)).with(number))
            .await
            .map(drop)
    }
}

/// A row that is due.
enum Found {
    Claimed(Claimed),
    Pointless(Disposition),
}

fn read(row: &SqliteRow) -> Result<(i64, Found), StorageError> {
    let mut columns = Columns::of(row);
    let number = columns.get("outbox.number")?;
    let mail = Mail::decode(columns.get("outbox.mail")?);
    let fence = Fence(columns.unsigned("outbox.fence")?);
    let (attempts, unanswered) = (columns.unsigned("outbox.attempts")?, columns.unsigned("outbox.unanswered")?);
    let found = match (columns.get("outbox.not_after")?, mail) {
        (true, _) => Found::Pointless(Disposition::Suppressed { why: Suppression::Withdrawn }),
        (false, Err(_)) => Found::Pointless(Disposition::Suppressed { why: Suppression::Unreadable }),
        (false, Ok(mail)) => Found::Claimed(Claimed { mail, fence, attempts, unanswered }),
    };
    Ok((number, found))
}

fn lease_millis(lease: Duration) -> i64 {
    i64::try_from(lease.whole_milliseconds()).unwrap_or(i64::MAX)
}

struct Transmitting {
    id: MailId,
    fence: Fence,
    now: UtcDateTime,
}

#[async_trait]
impl Job for Transmitting {
    type Done = ();
    type Refused = Refusal;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<Refusal>> {
        let mut script = Script::one(
            "/* Transmitting::run */ UPDATE outbox SET state = 'transmitting', attempts = attempts + 1, \
             claimable_from = ? + lease WHERE id = ? AND fence = ? AND state = 'claimed' AND claimable_from > ? \
             RETURNING number",
        );
        let now = millis(self.now);
        script.bind(now).bind(self.id.as_bytes().to_vec()).bind(signed(self.fence.0)).bind(now);
        match tx.write(script).await?.first() {
            Some(_) => Ok(()),
            None => Err(Failed::Refused(Refusal::LeaseLost)),
        }
    }
}

struct Record {
    id: MailId,
    fence: Fence,
    disposition: Disposition,
    now: UtcDateTime,
}

#[async_trait]
impl Job for Record {
    type Done = ();
    type Refused = Refusal;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<Refusal>> {
        let held = Script::one(
            "/* Record::run */ SELECT number, mail FROM outbox \
             WHERE id = ? AND fence = ? AND state IN ('claimed', 'transmitting')",
        );
        let rows = tx.read(held.with(self.id.as_bytes().to_vec()).with(signed(self.fence.0))).await?;
        let Some(row) = rows.first() else { return Err(Failed::Refused(Refusal::LeaseLost)) };
        let mut columns = Columns::of(row);
        let storage = |error| Failed::Refused(Refusal::Storage(error));
        let number: i64 = columns.get("outbox.number").map_err(storage)?;
        let mail: &str = columns.get("outbox.mail").map_err(storage)?;
        let mut script = Script::one(
            "/* Record::run */ UPDATE outbox SET state = ?, claimable_from = ?, mail = ?, \
             unanswered = unanswered + ?, disposition = ?, reply = ?, recorded_at = ? WHERE number = ?",
        );
        let reply = match &self.disposition {
            Disposition::Undeliverable { reply } | Disposition::Retry { reply: Some(reply), .. } => {
                Some(reply.to_string())
            }
            _ => None,
        };
        match self.disposition {
            Disposition::Retry { at, .. } => script.bind("waiting").bind(millis(at)).bind(mail).bind(0_i64),
            Disposition::Quarantined { until } => script.bind("waiting").bind(millis(until)).bind(mail).bind(1_i64),
            _ => {
                let kept = Mail::decode(mail).map(|mail| mail.without_secret().encode().to_string());
                script.bind("done").bind(None::<i64>).bind(kept.unwrap_or_default()).bind(0_i64)
            }
        };
        script.bind(self.disposition.word()).bind(reply).bind(millis(self.now)).bind(number);
        tx.write_last(script).await?;
        Ok(())
    }
}

#[async_trait]
impl Outbox for Store {
    async fn claim(
        &self,
        now: UtcDateTime,
        worker: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, OutboxError> {
        self.write(Claim { now, worker: worker.to_owned(), lease, limit }).await.map_err(unavailable)
    }

    async fn transmitting(&self, id: MailId, fence: Fence, now: UtcDateTime) -> Result<(), OutboxError> {
        self.write(Transmitting { id, fence, now }).await.map_err(|refusal| refusal.about(id, fence))
    }

    async fn record(
        &self,
        id: MailId,
        fence: Fence,
        disposition: &Disposition,
        now: UtcDateTime,
    ) -> Result<(), OutboxError> {
        let job = Record { id, fence, disposition: disposition.clone(), now };
        self.write(job).await.map_err(|refusal| refusal.about(id, fence))
    }

    async fn next_wake(&self, _now: UtcDateTime) -> Result<Option<UtcDateTime>, OutboxError> {
        let query = "/* Store::next_wake */ SELECT min(claimable_from) FROM outbox WHERE claimable_from IS NOT NULL";
        let row = self.readers().one(Script::one(query)).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        Columns::of(&row).maybe_instant("outbox.claimable_from").map_err(unavailable)
    }
}

impl Refusal {
    fn about(self, id: MailId, fence: Fence) -> OutboxError {
        match self {
            Self::LeaseLost => OutboxError::LeaseLost { id, fence },
            Self::Storage(error) => unavailable(error),
        }
    }
}
