//! Renewal and enrolment by an agent: a program on the holder's computer that makes the key where the computer keeps keys best.
//!
//! A page makes a ticket, the agent opens an exchange with it, the holder types what the page shows (or what was mailed), and
//! from then on the agent does what the page would do. In a renewal every step is taken with the predecessor's certificate;
//! once a request was accepted, that certificate, the renewal's identifier and the same key are enough, so that a killed
//! agent goes on. In an enrolment a bearer secret stands in for the certificate.

mod enrolment;
mod exchange;
mod ticket;

use koshin_renewal::Admission;
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, Rfc3339, Role, SubjectId};
use time::UtcDateTime;

use crate::{
    AuditNote, ChangeError, EnrolError, IssuanceError, NoEntropy, Ra, SessionError, SessionKey, SessionToken,
    SignInError, StorageError, SubjectFile, Trace, session::sha256,
};

pub use enrolment::AgentProven;
pub use exchange::AgentStanding;
pub use ticket::{AgentOpened, AgentStage, AgentTicket};

/// One value for each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByRole<T> {
    /// For administrators.
    pub administrator: T,
    /// For users.
    pub user: T,
}

impl<T: Copy> ByRole<T> {
    /// The same for both.
    pub const fn all(value: T) -> Self {
        Self { administrator: value, user: value }
    }

    /// The value for a role.
    pub const fn of(&self, role: Role) -> T {
        match role {
            Role::Administrator => self.administrator,
            Role::User => self.user,
        }
    }
}

/// Whether holders obtain their certificates with an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a further word is a decision for every caller")]
pub enum Agents {
    /// Nobody does; there are no tickets.
    Off,
    /// Whoever wants to.
    #[default]
    Offered,
    /// Everybody has to: keys in files are refused.
    Required,
}

/// What an agent may do, and how far it has come. Storage keeps it as part of a [`SessionKind::Agent`](crate::SessionKind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "storage has to know every one")]
pub enum AgentRight {
    /// A ticket that opens one exchange about a renewal.
    Ticket {
        /// What it is for.
        bound: AgentBound,
        /// SHA-256 of ticket and digits together.
        code: Fingerprint,
    },
    /// The same after it was used. Kept until its end, so that a second use is noticed.
    Used {
        /// What it was for.
        bound: AgentBound,
    },
    /// An exchange. The digits were not typed yet.
    Opened {
        /// What it is for.
        bound: AgentBound,
        /// SHA-256 of the exchange's salt and the digits together.
        code: Fingerprint,
        /// SHA-256 of the ticket, the salt of `code`.
        ticket: SessionKey,
        /// How often digits were typed. Counted before they are compared.
        tries: u8,
    },
    /// The digits were right.
    Confirmed {
        /// What it is for.
        bound: AgentBound,
    },
    /// They were wrong too often.
    Exhausted {
        /// What it was for.
        bound: AgentBound,
    },
    /// A ticket that opens one exchange about an enrolment.
    EnrolmentTicket {
        /// The enrolment's session token, sealed with the ticket.
        sealed: Fingerprint,
    },
    /// The same after it was used.
    EnrolmentUsed,
    /// The exchange about an enrolment, until its one-time code was typed.
    EnrolmentOpened {
        /// The enrolment's session token, sealed with the exchange's secret.
        sealed: Fingerprint,
    },
}

/// What tickets and exchanges about a renewal are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentBound {
    /// SHA-256 of the predecessor: the only certificate that may be shown.
    pub certificate: Fingerprint,
    /// The renewal.
    pub renewal: RenewalId,
}

