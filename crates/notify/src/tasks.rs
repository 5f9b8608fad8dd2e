//! Mails that did not reach anybody, until somebody has seen to it.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_types::SubjectId;
use time::UtcDateTime;

use crate::{MailId, OutboxError, Reply, Whose};

/// What is to be seen to because a mail was refused, came back, or has an unknown fate: the holder is shown it at the
/// next login, an administrator of the organization and the operator in their lists.
///
/// A task is a look at an outbox's row, not a thing of its own: it is there as soon as the mail has ended so, and gone
/// when it is settled, or when the registered address is changed after which the mail was addressed.
///
/// Every [`Outbox`](crate::Outbox) has them, and [`outbox_conformance!`](crate::outbox_conformance) tests them.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Notes what came back about a mail that was transmitted before. A failure ends it, whatever state it is in; a
    /// delay is only noted. `false` when there is no such mail, or it has an end that this does not change: refused,
    /// suppressed, or bounced before.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`] when the store does not answer.
    async fn bounced(&self, id: MailId, bounce: &Bounce, now: UtcDateTime) -> Result<bool, OutboxError>;

    /// The open tasks, the oldest first, behind a place.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`] when the store does not answer.
    async fn open_tasks(
        &self,
        of: Whose<'_>,
        after: Option<(UtcDateTime, MailId)>,
        limit: usize,
    ) -> Result<Vec<Task>, OutboxError>;

    /// Closes the task of a mail: somebody has seen to it. `false` when there is none open.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`] when the store does not answer.
    async fn settle(&self, id: MailId) -> Result<bool, OutboxError>;
}

#[async_trait]
impl<T: Tasks + ?Sized> Tasks for Arc<T> {
    async fn bounced(&self, id: MailId, bounce: &Bounce, now: UtcDateTime) -> Result<bool, OutboxError> {
        (**self).bounced(id, bounce, now).await
    }

    async fn open_tasks(
        &self,
        of: Whose<'_>,
        after: Option<(UtcDateTime, MailId)>,
        limit: usize,
    ) -> Result<Vec<Task>, OutboxError> {
        (**self).open_tasks(of, after, limit).await
    }

    async fn settle(&self, id: MailId) -> Result<bool, OutboxError> {
        (**self).settle(id).await
    }
}

/// What a mail server reports of a mail that was taken before (RFC 3464).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bounce {
    /// It was given up.
    Failed {
        /// What the last server said.
        reply: Reply,
    },
    /// It is still being tried.
    Delayed {
        /// What the last server said.
        reply: Reply,
    },
}

/// One mail that somebody has to see to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The mail.
    pub mail: MailId,
    /// The word of its kind ([`Notice::word`](crate::Notice::word)).
    pub kind: String,
    /// The ID that it speaks of.
    pub subject_id: SubjectId,
    /// What became of it.
    pub trouble: Trouble,
    /// When that was recorded.
    pub at: UtcDateTime,
    /// What was said, in one line without addresses; empty when nothing was.
    pub said: String,
}

/// How a mail did not reach anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The server refused it for ever, or there is no address.
    Refused,
    /// It was taken, and came back.
    Bounced,
    /// The answer was lost twice.
    Unknown,
}

impl Trouble {
    /// The trouble that a terminal disposition, by its word, means.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "undeliverable" => Self::Refused,
            "bounced" => Self::Bounced,
            "unknown" => Self::Unknown,
            _ => return None,
        })
    }
}
