//! The handshake of mutual TLS in memory: no sockets, no runtime, the server's side timed by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use crate::authority::HOST;

/// Shakes hands, and answers with the time that the server's side took and the certificates it saw.
///
/// # Errors
///
/// When the handshake fails.
pub fn in_memory(
    server: &Arc<ServerConfig>,
    browser: &Arc<ClientConfig>,
) -> anyhow::Result<(Duration, ServerConnection)> {
    let mut client = ClientConnection::new(Arc::clone(browser), ServerName::try_from(HOST)?)?;
    let mut spent = Duration::ZERO;
    let start = Instant::now();
    let mut server = ServerConnection::new(Arc::clone(server))?;
    spent += start.elapsed();
    let mut octets = Vec::with_capacity(8192);
    while client.is_handshaking() || server.is_handshaking() {
        octets.clear();
        while client.wants_write() {
            client.write_tls(&mut octets)?;
        }
        let start = Instant::now();
        let mut unread = octets.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread)?;
            server.process_new_packets()?;
        }
        let mut answer = Vec::with_capacity(8192);
        while server.wants_write() {
            server.write_tls(&mut answer)?;
        }
        spent += start.elapsed();
        ensure!(!octets.is_empty() || !answer.is_empty(), "the handshake does not go on");
        let mut unread = answer.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread)?;
            client.process_new_packets()?;
        }
    }
    server.peer_certificates().context("the client showed no certificate")?;
    Ok((spent, server))
}
