//! Every limit of a listener, and the authority of a request.

use std::time::{Duration, Instant};

use koshin_edge::Limits;
use tokio::io::AsyncWriteExt as _;

use super::support::{Ca, Portal, ask, ask_raw, eventually, quick, read_answer, wait_for_end};

const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_head_that_trickles_in_is_cut() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start_with(&[&ca], Limits { idle_timeout: 10 * PATIENCE, ..quick() }).await;
    let mut stream = portal.client(None).connect().await.unwrap();
    assert_eq!(ask(&mut stream, "/").await.unwrap().status, 200);
    tokio::time::sleep(2 * portal.limits.header_read_timeout).await;
    assert_eq!(ask(&mut stream, "/").await.unwrap().status, 200, "resting is not trickling");
    let start = Instant::now();
    for octet in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaa" {
        let sent = stream.write_all(&[*octet]).await;
        if sent.is_err() || portal.connections.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(portal.connections.is_empty(), "cut while octets still came");
    assert!(start.elapsed() >= portal.limits.header_read_timeout && start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start_with(&[&ca], quick()).await;
    let start = Instant::now();
    let mut silent = portal.tcp().await;
    let mut slow = portal.tcp().await;
    slow.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    eventually(|| portal.connections.len() == 2).await;
    wait_for_end(&mut silent, PATIENCE).await;
    wait_for_end(&mut slow, PATIENCE).await;
    assert!(start.elapsed() >= portal.limits.handshake_timeout);
    eventually(|| portal.connections.is_empty()).await;
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start_with(&[&ca], quick()).await;
    let start = Instant::now();
    let mut fresh = portal.client(None).connect().await.unwrap();
    let fresh_h2 = portal.client(None).connect_h2().await;
    wait_for_end(&mut fresh, PATIENCE).await;
    tokio::time::timeout(PATIENCE, fresh_h2.ended).await.expect("the h2 connection is closed").unwrap();
    assert!(start.elapsed() >= portal.limits.first_request_timeout);

    let mut used = portal.client(None).connect().await.unwrap();
    let mut used_h2 = portal.client(None).connect_h2().await;
    let start = Instant::now();
    assert_eq!(ask(&mut used, "/").await.unwrap().status, 200);
    assert_eq!(used_h2.ask("/").await.unwrap().status, 200);
    wait_for_end(&mut used, PATIENCE).await;
    tokio::time::timeout(PATIENCE, used_h2.ended).await.expect("the h2 connection is closed").unwrap();
    assert!(start.elapsed() >= portal.limits.idle_timeout);
    eventually(|| portal.connections.is_empty()).await;
}

#[tokio::test]
async fn pings_are_no_head_and_no_request() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start_with(&[&ca], quick()).await;
    let mut h2 = portal.client(None).connect_h2_pinging(Duration::from_millis(50)).await;
    assert_eq!(h2.ask("/").await.unwrap().status, 200);
    tokio::time::sleep(2 * portal.limits.header_read_timeout).await;
    assert_eq!(h2.ask("/").await.unwrap().status, 200, "a ping does not begin a head");
    tokio::time::timeout(PATIENCE, h2.ended).await.expect("pings keep nothing open").unwrap();
}

