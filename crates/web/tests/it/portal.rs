//! The routers over storage in memory: what each request is answered, above all the hostile ones.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use koshin_edge::{ClientCertificate, Connections, Peer, RequestInstant, Trust};
use koshin_types::{Fingerprint, Language};
use koshin_web::{
    portal::{Calendar, CompletionKey, HolderEst, Portal},
    screens::{Bilingual, Brand, Clocked, Contact, Hosts, Texts},
};
use time::UtcDateTime;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::town::{NOW, PASSWORD, Town, enrolled_for, key, sha256};

mod agents;
mod enrolling;
mod holders;

const ID: &str = "00112233445566778899aabbccddeeff";

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |value| value.to_str().unwrap())
    }

    /// The cookies that the answer sets, as a browser sends them back.
    fn cookies(&self) -> Vec<String> {
        let set = self.headers.get_all(header::SET_COOKIE).iter();
        set.map(|set| set.to_str().unwrap().split(';').next().unwrap().to_owned()).collect()
    }

    /// The cookie of the session that the answer opens, else the only one.
    fn cookie(&self) -> String {
        let cookies = self.cookies();
        let session = cookies.iter().find(|cookie| cookie.starts_with("__Host-"));
        session.or(cookies.first()).expect("a cookie is set").clone()
    }

    /// The words without their markup: long numbers stand in groups.
    fn words(&self) -> String {
        let mut inside = false;
        let mut words = String::new();
        for c in self.body.chars() {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                _ if !inside => words.push(c),
                _ => {}
            }
        }
        words
    }

    fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_str(&self.body).expect(&self.body);
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// Calendar files in the words of the mails.
pub(crate) fn calendar() -> Calendar {
    let names = || koshin_notify::Bilingual::new("みどり信用金庫", "Midori Bank");
    let zone = koshin_notify::Zone::fixed(time::macros::offset!(+9), "JST");
    let from = "noreply@bank.example".parse().unwrap();
    let sender = koshin_notify::Sender::new(from, names(), names(), names(), zone).unwrap();
    Box::new(move |dates| {
        let opens = dates.window_opens;
        koshin_notify::calendar(&dates.serial, dates.validity, opens, dates.language, &sender, dates.now)
    })
}

struct World {
    town: Town,
    portal: Arc<Portal>,
}

/// One request, built up like a browser's.
struct Ask<'a> {
    router: Router,
    request: http::request::Builder,
    body: Body,
    certificate: Option<&'a Fingerprint>,
    at: UtcDateTime,
}

impl World {
    async fn new() -> Self {
        Self::of(Town::new().await)
    }

    fn of(town: Town) -> Self {
        let words = |text: &str| Bilingual { ja: text.into(), en: text.into() };
        let portal = Arc::new(Portal {
            ra: town.ra.clone(),
            texts: Texts::load().unwrap(),
            brand: Brand { operator: words("Bank"), portal: words("Portal") },
            contact: Contact { name: words("Desk"), telephone: None, hours: None },
            hosts: Hosts {
                portal: "https://portal.example".into(),
                public: "https://public.example".into(),
                activate: "https://activate.example".into(),
            },
            zone: Box::new(Clocked::jst()),
            connections: Connections::default(),
            completion: CompletionKey::new(&[7; 32]),
            calendar: calendar(),
            mail: Arc::new(Notify::new()),
            est: HolderEst::Off,
        });
        Self { town, portal }
    }

    fn portal<'a>(&self, method: Method, path: &str) -> Ask<'a> {
        Ask::new(Arc::clone(&self.portal).portal_router(), method, path)
    }

    fn public<'a>(&self, method: Method, path: &str) -> Ask<'a> {
        Ask::new(Arc::clone(&self.portal).public_router(), method, path)
    }

    fn activate<'a>(&self, method: Method, path: &str) -> Ask<'a> {
        Ask::new(Arc::clone(&self.portal).activation_router(), method, path)
    }

    /// Signs in and answers the session's cookie.
    async fn signed_in(&self, id: &str, certificate: &Fingerprint) -> String {
        let body = format!("id={id}&password={}", PASSWORD.replace(' ', "+"));
        let answer = self.portal(Method::POST, "/login").form(&body).with(certificate).send().await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        answer.cookie()
    }
}

