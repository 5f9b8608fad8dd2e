//! The files that certificates point to.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use koshin_endpoints::Publication;
use time::Duration;
use tower::ServiceExt as _;

use crate::{bench::now, publisher::Rig};

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(publication: &Publication, method: &str, name: &str, header: (&str, &str)) -> Got {
    let request = Request::builder().method(method).uri(name).header(header.0, header.1);
    let response = publication.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Got { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
}

async fn get(publication: &Publication, name: &str) -> Got {
    ask(publication, "GET", name, ("accept", "*/*")).await
}

#[tokio::test]
async fn a_certificate_is_served_until_another_takes_its_place() {
    let publication = Publication::new(Arc::new(now));
    assert_eq!(get(&publication, "/issuing.cer").await.status, StatusCode::NOT_FOUND);
    publication.certificate("issuing.cer", b"certificate".to_vec());
    let got = get(&publication, "/issuing.cer").await;
    assert_eq!((got.status, &*got.body), (StatusCode::OK, &b"certificate"[..]));
    assert_eq!(got.header("content-type"), "application/pkix-cert");
    assert_eq!(got.header("cache-control"), "max-age=86400, public, no-transform, must-revalidate");
    let etag = got.header("etag").to_owned();
    let known = ask(&publication, "GET", "/issuing.cer", ("if-none-match", &etag)).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    publication.certificate("issuing.cer", b"another".to_vec());
    let other = ask(&publication, "GET", "/issuing.cer", ("if-none-match", &etag)).await;
    assert_eq!((other.status, &*other.body), (StatusCode::OK, &b"another"[..]));
}

#[tokio::test]
async fn a_list_says_how_long_it_may_be_kept() {
    let rig = Rig::new();
    rig.publisher.publish(now()).await.unwrap();
    let got = get(&rig.publication, "/issuing.crl").await;
    assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, "application/pkix-crl"));
    assert_eq!(got.header("last-modified"), "Sun, 22 Nov 2026 06:26:40 GMT");
    assert_eq!(got.header("content-length"), got.body.len().to_string());
    assert_eq!(got.body, rig.file());
    for (later, expected) in [
        (Duration::ZERO, "max-age=3600, public, no-transform, must-revalidate"),
        (Duration::days(7) - Duration::HOUR, "max-age=3600, public, no-transform, must-revalidate"),
        (Duration::days(7) - Duration::MINUTE, "max-age=60, public, no-transform, must-revalidate"),
        (Duration::days(7), "no-cache"),
        (Duration::days(8), "no-cache"),
    ] {
        rig.set_clock(now() + later);
        assert_eq!(get(&rig.publication, "/issuing.crl").await.header("cache-control"), expected, "{later}");
    }
    let head = ask(&rig.publication, "HEAD", "/issuing.crl", ("accept", "*/*")).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), got.body.len().to_string());
    assert_eq!(head.header("etag"), got.header("etag"));
}

#[tokio::test]
async fn who_has_a_list_is_not_sent_it_again() {
    let rig = Rig::new();
    rig.publisher.publish(now()).await.unwrap();
    let etag = get(&rig.publication, "/issuing.crl").await.header("etag").to_owned();
    let date = "Sun, 22 Nov 2026 06:26:40 GMT";
    for (name, value) in [("if-none-match", &*etag), ("if-modified-since", date)] {
        let known = ask(&rig.publication, "GET", "/issuing.crl", (name, value)).await;
        assert_eq!((known.status, known.body.len(), known.header("etag")), (StatusCode::NOT_MODIFIED, 0, &*etag));
    }
    rig.publisher.publish(now() + Duration::HOUR).await.unwrap();
    for (name, value) in [("if-none-match", &*etag), ("if-modified-since", date)] {
        let new = ask(&rig.publication, "GET", "/issuing.crl", (name, value)).await;
        assert_eq!((new.status, new.body), (StatusCode::OK, rig.file()));
    }
}

#[tokio::test]
async fn who_has_begun_to_read_gets_the_list_that_he_began_with() {
    let rig = Rig::new();
    rig.revoke_many(10_000);
    rig.publisher.publish(now()).await.unwrap();
    let old = rig.file();
    assert!(old.len() > 300_000, "some pieces of 64 KiB: {}", old.len());
    let request = Request::get("/issuing.crl").body(Body::empty()).unwrap();
    let mut body = rig.publication.router().oneshot(request).await.unwrap().into_body();
    let mut read = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
    assert!(read.len() <= 64 * 1024, "{} octets are held at once", read.len());
    rig.publisher.publish(now() + Duration::HOUR).await.unwrap();
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        assert!(piece.len() <= 64 * 1024);
        read.extend_from_slice(&piece);
    }
    assert!(read == old);
    assert!(get(&rig.publication, "/issuing.crl").await.body == rig.file());
}

#[tokio::test]
async fn the_clock_is_read_at_every_request() {
    let reads = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&reads);
    let publication = Publication::new(Arc::new(move || {
        *counted.lock().unwrap() += 1;
        now()
    }));
    publication.certificate("issuing.cer", Vec::new());
    for _ in 0..3 {
        get(&publication, "/issuing.cer").await;
    }
    assert_eq!(*reads.lock().unwrap(), 3);
}
