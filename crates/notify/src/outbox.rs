//! Where mails wait, and who may send which.

mod memory;

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use time::{Duration, UtcDateTime};

pub use memory::MemoryOutbox;

use crate::{Address, Mail, MailId, Reply};

/// The mails that are owed, shared by any number of mailers.
///
/// Rows are put in by the transaction that makes them due, one for each [`MailId`], never twice. A row waits until its
/// due instant; a mailer *claims* it for the length of a lease and gets a fence, a number that grows with every claim
/// of the row; it says that it is *transmitting* before the first octet leaves, and *records* what came of it. Whoever
/// was overtaken by another claim can neither transmit nor record.
///
/// A row whose claim ran out while it was being transmitted may have gone out: the next claim counts it as unanswered.
///
/// An implementation runs [`outbox_conformance!`](crate::outbox_conformance).
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes up to `limit` rows until `now + lease`: those that wait and are due, and those whose lease is over
    /// (`lease end <= now`). The most urgent come first ([`Urgency`](crate::Urgency)), and of these the longest due.
    ///
    /// A notice about a certificate that is not in use any more (renewed, revoked) is left out and suppressed, or ends
    /// as unknown where it may have arrived; so is a row that [`Mail::decode`] refuses. A notice that a
    /// [`Schedule`](crate::Schedule) planned is addressed to the holder as registered now, and is undeliverable where no
    /// address is. When that address changes, or the certificate goes out of use, before the row is transmitting, its
    /// claimer is overtaken: the row waits again, under another fence.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`] when the store does not answer.
    async fn claim(
        &self,
        now: UtcDateTime,
        worker: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, OutboxError>;

    /// Notes durably that the row is about to leave, counts the attempt and starts the lease anew.
    ///
    /// # Errors
    ///
    /// [`OutboxError::LeaseLost`] when the fence is not the newest, the lease is over at `now`, or the row was
    /// suppressed: nothing may be sent then.
    async fn transmitting(&self, id: MailId, fence: Fence, now: UtcDateTime) -> Result<(), OutboxError>;

    /// Stores what came of the row and ends the claim. A terminal disposition erases the row's secret in the same
    /// transaction. A lease that is over but was not taken by anybody else still records: what is known is not thrown
    /// away.
    ///
    /// # Errors
    ///
    /// [`OutboxError::LeaseLost`] when the fence is not the newest or the claim was ended already.
    async fn record(
        &self,
        id: MailId,
        fence: Fence,
        disposition: &Disposition,
        now: UtcDateTime,
    ) -> Result<(), OutboxError>;

    /// The earliest instant at which a claim would find something, which may lie before `now`; `None` when every row is
    /// done with.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`] when the store does not answer.
    async fn next_wake(&self, now: UtcDateTime) -> Result<Option<UtcDateTime>, OutboxError>;

    /// How many mails went, or may have gone, to an address since an instant: taken, unanswered, or on their way at the
    /// moment. What was refused does not count, nor what somebody waited for ([`Urgency::Awaited`](crate::Urgency)).
    /// Addresses that differ in upper and lower case alone are one.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`] when the store does not answer.
    async fn told(&self, to: &Address, since: UtcDateTime) -> Result<u32, OutboxError>;
}

#[async_trait]
impl<T: Outbox + ?Sized> Outbox for Arc<T> {
    async fn claim(
        &self,
        now: UtcDateTime,
        worker: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Claimed>, OutboxError> {
        (**self).claim(now, worker, lease, limit).await
    }

    async fn transmitting(&self, id: MailId, fence: Fence, now: UtcDateTime) -> Result<(), OutboxError> {
        (**self).transmitting(id, fence, now).await
    }

    async fn record(
        &self,
        id: MailId,
        fence: Fence,
        disposition: &Disposition,
        now: UtcDateTime,
    ) -> Result<(), OutboxError> {
        (**self).record(id, fence, disposition, now).await
    }

    async fn next_wake(&self, now: UtcDateTime) -> Result<Option<UtcDateTime>, OutboxError> {
        (**self).next_wake(now).await
    }

    async fn told(&self, to: &Address, since: UtcDateTime) -> Result<u32, OutboxError> {
        (**self).told(to, since).await
    }
}

/// The number of a claim: it grows with every claim of the same row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

/// A row that its claimer may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The mail.
    pub mail: Mail,
    /// The number of this claim.
    pub fence: Fence,
    /// How often the mail was transmitted before.
    pub attempts: u32,
    /// How many of those had no answer: quarantined, or never recorded. The mail may have arrived that often.
    pub unanswered: u32,
}

/// What came of a claimed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Taken by the next hop. Terminal.
    Sent,
    /// Refused for ever. Terminal, counts as sent, and is shown.
    Undeliverable {
        /// What was said.
        reply: Reply,
    },
    /// Taken, and later given back by another server. Terminal, counts as sent, and is shown. No mailer records it; see
    /// [`Tasks::bounced`](crate::Tasks::bounced).
    Bounced {
        /// What was said.
        reply: Reply,
    },
    /// Nothing was taken: waits until `at`.
    Retry {
        /// When to try again.
        at: UtcDateTime,
        /// What was said. `None` when the claim is given back untried.
        reply: Option<Reply>,
    },
    /// The answer was lost: one more unanswered transmission; waits until `until`, then may be repeated once.
    Quarantined {
        /// When to repeat.
        until: UtcDateTime,
    },
    /// The answer was lost twice. Terminal, counts as sent, and is shown.
    Unknown,
    /// Not sent, on purpose. Terminal.
    Suppressed {
        /// Why.
        why: Suppression,
    },
}

impl Disposition {
    /// Whether nothing more happens to the row.
    pub const fn is_terminal(&self) -> bool {
        !matches!(self, Self::Retry { .. } | Self::Quarantined { .. })
    }

    /// The word that stands for it in storage and logs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Undeliverable { .. } => "undeliverable",
            Self::Bounced { .. } => "bounced",
            Self::Retry { .. } => "retry",
            Self::Quarantined { .. } => "quarantined",
            Self::Unknown => "unknown",
            Self::Suppressed { why: Suppression::TooLate } => "suppressed_too_late",
            Self::Suppressed { why: Suppression::Renewed } => "suppressed_renewed",
            Self::Suppressed { why: Suppression::Revoked } => "suppressed_revoked",
            Self::Suppressed { why: Suppression::Withdrawn } => "suppressed_withdrawn",
            Self::Suppressed { why: Suppression::Unreadable } => "suppressed_unreadable",
            Self::Suppressed { why: Suppression::InDigest } => "suppressed_in_digest",
        }
    }
}

/// Why a mail is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suppression {
    /// What it tells is over, or it could not be delivered before that.
    TooLate,
    /// The certificate it speaks of was replaced by its successor.
    Renewed,
    /// The certificate it speaks of was revoked.
    Revoked,
    /// It is out of date: a more urgent notice took its place, or by another policy it is not due.
    Withdrawn,
    /// The row does not decode.
    Unreadable,
    /// It is left to the administrator's next digest.
    InDigest,
}

/// Why an outbox did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The claim is not, or no longer, the caller's.
    #[error("claim {} of mail {id} is over", fence.0)]
    LeaseLost {
        /// The mail.
        id: MailId,
        /// The fence that was shown.
        fence: Fence,
    },
    /// The store does not answer.
    #[error("the outbox does not answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl OutboxError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
