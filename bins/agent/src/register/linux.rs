//! A `.desktop` file and a line in `mimeapps.list` (freedesktop.org's specifications of desktop entries and of MIME applications).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::Standing;
use crate::{
    ask,
    exit::{Fault, Status},
    places::{Places, folder},
};

/// The name of our entry. The package's one has the same, so that a user's own takes its place.
const ENTRY: &str = "koshin-agent.desktop";
const KEY: &str = "x-scheme-handler/koshin";
const GROUP: &str = "[Default Applications]";
/// Stands above a group that we have made, so that it goes with us.
const MARK: &str = "# koshin-agent register";

struct Files {
    entry: PathBuf,
    defaults: PathBuf,
}

fn files(places: &Places) -> Files {
    let data = folder("XDG_DATA_HOME").unwrap_or_else(|| places.home.join(".local/share"));
    let config = folder("XDG_CONFIG_HOME").unwrap_or_else(|| places.home.join(".config"));
    Files { entry: data.join("applications").join(ENTRY), defaults: config.join("mimeapps.list") }
}

pub(super) fn register(places: &Places, program: &Path) -> anyhow::Result<()> {
    let Files { entry, defaults } = files(places);
    let text = desktop_entry(program, ask::installed().is_empty())?;
    write(&entry, text.as_bytes())?;
    let before = read(&defaults)?;
    let after = with_default(before.as_deref().unwrap_or_default());
    if before.as_deref() == Some(&after) { Ok(()) } else { write(&defaults, after.as_bytes()) }
}

pub(super) fn unregister(places: &Places) -> anyhow::Result<()> {
    let Files { entry, defaults } = files(places);
    if let Some(before) = read(&defaults)? {
        let after = without_default(&before);
        if after.is_empty() && !before.is_empty() {
            remove(&defaults)?;
        } else if after != before {
            write(&defaults, after.as_bytes())?;
        }
    }
    remove(&entry)
}

pub(super) fn standing(places: &Places, program: &Path) -> anyhow::Result<Standing> {
    let Files { entry, defaults } = files(places);
    let first = read(&defaults)?.and_then(|text| default_of(&text));
    match first.as_deref() {
        Some(ENTRY) => {}
        Some(other) => return Ok(Standing::Elsewhere { by: other.to_owned() }),
        None => return Ok(Standing::Nowhere),
    }
    let Some(text) = read(&entry)? else { return Ok(Standing::Nowhere) };
    let line = text.lines().find(|line| line.starts_with("Exec=")).unwrap_or_default();
    Ok(if line == exec(program)? { Standing::Here } else { Standing::Elsewhere { by: line.to_owned() } })
}

/// The desktop entry. Where no program for dialogs is installed, the desktop gives it a terminal.
fn desktop_entry(program: &Path, terminal: bool) -> Result<String, Fault> {
    Ok(format!(
        "[Desktop Entry]\nType=Application\nVersion=1.1\nName=Koshin agent\nName[ja]=Koshin エージェント\n\
         Comment=Renews the certificate you log in with\nComment[ja]=ログイン用の電子証明書を更新します\n{}\n\
         Terminal={terminal}\nNoDisplay=true\nStartupNotify=false\nMimeType={KEY};\n",
        exec(program)?
    ))
}

/// The line that starts the program. A path that need not be quoted is not: `xdg-open` by itself, without a desktop's help, takes
/// quotation marks for a part of it. Others are quoted by the rules for the key Exec, then once more by those for strings.
fn exec(program: &Path) -> Result<String, Fault> {
    const RESERVED: &str = " \"'\\><~|&;$*?#()`";
    let unusable =
        || Fault::new(Status::Failure, "this program's path cannot stand in a .desktop file; install it elsewhere");
    let path =
        program.to_str().filter(|path| !path.contains(|c: char| c.is_control() || c == '=')).ok_or_else(unusable)?;
    if !path.contains(|c: char| RESERVED.contains(c)) {
        return Ok(format!("Exec={} open %u", path.replace('%', "%%")));
    }
    let mut quoted = String::new();
    for c in path.chars() {
        match c {
            '\\' => quoted.push_str(r"\\\\"),
            '"' | '`' | '$' => quoted.extend([r"\\", c.encode_utf8(&mut [0; 4])]),
            '%' => quoted.push_str("%%"),
            other => quoted.push(other),
        }
    }
    Ok(format!("Exec=\"{quoted}\" open %u"))
}

/// The text with our entry before all others for the scheme; nothing else is changed.
fn with_default(text: &str) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let ours = format!("{KEY}={ENTRY}");
    if let Some(at) = line_of_key(&lines) {
        let line = lines.get(at).copied().unwrap_or_default();
        let value = line.split_once('=').map_or("", |(_, value)| value);
        if value == ENTRY || value.starts_with(&format!("{ENTRY};")) {
            return text.to_owned();
        }
        let line = if value.is_empty() { format!("{KEY}={ENTRY};") } else { format!("{KEY}={ENTRY};{value}") };
        if let Some(place) = lines.get_mut(at) {
            *place = &line;
        }
        return lines.join("\n");
    }
    if let Some(at) = lines.iter().position(|line| line.trim_end() == GROUP) {
        lines.insert(at + 1, &ours);
        return lines.join("\n");
    }
    // At the top, so that nothing has to be known about how the file ends.
    format!("{MARK}\n{GROUP}\n{ours}\n{text}")
}

