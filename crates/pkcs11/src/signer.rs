//! The thread that owns a token, and the handle that a CA signs with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use koshin_issuance::{SignatureAlgorithm, Signer, SignerError};
use ring::digest;

use crate::token::{KeyType, Line, TokenConfig, TokenError};

/// How many signatures may wait for the token.
const QUEUE: usize = 64;
/// How long a token that failed is left alone before it is opened again.
const REST: Duration = Duration::from_secs(1);

/// A CA's key in a token.
///
/// Calls from several threads queue up, at most 64; each waits for the token, but not longer than the patience given. A
/// token that does not answer at all costs each caller its patience once: until it has answered, further calls fail
/// at once.
pub struct TokenSigner {
    jobs: SyncSender<Job>,
    overdue: Arc<Overdue>,
    patience: Duration,
    algorithm: SignatureAlgorithm,
    spki: Vec<u8>,
}

struct Job {
    digest: Vec<u8>,
    turn: Arc<Turn>,
    answer: SyncSender<Result<Vec<u8>, SignerError>>,
}

/// How many calls the token still works on, or has before it, although nobody waits for them any more.
#[derive(Default)]
struct Overdue(AtomicUsize);

/// Whether caller or token was the first to be done with a call.
#[derive(Default)]
struct Turn(AtomicBool);

