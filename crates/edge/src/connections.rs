//! The register of open connections.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use koshin_types::Fingerprint;
use tokio::sync::Notify;

/// The open connections of one or more listeners, and a way to end those of one certificate.
///
/// Clones are the same register.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Register>>);

impl Connections {
    /// Ends every open connection of this certificate and says how many they are.
    ///
    /// From this call on no further request is taken on them. A request already with its handler may still be answered
    /// within [`CLOSE_GRACE`](crate::CLOSE_GRACE); then the connection is cut. A connection whose handshake is not over
    /// yet is not among them: its requests meet the ledger like all others.
    pub fn close(&self, fingerprint: &Fingerprint) -> usize {
        let register = self.lock();
        let Some(connections) = register.by_certificate.get(fingerprint) else { return 0 };
        for ending in connections.values() {
            ending.request();
        }
        connections.len()
    }

    /// How many connections are open, with and without a certificate, handshakes included.
    pub fn len(&self) -> usize {
        self.lock().open
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many connections with this certificate are open, ending ones included.
    pub fn len_of(&self, fingerprint: &Fingerprint) -> usize {
        self.lock().by_certificate.get(fingerprint).map_or(0, HashMap::len)
    }

    /// Registers one connection for as long as the entry lives.
    pub(crate) fn enter(&self) -> Entry {
        let mut register = self.lock();
        register.open += 1;
        register.next = register.next.wrapping_add(1);
        Entry { connections: self.clone(), id: register.next, fingerprint: None, ending: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("len", &self.len()).finish()
    }
}

#[derive(Default)]
struct Register {
    open: usize,
    next: u64,
    by_certificate: HashMap<Fingerprint, HashMap<u64, Arc<Ending>>>,
}

/// The place of one connection in the register. Dropping it takes the connection out.
pub(crate) struct Entry {
    connections: Connections,
    id: u64,
    fingerprint: Option<Fingerprint>,
    ending: Arc<Ending>,
}

impl Entry {
    /// Files the connection under its certificate, once the handshake has shown it.
    pub(crate) fn identify(&mut self, fingerprint: Fingerprint) {
        let mut register = self.connections.lock();
        register.by_certificate.entry(fingerprint).or_default().insert(self.id, Arc::clone(&self.ending));
        self.fingerprint = Some(fingerprint);
    }

    /// The sign that this connection is to end.
    pub(crate) fn ending(&self) -> Arc<Ending> {
        Arc::clone(&self.ending)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut register = self.connections.lock();
        register.open -= 1;
        let Some(fingerprint) = self.fingerprint else { return };
        if let Some(connections) = register.by_certificate.get_mut(&fingerprint) {
            connections.remove(&self.id);
            if connections.is_empty() {
                register.by_certificate.remove(&fingerprint);
            }
        }
    }
}

/// The sign that one connection is to end. Set once, never taken back.
#[derive(Default)]
pub(crate) struct Ending {
    requested: AtomicBool,
    wake: Notify,
}

impl Ending {
    fn request(&self) {
        self.requested.store(true, Ordering::Release);
        // One task waits at most; the permit is kept for it if it does not wait at this moment.
        self.wake.notify_one();
    }

    /// Whether the connection is to end.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Waits until the connection is to end.
    pub(crate) async fn requested(&self) {
        while !self.is_requested() {
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_and_go() {
        let (a, b) = (Fingerprint::new([1; 32]), Fingerprint::new([2; 32]));
        let connections = Connections::default();
        let anonymous = connections.enter();
        let mut first = connections.enter();
        first.identify(a);
        let mut second = connections.enter();
        second.identify(a);
        let mut other = connections.enter();
        other.identify(b);
        assert_eq!((connections.len(), connections.len_of(&a), connections.len_of(&b)), (4, 2, 1));

        assert_eq!(connections.close(&a), 2);
        assert!(first.ending().is_requested() && second.ending().is_requested());
        assert!(!other.ending().is_requested() && !anonymous.ending().is_requested());

        drop(first);
        assert_eq!((connections.len(), connections.len_of(&a)), (3, 1));
        drop((second, other, anonymous));
        assert!(connections.is_empty());
        assert_eq!(connections.close(&a), 0);
        assert!(connections.lock().by_certificate.is_empty());
    }
}
