//! The mails of an installation: the tables of the configuration that say how they leave, and the work itself. `koshin` and
//! `koshin-mailer` both take it from here, so that they send alike.

mod alarm;
mod build;
mod figures;
mod lag;
mod metrics;
mod schema;
mod standing;
mod work;

use std::sync::Arc;

use koshin_notify::{Operator, Rhythm, Sender, Verp, bounces::BounceBox};
use time::UtcDateTime;

pub use alarm::{Alarm, Limits};
pub use build::KEY_OCTETS;
pub use figures::Figures;
pub use lag::{Lag, ideal};
pub use schema::{
    AlarmTable, Bounces, Brand, Contact, Day, Days, DigestTable, Mail, MailLanguage, PolicyTable, Porter, Smtp,
    SmtpTls, Storage, Text, Unlimited,
};
pub use standing::Standing;
pub use work::{GRACE, Mailing, Post};

/// The present instant, or `None` while the clock is not believed: then nothing is planned, sent or noted.
pub type Believed = Arc<dyn Fn() -> Option<UtcDateTime> + Send + Sync>;

/// Reads the operator's texts again and answers with the sender in these words.
pub type Wording = Box<dyn Fn() -> anyhow::Result<Sender> + Send + Sync>;

/// Whom the steward tells beside the people of the organizations, and when.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// The operator; `None` where nobody is told.
    pub operator: Option<Operator>,
    /// When digests go out.
    pub rhythm: Rhythm,
}

/// How it is noticed that a mail came back: each has a sender of its own, whose mail a server puts into a maildir.
#[derive(Debug, Clone)]
pub struct Returns {
    /// What makes the senders, and knows them again.
    pub verp: Verp,
    /// Where what comes back arrives.
    pub maildir: BounceBox,
}