impl<'a> Ask<'a> {
    fn new(router: Router, method: Method, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header("sec-fetch-site", "same-origin");
        let request = request.header("sec-fetch-mode", "navigate").header("accept-language", "ja");
        Self { router, request, body: Body::empty(), certificate: None, at: NOW }
    }

    fn form(self, body: &str) -> Self {
        self.bytes("application/x-www-form-urlencoded", body.as_bytes())
    }

    fn bytes(mut self, kind: &str, body: &[u8]) -> Self {
        self.request = self.request.header(header::CONTENT_TYPE, kind);
        self.body = Body::from(body.to_vec());
        self
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers_mut().unwrap().insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        self
    }

    fn script(self) -> Self {
        self.header("sec-fetch-mode", "cors")
    }

    fn session(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
    }

    fn with(mut self, certificate: &'a Fingerprint) -> Self {
        self.certificate = Some(certificate);
        self
    }

    fn at(self, at: UtcDateTime) -> Self {
        Self { at, ..self }
    }

    /// From this address, to a router that has seen others before.
    fn from(mut self, router: &Router, address: &str) -> Self {
        let peer = axum::extract::ConnectInfo(format!("{address}:4711").parse::<std::net::SocketAddr>().unwrap());
        self.request.extensions_mut().unwrap().insert(peer);
        Self { router: router.clone(), ..self }
    }

