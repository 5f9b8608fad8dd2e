//! The RA's side of the RA-CA API: JSON over HTTP/2 or HTTP/1.1 and mutual TLS, on connections that are kept.
//!
//! ```no_run
//! use koshin_endpoints::client::{CaAddress, CaClient};
//! # async fn example(root: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let address = CaAddress::new("https://ca.example.jp:8443", vec![root], vec![certificate], key);
//! let client = CaClient::new(address)?;
//! println!("profiles: {:?}", client.ca().await?.profiles);
//! # Ok(())
//! # }
//! ```

mod compare;
mod connector;
mod failure;

use std::{fmt, sync::Arc, time::Duration as Patience};

use http::{Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use koshin_types::{SerialNumber, Validity};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring::default_provider, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Serialize, de::DeserializeOwned};
use time::UtcDateTime;

pub use failure::{AddressError, CallError, Refusal};

use crate::{
    ca::{ChangeKind, IssueRequest, Revocation, RevocationRequest},
    wire::{
        self, CaBody, ChangeBody, ChangeWord, ChangesBody, IssueBody, IssuedBody, ProblemBody, RevokeBody, RevokedBody,
        SubjectBody, base64, instant, read_instant, unbase64,
    },
};
use connector::{Connector, connect_failed};

/// Most octets of an answer: a page of a thousand changes takes some 300 KiB.
const MAX_ANSWER: usize = 2 * 1024 * 1024;

/// Where the CA is, and as whom to ask it.
pub struct CaAddress {
    /// `https://HOST[:PORT]`, without a path.
    pub url: String,
    /// The certificates that the CA's server certificate has to chain up to, DER. No others are believed.
    pub authorities: Vec<Vec<u8>>,
    /// The client's own certificate, DER, and those above it.
    pub certificate: Vec<Vec<u8>>,
    /// Its key, PKCS#8 DER.
    pub key: Vec<u8>,
    /// How long a connection may take, TLS included: 5 seconds.
    pub connect: Patience,
    /// How long a call may take, a new connection included: 30 seconds. A token may sign slowly.
    pub total: Patience,
}

impl CaAddress {
    /// With the usual patience.
    ///
    /// ```
    /// use koshin_endpoints::client::CaAddress;
    /// let address = CaAddress::new("https://ca.example.jp", Vec::new(), Vec::new(), Vec::new());
    /// assert_eq!((address.connect.as_secs(), address.total.as_secs()), (5, 30));
    /// ```
    pub fn new(url: &str, authorities: Vec<Vec<u8>>, certificate: Vec<Vec<u8>>, key: Vec<u8>) -> Self {
        let (connect, total) = (Patience::from_secs(5), Patience::from_secs(30));
        Self { url: url.to_owned(), authorities, certificate, key, connect, total }
    }
}

impl fmt::Debug for CaAddress {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaAddress").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A client of one CA. Clones share its connections.
///
/// Every call may be repeated: the CA does the same thing once. A call that is dropped or fails may have been carried out.
#[derive(Clone)]
pub struct CaClient {
    http: Client<Connector, Full<Bytes>>,
    base: Arc<Base>,
}

struct Base {
    authority: http::uri::Authority,
    total: Patience,
}

/// An issued certificate, as the CA answers with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certified {
    /// Its serial number.
    pub serial: SerialNumber,
    /// The DER `Certificate`.
    pub certificate: Vec<u8>,
    /// The certificates above it, the issuing CA's first.
    pub chain: Vec<Vec<u8>>,
    /// Its validity: that of the first request of this order.
    pub validity: Validity,
}

impl fmt::Debug for Certified {
    /// Leaves the bytes out: they name a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certified").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// What became of one of this RA's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteChange {
    /// Its place among all changes.
    pub sequence: u64,
    /// The serial number.
    pub serial: SerialNumber,
    /// When the CA recorded it.
    pub at: UtcDateTime,
    /// What happened.
    pub kind: ChangeKind,
}

