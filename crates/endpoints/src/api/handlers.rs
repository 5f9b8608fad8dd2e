//! The routes.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use koshin_types::Validity;
use serde::{Deserialize, de::DeserializeOwned};
use time::UtcDateTime;

use super::{
    Api, description,
    problem::{self, Problem},
};
use crate::{
    ca::{CaService, Change, ChangeKind, Client, IssueRequest, RevocationRequest},
    wire::{
        CaBody, ChangeBody, ChangeWord, ChangesBody, IssueBody, IssuedBody, ProblemBody, RevokeBody, RevokedBody,
        base64, instant, read_instant, unbase64,
    },
};

type Body = Result<Bytes, BytesRejection>;

/// How any of the routes refuses.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it is there for the description alone")]
pub(super) enum Refusals {
    /// Refused; the same request will be refused again.
    #[response(status = "4XX", content_type = "application/problem+json")]
    Refused(ProblemBody),
    /// Not now; send the same request again after Retry-After.
    #[response(status = "5XX", content_type = "application/problem+json")]
    Later(ProblemBody),
}

/// How many changes a page has when nothing is said.
const PAGE: u32 = 100;

/// Issue a certificate
///
/// The same renewal and key get the same certificate every time, byte for byte. After a lost answer, a 5xx or a crash of either
/// side, send the same request again.
#[utoipa::path(
    post, tag = "ca", path = "/v1/issue", request_body = IssueBody,
    responses(
        (status = 200, description = "The certificate.", body = IssuedBody),
        Refusals,
    ),
)]
pub(super) async fn issue(
    State(api): State<Api>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<IssuedBody>, Problem> {
    let now = (api.now)();
    let request = issue_request(read(&headers, body)?)?;
    let issued = api.service.issue(&client, &request, now).await?;
    Ok(Json(IssuedBody {
        serial: issued.serial.to_string(),
        certificate: base64(&issued.certificate),
        chain: api.service.chain_of(&issued.certificate).into_iter().map(base64).collect(),
        not_before: instant(issued.validity.not_before()),
        not_after: instant(issued.validity.not_after()),
    }))
}

/// Revoke a certificate
///
/// Final: a second revocation changes nothing and is answered with the first.
#[utoipa::path(
    post, tag = "ca", path = "/v1/revoke", request_body = RevokeBody,
    responses(
        (status = 200, description = "The revocation that counts.", body = RevokedBody),
        Refusals,
    ),
)]
pub(super) async fn revoke(
    State(api): State<Api>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RevokedBody>, Problem> {
    let now = (api.now)();
    let body: RevokeBody = read(&headers, body)?;
    let theirs = read_at("now", &body.now)?;
    if (theirs - now).abs() > CaService::CLOCKS_DIFFER {
        let (ra, ca) = (instant(theirs), instant(now));
        tracing::warn!(client = client.name, ra, ca, "an RA's clock differs by more than an hour");
    }
    let request = RevocationRequest {
        serial: body.serial.parse().map_err(|_| Problem::value("serial", "a serial number in hexadecimal"))?,
        reason: body.reason.parse().map_err(|_| Problem::value("reason", "a reason for a revocation"))?,
        revoked_at: read_at("revoked_at", &body.revoked_at)?,
        invalidity_date: body.invalidity_date.map(|at| read_at("invalidity_date", &at)).transpose()?,
    };
    let revoked = api.service.revoke(&client, &request, now).await?;
    Ok(Json(RevokedBody {
        serial: request.serial.to_string(),
        reason: revoked.reason.to_string(),
        revoked_at: instant(revoked.at),
        invalidity_date: revoked.invalidity_date.map(instant),
        by: revoked.by,
    }))
}

/// What to tell of.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesQuery {
    /// Tell what came after this one: the `next` of the page before. From the beginning when left out.
    #[serde(default)]
    since: u64,
    /// How many at most: 1 to 1000, 100 when left out.
    limit: Option<u32>,
}

