//! One renewal: states, events, the step between them.

use core::fmt;

use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::Refused;

/// One renewal or one enrolment of one subject: certificate re-key in the words of RFC 3647, 4.7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renewal {
    /// Drawn when it was started, and bound to the subject.
    pub id: RenewalId,
    /// What entitles the subject to a new certificate.
    pub basis: Basis,
    /// When it was started.
    pub started_at: UtcDateTime,
    /// How many times "start again with a new key" led here: 0 for a renewal that was started on a notice.
    pub again: u8,
    /// The start of the first renewal of the chain of `again`.
    pub chain_started_at: UtcDateTime,
    /// Where it stands.
    pub state: State,
}

/// What entitles a subject to a new certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "kind", rename_all = "snake_case")
)]
pub enum Basis {
    /// Renewal: a valid predecessor, proven by mutual TLS.
    Renewal {
        /// The predecessor's serial number.
        #[cfg_attr(feature = "serde", serde(with = "crate::fact::text"))]
        predecessor: SerialNumber,
        /// The first instant at which the predecessor is no longer valid.
        #[cfg_attr(feature = "serde", serde(with = "crate::fact::instant"))]
        end: UtcDateTime,
    },
    /// Enrolment: password and one-time code, after expiry or by a grant.
    Enrolment {
        /// The end of the certificate it replaces, where there is one.
        #[cfg_attr(feature = "serde", serde(with = "crate::fact::optional_instant"))]
        predecessor_end: Option<UtcDateTime>,
    },
}

impl Basis {
    fn predecessor_end(self) -> Option<UtcDateTime> {
        match self {
            Self::Renewal { end, .. } => Some(end),
            Self::Enrolment { predecessor_end } => predecessor_end,
        }
    }
}

/// The holder's new key, as far as the server knows it: never the private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub spki: Fingerprint,
    /// The claimed protection of the private key.
    pub protection: ProtectionLevel,
}

/// Where a renewal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a new state is a change every user has to look at")]
pub enum State {
    /// The holder asked for it. There is no key yet.
    Started,
    /// "Yes" to the first confirmation: a request for this key was accepted.
    Requested {
        /// The key.
        key: Key,
    },
    /// Serial number and to-be-signed bytes are stored; the signature is owed.
    Intended {
        /// The key.
        key: Key,
        /// The serial number that will be signed.
        serial: SerialNumber,
    },
    /// The certificate is stored.
    Issued {
        /// The key and what was issued for it.
        issued: Issued,
    },
    /// "Yes" to the second confirmation: the holder has the certificate.
    Delivered {
        /// The key and what was issued for it.
        issued: Issued,
    },
    /// A TLS handshake proved the successor.
    Activated {
        /// The key and what was issued for it.
        issued: Issued,
    },
    /// Ended without an activated certificate.
    Abandoned {
        /// Why.
        why: Why,
    },
    /// The CA refused for good.
    Refused,
    /// The predecessor ended before anything was issued.
    Expired,
}

/// A certificate that was issued in a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Issued {
    /// The key it certifies.
    pub key: Key,
    /// Its serial number.
    pub serial: SerialNumber,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// When it was issued.
    pub at: UtcDateTime,
}

/// Why a renewal was abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Why {
    /// No request came in time.
    NoRequest,
    /// The certificate was not activated in time.
    NotActivated,
    /// The holder started again with a new key.
    StartedAgain,
    /// An enrolment took its place.
    Enrolment,
    /// The subject's certificates were revoked.
    Revoked,
}

impl Why {
    /// The word that stands for it in storage and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoRequest => "no_request",
            Self::NotActivated => "not_activated",
            Self::StartedAgain => "started_again",
            Self::Enrolment => "enrolment",
            Self::Revoked => "revoked",
        }
    }
}

/// One of the two "Web access confirmation" dialogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Dialog {
    /// May a key and a request be made on this computer?
    Key,
    /// May the certificate be installed on this computer?
    Install,
}

