//! Exit statuses, the same as those of the operator's programs. That crate is not taken: it speaks with systemd, which Windows lacks.

use std::{
    error::Error,
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use crate::http::CallError;

/// What the program calls itself.
pub(crate) const PROGRAM: &str = "koshin-agent";

/// What `--help` says about them.
pub(crate) const STATUSES: &str = "\
Exit status:
  0  done
  1  it failed, for another reason than these
  2  the command line, or a link, cannot be used
  3  something that was named is not there
  4  the state forbids it; where a link is over, click again in the page
  5  not permitted, or the answer was No
  6  busy, or not reachable; run the same again and it goes on";

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

/// An error that this program itself finds.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Fault {
    pub(crate) status: Status,
    reason: String,
}

impl Fault {
    pub(crate) fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::new(Status::Usage, reason)
    }
}

/// Says the error on standard error, and answers with its status.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // Where nobody can be told, the status still tells.
    _ = writeln!(io::stderr(), "{PROGRAM}: {}", said(error));
    ExitCode::from(status(error) as u8)
}

/// An error in full, harmless to a terminal.
pub(crate) fn said(error: &anyhow::Error) -> String {
    harmless_lines(&format!("{error:#}"))
}

/// The status of the outermost cause that has one.
pub(crate) fn status(error: &anyhow::Error) -> Status {
    error.chain().find_map(own).unwrap_or(Status::Failure)
}

fn own(cause: &(dyn Error + 'static)) -> Option<Status> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return Some(fault.status);
    }
    if cause.is::<crate::link::LinkError>() || cause.is::<crate::origin::OriginError>() {
        return Some(Status::Usage);
    }
    if let Some(error) = cause.downcast_ref::<CallError>() {
        return Some(match error {
            error if error.is_transient() => Status::TryAgain,
            CallError::Refused(refusal) if refusal.status == 403 => Status::NotPermitted,
            CallError::Refused(_) => Status::State,
            CallError::NotTrusted { .. } | CallError::Redirected { .. } => Status::NotPermitted,
            _ => Status::Failure,
        });
    }
    if let Some(status) = crate::stores::status(cause) {
        return Some(status);
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::PermissionDenied => Some(Status::NotPermitted),
        io::ErrorKind::NotFound => Some(Status::NotFound),
        _ => None,
    }
}

/// What comes from elsewhere is data: it moves no cursor, turns no text around and ends no line.
pub(crate) fn harmless(text: &str) -> String {
    let acts = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { ' ' } else { c }).collect()
}

fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

/// Writes a line of data; a reader that went away is no error.
pub(crate) fn print(line: &impl fmt::Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
