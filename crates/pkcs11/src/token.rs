//! A key in a token: how it is named, found, made and used by whoever owns the session.

use std::{path::PathBuf, time::Duration};

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
};
use koshin_issuance::{Curve, SignatureAlgorithm, ecdsa_signature, rsa_digest_info, rsa_spki};

use crate::{
    module::{Module, ModuleError},
    pin::{self, Pin},
};

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
    /// The token has not answered for so long.
    #[error("the token has not answered for {} s", patience.as_secs_f32())]
    Silent {
        /// How long it was waited for.
        patience: Duration,
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
    /// The module is in use for the keys of a browser's store.
    #[error("the PKCS#11 module {} is in use for another place", module.display())]
    Occupied {
        /// Its path.
        module: PathBuf,
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

impl From<ModuleError> for TokenError {
    fn from(error: ModuleError) -> Self {
        match error {
            ModuleError::Load { module, source } => Self::Module { module, source },
            ModuleError::Occupied { module } => Self::Occupied { module },
            ModuleError::Finalized => Self::Finalized,
        }
    }
}

/// An open session that is logged in, with the key found.
pub(crate) struct Line {
    module: Module,
    key: ObjectHandle,
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) spki: Vec<u8>,
}

impl Line {
    pub(crate) fn open(config: &TokenConfig) -> Result<Self, TokenError> {
        let module = Module::open(&config.module, None, |context| log_in(context, config, Access::Read))?;
        let key = module.ask(|session| find(session, config, ObjectClass::PRIVATE_KEY))?;
        let (algorithm, spki) = module.ask(|session| public_key(session, config))?;
        Ok(Self { module, key, algorithm, spki })
    }

    /// Makes a key pair that never leaves the token.
    pub(crate) fn generate(config: &TokenConfig, kind: KeyType) -> Result<(), TokenError> {
        let module = Module::open(&config.module, None, |context| log_in(context, config, Access::Write))?;
        module.ask(|session| generate(session, config, kind))
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
        let pin = config.pin.as_ref().map(Pin::as_auth);
        match session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(pin::refusal(&error).map_or(error.into(), |detail| TokenError::Pin { detail })),
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
