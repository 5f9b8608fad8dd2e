//! The machine's clocks, and how programs speak of them with their operator.

use std::{sync::LazyLock, time::Instant};

use koshin_expiry::{ClockDoubt, Reading};
use serde_json::json;
use time::UtcDateTime;

use crate::{
    exit::{Fault, Status},
    instant::rfc3339,
    machine::now,
    output::Form,
};

/// One look at both clocks. The monotonic one counts from the first look, and stands still while the machine sleeps, so a
/// long sleep is a jump.
pub fn reading() -> Reading {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Reading { monotonic: BEGUN.elapsed(), system: now() }
}

/// Whether a clock is believed, in one word.
///
/// ```
/// use koshin_expiry::ClockDoubt;
/// use time::UtcDateTime;
///
/// let (now, recorded) = (UtcDateTime::UNIX_EPOCH, UtcDateTime::UNIX_EPOCH + time::Duration::DAY);
/// assert_eq!(koshin_operator::clock::word(Ok(())), "trusted");
/// assert_eq!(koshin_operator::clock::word(Err(ClockDoubt::Behind { now, recorded })), "behind");
/// ```
pub const fn word(trusted: Result<(), ClockDoubt>) -> &'static str {
    match trusted {
        Ok(()) => "trusted",
        Err(ClockDoubt::Behind { .. }) => "behind",
        Err(ClockDoubt::Ahead { .. }) => "ahead",
    }
}

/// What is said about a doubt: both instants, and the command that ends it.
pub fn remedy(doubt: ClockDoubt, program: &str) -> String {
    format!("{doubt}; if it is right, `{program} clock confirm`")
}

/// How a clock stands against what was recorded, for `clock status` and `clock confirm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The largest instant that was recorded before.
    pub recorded: Option<UtcDateTime>,
    /// Whether it is believed, after it was confirmed if it was.
    pub trusted: Result<(), ClockDoubt>,
    /// Of `clock confirm`: whether there was a doubt to end.
    pub confirmed: Option<bool>,
}

impl Standing {
    /// Says it.
    ///
    /// # Errors
    ///
    /// [`Status::State`] while the clock is not believed, with the program's command that ends the doubt.
    pub fn say(self, form: Form, program: &str) -> anyhow::Result<()> {
        let Self { recorded, trusted, confirmed } = self;
        let mut said = json!({"state": word(trusted), "now": rfc3339(now()), "recorded": recorded.map(rfc3339)});
        if let (Some(confirmed), Some(said)) = (confirmed, said.as_object_mut()) {
            said.insert("confirmed".to_owned(), confirmed.into());
        }
        form.one(&said)?;
        trusted.map_err(|doubt| Fault::new(Status::State, remedy(doubt, program)).into())
    }
}
