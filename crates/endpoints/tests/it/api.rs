//! The RA-CA API, asked without a network.

use std::sync::{Arc, atomic::Ordering};

use axum::{Router, body::Body};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use koshin_endpoints::{
    api::{ClientCertificate, MAX_BODY, openapi, router},
    ca::{CaService, IssueRequest, Ledger as _},
};
use koshin_types::Rfc3339;
use serde_json::{Value, json};
use time::Duration;
use tower::ServiceExt as _;

use crate::ca::{Bench, csr, now, order, renewal};

struct Api {
    bench: Bench,
    service: Arc<CaService>,
    router: Router,
}

impl Api {
    fn new() -> Self {
        Self::over(Bench::new())
    }

    fn over(bench: Bench) -> Self {
        let service = Arc::new(bench.service());
        Self { router: router(Arc::clone(&service), Arc::new(now)), service, bench }
    }

    async fn send(&self, shown: Option<&[u8]>, request: http::request::Builder, body: Vec<u8>) -> Response<Body> {
        let mut request = request.body(Body::from(body)).unwrap();
        if let Some(shown) = shown {
            request.extensions_mut().insert(ClientCertificate(shown.to_vec()));
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        Answer::of(self.send(Some(b"portal"), request, body.to_string().into_bytes()).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.send(Some(b"portal"), Request::get(path), Vec::new()).await).await
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    kind: String,
    retry_after: Option<String>,
    body: Value,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header(header::CACHE_CONTROL).as_deref(), Some("no-store"));
        let (status, kind) = (response.status(), header(header::CONTENT_TYPE).unwrap());
        let retry_after = header(header::RETRY_AFTER);
        let body = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        Self { status, kind, retry_after, body }
    }

    /// The body of a success.
    fn ok(self) -> Value {
        assert_eq!((self.status, self.kind.as_str()), (StatusCode::OK, "application/json"), "{:?}", self.body);
        self.body
    }

    /// Code and detail of a problem, which has to be one as RFC 9457 wants it.
    fn problem(&self, status: u16) -> (&str, &str) {
        assert_eq!((self.status.as_u16(), self.kind.as_str()), (status, "application/problem+json"), "{self:?}");
        let members: Vec<_> = self.body.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = ["type", "title", "status", "code", "detail", "remedy"];
        wanted.sort_unstable();
        assert_eq!(
            {
                let mut members = members;
                members.sort_unstable();
                members
            },
            wanted
        );
        assert_eq!(self.body["status"], status);
        assert_eq!(self.retry_after.is_some(), status == 503, "{self:?}");
        assert!(self.body["remedy"].as_str().unwrap().ends_with('.'));
        let detail = self.body["detail"].as_str().unwrap();
        assert!(detail.ends_with('.') && !detail.contains(".."), "{detail}");
        (self.body["code"].as_str().unwrap(), detail)
    }

    fn code(&self, status: u16) -> &str {
        self.problem(status).0
    }
}