    async fn send(self) -> Answer {
        let mut request = self.request.body(self.body).unwrap();
        let certificate = self.certificate.map_or(ClientCertificate::None, |fingerprint| {
            let peer = Peer {
                leaf_der: Vec::new(),
                fingerprint: *fingerprint,
                serial: None,
                validity: None,
                trust: Trust::Verified,
            };
            ClientCertificate::Presented(Arc::new(peer))
        });
        request.extensions_mut().insert(certificate);
        request.extensions_mut().insert(RequestInstant(self.at));
        let response = self.router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

#[tokio::test]
async fn the_main_job_over_http() {
    let world = World::new().await;
    let old = world.town.enrolled("U-1", enrolled_for(30)).await;
    let cookie = world.signed_in("U-1", &old).await;
    let notice = world.portal(Method::GET, "/notice").session(&cookie).with(&old).send().await;
    assert!(notice.body.contains("今すぐ更新する") && notice.body.contains("後で更新する"));
    let later = world.portal(Method::POST, "/notice/later").session(&cookie).with(&old).send().await;
    assert_eq!(later.location(), "/main");
    let main = world.portal(Method::GET, "/main").session(&cookie).with(&old).send().await;
    assert!(main.body.contains("証明書更新"));
    let started = world.portal(Method::POST, "/renewals").session(&cookie).with(&old).send().await;
    let path = started.location().to_owned();
    let preparing = world.portal(Method::GET, &path).session(&cookie).with(&old).send().await;
    assert!(preparing.body.contains("電子証明書更新前処理中") && preparing.body.contains("/start"));
    let start = world.portal(Method::GET, &format!("{path}/start")).session(&cookie).with(&old).send().await;
    assert!(start.body.contains("data-state=\"started\""), "{}", start.body);
    let csr = key();
    let request = || world.portal(Method::POST, &format!("{path}/request")).script().session(&cookie).with(&old);
    let issued = request().bytes("application/pkcs10", &csr).send().await;
    assert_eq!(issued.status, StatusCode::OK, "{}", issued.body);
    assert_eq!(request().bytes("application/pkcs10", &csr).send().await.body, issued.body);
    let answer: serde_json::Value = serde_json::from_str(&issued.body).unwrap();
    let serial = answer["serial"].as_str().unwrap();
    let delivered = world.portal(Method::POST, &format!("{path}/delivered")).script().session(&cookie).with(&old);
    assert_eq!(delivered.send().await.status, StatusCode::NO_CONTENT);
    let complete = world.portal(Method::GET, &format!("{path}/complete")).session(&cookie).with(&old).send().await;
    assert!(complete.body.contains("発行完了") && complete.words().contains(serial), "{}", complete.words());

    // The page may still ask after the predecessor's session has ended.
    let from = complete.body.find("/status?t=").unwrap();
    let token = &complete.body[from..][..complete.body[from..].find('"').unwrap()];
    let status = format!("{path}{}", token.replace("&amp;", "&"));
    let before = world.public(Method::GET, &status).script().send().await;
    assert!(before.body.contains("\"delivered\""), "{}", before.body);
    assert_eq!(before.headers["access-control-allow-origin"], "https://portal.example");

    let der = base64_decode(answer["certificate"].as_str().unwrap());
    let new = sha256(&der);
    let seen = world.activate(Method::GET, "/").with(&new).send().await;
    assert!(seen.body.contains("/activate"), "{}", seen.body);
    let holding = world.town.holding("U-1").await;
    assert!(matches!(holding.certificates[1].status, koshin_renewal::Status::Pending), "GET changes nothing");
    let activated = world.activate(Method::POST, "/activate").with(&new).send().await;
    assert_eq!(activated.status, StatusCode::OK);
    assert!(world.public(Method::GET, &status).script().send().await.body.contains("\"activated\""));
    let over = world.portal(Method::GET, "/main").session(&cookie).with(&old).send().await;
    assert_eq!(over.status, StatusCode::UNAUTHORIZED);
    assert!(over.words().contains(serial), "the page names the certificate that works: {}", over.words());
    world.signed_in("U-1", &new).await;
}

fn base64_decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn foreign_unknown_and_misspelt_renewals_look_the_same() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let other = world.town.enrolled("U-2", enrolled_for(8)).await;
    let access = world.town.sign_in("U-2", &other, NOW).await.access;
    let foreign = world.town.ra.start_renewal(&access, NOW).await.unwrap().to_string();
    let cookie = world.signed_in("U-1", &mine).await;
    let before = world.town.holding("U-2").await;
    for (method, tail) in [
        (Method::GET, ""),
        (Method::GET, "/start"),
        (Method::GET, "/complete"),
        (Method::GET, "/certificate"),
        (Method::GET, "/status"),
        (Method::GET, "/start-again"),
        (Method::POST, "/start-again"),
        (Method::POST, "/delivered"),
        (Method::POST, "/declined"),
        (Method::POST, "/request"),
    ] {
        let mut bodies = Vec::new();
        for id in [foreign.as_str(), ID, "x", "%00", "..%2f..", &"f".repeat(4000)] {
            let path = format!("/renewals/{id}{tail}");
            let ask = world.portal(method.clone(), &path).session(&cookie).with(&mine);
            let ask = if method == Method::POST { ask.form("step=1") } else { ask };
            let answer = ask.send().await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
            // The language switch names the path that was asked for; nothing else differs.
            bodies.push(answer.body.replace(id, "ID"));
        }
        let first = bodies[0].len();
        assert!(bodies[..2].iter().all(|body| body.len() == first), "{method} {tail}");
    }
    assert_eq!(world.town.holding("U-2").await, before);
}

#[tokio::test]
async fn requests_that_are_no_certification_requests_are_refused_and_write_nothing() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let path = world.portal(Method::POST, "/renewals").session(&cookie).with(&mine).send().await.location().to_owned();
    let before = world.town.holding("U-1").await;
    let good = key();
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (kind, body, status, code) in [
        ("text/plain", good.clone(), 415, "request.type"),
        ("application/pkcs10", Vec::new(), 422, "request.invalid"),
        ("application/pkcs10", b"hello".to_vec(), 422, "request.invalid"),
        ("application/pkcs10", broken, 422, "request.invalid"),
        ("application/pkcs10", [good.clone(), vec![0]].concat(), 422, "request.invalid"),
        ("application/pkcs10", private.into_bytes(), 422, "request.private_key"),
        ("application/pkcs10", vec![0x30; 100_000], 413, "request.too_large"),
    ] {
        let ask = world.portal(Method::POST, &format!("{path}/request")).script().session(&cookie).with(&mine);
        let answer = ask.bytes(kind, &body).send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{}", answer.body);
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    }
    assert_eq!(world.town.holding("U-1").await, before);
}

#[tokio::test]
async fn other_sites_cannot_act() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let before = world.town.holding("U-1").await;
    for path in ["/renewals", "/notice/later", "/logout", "/login"] {
        let ask = world.portal(Method::POST, path).session(&cookie).with(&mine);
        let answer = ask.header("sec-fetch-site", "cross-site").header("origin", "https://evil.example").send().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.body.contains("lang=\"ja\""), "a page, not a word: {}", answer.body);
    }
    assert_eq!(world.town.holding("U-1").await, before);
    assert!(world.portal(Method::GET, "/main").session(&cookie).with(&mine).send().await.status.is_success());
}

