//! Recorded facts, judged by the machine that should have recorded them.

use alloc::boxed::Box;

use koshin_types::{RenewalId, RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::{Basis, Change, Deadlines, Event, Fact, Holding, Key, Refused, Why};

/// Why recorded facts are no history of the machine. `index` counts the facts that were given, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAllowed {
    /// The machine refuses the step that the fact speaks of.
    #[error("{fact} is refused")]
    Refused {
        /// Which of the facts.
        index: usize,
        /// Its word.
        fact: &'static str,
        /// What the machine says.
        #[source]
        refused: Refused,
    },
    /// The machine takes the step for a repetition, or for one that changes nothing, and records nothing of the kind.
    #[error("{fact} changes nothing")]
    Idle {
        /// Which of the facts.
        index: usize,
        /// Its word.
        fact: &'static str,
    },
    /// No command records this fact by itself.
    #[error("{fact} comes only together with what it follows from")]
    Alone {
        /// Which of the facts.
        index: usize,
        /// Its word.
        fact: &'static str,
    },
    /// The machine records another fact at this place of the step.
    #[error("{} stands where {} belongs", told(given, expected), told(expected, given))]
    Other {
        /// Which of the facts.
        index: usize,
        /// The fact that was given.
        given: Box<Fact>,
        /// The one that the machine records.
        expected: Box<Fact>,
    },
    /// The step is not complete: the machine records one fact more in the same commit.
    #[error("{expected} is missing after it")]
    Missing {
        /// The last of the facts.
        index: usize,
        /// The word of the one that is missing.
        expected: &'static str,
    },
}

impl NotAllowed {
    /// Which of the facts is the first that the machine does not allow, from 0.
    pub const fn index(&self) -> usize {
        match self {
            Self::Refused { index, .. }
            | Self::Idle { index, .. }
            | Self::Alone { index, .. }
            | Self::Other { index, .. }
            | Self::Missing { index, .. } => *index,
        }
    }
}

/// Settings under which no deadline passes but those that certificates set, and nobody starts again too often.
const PATIENT: Deadlines = Deadlines {
    request: Duration::MAX,
    activation_after_issue: Duration::MAX,
    activation_after_end: Duration::MAX,
    again_limit: u8::MAX,
    again_within: Duration::MAX,
};

/// Settings under which every deadline has passed that can.
const IMPATIENT: Deadlines = Deadlines {
    request: Duration::ZERO,
    activation_after_issue: Duration::ZERO,
    activation_after_end: Duration::ZERO,
    again_limit: u8::MAX,
    again_within: Duration::ZERO,
};

impl Holding {
    /// Judges facts that were recorded at one instant, in their order, and answers with the holding after them.
    ///
    /// Each step that the facts speak of is taken again by the command that records it, and has to give the same facts,
    /// all of them. So what belongs into one commit has to be there as a whole: a supersession with its activation, a
    /// withdrawn certificate with the end of its renewal, a permission with the issue that used it up.
    ///
    /// Policy and deadlines are settings that may have changed since. The judgement holds for any settings: a renewal
    /// needs an active certificate within its validity, but not an open window; an enrolment needs a grant, or an active
    /// certificate that has ended; a deadline that no setting could have is not accepted.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`] with the first fact that the machine does not allow.
    pub fn replay(&self, facts: &[Fact], at: UtcDateTime) -> Result<Self, NotAllowed> {
        let mut holding = self.clone();
        let mut index = 0;
        while let Some((fact, rest)) = facts.get(index..).and_then(<[Fact]>::split_first) {
            let word = fact.as_str();
            let change = match holding.again(fact, rest, at) {
                Some(Ok(change)) if change.facts.is_empty() => return Err(NotAllowed::Idle { index, fact: word }),
                Some(Ok(change)) => change,
                Some(Err(refused)) => return Err(NotAllowed::Refused { index, fact: word, refused }),
                None => return Err(NotAllowed::Alone { index, fact: word }),
            };
            for expected in change.facts {
                let Some(given) = facts.get(index) else {
                    return Err(NotAllowed::Missing { index: index.saturating_sub(1), expected: expected.as_str() });
                };
                if *given != expected {
                    return Err(NotAllowed::Other { index, given: given.clone().into(), expected: expected.into() });
                }
                index += 1;
            }
            holding = change.next;
        }
        Ok(holding)
    }

