//! The desktop's dialog programs. What is shown is an argument of its own; no shell reads it.

use std::{
    env,
    io::{self, Read as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::Answer;
use crate::{
    exit::{Fault, Status},
    texts::Words,
};

/// A program that shows dialogs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    kind: Kind,
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zenity,
    KDialog,
    XMessage,
    /// macOS's `osascript`. Written by its manual; not run.
    AppleScript,
}

impl Kind {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Zenity, "zenity"),
        (Self::KDialog, "kdialog"),
        (Self::XMessage, "xmessage"),
        (Self::AppleScript, "osascript"),
    ];
}

/// Those that are here, in the order in which they are tried.
pub(crate) fn installed() -> Vec<Tool> {
    let folders: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let find = |(kind, name): (Kind, &str)| {
        let path = folders.iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(name));
        path.filter(|path| path.is_file()).map(|path| Tool { kind, path }).next()
    };
    Kind::ALL.into_iter().filter_map(find).collect()
}

/// What xmessage ends with at Yes. Not 0, which it might also end with for other reasons.
const PRESSED: i32 = 101;
/// And at a digit, counted from 0.
const DIGIT: i32 = 110;

/// What a dialog ended with.
enum Ended {
    Yes(Zeroizing<String>),
    /// A button with a status of its own.
    Status(i32),
    No,
    Silence,
    /// It could not be shown.
    Unshown,
}

/// Asks for something to be typed.
pub(super) fn entry(
    tools: &[Tool],
    words: Words,
    text: &str,
    length: u8,
    patience: Duration,
) -> anyhow::Result<Answer<Zeroizing<String>>> {
    for tool in tools {
        let ended = match tool.kind {
            Kind::XMessage => pad(tool, words, text, length, patience)?,
            _ => show(tool, &tool.entry(words, text), patience)?,
        };
        match ended {
            Ended::Yes(typed) => return Ok(Answer::Given(typed)),
            Ended::No | Ended::Status(_) => return Ok(Answer::No),
            Ended::Silence => return Ok(Answer::Silence),
            Ended::Unshown => {}
        }
    }
    Err(unshown().into())
}

/// Asks for a secret. xmessage cannot hide what is typed, so it is not asked.
#[cfg(target_os = "linux")]
pub(super) fn secret(
    tools: &[Tool],
    words: Words,
    text: &str,
    patience: Duration,
) -> anyhow::Result<Answer<Zeroizing<String>>> {
    for tool in tools.iter().filter(|tool| tool.kind != Kind::XMessage) {
        match show(tool, &tool.secret(words, text), patience)? {
            Ended::Yes(typed) => {
                return Ok(Answer::Given(Zeroizing::new(typed.trim_end_matches(['\r', '\n']).to_owned())));
            }
            Ended::No | Ended::Status(_) => return Ok(Answer::No),
            Ended::Silence => return Ok(Answer::Silence),
            Ended::Unshown => {}
        }
    }
    Err(unshown().into())
}

/// Asks for Yes or No.
pub(super) fn question(tools: &[Tool], words: Words, text: &str, patience: Duration) -> anyhow::Result<Answer<()>> {
    for tool in tools {
        match show(tool, &tool.question(words, text), patience)? {
            Ended::Yes(_) | Ended::Status(PRESSED) => return Ok(Answer::Given(())),
            Ended::No | Ended::Status(_) => return Ok(Answer::No),
            Ended::Silence => return Ok(Answer::Silence),
            Ended::Unshown => {}
        }
    }
    Err(unshown().into())
}

/// Says something; whether it was seen is nobody's concern.
pub(super) fn notice(tools: &[Tool], words: Words, text: &str, patience: Duration) {
    for tool in tools {
        if !matches!(show(tool, &tool.notice(words, text), patience), Ok(Ended::Unshown) | Err(_)) {
            return;
        }
    }
}

fn unshown() -> Fault {
    Fault::new(
        Status::NotPermitted,
        "no dialog could be shown: neither zenity nor kdialog nor xmessage reached the display",
    )
}

