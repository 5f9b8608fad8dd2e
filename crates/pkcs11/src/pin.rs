//! What opens a token.

use std::fmt;

use cryptoki::{
    error::{Error, RvError},
    types::AuthPin,
};
use zeroize::Zeroizing;

/// A PIN, wiped when dropped and never shown.
#[derive(Clone)]
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN as it stands in its file; a line end at its end does not belong to it.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    pub(crate) fn as_auth(&self) -> AuthPin {
        AuthPin::new(self.0.as_str().into())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(***)")
    }
}

/// What a token says that did not take a PIN, or nothing when it is something else.
pub(crate) fn refusal(error: &Error) -> Option<String> {
    match error {
        Error::Pkcs11(
            said @ (RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinExpired
            | RvError::PinLocked),
            _,
        ) => Some(said.to_string()),
        _ => None,
    }
}
