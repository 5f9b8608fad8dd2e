//! Passwords and private keys: how they come in, and how key files are made.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use anyhow::Context as _;
use zeroize::Zeroizing;

use crate::exit::{Fault, Status};

/// No secret of a person is longer; what is longer is a wrong file.
const MOST: u64 = 4096;

/// A new password: the first line of a file, of standard input (`-`), or typed twice at the terminal.
///
/// # Errors
///
/// [`Fault`] when there is none, else what the system said.
pub fn new_password(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    match file {
        Some(dash) if dash == Path::new("-") => first_line(io::stdin().lock(), "standard input"),
        Some(file) => {
            let name = file.display().to_string();
            first_line(fs::File::open(file).with_context(|| format!("{name} cannot be read"))?, &name)
        }
        None if io::stdin().is_terminal() => typed(),
        None => {
            Err(Fault::usage("there is no terminal to type a password on; use --password-file FILE, or - for stdin")
                .into())
        }
    }
}

fn typed() -> anyhow::Result<Zeroizing<String>> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map(Zeroizing::new);
    let password = ask("New password: ")?;
    let again = ask("The same again: ")?;
    if password == again { Ok(password) } else { Err(Fault::usage("the two passwords differ").into()) }
}

fn first_line(from: impl io::Read, name: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(MOST).read_to_string(&mut text).with_context(|| format!("{name} cannot be read as text"))?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(Zeroizing::new(password.to_owned())),
        _ => Err(Fault::usage(format!("{name} holds no password in its first line")).into()),
    }
}

/// Reads a file that nobody but its owner may be able to read.
///
/// # Errors
///
/// [`Fault`] when others can, else what the system said.
pub fn read_private(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let unread = || format!("{} cannot be read", path.display());
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).with_context(unread)?) & 0o7777;
        // systemd hands out credentials with a group entry that stands for an access list of the one service.
        let foreign = if is_credential(path) { 0o007 } else { 0o077 };
        if mode & foreign != 0 {
            let reason = format!(
                "{} has mode {mode:04o}: others than its owner can use it; chmod 600 it, and make a new key if anybody did",
                path.display()
            );
            return Err(Fault::new(Status::NotPermitted, reason).into());
        }
    }
    Ok(Zeroizing::new(fs::read_to_string(path).with_context(unread)?))
}

#[cfg(unix)]
fn is_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder))
}

/// Makes a new file and refuses to replace one. A private one is readable by its owner alone from the first moment.
///
/// # Errors
///
/// What the system said; nothing half-written stays.
pub fn create(path: &Path, contents: &[u8], private: bool) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = private;
    let unmade = || format!("{} cannot be made", path.display());
    let file = options.open(path).with_context(unmade)?;
    fill(path, file, |file| file.write_all(contents)).with_context(unmade)
}

/// Writes a file that was just made, and takes it away again when that fails: half a key would be in the way of the next
/// try, and look like a whole one.
fn fill(path: &Path, mut file: fs::File, write: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<()> {
    let written = write(&mut file).and_then(|()| file.sync_all());
    if written.is_err() {
        drop(file);
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let read = |text: &str| first_line(text.as_bytes(), "x").map(|password| password.to_string());
        assert_eq!(read("correct horse\nbattery\n").unwrap(), "correct horse");
        assert_eq!(read("長いパスワード\r\n").unwrap(), "長いパスワード");
        assert!(read("").is_err() && read("\nx").is_err());
    }

    #[test]
    fn what_could_not_be_written_whole_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let full = fill(&path, fs::File::create_new(&path).unwrap(), |file| {
            file.write_all(b"-----BEGIN PRI")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(!path.exists());
        create(&path, b"secret", true).unwrap();
        // What is there already is none of ours to take away.
        assert!(create(&path, b"other", true).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_made_once_and_read_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"secret", true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path, b"other", true).is_err());
        assert_eq!(read_private(&path).unwrap().as_str(), "secret");
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_private(&path).unwrap_err();
            assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
        }
    }
}