/// A page of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteChanges {
    /// In their order.
    pub changes: Vec<RemoteChange>,
    /// What to ask after next. A page may be empty and still lead on.
    pub next: u64,
    /// The newest change there is; the page is the last one when `next` is not smaller.
    pub head: u64,
}

/// The CA on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCa {
    /// The issuing CA's certificate, DER.
    pub certificate: Vec<u8>,
    /// The certificates above what it issues, its own first.
    pub chain: Vec<Vec<u8>>,
    /// The profiles that this client may use.
    pub profiles: Vec<String>,
}

impl CaClient {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when URL, certificates or key cannot be used.
    pub fn new(address: CaAddress) -> Result<Self, AddressError> {
        let CaAddress { url, authorities, certificate, key, connect, total } = address;
        let wrong = || AddressError::Url { url: url.clone() };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.filter(|_| plain && uri.scheme_str() == Some("https")).ok_or_else(wrong)?.clone();
        let mut roots = RootCertStore::empty();
        for (number, der) in authorities.into_iter().enumerate() {
            let added = roots.add(CertificateDer::from(der));
            added.map_err(|source| AddressError::Authority { number, source: Box::new(source) })?;
        }
        if roots.is_empty() {
            return Err(AddressError::NoAuthority);
        }
        let own = certificate.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|source| AddressError::Own { source: Box::new(source) })?;
        let tls = tls.with_root_certificates(roots).with_client_auth_cert(own, key);
        let mut tls = tls.map_err(|source| AddressError::Own { source: Box::new(source) })?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would carry yesterday's certificate into today.
        tls.resumption = Resumption::disabled();
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Patience::from_secs(60))
            .http2_keep_alive_interval(Patience::from_secs(15))
            .http2_keep_alive_timeout(Patience::from_secs(5))
            .build(Connector::new(tls, connect));
        Ok(Self { http, base: Arc::new(Base { authority, total }) })
    }

    /// Asks for a certificate. The same renewal and key get the same one every time.
    ///
    /// What comes back is compared: the key is that of the request, serial number and validity are those stated beside
    /// the certificate, and the first certificate above it signed it. That this one is the CA the registration authority
    /// means is for the caller to compare, with what it keeps of [`ca`](Self::ca).
    ///
    /// # Errors
    ///
    /// [`CallError`]; when it [is transient](CallError::is_transient) the same request is to be sent again.
    pub async fn issue(&self, request: &IssueRequest) -> Result<Certified, CallError> {
        let body = IssueBody {
            renewal_id: request.renewal.to_string(),
            profile: request.profile.clone(),
            subject: SubjectBody { organization: request.organization.clone(), id: request.subject.clone() },
            mail: request.mail.clone(),
            not_before: instant(request.validity.not_before()),
            not_after: instant(request.validity.not_after()),
            now: instant(request.now),
            request: base64(&request.request),
        };
        let answer: IssuedBody = self.post("/v1/issue", &body).await?;
        let certified = certified(&answer).ok_or(UNREADABLE)?;
        compare::compare(&request.request, &certified).map_err(|field| CallError::Differs { field })?;
        Ok(certified)
    }

    /// Has a certificate revoked; answers with the revocation that counts, which is the first.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn revoke(&self, request: &RevocationRequest, now: UtcDateTime) -> Result<Revocation, CallError> {
        let body = RevokeBody {
            serial: request.serial.to_string(),
            reason: request.reason.to_string(),
            revoked_at: instant(request.revoked_at),
            invalidity_date: request.invalidity_date.map(instant),
            now: instant(now),
        };
        let RevokedBody { reason, revoked_at, invalidity_date, by, .. } = self.post("/v1/revoke", &body).await?;
        revocation(Some(&reason), Some(&revoked_at), invalidity_date.as_deref(), Some(by)).ok_or(UNREADABLE)
    }

    /// What became of this RA's certificates after the change `since`, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn changes(&self, since: u64, limit: u32) -> Result<RemoteChanges, CallError> {
        let ChangesBody { changes, next, head } = self.get(&format!("/v1/changes?since={since}&limit={limit}")).await?;
        let changes: Option<Vec<_>> = changes.iter().map(change).collect();
        Ok(RemoteChanges { changes: changes.ok_or(UNREADABLE)?, next, head })
    }

    /// The CA's certificates, and what this client may use.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn ca(&self) -> Result<RemoteCa, CallError> {
        let CaBody { certificate, chain, profiles } = self.get("/v1/ca").await?;
        let chain: Option<Vec<_>> = chain.iter().map(|der| unbase64(der)).collect();
        let (Some(certificate), Some(chain)) = (unbase64(&certificate), chain) else { return Err(UNREADABLE) };
        Ok(RemoteCa { certificate, chain, profiles })
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Broken(Box::new(error)))?;
        self.call(Method::POST, path, body).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T, CallError> {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| CallError::Broken(error);
        let path: PathAndQuery = path.parse().map_err(|error| broken(Box::new(error)))?;
        let uri = Uri::builder().scheme("https").authority(self.base.authority.clone()).path_and_query(path);
        let uri = uri.build().map_err(|error| broken(Box::new(error)))?;
        let mut request = Request::builder().method(method).uri(uri).header(header::ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| broken(Box::new(error)))?;
        let answered = async {
            let response = self.http.request(request).await.map_err(|error| {
                if connect_failed(&error) {
                    CallError::Connect(Box::new(error))
                } else {
                    CallError::Broken(Box::new(error))
                }
            })?;
            read(response).await
        };
        let total = self.base.total;
        tokio::time::timeout(total, answered).await.map_err(|_| CallError::TimedOut { after: total })?
    }
}

