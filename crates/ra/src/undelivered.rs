//! What a holder is shown at the next login: that mails do not arrive.

use std::sync::Arc;

use koshin_notify::{Tasks, Trouble, Whose};
use time::UtcDateTime;

use crate::{Ra, StorageError, SubjectFile};

/// Mails to a holder that did not arrive, and that nobody has seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The registered address, without what would tell it; `None` where none is registered.
    pub address: Option<String>,
    /// What became of the newest of them.
    pub how: NotDelivered,
    /// Since when mails do not arrive.
    pub since: UtcDateTime,
}

/// How a mail did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotDelivered {
    /// A mail server refused it.
    Refused,
    /// It was taken, and came back.
    CameBack,
}

/// So many tasks are looked at: more than one says no more.
const LOOKED_AT: usize = 50;

impl Ra {
    /// The same registration authority, which shows holders the mails that did not arrive.
    #[must_use]
    pub fn with_tasks(self, tasks: Arc<dyn Tasks>) -> Self {
        Self { tasks: Some(tasks), ..self }
    }

    /// The mails to the registered address of this subject that did not arrive. One of which nobody knows is none.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn undelivered(&self, file: &SubjectFile) -> Result<Option<Undelivered>, StorageError> {
        let Some(tasks) = &self.tasks else { return Ok(None) };
        let open = tasks.open_tasks(Whose::To(&file.subject.id), None, LOOKED_AT).await;
        let open = open.map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        let mut known = open.iter().filter_map(|task| match task.trouble {
            Trouble::Refused => Some((task.at, NotDelivered::Refused)),
            Trouble::Bounced => Some((task.at, NotDelivered::CameBack)),
            Trouble::Unknown => None,
        });
        let Some((since, first)) = known.next() else { return Ok(None) };
        let how = known.next_back().map_or(first, |(_, last)| last);
        let address = file.subject.address.as_ref().map(koshin_notify::Address::masked);
        Ok(Some(Undelivered { address, how, since }))
    }
}
