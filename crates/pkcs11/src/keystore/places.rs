//! Where on a Linux PC the usual stores and their modules are.

use std::path::{Path, PathBuf};

/// Places that the environment of a user names. The program reads them.
#[derive(Debug, Clone)]
pub struct Places {
    /// The home folder.
    pub home: PathBuf,
    /// `XDG_DATA_HOME`, where it is set.
    pub data_home: Option<PathBuf>,
}

/// The NSS database that Chromium reads: `~/.pki/nssdb` where there is one, else `pki/nssdb` in the folder for data of the user's
/// programs, `~/.local/share` unless `XDG_DATA_HOME` says otherwise. It need not exist yet.
///
/// ```
/// use koshin_pkcs11::keystore::{Places, nss_folder};
/// let places = Places { home: "/nowhere/taro".into(), data_home: None };
/// assert_eq!(nss_folder(&places), std::path::Path::new("/nowhere/taro/.local/share/pki/nssdb"));
/// let places = Places { data_home: Some("/nowhere/data".into()), ..places };
/// assert_eq!(nss_folder(&places), std::path::Path::new("/nowhere/data/pki/nssdb"));
/// ```
pub fn nss_folder(places: &Places) -> PathBuf {
    let former = places.home.join(".pki/nssdb");
    if former.is_dir() {
        return former;
    }
    let data = places.data_home.clone().unwrap_or_else(|| places.home.join(".local/share"));
    data.join("pki/nssdb")
}

/// Folders of libraries, by distribution: Debian and Ubuntu, Fedora and openSUSE, Arch.
const FOLDERS: &[&str] =
    &["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];

/// NSS's softoken, `libsoftokn3.so`, if it is in a usual place. It is wherever Chromium is.
pub fn softoken() -> Option<PathBuf> {
    first(&["libsoftokn3.so", "nss/libsoftokn3.so"])
}

/// The module of tpm2-pkcs11, if it is in a usual place.
pub fn tpm_module() -> Option<PathBuf> {
    first(&["pkcs11/libtpm2_pkcs11.so", "libtpm2_pkcs11.so.1", "libtpm2_pkcs11.so.0", "libtpm2_pkcs11.so"])
}

fn first(names: &[&str]) -> Option<PathBuf> {
    let paths = FOLDERS.iter().flat_map(|folder| names.iter().map(|name| Path::new(folder).join(name)));
    paths.into_iter().find(|path| path.is_file())
}
