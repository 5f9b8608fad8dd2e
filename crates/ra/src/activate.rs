//! Activation: the first TLS handshake with the successor proves that it is installed.

use koshin_renewal::{Admission, Event, Refused, Status};
use koshin_types::{Fingerprint, SerialNumber};
use time::UtcDateTime;

use crate::{Actor, ChangeError, Owed, Ra, SubjectFile, change::Decided};

impl Ra {
    /// Activates the certificate that the TLS handshake proved. Its predecessor is superseded in the same commit.
    /// Activating the active certificate again changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] when the certificate is none that waits for activation, [`ChangeError::PasswordNeeded`] when
    /// a program asked for it.
    pub async fn activate(
        &self,
        certificate: &Fingerprint,
        now: UtcDateTime,
    ) -> Result<(SerialNumber, Owed), ChangeError> {
        let file = self.desk.registry.holder(certificate).await?;
        let held = file.as_ref().and_then(|file| file.holding.certificate(certificate));
        if let Some(held) = held.filter(|held| held.status == Status::Pending)
            && self.is_program_key(&held.key.spki).await?
        {
            return Err(ChangeError::PasswordNeeded);
        }
        self.activate_proven(certificate, now).await
    }

    /// The same after a password was checked as well.
    pub(crate) async fn activate_proven(
        &self,
        certificate: &Fingerprint,
        now: UtcDateTime,
    ) -> Result<(SerialNumber, Owed), ChangeError> {
        let unknown = || ChangeError::Refused(Refused::NoCertificate);
        let file = self.desk.registry.holder(certificate).await?.ok_or_else(unknown)?;
        let serial = file.holding.certificate(certificate).ok_or_else(unknown)?.serial;
        let actor = Actor::Holder(file.subject.id.clone());
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            let holding = &file.holding;
            let renewal = holding.renewal.as_ref().map(|renewal| renewal.id);
            match (holding.admission(certificate, now), renewal) {
                (Admission::Login, Some(id)) => {
                    // Repeated after a lost answer, or long active: the machine tells which, and neither changes anything.
                    let again = holding.step(
                        id,
                        &Event::Activate { fingerprint: *certificate },
                        now,
                        &self.desk.settings.deadlines,
                    );
                    Ok(again.unwrap_or_else(|_| file.holding.unchanged()).into())
                }
                (Admission::Login, None) => Ok(file.holding.unchanged().into()),
                (Admission::ActivationOnly, Some(id)) => {
                    let event = Event::Activate { fingerprint: *certificate };
                    Ok(holding.step(id, &event, now, &self.desk.settings.deadlines)?.into())
                }
                _ => Err(unknown()),
            }
        };
        let changed = self.desk.change_from(file, &actor, now, decide).await?;
        Ok((serial, changed.owed))
    }
}
