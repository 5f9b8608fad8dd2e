//! Which exit status an error of the libraries becomes.

use std::{error::Error, process::ExitCode};

use koshin_endpoints::ca::LedgerError;
use koshin_issuance::{CeremonyError, IssueError, LoadError, PrepareError, Rejected, SignerError};
use koshin_operator::exit;
pub(crate) use koshin_operator::exit::{Fault, STATUSES, Status};
use koshin_sqlite::{BackupError, NotReconciled, OpenError, ReconcileError, StoreError};

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
    if let Some(error) = cause.downcast_ref::<IssueError>() {
        return error.is_transient().then_some(Status::TryAgain);
    }
    storage(cause)
}

fn storage(cause: &(dyn Error + 'static)) -> Option<Status> {
    // Before the ledger's own error, which calls it transient: an operator has to act first.
    if cause.is::<NotReconciled>() {
        return Some(Status::State);
    }
    if let Some(ReconcileError::NotBehind | ReconcileError::OlderList { .. }) = cause.downcast_ref() {
        return Some(Status::State);
    }
    if let Some(error) = cause.downcast_ref::<OpenError>() {
        return match error {
            OpenError::Exposed { .. } | OpenError::ReadOnly { .. } => Some(Status::NotPermitted),
            OpenError::NoFolder { .. } => Some(Status::NotFound),
            OpenError::Newer { .. } => Some(Status::State),
            _ => None,
        };
    }
    if let Some(BackupError::Exists { .. }) = cause.downcast_ref() {
        return Some(Status::State);
    }
    let busy = |error: &(dyn Error + 'static)| {
        matches!(error.downcast_ref(), Some(StoreError::Unavailable(_)))
            || matches!(error.downcast_ref(), Some(LedgerError::Unavailable(_)))
    };
    (busy(cause) && !reconciles(cause)).then_some(Status::TryAgain)
}

/// Whether what is below an error is that the ledger has to be reconciled first.
fn reconciles(error: &(dyn Error + 'static)) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<NotReconciled>() {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn every_kind_of_error_has_its_status() {
        let unavailable = |why: Box<dyn Error + Send + Sync>| LedgerError::Unavailable(why);
        let cases: [(anyhow::Error, Status); 6] = [
            (unavailable("busy".into()).into(), Status::TryAgain),
            (unavailable(Box::new(NotReconciled)).into(), Status::State),
            (LedgerError::Damaged { what: "x".into() }.into(), Status::Failure),
            (SignerError::Unavailable { detail: "out".into() }.into(), Status::TryAgain),
            (SignerError::Refused { detail: "PIN".into() }.into(), Status::NotPermitted),
            (CeremonyError::ParentKey.into(), Status::State),
        ];
        for (error, expected) in cases {
            let error = Err::<(), _>(error).context("while something was done").unwrap_err();
            assert_eq!(exit::status(&error, known).unwrap_or(Status::Failure), expected, "{error:#}");
        }
    }
}