#[tokio::test]
async fn further_connections_wait_for_a_place() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start_with(&[&ca], Limits { max_connections: 2, ..Limits::default() }).await;
    let mut first = portal.client(None).connect().await.unwrap();
    let mut second = portal.client(None).connect().await.unwrap();
    let client = portal.client(None);
    let mut third = tokio::spawn(async move { client.connect().await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut third).await.is_err(), "it waits");
    assert_eq!(portal.connections.len(), 2);
    assert_eq!(ask(&mut second, "/").await.unwrap().status, 200, "the others are served");
    first.shutdown().await.unwrap();
    drop(first);
    let mut third = tokio::time::timeout(PATIENCE, third).await.expect("a place is free").unwrap().unwrap();
    assert_eq!(ask(&mut third, "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn one_peer_has_a_share() {
    let portal = Portal::plain(Limits { max_connections_per_peer: 2, ..Limits::default() }).await;
    let mut first = portal.tcp().await;
    let mut second = portal.tcp().await;
    assert_eq!(ask(&mut first, "/").await.unwrap().status, 200);
    assert_eq!(ask(&mut second, "/").await.unwrap().status, 200);
    wait_for_end(&mut portal.tcp().await, PATIENCE).await;
    drop(first);
    eventually(|| portal.connections.len() == 1).await;
    assert_eq!(ask(&mut portal.tcp().await, "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let mut stream = portal.client(None).connect().await.unwrap();
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(ask_raw(&mut stream, &host("localhost:1234")).await.unwrap().status, 200);
    let answer = ask_raw(&mut stream, &host("activate.localhost")).await.unwrap();
    assert_eq!(answer.status, 421);
    assert!(answer.body.contains("another host name"));
    assert_eq!(ask_raw(&mut stream, "GET / HTTP/1.1\r\n\r\n").await.unwrap().status, 400);

    let mut client = portal.client(None);
    client.name = "activate.localhost";
    let mut h2 = client.connect_h2().await;
    assert_eq!(h2.ask_host("activate.localhost", "/").await.unwrap().status, 200);
    assert_eq!(h2.ask_host("localhost", "/").await.unwrap().status, 421);
    assert_eq!(h2.ask_host("activate.localhost", "/").await.unwrap().status, 200, "the connection stays usable");
}

#[tokio::test]
async fn sizes_are_bounded() {
    let portal = Portal::plain(Limits { max_body_bytes: 1000, ..Limits::default() }).await;
    let post = |head: &str, body: &str| format!("POST /body HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n{body}");
    let fits = post("Content-Length: 1000", &"a".repeat(1000));
    assert_eq!(ask_raw(&mut portal.tcp().await, &fits).await.unwrap().body, "1000");
    let declared = post("Content-Length: 1001", "");
    assert_eq!(ask_raw(&mut portal.tcp().await, &declared).await.unwrap().status, 413);
    let chunked = post("Transfer-Encoding: chunked", &format!("3e9\r\n{}\r\n0\r\n\r\n", "a".repeat(1001)));
    assert_eq!(ask_raw(&mut portal.tcp().await, &chunked).await.unwrap().status, 413);
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\n\r\n", "a".repeat(20 * 1024));
    assert_eq!(ask_raw(&mut portal.tcp().await, &head).await.unwrap().status, 431);
    let both = post("Content-Length: 3\r\nTransfer-Encoding: chunked", "0\r\n\r\n");
    let smuggled = ask_raw(&mut portal.tcp().await, &both).await;
    assert!(smuggled.as_ref().map_or(true, |answer| answer.status == 400 || answer.body == "0"), "{smuggled:?}");
}

/// Whatever is still on its way when the answer is ready: the answer comes, and the connection goes on.
#[tokio::test]
async fn a_body_that_is_too_large_is_answered_under_http_2_too() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start_with(&[&ca], Limits { max_body_bytes: 1000, ..Limits::default() }).await;
    let mut h2 = portal.client(None).connect_h2().await;
    for octets in [1000, 1001, 100_000, 1 << 20, 5 << 20] {
        let request = http::Request::post("https://localhost/body").body("a".repeat(octets)).unwrap();
        let answer = h2.send(request).await.unwrap();
        assert_eq!(answer.status, if octets > 1000 { 413 } else { 200 }, "{octets}");
        assert_eq!(h2.ask("/").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_request_has_its_time() {
    let portal = Portal::plain(Limits { request_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let mut stream = portal.tcp().await;
    let start = Instant::now();
    let answer = ask(&mut stream, "/stuck").await.unwrap();
    assert_eq!(answer.status, 503);
    let mut slow_body = portal.tcp().await;
    slow_body.write_all(b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    assert_eq!(read_answer(&mut slow_body).await.unwrap().status, 503);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn an_exchange_that_does_not_end_is_cut() {
    let limits = Limits { exchange_timeout: Duration::from_millis(300), ..Limits::default() };
    let portal = Portal::plain(limits).await;
    let mut stream = portal.tcp().await;
    stream.write_all(b"GET /stuck HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    wait_for_end(&mut stream, PATIENCE).await;
}

#[tokio::test]
async fn without_tls_it_is_http_1_1_without_a_certificate() {
    let portal = Portal::plain(quick()).await;
    let mut stream = portal.tcp().await;
    assert_eq!(ask(&mut stream, "/").await.unwrap().body, "none");
    assert_eq!(ask(&mut stream, "/instant").await.unwrap().body, super::support::NOW.to_string());
    let mut h2c = portal.tcp().await;
    h2c.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let answer = read_answer(&mut h2c).await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status >= 400), "{answer:?}");
    assert_eq!(portal.stop().await.cut, 0);
}
