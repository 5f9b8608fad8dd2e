//! How each kind of token is opened, and the one session that everything is asked over.

use std::{
    ffi::CString,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::AuthPin,
};
use koshin_keystore::StoreError;
use koshin_types::ProtectionLevel;

use super::{Asked, TokenKeyStore};
use crate::{
    module::{Module, ModuleError},
    pin::{self, Pin},
};

/// Asks a person for the PIN of a token; `None` when they would rather not. Called once for each session that is opened.
pub type PinSource = Arc<dyn Fn(&PinRequest<'_>) -> Option<Pin> + Send + Sync>;

/// Which PIN is asked for.
#[derive(Debug, Clone, Copy)]
pub struct PinRequest<'a> {
    /// The token's label.
    pub token: &'a str,
    /// How many tries are left.
    pub tries: Tries,
}

/// How many tries a token lets a person have. The last one is nobody's to use up here: then the PIN is not even asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// The token says nothing of wrong ones.
    Untouched,
    /// At least one wrong PIN was given since the last right one.
    Fewer,
}

/// A token that is named by its module and label.
#[derive(Clone)]
pub struct CardConfig {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// The token's label, as `pkcs11-tool -L` shows it.
    pub token: String,
    /// Who is asked for the PIN; `None` for a token that has a PIN pad of its own, or needs none.
    pub pin: Option<PinSource>,
    /// What the operator knows of it.
    pub kind: ModuleKind,
}

/// What keeps the keys of a module, by the operator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleKind {
    /// A device that no key leaves. A module that is known to be software is not believed to be one.
    Hardware,
    /// Software, or nobody knows.
    Software,
}

/// A token in this PC's TPM.
#[derive(Clone)]
pub struct TpmConfig {
    /// The module of tpm2-pkcs11.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// Who is asked for the PIN of a token that was made with one. Browsers ask for it too then.
    pub pin: Option<PinSource>,
}

impl TpmConfig {
    /// The token that is used unless another is named, without a PIN.
    ///
    /// ```
    /// assert_eq!(koshin_pkcs11::keystore::TpmConfig::new("module.so".into()).token, "koshin");
    /// ```
    pub fn new(module: PathBuf) -> Self {
        Self { module, token: "koshin".to_owned(), pin: None }
    }

    /// The commands by which a user makes such a token, once. Only `tpm2_ptool` can make one whose empty PIN browsers do not ask
    /// for; PKCS#11 has no call for that. The officer's PIN could at most lock the user out.
    pub fn setup_commands(&self) -> [String; 2] {
        let token = format!("--label={} --userpin= --sopin=$(openssl rand -hex 16)", self.token);
        ["tpm2_ptool init".to_owned(), format!("tpm2_ptool addtoken --pid=1 {token}")]
    }
}

/// The one token of NSS that keeps keys of people.
const NSS_TOKEN: &str = "NSS Certificate DB";

/// Makers of modules that keep keys in files, as their tokens name them.
const SOFTWARE: &[&str] = &["SoftHSM", "Mozilla", "Kryoptic", "GNOME Keyring"];

impl TokenKeyStore {
    /// The NSS database in a folder, through libsoftokn3. It is made, folder and all, when it does not exist. The PIN is that of a
    /// database with a master password.
    pub fn nss(folder: &Path, softoken: &Path, pin: Option<PinSource>) -> Self {
        let opening = Opening::Nss { folder: folder.to_owned() };
        Self::of(softoken.to_owned(), NSS_TOKEN.to_owned(), opening, pin)
    }

    /// A token of tpm2-pkcs11. With an empty user PIN browsers use its keys without asking. Which TPM and which folder is for
    /// the module to know, by its environment: `TPM2_PKCS11_TCTI` and `TPM2_PKCS11_STORE`, else the kernel's and the home's.
    pub fn tpm(config: TpmConfig) -> Self {
        Self::of(config.module, config.token, Opening::Tpm, config.pin)
    }

    /// Any token: a smart card, a USB key. Looks whether it is there and who made it, and asks for no PIN yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the module cannot be loaded or holds no such token.
    pub fn token(config: CardConfig) -> Result<Self, StoreError> {
        let store = Self::of(config.module, config.token, Opening::Card(ProtectionLevel::Os), config.pin);
        let mut token = store.token;
        let made_by = token.made_by().map_err(|fault| token.error(fault))?;
        let software = SOFTWARE.iter().any(|maker| made_by.contains(maker));
        if config.kind == ModuleKind::Hardware
            && !software
            && let Some(token) = Arc::get_mut(&mut token)
        {
            token.opening = Opening::Card(ProtectionLevel::Hardware);
        }
        Ok(Self { token })
    }