    /// Takes the step again that begins with this fact; `None` when none does.
    fn again(&self, fact: &Fact, rest: &[Fact], at: UtcDateTime) -> Option<Result<Change, Refused>> {
        let step = |id, event| self.step(id, &event, at, &PATIENT);
        Some(match *fact {
            Fact::RenewalStarted { id, basis: Basis::Renewal { .. }, .. } => self.start_renewal(id, at),
            Fact::RenewalStarted { id, basis: Basis::Enrolment { .. }, .. } => self.start_enrolment(id, at),
            Fact::Requested { id, spki, protection } => step(id, Event::Request { key: Key { spki, protection } }),
            Fact::Intended { id, serial } => step(id, Event::Intend { serial }),
            Fact::Issued { id, serial, fingerprint, validity } => {
                self.issue(id, serial, fingerprint, validity, at, &PATIENT)
            }
            Fact::Delivered { id } => step(id, Event::Deliver),
            Fact::Declined { id, dialog } => step(id, Event::Decline { dialog }),
            Fact::Superseded { by: serial, .. } | Fact::Activated { serial, .. } => self.prove(serial, at),
            Fact::Revoked { reason, .. } => match rest.split_first() {
                Some((Fact::Abandoned { id, why }, rest)) => self.end(*id, *why, reason, rest, at),
                _ => self.revoke(reason, at),
            },
            Fact::Abandoned { id, why } => {
                let reason = match rest.first() {
                    Some(Fact::Revoked { reason, .. }) => *reason,
                    _ => RevocationReason::Unspecified,
                };
                self.end(id, why, reason, rest, at)
            }
            Fact::RenewalRefused { id } => step(id, Event::Refuse),
            Fact::RenewalExpired { id } => self.step(id, &Event::Tick, at, &IMPATIENT),
            Fact::Deferred { .. } => self.defer_notice(at),
            Fact::Permitted { until } => Ok(self.permit(until, at)),
            Fact::PermissionUsed => return None,
            // A revocation of nothing else records the same.
            Fact::PermissionWithdrawn => Ok(self.withdraw_permission(at)),
        })
    }

    /// The first login with the certificate of this serial number.
    fn prove(&self, serial: SerialNumber, at: UtcDateTime) -> Result<Change, Refused> {
        let proven = self.certificates.iter().find(|held| held.serial == serial).ok_or(Refused::NoCertificate)?;
        let open = self.open_renewal().ok_or(Refused::NotInUse { status: proven.status.word() })?;
        self.step(open.id, &Event::Activate { fingerprint: proven.fingerprint }, at, &PATIENT)
    }

    /// The step that ends a renewal without an activated certificate. `rest` is what follows its end.
    fn end(
        &self,
        id: RenewalId,
        why: Why,
        reason: RevocationReason,
        rest: &[Fact],
        at: UtcDateTime,
    ) -> Result<Change, Refused> {
        let next = match rest.first() {
            Some(Fact::RenewalStarted { id, chain_started_at, .. }) => Some((*id, *chain_started_at)),
            _ => None,
        };
        let new_id = next.map_or(id, |(id, _)| id);
        match why {
            Why::NoRequest | Why::NotActivated => self.step(id, &Event::Tick, at, &IMPATIENT),
            Why::StartedAgain => {
                let chain = self.renewal.as_ref().map(|renewal| renewal.chain_started_at);
                let same_chain = next.map(|(_, chain_started_at)| chain_started_at) == chain;
                self.start_again(id, new_id, at, if same_chain { &PATIENT } else { &IMPATIENT })
            }
            Why::Enrolment => self.start_enrolment(new_id, at),
            Why::Revoked => self.revoke(reason, at),
        }
    }
}

/// A fact by its word; with all it says where the word alone would not tell it from the other one.
fn told(fact: &Fact, other: &Fact) -> alloc::string::String {
    if fact.as_str() == other.as_str() { alloc::format!("{fact:?}") } else { fact.as_str().into() }
}
