//! What administrators, operators and people without a certificate have to be told, and what was told already.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_expiry::RenewalProgress;
use koshin_types::{Language, OrganizationId, Role, SerialNumber, SubjectId, Validity};
use time::UtcDateTime;

use crate::{Address, DaySummary, Digests, Mail, Member, OutboxError, Place, Stage};

/// Matters that have to be told once, digests and daily summaries. A [`Steward`](crate::Steward) works on it.
///
/// A matter is opened by the transaction that makes it one: the record of the second notice about a certificate, the
/// permission to obtain one, the record that a mail was refused or came back. It waits until it has to be looked at, and
/// is gone with what it is about: the certificate goes out of use, the permission is used or withdrawn, the address
/// is changed. What it owes is stored in the transaction that ends it.
///
/// An implementation runs [`matters_conformance!`](crate::matters_conformance).
#[async_trait]
pub trait Matters: Send + Sync {
    /// What comes next. The idle steward asks nothing else.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`] when the store does not answer, as everywhere here.
    async fn coming(&self) -> Result<Coming, OutboxError>;

    /// The matters that have to be looked at by `now` and stand behind the place `after`, the longest due first, at
    /// most `limit`. One that cannot be read is left out and logged.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    async fn matters(&self, now: UtcDateTime, after: Option<Place>, limit: usize) -> Result<MatterPage, OutboxError>;

    /// Stores what was concluded in one transaction: mails into the outbox, and when to look again. A conclusion is left
    /// out when the matter is gone or has to be looked at since another instant. Answers how many were stored.
    ///
    /// A mail that was ever put in is not put in again.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    async fn conclude(&self, conclusions: Vec<Conclusion>, now: UtcDateTime) -> Result<usize, OutboxError>;

    /// The organizations whose last digest was due before `due`, behind `after`, by identifier, at most `limit`; those
    /// that want none are never among them. One that never had any is begun with: its first is the next one.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    async fn gatherings(
        &self,
        due: UtcDateTime,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Gathering>, OutboxError>;

    /// Stores the digests of one organization that were due at `due`, unless that was done. What was left to a digest of an
    /// administrator in `unreachable` since the last one goes out by itself. `false` when nothing was stored.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    async fn digest(&self, digested: Digested, due: UtcDateTime, now: UtcDateTime) -> Result<bool, OutboxError>;

    /// What happened from `from` on and before `until`, and how things stand at `until` by what is known now.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    async fn day(&self, from: UtcDateTime, until: UtcDateTime) -> Result<DaySummary, OutboxError>;

    /// Stores that the operator was told of everything before `until`, with the mail that tells it; `false`, and no
    /// change, when another instant than `from` stands there by now.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Unavailable`].
    async fn summarize(
        &self,
        from: Option<UtcDateTime>,
        until: UtcDateTime,
        mail: Option<Mail>,
        now: UtcDateTime,
    ) -> Result<bool, OutboxError>;
}

#[async_trait]
impl<T: Matters + ?Sized> Matters for Arc<T> {
    async fn coming(&self) -> Result<Coming, OutboxError> {
        (**self).coming().await
    }

    async fn matters(&self, now: UtcDateTime, after: Option<Place>, limit: usize) -> Result<MatterPage, OutboxError> {
        (**self).matters(now, after, limit).await
    }

    async fn conclude(&self, conclusions: Vec<Conclusion>, now: UtcDateTime) -> Result<usize, OutboxError> {
        (**self).conclude(conclusions, now).await
    }

    async fn gatherings(
        &self,
        due: UtcDateTime,
        after: Option<&OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Gathering>, OutboxError> {
        (**self).gatherings(due, after, limit).await
    }

    async fn digest(&self, digested: Digested, due: UtcDateTime, now: UtcDateTime) -> Result<bool, OutboxError> {
        (**self).digest(digested, due, now).await
    }

    async fn day(&self, from: UtcDateTime, until: UtcDateTime) -> Result<DaySummary, OutboxError> {
        (**self).day(from, until).await
    }

    async fn summarize(
        &self,
        from: Option<UtcDateTime>,
        until: UtcDateTime,
        mail: Option<Mail>,
        now: UtcDateTime,
    ) -> Result<bool, OutboxError> {
        (**self).summarize(from, until, mail, now).await
    }
}

/// What a store of matters holds ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coming {
    /// The earliest instant at which a matter has to be looked at, which may lie before now.
    pub matter: Option<UtcDateTime>,
    /// For when the longest past digest of an organization that wants some was due.
    pub digested: Past,
    /// Before which instant everything was told to the operator; `None` before the first summary.
    pub summarized: Option<UtcDateTime>,
}

