//! A key in a token: how it is named, found, made and used by whoever owns the session.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError, RwLock},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use koshin_issuance::{Curve, SignatureAlgorithm, ecdsa_signature, rsa_digest_info, rsa_spki};
use zeroize::Zeroizing;

/// Where a key is: module, token, label, and what opens the token.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// The token's label, as `pkcs11-tool -L` shows it.
    pub token: String,
    /// The label of the key pair in it (`CKA_LABEL`).
    pub key: String,
    /// The user PIN; `None` for a token that has a PIN pad of its own, or needs none.
    pub pin: Option<Pin>,
}

/// A PIN, wiped when dropped and never shown.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN as it stands in its file; a line end at its end does not belong to it.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(***)")
    }
}

/// The kinds of key pairs that are made in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// P-256 or P-384.
    Curve(Curve),
    /// RSA with the exponent 65537.
    Rsa {
        /// Bits of the modulus: 2048 to 8192.
        bits: u16,
    },
}

/// Why a token did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The module cannot be loaded.
    #[error("the PKCS#11 module {} cannot be loaded", module.display())]
    Module {
        /// Its path.
        module: PathBuf,
        /// What the system said.
        source: Error,
    },
    /// No slot holds a token of this label.
    #[error("no slot holds a token labelled {token:?}; there are {found:?}")]
    NoToken {
        /// The label.
        token: String,
        /// The labels there are.
        found: Vec<String>,
    },
    /// The token did not take the PIN, or does not let anybody try. It is not tried again.
    #[error("the token refuses the PIN ({detail}); it is not tried again before a restart")]
    Pin {
        /// What the token said.
        detail: String,
    },
    /// Another number of key pairs than one.
    #[error("the token holds {found} key pairs labelled {key:?} and has to hold one")]
    Keys {
        /// The label.
        key: String,
        /// How many there are.
        found: usize,
    },
    /// The label is taken.
    #[error("the token holds a key labelled {key:?} already")]
    Taken {
        /// The label.
        key: String,
    },
    /// Neither P-256, P-384 nor RSA of 2048 bits or more.
    #[error("the key {key:?} is neither P-256 nor P-384 nor RSA")]
    KeyType {
        /// The label.
        key: String,
    },
    /// A token of the same label holds another key under the same label.
    #[error("the key {key:?} in the token is not the one the CA was started with; put the right token back")]
    Swapped {
        /// The label.
        key: String,
    },
    /// The module was finalized for another key of this process. It is opened anew.
    #[error("the PKCS#11 module was begun anew for another key")]
    Finalized,
    /// The token answered with an error.
    #[error("the token answered with an error")]
    Token(#[from] Error),
}

impl TokenError {
    /// Whether it is the PIN, so that trying again would cost one of the token's tries.
    pub(crate) const fn is_pin(&self) -> bool {
        matches!(self, Self::Pin { .. })
    }
}

/// An open session that is logged in, with the key found.
pub(crate) struct Line {
    module: Module,
    key: ObjectHandle,
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) spki: Vec<u8>,
}

/// How often each module of this process was finalized, by its path. A module is one for the whole process: whoever finalizes it
/// ends everybody's sessions. So that is done while nobody else is inside, and everybody notices.
static MODULES: LazyLock<Mutex<HashMap<PathBuf, Arc<RwLock<u64>>>>> = LazyLock::new(Mutex::default);

/// An initialized module and a session of it. When it goes it finalizes the module, so that the next one begins with a fresh view
/// of its slots; unless another one has done so since it was initialized.
struct Module {
    context: Option<Pkcs11>,
    session: Option<Session>,
    finalized: Arc<RwLock<u64>>,
    /// How often it was, when this one was initialized.
    at: u64,
}

impl Module {
    fn initialized(config: &TokenConfig) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Module { module: config.module.clone(), source };
        let context = Pkcs11::new(&config.module).map_err(failed)?;
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        let finalized = Arc::clone(modules.entry(config.module.clone()).or_default());
        drop(modules);
        let inside = finalized.write().unwrap_or_else(PoisonError::into_inner);
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Somebody else in this process uses the module too.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed(error)),
        }
        let at = *inside;
        drop(inside);
        Ok(Self { context: Some(context), session: None, finalized, at })
    }

    /// Initialized, and logged in.
    fn open(config: &TokenConfig, access: Access) -> Result<Self, TokenError> {
        let mut module = Self::initialized(config)?;
        let context = module.context.as_ref().ok_or(TokenError::Finalized)?;
        let session = module.inside(|| log_in(context, config, access))?;
        module.session = Some(session);
        Ok(module)
    }

    /// Asks something of the session, while nobody finalizes the module.
    fn ask<T>(&self, ask: impl FnOnce(&Session) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let session = self.session.as_ref().ok_or(TokenError::Finalized)?;
        self.inside(|| ask(session))
    }

    fn inside<T>(&self, call: impl FnOnce() -> Result<T, TokenError>) -> Result<T, TokenError> {
        let inside = self.finalized.read().unwrap_or_else(PoisonError::into_inner);
        if *inside == self.at { call() } else { Err(TokenError::Finalized) }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut alone = self.finalized.write().unwrap_or_else(PoisonError::into_inner);
        if *alone != self.at {
            // Another session may have its number by now: it is not closed.
            std::mem::forget(self.session.take());
            return;
        }
        *alone += 1;
        drop(self.session.take());
        if let Some(Err(error)) = self.context.take().map(Pkcs11::finalize) {
            tracing::debug!(%error, "a PKCS#11 module did not finalize well");
        }
    }
}

