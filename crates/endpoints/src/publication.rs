//! What relying parties fetch over plain HTTP: the CA certificates (AIA) and the revocation list (CDP).

use std::sync::{Arc, RwLock};

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::digest;

use crate::hex;

/// The files that relying parties fetch, replaced as a whole: a reader sees the old or the new one, never a mixture.
#[derive(Debug, Clone, Default)]
pub struct Publication(Arc<RwLock<Vec<Arc<Published>>>>);

#[derive(Debug)]
struct Published {
    name: String,
    kind: &'static str,
    etag: HeaderValue,
    /// For how many seconds the file may be kept.
    max_age: u32,
    body: Vec<u8>,
}

impl Publication {
    /// Publishes a DER certificate under `/NAME` (RFC 5280, 4.2.2.1).
    pub fn certificate(&self, name: &str, der: Vec<u8>) {
        self.put(name, "application/pkix-cert", 86_400, der);
    }

    /// Publishes a DER revocation list under `/NAME` (RFC 5280, 4.2.1.13), to be kept for `max_age` seconds at most.
    pub fn revocation_list(&self, name: &str, der: Vec<u8>, max_age: u32) {
        self.put(name, "application/pkix-crl", max_age, der);
    }

    fn put(&self, name: &str, kind: &'static str, max_age: u32, body: Vec<u8>) {
        let digest = digest::digest(&digest::SHA256, &body);
        let etag = HeaderValue::from_str(&format!("\"{}\"", hex(digest.as_ref(), 16)))
            .unwrap_or(HeaderValue::from_static("\"\""));
        let file = Arc::new(Published { name: name.to_owned(), kind, etag, max_age, body });
        let mut files = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        files.retain(|other| other.name != name);
        files.push(file);
    }

    fn find(&self, name: &str) -> Option<Arc<Published>> {
        let files = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        files.iter().find(|file| file.name == name).cloned()
    }

    /// The router that serves the files.
    pub fn router(&self) -> Router {
        Router::new().route("/{name}", get(serve)).with_state(self.clone())
    }
}

async fn serve(State(publication): State<Publication>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = publication.find(&name) else {
        return (StatusCode::NOT_FOUND, "There is no such file here.\n").into_response();
    };
    let cache = HeaderValue::from_str(&format!("public, max-age={}", file.max_age));
    let cache = cache.unwrap_or(HeaderValue::from_static("no-cache"));
    let common = [(header::ETAG, file.etag.clone()), (header::CACHE_CONTROL, cache)];
    if headers.get(header::IF_NONE_MATCH) == Some(&file.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, HeaderValue::from_static(file.kind))], file.body.clone()).into_response()
}
