//! How the outbox stands, for whoever watches over the mailers: counts, what is due, and what was sent lately. It reads, and
//! nothing else.

use koshin_notify::{Claimed, Disposition, Mail, MailId};
use koshin_types::SubjectId;
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    codec::{Columns, millis},
    error::{StoreError, damaged},
    outbox::{CLAIM_COLUMNS, Found, claim, read},
    script::Script,
    store::Store,
};

/// How many of the newest mails are looked at for what was sent last. Nothing is ordered by that instant.
const NEWEST: i64 = 2_000;

/// How many mails stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PostCounts {
    /// Ever put into the outbox.
    pub planned: u64,
    /// Waiting to be sent, or to be tried again.
    pub waiting: u64,
    /// Claimed by a mailer, or on their way.
    pub claimed: u64,
    /// Waiting for their one repeat: they may have arrived.
    pub quarantined: u64,
    /// That reached nobody, and that nobody has seen to: the open tasks.
    pub undeliverable: u64,
    /// Since when the longest one waits that a mailer could claim now.
    pub oldest_due: Option<UtcDateTime>,
    /// When the oldest became due that is not done with. Those that wait only because their address had its share of the
    /// day are left out.
    pub oldest: Option<UtcDateTime>,
    /// When one was sent last, as far as the newest 2,000 finished ones tell.
    pub last_sent: Option<UtcDateTime>,
}

/// A mail that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The mail, without its secret.
    pub mail: Mail,
    /// When it became due.
    pub due: UtcDateTime,
    /// When it was recorded as sent.
    pub sent: UtcDateTime,
}

/// A mail that a mailer would take up now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMail {
    /// Its name.
    pub id: MailId,
    /// The word of its kind.
    pub kind: String,
    /// The ID that it speaks of.
    pub subject_id: SubjectId,
    /// It as a mailer would get it, or how it would end without one.
    pub found: Result<Claimed, Disposition>,
    at: i64,
    number: i64,
}

impl Store {
    /// How the outbox stands at `now`. It reads what is not done with, and the newest of what is.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn post_counts(&self, now: UtcDateTime) -> Result<PostCounts, StoreError> {
        let query = "/* Store::post_counts */ SELECT (SELECT coalesce(max(number), 0) FROM outbox), \
                     count(*) FILTER (WHERE state = 'waiting' AND unanswered = 0), \
                     count(*) FILTER (WHERE state IN ('claimed', 'transmitting')), \
                     count(*) FILTER (WHERE state = 'waiting' AND unanswered > 0), \
                     (SELECT count(*) FROM outbox INDEXED BY outbox_tasks WHERE state = 'done' AND settled = 0 \
                     AND disposition IN ('undeliverable', 'bounced', 'unknown')), \
                     min(claimable_from) FILTER (WHERE claimable_from <= ?), \
                     min(planned_at) FILTER (WHERE planned_at <= ? AND NOT (claimable_from > ? \
                     AND disposition IS 'retry' AND reply IS NULL)), \
                     (SELECT max(recorded_at) FROM (SELECT recorded_at, disposition FROM outbox \
                     WHERE claimable_from IS NULL ORDER BY number DESC LIMIT ?) WHERE disposition = 'sent') \
                     FROM outbox INDEXED BY outbox_claimable WHERE claimable_from IS NOT NULL";
        let now = millis(now);
        let script = Script::one(query).with(now).with(now).with(now).with(NEWEST);
        let row = self.readers().one(script).await?.ok_or_else(|| damaged("outbox: nothing was counted"))?;
        let mut columns = Columns::of(&row);
        Ok(PostCounts {
            planned: columns.unsigned("outbox.number")?,
            waiting: columns.unsigned("outbox.state")?,
            claimed: columns.unsigned("outbox.state")?,
            quarantined: columns.unsigned("outbox.state")?,
            undeliverable: columns.unsigned("outbox.state")?,
            oldest_due: columns.maybe_instant("outbox.claimable_from")?,
            oldest: columns.maybe_instant("outbox.planned_at")?,
            last_sent: columns.maybe_instant("outbox.recorded_at")?,
        })
    }

    /// Those of the newest 2,000 finished mails that were sent, the newest first, at most `limit`. What cannot be read is
    /// left out.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn delivered(&self, limit: u32) -> Result<Vec<Delivered>, StoreError> {
        let query = "/* Store::delivered */ SELECT mail, planned_at, recorded_at FROM (SELECT number, mail, planned_at, \
                     recorded_at, disposition FROM outbox WHERE claimable_from IS NULL ORDER BY number DESC LIMIT ?) \
                     WHERE disposition = 'sent' ORDER BY recorded_at DESC, number DESC LIMIT ?";
        let rows = self.readers().all(Script::one(query).with(NEWEST).with(i64::from(limit))).await?;
        Ok(rows.iter().filter_map(delivered).collect())
    }

    /// The mails that a mailer would claim at `now`, the most urgent first, behind another one, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn due_mails(
        &self,
        now: UtcDateTime,
        after: Option<&DueMail>,
        limit: u32,
    ) -> Result<Vec<DueMail>, StoreError> {
        let query = concat!(
            "/* Store::due_mails */ SELECT ",
            claim!(", o.id, o.kind, o.subject, o.urgency << 50 | o.claimable_from"),
            " WHERE o.claimable_from <= ? AND (o.urgency << 50 | o.claimable_from, o.number) > (?, ?) \
             ORDER BY o.urgency << 50 | o.claimable_from, o.number LIMIT ?"
        );
        let (at, number) = after.map_or((i64::MIN, i64::MIN), |mail| (mail.at, mail.number));
        let script = Script::one(query).with(millis(now)).with(at).with(number).with(i64::from(limit));
        self.readers().all(script).await?.iter().map(due).collect()
    }
}

fn delivered(row: &SqliteRow) -> Option<Delivered> {
    let mut columns = Columns::of(row);
    Some(Delivered {
        mail: Mail::decode(columns.get("outbox.mail").ok()?).ok()?,
        due: columns.instant("outbox.planned_at").ok()?,
        sent: columns.instant("outbox.recorded_at").ok()?,
    })
}

fn due(row: &SqliteRow) -> Result<DueMail, StoreError> {
    let (number, found) = read(row)?;
    let mut columns = Columns::of(row);
    columns.skip(CLAIM_COLUMNS);
    let id: &[u8] = columns.get("outbox.id")?;
    Ok(DueMail {
        id: MailId::from_bytes(id.try_into().map_err(|_| damaged("outbox.id"))?),
        kind: columns.get("outbox.kind")?,
        subject_id: columns.word("outbox.subject")?,
        found: match found {
            Found::Claimed(claimed) => Ok(claimed),
            Found::Pointless(end) => Err(end),
        },
        at: columns.get("outbox.claimable_from")?,
        number,
    })
}
