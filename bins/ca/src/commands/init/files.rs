//! Files that are made together: all of them, or none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use koshin_operator::secret;
use zeroize::Zeroizing;

use crate::exit::{Fault, Status};

/// What is to be written below one folder. Nothing that exists is ever replaced.
pub(crate) struct Files {
    folder: PathBuf,
    files: Vec<(PathBuf, Zeroizing<String>, bool)>,
}

impl Files {
    pub(crate) fn below(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: Vec::new() }
    }

    /// A file for everybody.
    pub(crate) fn open(&mut self, name: &str, contents: String) {
        self.files.push((self.folder.join(name), Zeroizing::new(contents), false));
    }

    /// A file for its owner alone.
    pub(crate) fn private(&mut self, name: &Path, contents: Zeroizing<String>) {
        self.files.push((self.folder.join(name), contents, true));
    }

    /// Makes them, and the folders they are in. After an error none of them is there.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        refuse_existing(self.files.iter().map(|(file, ..)| file))?;
        for (at, (file, contents, private)) in self.files.iter().enumerate() {
            let made = make_folder(file).and_then(|()| secret::create(file, contents.as_bytes(), *private));
            if let Err(error) = made {
                // Half of them would be in the way of the next try. Only what was made here is taken away.
                self.remove(at);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes away what [`write`](Self::write) made, when what comes after it failed.
    pub(crate) fn take_back(&self) {
        self.remove(self.files.len());
    }

    fn remove(&self, first: usize) {
        self.files.iter().take(first).for_each(|(made, ..)| drop(fs::remove_file(made)));
    }
}

/// Refuses when one of these is there already.
pub(crate) fn refuse_existing(files: impl IntoIterator<Item = impl AsRef<Path>>) -> anyhow::Result<()> {
    match files.into_iter().find(|file| file.as_ref().exists()) {
        Some(there) => {
            let reason = format!("{} exists already; nothing was changed", there.as_ref().display());
            Err(Fault::new(Status::State, reason).into())
        }
        None => Ok(()),
    }
}

/// The folder of a file; a new one that only its owner can look into.
pub(crate) fn make_folder(file: &Path) -> anyhow::Result<()> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::below(folder.path());
        files.private(Path::new("a/key"), Zeroizing::new("secret".to_owned()));
        files.open("b", "open".to_owned());
        // A folder in the way of the last one.
        files.open("b/c", "never".to_owned());
        assert!(files.write().is_err());
        assert!(!folder.path().join("a/key").exists() && !folder.path().join("b").exists());
        fs::write(folder.path().join("b"), "was here").unwrap();
        assert!(files.write().unwrap_err().to_string().contains("exists already"));
        assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"was here");
    }
}
