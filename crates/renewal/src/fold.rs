//! Facts made true, whoever decided on them.

use koshin_types::{Fingerprint, RenewalId, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{Fact, Grant, HeldCertificate, Holding, Issued, Key, Renewal, State, Status};

impl Holding {
    /// Makes a fact true. Facts come from a command or from the audit log; one that speaks of something this holding
    /// does not have changes nothing.
    pub fn apply(&mut self, fact: &Fact, at: UtcDateTime) {
        match *fact {
            Fact::RenewalStarted { id, basis, again, chain_started_at } => {
                self.renewal =
                    Some(Renewal { id, basis, started_at: at, again, chain_started_at, state: State::Started });
            }
            Fact::Issued { id, serial, fingerprint, validity } => {
                self.apply_issued(id, serial, fingerprint, validity, at);
            }
            Fact::Requested { id, spki, protection } => {
                self.advance(id, |_| Some(State::Requested { key: Key { spki, protection } }));
            }
            Fact::Intended { id, serial } => {
                self.advance(id, |state| state.key().map(|key| State::Intended { key, serial }));
            }
            Fact::Delivered { id } => {
                self.advance(id, |state| state.issued().map(|issued| State::Delivered { issued }));
            }
            Fact::Activated { id, serial } => {
                self.advance(id, |state| state.issued().map(|issued| State::Activated { issued }));
                self.settle(serial, Status::Active { since: at });
            }
            Fact::Abandoned { id, why } => self.advance(id, |_| Some(State::Abandoned { why })),
            Fact::RenewalRefused { id } => self.advance(id, |_| Some(State::Refused)),
            Fact::RenewalExpired { id } => self.advance(id, |_| Some(State::Expired)),
            Fact::Superseded { serial, by } => self.settle(serial, Status::Superseded { at, by }),
            Fact::Revoked { serial, reason } => self.settle(serial, Status::Revoked { at, reason }),
            Fact::Deferred { serial } => {
                if let Some(held) = self.certificates.iter_mut().find(|held| held.serial == serial) {
                    held.deferred = held.deferred.saturating_add(1);
                }
            }
            Fact::Permitted { until } => self.grant = Some(Grant { until }),
            Fact::PermissionUsed | Fact::PermissionWithdrawn => self.grant = None,
            Fact::Declined { .. } => {}
        }
    }

    fn apply_issued(
        &mut self,
        id: RenewalId,
        serial: SerialNumber,
        fingerprint: Fingerprint,
        validity: Validity,
        at: UtcDateTime,
    ) {
        let Some(key) = self.renewal.as_ref().filter(|renewal| renewal.id == id).and_then(|r| r.state.key()) else {
            return;
        };
        self.advance(id, |_| Some(State::Issued { issued: Issued { key, serial, fingerprint, at } }));
        let status = Status::Pending;
        self.certificates.push(HeldCertificate {
            serial,
            validity,
            fingerprint,
            key,
            issued_at: at,
            status,
            deferred: 0,
        });
    }

    fn advance(&mut self, id: RenewalId, next: impl FnOnce(&State) -> Option<State>) {
        if let Some(renewal) = self.renewal.as_mut().filter(|renewal| renewal.id == id)
            && let Some(state) = next(&renewal.state)
        {
            renewal.state = state;
        }
    }

    fn settle(&mut self, serial: SerialNumber, status: Status) {
        if let Some(held) = self.certificates.iter_mut().find(|held| held.serial == serial) {
            held.status = status;
        }
    }
}