impl Tool {
    fn entry(&self, words: Words, text: &str) -> Vec<String> {
        match self.kind {
            Kind::Zenity => vec![
                "--entry".to_owned(),
                format!("--title={}", words.title()),
                // An entry's text is a label in which an underscore marks a key.
                format!("--text={}", unescaped(text).replace('_', "__")),
                format!("--ok-label={}", words.go_on()),
                format!("--cancel-label={}", words.no()),
            ],
            Kind::KDialog => {
                vec!["--title".to_owned(), words.title().to_owned(), "--inputbox".to_owned(), plain(text)]
            }
            Kind::XMessage => self.question(words, text),
            Kind::AppleScript => script(
                "display dialog (item 1 of argv) with title (item 2 of argv) default answer \"\" \
                 buttons {item 4 of argv, item 3 of argv} default button 2 cancel button 1\n\
                 return text returned of result",
                [text, words.title(), words.go_on(), words.no()],
            ),
        }
    }

    #[cfg(target_os = "linux")]
    fn secret(&self, words: Words, text: &str) -> Vec<String> {
        match self.kind {
            // zenity's window for passwords shows its title alone.
            Kind::Zenity => vec!["--password".to_owned(), format!("--title={text}")],
            Kind::KDialog => vec!["--title".to_owned(), words.title().to_owned(), "--password".to_owned(), plain(text)],
            Kind::XMessage => self.question(words, text),
            Kind::AppleScript => script(
                "display dialog (item 1 of argv) with title (item 2 of argv) default answer \"\" with hidden answer \
                 buttons {item 4 of argv, item 3 of argv} default button 2 cancel button 1\n\
                 return text returned of result",
                [text, words.title(), words.go_on(), words.no()],
            ),
        }
    }

    fn question(&self, words: Words, text: &str) -> Vec<String> {
        match self.kind {
            Kind::Zenity => vec![
                "--question".to_owned(),
                "--no-markup".to_owned(),
                // Whoever presses Enter without reading has said No.
                "--default-cancel".to_owned(),
                "--width=480".to_owned(),
                format!("--title={}", words.title()),
                format!("--text={}", unescaped(text)),
                format!("--ok-label={}", words.yes()),
                format!("--cancel-label={}", words.no()),
            ],
            Kind::KDialog => [
                "--title",
                words.title(),
                "--yes-label",
                words.yes(),
                "--no-label",
                words.no(),
                "--yesno",
                &plain(text),
            ]
            .map(str::to_owned)
            .to_vec(),
            Kind::XMessage => xmessage(words, text, &format!("{}:{PRESSED},{}:1", words.yes(), words.no())),
            Kind::AppleScript => script(
                "display dialog (item 1 of argv) with title (item 2 of argv) \
                 buttons {item 4 of argv, item 3 of argv} cancel button 1",
                [text, words.title(), words.yes(), words.no()],
            ),
        }
    }

    fn notice(&self, words: Words, text: &str) -> Vec<String> {
        match self.kind {
            Kind::Zenity => {
                vec![
                    "--info".to_owned(),
                    "--no-markup".to_owned(),
                    "--width=480".to_owned(),
                    format!("--title={}", words.title()),
                    format!("--text={}", unescaped(text)),
                ]
            }
            Kind::KDialog => vec!["--title".to_owned(), words.title().to_owned(), "--msgbox".to_owned(), plain(text)],
            Kind::XMessage => xmessage(words, text, &format!("OK:{PRESSED}")),
            Kind::AppleScript => script(
                "display dialog (item 1 of argv) with title (item 2 of argv) buttons {\"OK\"} default button 1",
                [text, words.title(), "", ""],
            ),
        }
    }
}

fn xmessage(words: Words, text: &str, buttons: &str) -> Vec<String> {
    let fixed = ["-xrm", "*international: true", "-center", "-title", words.title(), "-buttons", buttons];
    // Our own words come first, so that what is shown never looks like an option.
    [&fixed.map(str::to_owned)[..], &[text.to_owned()]].concat()
}

