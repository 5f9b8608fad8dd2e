//! The registration authority: who may get which certificate, when, and what has to be proven for it.
//!
//! One file a use case: [`Ra::sign_in`], [`Ra::start_renewal`], [`Ra::request_certificate`], [`Ra::activate`],
//! [`Ra::begin_enrolment`] and so on. Each loads one [`SubjectFile`], asks the pure rules of `koshin-expiry` and
//! `koshin-renewal`, and commits what became true under the file's version, together with the audit record and the
//! mails that are owed. This crate refuses to know HTTP, SQL, a clock and a source of randomness: `now` comes in with
//! every call, randomness as an [`Entropy`] function, storage as the ports [`Registry`], [`Sessions`],
//! [`Directory`], [`Chronicle`] and [`Correspondence`]. Certificates come from a CA in the same process, or from one
//! elsewhere behind the port [`Authority`] ([`Issuing`]).
#![doc = ""]
//! A file is read, a command on its holding gives facts, and one commit stores them. A lost race is a
//! [`CommitError::Conflict`]; the use case then reads the file again and decides anew, so two tabs end with the same
//! certificate.

mod activate;
mod administer;
mod agent;
mod authority;
mod beginning;
mod change;
mod clock;
pub mod conformance;
mod dealings;
mod enrol;
mod issue;
mod issuing;
mod local;
mod memory;
mod password;
mod port;
mod preferences;
mod renew;
mod room;
mod session;
mod sign_in;
mod sweep;
mod ticket;
mod undelivered;

pub use administer::{AdministerError, Administration};
pub use agent::{
    AgentBound, AgentError, AgentOpened, AgentProven, AgentRight, AgentStage, AgentStanding, AgentTicket, Agents,
    ByRole,
};
pub use authority::{ChangeError, Entropy, NoEntropy, Owed, Ra, Settings};
pub use beginning::{Beginning, Begun, Patience, Trace};
pub use clock::{Chronicle, ClockRecord, ClockWatch, Jump, Reading};
pub use dealings::DealingsError;
pub use enrol::EnrolError;
pub use issuing::{Authority, AuthorityError, Correspondence, Issuing, Order, Progress, Reached};
pub use koshin_notify::WhyClosed;
pub use local::LocalAuthority;
pub use memory::{MemoryAuthority, MemoryStore};
pub use password::{PasswordError, Passwords};
pub use port::{
    Actor, AuditNote, Certified, ChangeSeen, Commit, CommitError, Directory, DirectoryError, Document, Intent,
    Organization, Proof, Registry, Revocation, SentCode, Session, SessionKey, SessionKind, Sessions, Settled,
    StorageError, Subject, SubjectFile, Tries,
};
pub use preferences::Preferences;
pub use renew::{Bundle, IssuanceError};
pub use session::{Access, SessionError, SessionToken};
pub use sign_in::{SignInError, SignedIn};
pub use ticket::{Ticket, TicketError};
pub use undelivered::{NotDelivered, Undelivered};