    fn of(module: PathBuf, label: String, opening: Opening, pin: Option<PinSource>) -> Self {
        Self { token: Arc::new(Token { module, label, opening, pin, line: Mutex::new(Line::Closed) }) }
    }
}

/// A token, and the session with it.
pub(super) struct Token {
    module: PathBuf,
    label: String,
    opening: Opening,
    pin: Option<PinSource>,
    line: Mutex<Line>,
}

enum Opening {
    Nss { folder: PathBuf },
    Tpm,
    Card(ProtectionLevel),
}

enum Line {
    Closed,
    Open(Module),
    /// The token did not take a PIN, and said this.
    Refused(String),
}

/// Why a call inside a token failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error("no slot holds a token labelled {token:?}; there are {found:?}")]
    NoToken { token: String, found: Vec<String> },
    #[error("the token refuses the PIN ({0}); it is not tried again")]
    Pin(String),
    #[error("{0}")]
    Closed(&'static str),
    #[error("the folder {} cannot be made", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("the token made a key without a point on P-256")]
    Point,
    #[error("the token answered with an error")]
    Token(#[from] Error),
}

impl Fault {
    /// Whether the session is over, and another one may do.
    fn ended_session(&self) -> bool {
        match self {
            Self::Module(ModuleError::Finalized) => true,
            Self::Token(Error::Pkcs11(said, _)) => matches!(
                said,
                RvError::SessionHandleInvalid
                    | RvError::SessionClosed
                    | RvError::UserNotLoggedIn
                    | RvError::CryptokiNotInitialized
                    | RvError::DeviceRemoved
                    | RvError::TokenNotPresent
            ),
            _ => false,
        }
    }

    /// Whether the token may be there again later.
    fn is_away(&self) -> bool {
        let busy =
            |said: &RvError| matches!(said, RvError::DeviceError | RvError::SlotIdInvalid | RvError::SessionCount);
        self.ended_session()
            || matches!(self, Self::NoToken { .. } | Self::Module(ModuleError::Occupied { .. }))
            || matches!(self, Self::Token(Error::Pkcs11(said, _)) if busy(said))
    }
}

impl Token {
    /// Asks something of the token. A session that is over is opened anew, once.
    pub(super) fn ask<T>(&self, call: impl Fn(&Session) -> Asked<T>) -> Result<T, StoreError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let mut again = matches!(*line, Line::Open(_));
        loop {
            let answer = self.opened(&mut line).and_then(|module| module.ask(&call));
            match answer {
                Err(fault) if again && fault.ended_session() => {
                    *line = Line::Closed;
                    again = false;
                }
                Err(fault) => {
                    match &fault {
                        Fault::Pin(said) => *line = Line::Refused(said.clone()),
                        fault if fault.ended_session() => *line = Line::Closed,
                        _ => {}
                    }
                    return Err(self.error(fault));
                }
                Ok(answer) => return Ok(answer),
            }
        }
    }

    fn opened<'a>(&self, line: &'a mut MutexGuard<'_, Line>) -> Asked<&'a Module> {
        if matches!(**line, Line::Closed) {
            **line = Line::Open(self.open()?);
        }
        match &**line {
            Line::Open(module) => Ok(module),
            Line::Refused(said) => Err(Fault::Pin(said.clone())),
            Line::Closed => Err(ModuleError::Finalized.into()),
        }
    }

    fn open(&self) -> Asked<Module> {
        let parameters = match &self.opening {
            Opening::Nss { folder } => Some(nss_parameters(folder)?),
            Opening::Tpm | Opening::Card(_) => None,
        };
        Module::open(&self.module, parameters.as_deref(), |context| self.log_in(context))
    }

    /// The makers of module and token, by their own words.
    fn made_by(&self) -> Asked<String> {
        let mut makers = String::new();
        // The session is needed to find out nothing more, and closed again.
        Module::open(&self.module, None, |context| -> Asked<Session> {
            let (slot, info) = self.find(context)?;
            makers = format!("{} {}", context.get_library_info()?.manufacturer_id(), info.manufacturer_id());
            Ok(context.open_ro_session(slot)?)
        })?;
        Ok(makers)
    }

    fn log_in(&self, context: &Pkcs11) -> Asked<Session> {
        let (slot, info) = self.find(context)?;
        let session = context.open_rw_session(slot)?;
        match &self.opening {
            Opening::Nss { .. } => {
                if !info.user_pin_initialized() {
                    // A database that was just made: without a password, as browsers make theirs.
                    session.login(UserType::So, Some(&empty()))?;
                    session.init_pin(&empty())?;
                    session.logout()?;
                    log_in_with(&session, Some(&empty()))?;
                } else if info.login_required() {
                    self.log_in_by_pin(&session, &info)?;
                } else {
                    log_in_with(&session, Some(&empty()))?;
                }
            }
            Opening::Tpm | Opening::Card(_) if info.login_required() => self.log_in_by_pin(&session, &info)?,
            // It asks nobody for a PIN, and makes no keys before it was given the empty one.
            Opening::Tpm => log_in_with(&session, Some(&empty()))?,
            Opening::Card(_) => {}
        }
        Ok(session)
    }

    fn find(&self, context: &Pkcs11) -> Asked<(Slot, TokenInfo)> {
        let mut found = Vec::new();
        for slot in context.get_slots_with_token()? {
            let info = context.get_token_info(slot)?;
            if info.label() == self.label {
                return Ok((slot, info));
            }
            found.push(info.label().to_owned());
        }
        Err(Fault::NoToken { token: self.label.clone(), found })
    }

    /// Logs in with what a person says, unless the last try would be at stake.
    fn log_in_by_pin(&self, session: &Session, info: &TokenInfo) -> Asked<()> {
        if info.user_pin_locked() {
            return Err(Fault::Closed("its PIN is locked"));
        }
        if info.user_pin_final_try() {
            return Err(Fault::Closed("one try of its PIN is left, and it is not for a program"));
        }
        let tries = if info.user_pin_count_low() { Tries::Fewer } else { Tries::Untouched };
        match &self.pin {
            None if info.protected_authentication_path() => log_in_with(session, None),
            None => Err(Fault::Closed("it wants a PIN, and nobody is asked for it")),
            Some(ask) => {
                let pin = ask(&PinRequest { token: &self.label, tries });
                let pin = pin.ok_or(Fault::Closed("nobody gave its PIN"))?;
                log_in_with(session, Some(&pin.as_auth()))
            }
        }
    }

    pub(super) fn protection(&self) -> ProtectionLevel {
        match self.opening {
            Opening::Tpm => ProtectionLevel::Hardware,
            Opening::Nss { .. } => ProtectionLevel::Os,
            Opening::Card(protection) => protection,
        }
    }

    pub(super) fn describe(&self) -> String {
        match &self.opening {
            Opening::Nss { folder } => format!("the NSS database {}", folder.display()),
            Opening::Tpm => format!("the token {:?} in the TPM", self.label),
            Opening::Card(_) => format!("the token {:?} of {}", self.label, self.module.display()),
        }
    }

    fn error(&self, fault: Fault) -> StoreError {
        let store = self.describe();
        match fault {
            Fault::Pin(_) | Fault::Closed(_) => StoreError::Locked { store, reason: fault.to_string() },
            fault if fault.is_away() => StoreError::Away { store, source: fault.into() },
            fault => StoreError::Failed { store, source: fault.into() },
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?} of {})", self.label, self.module.display())
    }
}

impl fmt::Debug for TpmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TpmConfig").field("module", &self.module).field("token", &self.token).finish_non_exhaustive()
    }
}

impl fmt::Debug for CardConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("CardConfig");
        out.field("module", &self.module).field("token", &self.token).field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn empty() -> AuthPin {
    AuthPin::new(String::new().into())
}

fn log_in_with(session: &Session, pin: Option<&AuthPin>) -> Asked<()> {
    match session.login(UserType::User, pin) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(error) => Err(pin::refusal(&error).map_or(Fault::Token(error), Fault::Pin)),
    }
}

/// What softoken wants to know, with the folder made if need be: for its owner alone.
fn nss_parameters(folder: &Path) -> Asked<CString> {
    let failed = |source| Fault::Folder { folder: folder.to_owned(), source };
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).map_err(failed)?;
    let not_text = || failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not UTF-8"));
    let name = folder.to_str().ok_or_else(not_text)?.replace('\\', "\\\\").replace('\'', "\\'");
    let text = format!("configdir='sql:{name}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=optimizeSpace");
    CString::new(text).map_err(|_| not_text())
}