impl Line {
    pub(crate) fn open(config: &TokenConfig) -> Result<Self, TokenError> {
        let module = Module::open(config, Access::Read)?;
        let key = module.ask(|session| find(session, config, ObjectClass::PRIVATE_KEY))?;
        let (algorithm, spki) = module.ask(|session| public_key(session, config))?;
        Ok(Self { module, key, algorithm, spki })
    }

    /// Makes a key pair that never leaves the token.
    pub(crate) fn generate(config: &TokenConfig, kind: KeyType) -> Result<(), TokenError> {
        Module::open(config, Access::Write)?.ask(|session| generate(session, config, kind))
    }

    /// Signs a digest, in the form in which certificates carry signatures.
    pub(crate) fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.module.ask(|session| match self.algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                Ok(session.sign(&Mechanism::RsaPkcs, self.key, &rsa_digest_info(digest))?)
            }
            _ => Ok(ecdsa_signature(&session.sign(&Mechanism::Ecdsa, self.key, digest)?)),
        })
    }
}

fn generate(session: &Session, config: &TokenConfig, kind: KeyType) -> Result<(), TokenError> {
    if !session.find_objects(&[Attribute::Label(config.key.clone().into_bytes())])?.is_empty() {
        return Err(TokenError::Taken { key: config.key.clone() });
    }
    let identifier = session.generate_random_vec(20)?;
    let named = |mut attributes: Vec<Attribute>| {
        let label = Attribute::Label(config.key.clone().into_bytes());
        attributes.extend([Attribute::Token(true), label, Attribute::Id(identifier.clone())]);
        attributes
    };
    let mut public = vec![Attribute::Verify(true)];
    let mechanism = match kind {
        KeyType::Curve(curve) => {
            public.push(Attribute::EcParams(curve.parameters()));
            Mechanism::EccKeyPairGen
        }
        KeyType::Rsa { bits } => {
            public.push(Attribute::ModulusBits(u64::from(bits).into()));
            public.push(Attribute::PublicExponent(vec![1, 0, 1]));
            Mechanism::RsaPkcsKeyPairGen
        }
    };
    let private = [Attribute::Sign(true), Attribute::Private(true), Attribute::Sensitive(true)];
    let private = named([&private[..], &[Attribute::Extractable(false)]].concat());
    session.generate_key_pair(&mechanism, &named(public), &private)?;
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn log_in(context: &Pkcs11, config: &TokenConfig, access: Access) -> Result<Session, TokenError> {
    let mut found = Vec::new();
    let mut slot = None;
    for candidate in context.get_slots_with_initialized_token()? {
        let info = context.get_token_info(candidate)?;
        if info.label() == config.token {
            slot = Some((candidate, info));
        } else {
            found.push(info.label().to_owned());
        }
    }
    let (slot, info) = slot.ok_or_else(|| TokenError::NoToken { token: config.token.clone(), found })?;
    let session = match access {
        Access::Read => context.open_ro_session(slot)?,
        Access::Write => context.open_rw_session(slot)?,
    };
    if info.login_required() {
        for (is, detail) in [
            (info.user_pin_locked(), "it is locked"),
            (info.user_pin_final_try(), "one try is left, and it is not for a program"),
        ] {
            if is {
                return Err(TokenError::Pin { detail: detail.to_owned() });
            }
        }
        let pin = config.pin.as_ref().map(|pin| AuthPin::new(pin.0.as_str().into()));
        match session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(
                error @ (RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked),
                _,
            )) => return Err(TokenError::Pin { detail: error.to_string() }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(session)
}

fn find(session: &Session, config: &TokenConfig, class: ObjectClass) -> Result<ObjectHandle, TokenError> {
    let label = Attribute::Label(config.key.clone().into_bytes());
    match session.find_objects(&[Attribute::Class(class), label])?.as_slice() {
        [key] => Ok(*key),
        keys => Err(TokenError::Keys { key: config.key.clone(), found: keys.len() }),
    }
}

fn public_key(session: &Session, config: &TokenConfig) -> Result<(SignatureAlgorithm, Vec<u8>), TokenError> {
    let key = find(session, config, ObjectClass::PUBLIC_KEY)?;
    let unusable = || TokenError::KeyType { key: config.key.clone() };
    let read = |kind: AttributeType| session.get_attributes(key, &[kind]).map(|found| found.into_iter().next());
    match read(AttributeType::KeyType)? {
        Some(Attribute::KeyType(TokenKeyType::EC)) => {
            let (Some(Attribute::EcParams(parameters)), Some(Attribute::EcPoint(point))) =
                (read(AttributeType::EcParams)?, read(AttributeType::EcPoint)?)
            else {
                return Err(unusable());
            };
            let curve = [Curve::P256, Curve::P384].into_iter().find(|curve| curve.parameters() == parameters);
            let curve = curve.ok_or_else(unusable)?;
            Ok((curve.algorithm(), curve.spki(unwrapped(&point))))
        }
        Some(Attribute::KeyType(TokenKeyType::RSA)) => {
            let (Some(Attribute::Modulus(modulus)), Some(Attribute::PublicExponent(exponent))) =
                (read(AttributeType::Modulus)?, read(AttributeType::PublicExponent)?)
            else {
                return Err(unusable());
            };
            Ok((SignatureAlgorithm::RsaPkcs1Sha256, rsa_spki(&modulus, &exponent)))
        }
        _ => Err(unusable()),
    }
}

/// `CKA_EC_POINT` is a point in an OCTET STRING; some tokens leave that out.
fn unwrapped(point: &[u8]) -> &[u8] {
    match point {
        [4, length, inside @ ..] if usize::from(*length) == inside.len() && inside.first() == Some(&4) => inside,
        _ => point,
    }
}
