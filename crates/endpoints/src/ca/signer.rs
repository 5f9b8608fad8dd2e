//! One key for several [`Ca`](koshin_issuance::Ca)s.

use std::{fmt, sync::Arc};

use koshin_issuance::{SignatureAlgorithm, Signer, SignerError};

/// A signer that several CAs share: one for each profile, or one that issues and one that signs revocation lists.
#[derive(Clone)]
pub struct SharedSigner(Arc<dyn Signer>);

impl SharedSigner {
    /// Shares this one.
    pub fn new(signer: Arc<dyn Signer>) -> Self {
        Self(signer)
    }
}

impl Signer for SharedSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.0.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(message)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign_digest(digest)
    }
}

impl fmt::Debug for SharedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSigner").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}
