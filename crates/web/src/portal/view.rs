//! What a file says, as the screens want to hear it.

use koshin_ra::{SubjectFile, WhyClosed};
use koshin_renewal::{Admission, Basis, HeldCertificate, Holding, Renewal, State, Status};
use koshin_types::SerialNumber;
use time::{Duration, OffsetDateTime, UtcDateTime};

use super::{context::Context, trouble::Trouble};
use crate::screens::{Door, RenewalOffer, Seen, SeenCertificate, Stage, Zone};

pub(crate) fn certificate(file: &SubjectFile, held: &HeldCertificate) -> SeenCertificate {
    SeenCertificate {
        subject: file.subject.id.clone(),
        serial: held.serial,
        validity: held.validity,
        protection: held.key.protection,
        renewal: file.holding.open_renewal().map(|open| open.id),
    }
}

impl Context {
    /// What the server sees of the certificate of this connection.
    pub(crate) async fn seen(&self) -> Result<Seen, Trouble> {
        if self.certificate.peer().is_none() {
            return Ok(Seen::None);
        }
        let Some(fingerprint) = self.fingerprint() else { return Ok(Seen::Unknown) };
        let ra = &self.portal.ra;
        let Some(file) = ra.holder(fingerprint).await? else { return Ok(Seen::Unknown) };
        let Some(held) = file.holding.certificate(fingerprint) else { return Ok(Seen::Unknown) };
        let certificate = certificate(&file, held);
        let door = door(&file.holding, held, ra.enrolment_closed(&file, self.now), self.now);
        Ok(match file.holding.admission(fingerprint, self.now) {
            Admission::Login => {
                // Before "yes" to the second dialog the holder has no file that could be waiting anywhere.
                Seen::Active { certificate, waiting: delivered(&file.holding) }
            }
            Admission::ActivationOnly => Seen::Pending { certificate },
            Admission::NotYetValid { .. } => Seen::NotYetValid { certificate },
            Admission::Expired { ends } => {
                let days_ago = days_between(self.portal.zone.as_ref(), ends - Duration::SECOND, self.now);
                Seen::Expired { certificate, days_ago, door }
            }
            Admission::Superseded { .. } => Seen::Superseded { certificate, door },
            Admission::Revoked { at, .. } => Seen::Revoked { certificate, at, door },
            Admission::Unknown => Seen::Unknown,
        })
    }
}

/// What was handed to the holder and waits for its activation.
fn delivered(holding: &Holding) -> Option<SerialNumber> {
    holding.open_renewal().and_then(|open| match open.state {
        State::Delivered { issued } => Some(issued.serial),
        _ => None,
    })
}

/// Where the holder goes who shows a certificate that can no longer log in: to another one, where there is any.
fn door(holding: &Holding, shown: &HeldCertificate, closed: Option<WhyClosed>, now: UtcDateTime) -> Door {
    let in_use = |held: &&HeldCertificate| {
        matches!(held.status, Status::Active { .. }) && held.validity.contains(now) && held.serial != shown.serial
    };
    match (delivered(holding), holding.certificates.iter().find(in_use)) {
        (Some(serial), _) => Door::Waiting { serial },
        (None, Some(held)) => Door::InUse { serial: held.serial },
        (None, None) => match closed {
            None => Door::Open,
            Some(WhyClosed::AddressRests { until }) => Door::OpensAt { until },
            Some(_) => Door::Closed,
        },
    }
}

/// The certificate that a renewal takes the place of: for an enrolment, the last one that the holder had in use.
pub(crate) fn predecessor(holding: &Holding, renewal: &Renewal, issued: SerialNumber) -> Option<SerialNumber> {
    if let Basis::Renewal { predecessor, .. } = renewal.basis {
        return Some(predecessor);
    }
    let others = || holding.certificates.iter().rev().filter(|held| held.serial != issued);
    let replaced = |held: &&HeldCertificate| matches!(held.status, Status::Superseded { by, .. } if by == issued);
    let active = |held: &&HeldCertificate| matches!(held.status, Status::Active { .. });
    let settled = |held: &&HeldCertificate| !matches!(held.status, Status::Pending);
    let found = others().find(replaced).or_else(|| others().find(active)).or_else(|| others().find(settled));
    found.map(|held| held.serial)
}

/// Local dates from one instant to a later one.
fn days_between(zone: &dyn Zone, from: UtcDateTime, to: UtcDateTime) -> u32 {
    let date = |at: UtcDateTime| OffsetDateTime::from(at).to_offset(zone.clocked(at).offset).date();
    u32::try_from((date(to) - date(from)).whole_days()).unwrap_or(0)
}

/// What the main screen says about renewal.
pub(crate) fn offer(holding: &Holding, renewal_open: bool, opens: UtcDateTime) -> RenewalOffer {
    let open = holding.open_renewal().filter(|open| matches!(open.basis, Basis::Renewal { .. }));
    match open.map(|open| (open.id, open.state)) {
        Some((id, State::Issued { issued })) => RenewalOffer::Issued { id, serial: issued.serial, delivered: false },
        Some((id, State::Delivered { issued })) => RenewalOffer::Issued { id, serial: issued.serial, delivered: true },
        Some((id, _)) => RenewalOffer::Underway { id },
        None if renewal_open => RenewalOffer::Open,
        None => RenewalOffer::NotYet { opens },
    }
}

/// Where the start screen takes a renewal up; `None` for one that has ended.
pub(crate) fn stage(state: &State) -> Option<Stage> {
    match state {
        State::Started => Some(Stage::Started),
        State::Requested { .. } => Some(Stage::Requested),
        State::Intended { .. } => Some(Stage::Intended),
        State::Issued { issued } => Some(Stage::Issued { serial: issued.serial }),
        State::Delivered { issued } => Some(Stage::Delivered { serial: issued.serial }),
        State::Activated { .. } | State::Abandoned { .. } | State::Refused | State::Expired => None,
    }
}
