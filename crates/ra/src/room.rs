//! Heavy work off the runtime's threads: so much at once, so much waiting for it, and no more.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

/// A bounded waiting room in front of places to work at. Cheap to clone; every clone is the same room.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// What has to be had before the work begins, in this order.
    places: Vec<Arc<Semaphore>>,
    inside: Arc<AtomicUsize>,
    most: usize,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Room {
    /// A room for `most`, of whom so many work at once.
    pub(crate) fn new(at_once: usize, most: usize) -> Self {
        Self { places: vec![Arc::new(Semaphore::new(at_once))], inside: Arc::default(), most }
    }

    /// Another room in front of the same places. Only `at_once` of it work or wait for a place at the same time, so
    /// whoever waits in the other room has at most as many of this one ahead.
    pub(crate) fn behind(&self, at_once: usize, most: usize) -> Self {
        let own = Arc::new(Semaphore::new(at_once));
        Self { places: std::iter::once(own).chain(self.places.iter().cloned()).collect(), inside: Arc::default(), most }
    }

    /// Waits for a place and does the work on a thread for blocking work. Who gives up while waiting leaves; work that
    /// has begun keeps its place to its end, whoever still waits for it.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Full> {
        let here = Here::enter(self)?;
        let mut permits = Vec::with_capacity(self.places.len());
        for place in &self.places {
            permits.push(Arc::clone(place).acquire_owned().await.map_err(|_| Full)?);
        }
        let work = move || {
            let done = work();
            drop((permits, here));
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Full)
    }

    /// Waits until so many are inside.
    #[cfg(test)]
    pub(crate) async fn holds(&self, count: usize) {
        while self.inside.load(Ordering::Acquire) != count {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

/// One of those inside.
struct Here(Arc<AtomicUsize>);

impl Here {
    fn enter(room: &Room) -> Result<Self, Full> {
        let here = Self(Arc::clone(&room.inside));
        if here.0.fetch_add(1, Ordering::AcqRel) < room.most { Ok(here) } else { Err(Full) }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    /// Work that says when it has begun and goes on until it is let go.
    struct Held {
        begun: mpsc::Receiver<()>,
        go: mpsc::Sender<()>,
    }

    fn held() -> (Held, impl FnOnce() + Send + 'static) {
        let (say, begun) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let work = move || {
            say.send(()).unwrap();
            wait.recv().unwrap();
        };
        (Held { begun, go }, work)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_keeps_its_place_when_nobody_waits_for_it_any_more() {
        let room = Room::new(1, 2);
        let (first, work) = held();
        let given_up = tokio::spawn({
            let room = room.clone();
            async move { room.run(work).await }
        });
        first.begun.recv().unwrap();
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());

        let order = Arc::new(Mutex::new(Vec::new()));
        let second = tokio::spawn({
            let (room, order) = (room.clone(), Arc::clone(&order));
            async move { room.run(move || order.lock().unwrap().push("second")).await }
        });
        room.holds(2).await;
        assert_eq!(room.run(|| ()).await, Err(Full), "who gave up is inside as long as the work goes on");
        order.lock().unwrap().push("first");
        first.go.send(()).unwrap();
        assert_eq!(second.await.unwrap(), Ok(()));
        assert_eq!(*order.lock().unwrap(), ["first", "second"]);
        room.holds(0).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn one_room_does_not_fill_the_other() {
        let front = Room::new(2, 2);
        let back = front.behind(1, 3);
        let (holder, work) = held();
        let mut waiting = vec![tokio::spawn({
            let back = back.clone();
            async move { back.run(work).await }
        })];
        for _ in 0..2 {
            let back = back.clone();
            waiting.push(tokio::spawn(async move { back.run(|| ()).await }));
        }
        holder.begun.recv().unwrap();
        back.holds(3).await;
        assert_eq!(back.run(|| ()).await, Err(Full));
        assert_eq!(front.run(|| "at once").await, Ok("at once"), "the one place of the other room is not both");
        holder.go.send(()).unwrap();
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
    }
}
