//! OCSP over HTTP.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use koshin_issuance::{CertificateId, OcspEdition, OcspFailure, OcspRequest, OcspResponder, OcspStatus};
use koshin_types::{SerialNumber, Validity};
use ring::digest;
use time::{Duration, UtcDateTime};

use crate::caching::{etag_of, http_date, is_known};

/// Who knows what was issued and what became of it.
#[async_trait]
pub trait StatusSource: Send + Sync {
    /// The status of a serial number now: [`OcspStatus::Unknown`] unless a certificate with it was issued.
    ///
    /// # Errors
    ///
    /// [`StatusUnavailable`]: nobody can say at the moment. The relying party is told to try later, never "good".
    async fn status(&self, serial: &SerialNumber) -> Result<OcspStatus, StatusUnavailable>;
}

/// The status of a certificate cannot be found out now.
#[derive(Debug, thiserror::Error)]
#[error("the status of certificates cannot be read")]
pub struct StatusUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// For how long answers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspSettings {
    /// From thisUpdate to nextUpdate: 12 hours by default. Cut short where the responder's certificate ends before.
    pub validity: Duration,
    /// After how long a kept answer is signed anew: 1 hour by default.
    pub refresh: Duration,
    /// For how many seconds caches on the way may keep an answer: 300 by default. A revocation is seen through them only
    /// after that.
    pub max_age: u32,
}

impl Default for OcspSettings {
    /// ```
    /// let settings = koshin_endpoints::OcspSettings::default();
    /// assert_eq!((settings.validity.whole_hours(), settings.refresh.whole_hours(), settings.max_age), (12, 1, 300));
    /// ```
    fn default() -> Self {
        Self { validity: Duration::hours(12), refresh: Duration::HOUR, max_age: 300 }
    }
}

/// An OCSP responder for one CA. Clones share it.
#[derive(Clone)]
pub struct OcspService(Arc<Inner>);

struct Inner {
    source: Arc<dyn StatusSource>,
    now: Arc<dyn Fn() -> UtcDateTime + Send + Sync>,
    settings: OcspSettings,
    responder: RwLock<Option<Arc<OcspResponder>>>,
    kept: Mutex<Kept>,
}

impl OcspService {
    /// A service without a responder: it says "try later" until [`install`](Self::install) gives it one.
    pub fn new(
        source: Arc<dyn StatusSource>,
        now: Arc<dyn Fn() -> UtcDateTime + Send + Sync>,
        settings: OcspSettings,
    ) -> Self {
        let (responder, kept) = (RwLock::default(), Mutex::default());
        Self(Arc::new(Inner { source, now, settings, responder, kept }))
    }

    /// Signs with this responder from now on.
    pub fn install(&self, responder: OcspResponder) {
        *self.0.responder.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(responder));
        self.forget();
    }

    /// The validity of the certificate that it signs with, if it has one.
    pub fn responder_validity(&self) -> Option<Validity> {
        let responder = self.0.responder.read().unwrap_or_else(PoisonError::into_inner);
        responder.as_ref().map(|responder| responder.validity())
    }

    /// Forgets the answers that were kept, because a certificate was revoked. What is signed meanwhile is not kept.
    pub fn forget(&self) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { epoch: kept.epoch.wrapping_add(1), ..Kept::default() };
    }

    /// How many answers are kept at the moment, of 16,384 at most.
    pub fn kept(&self) -> usize {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.recent.len() + kept.older.len()
    }

    /// The router: `POST /` and `GET /{request in Base64}`, to be nested where the certificates' AIA says.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(|| async { NOTHING_ASKED }).post(post))
            .route("/{*request}", get(asked))
            .layer(DefaultBodyLimit::max(OcspRequest::MAX_OCTETS + 1))
            .with_state(self.clone())
    }

    async fn answer(&self, der: &[u8], cacheable: bool) -> Response {
        let now = (self.0.now)();
        match self.try_answer(der, now).await {
            Ok(answer) => answer.response(cacheable, now, self.0.settings.max_age),
            Err(failure) => (COMMON, NO_STORE, failure.der().to_vec()).into_response(),
        }
    }

    async fn try_answer(&self, der: &[u8], now: UtcDateTime) -> Result<Arc<Answer>, OcspFailure> {
        let request = OcspRequest::from_der(der).map_err(|fault| {
            tracing::debug!(%fault, "an OCSP request cannot be read");
            OcspFailure::MalformedRequest
        })?;
        let responder = self.0.responder.read().unwrap_or_else(PoisonError::into_inner).clone();
        let responder = responder.ok_or(OcspFailure::TryLater)?;
        if !request.certificates().iter().all(|id| responder.answers_for(id)) {
            return Err(OcspFailure::Unauthorized);
        }
        // An answer to one question without a nonce is the same for everybody who asks.
        let key = match (request.certificates(), request.nonce()) {
            ([id], None) => Some(digest::digest(&digest::SHA256, id.der()).as_ref().to_vec()),
            _ => None,
        };
        let epoch = {
            let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = key.as_ref().and_then(|key| kept.get(key))
                && answer.is_fresh(now, self.0.settings.refresh)
            {
                return Ok(answer);
            }
            kept.epoch
        };
        let statuses = self.statuses(request.certificates()).await?;
        let common = !statuses.contains(&OcspStatus::Unknown);
        let answer = Arc::new(self.sign(&responder, &request, &statuses, key.is_some() && common, now)?);
        if let Some(key) = key.filter(|_| common) {
            self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).put(epoch, key, Arc::clone(&answer));
        }
        Ok(answer)
    }

    async fn statuses(&self, ids: &[CertificateId]) -> Result<Vec<OcspStatus>, OcspFailure> {
        let mut statuses = Vec::with_capacity(ids.len());
        for id in ids {
            statuses.push(match id.serial() {
                Some(serial) => self.0.source.status(&serial).await.map_err(|error| {
                    tracing::error!(error = ?error, "OCSP cannot be answered");
                    OcspFailure::TryLater
                })?,
                None => OcspStatus::Unknown,
            });
        }
        Ok(statuses)
    }

    fn sign(
        &self,
        responder: &OcspResponder,
        request: &OcspRequest,
        statuses: &[OcspStatus],
        lasting: bool,
        now: UtcDateTime,
    ) -> Result<Answer, OcspFailure> {
        let last = now.saturating_add(self.0.settings.validity).min(responder.validity().not_after());
        let next_update = lasting.then_some(last);
        let edition = OcspEdition { produced_at: now, this_update: now, next_update };
        let answers = request.certificates().iter().zip(statuses.iter().copied());
        match responder.sign(answers, edition, request.nonce()) {
            Ok(der) => Ok(Answer::new(der, now, next_update)),
            Err(error) => {
                tracing::error!(error = ?error, "an OCSP answer was not signed");
                Err(OcspFailure::TryLater)
            }
        }
    }
}