/// Why an agent did not come further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// No client certificate was presented.
    #[error("no client certificate was presented")]
    NoCertificate,
    /// The certificate may not log in, so it cannot be renewed.
    #[error("the certificate may not be renewed")]
    Certificate(Admission),
    /// The certificate is not the one that the ticket, or the renewal, is for.
    #[error("the ticket or the renewal belongs to another certificate")]
    OtherCertificate,
    /// There is no such ticket, it is over, or the session that it was made in is.
    #[error("the ticket does not hold")]
    TicketWrong,
    /// The ticket has opened an exchange before.
    #[error("the ticket was used before")]
    TicketUsed,
    /// The exchange is over, or there was none.
    #[error("the exchange is over")]
    Over,
    /// The digits were not typed yet.
    #[error("the exchange is not confirmed")]
    NotConfirmed,
    /// The digits are wrong.
    #[error("the digits are wrong; {left} tries are left")]
    CodeWrong {
        /// How many tries are left: at least one.
        left: u8,
    },
    /// They were wrong too often: the exchange is void.
    #[error("the digits were wrong too often")]
    CodeExhausted,
    /// The subject has no such renewal.
    #[error("the subject has no renewal {id}")]
    NotFound {
        /// The identifier given.
        id: RenewalId,
    },
    /// The renewal has ended without a certificate, or another one took its place.
    #[error("the renewal is {state}")]
    Ended {
        /// The word of its state.
        state: &'static str,
    },
    /// The key is protected less than this role's keys have to be.
    #[error("the key's protection is {claimed}, at least {minimum} is needed")]
    Protection {
        /// What is needed.
        minimum: ProtectionLevel,
        /// What the agent said.
        claimed: ProtectionLevel,
    },
    /// This role does without agents.
    #[error("agents are not offered to this role")]
    Off,
    /// Too many wrong tickets or codes.
    #[error("too many tries; possible again at {}", Rfc3339(*retry_at))]
    TooMany {
        /// When the next try is possible.
        retry_at: UtcDateTime,
    },
    /// Tickets are made in sessions of the portal or of an enrolment.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No certificate was issued.
    #[error(transparent)]
    Issuance(#[from] IssuanceError),
    /// The rules refuse it.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

impl From<SignInError> for AgentError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TooMany { retry_at } => Self::TooMany { retry_at },
            SignInError::Storage(error) => Self::Storage(error),
            SignInError::Entropy(error) => Self::Entropy(error),
            SignInError::Change(error) => Self::Change(error),
            SignInError::Certificate(admission) => Self::Certificate(admission),
            SignInError::NoCertificate => Self::NoCertificate,
            SignInError::Wrong | SignInError::Password(_) => Self::TicketWrong,
        }
    }
}

impl From<EnrolError> for AgentError {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::WrongCode { left: 0 } => Self::CodeExhausted,
            EnrolError::WrongCode { left } => Self::CodeWrong { left },
            EnrolError::TooMany { retry_at } => Self::TooMany { retry_at },
            EnrolError::CodeExpired { .. } | EnrolError::Session(SessionError::None) | EnrolError::Password(_) => {
                Self::Over
            }
            EnrolError::Session(error) => Self::Session(error),
            EnrolError::Change(error) => Self::Change(error),
            EnrolError::Storage(error) => Self::Storage(error),
            EnrolError::Entropy(error) => Self::Entropy(error),
        }
    }
}

impl AgentError {
    /// The word for a refusal in the audit log; `None` for what is nobody's doing.
    const fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoCertificate => "no_certificate",
            Self::Certificate(_) => "certificate",
            Self::OtherCertificate => "other_certificate",
            Self::TicketWrong => "ticket_wrong",
            Self::TicketUsed => "ticket_used",
            Self::Over => "over",
            Self::NotConfirmed => "not_confirmed",
            Self::CodeWrong { .. } => "code_wrong",
            Self::CodeExhausted => "code_exhausted",
            Self::NotFound { .. } => "not_found",
            Self::Ended { .. } => "ended",
            Self::Protection { .. } => "protection",
            Self::Off => "off",
            Self::Issuance(IssuanceError::Rejected(_)) => "request",
            Self::Issuance(IssuanceError::Change(ChangeError::Refused(_))) | Self::Change(ChangeError::Refused(_)) => {
                "refused"
            }
            Self::Issuance(IssuanceError::Change(ChangeError::KeySeen { .. })) => "key_seen",
            _ => return None,
        })
    }
}

