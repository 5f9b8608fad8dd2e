//! How mails leave.

mod mailbox;
mod maildir;
#[cfg(feature = "smtp")]
pub mod smtp;

use std::sync::Arc;

use async_trait::async_trait;

pub use mailbox::{Mailbox, Received};
pub use maildir::Maildir;

use crate::{Address, Rendered, sender::is_disguise};

/// Carries one message to one recipient. A project brings its own in a few lines: see `examples/own_transport.rs`.
///
/// `send` may be dropped at any await, when time is up; whatever it was doing must then be undone by the drop.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Tries once. Repeating is the mailer's business.
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        (**self).send(envelope, mime).await
    }
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Box<T> {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        (**self).send(envelope, mime).await
    }
}

/// One envelope, one recipient.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The reverse path.
    pub from: Address,
    /// The one recipient.
    pub to: Address,
    /// The Message-ID, with its angle brackets. The same for every attempt.
    pub message_id: String,
    /// The words inside the message, for a transport that shows them instead of carrying them away.
    pub words: Rendered,
}

/// How an attempt ended: each ends in exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop took over responsibility (RFC 5321, 4.2.5).
    Accepted,
    /// Refused for ever: SMTP 5xx.
    Permanent {
        /// What was said.
        reply: Reply,
    },
    /// Refused for now, or broken before the end of DATA: nothing was taken.
    Transient {
        /// What was said, or what broke.
        reply: Reply,
    },
    /// The message was handed over and the answer was lost.
    Unknown,
}

/// What a server said about a mail, fit to be stored and shown: one line of at most 200 characters, without addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: Option<u16>,
    text: String,
}

impl Reply {
    /// The longest text that is kept, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Takes an SMTP reply code, if there was one, and the text beside it.
    ///
    /// ```
    /// use koshin_notify::Reply;
    /// let reply = Reply::new(Some(550), "5.1.1 <taro@example.jp>: user\r\nunknown");
    /// assert_eq!(reply.to_string(), "550 5.1.1 *** user unknown");
    /// assert_eq!(Reply::MAX_CHARS, 200);
    /// ```
    pub fn new(code: Option<u16>, text: &str) -> Self {
        let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let words: Vec<_> = words.map(|word| if word.contains('@') { "***" } else { word }).collect();
        let shown = words.join(" ");
        Self { code, text: shown.chars().filter(|c| !is_disguise(*c)).take(Self::MAX_CHARS).collect() }
    }

    /// The SMTP reply code. `None` when no server spoke.
    pub const fn code(&self) -> Option<u16> {
        self.code
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code} {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