impl Turn {
    fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Overdue {
    fn is_any(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// The caller has lost patience. Answers whether the token has not: then the call counts until it has.
    fn gave_up(&self, turn: &Turn) -> bool {
        let first = !turn.0.swap(true, Ordering::AcqRel);
        if first {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
        first
    }

    /// The token is done. For a moment there may be one fewer than none, until the caller has counted its own.
    fn answered(&self, turn: &Turn) {
        if turn.0.swap(true, Ordering::AcqRel) {
            self.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl TokenSigner {
    /// Opens the token, finds the key and starts the thread that owns both. The thread ends with the signer. A token that does
    /// not answer is waited for as long as for a signature.
    ///
    /// # Errors
    ///
    /// [`TokenError`] naming what is wrong. A refused PIN was tried once.
    pub fn open(config: TokenConfig, patience: Duration) -> Result<Self, TokenError> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let (opened, first) = mpsc::sync_channel(1);
        let overdue = Arc::new(Overdue::default());
        let owner = Arc::clone(&overdue);
        // The session is opened on the thread that will use it: not every module likes to be handed over.
        let spawned = thread::Builder::new().name("koshin-token".to_owned()).spawn(move || {
            let line = Line::open(&config).map(|line| (line.algorithm, line.spki.clone(), line));
            match line {
                Ok((algorithm, spki, line)) => {
                    let known = spki.clone();
                    if opened.send(Ok((algorithm, spki))).is_ok() {
                        Owner { config, known, line: Some(line), refused: None, rest_until: None }.run(&queue, &owner);
                    }
                }
                // A caller that is gone needs no answer.
                Err(error) => drop(opened.send(Err(error))),
            }
        });
        let no_thread = || TokenError::Token(cryptoki::error::Error::NotSupported);
        spawned.map_err(|_| no_thread())?;
        let (algorithm, spki) = first.recv_timeout(patience).map_err(|error| match error {
            // The thread stays with the token as long as that keeps it, and ends then: nobody takes what it has opened.
            RecvTimeoutError::Timeout => TokenError::Silent { patience },
            RecvTimeoutError::Disconnected => no_thread(),
        })??;
        Ok(Self { jobs, overdue, patience, algorithm, spki })
    }

    /// A key that is known already, by its certificate: the token is opened with the first signature, so that a CA starts
    /// while its token is away. Another key under the label is refused as a swapped one.
    ///
    /// # Errors
    ///
    /// [`TokenError::KeyType`] when nothing here signs with such a key.
    pub fn of_key(config: TokenConfig, patience: Duration, spki: &[u8]) -> Result<Self, TokenError> {
        let unusable = || TokenError::KeyType { key: config.key.clone() };
        let algorithm = SignatureAlgorithm::of_key(spki).ok_or_else(unusable)?;
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let overdue = Arc::new(Overdue::default());
        let (owner, known) = (Arc::clone(&overdue), spki.to_vec());
        let spawned = thread::Builder::new().name("koshin-token".to_owned()).spawn(move || {
            Owner { config, known, line: None, refused: None, rest_until: None }.run(&queue, &owner);
        });
        spawned.map_err(|_| TokenError::Token(cryptoki::error::Error::NotSupported))?;
        Ok(Self { jobs, overdue, patience, algorithm, spki: spki.to_vec() })
    }

    /// Makes a key pair in the token, under the label of the configuration. It can never leave the token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Taken`] when the label is in use, else what the token says.
    pub fn generate(config: &TokenConfig, kind: KeyType) -> Result<(), TokenError> {
        Line::generate(config, kind)
    }
}

impl Signer for TokenSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    /// Hashes here and has the token sign the digest: few tokens hash by themselves for ECDSA, and none does it faster.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.sign_digest(digest::digest(self.algorithm.hash(), message).as_ref())
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let (expected, found) = (self.algorithm.hash().output_len(), digest.len());
        if expected != found {
            return Err(SignerError::Refused { detail: format!("a digest has {expected} octets, not {found}") });
        }
        if self.overdue.is_any() {
            return Err(unavailable("it has not answered the last call yet"));
        }
        let (answer, signature) = mpsc::sync_channel(1);
        let turn = Arc::new(Turn::default());
        self.jobs.try_send(Job { digest: digest.to_vec(), turn: Arc::clone(&turn), answer }).map_err(|error| {
            match error {
                TrySendError::Full(_) => unavailable("too many signatures wait for it"),
                TrySendError::Disconnected(_) => unavailable("its thread has ended"),
            }
        })?;
        let ended = || Err(unavailable("its thread has ended"));
        match signature.recv_timeout(self.patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => ended(),
            Err(RecvTimeoutError::Timeout) if self.overdue.gave_up(&turn) => {
                Err(unavailable(&format!("it has not answered for {} s", self.patience.as_secs_f32())))
            }
            // In the last moment: the answer is here, or on its way out of the thread.
            Err(RecvTimeoutError::Timeout) => signature.recv().unwrap_or_else(|_| ended()),
        }
    }
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSigner").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// What the thread knows.
struct Owner {
    config: TokenConfig,
    /// The public key the CA was put together with. Another one under the same label is a swapped token.
    known: Vec<u8>,
    line: Option<Line>,
    /// Why no PIN is tried any more.
    refused: Option<SignerError>,
    /// A token that failed is not opened again before. By a stopwatch: nothing it says is stored or signed.
    rest_until: Option<Instant>,
}

impl Owner {
    fn run(mut self, queue: &Receiver<Job>, overdue: &Overdue) {
        while let Ok(Job { digest, turn, answer }) = queue.recv() {
            // Those who lost patience behind a slow call are not worth the token's time.
            let signed = if turn.is_over() { Err(unavailable("nobody waits")) } else { self.sign(&digest) };
            overdue.answered(&turn);
            // Whoever lost patience gets no answer; a signature nobody stores is worth nothing.
            let _: Result<(), _> = answer.try_send(signed);
        }
    }

    /// Signs; a session that was lost meanwhile is opened anew once, so that its loss is nobody's to notice.
    fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        if let Some(line) = &self.line {
            match line.sign_digest(digest) {
                Ok(signature) => return Ok(signature),
                Err(error) => tracing::warn!(error = %chain(&error), "the token is opened anew"),
            }
            // Everything goes: whatever broke, a module without memory of it is the one way that always helps.
            self.line = None;
        }
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return Err(unavailable("it failed a moment ago"));
        }
        match self.reopened().and_then(|line| line.sign_digest(digest).map(|signature| (line, signature))) {
            Ok((line, signature)) => {
                self.line = Some(line);
                self.rest_until = None;
                Ok(signature)
            }
            Err(error) if error.is_pin() => {
                let refused = SignerError::Refused { detail: chain(&error) };
                tracing::error!(%error, "the token is left alone until a restart");
                self.refused = Some(refused.clone());
                Err(refused)
            }
            Err(error) => {
                self.rest_until = Some(Instant::now() + REST);
                Err(unavailable(&chain(&error)))
            }
        }
    }

    fn reopened(&self) -> Result<Line, TokenError> {
        let line = Line::open(&self.config)?;
        if line.spki == self.known { Ok(line) } else { Err(TokenError::Swapped { key: self.config.key.clone() }) }
    }
}

fn unavailable(detail: &str) -> SignerError {
    SignerError::Unavailable { detail: detail.to_owned() }
}

/// An error with its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_the_last_moment_leaves_nothing_overdue() {
        let overdue = Overdue::default();
        let turn = Turn::default();
        overdue.answered(&turn);
        assert!(!overdue.gave_up(&turn), "the answer is there");
        assert!(!overdue.is_any());

        let (turn, next) = (Turn::default(), Turn::default());
        assert!(overdue.gave_up(&turn) && overdue.gave_up(&next));
        overdue.answered(&turn);
        assert!(overdue.is_any(), "the next one is still with the token");
        overdue.answered(&next);
        assert!(!overdue.is_any());
    }

    #[test]
    fn whoever_is_first_the_count_ends_at_none() {
        let overdue = Overdue::default();
        for _ in 0..10_000 {
            let turn = Turn::default();
            thread::scope(|scope| {
                scope.spawn(|| overdue.answered(&turn));
                overdue.gave_up(&turn);
            });
            assert!(!overdue.is_any());
        }
    }
}
