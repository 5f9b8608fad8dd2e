//! The commands on what one subject holds: a decision and the facts that follow from it.

use alloc::{vec, vec::Vec};

use koshin_expiry::Policy;
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{
    Basis, Change, Deadlines, Effect, Event, Fact, HeldCertificate, Holding, Issued, Refused, Renewal, State, Status,
    Why,
};

impl Holding {
    /// Starts a renewal, or answers with the one that is open.
    ///
    /// # Errors
    ///
    /// [`Refused`] unless the policy offers renewal at this instant, and never otherwise.
    pub fn start(&self, id: RenewalId, policy: &Policy, now: UtcDateTime) -> Result<Change, Refused> {
        self.offered(policy, now)?;
        self.start_renewal(id, now)
    }

    /// What [`Holding::start`] does once the policy has agreed: the part in which no setting has a say.
    pub(crate) fn start_renewal(&self, id: RenewalId, now: UtcDateTime) -> Result<Change, Refused> {
        let current = self.in_use(now)?;
        if self.open_renewal().is_some() {
            return Ok(self.unchanged());
        }
        let basis = Basis::Renewal { predecessor: current.serial, end: current.validity.end() };
        Ok(self.change(vec![started(id, basis, now)], Vec::new(), now))
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
        self.start_enrolment(id, now)
    }

    /// What [`Holding::enrol`] does once the policy has agreed. Whatever the settings are, it takes a grant, or a
    /// certificate in use that has ended, or an enrolment to go on with.
    pub(crate) fn start_enrolment(&self, id: RenewalId, now: UtcDateTime) -> Result<Change, Refused> {
        let ended = matches!(self.in_use(now), Err(Refused::Ended { .. }));
        let continued = self.open_renewal().is_some_and(|open| matches!(open.basis, Basis::Enrolment { .. }));
        if !ended && !continued && !self.granted(now) {
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
        facts.push(started(id, basis, now));
        Ok(self.change(facts, effects, now))
    }

    /// Applies an event to the subject's renewal `id`.
    ///
    /// # Errors
    ///
    /// [`Refused::NoRenewal`] when `id` is not the subject's current renewal, else what [`Renewal::step`] refuses.
    /// [`Refused::OutOfPlace`] also for [`Event::Issue`] and [`Event::Abandon`]: these have commands of their own.
    pub fn step(
        &self,
        id: RenewalId,
        event: &Event,
        now: UtcDateTime,
        deadlines: &Deadlines,
    ) -> Result<Change, Refused> {
        let renewal = self.renewal.as_ref().filter(|renewal| renewal.id == id).ok_or(Refused::NoRenewal { id })?;
        let out_of_place = Refused::OutOfPlace { state: renewal.state.as_str(), event: event.as_str() };
        // What ends a renewal from outside does more than that, and has a command: start again, enrol, revoke.
        if let Event::Abandon { .. } = event {
            return Err(out_of_place);
        }
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
            State::Started | State::Issued { .. } => return Err(out_of_place),
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
        self.offered(policy, now)?;
        self.defer_notice(now)
    }

    /// What [`Holding::defer`] does once the policy has agreed.
    pub(crate) fn defer_notice(&self, now: UtcDateTime) -> Result<Change, Refused> {
        let serial = self.in_use(now)?.serial;
        Ok(self.change(vec![Fact::Deferred { serial }], Vec::new(), now))
    }

    /// Whether the notice is shown, and with it the offer to renew or to do so later.
    fn offered(&self, policy: &Policy, now: UtcDateTime) -> Result<(), Refused> {
        let current = self.current().ok_or(Refused::NoCertificate)?;
        let decision = policy.decide(&self.standing(current, now), now);
        match self.in_use(now) {
            Ok(_) if decision.renewal => Ok(()),
            Ok(_) | Err(Refused::TooEarly { .. }) => {
                Err(Refused::TooEarly { opens: decision.window_opens.max(current.validity.not_before()), now })
            }
            Err(refused) => Err(refused),
        }
    }

    /// The certificate that can log in at this instant.
    fn in_use(&self, now: UtcDateTime) -> Result<&HeldCertificate, Refused> {
        let current = self.current().ok_or(Refused::NoCertificate)?;
        let (opens, ends) = (current.validity.not_before(), current.validity.end());
        match current.status {
            Status::Active { .. } if ends <= now => Err(Refused::Ended { ends, now }),
            Status::Active { .. } if now < opens => Err(Refused::TooEarly { opens, now }),
            Status::Active { .. } => Ok(current),
            status => Err(Refused::NotInUse { status: status.word() }),
        }
    }

    /// Revokes every certificate that is active or pending, ends an open renewal and takes back an open permission to
    /// enrol: it may have been given for somebody who has the key too. Revocation is final.
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
        if self.granted(now) {
            facts.push(Fact::PermissionWithdrawn);
        }
        if facts.is_empty() { Err(Refused::NoCertificate) } else { Ok(self.change(facts, effects, now)) }
    }

    /// Permits enrolment until an instant: the first permission, or a reissue.
    pub fn permit(&self, until: UtcDateTime, now: UtcDateTime) -> Change {
        self.change(vec![Fact::Permitted { until }], Vec::new(), now)
    }

    /// Takes an open permission to enrol back. An enrolment that has begun goes on; [`Holding::revoke`] ends it too.
    pub fn withdraw_permission(&self, now: UtcDateTime) -> Change {
        if !self.granted(now) {
            return self.unchanged();
        }
        self.change(vec![Fact::PermissionWithdrawn], Vec::new(), now)
    }

    /// What time alone changes: an overdue renewal ends.
    pub fn sweep(&self, now: UtcDateTime, deadlines: &Deadlines) -> Change {
        let swept = self.open_renewal().and_then(|open| self.step(open.id, &Event::Tick, now, deadlines).ok());
        swept.unwrap_or_else(|| self.unchanged())
    }

    fn activated(&self, id: RenewalId, issued: Issued, facts: &mut Vec<Fact>, effects: &mut Vec<Effect>) {
        for held in self.certificates.iter().filter(|held| matches!(held.status, Status::Active { .. })) {
            facts.push(Fact::Superseded { serial: held.serial, by: issued.serial });
            effects.push(Effect::CloseCertificate { fingerprint: held.fingerprint });
        }
        facts.push(Fact::Activated { id, serial: issued.serial });
        effects.push(Effect::TellActivated { serial: issued.serial });
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

fn started(id: RenewalId, basis: Basis, now: UtcDateTime) -> Fact {
    Fact::RenewalStarted { id, basis, again: 0, chain_started_at: now }
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