/// Something that happened to a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a new event is a change every user has to look at")]
pub enum Event {
    /// "Yes" to the first dialog: a gated request for this key arrived.
    Request {
        /// The key it asks to be certified.
        key: Key,
    },
    /// Serial number and to-be-signed bytes were stored.
    Intend {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The certificate was signed, verified and stored.
    Issue {
        /// Its serial number.
        serial: SerialNumber,
        /// SHA-256 of it.
        fingerprint: Fingerprint,
    },
    /// "Yes" to the second dialog.
    Deliver,
    /// "No" to one of the dialogs. It is recorded and changes nothing.
    Decline {
        /// Which one.
        dialog: Dialog,
    },
    /// A TLS handshake proved possession of the issued certificate's key.
    Activate {
        /// SHA-256 of the certificate presented.
        fingerprint: Fingerprint,
    },
    /// The CA refuses for good.
    Refuse,
    /// Something outside ends it.
    Abandon {
        /// What.
        why: Why,
    },
    /// Time passed.
    Tick,
}

/// How long the steps of a renewal may take. Lengths are to the nanosecond; an instant that lies one of them after
/// another is the first at which it is too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deadlines {
    /// From the start to the request: 24 hours by default.
    pub request: Duration,
    /// From the issue to the activation, at least: 35 days by default.
    pub activation_after_issue: Duration,
    /// From the predecessor's end to the activation, at least: 7 days by default.
    pub activation_after_end: Duration,
    /// How often a holder may start again with a new key within `again_within`: 3 times by default.
    pub again_limit: u8,
    /// The period that `again_limit` counts in: 24 hours by default.
    pub again_within: Duration,
}

impl Default for Deadlines {
    /// ```
    /// let deadlines = koshin_renewal::Deadlines::default();
    /// assert_eq!(deadlines.request.whole_hours(), 24);
    /// assert_eq!(deadlines.activation_after_issue.whole_days(), 35);
    /// assert_eq!(deadlines.activation_after_end.whole_days(), 7);
    /// assert_eq!((deadlines.again_limit, deadlines.again_within.whole_hours()), (3, 24));
    /// ```
    fn default() -> Self {
        Self {
            request: Duration::hours(24),
            activation_after_issue: Duration::days(35),
            activation_after_end: Duration::days(7),
            again_limit: 3,
            again_within: Duration::hours(24),
        }
    }
}

impl Renewal {
    /// A renewal that was started now.
    pub const fn new(id: RenewalId, basis: Basis, now: UtcDateTime) -> Self {
        Self { id, basis, started_at: now, again: 0, chain_started_at: now, state: State::Started }
    }

    /// The state after `event`. The same state means that the event was a repetition, or one that only gets recorded.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the event has no place in this state or came too late; nothing has changed then. A renewal
    /// whose deadline has passed refuses everything but [`Event::Tick`], which ends it, and repetitions.
    pub fn step(&self, event: &Event, now: UtcDateTime, deadlines: &Deadlines) -> Result<State, Refused> {
        if let Some(repeated) = self.repetition(event) {
            return repeated.map(|()| self.state);
        }
        let deadline = self.deadline(deadlines).filter(|deadline| *deadline <= now);
        match (self.state, *event, deadline) {
            (_, Event::Tick, None) => Ok(self.state),
            (_, Event::Tick, Some(_)) => Ok(self.lapse(now)),
            (state, Event::Abandon { why }, _) if !state.is_end() => Ok(State::Abandoned { why }),
            (state, Event::Decline { .. }, _) if !state.is_end() => Ok(state),
            (_, _, Some(deadline)) => Err(Refused::Lapsed { deadline, now }),
            (State::Started, Event::Request { key }, None) => Ok(State::Requested { key }),
            (State::Requested { key }, Event::Intend { serial }, None) => Ok(State::Intended { key, serial }),
            (State::Intended { key, serial }, Event::Issue { serial: given, fingerprint }, None) => {
                if serial != given {
                    return Err(Refused::OtherSerial { bound: serial, given });
                }
                Ok(State::Issued { issued: Issued { key, serial, fingerprint, at: now } })
            }
            (State::Issued { issued }, Event::Deliver, None) => Ok(State::Delivered { issued }),
            // The proof counts, not the page's word: a holder may import the file and never press "yes" again.
            (State::Issued { issued } | State::Delivered { issued }, Event::Activate { fingerprint }, None) => {
                if issued.fingerprint != fingerprint {
                    return Err(Refused::OtherCertificate { bound: issued.fingerprint, given: fingerprint });
                }
                Ok(State::Activated { issued })
            }
            (State::Started | State::Requested { .. } | State::Intended { .. }, Event::Refuse, None) => {
                Ok(State::Refused)
            }
            (state, event, None) => Err(Refused::OutOfPlace { state: state.as_str(), event: event.as_str() }),
        }
    }