/// The text as it was before [`with_default`]; what others have written meanwhile stays.
fn without_default(text: &str) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let Some(at) = line_of_key(&lines) else { return text.to_owned() };
    let value = lines.get(at).and_then(|line| line.split_once('=')).map_or("", |(_, value)| value);
    if let Some(rest) = value.strip_prefix(&format!("{ENTRY};")) {
        let line = format!("{KEY}={rest}");
        if let Some(place) = lines.get_mut(at) {
            *place = &line;
        }
        return lines.join("\n");
    }
    if value != ENTRY {
        return text.to_owned();
    }
    lines.remove(at);
    let marked = at >= 2 && lines.get(at - 2) == Some(&MARK) && lines.get(at - 1).is_some_and(|line| *line == GROUP);
    if marked {
        let others = lines.iter().skip(at).take_while(|line| !line.starts_with('[')).any(|line| line.contains('='));
        // The group stays when others have put something into it.
        lines.drain(at - 2..if others { at - 1 } else { at });
    }
    lines.join("\n")
}

/// Where the scheme's line stands in the group of defaults.
fn line_of_key(lines: &[&str]) -> Option<usize> {
    let mut inside = false;
    lines.iter().position(|line| {
        if line.starts_with('[') {
            inside = line.trim_end() == GROUP;
        }
        inside && line.split_once('=').is_some_and(|(key, _)| key.trim() == KEY)
    })
}

/// What opens the links, by this file.
fn default_of(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let (_, value) = lines.get(line_of_key(&lines)?)?.split_once('=')?;
    value.split(';').map(str::trim).find(|one| !one.is_empty()).map(str::to_owned)
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Writes a file anew, completely or not at all. A link stays one: people keep such files elsewhere.
fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let draft = folder.join(format!(".koshin-agent.{}", std::process::id()));
    let written = fs::create_dir_all(folder).and_then(|()| {
        fs::write(&draft, contents)?;
        if let Ok(found) = fs::metadata(&path) {
            fs::set_permissions(&draft, found.permissions())?;
        }
        fs::rename(&draft, &path)
    });
    if written.is_err() {
        _ = fs::remove_file(&draft);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_there_again() {
        let other = "x-scheme-handler/mailto=mail.desktop";
        let before = [
            String::new(),
            "\n".to_owned(),
            format!("{GROUP}\n"),
            GROUP.to_owned(),
            format!("{GROUP}\n{other}\n"),
            format!("{GROUP}\n{other}"),
            format!("# mine\n[Added Associations]\n{other};\n\n{GROUP}\n{other}\n\n[Removed Associations]\n"),
            format!("[Added Associations]\n{KEY}=another.desktop;\n"),
            format!("{GROUP}\n{KEY}=another.desktop\n"),
            format!("{GROUP}\n{KEY}=another.desktop;\n{other}\n"),
            format!("{GROUP}\n{KEY}=\n"),
        ];
        for before in before {
            let during = with_default(&before);
            assert_eq!(default_of(&during).as_deref(), Some(ENTRY), "{before:?}");
            assert_eq!(with_default(&during), during, "twice is once: {before:?}");
            assert_eq!(without_default(&during), before);
            assert_eq!(without_default(&before), before, "nothing of ours is in it");
        }
    }

    #[test]
    fn what_others_add_meanwhile_stays() {
        let during = with_default("").replace(KEY, &format!("text/html=browser.desktop\n{KEY}"));
        assert_eq!(without_default(&during), during.replace(&format!("{KEY}={ENTRY}\n"), ""));
        let during = with_default("") + "text/html=browser.desktop\n";
        assert_eq!(without_default(&during), format!("{GROUP}\ntext/html=browser.desktop\n"));
        let other = format!("{GROUP}\n{KEY}=another.desktop;{ENTRY}\n");
        assert_eq!(without_default(&other), other, "another one was chosen meanwhile");
    }

    #[test]
    fn paths_are_quoted() {
        let line = |path: &str| exec(Path::new(path)).map_err(|_| ());
        assert_eq!(line("/usr/bin/koshin-agent").as_deref(), Ok("Exec=/usr/bin/koshin-agent open %u"));
        assert_eq!(line("/opt/100%/a").as_deref(), Ok("Exec=/opt/100%%/a open %u"));
        assert_eq!(line("/a b/%u").as_deref(), Ok("Exec=\"/a b/%%u\" open %u"));
        assert_eq!(line("/$x`y\"").as_deref(), Ok("Exec=\"/\\\\$x\\\\`y\\\\\"\" open %u"));
        assert_eq!(line("/a\\b").as_deref(), Ok("Exec=\"/a\\\\\\\\b\" open %u"));
        assert_eq!(line("/a\nExec=evil"), Err(()));
    }
}
