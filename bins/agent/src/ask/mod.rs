//! Asking the holder: with the desktop's own dialog program where there is a display, else at the terminal.

mod dialog;
mod terminal;

use std::{
    env,
    io::{IsTerminal as _, stdin},
    time::Duration,
};

use koshin_types::Language;
use zeroize::Zeroizing;

use crate::{
    exit::{Fault, Status},
    texts::Words,
};
pub(crate) use dialog::{Tool, installed};

/// How long an answer is waited for. A link is of no use longer.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the holder said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    Given(T),
    /// No, or the window was closed.
    No,
    /// Nobody said anything.
    Silence,
}

/// Asks.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) words: Words,
    by: By,
}

#[derive(Debug)]
enum By {
    /// One of these, the first that works.
    Dialogs(Vec<Tool>),
    Terminal,
    /// An administrator has allowed that nobody is asked; the digits were given beforehand.
    Beforehand {
        code: Option<Zeroizing<String>>,
    },
    Nobody,
}

impl Asker {
    /// Asks by whatever there is here.
    pub(crate) fn of_desktop(language: Language) -> Self {
        let tools = if has_display() { installed() } else { Vec::new() };
        let by = match tools {
            tools if !tools.is_empty() => By::Dialogs(tools),
            _ if stdin().is_terminal() => By::Terminal,
            _ => By::Nobody,
        };
        Self { words: Words::new(language), by }
    }

    /// Answers every confirmation with Yes, and what is to be typed with this.
    pub(crate) fn beforehand(language: Language, code: Option<Zeroizing<String>>) -> Self {
        Self { words: Words::new(language), by: By::Beforehand { code } }
    }

    /// Asks for a code of so many digits; what is typed may hold blanks and hyphens.
    pub(crate) fn digits(&self, text: &str, length: u8) -> anyhow::Result<Answer<Zeroizing<String>>> {
        let mut text = text.to_owned();
        loop {
            let answer = match &self.by {
                By::Dialogs(tools) => dialog::entry(tools, self.words, &text, length, PATIENCE)?,
                By::Terminal => terminal::entry(self.words, &text)?,
                By::Beforehand { code } => match code {
                    Some(code) => Answer::Given(code.clone()),
                    None => return Err(no_code().into()),
                },
                By::Nobody => return Err(nobody().into()),
            };
            let Answer::Given(typed) = answer else { return Ok(answer) };
            if let Some(digits) = only_digits(&typed, length) {
                return Ok(Answer::Given(digits));
            }
            if matches!(self.by, By::Beforehand { .. }) {
                return Err(Fault::usage(format!("the code has to be {length} digits")).into());
            }
            let again = self.words.not_so_many_digits(length);
            if !text.starts_with(&again) {
                text = format!("{again}\n\n{text}");
            }
        }
    }

    /// Asks for Yes or No.
    pub(crate) fn confirm(&self, text: &str) -> anyhow::Result<Answer<()>> {
        match &self.by {
            By::Dialogs(tools) => dialog::question(tools, self.words, text, PATIENCE),
            By::Terminal => terminal::question(self.words, text),
            By::Beforehand { .. } => Ok(Answer::Given(())),
            By::Nobody => Err(nobody().into()),
        }
    }

    /// Asks for the PIN of a token; nothing when the holder would rather not, or nobody can be asked.
    #[cfg(target_os = "linux")]
    pub(crate) fn pin(&self, token: &str, fewer: bool) -> Option<Zeroizing<String>> {
        let text = self.words.pin(token, fewer);
        let answer = match &self.by {
            By::Dialogs(tools) => dialog::secret(tools, self.words, &text, PATIENCE),
            By::Terminal => terminal::secret(&text),
            By::Beforehand { .. } | By::Nobody => return None,
        };
        match answer {
            Ok(Answer::Given(pin)) if !pin.is_empty() => Some(pin),
            _ => None,
        }
    }

    /// Says something, where only a dialog would be seen. It waits until the window is closed, or for a minute.
    pub(crate) fn tell(&self, text: &str) {
        if let By::Dialogs(tools) = &self.by {
            dialog::notice(tools, self.words, text, Duration::from_mins(1));
        }
    }

    /// Whether a wrong code can be typed once more.
    pub(crate) const fn may_ask_again(&self) -> bool {
        !matches!(self.by, By::Beforehand { .. })
    }
}

/// Whether there is a desktop to show something on. macOS always has one.
fn has_display() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || is_set("WAYLAND_DISPLAY") || is_set("DISPLAY")
}

fn only_digits(typed: &str, length: u8) -> Option<Zeroizing<String>> {
    // Full-width digits are what a Japanese keyboard gives by default.
    let narrow = |c: char| match c {
        '０'..='９' => char::from_u32(u32::from(c) - u32::from('０') + u32::from('0')),
        ' ' | '\u{3000}' | '-' => None,
        other => Some(other),
    };
    let digits: Zeroizing<String> = Zeroizing::new(typed.trim().chars().filter_map(narrow).collect());
    let whole = digits.len() == usize::from(length) && digits.bytes().all(|digit| digit.is_ascii_digit());
    whole.then_some(digits)
}

fn nobody() -> Fault {
    let reason = "nobody can be asked here: there is neither a terminal nor zenity, kdialog or xmessage on a display";
    Fault::new(Status::NotPermitted, reason)
}

fn no_code() -> Fault {
    Fault::usage(
        "the digits that the page shows, or the mailed code, have to come with --code-file, also with --assume-yes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_however_they_are_typed() {
        let read = |typed: &str| only_digits(typed, 4).map(|digits| digits.to_string());
        for typed in ["1234", " 12 34\n", "１２３４", "12-34", "１２　３４"] {
            assert_eq!(read(typed).as_deref(), Some("1234"), "{typed}");
        }
        for typed in ["", "123", "12345", "12a4", "٣٤٥٦", "+123"] {
            assert_eq!(read(typed), None, "{typed}");
        }
    }

    #[test]
    fn with_yes_beforehand_the_digits_still_have_to_come() {
        let error = Asker::beforehand(Language::En, None).digits("?", 4).unwrap_err();
        assert_eq!(error.downcast_ref::<Fault>().unwrap().status, Status::Usage);
        let asker = Asker::beforehand(Language::En, Some(Zeroizing::new("12 34".to_owned())));
        assert_eq!(asker.digits("?", 4).unwrap(), Answer::Given(Zeroizing::new("1234".to_owned())));
        assert!(asker.digits("?", 8).is_err() && !asker.may_ask_again());
    }
}
