//! Which exit status an error of the libraries becomes.

use std::{error::Error, process::ExitCode};

use koshin_notify::{OutboxError, ScheduleError};
use koshin_operator::exit;
pub(crate) use koshin_operator::exit::{Fault, STATUSES, Status};
use koshin_sqlite::{OpenError, StoreError};

/// What the program calls itself.
pub(crate) const PROGRAM: &str = "koshin-mailer";

/// Says the error on standard error and answers with its status.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    exit::report(PROGRAM, error, known)
}

/// The status of one error in a chain.
pub(crate) fn known(cause: &(dyn Error + 'static)) -> Option<Status> {
    if let Some(error) = cause.downcast_ref::<OpenError>() {
        return match error {
            OpenError::Exposed { .. } | OpenError::ReadOnly { .. } => Some(Status::NotPermitted),
            OpenError::NoFolder { .. } => Some(Status::NotFound),
            OpenError::Newer { .. } | OpenError::Older { .. } => Some(Status::State),
            _ => None,
        };
    }
    if let Some(ScheduleError::OtherPolicy) = cause.downcast_ref() {
        return Some(Status::State);
    }
    let busy = matches!(cause.downcast_ref(), Some(StoreError::Unavailable(_)))
        || cause.downcast_ref::<OutboxError>().is_some_and(OutboxError::is_transient)
        || cause.downcast_ref::<ScheduleError>().is_some_and(ScheduleError::is_transient);
    busy.then_some(Status::TryAgain)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn every_kind_of_error_has_its_status() {
        let cases: [(anyhow::Error, Status); 5] = [
            (OutboxError::Unavailable("busy".into()).into(), Status::TryAgain),
            (ScheduleError::Unavailable("busy".into()).into(), Status::TryAgain),
            (ScheduleError::OtherPolicy.into(), Status::State),
            (OpenError::Older { path: "x".into(), found: 1, known: 2 }.into(), Status::State),
            (StoreError::Damaged { what: "x".into() }.into(), Status::Failure),
        ];
        for (error, expected) in cases {
            let error = Err::<(), _>(error).context("while something was done").unwrap_err();
            assert_eq!(exit::status(&error, known).unwrap_or(Status::Failure), expected, "{error:#}");
        }
    }
}