fn body_of(order: &IssueRequest) -> Value {
    json!({
        "renewal_id": order.renewal.to_string(),
        "profile": order.profile,
        "subject": { "organization": order.organization, "id": order.subject },
        "mail": order.mail,
        "not_before": Rfc3339(order.validity.not_before()).to_string(),
        "not_after": Rfc3339(order.validity.not_after()).to_string(),
        "now": Rfc3339(order.now).to_string(),
        "request": STANDARD.encode(&order.request),
    })
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

fn without(mut body: Value, member: &str) -> Value {
    body.as_object_mut().unwrap().remove(member);
    body
}

#[tokio::test]
async fn issues_revokes_and_tells() {
    let api = Api::new();
    let body = body_of(&order(1));
    let issued = api.post("/v1/issue", &body).await.ok();
    assert_eq!(api.post("/v1/issue", &body).await.ok(), issued, "the same certificate, byte for byte");
    assert_eq!((&issued["not_before"], &issued["not_after"]), (&body["not_before"], &body["not_after"]));
    let chain: Vec<Vec<u8>> =
        issued["chain"].as_array().unwrap().iter().map(|der| STANDARD.decode(der.as_str().unwrap()).unwrap()).collect();
    assert_eq!(chain, [api.bench.certificate.clone(), api.bench.root.clone()]);
    let ca = api.get("/v1/ca").await.ok();
    assert_eq!(ca["certificate"], STANDARD.encode(&api.bench.certificate));
    assert_eq!((&ca["chain"], &ca["profiles"]), (&issued["chain"], &json!(["client"])));

    let revocation = json!({
        "serial": issued["serial"],
        "reason": "superseded",
        "revoked_at": "2026-11-22T06:26:40Z",
        "invalidity_date": "2026-11-21T00:00:00+09:00",
        "now": "2026-11-22T06:26:40.5Z",
    });
    let revoked = api.post("/v1/revoke", &revocation).await.ok();
    assert_eq!(
        revoked,
        json!({
            "serial": issued["serial"],
            "reason": "superseded",
            "revoked_at": "2026-11-22T06:26:40Z",
            "invalidity_date": "2026-11-20T15:00:00Z",
            "by": "portal",
        })
    );
    let second = with(revocation, "reason", json!("keyCompromise"));
    assert_eq!(api.post("/v1/revoke", &second).await.ok(), revoked, "the first one counts");

    let changes = api.get("/v1/changes").await.ok();
    let at = "2026-11-22T06:26:40Z";
    assert_eq!(
        changes,
        json!({
            "changes": [
                { "sequence": 1, "serial": issued["serial"], "at": at, "kind": "issued" },
                {
                    "sequence": 2, "serial": issued["serial"], "at": at, "kind": "revoked", "by": "portal",
                    "reason": "superseded", "revoked_at": at, "invalidity_date": "2026-11-20T15:00:00Z",
                },
            ],
            "next": 2,
            "head": 2,
        })
    );
    let page = api.get("/v1/changes?since=1&limit=1").await.ok();
    assert_eq!((page["changes"].as_array().unwrap().len(), &page["next"]), (1, &json!(2)));
    assert_eq!(api.post("/v1/issue", &body).await.code(409), "order.revoked");
}

#[tokio::test]
async fn only_configured_clients_are_let_in() {
    let api = Api::new();
    for path in ["/v1/issue", "/v1/revoke", "/v1/changes", "/v1/ca", "/v1/openapi.json", "/", "/nothing"] {
        for shown in [None, Some(&b"somebody's"[..]), Some(b"")] {
            let request = Request::get(path);
            let answer = Answer::of(api.send(shown, request, Vec::new()).await).await;
            assert_eq!(answer.code(403), "client.unknown", "{path}");
        }
    }
    assert_eq!(api.get("/v1/nothing").await.code(404), "route.unknown");
    assert_eq!(api.get("/v1/issue").await.code(405), "route.method");
    assert_eq!(api.post("/v1/ca", &json!({})).await.code(405), "route.method");
    assert_eq!(
        api.post("/v1/issue", &with(body_of(&order(1)), "profile", json!("machine"))).await.code(403),
        "client.profile"
    );

    let mut bench = Bench::new();
    bench.clients[0].rights.clear();
    let api = Api::over(bench);
    assert_eq!(api.post("/v1/issue", &body_of(&order(1))).await.code(403), "client.profile");
    assert_eq!(api.get("/v1/changes").await.code(403), "client.right");
    let revocation = json!({ "serial": "01", "reason": "superseded", "revoked_at": "2026-11-22T06:26:40Z", "now": "2026-11-22T06:26:40Z" });
    assert_eq!(api.post("/v1/revoke", &revocation).await.code(403), "client.right");
    assert_eq!(api.bench.ledger.audited(), 0);
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let api = Api::new();
    let body = body_of(&order(1));
    for member in ["renewal_id", "profile", "subject", "not_before", "not_after", "now", "request"] {
        let answer = api.post("/v1/issue", &without(body.clone(), member)).await;
        let (code, detail) = answer.problem(400);
        assert!(code == "body.json" && detail.contains(member), "{detail}");
    }
    for (unknown, value) in [("csr", json!("")), ("extensions", json!([])), ("serial", json!("01"))] {
        let answer = api.post("/v1/issue", &with(body.clone(), unknown, value)).await;
        let (code, detail) = answer.problem(400);
        assert!(code == "body.json" && detail.contains(unknown), "{detail}");
    }
    for (member, value) in [
        ("renewal_id", json!("5f")),
        ("not_before", json!("2026-11-22")),
        ("not_after", json!("2027-11-22 00:00:00")),
        ("now", json!("now")),
        ("request", json!("%%%")),
    ] {
        let answer = api.post("/v1/issue", &with(body.clone(), member, value)).await;
        let (code, detail) = answer.problem(422);
        assert!(code == "body.value" && detail.contains(member), "{detail}");
    }
    let reversed = with(body.clone(), "not_after", json!("2026-11-21T00:00:00Z"));
    assert_eq!(api.post("/v1/issue", &reversed).await.code(422), "body.value");
    let fraction = with(body.clone(), "not_before", json!("2026-11-22T06:26:40.5Z"));
    assert_eq!(api.post("/v1/issue", &fraction).await.code(422), "body.value");
    let organization = with(body.clone(), "subject", json!({ "organization": "x", "id": "y", "country": "JP" }));
    assert_eq!(api.post("/v1/issue", &organization).await.code(400), "body.json");

    let sent = async |kind: Option<&str>, body: Vec<u8>| {
        let request = Request::post("/v1/issue");
        let request = if let Some(kind) = kind { request.header(header::CONTENT_TYPE, kind) } else { request };
        Answer::of(api.send(Some(b"portal"), request, body).await).await
    };
    let text = body.to_string().into_bytes();
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        assert_eq!(sent(kind, text.clone()).await.code(415), "body.media_type");
    }
    assert_eq!(sent(Some("application/json"), Vec::new()).await.code(400), "body.json");
    assert_eq!(sent(Some("application/json"), [text.clone(), b"{}".to_vec()].concat()).await.code(400), "body.json");
    assert_eq!(sent(Some("application/json"), vec![b'['; MAX_BODY]).await.code(400), "body.json");
    assert_eq!(sent(Some("application/json"), vec![b' '; MAX_BODY + 1]).await.code(413), "body.too_large");
    for query in ["since=-1", "limit=x", "since=1&page=2", "since=1&since=2"] {
        assert_eq!(api.get(&format!("/v1/changes?{query}")).await.code(400), "query.value", "{query}");
    }
    assert_eq!(api.bench.ledger.audited(), 0);
    assert_eq!(sent(Some("application/json; charset=utf-8"), text).await.status, StatusCode::OK);
}

