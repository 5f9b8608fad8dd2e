//! Which exit status an error of the libraries becomes.

use std::{error::Error, process::ExitCode};

use koshin_issuance::{CeremonyError, LoadError, PrepareError, Rejected, SignerError};
use koshin_operator::exit;
pub(crate) use koshin_operator::exit::{Fault, STATUSES, Status};

/// What the program calls itself.
pub(crate) const PROGRAM: &str = "koshin-ca";

/// Says the error on standard error and answers with its status.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    exit::report(PROGRAM, error, known)
}

/// The status of one error in a chain.
pub(crate) fn known(cause: &(dyn Error + 'static)) -> Option<Status> {
    if let Some(error) = cause.downcast_ref::<SignerError>() {
        return Some(if error.is_transient() { Status::TryAgain } else { Status::NotPermitted });
    }
    if let Some(error) = cause.downcast_ref::<CeremonyError>() {
        return match error {
            CeremonyError::Name(_) | CeremonyError::Plan(_) | CeremonyError::DnsName { .. } => Some(Status::Usage),
            CeremonyError::BeyondParent { .. } | CeremonyError::ParentKey => Some(Status::State),
            _ => None,
        };
    }
    if cause.is::<Rejected>() || cause.is::<koshin_issuance::NameError>() {
        return Some(Status::Usage);
    }
    if cause.is::<LoadError>() || cause.is::<PrepareError>() {
        return Some(Status::State);
    }
    None
}
