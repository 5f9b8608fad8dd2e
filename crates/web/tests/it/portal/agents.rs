//! The agent over the routers: strict bodies, stable codes, the pages beside it, and what it never gets.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode, header};
use koshin_ra::{Agents, ByRole, Passwords, Ra, Settings};
use koshin_types::{Fingerprint, ProtectionLevel};
use serde_json::{Value, json};
use time::Duration;

use super::{Answer, Ask, ID, World};
use crate::town::{NOW, PASSWORD, Town, enrolled_for, entropy, key, sha256};

impl Ask<'_> {
    fn json(self, body: &Value) -> Self {
        self.bytes("application/json", body.to_string().as_bytes())
    }
}

impl Answer {
    fn value(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    /// Status and code of a refusal, which has words too.
    fn refusal(&self) -> (u16, String) {
        let value = self.value();
        assert!(!value["message"].as_str().unwrap_or_default().is_empty(), "{value}");
        (self.status.as_u16(), value["code"].as_str().unwrap().to_owned())
    }

    /// What stands between two marks of the page.
    fn between(&self, from: &str, to: &str) -> String {
        let rest = self.body.split(from).nth(1).expect(&self.body);
        rest.split(to).next().unwrap().replace("&#38;", "&")
    }

    fn ticket(&self) -> String {
        self.between("&#38;t=", "\"").split('&').next().unwrap().to_owned()
    }
}

/// A holder at the page beside the agent.
struct Holder {
    old: Fingerprint,
    cookie: String,
    path: String,
    page: Answer,
    ticket: String,
    digits: String,
}

impl World {
    async fn holder(&self, id: &str) -> Holder {
        let old = self.town.enrolled(id, enrolled_for(8)).await;
        let cookie = self.signed_in(id, &old).await;
        let started = self.portal(Method::POST, "/renewals").session(&cookie).with(&old).send().await;
        let path = started.location().to_owned();
        let page = self.portal(Method::POST, &format!("{path}/agent")).session(&cookie).with(&old).send().await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let (ticket, digits) = (page.ticket(), page.between("<output id=\"agent-code\">", "<"));
        Holder { old, cookie, path, page, ticket, digits }
    }

    async fn call(&self, shown: &Fingerprint, path: &str, body: &Value) -> Answer {
        self.portal(Method::POST, path).json(body).with(shown).send().await
    }

    /// Ticket and digits.
    async fn confirmed(&self, holder: &Holder) {
        let opened = self.call(&holder.old, "/agent/open", &json!({"v": 1, "ticket": holder.ticket})).await;
        assert_eq!(opened.status, StatusCode::OK, "{}", opened.body);
        let confirm = format!("/agent{}/confirm", holder.path);
        let confirmed = self.call(&holder.old, &confirm, &json!({"code": holder.digits})).await;
        assert_eq!(confirmed.value(), json!({"confirmed": true}));
    }

