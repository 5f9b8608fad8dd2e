//! How connections end: with their certificate, with the listener.

use std::time::{Duration, Instant};

use koshin_edge::CLOSE_GRACE;
use koshin_types::Fingerprint;
use tokio::io::AsyncWriteExt as _;

use super::support::{Ca, Identity, Portal, ask, eventually, quick, read_answer, wait_for_end};

/// The bound the project promises for all of it.
const A_SECOND: Duration = Duration::from_secs(1);

fn fingerprint(identity: &Identity) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, identity.der());
    Fingerprint::new(digest.as_ref().try_into().unwrap())
}

#[tokio::test]
async fn connections_of_one_certificate_end_and_others_stay() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let (revoked, other) = (ca.good(), ca.good());
    let mut h1 = portal.client(Some(&revoked)).connect().await.unwrap();
    let mut h2 = portal.client(Some(&revoked)).connect_h2().await;
    let mut other_h1 = portal.client(Some(&other)).connect().await.unwrap();
    let mut other_h2 = portal.client(Some(&other)).connect_h2().await;
    for answer in [ask(&mut h1, "/").await.unwrap(), ask(&mut other_h1, "/").await.unwrap()] {
        assert!(answer.body.starts_with("verified "));
    }
    assert_eq!(h2.ask("/").await.unwrap().status, 200);
    assert_eq!(other_h2.ask("/").await.unwrap().status, 200);
    assert_eq!((portal.connections.len(), portal.connections.len_of(&fingerprint(&revoked))), (4, 2));

    assert_eq!(portal.connections.close(&fingerprint(&revoked)), 2);
    wait_for_end(&mut h1, A_SECOND).await;
    tokio::time::timeout(A_SECOND, &mut h2.ended).await.expect("the h2 connection ends").unwrap();
    assert!(h2.ask("/").await.is_err());
    eventually(|| portal.connections.len() == 2).await;
    assert_eq!(portal.connections.close(&fingerprint(&revoked)), 0);

    assert_eq!(ask(&mut other_h1, "/").await.unwrap().status, 200);
    assert_eq!(other_h2.ask("/").await.unwrap().status, 200);
    assert_eq!(portal.stop().await.cut, 0);
}

#[tokio::test]
async fn no_request_is_answered_after_the_close() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let identity = ca.good();
    for _ in 0..20 {
        let mut h1 = portal.client(Some(&identity)).connect().await.unwrap();
        let mut h2 = portal.client(Some(&identity)).connect_h2().await;
        ask(&mut h1, "/").await.unwrap();
        h2.ask("/").await.unwrap();
        // Without a pause in between: the server has not yet told anybody.
        assert_eq!(portal.connections.close(&fingerprint(&identity)), 2);
        let (h1, h2) = tokio::join!(ask(&mut h1, "/"), h2.ask("/"));
        assert!(h1.is_err(), "{h1:?}");
        assert!(h2.is_err(), "{h2:?}");
        eventually(|| portal.connections.is_empty()).await;
    }
}

#[tokio::test]
async fn a_request_under_way_does_not_hold_the_connection() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let identity = ca.good();
    let mut h1 = portal.client(Some(&identity)).connect().await.unwrap();
    h1.write_all(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut h2 = portal.client(Some(&identity)).connect_h2().await;
    let asking = tokio::spawn(async move { h2.ask("/stuck").await });
    eventually(|| portal.connections.len_of(&fingerprint(&identity)) == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    let start = Instant::now();
    assert_eq!(portal.connections.close(&fingerprint(&identity)), 2);
    wait_for_end(&mut h1, A_SECOND).await;
    let h2 = tokio::time::timeout(A_SECOND, asking).await.expect("the h2 request ends").unwrap();
    assert!(h2.is_err());
    assert!(start.elapsed() >= CLOSE_GRACE, "what is under way has its grace");
    assert!(start.elapsed() < A_SECOND);
    eventually(|| portal.connections.is_empty()).await;
}

#[tokio::test]
async fn a_stopping_listener_lets_requests_finish() {
    let ca = Ca::new("Client CA");
    let mut portal = Portal::start(&[&ca]).await;
    let client = portal.client(Some(&ca.good()));
    let mut idle = client.connect().await.unwrap();
    ask(&mut idle, "/").await.unwrap();
    let mut fresh = client.connect().await.unwrap();
    let mut busy = client.connect().await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut h2 = client.connect_h2().await;
    let asking = tokio::spawn(async move { h2.ask("/slow").await });
    let _half_open = portal.tcp().await;
    eventually(|| portal.connections.len() == 5).await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    portal.begin_stop();
    wait_for_end(&mut idle, A_SECOND).await;
    wait_for_end(&mut fresh, A_SECOND).await;
    assert!(tokio::net::TcpStream::connect(portal.address).await.is_err(), "nobody new comes in");
    assert_eq!(read_answer(&mut busy).await.unwrap().body, "slow");
    assert_eq!(asking.await.unwrap().unwrap().body, "slow");
    let connections = portal.connections.clone();
    assert_eq!(portal.stop().await.cut, 0);
    assert!(connections.is_empty());
}

#[tokio::test]
async fn a_stopping_listener_does_not_wait_for_ever() {
    let ca = Ca::new("Client CA");
    let mut limits = quick();
    limits.request_timeout = Duration::from_secs(60);
    limits.drain_timeout = Duration::from_millis(300);
    let portal = Portal::start_with(&[&ca], limits).await;
    let mut busy = portal.client(None).connect().await.unwrap();
    busy.write_all(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (connections, start) = (portal.connections.clone(), Instant::now());
    assert_eq!(portal.stop().await.cut, 1);
    assert!(start.elapsed() < A_SECOND);
    wait_for_end(&mut busy, A_SECOND).await;
    assert!(connections.is_empty());
}

#[tokio::test]
async fn a_broken_handler_ends_its_connection_and_no_other() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let mut other = portal.client(None).connect().await.unwrap();
    ask(&mut other, "/").await.unwrap();
    let mut broken = portal.client(None).connect().await.unwrap();
    assert!(ask(&mut broken, "/panic").await.is_err());
    assert_eq!(ask(&mut other, "/").await.unwrap().status, 200);
    let mut fresh = portal.client(None).connect().await.unwrap();
    assert_eq!(ask(&mut fresh, "/").await.unwrap().status, 200);
    eventually(|| portal.connections.len() == 2).await;
}
