//! A PKCS#11 module inside this process.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{Arc, LazyLock, Mutex, PoisonError, RwLock},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    session::Session,
};

/// Each module of this process, by its path. A module is one for the whole process: whoever finalizes it ends everybody's
/// sessions. So that is done while nobody else is inside, and everybody notices.
static MODULES: LazyLock<Mutex<HashMap<PathBuf, Arc<RwLock<Inside>>>>> = LazyLock::new(Mutex::default);

/// What became of a module in this process.
#[derive(Default)]
struct Inside {
    /// How often it was finalized.
    finalized: u64,
    /// What it was initialized with, while it is.
    parameters: Option<CString>,
}

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModuleError {
    #[error("the PKCS#11 module {} cannot be loaded", module.display())]
    Load { module: PathBuf, source: Error },
    /// It is in use with other parameters, and so for another place.
    #[error("the PKCS#11 module {} is in use for another place", module.display())]
    Occupied { module: PathBuf },
    /// It was finalized for another one of this process. It is opened anew.
    #[error("the PKCS#11 module was begun anew for another key")]
    Finalized,
}

/// An initialized module and a session of it. When it goes it finalizes the module, so that the next one begins with a fresh view
/// of its slots; unless another one has done so since it was initialized.
pub(crate) struct Module {
    context: Option<Pkcs11>,
    session: Option<Session>,
    inside: Arc<RwLock<Inside>>,
    /// How often it was finalized, when this one was initialized.
    at: u64,
}

impl Module {
    /// Initialized, with a session that `log_in` opens. Some modules are told by parameters where their tokens are.
    pub(crate) fn open<E: From<ModuleError>>(
        path: &Path,
        parameters: Option<&CStr>,
        log_in: impl FnOnce(&Pkcs11) -> Result<Session, E>,
    ) -> Result<Self, E> {
        let mut module = Self::initialized(path, parameters)?;
        let context = module.context.as_ref().ok_or(ModuleError::Finalized)?;
        let session = module.inside(|| log_in(context))?;
        module.session = Some(session);
        Ok(module)
    }

    fn initialized(path: &Path, parameters: Option<&CStr>) -> Result<Self, ModuleError> {
        let failed = |source| ModuleError::Load { module: path.to_owned(), source };
        let context = Pkcs11::new(path).map_err(failed)?;
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = Arc::clone(modules.entry(path.to_owned()).or_default());
        drop(modules);
        let mut alone = inside.write().unwrap_or_else(PoisonError::into_inner);
        match context.initialize(arguments(parameters)) {
            Ok(()) => alone.parameters = parameters.map(CStr::to_owned),
            // Somebody else in this process uses the module too.
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                if alone.parameters.as_deref() != parameters {
                    return Err(ModuleError::Occupied { module: path.to_owned() });
                }
            }
            Err(error) => return Err(failed(error)),
        }
        let at = alone.finalized;
        drop(alone);
        Ok(Self { context: Some(context), session: None, inside, at })
    }

    /// Asks something of the session, while nobody finalizes the module.
    pub(crate) fn ask<T, E: From<ModuleError>>(&self, ask: impl FnOnce(&Session) -> Result<T, E>) -> Result<T, E> {
        let session = self.session.as_ref().ok_or(ModuleError::Finalized)?;
        self.inside(|| ask(session))
    }

    fn inside<T, E: From<ModuleError>>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let inside = self.inside.read().unwrap_or_else(PoisonError::into_inner);
        if inside.finalized == self.at { call() } else { Err(ModuleError::Finalized.into()) }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut alone = self.inside.write().unwrap_or_else(PoisonError::into_inner);
        if alone.finalized != self.at {
            // Another session may have its number by now: it is not closed.
            std::mem::forget(self.session.take());
            return;
        }
        alone.finalized += 1;
        alone.parameters = None;
        drop(self.session.take());
        if let Some(Err(error)) = self.context.take().map(Pkcs11::finalize) {
            tracing::debug!(%error, "a PKCS#11 module did not finalize well");
        }
    }
}

fn arguments(parameters: Option<&CStr>) -> CInitializeArgs {
    let flags = CInitializeFlags::OS_LOCKING_OK;
    let Some(parameters) = parameters else { return CInitializeArgs::new(flags) };
    #[expect(unsafe_code, reason = "the one way to tell NSS's softoken where its database is")]
    // SAFETY: softoken reads the field where PKCS#11 has its reserved pointer as a C string, during C_Initialize alone and without
    // writing to it. The string is borrowed for longer than that by the only caller, which initializes at once.
    unsafe {
        CInitializeArgs::new_with_reserved(flags, NonNull::from(parameters).cast())
    }
}