impl fmt::Debug for OcspService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OcspService").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

const NOTHING_ASKED: &str =
    "This is an OCSP responder. Ask it by POST, or by GET with the request in the path (RFC 6960, A.1).\n";
const KIND: HeaderValue = HeaderValue::from_static("application/ocsp-response");
const COMMON: [(header::HeaderName, HeaderValue); 1] = [(header::CONTENT_TYPE, KIND)];
const NO_STORE: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

async fn post(State(service): State<OcspService>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind != Some(b"application/ocsp-request") {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "An OCSP request is of the type application/ocsp-request.\n")
            .into_response();
    }
    service.answer(&body, false).await
}

/// The request in the path: Base64, of which the client has escaped what means something in a URL.
async fn asked(State(service): State<OcspService>, Path(request): Path<String>, headers: HeaderMap) -> Response {
    // Longer than any request we read; nothing of it is decoded.
    let der = if request.len() > OcspRequest::MAX_OCTETS * 2 { None } else { STANDARD.decode(request).ok() };
    let response = service.answer(&der.unwrap_or_default(), true).await;
    if response.headers().get(header::ETAG).is_some_and(|etag| is_known(&headers, etag, None)) {
        let (mut parts, _) = response.into_parts();
        parts.status = StatusCode::NOT_MODIFIED;
        return Response::from_parts(parts, axum::body::Body::empty());
    }
    response
}

/// A signed answer.
struct Answer {
    der: Vec<u8>,
    etag: HeaderValue,
    this_update: UtcDateTime,
    next_update: Option<UtcDateTime>,
}

impl Answer {
    fn new(der: Vec<u8>, this_update: UtcDateTime, next_update: Option<UtcDateTime>) -> Self {
        Self { etag: etag_of(&der), der, this_update, next_update }
    }

    /// Whether the answer may still be given: neither older than `refresh`, nor past its nextUpdate, which comes sooner
    /// where the responder's certificate ends, nor from the future of a clock that went back.
    fn is_fresh(&self, now: UtcDateTime, refresh: Duration) -> bool {
        let until = self.this_update.saturating_add(refresh);
        (self.this_update..self.next_update.map_or(until, |next| next.truncate_to_second().min(until))).contains(&now)
    }

    /// The headers of RFC 5019, 6.2, for an answer that a cache may keep.
    fn response(&self, cacheable: bool, now: UtcDateTime, max_age: u32) -> Response {
        let (true, Some(next)) = (cacheable, self.next_update) else {
            return (COMMON, NO_STORE, self.der.clone()).into_response();
        };
        let left = u32::try_from((next - now).whole_seconds()).unwrap_or(0).min(max_age);
        let cache = format!("max-age={left}, public, no-transform, must-revalidate");
        let headers = [
            (header::CACHE_CONTROL, HeaderValue::from_str(&cache).unwrap_or(HeaderValue::from_static("no-store"))),
            (header::ETAG, self.etag.clone()),
            (header::LAST_MODIFIED, http_date(self.this_update)),
            (header::EXPIRES, http_date(now.saturating_add(Duration::seconds(i64::from(left))))),
        ];
        (COMMON, headers, self.der.clone()).into_response()
    }
}

/// Answers by the hash of their question, the less recent half of them forgotten when there are too many.
#[derive(Default)]
struct Kept {
    /// Grows when everything is forgotten; an answer that was begun before is not kept.
    epoch: u64,
    recent: HashMap<Vec<u8>, Arc<Answer>>,
    older: HashMap<Vec<u8>, Arc<Answer>>,
}

impl Kept {
    /// The most answers of one half: both together take some 20 MiB.
    const HALF: usize = 8192;

    fn get(&mut self, key: &[u8]) -> Option<Arc<Answer>> {
        if let Some(answer) = self.recent.get(key) {
            return Some(Arc::clone(answer));
        }
        let answer = self.older.remove(key)?;
        self.put(self.epoch, key.to_vec(), Arc::clone(&answer));
        Some(answer)
    }

    fn put(&mut self, epoch: u64, key: Vec<u8>, answer: Arc<Answer>) {
        if epoch != self.epoch {
            return;
        }
        if self.recent.len() >= Self::HALF {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key, answer);
    }
}
