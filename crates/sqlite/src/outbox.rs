//! The port `Outbox`.

use async_trait::async_trait;
use koshin_notify::{
    Address, Claimed, Disposition, Fence, Mail, MailId, Notice, Outbox, OutboxError, Reply, Suppression, Urgency,
    goes_to_holder,
};
use koshin_types::CertificateStatus;
use sqlx::sqlite::SqliteRow;
use time::{Duration, UtcDateTime};

use crate::{
    codec::{Columns, millis, signed},
    error::StoreError,
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

/// The columns that [`read`] reads, others behind them, and where they come from.
macro_rules! claim {
    () => {
        claim!("")
    };
    ($more:literal) => {
        concat!(
            "o.number, o.mail, o.fence + 1, o.attempts, o.unanswered + (o.state = 'transmitting'), c.status, \
             s.language, s.address, o.addressee IS NOT NULL, s.grant_until",
            $more,
            " FROM outbox AS o LEFT JOIN certificates AS c ON c.number = o.certificate \
             LEFT JOIN subjects AS s ON s.number = coalesce(o.addressee, c.subject)"
        )
    };
}
pub(crate) use claim;
/// How many columns [`read`] reads.
pub(crate) const CLAIM_COLUMNS: usize = 10;

/// The address that is registered by now of whom a mail of the outbox `o` went to, and whether that was said.
macro_rules! registered {
    () => {
        "CASE WHEN o.addressee IS NULL THEN (SELECT address FROM subjects WHERE id = o.subject) \
         ELSE (SELECT address FROM subjects WHERE number = o.addressee) END, o.addressee IS NOT NULL"
    };
}
pub(crate) use registered;

/// What the outbox's jobs answer with; the port has its own error.
pub(crate) enum Refusal {
    LeaseLost,
    Storage(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

pub(crate) fn unavailable(error: StoreError) -> OutboxError {
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
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<Vec<Claimed>, Failed<StoreError>> {
        let mut claimed = Vec::new();
        for urgency in Urgency::ALL {
            self.claim_all(tx, urgency, &mut claimed).await?;
        }
        Ok(claimed)
    }
}

impl Claim {
    /// Claims the mails of one urgency, as far as there is room.
    async fn claim_all(
        &self,
        tx: &mut Transaction<'_>,
        urgency: Urgency,
        claimed: &mut Vec<Claimed>,
    ) -> Result<(), Failed<StoreError>> {
        while claimed.len() < self.limit {
            // Whom a planned notice is about is asked again now (I-56, I-63).
            let due = Script::one(concat!(
                "/* Claim::claim_all */ SELECT ",
                claim!(),
                " WHERE o.urgency = ? AND o.claimable_from <= ? ORDER BY o.claimable_from, o.number LIMIT ?"
            ));
            let room = i64::try_from(self.limit.saturating_sub(claimed.len())).unwrap_or(i64::MAX);
            let due = due.with(i64::from(urgency.number())).with(millis(self.now)).with(room);
            let rows = tx.read(due).await?;
            if rows.is_empty() {
                break;
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
        Ok(())
    }

    async fn take(&self, tx: &mut Transaction<'_>, number: i64, claimed: &Claimed) -> sqlx::Result<()> {
        let mut script = Script::one(
            "/* Claim::take */ UPDATE outbox SET state = 'claimed', claimable_from = ?, lease = ?, worker = ?, \
             fence = ?, unanswered = ?, recipient = ? WHERE number = ?",
        );
        script.bind(millis(self.now.saturating_add(self.lease))).bind(lease_millis(self.lease));
        script.bind(self.worker.as_str()).bind(signed(claimed.fence.0)).bind(i64::from(claimed.unanswered));
        script.bind(recipient(&claimed.mail.to)).bind(number);
        tx.write(script).await.map(drop)
    }

    /// Ends a row that will not be sent. A text that cannot be read goes with it: it may hold a secret. A notice about a
    /// certificate, the only one that ends otherwise, holds none.
    async fn suppress(&self, tx: &mut Transaction<'_>, number: i64, why: &Disposition) -> sqlx::Result<()> {
        let script = Script::one(
            "/* Claim::suppress */ UPDATE outbox SET state = 'done', claimable_from = NULL, mail = coalesce(?, mail), \
             disposition = ?, reply = ?, recorded_at = ? WHERE number = ?",
        );
        let unreadable = matches!(why, Disposition::Suppressed { why: Suppression::Unreadable });
        let script = script.with(unreadable.then_some("")).with(why.word()).with(reply(why));
        tx.write(script.with(millis(self.now)).with(number)).await.map(drop)
    }
}

/// What stands for an address where only equality matters.
fn recipient(address: &Address) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA256, address.folded().as_bytes());
    digest.as_ref().iter().take(16).copied().collect()
}

/// Whether a mail went to another address than is registered by now, so that there is nothing to see to if it did not
/// arrive. What is addressed to nobody and not meant for the holder went to an operator, or to an administrator.
pub(crate) fn is_readdressed(columns: &mut Columns<'_>) -> Result<bool, StoreError> {
    let kind: &str = columns.get("outbox.kind")?;
    let to: Option<&[u8]> = columns.get("outbox.recipient")?;
    let registered: Option<&str> = columns.get("subjects.address")?;
    let addressed: bool = columns.get("outbox.addressee")?;
    let registered = registered.and_then(|address| address.parse().ok());
    Ok((addressed || goes_to_holder(kind))
        && to.zip(registered).is_some_and(|(to, registered)| to != recipient(&registered)))
}

fn reply(disposition: &Disposition) -> Option<String> {
    match disposition {
        Disposition::Undeliverable { reply }
        | Disposition::Bounced { reply }
        | Disposition::Retry { reply: Some(reply), .. } => Some(reply.to_string()),
        _ => None,
    }
}

/// Whether a disposition, by its word, counts as sent. What was left out on purpose may be owed again, except a text
/// that cannot be read.
pub(crate) fn counts(word: &str) -> bool {
    !word.starts_with("suppressed_") || word == "suppressed_unreadable"
}

/// A row that is due.
pub(crate) enum Found {
    Claimed(Claimed),
    Pointless(Disposition),
}

pub(crate) fn read(row: &SqliteRow) -> Result<(i64, Found), StoreError> {
    let mut columns = Columns::of(row);
    let number = columns.get("outbox.number")?;
    let mail = Mail::decode(columns.get("outbox.mail")?);
    let fence = Fence(columns.unsigned("outbox.fence")?);
    let (attempts, unanswered) = (columns.unsigned("outbox.attempts")?, columns.unsigned("outbox.unanswered")?);
    let status = columns.maybe_word::<CertificateStatus>("certificates.status")?;
    // What cannot be read there keeps back no other mail.
    let language = columns.maybe_word("subjects.language").unwrap_or_default();
    let address = columns.maybe_word("subjects.address").unwrap_or_default();
    let addressed: bool = columns.get("outbox.addressee")?;
    let permission = columns.maybe_instant("subjects.grant_until").unwrap_or_default();
    let pointless = |end| Found::Pointless(if unanswered > 0 { Disposition::Unknown } else { end });
    let suppressed = |why| pointless(Disposition::Suppressed { why });
    let found = match (status, mail) {
        (_, Err(_)) => Found::Pointless(Disposition::Suppressed { why: Suppression::Unreadable }),
        (Some(CertificateStatus::Revoked), _) => suppressed(Suppression::Revoked),
        (Some(CertificateStatus::Superseded | CertificateStatus::Pending), _) => suppressed(Suppression::Renewed),
        (_, Ok(Mail { kind: Notice::EnrolmentReminder { until }, .. })) if addressed && permission != Some(until) => {
            suppressed(Suppression::Withdrawn)
        }
        (_, Ok(mail)) if !addressed && mail.kind.threshold().is_none() => {
            Found::Claimed(Claimed { mail, fence, attempts, unanswered })
        }
        // Notices of expiry of before there was a schedule name no certificate.
        (None, Ok(mail)) if !addressed => Found::Claimed(Claimed { mail, fence, attempts, unanswered }),
        (_, Ok(mail)) => match address {
            Some(to) => {
                let mail = Mail { to, language: language.unwrap_or(mail.language), ..mail };
                Found::Claimed(Claimed { mail, fence, attempts, unanswered })
            }
            None => pointless(Disposition::Undeliverable { reply: Reply::new(None, "no address is registered") }),
        },
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
        let held = Script::one(concat!(
            "/* Record::run */ SELECT o.number, o.mail, o.kind, o.recipient, ",
            registered!(),
            " FROM outbox AS o WHERE o.id = ? AND o.fence = ? AND o.state IN ('claimed', 'transmitting')",
        ));
        let rows = tx.read(held.with(self.id.as_bytes().to_vec()).with(signed(self.fence.0))).await?;
        let Some(row) = rows.first() else { return Err(Failed::Refused(Refusal::LeaseLost)) };
        let mut columns = Columns::of(row);
        let storage = |error| Failed::Refused(Refusal::Storage(error));
        let number: i64 = columns.get("outbox.number").map_err(storage)?;
        let mail: &str = columns.get("outbox.mail").map_err(storage)?;
        let readdressed = is_readdressed(&mut columns).map_err(storage)?;
        let mut script = Script::one(
            "/* Record::run */ UPDATE outbox SET state = ?, claimable_from = ?, mail = ?, \
             unanswered = unanswered + ?, disposition = ?, reply = ?, recorded_at = ?, settled = ? WHERE number = ?",
        );
        match self.disposition {
            Disposition::Retry { at, .. } => script.bind("waiting").bind(millis(at)).bind(mail).bind(0_i64),
            Disposition::Quarantined { until } => script.bind("waiting").bind(millis(until)).bind(mail).bind(1_i64),
            _ => {
                let kept = Mail::decode(mail).map(|mail| mail.without_secret().encode().to_string());
                script.bind("done").bind(None::<i64>).bind(kept.unwrap_or_default()).bind(0_i64)
            }
        };
        script.bind(self.disposition.word()).bind(reply(&self.disposition)).bind(millis(self.now));
        script.bind(i64::from(readdressed)).bind(number);
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
        // One look into the index for each urgency.
        let query = "/* Store::next_wake */ SELECT min((SELECT min(claimable_from) FROM outbox \
                     WHERE urgency = u.value AND claimable_from IS NOT NULL)) FROM json_each('[0, 1, 2, 3, 4]') AS u";
        let row = self.readers().one(Script::one(query)).await.map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        Columns::of(&row).maybe_instant("outbox.claimable_from").map_err(unavailable)
    }

    async fn told(&self, to: &Address, since: UtcDateTime) -> Result<u32, OutboxError> {
        let query = "/* Store::told */ SELECT count(*) FROM outbox WHERE recipient = ? AND urgency > 0 \
                     AND (state = 'transmitting' OR (recorded_at >= ? AND (disposition IN ('sent', 'bounced', 'unknown') \
                     OR (state <> 'done' AND unanswered > 0))))";
        let script = Script::one(query).with(recipient(to)).with(millis(since));
        let row = self.readers().one(script).await.map_err(unavailable)?;
        row.map_or(Ok(0), |row| Columns::of(&row).unsigned("outbox.number").map_err(unavailable))
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
