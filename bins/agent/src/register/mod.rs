//! Making this program the one that opens `koshin:` links, for this user; and undoing that again.

#[cfg(any(target_os = "linux", test))]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;
#[cfg(any(target_os = "windows", test))]
mod windows;

use std::path::{Path, PathBuf};

use crate::places::Places;

/// What stands in the way, or that nothing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Links are opened by this program.
    Here,
    /// They are opened by another file of the same name, or by something else.
    Elsewhere { by: String },
    /// Nothing opens them.
    Nowhere,
}

/// Makes it so. Doing it again changes nothing.
pub(crate) fn register(places: &Places, program: &Path) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    return linux::register(places, program);
    #[cfg(target_os = "macos")]
    return macos::register(places, program);
    #[cfg(target_os = "windows")]
    return windows::register(places, program);
    #[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
    anyhow::bail!("this system's way of opening links is not known; paste them to `{} renew`", program.display())
}

/// Undoes it.
pub(crate) fn unregister(places: &Places) -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    return linux::unregister(places);
    #[cfg(target_os = "macos")]
    return macos::unregister(places);
    #[cfg(target_os = "windows")]
    return windows::unregister(places);
    #[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
    Ok(())
}

/// Says what opens the links.
pub(crate) fn standing(places: &Places, program: &Path) -> anyhow::Result<Standing> {
    #[cfg(target_os = "linux")]
    return linux::standing(places, program);
    #[cfg(target_os = "macos")]
    return macos::standing(places, program);
    #[cfg(target_os = "windows")]
    return windows::standing(places, program);
    #[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
    Ok(Standing::Nowhere)
}

/// The file of this very program.
pub(crate) fn this_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()?.canonicalize()
}
