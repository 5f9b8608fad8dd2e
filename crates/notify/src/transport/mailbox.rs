//! A mailbox in memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{Envelope, Outcome, Transport};

/// Keeps the last 1,000 mails in memory, newest first: for a demonstration's mailbox page and for tests. Clones share
/// one mailbox. A repeat with the same Message-ID is kept as a mail of its own.
///
/// ```
/// assert_eq!(koshin_notify::Mailbox::CAPACITY, 1000);
/// assert!(koshin_notify::Mailbox::default().newest(10).is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Mailbox {
    mails: Arc<Mutex<VecDeque<Received>>>,
}

/// A mail in a [`Mailbox`].
#[derive(Debug, Clone)]
pub struct Received {
    /// From whom to whom, and the words.
    pub envelope: Envelope,
    /// The message as it would have gone out.
    pub mime: Vec<u8>,
}

impl Mailbox {
    /// How many mails are kept. The oldest makes room.
    pub const CAPACITY: usize = 1000;

    /// The newest `limit` mails, newest first.
    pub fn newest(&self, limit: usize) -> Vec<Received> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).iter().take(limit).cloned().collect()
    }
}

#[async_trait]
impl Transport for Mailbox {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.truncate(Self::CAPACITY - 1);
        mails.push_front(Received { envelope: envelope.clone(), mime: mime.to_vec() });
        Outcome::Accepted
    }
}
