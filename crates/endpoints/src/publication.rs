//! What relying parties fetch over plain HTTP: the CA certificates (AIA) and the revocation list (CDP).

use std::{
    fmt,
    fs::File,
    io,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use koshin_issuance::CrlEdition;
use time::UtcDateTime;

use crate::caching::{etag, etag_of, http_date, is_known};

/// The files that relying parties fetch, replaced as a whole: a reader sees the old or the new one, never a mixture.
///
/// Clones share them. A revocation list stays on the disk and is read from there piece by piece, so that many who fetch a
/// long one take little memory; whoever has begun to read goes on with the one that he began with.
#[derive(Clone)]
pub struct Publication(Arc<Inner>);

struct Inner {
    now: Arc<dyn Fn() -> UtcDateTime + Send + Sync>,
    files: RwLock<Vec<Arc<Published>>>,
}

struct Published {
    name: String,
    kind: &'static str,
    etag: HeaderValue,
    /// For how many seconds the file may be kept at most.
    max_age: u32,
    /// When it was made and until when it holds, if it does not hold for ever.
    edition: Option<CrlEdition>,
    content: Content,
}

enum Content {
    Octets(Bytes),
    File { file: Arc<File>, octets: u64 },
}

impl Publication {
    /// For how many seconds a certificate may be kept: a day.
    const CERTIFICATE_MAX_AGE: u32 = 86_400;

    /// Without any file. `now` says how long a list may still be kept.
    pub fn new(now: Arc<dyn Fn() -> UtcDateTime + Send + Sync>) -> Self {
        Self(Arc::new(Inner { now, files: RwLock::default() }))
    }

    /// Publishes a DER certificate under `/NAME` (RFC 5280, 4.2.2.1).
    pub fn certificate(&self, name: &str, der: Vec<u8>) {
        self.put(Published {
            name: name.to_owned(),
            kind: "application/pkix-cert",
            etag: etag_of(&der),
            max_age: Self::CERTIFICATE_MAX_AGE,
            edition: None,
            content: Content::Octets(der.into()),
        });
    }

    /// Publishes a revocation list of so many octets under `/NAME` (RFC 5280, 4.2.1.13), to be kept for `max_age` seconds
    /// at most and never past its nextUpdate.
    pub(crate) fn revocation_list(&self, name: &str, file: File, octets: u64, edition: CrlEdition, max_age: u32) {
        self.put(Published {
            name: name.to_owned(),
            kind: "application/pkix-crl",
            etag: etag(&format!("{:x}", edition.number)),
            max_age,
            edition: Some(edition),
            content: Content::File { file: Arc::new(file), octets },
        });
    }

    /// Publishes nothing under `/NAME` any more.
    pub fn withdraw(&self, name: &str) {
        self.0.files.write().unwrap_or_else(PoisonError::into_inner).retain(|file| file.name != name);
    }

    fn put(&self, file: Published) {
        let mut files = self.0.files.write().unwrap_or_else(PoisonError::into_inner);
        files.retain(|other| other.name != file.name);
        files.push(Arc::new(file));
    }

    fn find(&self, name: &str) -> Option<Arc<Published>> {
        let files = self.0.files.read().unwrap_or_else(PoisonError::into_inner);
        files.iter().find(|file| file.name == name).cloned()
    }

    /// The router that serves the files, by GET and HEAD.
    pub fn router(&self) -> Router {
        Router::new().route("/{name}", get(serve)).with_state(self.clone())
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.0.files.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(files.iter().map(|file| &file.name)).finish()
    }
}

async fn serve(State(publication): State<Publication>, Path(name): Path<String>, asked: HeaderMap) -> Response {
    let Some(file) = publication.find(&name) else {
        return (StatusCode::NOT_FOUND, "There is no such file here.\n").into_response();
    };
    let headers = file.headers((publication.0.now)());
    if is_known(&asked, &file.etag, file.edition.map(|edition| edition.this_update)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let (length, body) = match &file.content {
        Content::Octets(octets) => (octets.len() as u64, Body::from(octets.clone())),
        Content::File { file, octets } => (*octets, pieces(Arc::clone(file), *octets)),
    };
    let content =
        [(header::CONTENT_TYPE, HeaderValue::from_static(file.kind)), (header::CONTENT_LENGTH, length.into())];
    (headers, content, body).into_response()
}

impl Published {
    fn headers(&self, now: UtcDateTime) -> HeaderMap {
        let left = self.edition.map_or(i64::MAX, |edition| (edition.next_update - now).whole_seconds().max(0));
        let cache = match u32::try_from(left).unwrap_or(u32::MAX).min(self.max_age) {
            0 => "no-cache".to_owned(),
            left => format!("max-age={left}, public, no-transform, must-revalidate"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, self.etag.clone());
        let cache = HeaderValue::from_str(&cache).unwrap_or(HeaderValue::from_static("no-cache"));
        headers.insert(header::CACHE_CONTROL, cache);
        if let Some(edition) = self.edition {
            headers.insert(header::LAST_MODIFIED, http_date(edition.this_update));
        }
        headers
    }
}

/// How much of a file one answer holds in memory: 64 KiB.
const PIECE: u64 = 64 * 1024;

/// A file of so many octets, piece by piece. One that became shorter breaks the answer off, which HTTP shows.
fn pieces(file: Arc<File>, octets: u64) -> Body {
    Body::from_stream(stream::try_unfold(0, move |at| {
        let file = Arc::clone(&file);
        async move {
            let length = PIECE.min(octets.saturating_sub(at));
            if length == 0 {
                return Ok::<_, io::Error>(None);
            }
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
                read_exact_at(&file, &mut piece, at).map(|()| Bytes::from(piece))
            });
            Ok(Some((piece.await.map_err(io::Error::other)??, at + length)))
        }
    }))
}

/// Reads from a place in the file; others who read the same file do not notice.
fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, buffer, at);
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt as _;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.seek_read(rest, at + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(())
    }
}
