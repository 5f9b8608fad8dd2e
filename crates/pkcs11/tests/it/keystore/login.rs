//! A login by mutual TLS with a stored key, against a server that trusts one CA.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use koshin_keystore::{StoredKey, conformance::Authority};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};

/// Logs in over TLS 1.3 and 1.2. Returns the certificate that the server saw, or what went wrong.
pub(crate) fn log_in(key: &StoredKey, certificate: &[u8], authority: &Authority) -> Result<Vec<u8>, String> {
    let seen = [&TLS13, &TLS12].map(|version| once(key, certificate, authority, version));
    let [newer, older] = seen;
    let (newer, older) = (newer?, older?);
    assert_eq!(newer, older);
    Ok(newer)
}

fn once(
    key: &StoredKey,
    certificate: &[u8],
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
) -> Result<Vec<u8>, String> {
    let provider = Arc::new(default_provider());
    let chain = authority.chain();
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from(chain[1].clone())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider)).build();
    let server_key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let server_certificate = server_key.cert.der().clone();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(
            vec![server_certificate.clone()],
            PrivateKeyDer::try_from(server_key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || -> Result<Vec<u8>, String> {
        let socket = bounded(listener.accept().unwrap().0);
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::new(server)).unwrap(), socket);
        let mut greeting = [0; 5];
        tls.read_exact(&mut greeting).map_err(|error| format!("server: {error}"))?;
        let peer = tls.conn.peer_certificates().map(|chain| chain[0].to_vec());
        tls.write_all(b"welcome").and_then(|()| tls.flush()).map_err(|error| format!("server: {error}"))?;
        peer.ok_or_else(|| "server: no certificate".to_owned())
    });

    let mut roots = RootCertStore::empty();
    roots.add(server_certificate).unwrap();
    let certified = key.certified(vec![certificate.to_vec(), chain[0].clone()]);
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let name = ServerName::try_from("localhost").unwrap();
    let socket = bounded(TcpStream::connect(address).unwrap());
    let mut tls = StreamOwned::new(ClientConnection::new(Arc::new(client), name).unwrap(), socket);
    let talked = tls.write_all(b"hello").and_then(|()| {
        let mut answer = [0; 7];
        tls.read_exact(&mut answer)
    });
    drop(tls);
    let seen = serving.join().unwrap();
    talked.map_err(|error| format!("client: {error}"))?;
    seen
}

fn bounded(socket: TcpStream) -> TcpStream {
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}
