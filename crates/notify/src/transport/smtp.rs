//! The SMTP client: one relay, TLS unless asked otherwise, connections kept for several mails.

mod config;
mod connection;
mod line;

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::time::timeout;

pub use config::{Login, Roots, SmtpConfig, SmtpError, Timeouts, Tls};

use super::{Envelope, Outcome, Reply, Transport};
use config::Prepared;
use connection::{Connection, Refusal};

/// Hands mails to one SMTP relay (RFC 5321), one recipient at a time. Several sends at once use several connections.
/// On a connection that is kept, a mail takes two round trips where the relay offers PIPELINING (RFC 2920), else four.
///
/// What a server says before MAIL (its greeting, STARTTLS, AUTH) is no word about the mail, so even a 5xx there is
/// transient. From MAIL on, 5xx is permanent, but for 503 and 530 to 538, which speak of the session.
#[derive(Debug)]
pub struct SmtpTransport {
    prepared: Prepared,
    idle: Mutex<Vec<Connection>>,
}

impl SmtpTransport {
    /// Checks a configuration. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`SmtpError`] when the configuration contradicts itself or TLS cannot be set up.
    pub fn new(config: SmtpConfig) -> Result<Self, SmtpError> {
        Ok(Self { prepared: config.prepare()?, idle: Mutex::default() })
    }

    /// Brings a connection to the point where it waits for the message.
    async fn offer(&self, envelope: &Envelope, mime: &[u8]) -> Result<Connection, Outcome> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut connection) = kept {
            match connection.offer(envelope, mime).await {
                Ok(()) => return Ok(connection),
                Err(Refusal::Mail(outcome)) => {
                    self.keep(connection).await;
                    return Err(outcome);
                }
                // A server may end a connection that was idle; that says nothing about the mail. Once more, from new.
                Err(Refusal::Broken(_)) => {}
            }
        }
        let mut connection = Connection::open(&self.prepared).await.map_err(|reply| Outcome::Transient { reply })?;
        match connection.offer(envelope, mime).await {
            Ok(()) => Ok(connection),
            Err(Refusal::Broken(reply)) => Err(Outcome::Transient { reply }),
            Err(Refusal::Mail(outcome)) => {
                self.keep(connection).await;
                Err(outcome)
            }
        }
    }

    /// Puts a connection back that is between two mails.
    async fn keep(&self, mut connection: Connection) {
        if connection.goes_on().await {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

#[async_trait]
impl Transport for SmtpTransport {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        let Timeouts { before_data, data, .. } = self.prepared.timeouts;
        let mut connection = match timeout(before_data, self.offer(envelope, mime)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(outcome)) => return outcome,
            Err(_) => return Outcome::Transient { reply: Reply::new(None, "no time left before DATA") },
        };
        let outcome = timeout(data, connection.message(mime)).await.unwrap_or(Outcome::Unknown);
        if connection.is_usable() {
            self.keep(connection).await;
        }
        outcome
    }
}
