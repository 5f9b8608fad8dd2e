//! Which exit status an error becomes: 0 ok, 1 failure, 2 usage, 3 not found, 4 the state forbids it, 5 not permitted,
//! 6 try again.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use koshin_ra::{AdministerError, ChangeError, DirectoryError, PasswordError, StorageError};
use koshin_sqlite::{BackupError, OpenError};

use crate::{commands::policy::WrongLine, config::Problems, output::harmless_lines};

/// What `koshin --help` says about it.
pub(crate) const STATUSES: &str = "\
Exit status:
  0  done; also when whoever read the output went away
  1  it failed, for another reason than these
  2  the command line, or a line of standard input, cannot be used
  3  something that was named is not there
  4  the state forbids it
  5  not permitted, or not confirmed
  6  busy; the same command may succeed when it is tried again";

/// What a script can tell from the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    State = 4,
    NotPermitted = 5,
    TryAgain = 6,
}

/// An error that this program itself finds, with its status.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Fault {
    status: Status,
    reason: String,
}

impl Fault {
    pub(crate) fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// What was given on the command line or on standard input cannot be used.
    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::new(Status::Usage, reason)
    }

    /// Something that was named is not there.
    pub(crate) fn not_found(reason: impl Into<String>) -> Self {
        Self::new(Status::NotFound, reason)
    }
}

/// Says the error on standard error and answers with its status. A reader that went away is no error.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_broken_pipe) {
        return ExitCode::SUCCESS;
    }
    // Where nobody can be told, the status still tells.
    _ = writeln!(io::stderr(), "koshin: {}", harmless_lines(&format!("{error:#}")));
    ExitCode::from(status(error).unwrap_or(Status::Failure) as u8)
}

fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    let kind = match cause.downcast_ref::<serde_json::Error>() {
        Some(error) => error.io_error_kind(),
        None => cause.downcast_ref::<io::Error>().map(io::Error::kind),
    };
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// The status that an error's causes give it; `None` for a plain failure.
pub(crate) fn status(error: &anyhow::Error) -> Option<Status> {
    error.chain().find_map(known)
}

/// The status of one error in a chain. Transparent errors hide what they wrap from the chain, so those are opened here.
fn known(cause: &(dyn Error + 'static)) -> Option<Status> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return Some(fault.status);
    }
    if cause.is::<WrongLine>() {
        return Some(Status::Usage);
    }
    if let Some(problems) = cause.downcast_ref::<Problems>() {
        return problems.status;
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
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::PermissionDenied => Some(Status::NotPermitted),
        io::ErrorKind::NotFound => Some(Status::NotFound),
        _ => None,
    }
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
        let cases: [(anyhow::Error, Status); 13] = [
            (Fault::usage("x").into(), Status::Usage),
            (Fault::not_found("x").into(), Status::NotFound),
            (AdministerError::from(missing()).into(), Status::NotFound),
            (AdministerError::from(exists()).into(), Status::State),
            (AdministerError::from(DirectoryError::Conflict).into(), Status::TryAgain),
            (AdministerError::from(PasswordError::Length { chars: 1 }).into(), Status::Usage),
            (ChangeError::NoSubject("U-1".parse().unwrap()).into(), Status::NotFound),
            (ChangeError::from(Refused::NoCertificate).into(), Status::State),
            (ChangeError::Contended.into(), Status::TryAgain),
            (AdministerError::from(unavailable()).into(), Status::TryAgain),
            (io::Error::from(io::ErrorKind::PermissionDenied).into(), Status::NotPermitted),
            (io::Error::from(io::ErrorKind::NotFound).into(), Status::NotFound),
            (StorageError::Damaged { what: "x".into() }.into(), Status::Failure),
        ];
        for (error, expected) in cases {
            let error = Err::<(), _>(error).context("while something was done").unwrap_err();
            assert_eq!(status(&error).unwrap_or(Status::Failure), expected, "{error:#}");
        }
    }
}
