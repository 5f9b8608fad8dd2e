//! Which exit status an error of the libraries becomes.

use std::{error::Error, process::ExitCode};

use koshin_operator::exit;
pub(crate) use koshin_operator::exit::{Fault, STATUSES, Status};
use koshin_ra::{AdministerError, ChangeError, DirectoryError, PasswordError, StorageError};
use koshin_sqlite::{BackupError, NotReconciled, OpenError, ReconcileError, StoreError};

use crate::commands::policy::WrongLine;

/// Says the error on standard error and answers with its status.
pub(crate) fn report(program: &str, error: &anyhow::Error) -> ExitCode {
    exit::report(program, error, known)
}

/// The status of one error in a chain. Transparent errors hide what they wrap from the chain, so those are opened here.
pub(crate) fn known(cause: &(dyn Error + 'static)) -> Option<Status> {
    // Before the errors that wrap it and call themselves transient: an operator has to act first.
    if cause.is::<NotReconciled>() || needs_reconciliation(cause) {
        return Some(Status::State);
    }
    if cause.is::<WrongLine>() {
        return Some(Status::Usage);
    }
    if let Some(error) = cause.downcast_ref::<AdministerError>() {
        return administer(error);
    }
    if let Some(error) = cause.downcast_ref::<ChangeError>() {
        return change(error);
    }
    if let Some(error) = cause.downcast_ref::<StorageError>() {
        return storage(error);
    }
    if let Some(error) = cause.downcast_ref::<OpenError>() {
        return open(error);
    }
    if let Some(BackupError::Exists { .. }) = cause.downcast_ref() {
        return Some(Status::State);
    }
    if let Some(StoreError::Unavailable(_)) = cause.downcast_ref() {
        return Some(Status::TryAgain);
    }
    let is_ours = |error: &ReconcileError| !matches!(error, ReconcileError::Storage(_));
    cause.downcast_ref().is_some_and(is_ours).then_some(Status::State)
}

/// Whether what is below an error is that the database has to be reconciled.
fn needs_reconciliation(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source()).any(<dyn Error>::is::<NotReconciled>)
}

fn open(error: &OpenError) -> Option<Status> {
    match error {
        OpenError::Exposed { .. } | OpenError::ReadOnly { .. } => Some(Status::NotPermitted),
        OpenError::NoFolder { .. } => Some(Status::NotFound),
        OpenError::Newer { .. } => Some(Status::State),
        _ => None,
    }
}

fn administer(error: &AdministerError) -> Option<Status> {
    match error {
        AdministerError::Directory(DirectoryError::Missing { .. }) => Some(Status::NotFound),
        AdministerError::Directory(DirectoryError::Exists { .. }) => Some(Status::State),
        AdministerError::Directory(DirectoryError::Conflict) | AdministerError::Password(PasswordError::Busy) => {
            Some(Status::TryAgain)
        }
        AdministerError::Password(PasswordError::Length { .. }) => Some(Status::Usage),
        AdministerError::Directory(DirectoryError::Storage(error)) | AdministerError::Storage(error) => storage(error),
        _ => None,
    }
}

fn change(error: &ChangeError) -> Option<Status> {
    match error {
        ChangeError::NoSubject(_) => Some(Status::NotFound),
        ChangeError::Refused(_) | ChangeError::KeySeen { .. } | ChangeError::Clock(_) => Some(Status::State),
        ChangeError::Contended => Some(Status::TryAgain),
        ChangeError::Storage(error) => storage(error),
        _ => None,
    }
}

fn storage(error: &StorageError) -> Option<Status> {
    error.is_transient().then_some(Status::TryAgain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;
    use koshin_renewal::Refused;

    #[test]
    fn every_kind_of_error_has_its_status() {
        let unavailable = || StorageError::Unavailable("busy".into());
        let exists = || DirectoryError::Exists { what: "subject", id: "U-1".into() };
        let missing = || DirectoryError::Missing { what: "subject", id: "U-1".into() };
        let cases: [(anyhow::Error, Status); 11] = [
            (AdministerError::from(missing()).into(), Status::NotFound),
            (AdministerError::from(exists()).into(), Status::State),
            (AdministerError::from(DirectoryError::Conflict).into(), Status::TryAgain),
            (AdministerError::from(PasswordError::Length { chars: 1 }).into(), Status::Usage),
            (ChangeError::NoSubject("U-1".parse().unwrap()).into(), Status::NotFound),
            (ChangeError::from(Refused::NoCertificate).into(), Status::State),
            (ChangeError::Contended.into(), Status::TryAgain),
            (AdministerError::from(unavailable()).into(), Status::TryAgain),
            (StorageError::Damaged { what: "x".into() }.into(), Status::Failure),
            (StorageError::Unavailable(Box::new(NotReconciled)).into(), Status::State),
            (StoreError::Unavailable("busy".into()).into(), Status::TryAgain),
        ];
        for (error, expected) in cases {
            let error = Err::<(), _>(error).context("while something was done").unwrap_err();
            assert_eq!(exit::status(&error, known).unwrap_or(Status::Failure), expected, "{error:#}");
        }
    }
}