#[tokio::test]
async fn every_answer_is_a_page_in_the_readers_language_with_all_headers() {
    let world = World::new().await;
    let cases = [
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/login", 405),
        (Method::PUT, "/", 405),
        (Method::GET, "/renewals", 405),
        (Method::GET, "/assets/..%2fCargo.toml", 404),
        (Method::GET, "/", 200),
        (Method::GET, "/doctor", 200),
    ];
    for language in Language::ALL {
        for (method, path, status) in cases.clone() {
            let ask = world.portal(method.clone(), path).header("accept-language", language.as_str());
            let answer = ask.send().await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path}");
            assert!(answer.body.contains(&format!("<html lang=\"{language}\"")), "{method} {path}");
            let csp = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(csp.contains("script-src 'self';") && !csp.contains("unsafe"));
            assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
            for name in ["strict-transport-security", "x-content-type-options", "referrer-policy"] {
                assert!(answer.headers.contains_key(name), "{name} is missing on {path}");
            }
        }
    }
    let chosen = world.portal(Method::GET, "/?lang=en").send().await;
    assert!(chosen.body.contains("<html lang=\"en\"") && chosen.cookie() == "koshin-language=en");
}

#[tokio::test]
async fn hostile_forms_and_headers_do_no_harm() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let script = "id=%3Cscript%3Ealert(1)%3C%2Fscript%3E&password=x";
    for (body, status) in [
        (String::new(), 400),
        ("id=U-1".into(), 400),
        (script.into(), 403),
        ("id=U-1&password=wrong".into(), 403),
        (format!("id={}&password=x", "a".repeat(100_000)), 403),
        ("id=U-1&id=U-2&password=x".into(), 400),
        ("%ff%fe=%zz&&&===".into(), 400),
    ] {
        let answer = world.portal(Method::POST, "/login").form(&body).with(&mine).send().await;
        assert_eq!(answer.status.as_u16(), status, "{}", &body[..body.len().min(60)]);
        assert!(!answer.body.contains("<script>alert") && answer.body.contains("<html lang=\"ja\""));
    }
    let answer = world.portal(Method::POST, "/login").bytes("application/json", b"{}").with(&mine).send().await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let long = "x".repeat(8000);
    for cookie in ["__Host-koshin-portal=", "__Host-koshin-portal=zzz", "a=b; ;;=", long.as_str()] {
        let answer = world.portal(Method::GET, "/main").session(cookie).with(&mine).send().await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/"));
    }
    // A header that says who somebody is has no say (invariant 82).
    let pem = "-----BEGIN CERTIFICATE-----";
    for name in ["client-cert", "x-ssl-client-cert", "x-forwarded-client-cert", "x-ssl-client-verify"] {
        let plain = world.portal(Method::GET, "/").send().await;
        let with = world.portal(Method::GET, "/").header(name, pem).send().await;
        assert_eq!(plain.body, with.body, "{name}");
    }
}

#[tokio::test]
async fn the_expired_are_greeted_and_led_to_enrolment() {
    let world = World::new().await;
    let dead = world.town.enrolled("U-1", enrolled_for(-3)).await;
    let greeted = world.portal(Method::GET, "/").with(&dead).send().await;
    assert_eq!(greeted.status, StatusCode::OK);
    assert!(greeted.body.contains("電子証明書取得") && greeted.body.contains("https://public.example/enrol"));
    let body = format!("id=U-1&password={}", PASSWORD.replace(' ', "+"));
    let begun = world.public(Method::POST, "/enrol").form(&body).send().await;
    assert_eq!(begun.location(), "/enrol/code");
    let cookie = begun.cookie();
    assert_eq!(world.public(Method::GET, "/enrol/code").session(&cookie).send().await.status, StatusCode::OK);
    let wrong = world.public(Method::POST, "/enrol/code").session(&cookie).form("code=00000000").send().await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    let code = world.town.code();
    let spaced = format!("code={}+{}", &code[..4], &code[4..]);
    let proven = world.public(Method::POST, "/enrol/code").session(&cookie).form(&spaced).send().await;
    assert_eq!(proven.status, StatusCode::SEE_OTHER, "{}", proven.body);
    let (path, cookie) = (proven.location().to_owned(), proven.cookie());
    let ask = world.public(Method::POST, &format!("{path}/request")).script().session(&cookie);
    let issued = ask.bytes("application/pkcs10", &key()).send().await;
    assert_eq!(issued.status, StatusCode::OK, "{}", issued.body);
    // The enrolment's session is none of the portal's.
    let foreign = world.portal(Method::GET, "/main").session(&cookie).with(&dead).send().await;
    assert_eq!(foreign.location(), "/");
}

