//! Work that may take long, off the runtime's threads: so much at once, so much waiting for it, and no more.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// A bounded waiting room in front of places to work at.
#[derive(Debug)]
pub(super) struct Room {
    /// One for everybody inside, waiting or working.
    inside: Arc<Semaphore>,
    /// One for everybody working.
    places: Arc<Semaphore>,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Room {
    /// A room for `most`, of whom so many work at once.
    pub(super) fn new(at_once: usize, most: usize) -> Self {
        Self { inside: Arc::new(Semaphore::new(most)), places: Arc::new(Semaphore::new(at_once)) }
    }

    /// Waits for a place and does the work on a thread for blocking work. Who gives up while waiting leaves; work that
    /// has begun keeps its place to its end, whoever still waits for it.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Full> {
        let here = Arc::clone(&self.inside).try_acquire_owned().map_err(|_| Full)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Full)?;
        let work = move || {
            let done = work();
            drop((place, here));
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Full)
    }
}