impl fmt::Debug for CaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaClient").field("authority", &self.base.authority).finish_non_exhaustive()
    }
}

/// An answer with members that cannot be read.
const UNREADABLE: CallError = CallError::Unreadable { status: StatusCode::OK };

async fn read<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, CallError> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(CallError::Broken)?.to_bytes();
    let status = parts.status;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|_| CallError::Unreadable { status });
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let problem = serde_json::from_slice::<ProblemBody>(&body).ok().filter(|_| kind == Some(wire::PROBLEM.as_bytes()));
    let ProblemBody { code, detail, remedy, .. } = problem.ok_or(CallError::Unreadable { status })?;
    let seconds = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(CallError::Refused(Refusal { status, code, detail, remedy, retry_after: seconds.map(Patience::from_secs) }))
}

fn certified(answer: &IssuedBody) -> Option<Certified> {
    let validity = Validity::new(read_instant(&answer.not_before)?, read_instant(&answer.not_after)?).ok()?;
    Some(Certified {
        serial: answer.serial.parse().ok()?,
        certificate: unbase64(&answer.certificate)?,
        chain: answer.chain.iter().map(|der| unbase64(der)).collect::<Option<_>>()?,
        validity,
    })
}

fn change(body: &ChangeBody) -> Option<RemoteChange> {
    let revoked = || {
        revocation(body.reason.as_deref(), body.revoked_at.as_deref(), body.invalidity_date.as_deref(), body.by.clone())
    };
    let kind = match body.kind {
        ChangeWord::Issued => ChangeKind::Issued,
        ChangeWord::Abandoned => ChangeKind::Abandoned(revoked()?),
        ChangeWord::Revoked => ChangeKind::Revoked(revoked()?),
    };
    Some(RemoteChange { sequence: body.sequence, serial: body.serial.parse().ok()?, at: read_instant(&body.at)?, kind })
}

fn revocation(
    reason: Option<&str>,
    at: Option<&str>,
    invalidity_date: Option<&str>,
    by: Option<String>,
) -> Option<Revocation> {
    let invalidity_date = match invalidity_date {
        Some(text) => Some(read_instant(text)?),
        None => None,
    };
    Some(Revocation { at: read_instant(at?)?, reason: reason?.parse().ok()?, invalidity_date, by: by? })
}
