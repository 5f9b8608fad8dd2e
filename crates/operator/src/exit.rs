//! Which exit status an error becomes.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use crate::{
    config::Problems,
    output::{ReaderGone, harmless_lines},
};

/// What a program's `--help` says about it.
pub const STATUSES: &str = "\
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
pub enum Status {
    /// For another reason than these: 1.
    Failure = 1,
    /// The command line, or a line of standard input, cannot be used: 2.
    Usage = 2,
    /// Something that was named is not there: 3.
    NotFound = 3,
    /// The state forbids it: 4.
    State = 4,
    /// Not permitted, or not confirmed: 5.
    NotPermitted = 5,
    /// Busy; the same command may succeed when it is tried again: 6.
    TryAgain = 6,
}

/// An error that a program itself finds, with its status.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    status: Status,
    reason: String,
}

impl Fault {
    /// An error with this status and sentence.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// What was given on the command line or on standard input cannot be used.
    pub fn usage(reason: impl Into<String>) -> Self {
        Self::new(Status::Usage, reason)
    }

    /// Something that was named is not there.
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self::new(Status::NotFound, reason)
    }

    /// Its status.
    pub const fn status(&self) -> Status {
        self.status
    }
}

/// The status of one error of a program's own libraries, if it has one. It is asked for every cause of an error, the
/// outermost first. Transparent errors hide what they wrap from the chain, so it opens those itself.
pub type Known = fn(&(dyn Error + 'static)) -> Option<Status>;

/// Knows no error beside those of this crate.
pub fn none(_: &(dyn Error + 'static)) -> Option<Status> {
    None
}

/// Says the error on standard error, after the program's name, and answers with its status. A reader of standard output that
/// went away is no error; another broken pipe is one.
pub fn report(program: &str, error: &anyhow::Error, known: Known) -> ExitCode {
    if error.chain().any(is_reader_gone) {
        return ExitCode::SUCCESS;
    }
    // Where nobody can be told, the status still tells.
    _ = writeln!(io::stderr(), "{program}: {}", harmless_lines(&format!("{error:#}")));
    ExitCode::from(status(error, known).unwrap_or(Status::Failure) as u8)
}

fn is_reader_gone(cause: &(dyn Error + 'static)) -> bool {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.is_some_and(<dyn Error + Send + Sync>::is::<ReaderGone>)
}

/// The status that an error's causes give it; `None` for a plain failure.
pub fn status(error: &anyhow::Error, known: Known) -> Option<Status> {
    error.chain().find_map(|cause| own(cause).or_else(|| known(cause)))
}

fn own(cause: &(dyn Error + 'static)) -> Option<Status> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return Some(fault.status);
    }
    if let Some(problems) = cause.downcast_ref::<Problems>() {
        return problems.status();
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::PermissionDenied => Some(Status::NotPermitted),
        io::ErrorKind::NotFound => Some(Status::NotFound),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    /// A service whose peer went away has failed: its supervisor has to learn of it.
    #[test]
    fn only_a_reader_of_standard_output_may_go_away() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let of_output = io::Error::new(io::ErrorKind::BrokenPipe, ReaderGone);
        for (error, expected) in [
            (anyhow::Error::from(of_output).context("while a list was written"), ExitCode::SUCCESS),
            (anyhow::Error::from(broken()).context("the CA was asked"), ExitCode::from(1)),
            (serde_json::Error::io(broken()).into(), ExitCode::from(1)),
            (Fault::not_found("x").into(), ExitCode::from(3)),
        ] {
            let said = report("koshin", &error, none);
            assert_eq!(format!("{said:?}"), format!("{expected:?}"), "{error:#}");
        }
    }

    #[test]
    fn the_outermost_cause_with_a_status_gives_it() {
        let cases: [(anyhow::Error, Option<Status>); 5] = [
            (Fault::usage("x").into(), Some(Status::Usage)),
            (Fault::not_found("x").into(), Some(Status::NotFound)),
            (io::Error::from(io::ErrorKind::PermissionDenied).into(), Some(Status::NotPermitted)),
            (io::Error::from(io::ErrorKind::NotFound).into(), Some(Status::NotFound)),
            (io::Error::from(io::ErrorKind::StorageFull).into(), None),
        ];
        for (error, expected) in cases {
            let error = Err::<(), _>(error).context("while something was done").unwrap_err();
            assert_eq!(status(&error, none), expected, "{error:#}");
        }
        let known: Known = |cause| cause.is::<std::fmt::Error>().then_some(Status::TryAgain);
        assert_eq!(status(&std::fmt::Error.into(), known), Some(Status::TryAgain));
    }
}
