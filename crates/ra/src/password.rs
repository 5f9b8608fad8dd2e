//! Passwords: Argon2id, at most two at once, with a queue that says when it is full.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

/// Verifies and hashes passwords without letting them starve everything else.
///
/// Argon2id with the parameters of RFC 9106's second choice as the `argon2` crate sets them (19 MiB, 2 passes, 1 lane).
/// An unknown ID costs the same as a known one.
#[derive(Debug, Clone)]
pub struct Passwords {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    running: Semaphore,
    waiting: AtomicUsize,
    /// A hash of nothing anybody knows, for IDs that do not exist.
    decoy: String,
}

impl Passwords {
    /// How many passwords are checked at once.
    pub const AT_ONCE: usize = 2;
    /// How many may wait for it.
    pub const QUEUE: usize = 64;
    /// The shortest password that can be set, in characters (NIST SP 800-63B, 5.1.1.2).
    pub const MIN_CHARS: usize = 8;
    /// The longest, in octets.
    pub const MAX_OCTETS: usize = 256;

    /// Makes the queue. `salt` is random; it only serves the decoy for unknown IDs.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Hash`] when Argon2 refuses.
    pub fn new(salt: &[u8; 16]) -> Result<Self, PasswordError> {
        let decoy = hash(salt, salt)?;
        let inner = Inner { running: Semaphore::new(Self::AT_ONCE), waiting: AtomicUsize::new(0), decoy };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Hashes a new password with a random salt, to a PHC string.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Length`] for a password too short or too long, [`PasswordError::Busy`] when the queue is full.
    pub async fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String, PasswordError> {
        let chars = password.chars().count();
        if chars < Self::MIN_CHARS || password.len() > Self::MAX_OCTETS {
            return Err(PasswordError::Length { chars });
        }
        let password = password.to_owned();
        self.run(move || hash(password.as_bytes(), &salt)).await?
    }

    /// Whether the password belongs to the hash. Without a hash it is compared with a decoy and is wrong.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Busy`] when the queue is full.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.inner.decoy).to_owned();
        // A longer text can be no password that was set; its length must not cost more either.
        let end =
            (0..=password.len().min(Self::MAX_OCTETS)).rev().find(|at| password.is_char_boundary(*at)).unwrap_or(0);
        let cut = password.get(..end).unwrap_or_default().to_owned();
        let whole = cut.len() == password.len();
        let equal = self.run(move || verify(cut.as_bytes(), &hash)).await?;
        Ok(equal && known && whole)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        if self.inner.waiting.fetch_add(1, Ordering::AcqRel) >= Self::QUEUE {
            self.inner.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(PasswordError::Busy);
        }
        let _waiting = Waiting(&self.inner.waiting);
        let _permit = self.inner.running.acquire().await.map_err(|_| PasswordError::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Busy)
    }
}

/// Leaves the queue also when the request is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn hash(password: &[u8], salt: &[u8]) -> Result<String, PasswordError> {
    let hash: PasswordHash =
        Argon2::default().hash_password_with_salt(password, salt).map_err(|_| PasswordError::Hash)?;
    Ok(hash.to_string())
}

fn verify(password: &[u8], hash: &str) -> bool {
    Argon2::default().verify_password(password, hash).is_ok()
}

/// Why a password could not be checked or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has 8 characters or more and 256 octets or fewer; this one has {chars} characters")]
    Length {
        /// Its length in characters.
        chars: usize,
    },
    /// Too many are waiting.
    #[error("too many passwords are being checked; try again in a few seconds")]
    Busy,
    /// Argon2 failed.
    #[error("the password could not be hashed")]
    Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn right_wrong_and_unknown() {
        let passwords = Passwords::new(&[7; 16]).unwrap();
        let hash = passwords.hash("correct horse", [1; 16]).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert_eq!(passwords.verify("correct horse", Some(&hash)).await, Ok(true));
        assert_eq!(passwords.verify("correct hors", Some(&hash)).await, Ok(false));
        assert_eq!(passwords.verify("correct horse", None).await, Ok(false));
        assert_eq!(passwords.hash("short", [1; 16]).await, Err(PasswordError::Length { chars: 5 }));
        let long = "長".repeat(200);
        assert_eq!(passwords.verify(&long, Some(&hash)).await, Ok(false));
    }
}
