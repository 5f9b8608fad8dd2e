//! The files that certificates point to.

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use koshin_endpoints::Publication;
use tower::ServiceExt as _;

#[tokio::test]
async fn a_file_is_replaced_as_a_whole() {
    let publication = Publication::default();
    let get = async |name: &str, etag: &str| {
        let request = Request::get(name).header("if-none-match", etag).body(Body::empty()).unwrap();
        let response = publication.router().oneshot(request).await.unwrap();
        let header = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, kind, cache, etag) =
            (response.status(), header("content-type"), header("cache-control"), header("etag"));
        (status, kind, cache, etag, response.into_body().collect().await.unwrap().to_bytes().to_vec())
    };
    assert_eq!(get("/issuing.crl", "").await.0, StatusCode::NOT_FOUND);
    publication.certificate("issuing.cer", b"certificate".to_vec());
    publication.revocation_list("issuing.crl", b"one".to_vec(), 3600);
    let (status, kind, cache, _, body) = get("/issuing.cer", "").await;
    let expected = (StatusCode::OK, "application/pkix-cert", "public, max-age=86400", b"certificate".to_vec());
    assert_eq!((status, &*kind, &*cache, body), expected);
    let (_, kind, cache, etag, body) = get("/issuing.crl", "").await;
    assert_eq!((&*kind, &*cache, body), ("application/pkix-crl", "public, max-age=3600", b"one".to_vec()));
    assert_eq!(get("/issuing.crl", &etag).await.0, StatusCode::NOT_MODIFIED);
    publication.revocation_list("issuing.crl", b"two".to_vec(), 60);
    let (status, _, _, other, body) = get("/issuing.crl", &etag).await;
    assert_eq!((status, body, other == etag), (StatusCode::OK, b"two".to_vec(), false));
}
