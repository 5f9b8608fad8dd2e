//! A maildir on disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{Envelope, Outcome, Reply, Transport};

/// Delivers into one maildir: written to `tmp`, flushed to disk, moved to `new`. A file is named after its Message-ID,
/// so a repeat replaces the file it repeats.
#[derive(Debug, Clone)]
pub struct Maildir {
    folder: PathBuf,
}

impl Maildir {
    /// Opens the maildir, making `tmp`, `new` and `cur` where they are missing.
    ///
    /// # Errors
    ///
    /// That of the file system.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        for name in ["tmp", "new", "cur"] {
            fs::create_dir_all(folder.join(name))?;
        }
        Ok(Self { folder })
    }
}

#[async_trait]
impl Transport for Maildir {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        let (folder, name) = (self.folder.clone(), file_name(&envelope.message_id));
        let mime = Zeroizing::new(mime.to_vec());
        let written = tokio::task::spawn_blocking(move || deliver(&folder, &name, &mime)).await;
        match written {
            Ok(Ok(())) => Outcome::Accepted,
            Ok(Err(error)) => Outcome::Transient { reply: Reply::new(None, &format!("maildir: {}", error.kind())) },
            Err(_) => Outcome::Unknown,
        }
    }
}

fn deliver(folder: &Path, name: &str, mime: &[u8]) -> io::Result<()> {
    let (tmp, new) = (folder.join("tmp").join(name), folder.join("new"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&tmp)?;
    file.write_all(mime)?;
    file.sync_all()?;
    fs::rename(&tmp, new.join(name))?;
    // The rename itself has to survive a power cut before the mail is recorded as sent.
    if cfg!(unix) { File::open(new)?.sync_all() } else { Ok(()) }
}

/// The left-hand side of the Message-ID, with nothing in it that means something to a file system or a maildir.
fn file_name(message_id: &str) -> String {
    let local = message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("koshin.{}", local.chars().map(safe).collect::<String>())
}
