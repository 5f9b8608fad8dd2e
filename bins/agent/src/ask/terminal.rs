//! Questions at the terminal.

use std::io::{self, BufRead as _, Write as _};

use zeroize::Zeroizing;

use super::Answer;
use crate::texts::Words;

/// Asks for a line. An empty one, or the end of input, is No.
pub(super) fn entry(words: Words, text: &str) -> anyhow::Result<Answer<Zeroizing<String>>> {
    let line = ask(&format!("{text}\n{}: ", words.type_here()))?;
    Ok(if line.trim().is_empty() { Answer::No } else { Answer::Given(line) })
}

/// Asks for Yes; everything else is No.
pub(super) fn question(words: Words, text: &str) -> anyhow::Result<Answer<()>> {
    let line = ask(&format!("{text}\n{}: ", words.yes_or_no()))?;
    Ok(if Words::is_yes(line.trim()) { Answer::Given(()) } else { Answer::No })
}

/// Asks for a secret, which is not shown while it is typed.
#[cfg(target_os = "linux")]
pub(super) fn secret(text: &str) -> anyhow::Result<Answer<Zeroizing<String>>> {
    let typed = Zeroizing::new(rpassword::prompt_password(format!("\n{text}: "))?);
    Ok(if typed.is_empty() { Answer::No } else { Answer::Given(typed) })
}

fn ask(question: &str) -> io::Result<Zeroizing<String>> {
    let mut out = io::stderr().lock();
    write!(out, "\n{question}")?;
    out.flush()?;
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}
