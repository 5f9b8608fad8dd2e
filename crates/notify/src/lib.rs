//! The mails of a certificate's life, in Japanese and English, and the mailer that sends each of them once.
//!
//! A [`Mail`] is what is owed to one person. Whoever makes it due stores it in an [`Outbox`]; a [`Mailer`] claims it,
//! [`render`]s it, hands it to a [`Transport`] and records what came of it. A refusal for ever is recorded, a refusal
//! for now is tried again with growing delay, and an answer that was lost leads to at most one repeat, with the same
//! Message-ID.
//!
//! The notices of expiry are made due by time alone. A [`Planner`] looks at each certificate of a [`Schedule`] when one
//! of its thresholds opens, asks the expiry policy, and puts the one notice that is due into the outbox together with
//! the record of what it closes, so that no threshold is ever told twice and none that opened is forgotten.
//!
//! A [`Steward`] owes what is told once: to administrators, that a holder ignored every notice or that an address refuses
//! mails, and once a week the list of their IDs; to whoever may obtain a certificate, that the permission ends soon; to the
//! operator, what happened in a day.
//!
//! The crate refuses to know a clock and a database: `now` and the ports are the caller's. No address and no code of it
//! reaches a log.
//!
//! The feature `smtp` (off by default) adds the module `smtp` with a client for one relay, over rustls. Without it there
//! are still [`Maildir`], [`Mailbox`] and whatever implements [`Transport`]. The feature `bounces` (off by default) adds
//! the module `bounces`, which reads what mail servers report later.
//!
//! ```
//! use koshin_notify::{Bilingual, Mail, Mailbox, Mailer, MemoryOutbox, Notice, Sender, Wake, Zone};
//! use koshin_types::{Language, Validity};
//! use time::{Duration, UtcDateTime, UtcOffset};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sender = Sender::new(
//!     "noreply@bank.example".parse()?,
//!     Bilingual::new("みどり信用金庫", "Midori Bank"),
//!     Bilingual::new("みどりビジネスWeb", "Midori Business Web"),
//!     Bilingual::new("お客様サポート 03-0000-0000", "Customer support, 03-0000-0000"),
//!     Zone::fixed(UtcOffset::from_hms(9, 0, 0)?, "JST"),
//! )?;
//!
//! let not_before = UtcDateTime::from_unix_timestamp(1_766_415_600)?;
//! let validity = Validity::new(not_before, not_before + Duration::seconds(365 * 86_400 - 1))?;
//! let notice = Notice::Expiry { threshold_days: 30, validity, days_left: 30, renewal_opens: None };
//! let mail = Mail::new(notice, "1A2B/30", "taro@example.co.jp".parse()?, Language::Ja, "U-1001".parse()?);
//!
//! let now = not_before + Duration::days(335);
//! let (outbox, mailbox) = (MemoryOutbox::default(), Mailbox::default());
//! outbox.put(mail, now);
//! let mailer = Mailer::new(outbox, mailbox.clone(), sender);
//! assert_eq!(mailer.run(now).await?, Wake::Idle);
//!
//! let words = &mailbox.newest(1)[0].envelope.words;
//! assert_eq!(words.subject, "【みどり信用金庫】電子証明書の有効期限のお知らせ（2026年12月22日まで）");
//! assert!(words.text.contains("有効期限：2026年12月22日(火) 23:59 JST"));
//! # Ok(())
//! # }
//! ```

mod address;
#[cfg(feature = "bounces")]
pub mod bounces;
mod calendar;
pub mod conformance;
mod digest;
mod mail;
mod mailer;
mod matters;
mod mime;
mod outbox;
mod payload;
mod planner;
mod render;
mod sample;
mod schedule;
mod sender;
mod steward;
mod tasks;
mod texts;
mod transport;
mod verp;

pub use address::{Address, AddressError};
pub use calendar::calendar;
pub use digest::{
    DaySummary, Digest, DigestLine, DigestState, Digests, Member, Rhythm, escalation_opens, reminder_opens,
};
pub use mail::{Audience, Code, Mail, MailId, NoCode, NoMailId, Notice, Urgency, Way, WhyClosed};
pub use mailer::{Mailer, Observer, Settings, Tally, Wake};
pub use matters::{
    By, Coming, Conclusion, Digested, Gathering, Matter, MatterPage, Matters, Parties, Party, Past, Telling, Then,
    What, Whose, goes_to_holder,
};
pub use mime::{ComposeError, Composed, compose};
pub use outbox::{Claimed, Disposition, Fence, MemoryOutbox, Outbox, OutboxError, Suppression};
pub use payload::DecodeError;
pub use planner::Planner;
pub use render::{Rendered, masked_id, render};
pub use sample::{preview, sample_mails, sample_names};
pub use schedule::{
    Ahead, InUse, Look, MemorySchedule, Next, Owed, Page, Place, Plan, PolicyMark, Schedule, ScheduleError, Scheduled,
    Stage, horizon,
};
pub use sender::{Bilingual, Sender, SenderError, Zone};
pub use steward::{Operator, Steward};
pub use tasks::{Bounce, Task, Tasks, Trouble};
pub use texts::{Complaint, Complaints, Fault, Texts, lint};
#[cfg(feature = "smtp")]
pub use transport::smtp::{self, SmtpTransport};
pub use transport::{Envelope, Mailbox, Maildir, Outcome, Received, Reply, Transport};
pub use verp::{BadVerp, Verp};
