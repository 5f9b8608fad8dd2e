//! OCSP by POST and GET, and what caches may make of it.

use std::sync::atomic::Ordering;

use axum::{Router, body::Body};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use koshin_issuance::{OcspFailure, OcspStatus};
use koshin_types::RevocationReason;
use time::Duration;
use tower::ServiceExt as _;

use crate::bench::{Bench, now, serve};

/// The request in a path, as clients escape it.
fn escaped(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

async fn get(router: &Router, path: &str, etag: Option<&str>) -> Response<Body> {
    let mut request = Request::get(path);
    if let Some(etag) = etag {
        request = request.header("if-none-match", etag);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

pub(crate) async fn post(router: &Router, body: Vec<u8>) -> Response<Body> {
    let request = Request::post("/").header("content-type", "application/ocsp-request");
    router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
}

pub(crate) async fn body(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn openssl_gets_an_answer_about_every_certificate() {
    let bench = Bench::new();
    bench.install(14);
    let at = serve(Router::new().nest("/ocsp", bench.service.router())).await;
    let (good, unknown) = (bench.leaf(10, Some(OcspStatus::Good)), bench.leaf(11, None));
    let revoked = OcspStatus::Revoked { at: now(), reason: RevocationReason::CessationOfOperation };
    let revoked = bench.leaf(12, Some(revoked));
    for options in [&["-nonce"][..], &["-no_nonce"]] {
        for (leaf, word) in [(&good, ": good"), (&unknown, ": unknown"), (&revoked, ": revoked")] {
            let said = bench.ask(at, leaf, options).await;
            assert!(said.contains("Response verify OK") && said.contains(&format!("{leaf}{word}")), "{said}");
            assert!(!said.to_lowercase().contains("nonce"), "{said}");
        }
    }
}

#[tokio::test]
async fn an_answer_by_get_may_be_kept_and_is_signed_once() {
    let bench = Bench::new();
    bench.install(14);
    let leaf = bench.leaf(10, Some(OcspStatus::Good));
    let router = bench.service.router();
    let path = format!("/{}", escaped(&bench.question(&leaf, &["-no_nonce"])));
    let first = get(&router, &path, None).await;
    assert_eq!(header(&first, "content-type"), "application/ocsp-response");
    assert_eq!(header(&first, "cache-control"), "max-age=300, public, no-transform, must-revalidate");
    assert_eq!(header(&first, "last-modified"), "Sun, 22 Nov 2026 06:26:40 GMT");
    assert_eq!(header(&first, "expires"), "Sun, 22 Nov 2026 06:31:40 GMT");
    let etag = header(&first, "etag").to_owned();
    let answer = body(first).await;
    *bench.clock.lock().unwrap() += Duration::minutes(59);
    let again = get(&router, &path, None).await;
    assert_eq!((header(&again, "etag"), bench.known.asked.load(Ordering::Relaxed)), (&*etag, 1));
    assert_eq!(body(again).await, answer);
    let unchanged = get(&router, &path, Some(&etag)).await;
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert!(body(unchanged).await.is_empty());
    *bench.clock.lock().unwrap() += Duration::minutes(1);
    let fresh = get(&router, &path, Some(&etag)).await;
    assert_eq!((fresh.status(), bench.known.asked.load(Ordering::Relaxed)), (StatusCode::OK, 2));
    assert_ne!(header(&fresh, "etag"), etag);
}

#[tokio::test]
async fn a_revocation_is_said_at_once() {
    let bench = Bench::new();
    bench.install(14);
    let leaf = bench.leaf(10, Some(OcspStatus::Good));
    let at = serve(Router::new().nest("/ocsp", bench.service.router())).await;
    assert!(bench.ask(at, &leaf, &["-no_nonce"]).await.contains(": good"));
    bench.set(10, OcspStatus::Revoked { at: now(), reason: RevocationReason::KeyCompromise });
    bench.service.forget();
    let said = bench.ask(at, &leaf, &["-no_nonce"]).await;
    assert!(said.contains(": revoked") && said.contains("keyCompromise"), "{said}");
}

#[tokio::test]
async fn what_is_about_one_question_is_kept_by_nobody() {
    let bench = Bench::new();
    bench.install(14);
    let router = bench.service.router();
    let (good, unknown) = (bench.leaf(10, Some(OcspStatus::Good)), bench.leaf(11, None));
    for question in [bench.question(&good, &["-nonce"]), bench.question(&unknown, &["-no_nonce"])] {
        for _ in 0..2 {
            let response = get(&router, &format!("/{}", escaped(&question)), None).await;
            assert_eq!(header(&response, "cache-control"), "no-store");
            assert_eq!(header(&response, "etag"), "");
        }
    }
    assert_eq!(bench.known.asked.load(Ordering::Relaxed), 4);
    let posted = post(&router, bench.question(&good, &["-no_nonce"])).await;
    assert_eq!(header(&posted, "cache-control"), "no-store");
}

#[tokio::test]
async fn what_cannot_be_answered_is_said_in_ocsps_own_words() {
    let (bench, other) = (Bench::new(), Bench::new());
    let leaf = bench.leaf(10, Some(OcspStatus::Good));
    let question = bench.question(&leaf, &["-no_nonce"]);
    let router = bench.service.router();
    let failure = async |der: Vec<u8>| {
        let response = post(&router, der).await;
        assert_eq!((response.status(), header(&response, "cache-control")), (StatusCode::OK, "no-store"));
        body(response).await
    };
    assert_eq!(failure(question.clone()).await, OcspFailure::TryLater.der(), "there is no responder yet");
    bench.install(14);
    let foreign = other.question(&other.leaf(10, None), &["-no_nonce"]);
    assert_eq!(failure(foreign).await, OcspFailure::Unauthorized.der());
    assert_eq!(failure(b"what?".to_vec()).await, OcspFailure::MalformedRequest.der());
    *bench.known.statuses.lock().unwrap() = None;
    assert_eq!(failure(question.clone()).await, OcspFailure::TryLater.der(), "the ledger is away");
    *bench.clock.lock().unwrap() += Duration::days(15);
    *bench.known.statuses.lock().unwrap() = Some(std::collections::HashMap::new());
    assert_eq!(failure(question).await, OcspFailure::TryLater.der(), "the responder has ended");
    for path in ["/!!!", "/AAAA", &format!("/{}", "A".repeat(9000))] {
        let response = get(&router, path, None).await;
        assert_eq!(body(response).await, OcspFailure::MalformedRequest.der(), "{path:.20}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused_before_it_is_read() {
    let bench = Bench::new();
    let router = bench.service.router();
    let bare = router.clone().oneshot(Request::post("/").body(Body::from("x")).unwrap()).await.unwrap();
    assert_eq!(bare.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(post(&router, vec![0x30; 5000]).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let nothing = get(&router, "/", None).await;
    assert_eq!(nothing.status(), StatusCode::OK);
    assert!(String::from_utf8(body(nothing).await).unwrap().contains("OCSP responder"));
}

#[tokio::test]
async fn an_answer_never_outlives_its_responder() {
    let bench = Bench::new();
    bench.install(1);
    *bench.clock.lock().unwrap() += Duration::hours(23);
    let leaf = bench.leaf(10, Some(OcspStatus::Good));
    let router = bench.service.router();
    let answer = body(post(&router, bench.question(&leaf, &["-no_nonce"])).await).await;
    assert_ne!(answer, OcspFailure::TryLater.der());
    let end = b"20261123062640Z";
    assert!(answer.windows(end.len()).any(|octets| octets == end), "nextUpdate is the responder's notAfter");
}
