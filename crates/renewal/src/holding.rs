//! Everything one subject holds, and the commands on it.

use alloc::{vec, vec::Vec};

use koshin_expiry::{Decision, Policy, RenewalProgress, Standing};
use koshin_types::{CertificateStatus, Fingerprint, RenewalId, RevocationReason, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{Basis, Deadlines, Effect, Event, Fact, Key, Refused, Renewal, State, Why, machine::Issued};

/// One certificate of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCertificate {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Its validity.
    pub validity: Validity,
    /// SHA-256 of the whole certificate.
    pub fingerprint: Fingerprint,
    /// Its key, with the claimed protection.
    pub key: Key,
    /// When it was issued.
    pub issued_at: UtcDateTime,
    /// What became of it.
    pub status: Status,
    /// How often the holder chose "renew later" on its notice.
    pub deferred: u32,
}

/// What became of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Issued, not yet proven.
    Pending,
    /// The one its subject logs in with.
    Active {
        /// Since when.
        since: UtcDateTime,
    },
    /// Replaced.
    Superseded {
        /// When.
        at: UtcDateTime,
        /// By which certificate.
        by: SerialNumber,
    },
    /// Revoked, for ever.
    Revoked {
        /// When.
        at: UtcDateTime,
        /// Why.
        reason: RevocationReason,
    },
}

impl Status {
    /// The status without its data.
    pub const fn word(&self) -> CertificateStatus {
        match self {
            Self::Pending => CertificateStatus::Pending,
            Self::Active { .. } => CertificateStatus::Active,
            Self::Superseded { .. } => CertificateStatus::Superseded,
            Self::Revoked { .. } => CertificateStatus::Revoked,
        }
    }
}

/// A permission to enrol, given by an administrator or the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The first instant at which it is void.
    pub until: UtcDateTime,
}

/// Everything one subject holds. The empty holding is the one of a subject that has just been registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// Certificates in the order of issue. Rows are only added; their status changes.
    pub certificates: Vec<HeldCertificate>,
    /// The open renewal, or the last one that ended.
    pub renewal: Option<Renewal>,
    /// The permission to enrol that has not been used up.
    pub grant: Option<Grant>,
}

/// The answer to a command: the holding after it, what became true, what is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The holding after the command.
    pub next: Holding,
    /// What became true, in order. Empty for a repetition.
    pub facts: Vec<Fact>,
    /// What is owed once the facts are committed.
    pub effects: Vec<Effect>,
}

/// What a certificate presented in a TLS handshake may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Log in.
    Login,
    /// Nothing but be activated.
    ActivationOnly,
    /// Nothing: it is not yet valid.
    NotYetValid {
        /// From when it will be.
        not_before: UtcDateTime,
    },
    /// Nothing: it has ended.
    Expired {
        /// The first instant at which it was no longer valid.
        ends: UtcDateTime,
    },
    /// Nothing: a successor took its place.
    Superseded {
        /// When.
        at: UtcDateTime,
        /// The successor.
        by: SerialNumber,
    },
    /// Nothing, for ever.
    Revoked {
        /// When.
        at: UtcDateTime,
        /// Why.
        reason: RevocationReason,
    },
    /// It is none of this subject's certificates.
    Unknown,
}

/// How a subject stands at an instant.
#[derive(Debug, Clone)]
pub struct Outlook<'a> {
    /// The certificate that counts: the active one, else the last that is not pending.
    pub current: Option<&'a HeldCertificate>,
    /// The decision of the expiry policy about it.
    pub decision: Option<Decision>,
    /// Whether the subject may enrol now, by policy, by grant, or to go on with an enrolment.
    pub enrolment: bool,
}

impl Holding {
    /// The certificate that counts: the active one, else the last that is not pending.
    pub fn current(&self) -> Option<&HeldCertificate> {
        let active = |held: &&HeldCertificate| matches!(held.status, Status::Active { .. });
        let settled = |held: &&HeldCertificate| !matches!(held.status, Status::Pending);
        self.certificates.iter().rev().find(active).or_else(|| self.certificates.iter().rev().find(settled))
    }

    /// The certificate with this fingerprint.
    pub fn certificate(&self, fingerprint: &Fingerprint) -> Option<&HeldCertificate> {
        self.certificates.iter().find(|held| held.fingerprint == *fingerprint)
    }

