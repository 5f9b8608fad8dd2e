//! From words to octets: one message for one recipient.

use std::time::{Duration, SystemTime};

use lettre::{
    Address,
    address::Envelope as Path,
    message::{
        Mailbox as Named, Message, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};
use time::UtcDateTime;
use zeroize::Zeroizing;

use crate::{Envelope, Mail, Sender, render};

/// A message that is ready for a transport.
#[derive(Debug)]
pub struct Composed {
    /// From whom to whom.
    pub envelope: Envelope,
    /// The message (RFC 5322), lines ended by CR LF, ASCII unless an address is not.
    pub mime: Zeroizing<Vec<u8>>,
}

/// Renders a mail and puts it into MIME: plain text in UTF-8, `Auto-Submitted: auto-generated` (RFC 3834), a Message-ID
/// that follows from the mail's id alone, and `now` as its Date.
///
/// # Errors
///
/// [`ComposeError`] when an address cannot be written into a header.
pub fn compose(mail: &Mail, sender: &Sender, now: UtcDateTime) -> Result<Composed, ComposeError> {
    let words = render(mail, sender);
    let message_id = format!("<{}@{}>", mail.id, sender.from.domain());
    let from: Address = sender.from.as_str().parse().map_err(|_| ComposeError::Sender)?;
    let to: Address = mail.to.as_str().parse().map_err(|_| ComposeError::Recipient)?;
    // Given outright: read back from the headers, a quoted local part would be refused.
    let path = Path::new(Some(from.clone()), vec![to.clone()]).map_err(|_| ComposeError::Recipient)?;
    let mut message = Message::builder()
        .envelope(path)
        .from(Named::new(Some(sender.brand.get(mail.language).to_owned()), from))
        .to(Named::new(None, to))
        .subject(words.subject.as_str())
        .date(system_time(now))
        .message_id(Some(message_id.clone()));
    for (name, value) in &words.headers {
        let name = HeaderName::new_from_ascii((*name).to_owned()).map_err(|_| ComposeError::Message)?;
        message = message.raw_header(HeaderValue::new(name, (*value).to_owned()));
    }
    let message =
        message.singlepart(SinglePart::plain(words.text.as_str().to_owned())).map_err(|_| ComposeError::Message)?;
    let reverse = sender.verp.as_ref().and_then(|verp| verp.sender(mail.id));
    let envelope =
        Envelope { from: reverse.unwrap_or_else(|| sender.from.clone()), to: mail.to.clone(), message_id, words };
    Ok(Composed { envelope, mime: Zeroizing::new(message.formatted()) })
}

/// Why a mail cannot be composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The sender's address cannot be written into a header.
    #[error("the sender's address cannot be written into a header")]
    Sender,
    /// The recipient's address cannot be written into a header.
    #[error("the recipient's address cannot be written into a header")]
    Recipient,
    /// The message could not be put together.
    #[error("the message could not be put together")]
    Message,
}

/// A Date before 1970 is written as 1970.
fn system_time(now: UtcDateTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now.unix_timestamp()).unwrap_or_default())
}