#[tokio::test]
async fn refusals_bear_their_codes_and_what_was_compared() {
    let api = Api::new();
    let body = body_of(&order(1));
    let refused = async |member: &str, value: Value| api.post("/v1/issue", &with(body.clone(), member, value)).await;
    let answer = refused("now", json!("2026-11-22T08:00:00Z")).await;
    let (code, detail) = answer.problem(503);
    assert_eq!(code, "clock.differs");
    assert!(detail.contains("2026-11-22T08:00:00Z") && detail.contains("2026-11-22T06:26:40Z"), "{detail}");
    let answer = refused("not_after", json!("2028-11-22T00:00:00Z")).await;
    assert_eq!(answer.code(422), "validity.too_long");
    assert_eq!(refused("not_before", json!("2026-11-22T06:26:41Z")).await.code(422), "validity.ahead");
    assert_eq!(refused("not_before", json!("2026-11-22T05:26:39Z")).await.code(422), "validity.backdated");
    assert_eq!(refused("mail", json!("山田@例え.jp")).await.code(422), "mail.unusable");
    assert_eq!(refused("subject", json!({ "organization": "", "id": "U" })).await.code(422), "subject.name");
    assert_eq!(refused("request", json!("")).await.code(422), "request.empty");
    assert_eq!(refused("request", json!(STANDARD.encode([0x30, 0x03, 2, 1, 0]))).await.status, 422);
    assert_eq!(api.bench.ledger.audited(), 0);
    api.post("/v1/issue", &without(body.clone(), "mail")).await.ok();
    assert_eq!(refused("renewal_id", json!(renewal(2).to_string())).await.code(409), "key.seen");
    assert_eq!(refused("request", json!(STANDARD.encode(csr()))).await.code(409), "renewal.taken");
    let other = json!({ "organization": "更新商店", "id": "U-2" });
    assert_eq!(refused("subject", other).await.code(409), "order.differs");

    api.bench.key.away.store(true, Ordering::Relaxed);
    let waiting = body_of(&order(2));
    let answer = api.post("/v1/issue", &waiting).await;
    assert_eq!((answer.code(503), answer.retry_after.as_deref()), ("ca.key_unavailable", Some("5")));
    api.bench.key.away.store(false, Ordering::Relaxed);
    api.bench.key.broken.store(true, Ordering::Relaxed);
    assert_eq!(api.post("/v1/issue", &waiting).await.code(503), "ca.key_refused");
    api.bench.key.broken.store(false, Ordering::Relaxed);
    api.service.hold(Some("restored from a backup".to_owned()));
    let answer = api.post("/v1/issue", &waiting).await;
    let (code, detail) = answer.problem(503);
    assert!(code == "ca.held" && detail.contains("restored from a backup"), "{detail}");
    api.service.hold(None);
    api.post("/v1/issue", &waiting).await.ok();

    let revocation = json!({
        "serial": "01", "reason": "superseded", "revoked_at": "2026-11-22T06:26:40Z", "now": "2026-11-22T06:26:40Z",
    });
    assert_eq!(api.post("/v1/revoke", &revocation).await.code(404), "serial.unknown");
    for (member, value) in [("serial", "xyz"), ("reason", "certificateHold"), ("revoked_at", "today"), ("now", "")] {
        let answer = api.post("/v1/revoke", &with(revocation.clone(), member, json!(value))).await;
        let (code, detail) = answer.problem(422);
        assert!(code == "body.value" && detail.contains(member), "{detail}");
    }
}