#[tokio::test]
async fn while_the_signer_is_down_the_page_says_so_and_nothing_is_lost() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let path = world.portal(Method::POST, "/renewals").session(&cookie).with(&mine).send().await.location().to_owned();
    let csr = key();
    let request = || {
        let ask = world.portal(Method::POST, &format!("{path}/request")).script().session(&cookie).with(&mine);
        ask.bytes("application/pkcs10", &csr)
    };
    world.town.signer_down.store(true, std::sync::atomic::Ordering::Release);
    let answer = request().send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "authority.unavailable"));
    assert_eq!(answer.headers[header::RETRY_AFTER], "5");
    let main = world.portal(Method::GET, "/main").session(&cookie).with(&mine).send().await;
    assert_eq!(main.status, StatusCode::OK, "everything else goes on");
    // What has lasted longer than the page's own tries is not over in five seconds.
    for (seconds, wait, words) in [(14, "5", "5秒"), (15, "60", "60秒"), (299, "60", "60秒"), (300, "300", "5分")] {
        let at = NOW + time::Duration::seconds(seconds);
        let answer = request().at(at).send().await;
        assert_eq!(
            (answer.code().as_str(), &answer.headers[header::RETRY_AFTER]),
            ("authority.unavailable", &wait.parse().unwrap())
        );
        assert!(answer.body.contains(&format!("{words}ほど待って")), "{}", answer.body);
    }
    world.town.signer_down.store(false, std::sync::atomic::Ordering::Release);
    assert_eq!(request().send().await.status, StatusCode::OK);
    assert_eq!(world.town.holding("U-1").await.certificates.len(), 2);
}

#[tokio::test]
async fn invariant_41_while_the_clock_is_doubted_the_page_says_so_and_nothing_is_lost() {
    use koshin_expiry::ClockGuard;
    use koshin_ra::{ClockWatch, Reading};

    let mut world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let before = world.signed_in("U-1", &mine).await;
    let path = world.portal(Method::POST, "/renewals").session(&before).with(&mine).send().await.location().to_owned();
    let reading = |system| Reading { system, monotonic: std::time::Duration::ZERO };
    let wrong = reading(NOW - time::Duration::DAY);
    let watch = ClockWatch::begin(world.town.store.clone(), ClockGuard::default(), wrong).await.unwrap();
    let watch = Arc::new(watch);
    // Requests are stamped by the watch.
    assert_eq!(watch.instant(wrong), NOW);
    let portal = Arc::get_mut(&mut world.portal).unwrap();
    portal.ra = portal.ra.clone().watched_by(Arc::clone(&watch));

    let cookie = world.signed_in("U-1", &mine).await;
    let csr = key();
    let request = || {
        let ask = world.portal(Method::POST, &format!("{path}/request")).session(&cookie).with(&mine);
        ask.bytes("application/pkcs10", &csr)
    };
    let answer = request().script().send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "server.clock"));
    assert_eq!(answer.headers[header::RETRY_AFTER], "300");
    let body = format!("id=U-1&password={}", PASSWORD.replace(' ', "+"));
    let enrolment = world.public(Method::POST, "/enrol").form(&body).send().await;
    assert_eq!((enrolment.status.as_u16(), &enrolment.headers[header::RETRY_AFTER]), (503, &"300".parse().unwrap()));
    assert!(enrolment.body.contains("システムの時刻を確認しています"));
    for page in ["/main", path.as_str()] {
        let page = world.portal(Method::GET, page).session(&cookie).with(&mine).send().await;
        assert_eq!(page.status, StatusCode::OK, "everything else goes on");
    }
    watch.instant(reading(NOW));
    assert_eq!(request().script().send().await.status, StatusCode::OK);
    assert_eq!(world.town.holding("U-1").await.certificates.len(), 2);
}