impl Ra {
    /// Passes an answer on; a refusal leaves an audit record first, and one of a ticket counts against who showed it. What
    /// cannot be recorded is answered with that.
    async fn recorded<T>(
        &self,
        result: Result<T, AgentError>,
        tries: Option<&str>,
        mut note: AuditNote,
        now: UtcDateTime,
    ) -> Result<T, AgentError> {
        let Err(error) = result else { return result };
        if let Some(reason) = error.reason() {
            note.word = "agent_refused";
            note.details.insert("reason", reason.to_owned());
            if let AgentError::Protection { minimum, claimed } = &error {
                note = note.with("minimum", minimum).with("claimed", claimed);
            }
            // Of somebody who is nobody's holder a count is kept, and a record now and then.
            let trace = if note.subject.is_some() { Trace::Recorded(note) } else { Trace::Counted(note) };
            let is_guess = matches!(error, AgentError::TicketWrong | AgentError::OtherCertificate);
            let key = tries.filter(|_| is_guess).unwrap_or(REFUSALS);
            self.sessions.note_try(key, Some((now, trace))).await?;
        }
        Err(error)
    }

    /// Whether the session in which something was made still is one: signing out ends what was made in it.
    async fn goes_on(&self, session: &SessionKey, now: UtcDateTime) -> Result<bool, StorageError> {
        Ok(self.sessions.find(session).await?.is_some_and(|found| now < found.ends_at))
    }

    /// Refuses a role that does without agents.
    fn agents_offered(&self, file: &SubjectFile) -> Result<(), AgentError> {
        match self.desk.settings.agents.of(file.subject.role) {
            Agents::Off => Err(AgentError::Off),
            Agents::Offered | Agents::Required => Ok(()),
        }
    }

    /// Whether a key was requested by an agent, for this renewal.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn is_agent_key(&self, spki: &Fingerprint) -> Result<bool, StorageError> {
        Ok(self.sessions.find(&agent_key(spki)).await?.is_some())
    }

    /// Whether the key that a holder's renewal is bound to is an agent's: then the agent takes it up again, no page.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn is_agents(&self, file: &SubjectFile) -> Result<bool, StorageError> {
        match file.holding.renewal.as_ref().and_then(|renewal| renewal.state.key()) {
            Some(key) => self.is_agent_key(&key.spki).await,
            None => Ok(false),
        }
    }

    /// For the way of the page and of programs, whose keys are in files: refuses them to a role that needs more. A renewal
    /// that is bound to its key already goes on.
    ///
    /// # Errors
    ///
    /// [`IssuanceError::AgentNeeded`] and [`IssuanceError::Protection`].
    pub fn takes_files(&self, file: &SubjectFile) -> Result<(), IssuanceError> {
        let bound = file.holding.renewal.as_ref().is_some_and(|renewal| renewal.state.key().is_some());
        let role = file.subject.role;
        let minimum = self.desk.settings.minimum_protection.of(role);
        match self.desk.settings.agents.of(role) {
            _ if bound => Ok(()),
            Agents::Required => Err(IssuanceError::AgentNeeded),
            _ if ProtectionLevel::File < minimum => {
                Err(IssuanceError::Protection { minimum, claimed: ProtectionLevel::File })
            }
            _ => Ok(()),
        }
    }
}

/// Under which key refusals are counted. Nobody is slowed down by them: wrong tickets and digits have counters of their own.
const REFUSALS: &str = "agent refusals";

/// Where the mark of a key is kept. No token has this hash: tokens are 64 octets of hexadecimal digits.
fn agent_key(spki: &Fingerprint) -> SessionKey {
    sha256(&[b"agent key ", spki.as_bytes()])
}

/// Where the exchange about a renewal is kept: there is one at a time.
fn exchange_key(renewal: &RenewalId) -> SessionKey {
    sha256(&[b"agent exchange ", renewal.as_bytes()])
}

/// The digits as storage knows them.
fn code_hash(ticket: &SessionKey, digits: &str) -> Fingerprint {
    sha256(&[b"agent digits ", ticket.as_bytes(), b" ", digits.as_bytes()])
}

/// A token that only the secret opens: one octet of a hash of the secret for each of its own. Sealed again it is open.
fn sealed(secret: &SessionToken, token: &Fingerprint) -> Fingerprint {
    let pad = sha256(&[b"agent seal ", secret.reveal().as_bytes()]);
    let mut octets = *token.as_bytes();
    octets.iter_mut().zip(pad.as_bytes()).for_each(|(octet, pad)| *octet ^= pad);
    Fingerprint::new(octets)
}

/// A note about the holder's own doing.
fn holders(subject: &SubjectId, word: &'static str) -> AuditNote {
    crate::sign_in::note(crate::Actor::Holder(subject.clone()), Some(subject), word, [])
}