/// How far the digests of all organizations have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Past {
    /// Nobody wants any.
    #[default]
    Nobody,
    /// Somebody never had one.
    Never,
    /// Everybody had the one of this instant, or a later one.
    Since(UtcDateTime),
}

impl Past {
    /// Whether somebody lacks the digest of this instant.
    pub fn lacks(self, due: UtcDateTime) -> bool {
        match self {
            Self::Nobody => false,
            Self::Never => true,
            Self::Since(last) => last < due,
        }
    }
}

/// Some matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatterPage {
    /// The matters, in order.
    pub rows: Vec<Matter>,
    /// The place behind which the next page begins; `None` when there is none.
    pub more: Option<Place>,
}

/// Something that has to be told once, with everything that is decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matter {
    /// Where it stands: since when it has to be looked at, and the store's number.
    pub place: Place,
    /// What it is.
    pub what: What,
    /// Whom it is about, and who is to be told.
    pub parties: Parties,
}

/// What has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A certificate in use about which notices were sent, to be escalated when the holder does nothing.
    Ignored {
        /// Its serial number.
        serial: SerialNumber,
        /// Its validity.
        validity: Validity,
        /// What became of the thresholds so far.
        notices: Vec<(u16, Stage)>,
        /// How far its renewal is.
        renewal: RenewalProgress,
    },
    /// An open permission to obtain a certificate.
    Permission {
        /// The first instant at which it is over.
        until: UtcDateTime,
    },
    /// The registered address refuses mails, or they come back.
    Address {
        /// When that was recorded first.
        at: UtcDateTime,
    },
}

/// One person, as far as mails need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The ID.
    pub subject_id: SubjectId,
    /// The language of its mails.
    pub language: Language,
    /// The registered address.
    pub address: Option<Address>,
    /// Whether a mail to that address is an open task.
    pub refused: bool,
}

impl Party {
    /// Whether a mail can be expected to arrive.
    pub const fn is_reachable(&self) -> bool {
        self.address.is_some() && !self.refused
    }
}

/// Whom a matter is about, and who is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    /// The holder.
    pub holder: Party,
    /// What the holder may do.
    pub role: Role,
    /// The other administrators of the organization, by identifier.
    pub administrators: Vec<Party>,
    /// Whether the organization wants digests.
    pub digests: Digests,
}

/// What came of a look at a matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The matter, as it was seen.
    pub place: Place,
    /// What is owed.
    pub owed: Vec<Telling>,
    /// What becomes of it.
    pub then: Then,
}

/// A mail about a matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// The mail.
    pub mail: Mail,
    /// Whose registered address it goes to, which is asked again when it is sent; `None` for the operator.
    pub addressee: Option<SubjectId>,
    /// Whether it goes out by itself.
    pub by: By,
}

/// How a mail to an administrator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// By itself.
    Itself,
    /// It is left to the next digest, and closed.
    Digest,
}

/// What becomes of a matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// It has to be looked at then.
    LookAt(UtcDateTime),
    /// Nothing is due, until something happens that opens it again.
    Rest,
    /// It is over for ever.
    Over,
}

/// The people of one organization, for its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathering {
    /// The organization.
    pub organization: OrganizationId,
    /// For when its last digest was due; `None` before the first.
    pub last: Option<UtcDateTime>,
    /// Its administrators, by identifier.
    pub administrators: Vec<Party>,
    /// All its IDs that hold a certificate in use.
    pub members: Vec<Member>,
}

/// The digest of one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digested {
    /// The organization.
    pub organization: OrganizationId,
    /// One mail for each administrator who can be reached; none when there is nothing to say.
    pub owed: Vec<Telling>,
    /// Administrators to whom no digest can be sent.
    pub unreachable: Vec<SubjectId>,
}

/// Whose tasks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Everybody's.
    All,
    /// Those of mails that speak of this ID, whoever they went to.
    About(&'a SubjectId),
    /// Those of mails that went to the registered address of this ID.
    To(&'a SubjectId),
    /// Those of mails that speak of an ID of this organization.
    Organization(&'a OrganizationId),
}

/// Whether a mail of this kind ([`Notice::word`](crate::Notice::word)) goes to the holder of the ID that it speaks of.
pub fn goes_to_holder(kind: &str) -> bool {
    !kind.ends_with("_administrator") && kind != "operator_summary"
}