/// What became of certificates
///
/// The changes of the client's own certificates, in order, by pages, and of those that were found after a restore, of which
/// the CA cannot say whose they are. An RA asks every half second.
#[utoipa::path(
    get, tag = "ca", path = "/v1/changes", params(ChangesQuery),
    responses(
        (status = 200, description = "A page of changes.", body = ChangesBody),
        Refusals,
    ),
)]
pub(super) async fn changes(
    State(api): State<Api>,
    Extension(client): Extension<Arc<Client>>,
    query: Result<Query<ChangesQuery>, QueryRejection>,
) -> Result<Json<ChangesBody>, Problem> {
    let Query(ChangesQuery { since, limit }) = query.map_err(|error| Problem::parser(&problem::QUERY, &error))?;
    let page = api.service.changes(&client, since, limit.unwrap_or(PAGE)).await?;
    Ok(Json(ChangesBody { changes: page.changes.into_iter().map(change).collect(), next: page.next, head: page.head }))
}

/// The CA
///
/// The certificates that what is issued here chains up to, and the profiles that the client may use: for an RA's start.
#[utoipa::path(
    get, tag = "ca", path = "/v1/ca",
    responses(
        (status = 200, description = "The CA.", body = CaBody),
        Refusals,
    ),
)]
pub(super) async fn ca(State(api): State<Api>, Extension(client): Extension<Arc<Client>>) -> Json<CaBody> {
    Json(CaBody {
        certificate: base64(api.service.ca().certificate_der()),
        chain: api.service.chain().into_iter().map(base64).collect(),
        profiles: client.profiles.iter().cloned().collect(),
    })
}

/// This description
///
/// As `OpenAPI` 3.1, of exactly the program that answers.
#[utoipa::path(
    get, tag = "ca", path = "/v1/openapi.json",
    responses(
        (status = 200, description = "The description.", content_type = "application/json"),
        Refusals,
    ),
)]
pub(super) async fn description() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], description::openapi()).into_response()
}

fn change(change: Change) -> ChangeBody {
    let (kind, revocation) = match change.kind {
        ChangeKind::Issued => (ChangeWord::Issued, None),
        ChangeKind::Abandoned(revocation) => (ChangeWord::Abandoned, Some(revocation)),
        ChangeKind::Revoked(revocation) => (ChangeWord::Revoked, Some(revocation)),
    };
    ChangeBody {
        sequence: change.sequence,
        serial: change.serial.to_string(),
        at: instant(change.at),
        kind,
        reason: revocation.as_ref().map(|revocation| revocation.reason.to_string()),
        revoked_at: revocation.as_ref().map(|revocation| instant(revocation.at)),
        invalidity_date: revocation.as_ref().and_then(|revocation| revocation.invalidity_date).map(instant),
        by: revocation.map(|revocation| revocation.by),
    }
}

fn issue_request(body: IssueBody) -> Result<IssueRequest, Problem> {
    let not_before = read_at("not_before", &body.not_before)?;
    let not_after = read_at("not_after", &body.not_after)?;
    let validity = Validity::new(not_before, not_after);
    Ok(IssueRequest {
        renewal: body.renewal_id.parse().map_err(|_| Problem::value("renewal_id", "16 octets in hexadecimal"))?,
        profile: body.profile,
        organization: body.subject.organization,
        subject: body.subject.id,
        mail: body.mail,
        validity: validity.map_err(|error| Problem::parser(&problem::VALUE, &error))?,
        now: read_at("now", &body.now)?,
        request: unbase64(&body.request).ok_or_else(|| Problem::value("request", "Base64"))?,
    })
}

fn read_at(member: &str, text: &str) -> Result<UtcDateTime, Problem> {
    read_instant(text).ok_or_else(|| Problem::value(member, "an instant as RFC 3339 writes it"))
}

fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::plain(&problem::MEDIA_TYPE));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::plain(&problem::TOO_LARGE),
        _ => Problem::plain(&problem::JSON),
    })?;
    // The parser says where and what was expected; it repeats names of members, and of values no more than their type.
    serde_json::from_slice(&body).map_err(|error| Problem::parser(&problem::JSON, &error))
}
