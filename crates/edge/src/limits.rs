//! What one listener and one connection may use.

use std::time::Duration;

/// Bounds on connections, times and sizes. All of them hold for one listener; none can be switched off.
///
/// ```
/// use std::time::Duration;
/// use koshin_edge::Limits;
///
/// let limits = Limits::default();
/// assert_eq!((limits.max_connections, limits.max_connections_per_peer), (1024, 256));
/// assert_eq!(limits.handshake_timeout, Duration::from_secs(10));
/// assert_eq!(limits.first_request_timeout, Duration::from_secs(20));
/// assert_eq!(limits.header_read_timeout, Duration::from_secs(10));
/// assert_eq!(limits.idle_timeout, Duration::from_secs(60));
/// assert_eq!(limits.request_timeout, Duration::from_secs(30));
/// assert_eq!(limits.exchange_timeout, Duration::from_secs(120));
/// assert_eq!(limits.drain_timeout, Duration::from_secs(10));
/// assert_eq!((limits.max_header_bytes, limits.max_body_bytes), (16 * 1024, 256 * 1024));
/// assert_eq!(limits.max_streams, 64);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, handshakes included. Further ones wait in the system's queue. Default 1024.
    pub max_connections: usize,
    /// Open connections of one IPv4 address or one IPv6 /64 network; further ones are closed at once. Large enough for
    /// an office behind one address. Default 256.
    pub max_connections_per_peer: usize,
    /// From accepting a connection to the end of the TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// From the end of the handshake to the first octet of a request (HTTP/1.1) or a whole head (HTTP/2). Default 20 s.
    pub first_request_timeout: Duration,
    /// From the first octet of a request's head to its last, HTTP/1.1 (under HTTP/2 a head that does not end counts as
    /// idling). Default 10 s.
    pub header_read_timeout: Duration,
    /// How long a connection is kept open between two requests. Default 60 s.
    pub idle_timeout: Duration,
    /// From the head of a request to the head of its answer, reading the body included; then 503. Default 30 s.
    pub request_timeout: Duration,
    /// How long a connection may carry requests without one of them beginning or ending, the peer's reading of an
    /// answer included; then it is cut. Default 120 s.
    pub exchange_timeout: Duration,
    /// How long a stopping listener waits for requests under way. Default 10 s.
    pub drain_timeout: Duration,
    /// A request's head, in octets; then 431. HTTP/1.1 never goes below 8192. Default 16 KiB.
    pub max_header_bytes: u32,
    /// A request's body, in octets; then 413. Routes may set smaller limits. Default 256 KiB.
    pub max_body_bytes: usize,
    /// Requests under way at once on one HTTP/2 connection. Default 64.
    pub max_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_connections_per_peer: 256,
            handshake_timeout: Duration::from_secs(10),
            first_request_timeout: Duration::from_secs(20),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
            exchange_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1024,
            max_body_bytes: 256 * 1024,
            max_streams: 64,
        }
    }
}