    /// The renewal that has not ended.
    pub fn open_renewal(&self) -> Option<&Renewal> {
        self.renewal.as_ref().filter(|renewal| !renewal.state.is_end())
    }

    /// What a presented certificate may do now.
    pub fn admission(&self, fingerprint: &Fingerprint, now: UtcDateTime) -> Admission {
        let Some(held) = self.certificate(fingerprint) else { return Admission::Unknown };
        match held.status {
            Status::Revoked { at, reason } => Admission::Revoked { at, reason },
            Status::Superseded { at, by } => Admission::Superseded { at, by },
            _ if now < held.validity.not_before() => Admission::NotYetValid { not_before: held.validity.not_before() },
            _ if !held.validity.contains(now) => Admission::Expired { ends: held.validity.end() },
            Status::Pending => Admission::ActivationOnly,
            Status::Active { .. } => Admission::Login,
        }
    }

    /// How the subject stands at an instant.
    pub fn outlook(&self, policy: &Policy, now: UtcDateTime) -> Outlook<'_> {
        let current = self.current();
        let decision = current.map(|held| policy.decide(&self.standing(held, now), now));
        let continued = self.open_renewal().is_some_and(|open| matches!(open.basis, Basis::Enrolment { .. }));
        let by_policy = match &decision {
            Some(decision) => decision.enrolment,
            None => self.granted(now),
        };
        Outlook { current, decision, enrolment: by_policy || continued }
    }

    /// Starts a renewal, or answers with the one that is open.
    ///
    /// # Errors
    ///
    /// [`Refused`] unless the policy offers renewal at this instant, and never otherwise.
    pub fn start(&self, id: RenewalId, policy: &Policy, now: UtcDateTime) -> Result<Change, Refused> {
        let outlook = self.outlook(policy, now);
        let (Some(current), Some(decision)) = (outlook.current, outlook.decision) else {
            return Err(Refused::NoCertificate);
        };
        if !decision.renewal {
            return Err(match current.status {
                Status::Active { .. } if decision.ends <= now => Refused::Ended { ends: decision.ends, now },
                Status::Active { .. } => Refused::TooEarly { opens: decision.window_opens, now },
                _ => Refused::NotInUse { status: current.status.word() },
            });
        }
        if self.open_renewal().is_some() {
            return Ok(self.unchanged());
        }
        let basis = Basis::Renewal { predecessor: current.serial, end: current.validity.end() };
        Ok(self.change(vec![started(id, basis, 0, now)], Vec::new(), now))
    }

    /// Starts an enrolment, or answers with the one that is open. The caller has verified password and one-time code.
    ///
    /// An open renewal gives way: its pending certificate is revoked in the same commit, so that there is never more
    /// than one certificate waiting for activation.
    ///
    /// # Errors
    ///
    /// [`Refused::EnrolmentClosed`] when neither policy nor grant opens enrolment at this instant.
    pub fn enrol(&self, id: RenewalId, policy: &Policy, now: UtcDateTime) -> Result<Change, Refused> {
        if !self.outlook(policy, now).enrolment {
            return Err(Refused::EnrolmentClosed);
        }
        let mut facts = Vec::new();
        let mut effects = Vec::new();
        match self.open_renewal() {
            Some(Renewal { basis: Basis::Enrolment { .. }, .. }) => return Ok(self.unchanged()),
            Some(open) => withdraw(open, Why::Enrolment, RevocationReason::Superseded, &mut facts, &mut effects),
            None => {}
        }
        let basis = Basis::Enrolment { predecessor_end: self.current().map(|held| held.validity.end()) };
        facts.push(started(id, basis, 0, now));
        Ok(self.change(facts, effects, now))
    }

    /// Applies an event to the subject's renewal `id`.
    ///
    /// # Errors
    ///
    /// [`Refused::NoRenewal`] when `id` is not the subject's current renewal, else what [`Renewal::step`] refuses.
    pub fn step(
        &self,
        id: RenewalId,
        event: &Event,
        now: UtcDateTime,
        deadlines: &Deadlines,
    ) -> Result<Change, Refused> {
        let renewal = self.renewal.as_ref().filter(|renewal| renewal.id == id).ok_or(Refused::NoRenewal { id })?;
        let state = renewal.step(event, now, deadlines)?;
        if state == renewal.state {
            return Ok(match *event {
                Event::Decline { dialog } => self.change(vec![Fact::Declined { id, dialog }], Vec::new(), now),
                _ => self.unchanged(),
            });
        }
        let (mut facts, mut effects) = (Vec::new(), Vec::new());
        match state {
            State::Requested { key } => {
                facts.push(Fact::Requested { id, spki: key.spki, protection: key.protection });
            }
            State::Intended { serial, .. } => facts.push(Fact::Intended { id, serial }),
            State::Delivered { .. } => facts.push(Fact::Delivered { id }),
            State::Activated { issued } => self.activated(id, issued, &mut facts, &mut effects),
            State::Abandoned { why } => {
                withdraw(renewal, why, RevocationReason::CessationOfOperation, &mut facts, &mut effects);
            }
            State::Refused => facts.push(Fact::RenewalRefused { id }),
            State::Expired => facts.push(Fact::RenewalExpired { id }),
            // Issuing needs the certificate's validity and goes through `issue`.
            State::Started | State::Issued { .. } => {
                return Err(Refused::OutOfPlace { state: renewal.state.as_str(), event: event.as_str() });
            }
        }
        Ok(self.change(facts, effects, now))
    }

    /// Records the certificate that was signed for the subject's renewal `id`. A grant is used up by it.
    ///
    /// # Errors
    ///
    /// As [`Holding::step`].
    pub fn issue(
        &self,
        id: RenewalId,
        serial: SerialNumber,
        fingerprint: Fingerprint,
        validity: Validity,
        now: UtcDateTime,
        deadlines: &Deadlines,
    ) -> Result<Change, Refused> {
        let renewal = self.renewal.as_ref().filter(|renewal| renewal.id == id).ok_or(Refused::NoRenewal { id })?;
        let state = renewal.step(&Event::Issue { serial, fingerprint }, now, deadlines)?;
        if state == renewal.state {
            return Ok(self.unchanged());
        }
        let mut facts = vec![Fact::Issued { id, serial, fingerprint, validity }];
        if self.grant.is_some() && matches!(renewal.basis, Basis::Enrolment { .. }) {
            facts.push(Fact::PermissionUsed);
        }
        Ok(self.change(facts, vec![Effect::TellIssued { serial }], now))
    }

    /// Ends the renewal `id` because its key is lost and starts another. The unactivated certificate is revoked in the
    /// same commit.
    ///
    /// # Errors
    ///
    /// [`Refused::TooOften`] beyond the limit, [`Refused::NoRenewal`] for another identifier, [`Refused::OutOfPlace`]
    /// when the renewal has ended, [`Refused::Ended`] when its predecessor has ended meanwhile.
    pub fn start_again(
        &self,
        id: RenewalId,
        new_id: RenewalId,
        now: UtcDateTime,
        deadlines: &Deadlines,
    ) -> Result<Change, Refused> {
        let open = self.renewal.as_ref().filter(|renewal| renewal.id == id).ok_or(Refused::NoRenewal { id })?;
        if open.state.is_end() {
            return Err(Refused::OutOfPlace { state: open.state.as_str(), event: "start_again" });
        }
        if let Basis::Renewal { end, .. } = open.basis
            && end <= now
        {
            return Err(Refused::Ended { ends: end, now });
        }
        let retry_at = open.chain_started_at.saturating_add(deadlines.again_within);
        let same_chain = now < retry_at;
        if same_chain && open.again >= deadlines.again_limit {
            return Err(Refused::TooOften { retry_at, now });
        }
        let (mut facts, mut effects) = (Vec::new(), Vec::new());
        withdraw(open, Why::StartedAgain, RevocationReason::CessationOfOperation, &mut facts, &mut effects);
        let (again, chain_started_at) =
            if same_chain { (open.again.saturating_add(1), open.chain_started_at) } else { (1, now) };
        facts.push(Fact::RenewalStarted { id: new_id, basis: open.basis, again, chain_started_at });
        Ok(self.change(facts, effects, now))
    }

    /// Counts that the holder chose "renew later" on the notice of the current certificate.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the notice is not shown at this instant.
    pub fn defer(&self, policy: &Policy, now: UtcDateTime) -> Result<Change, Refused> {
        let outlook = self.outlook(policy, now);
        match (outlook.current, outlook.decision) {
            (Some(current), Some(decision)) if decision.notice => {
                Ok(self.change(vec![Fact::Deferred { serial: current.serial }], Vec::new(), now))
            }
            (Some(_), Some(decision)) if decision.ends <= now => Err(Refused::Ended { ends: decision.ends, now }),
            (Some(_), Some(decision)) => Err(Refused::TooEarly { opens: decision.window_opens, now }),
            _ => Err(Refused::NoCertificate),
        }
    }

    /// Revokes every certificate that is active or pending and ends an open renewal. Revocation is final.
    ///
    /// # Errors
    ///
    /// [`Refused::NoCertificate`] when there is nothing left to revoke.
    pub fn revoke(&self, reason: RevocationReason, now: UtcDateTime) -> Result<Change, Refused> {
        let (mut facts, mut effects) = (Vec::new(), Vec::new());
        if let Some(open) = self.open_renewal() {
            withdraw(open, Why::Revoked, reason, &mut facts, &mut effects);
        }
        for held in self.certificates.iter().filter(|held| matches!(held.status, Status::Active { .. })) {
            facts.push(Fact::Revoked { serial: held.serial, reason });
            effects.push(Effect::CloseCertificate { fingerprint: held.fingerprint });
            effects.push(Effect::TellRevoked { serial: held.serial, reason });
        }
        if facts.is_empty() { Err(Refused::NoCertificate) } else { Ok(self.change(facts, effects, now)) }
    }

    /// Permits enrolment until an instant: the first permission, or a reissue.
    pub fn permit(&self, until: UtcDateTime, now: UtcDateTime) -> Change {
        self.change(vec![Fact::Permitted { until }], Vec::new(), now)
    }

    /// What time alone changes: an overdue renewal ends.
    pub fn sweep(&self, now: UtcDateTime, deadlines: &Deadlines) -> Change {
        let swept = self.open_renewal().and_then(|open| self.step(open.id, &Event::Tick, now, deadlines).ok());
        swept.unwrap_or_else(|| self.unchanged())
    }

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
            Fact::PermissionUsed => self.grant = None,
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

    fn activated(&self, id: RenewalId, issued: Issued, facts: &mut Vec<Fact>, effects: &mut Vec<Effect>) {
        for held in self.certificates.iter().filter(|held| matches!(held.status, Status::Active { .. })) {
            facts.push(Fact::Superseded { serial: held.serial, by: issued.serial });
            effects.push(Effect::CloseCertificate { fingerprint: held.fingerprint });
        }
        facts.push(Fact::Activated { id, serial: issued.serial });
        effects.push(Effect::TellActivated { serial: issued.serial });
    }

    fn granted(&self, now: UtcDateTime) -> bool {
        self.grant.is_some_and(|grant| now < grant.until)
    }

    fn standing(&self, held: &HeldCertificate, now: UtcDateTime) -> Standing<'static> {
        let successor = match self.open_renewal().map(|open| &open.state) {
            Some(State::Started | State::Requested { .. } | State::Intended { .. }) => RenewalProgress::Started,
            Some(_) => RenewalProgress::Issued,
            None => RenewalProgress::None,
        };
        Standing {
            validity: held.validity,
            status: held.status.word(),
            successor,
            grant: self.granted(now),
            closed: &[],
        }
    }

    /// The answer that changes nothing.
    pub fn unchanged(&self) -> Change {
        Change { next: self.clone(), facts: Vec::new(), effects: Vec::new() }
    }

    fn change(&self, facts: Vec<Fact>, effects: Vec<Effect>, now: UtcDateTime) -> Change {
        let mut next = self.clone();
        for fact in &facts {
            next.apply(fact, now);
        }
        Change { next, facts, effects }
    }
}

fn started(id: RenewalId, basis: Basis, again: u8, now: UtcDateTime) -> Fact {
    Fact::RenewalStarted { id, basis, again, chain_started_at: now }
}

/// Ends a renewal from outside and revokes what it issued: a certificate nobody proved must not stay usable.
fn withdraw(open: &Renewal, why: Why, reason: RevocationReason, facts: &mut Vec<Fact>, effects: &mut Vec<Effect>) {
    if let Some(issued) = open.pending() {
        facts.push(Fact::Revoked { serial: issued.serial, reason });
        effects.push(Effect::CloseCertificate { fingerprint: issued.fingerprint });
        effects.push(Effect::TellRevoked { serial: issued.serial, reason });
    }
    facts.push(Fact::Abandoned { id: open.id, why });
}