fn script(body: &str, arguments: [&str; 4]) -> Vec<String> {
    let program = format!("on run argv\n{body}\nend run");
    let mut all = vec!["-e".to_owned(), program];
    all.extend(arguments.map(str::to_owned));
    all
}

/// zenity reads a backslash and a letter as C does: a line that somebody else has put into a name would be one of its own.
fn unescaped(text: &str) -> String {
    text.replace('\\', "＼")
}

/// kdialog takes for HTML what looks like it.
fn plain(text: &str) -> String {
    text.replace('<', "＜")
}

/// xmessage has buttons only: one window for each digit. Whatever is wrong in the end costs one of the tries.
fn pad(tool: &Tool, words: Words, text: &str, length: u8, patience: Duration) -> anyhow::Result<Ended> {
    let digits: Vec<String> = (0..10).map(|digit| format!("{digit}:{}", DIGIT + digit)).collect();
    let buttons = format!("{},{}:1", digits.join(","), words.no());
    let mut typed = Zeroizing::new(String::new());
    for place in 1..=length {
        let text = format!("{text}\n\n{}", words.digit(place, length));
        match show(tool, &xmessage(words, &text, &buttons), patience)? {
            Ended::Status(status) if (0..10).contains(&(status - DIGIT)) => {
                typed.push_str(&(status - DIGIT).to_string());
            }
            Ended::Status(_) | Ended::Yes(_) => return Ok(Ended::No),
            other => return Ok(other),
        }
    }
    Ok(Ended::Yes(typed))
}

fn show(tool: &Tool, arguments: &[String], patience: Duration) -> io::Result<Ended> {
    let mut command = Command::new(&tool.path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return Ok(Ended::Unshown) };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || read(out));
    let errors = std::thread::spawn(move || read(err));
    let until = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::Silence);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let typed = reader.join().unwrap_or_default();
    let complaint = errors.join().unwrap_or_default().to_lowercase();
    let xmessage = tool.kind == Kind::XMessage;
    Ok(match status.code() {
        Some(0) if !xmessage => Ended::Yes(typed),
        // What cannot reach its display ends as if somebody had said No.
        _ if complaint.contains("display") && (complaint.contains("open") || complaint.contains("connect")) => {
            Ended::Unshown
        }
        Some(1) | None => Ended::No,
        Some(status) if xmessage => Ended::Status(status),
        Some(_) if tool.kind == Kind::AppleScript => Ended::No,
        Some(5) => Ended::Silence,
        Some(_) => Ended::Unshown,
    })
}

fn read(from: Option<impl io::Read>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    if let Some(from) = from {
        // What is no text is no answer.
        _ = from.take(4096).read_to_string(&mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use koshin_types::Language;

    fn tool(kind: Kind) -> Tool {
        Tool { kind, path: PathBuf::new() }
    }

    #[test]
    fn what_is_shown_is_never_an_option_nor_markup() {
        let words = Words::new(Language::En);
        let text = words.title().to_owned() + "\n--evil <b>_x</b> $(id) \\nSite: evil";
        for kind in [Kind::Zenity, Kind::KDialog, Kind::XMessage, Kind::AppleScript] {
            let tool = tool(kind);
            for arguments in [tool.entry(words, &text), tool.question(words, &text), tool.notice(words, &text)] {
                let shown = arguments.iter().filter(|one| one.contains("evil")).collect::<Vec<_>>();
                assert_eq!(shown.len(), 1, "{arguments:?}");
                assert!(!shown[0].starts_with("--evil"), "{arguments:?}");
                if kind == Kind::KDialog {
                    assert!(!shown[0].contains('<'));
                }
                assert_eq!(shown[0].contains('\\'), kind != Kind::Zenity, "{arguments:?}");
                if kind == Kind::Zenity && !arguments.contains(&"--entry".to_owned()) {
                    assert!(arguments.contains(&"--no-markup".to_owned()));
                }
            }
        }
    }
}
