//! Where this program's files lie.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::exit::{Fault, Status};

/// The folders of one user.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// What the holder or `register` has configured.
    pub(crate) config: PathBuf,
    /// Exchanges that are on their way, and locks.
    pub(crate) state: PathBuf,
    /// The home folder itself.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows names every folder that is needed"))]
    pub(crate) home: PathBuf,
}

impl Places {
    /// By the rules of the system: XDG's on Linux, `AppData` on Windows, `Library` on macOS.
    ///
    /// # Errors
    ///
    /// When the environment does not say where the user's files are.
    pub(crate) fn of_user() -> Result<Self, Fault> {
        let missing = || Fault::new(Status::Failure, "the environment does not say where your home folder is");
        if cfg!(windows) {
            let home = folder("USERPROFILE").ok_or_else(missing)?;
            let config = folder("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming")).join("Koshin");
            let state = folder("LOCALAPPDATA").unwrap_or_else(|| home.join("AppData").join("Local")).join("Koshin");
            return Ok(Self { config, state, home });
        }
        let home = folder("HOME").ok_or_else(missing)?;
        if cfg!(target_os = "macos") {
            let support = home.join("Library").join("Application Support").join("Koshin");
            return Ok(Self { config: support.clone(), state: support.join("State"), home });
        }
        let config = folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("koshin");
        let state = folder("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state")).join("koshin");
        Ok(Self { config, state, home })
    }

    /// The file that `register` writes.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config.join("agent.toml")
    }
}

/// The configuration file of the machine's administrator. There is none where this program cannot tell who wrote a file: on Windows
/// anybody may make folders in `ProgramData`.
pub(crate) fn administrators_file() -> Option<&'static Path> {
    cfg!(unix).then_some(Path::new("/etc/koshin/agent.toml"))
}

/// A folder that the environment names; relative paths are ignored, as the XDG base directory specification says.
pub(crate) fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Makes a folder that only its owner may enter.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file anew, completely or not at all; only its owner may read it.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    // A draft that a killed process of the same number has left.
    _ = std::fs::remove_file(&draft);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    });
    if written.is_err() {
        _ = std::fs::remove_file(&draft);
    }
    #[cfg(unix)]
    if written.is_ok() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    written
}
