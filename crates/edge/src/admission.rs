//! How many connections one listener, and one peer, may have open.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// The longest pause after an error of `accept`.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The doorkeeper of one listener.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    peers: Arc<Peers>,
    pause: Duration,
}

impl Admission {
    pub(crate) fn new(max_connections: usize, max_connections_per_peer: usize) -> Self {
        let places = max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let peers = Peers { max: max_connections_per_peer.max(1), open: Mutex::default() };
        Self { places: Arc::new(Semaphore::new(places)), peers: Arc::new(peers), pause: Duration::ZERO }
    }

    /// The next connection that may stay. Waits for a free place before it accepts. Safe to cancel.
    pub(crate) async fn accept(&mut self, listener: &TcpListener) -> (TcpStream, SocketAddr, Admitted) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return std::future::pending().await };
            match listener.accept().await {
                Ok((stream, address)) => {
                    self.pause = Duration::ZERO;
                    let Some(peer) = self.peers.enter(address.ip()) else {
                        tracing::debug!(peer = %address, "too many connections of one peer: closed");
                        continue;
                    };
                    return (stream, address, Admitted { _place: place, _peer: peer });
                }
                // The peer went away between the system's queue and us.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Most often no file descriptor is left: wait until a connection has ended.
                    self.pause = (self.pause * 2).clamp(Duration::from_millis(10), MAX_PAUSE);
                    tracing::warn!(%error, pause_ms = self.pause.as_millis(), "cannot accept a connection");
                    tokio::time::sleep(self.pause).await;
                }
            }
        }
    }
}

/// The right to be connected, for as long as it lives.
pub(crate) struct Admitted {
    _place: OwnedSemaphorePermit,
    _peer: PeerPlace,
}

struct Peers {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Peers {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<PeerPlace> {
        let network = network(address);
        let mut open = self.lock();
        let count = open.entry(network).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(PeerPlace { peers: Arc::clone(self), network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PeerPlace {
    peers: Arc<Peers>,
    network: IpAddr,
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let mut open = self.peers.lock();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// What counts as one peer: an IPv4 address, or the /64 that one IPv6 customer owns in full.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_address_or_a_64() {
        let peers = Arc::new(Peers { max: 1, open: Mutex::default() });
        let enter = |text: &str| peers.enter(text.parse().unwrap());
        let first = enter("192.0.2.1");
        assert!(first.is_some());
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("::ffff:192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        let v6 = enter("2001:db8:0:1::1");
        assert!(v6.is_some());
        assert!(enter("2001:db8:0:1:ffff::2").is_none());
        assert!(enter("2001:db8:0:2::1").is_some());
        drop((first, v6));
        assert!(peers.lock().is_empty());
        assert!(enter("192.0.2.1").is_some());
    }
}
