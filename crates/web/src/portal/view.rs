//! What a file says, as the screens want to hear it.

use koshin_ra::SubjectFile;
use koshin_renewal::{Admission, Basis, HeldCertificate, Holding, State};
use time::{Duration, OffsetDateTime, UtcDateTime};

use super::{context::Context, trouble::Trouble};
use crate::screens::{Door, RenewalOffer, Seen, SeenCertificate, Stage, Zone};

pub(crate) fn certificate(file: &SubjectFile, held: &HeldCertificate) -> SeenCertificate {
    SeenCertificate {
        subject: file.subject.id.clone(),
        serial: held.serial,
        validity: held.validity,
        protection: held.key.protection,
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
        let outlook = file.holding.outlook(ra.policy(), self.now);
        let door = if outlook.enrolment { Door::Open } else { Door::Closed };
        Ok(match file.holding.admission(fingerprint, self.now) {
            Admission::Login => {
                // Before "yes" to the second dialog the holder has no file that could be waiting anywhere.
                let waiting = file.holding.open_renewal().and_then(|open| match open.state {
                    State::Delivered { issued } => Some(issued.serial),
                    _ => None,
                });
                Seen::Active { certificate, waiting }
            }
            Admission::ActivationOnly => Seen::Pending { certificate },
            Admission::NotYetValid { .. } => Seen::NotYetValid { certificate },
            Admission::Expired { ends } => {
                let days_ago = days_between(self.portal.zone.as_ref(), ends - Duration::SECOND, self.now);
                Seen::Expired { certificate, days_ago, door }
            }
            Admission::Superseded { by, .. } => Seen::Superseded { certificate, successor: by },
            Admission::Revoked { at, .. } => Seen::Revoked { certificate, at, door },
            Admission::Unknown => Seen::Unknown,
        })
    }
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