    fn with_settings(town: Town, settings: Settings) -> Self {
        let passwords = Passwords::new(&[9; 16]).unwrap();
        let policy = Arc::new(koshin_expiry::Policy::default_jst());
        let (gate, store) = (Arc::new(koshin_issuance::Gate::new()), town.store.clone());
        let ca = Arc::clone(&town.ca);
        let ra = Ra::new(store.clone(), store.clone(), store, ca, gate, policy, passwords, entropy, settings);
        Self::of(Town { ra, ..town })
    }
}

fn requested(csr: &[u8], protection: &str) -> Value {
    json!({"request": STANDARD.encode(csr), "protection": protection})
}

#[tokio::test]
async fn from_the_page_to_the_completion() {
    let world = World::new().await;
    let holder = world.holder("U-1").await;
    let link = holder.page.between("id=\"agent-link\" href=\"", "\"");
    let serial = world.town.holding("U-1").await.certificates[0].serial.to_string().to_lowercase();
    assert_eq!(link, format!("koshin:renew?v=1&portal=https%3A%2F%2Fportal.example&t={}&s={serial}", holder.ticket));
    assert!(holder.digits.len() == 4 && holder.ticket.len() == 64, "{link}");
    let opened = world.call(&holder.old, "/agent/open", &json!({"v": 1, "ticket": holder.ticket})).await.value();
    let id = opened["renewal"].as_str().unwrap().to_owned();
    assert_eq!(format!("/renewals/{id}"), holder.path);
    let expected = json!({
        "renewal": id, "subject": "U-1", "organization": "更新商店", "role": "user",
        "predecessor": opened["predecessor"], "minimum_protection": "file", "authority": world.portal.ra.ca().issuer_name(),
        "activation": "https://activate.example", "opens": opened["opens"], "code_length": 4, "tries": 3,
    });
    assert_eq!(opened, expected);
    assert!(opened["predecessor"]["not_after"].as_str().unwrap().ends_with('Z'));
    world.call(&holder.old, &format!("/agent{}/confirm", holder.path), &json!({"code": holder.digits})).await;
    let request = format!("/agent{}/request", holder.path);
    let csr = key();
    let issued = world.call(&holder.old, &request, &requested(&csr, "hardware")).await;
    assert_eq!(issued.status, StatusCode::OK, "{}", issued.body);
    assert_eq!(world.call(&holder.old, &request, &requested(&csr, "hardware")).await.body, issued.body);
    let issued = issued.value();
    let new = sha256(&STANDARD.decode(issued["certificate"].as_str().unwrap()).unwrap());
    for _ in 0..2 {
        let installed = world.call(&holder.old, &format!("/agent{}/installed", holder.path), &json!({})).await;
        assert_eq!(installed.value(), json!({"state": "delivered"}));
    }
    let standing = world.portal(Method::GET, &format!("/agent{}", holder.path)).with(&holder.old).send().await;
    assert_eq!(standing.value(), json!({"state": "delivered", "serial": issued["serial"]}));
    // The page cannot take the agent's renewal up.
    let start = world.portal(Method::GET, &format!("{}/start", holder.path)).session(&holder.cookie).with(&holder.old);
    let start = start.send().await;
    assert!(start.body.contains("id=\"agent-way\"") && !start.body.contains("id=\"renew\""), "{}", start.body);
    let complete = holder.page.between("data-onward=\"https://public.example", "\"");
    let early = world.public(Method::GET, &complete).send().await;
    assert_eq!(early.status, StatusCode::NOT_FOUND, "not before it is in use");

    let wrong = world.activate(Method::POST, "/activate").json(&json!({"renewal": id})).with(&holder.old).send().await;
    assert_eq!(wrong.refusal(), (409, "agent.activation".into()));
    let wrong = world.activate(Method::POST, "/activate").json(&json!({"renewal": ID})).with(&new).send().await;
    assert_eq!(wrong.refusal(), (404, "agent.not_found".into()));
    let none = world.activate(Method::POST, "/activate").json(&json!({"renewal": id})).send().await;
    assert_eq!(none.refusal(), (403, "agent.no_certificate".into()));
    for _ in 0..2 {
        let activated = world.activate(Method::POST, "/activate").json(&json!({"renewal": id})).with(&new).send().await;
        let superseded = &opened["predecessor"]["serial"];
        assert_eq!(activated.value(), json!({"serial": issued["serial"], "superseded": superseded}));
    }
    let done = world.public(Method::GET, &complete).send().await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    for text in [
        "発行完了",
        "電子証明書のインストールが完了しました",
        "以外ではログインできません",
        issued["serial"].as_str().unwrap(),
    ] {
        assert!(done.words().contains(text), "{text}: {}", done.words());
    }
    assert!(!done.body.contains("id=\"remove\""), "the agent removes the old one");
    let other = format!("{complete}0");
    assert_ne!(world.public(Method::GET, &other).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_in_the_store_is_not_called_bound_to_the_computer() {
    let world = World::new().await;
    let holder = world.holder("U-1").await;
    world.confirmed(&holder).await;
    let issued = world.call(&holder.old, &format!("/agent{}/request", holder.path), &requested(&key(), "os")).await;
    let new = sha256(&STANDARD.decode(issued.value()["certificate"].as_str().unwrap()).unwrap());
    let id = holder.path.rsplit('/').next().unwrap();
    let activated = world.activate(Method::POST, "/activate").json(&json!({"renewal": id})).with(&new).send().await;
    assert_eq!(activated.status, StatusCode::OK, "{}", activated.body);
    let complete = holder.page.between("data-onward=\"https://public.example", "\"");
    let done = world.public(Method::GET, &complete).header("accept-language", "en").send().await;
    assert!(!done.words().contains("Only this computer") && done.words().contains("certificate store"));
}

#[tokio::test]
async fn only_this_json_is_taken() {
    let world = World::new().await;
    let holder = world.holder("U-1").await;
    let ticket = &holder.ticket;
    let big = format!("{{\"v\":1,\"ticket\":\"{}\"}}", "0".repeat(70_000));
    let doubled = format!("{{\"v\":1,\"v\":1,\"ticket\":\"{ticket}\"}}");
    let cases = [
        ("application/json", String::new(), (400, "agent.malformed")),
        ("application/json", "[]".into(), (400, "agent.malformed")),
        ("application/json", json!({"v": 2, "ticket": ticket}).to_string(), (400, "agent.malformed")),
        ("application/json", json!({"v": 1, "ticket": ticket, "x": 1}).to_string(), (400, "agent.malformed")),
        ("application/json", doubled, (400, "agent.malformed")),
        ("application/json", json!({"ticket": ticket}).to_string(), (400, "agent.malformed")),
        ("text/plain", json!({"v": 1, "ticket": ticket}).to_string(), (415, "agent.type")),
        ("application/json", big, (413, "agent.too_large")),
    ];
    for (kind, body, (status, code)) in cases {
        let ask = world.portal(Method::POST, "/agent/open").bytes(kind, body.as_bytes()).with(&holder.old);
        assert_eq!(ask.send().await.refusal(), (status, code.to_owned()), "{kind} {body:.80}");
    }
    world.confirmed(&holder).await;
    let request = format!("/agent{}/request", holder.path);
    for (body, code) in [
        (json!({"request": "%", "protection": "os"}), (400, "agent.malformed")),
        (json!({"request": "", "protection": "stone"}), (400, "agent.malformed")),
        (json!({"request": "", "protection": "os"}), (422, "agent.request")),
        (requested(b"hello", "os"), (422, "agent.request")),
    ] {
        let answer = world.call(&holder.old, &request, &body).await;
        assert_eq!(answer.refusal(), (code.0, code.1.to_owned()), "{body}");
    }
    for (tail, body) in [("installed", json!({"x": 1})), ("declined", json!({"at": 3})), ("declined", json!({}))] {
        let answer = world.call(&holder.old, &format!("/agent{}/{tail}", holder.path), &body).await;
        assert_eq!(answer.refusal(), (400, "agent.malformed".into()), "{tail} {body}");
    }
    assert_eq!(world.town.holding("U-1").await.certificates.len(), 1);
}

#[tokio::test]
async fn refusals_have_codes_words_and_what_was_compared() {
    let world = World::new().await;
    let holder = world.holder("U-1").await;
    let thief = world.town.enrolled("U-2", enrolled_for(8)).await;
    let open = json!({"v": 1, "ticket": holder.ticket});
    let phished = world.call(&thief, "/agent/open", &open).await;
    assert_eq!(phished.refusal(), (403, "agent.other_certificate".into()));
    assert_eq!(phished.headers[header::CACHE_CONTROL], "no-store");
    let english = world.portal(Method::POST, "/agent/open").json(&open).with(&thief).header("accept-language", "en");
    assert!(english.send().await.value()["message"].as_str().unwrap().contains("another certificate"));
    let none = world.portal(Method::POST, "/agent/open").json(&open).send().await;
    assert_eq!(none.refusal(), (403, "agent.no_certificate".into()));
    let dead = world.town.enrolled("A-1", enrolled_for(-1)).await;
    let dead = world.call(&dead, "/agent/open", &open).await;
    assert_eq!((dead.refusal().1.as_str(), &dead.value()["status"]), ("agent.certificate", &json!("expired")));
    let (request, confirm) = (format!("/agent{}/request", holder.path), format!("/agent{}/confirm", holder.path));
    let early = world.call(&holder.old, &request, &requested(&key(), "os")).await;
    assert_eq!(early.refusal(), (403, "agent.over".into()));
    world.call(&holder.old, "/agent/open", &open).await;
    assert_eq!(world.call(&holder.old, "/agent/open", &open).await.refusal(), (410, "agent.ticket_used".into()));
    let early = world.call(&holder.old, &request, &requested(&key(), "os")).await;
    assert_eq!(early.refusal(), (403, "agent.not_confirmed".into()));
    let wrong = json!({"code": format!("{:04}", (holder.digits.parse::<u32>().unwrap() + 1) % 10_000)});
    for left in [2, 1] {
        let answer = world.call(&holder.old, &confirm, &wrong).await;
        assert_eq!((answer.refusal().1.as_str(), &answer.value()["left"]), ("agent.code_wrong", &json!(left)));
    }
    for code in [&wrong, &json!({"code": holder.digits})] {
        let answer = world.call(&holder.old, &confirm, code).await;
        assert_eq!(answer.refusal(), (403, "agent.code_exhausted".into()));
    }
    for id in [ID, "x", &"f".repeat(64)] {
        let path = format!("/agent/renewals/{id}");
        let answer = world.call(&holder.old, &format!("{path}/confirm"), &wrong).await;
        assert_eq!(answer.refusal(), (404, "agent.not_found".into()));
        let answer = world.portal(Method::GET, &path).with(&holder.old).send().await;
        assert_eq!(answer.refusal(), (404, "agent.not_found".into()));
    }
    let foreign = world.call(&thief, &confirm, &wrong).await;
    assert_eq!(foreign.refusal(), (404, "agent.not_found".into()), "as one that never was");
    // From another site's page nothing comes through.
    let foreign = world.portal(Method::POST, "/agent/open").json(&open).with(&holder.old);
    let foreign = foreign.header("sec-fetch-site", "cross-site").script().send().await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let foreign = world.portal(Method::POST, &format!("{}/agent", holder.path)).session(&holder.cookie);
    let foreign = foreign.with(&holder.old).header("sec-fetch-site", "cross-site").send().await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(world.town.holding("U-1").await.certificates.len(), 1);
    let refused = world.town.store.audit().iter().filter(|record| record.word == "agent_refused").count();
    assert!(refused >= 12, "{refused}");
}

#[tokio::test]
async fn while_the_ca_is_away_the_agent_is_told_when_to_ask_again() {
    let world = World::new().await;
    let holder = world.holder("U-1").await;
    world.confirmed(&holder).await;
    let (request, csr) = (format!("/agent{}/request", holder.path), key());
    world.town.signer_down.store(true, std::sync::atomic::Ordering::Release);
    let away = world.call(&holder.old, &request, &requested(&csr, "os")).await;
    assert_eq!(away.refusal(), (503, "agent.ca_away".into()));
    assert_eq!(away.headers[header::RETRY_AFTER], "5");
    let other = world.call(&holder.old, &request, &requested(&key(), "os")).await;
    assert_eq!(other.refusal(), (409, "agent.other_key".into()));
    world.town.signer_down.store(false, std::sync::atomic::Ordering::Release);
    assert_eq!(world.call(&holder.old, &request, &requested(&csr, "os")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_role_without_agents_and_one_with_nothing_else() {
    let off = Settings { agents: ByRole::all(Agents::Off), ..Settings::default() };
    let world = World::with_settings(Town::new().await, off);
    let old = world.town.enrolled("U-1", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &old).await;
    let path = world.portal(Method::POST, "/renewals").session(&cookie).with(&old).send().await.location().to_owned();
    let start = world.portal(Method::GET, &format!("{path}/start")).session(&cookie).with(&old).send().await;
    assert!(start.body.contains("id=\"renew\"") && !start.body.contains("agent-way"));
    for path in ["/agent/open", &format!("{path}/agent")] {
        let gone = world.portal(Method::POST, path).session(&cookie).with(&old).send().await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{path}");
    }
    let agents = ByRole { administrator: Agents::Offered, user: Agents::Required };
    let minimum_protection = ByRole::all(ProtectionLevel::Hardware);
    let town = world.town;
    let world = World::with_settings(town, Settings { agents, minimum_protection, ..Settings::default() });
    let start = world.portal(Method::GET, &format!("{path}/start")).session(&cookie).with(&old).send().await;
    assert!(!start.body.contains("id=\"renew\"") && start.body.contains("id=\"choose-agent\""));
    let file = world.portal(Method::POST, &format!("{path}/request")).script().session(&cookie).with(&old);
    let file = file.bytes("application/pkcs10", &key()).send().await;
    assert_eq!((file.status.as_u16(), file.code().as_str()), (403, "renewal.agent_needed"));
    let page = world.portal(Method::POST, &format!("{path}/agent")).session(&cookie).with(&old).send().await;
    assert!(!page.body.contains("id=\"file-way\""), "there is no other way");
    let (ticket, digits) = (page.ticket(), page.between("<output id=\"agent-code\">", "<"));
    let holder = Holder { old, cookie, path, page, ticket, digits };
    world.confirmed(&holder).await;
    let low = world.call(&holder.old, &format!("/agent{}/request", holder.path), &requested(&key(), "os")).await;
    assert_eq!(low.refusal(), (403, "agent.protection".into()));
    assert_eq!((&low.value()["minimum"], &low.value()["claimed"]), (&json!("hardware"), &json!("os")));
}

#[tokio::test]
async fn the_status_says_how_far_the_agent_is_and_the_events_the_same() {
    let world = World::new().await;
    let holder = world.holder("U-1").await;
    let status = holder.page.between("data-status-url=\"https://public.example", "\"");
    let asked = async || {
        let answer = world.public(Method::GET, &status).script().send().await;
        assert_eq!(answer.headers["access-control-allow-origin"], "https://portal.example");
        answer.value()
    };
    assert_eq!(asked().await, json!({"state": "started", "serial": null, "agent": "waiting"}));
    world.call(&holder.old, "/agent/open", &json!({"v": 1, "ticket": holder.ticket})).await;
    assert_eq!(asked().await["agent"], "opened");
    world.call(&holder.old, &format!("/agent{}/confirm", holder.path), &json!({"code": holder.digits})).await;
    assert_eq!(asked().await["agent"], "confirmed");
    let issued = world.call(&holder.old, &format!("/agent{}/request", holder.path), &requested(&key(), "os")).await;
    assert_eq!(asked().await, json!({"state": "issued", "serial": issued.value()["serial"]}));
    // At an end the stream ends.
    let new = sha256(&STANDARD.decode(issued.value()["certificate"].as_str().unwrap()).unwrap());
    let id = holder.path.rsplit('/').next().unwrap();
    world.activate(Method::POST, "/activate").json(&json!({"renewal": id})).with(&new).send().await;
    let events = holder.page.between("data-events-url=\"https://public.example", "\"");
    let heard = world.public(Method::GET, &events).script().send().await;
    assert_eq!(heard.headers[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(heard.headers["x-accel-buffering"], "no");
    let data = heard.body.split("data: ").nth(1).unwrap().trim();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["state"], "activated", "{}", heard.body);
    for wrong in [format!("{events}0"), events.replace(id, ID), format!("/renewals/{id}/events?t=")] {
        let refused = world.public(Method::GET, &wrong).script().send().await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{wrong}");
    }
    let late = world.public(Method::GET, &events).script().at(NOW + Duration::minutes(15)).send().await;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn no_more_pages_listen_than_there_is_room_for() {
    let world = World::new().await;
    let holder = world.holder("U-1").await;
    let events = holder.page.between("data-events-url=\"https://public.example", "\"");
    let router = Arc::clone(&world.portal).public_router();
    let mut open = Vec::new();
    for number in 0..=256 {
        let request = http::Request::builder().uri(&events).header("accept", "text/event-stream");
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(koshin_edge::RequestInstant(NOW));
        let response = tower::ServiceExt::oneshot(router.clone(), request).await.unwrap();
        let expected = if number < 256 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(response.status(), expected, "{number}");
        open.push(response);
    }
    drop(open);
    let again = world.public(Method::GET, "/").send().await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn an_enrolment_with_the_agent_and_its_page() {
    let world = World::new().await;
    world.town.enrolled("U-1", enrolled_for(-3)).await;
    let open = async |id: &str| {
        let body = format!("id={id}&password={}", PASSWORD.replace(' ', "+"));
        let begun = world.public(Method::POST, "/enrol").form(&body).send().await.cookie();
        let code = world.public(Method::GET, "/enrol/code").session(&begun).send().await;
        assert!(code.body.contains("action=\"/enrol/agent\""), "{}", code.body);
        let page = world.public(Method::POST, "/enrol/agent").session(&begun).send().await;
        assert!(page.body.contains("koshin:enrol?v=1&#38;portal=https%3A%2F%2Fpublic.example"), "{}", page.body);
        let ticket = json!({"v": 1, "ticket": page.ticket()});
        let opened = world.public(Method::POST, "/agent/open").json(&ticket).send().await;
        let again = world.public(Method::POST, "/agent/open").json(&ticket).send().await;
        assert_eq!(again.refusal(), (410, "agent.ticket_used".into()));
        (begun, opened.value())
    };
    let prove = async |exchange: &Value, code: &str| {
        let bearer = format!("Bearer {}", exchange.as_str().unwrap());
        let ask = world.public(Method::POST, "/agent/confirm").header("authorization", &bearer);
        ask.json(&json!({"code": code})).send().await
    };
    // Of nobody's enrolment the same is said as of somebody's.
    let (_, mut nobody) = open("U-99").await;
    let (begun, opened) = open("U-1").await;
    let exchange = opened["exchange"].clone();
    assert_eq!(prove(&nobody["exchange"], "00000000").await.refusal(), (403, "agent.code_wrong".into()));
    nobody["exchange"] = exchange.clone();
    assert_eq!(nobody, opened);
    assert_eq!(opened["subject"], Value::Null);
    let wrong = prove(&exchange, "00000000").await;
    assert_eq!((wrong.refusal().1.as_str(), &wrong.value()["left"]), ("agent.code_wrong", &json!(4)));
    let status =
        async || world.public(Method::GET, "/enrol/agent/status").session(&begun).script().send().await.value();
    assert_eq!(status().await, json!({"state": "waiting"}));
    let proven = prove(&exchange, &world.town.code()).await.value();
    assert_eq!((&proven["subject"], &proven["confirmed"]), (&json!("U-1"), &json!(true)));
    assert_eq!(status().await, json!({"state": "begun"}));
    let joined = world.public(Method::POST, "/enrol/agent/join").session(&begun).send().await;
    let id = proven["renewal"].as_str().unwrap();
    let watched = joined.location().strip_prefix("https://public.example").unwrap().to_owned();
    assert!(watched.starts_with(&format!("/renewals/{id}/agent?t=")), "{watched}");
    // The page may be a thief's: no session comes with the code that was typed elsewhere.
    assert!(!joined.headers.contains_key(header::SET_COOKIE));
    for path in ["agent", "start", "status"] {
        let stolen = world.public(Method::GET, &format!("/renewals/{id}/{path}")).session(&begun).send().await;
        assert_ne!(stolen.status, StatusCode::OK, "{path}");
    }
    let beside = world.public(Method::GET, &watched).send().await;
    assert!(beside.status == StatusCode::OK && !beside.body.contains("id=\"agent-link\""), "{}", beside.body);

    let path = format!("/agent/renewals/{id}");
    let bearer = format!("Bearer {}", proven["exchange"].as_str().unwrap());
    let csr = key();
    let call = async |tail: &str, body: Value| {
        let ask = world.public(Method::POST, &format!("{path}/{tail}")).header("authorization", &bearer);
        ask.json(&body).send().await
    };
    let issued = call("request", requested(&csr, "os")).await;
    assert_eq!(issued.status, StatusCode::OK, "{}", issued.body);
    assert_eq!(call("request", requested(&csr, "os")).await.body, issued.body);
    assert_eq!(call("request", requested(&key(), "os")).await.refusal(), (409, "agent.other_key".into()));
    assert_eq!(call("installed", json!({})).await.value(), json!({"state": "delivered"}));
    for bearer in ["", "Bearer", "Basic eDp5", &format!("Bearer {}", "0".repeat(64)), exchange.as_str().unwrap()] {
        let ask = world.public(Method::POST, &format!("{path}/installed")).header("authorization", bearer);
        assert_eq!(ask.json(&json!({})).send().await.refusal(), (401, "agent.over".into()), "{bearer}");
    }
    let new = sha256(&STANDARD.decode(issued.value()["certificate"].as_str().unwrap()).unwrap());
    let activated = world.activate(Method::POST, "/activate").json(&json!({"renewal": id})).with(&new).send().await;
    assert_eq!(activated.status, StatusCode::OK, "{}", activated.body);
    let complete = beside.between("data-onward=\"https://public.example", "\"");
    assert!(world.public(Method::GET, &complete).send().await.words().contains("発行完了"));
}

#[tokio::test]
async fn strangers_open_only_so_many_tickets() {
    let world = World::new().await;
    let router = Arc::clone(&world.portal).public_router();
    let open = async || {
        let ask = world.public(Method::POST, "/agent/open").json(&json!({"v": 1, "ticket": "0".repeat(64)}));
        ask.from(&router, "192.0.2.7").send().await
    };
    for _ in 0..30 {
        assert_eq!(open().await.refusal(), (403, "agent.ticket_wrong".into()));
    }
    let crowded = open().await;
    assert_eq!(crowded.refusal(), (429, "agent.too_many".into()));
    assert!(crowded.headers.contains_key(header::RETRY_AFTER));
    let recorded = world.town.store.audit().iter().filter(|record| record.word == "agent_refused").count();
    assert_eq!(recorded, 1, "what strangers do is recorded now and then: at ten");
}