    /// The first instant at which the present state has lasted too long; `None` for an end.
    pub fn deadline(&self, deadlines: &Deadlines) -> Option<UtcDateTime> {
        let before_issue = match self.basis {
            Basis::Renewal { end, .. } => Some(end),
            Basis::Enrolment { .. } => None,
        };
        match self.state {
            State::Started => {
                let abandoned = self.started_at.saturating_add(deadlines.request);
                Some(before_issue.map_or(abandoned, |end| abandoned.min(end)))
            }
            State::Requested { .. } | State::Intended { .. } => before_issue,
            State::Issued { issued } | State::Delivered { issued } => {
                let after_issue = issued.at.saturating_add(deadlines.activation_after_issue);
                let end = self.basis.predecessor_end();
                Some(end.map_or(after_issue, |end| after_issue.max(end.saturating_add(deadlines.activation_after_end))))
            }
            State::Activated { .. } | State::Abandoned { .. } | State::Refused | State::Expired => None,
        }
    }

    /// What was issued in this renewal and is not yet activated.
    pub const fn pending(&self) -> Option<Issued> {
        match self.state {
            State::Issued { issued } | State::Delivered { issued } => Some(issued),
            _ => None,
        }
    }

    /// Whether the event repeats what the state already says. A repetition is answered the same way at any time,
    /// also after a deadline: a client that lost the answer must be able to ask again.
    fn repetition(&self, event: &Event) -> Option<Result<(), Refused>> {
        match (*event, self.state.key(), self.state.serial()) {
            (Event::Request { key: given }, Some(bound), _) => {
                let refusal = Refused::OtherKey { bound: bound.spki, given: given.spki };
                Some(if bound.spki == given.spki { Ok(()) } else { Err(refusal) })
            }
            (Event::Intend { serial: given }, _, Some(bound)) => {
                Some(if bound == given { Ok(()) } else { Err(Refused::OtherSerial { bound, given }) })
            }
            (Event::Issue { serial, fingerprint }, _, _) => self
                .state
                .issued()
                .and_then(|issued| (issued.serial == serial && issued.fingerprint == fingerprint).then_some(Ok(()))),
            (Event::Deliver, _, _) => {
                matches!(self.state, State::Delivered { .. } | State::Activated { .. }).then_some(Ok(()))
            }
            (Event::Activate { fingerprint }, _, _) => match self.state {
                State::Activated { issued } if issued.fingerprint == fingerprint => Some(Ok(())),
                _ => None,
            },
            (Event::Abandon { why: given }, _, _) => match self.state {
                State::Abandoned { why } if why == given => Some(Ok(())),
                _ => None,
            },
            (Event::Refuse, _, _) => matches!(self.state, State::Refused).then_some(Ok(())),
            _ => None,
        }
    }

    fn lapse(&self, now: UtcDateTime) -> State {
        match (self.state, self.basis) {
            (State::Issued { .. } | State::Delivered { .. }, _) => State::Abandoned { why: Why::NotActivated },
            (_, Basis::Renewal { end, .. }) if end <= now => State::Expired,
            _ => State::Abandoned { why: Why::NoRequest },
        }
    }
}

impl State {
    /// Whether nothing can happen any more.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Activated { .. } | Self::Abandoned { .. } | Self::Refused | Self::Expired)
    }

    /// The word that stands for this state in storage, JSON and tables.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Requested { .. } => "requested",
            Self::Intended { .. } => "intended",
            Self::Issued { .. } => "issued",
            Self::Delivered { .. } => "delivered",
            Self::Activated { .. } => "activated",
            Self::Abandoned { .. } => "abandoned",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    /// The key this renewal is bound to, from the request on.
    pub const fn key(&self) -> Option<Key> {
        match self {
            Self::Requested { key } | Self::Intended { key, .. } => Some(*key),
            Self::Issued { issued } | Self::Delivered { issued } | Self::Activated { issued } => Some(issued.key),
            Self::Started | Self::Abandoned { .. } | Self::Refused | Self::Expired => None,
        }
    }

    /// The serial number this renewal is bound to, from the intent on.
    pub const fn serial(&self) -> Option<SerialNumber> {
        match self {
            Self::Intended { serial, .. } => Some(*serial),
            _ => match self.issued() {
                Some(issued) => Some(issued.serial),
                None => None,
            },
        }
    }

    /// What was issued, from the issue on.
    pub const fn issued(&self) -> Option<Issued> {
        match self {
            Self::Issued { issued } | Self::Delivered { issued } | Self::Activated { issued } => Some(*issued),
            _ => None,
        }
    }
}

impl Event {
    /// The word that stands for this event in errors and tables.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Request { .. } => "request",
            Self::Intend { .. } => "intend",
            Self::Issue { .. } => "issue",
            Self::Deliver => "deliver",
            Self::Decline { .. } => "decline",
            Self::Activate { .. } => "activate",
            Self::Refuse => "refuse",
            Self::Abandon { .. } => "abandon",
            Self::Tick => "tick",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abandoned { why } => write!(f, "abandoned ({})", why.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}