/// A revocation is taken from an RA whose clock is wrong: its certificates must not live on for that.
#[tokio::test]
async fn a_wrong_clock_keeps_no_certificate_alive() {
    let api = Api::new();
    let serial = api.post("/v1/issue", &body_of(&order(1))).await.ok()["serial"].clone();
    let years_ahead = Rfc3339(now() + Duration::days(3000)).to_string();
    let revocation =
        json!({ "serial": serial, "reason": "keyCompromise", "revoked_at": years_ahead, "now": years_ahead });
    assert_eq!(api.post("/v1/revoke", &revocation).await.ok()["revoked_at"], "2026-11-22T06:26:40Z");
    assert_eq!(api.bench.ledger.changes(0, 10).await.unwrap().largest, Some(now()));
}

#[tokio::test]
async fn the_description_is_complete() {
    let api = Api::new();
    let description = api.get("/v1/openapi.json").await.ok();
    assert_eq!(description, serde_json::from_str::<Value>(openapi()).unwrap());
    let mut routes = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
        // What is described is there.
        let method = methods.as_object().unwrap().keys().next().unwrap().to_uppercase();
        let request = Request::builder().method(method.as_str()).uri(path);
        let status = api.send(Some(b"portal"), request, Vec::new()).await.status();
        assert!(!matches!(status.as_u16(), 404 | 405), "{method} {path}: {status}");
    }
    routes.sort();
    assert_eq!(routes, ["get /v1/ca", "get /v1/changes", "get /v1/openapi.json", "post /v1/issue", "post /v1/revoke"]);
    let codes = &description["components"]["schemas"]["Problem"]["properties"]["code"]["anyOf"][0]["enum"];
    let codes: Vec<_> = codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    // Every word that the source may answer with.
    let source = include_str!("../../src/api/problem.rs");
    let table = source.split_once("kinds! {").unwrap().1.split_once("\n}\n").unwrap().0;
    let kinds = table.matches("Kind::").count();
    assert_eq!(codes.len(), kinds);
    assert!(codes.iter().all(|code| table.contains(&format!("\"{code}\""))));
    let mut unique = codes.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), codes.len(), "a code is one kind's");
    insta::assert_snapshot!("openapi", openapi());
}
