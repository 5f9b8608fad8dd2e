//! Passwords: Argon2id, at most two at once, with queues that say when they are full.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};

use crate::room::{Full, Room};

type Memory = Vec<Block>;

/// Verifies and hashes passwords without letting them starve everything else.
///
/// Argon2id with the parameters of RFC 9106's second choice as the `argon2` crate sets them (19 MiB, 2 passes, 1 lane).
/// An unknown ID costs the same as a known one. A clone is the same queue.
#[derive(Debug, Clone)]
pub struct Passwords {
    inner: Arc<Inner>,
    room: Room,
}

#[derive(Debug)]
struct Inner {
    /// Where strangers wait, who need no certificate to ask.
    enrolment: Room,
    /// Argon2's memory, at most [`Passwords::AT_ONCE`] times 19 MiB, used again and again: given back each time, it would
    /// stay with the allocator in pieces that the next password does not fit into.
    memory: Mutex<Vec<Memory>>,
    /// A hash of nothing anybody knows, for IDs that do not exist.
    decoy: String,
}

impl Passwords {
    /// How many passwords are checked at once.
    pub const AT_ONCE: usize = 2;
    /// How many may be checked or wait for it in one queue.
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
        // Its memory is given back: most processes sit idle after their start.
        let decoy = hash(salt, salt, &mut Memory::new())?;
        let room = Room::new(Self::AT_ONCE, Self::QUEUE);
        // One at once: however many strangers there are, a sign-in has at most one of them before it.
        let enrolment = room.behind(1, Self::QUEUE);
        Ok(Self { inner: Arc::new(Inner { enrolment, memory: Mutex::default(), decoy }), room })
    }

    /// The same with a queue of its own, for whoever needs no certificate to ask. However long that queue is, no sign-in
    /// waits for more than one of it.
    #[must_use]
    pub fn for_enrolment(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), room: self.inner.enrolment.clone() }
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
        self.run(move |memory| hash(password.as_bytes(), &salt, memory)).await?
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
        let equal = self.run(move |memory| verify(cut.as_bytes(), &hash, memory)).await?;
        Ok(equal && known && whole)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let inner = Arc::clone(&self.inner);
        let work = move || {
            let mut memory = inner.memory().pop().unwrap_or_default();
            let done = work(&mut memory);
            inner.memory().push(memory);
            done
        };
        self.room.run(work).await.map_err(|Full| PasswordError::Busy)
    }
}

impl Inner {
    fn memory(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(password: &[u8], salt: &[u8], memory: &mut Memory) -> Result<String, PasswordError> {
    let argon2 = Argon2::default();
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params()).map_err(|_| PasswordError::Hash)?,
        salt: Some(Salt::new(salt).map_err(|_| PasswordError::Hash)?),
        hash: Some(output(&argon2, password, salt, Params::DEFAULT_OUTPUT_LEN, memory).ok_or(PasswordError::Hash)?),
    };
    Ok(hash.to_string())
}

/// Compares in constant time, with the parameters that stand in the hash.
fn verify(password: &[u8], hash: &str, memory: &mut Memory) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let (Some(salt), Some(expected), Ok(params)) = (&hash.salt, &hash.hash, Params::try_from(&hash)) else {
        return false;
    };
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    hash.algorithm == Algorithm::Argon2id.ident()
        && output(&argon2, password, salt, expected.len(), memory).is_some_and(|output| output == *expected)
}

fn output(argon2: &Argon2<'_>, password: &[u8], salt: &[u8], length: usize, memory: &mut Memory) -> Option<Output> {
    memory.resize(argon2.params().block_count(), Block::new());
    let mut octets = [0; Output::MAX_LENGTH];
    let out = octets.get_mut(..length)?;
    argon2.hash_password_into_with_memory(password, salt, out, memory).ok()?;
    Output::new(out).ok()
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
    use argon2::password_hash::PasswordVerifier as _;

    use super::*;

    #[tokio::test]
    async fn right_wrong_and_unknown() {
        let passwords = Passwords::new(&[7; 16]).unwrap();
        let hash = passwords.hash("correct horse", [1; 16]).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        // The reference agrees on what stands in storage.
        assert!(Argon2::default().verify_password(b"correct horse", hash.as_str()).is_ok());
        assert_eq!(passwords.verify("correct horse", Some(&hash)).await, Ok(true));
        assert_eq!(passwords.verify("correct hors", Some(&hash)).await, Ok(false));
        assert_eq!(passwords.verify("correct horse", None).await, Ok(false));
        assert_eq!(passwords.hash("short", [1; 16]).await, Err(PasswordError::Length { chars: 5 }));
        let long = "長".repeat(200);
        assert_eq!(passwords.verify(&long, Some(&hash)).await, Ok(false));
    }

    #[tokio::test]
    async fn strangers_fill_their_own_queue_and_no_memory() {
        let passwords = Passwords::new(&[7; 16]).unwrap();
        let hash = passwords.hash("correct horse", [1; 16]).await.unwrap();
        let strangers: Vec<_> = (0..Passwords::QUEUE)
            .map(|_| {
                let queue = passwords.for_enrolment();
                tokio::spawn(async move { queue.verify("guess", None).await })
            })
            .collect();
        passwords.inner.enrolment.holds(Passwords::QUEUE).await;
        assert_eq!(passwords.for_enrolment().verify("guess", None).await, Err(PasswordError::Busy));
        assert_eq!(passwords.verify("correct horse", Some(&hash)).await, Ok(true), "a sign-in still gets in");
        for stranger in &strangers {
            stranger.abort();
        }
        for stranger in strangers {
            let _ = stranger.await;
        }
        // Those who were at it are not cut off by it, and their memory is not made twice.
        assert_eq!(passwords.verify("correct horse", Some(&hash)).await, Ok(true));
        assert!(passwords.inner.memory().len() <= Passwords::AT_ONCE);
    }
}
