//! The agent's exchange by a scripted client: curl and OpenSSL over real mutual TLS, with the page's events beside it.

use std::process::Stdio;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use koshin_renewal::Status;
use koshin_types::Fingerprint;
use serde_json::{Value, json};

use crate::{
    est::service::{Answer, Service},
    town::{PASSWORD, enrolled_for, sha256},
};

/// The arguments that show a certificate.
fn shown(name: &str) -> [String; 4] {
    ["--cert".into(), format!("{name}.pem"), "--key".into(), format!("{name}.key")]
}

fn value(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect(&answer.body)
}

/// Status and code.
fn told(answer: &Answer) -> (u16, String) {
    (answer.status, value(answer)["code"].as_str().unwrap_or_default().to_owned())
}

impl Service {
    /// A call of the agent, with the certificate of this name.
    async fn agent(&self, port: u16, path: &str, certificate: &str, body: &Value) -> Answer {
        let (shown, body) = (shown(certificate), body.to_string());
        let mut arguments: Vec<&str> = shown.iter().map(String::as_str).collect();
        arguments.extend(["--tlsv1.3", "-H", "Content-Type: application/json", "-H", "Accept: application/json"]);
        arguments.extend(["--data-binary", &body]);
        self.curl_path(port, path, &arguments).await
    }

    /// One request of the browser, with its session.
    async fn browser(&self, path: &str, arguments: &[&str]) -> Answer {
        let shown = shown("old");
        let mut all: Vec<&str> = shown.iter().map(String::as_str).collect();
        all.extend(["-b", "portal.jar"]);
        all.extend(arguments);
        self.curl_path(self.portal, path, &all).await
    }

    /// Login, start, and the page beside the agent: its path, and itself.
    async fn page(&self, id: &str) -> (String, Answer) {
        assert_eq!(self.login(id, PASSWORD, "old").await.status, 303);
        let started = self.browser("/renewals", &["-X", "POST"]).await;
        let path = started.header("location").to_owned();
        let page = self.browser(&format!("{path}/agent"), &["-X", "POST"]).await;
        assert_eq!(page.status, 200, "{}", page.body);
        (path, page)
    }

    fn rename(&self, from: &str, to: &str) {
        for end in ["pem", "key"] {
            std::fs::rename(self.folder().join(format!("{from}.{end}")), self.folder().join(format!("{to}.{end}")))
                .unwrap();
        }
    }

    fn requested(&self, name: &str, protection: &str) -> Value {
        let der = std::fs::read(self.folder().join(format!("{name}.der"))).unwrap();
        json!({"request": STANDARD.encode(der), "protection": protection})
    }

    /// Keeps a certificate of an answer as `NAME.pem`, and answers with its fingerprint.
    fn keep(&self, name: &str, issued: &Value) -> Fingerprint {
        let der = STANDARD.decode(issued["certificate"].as_str().unwrap()).unwrap();
        self.write(&format!("{name}.pem"), koshin_issuance::pem("CERTIFICATE", &der).as_bytes());
        sha256(&der)
    }
}

fn between(page: &Answer, from: &str, to: &str) -> String {
    page.body.split(from).nth(1).expect(&page.body).split(to).next().unwrap().replace("&#38;", "&")
}

fn ticket(page: &Answer) -> Value {
    json!({"v": 1, "ticket": between(page, "&#38;t=", "&#38;s=")})
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_link_to_the_new_certificate_in_use() {
    let service = Service::start().await;
    let old = service.holder("U-1", enrolled_for(8)).await;
    let (path, page) = service.page("U-1").await;
    // The page listens on the host without certificates, so that it hears the end too.
    let events = between(&page, "data-events-url=\"", "\"");
    let listening = tokio::process::Command::new("curl")
        .args(["--silent", "--no-buffer", "--max-time", "25", "--cacert", "server.pem", &events])
        .current_dir(service.folder())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let opened = service.agent(service.portal, "/agent/open", "old", &ticket(&page)).await;
    assert_eq!(opened.status, 200, "{opened:?}");
    let id = value(&opened)["renewal"].as_str().unwrap().to_owned();
    assert_eq!(format!("/renewals/{id}"), path);
    let call = async |tail: &str, body: Value| {
        service.agent(service.portal, &format!("/agent{path}/{tail}"), "old", &body).await
    };
    let digits = between(&page, "<output id=\"agent-code\">", "<");
    assert_eq!(value(&call("confirm", json!({"code": digits})).await), json!({"confirmed": true}));
    service.request("new", &["-subj", "/CN=whatever"]);
    let issued = call("request", service.requested("new", "hardware")).await;
    assert_eq!(issued.status, 200, "{issued:?}");
    let again = call("request", service.requested("new", "hardware")).await;
    assert_eq!(again.body, issued.body, "the same request, the same certificate");
    let issued = value(&issued);
    let new = service.keep("new", &issued);
    service.run("openssl", &["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "new.pem"]);
    assert_eq!(call("installed", json!({})).await.status, 200);
    // With the pending certificate nothing but this works.
    let login = service.agent(service.portal, "/agent/open", "new", &ticket(&page)).await;
    assert_eq!(told(&login), (403, "agent.certificate".into()));
    let activated = service.agent(service.activate, "/activate", "new", &json!({"renewal": id})).await;
    assert_eq!(value(&activated)["serial"], issued["serial"], "{activated:?}");
    let holding = service.town.holding("U-1").await;
    assert!(matches!(holding.certificate(&new).unwrap().status, Status::Active { .. }));
    assert!(matches!(holding.certificate(&old).unwrap().status, Status::Superseded { .. }));
    assert_eq!(told(&call("request", service.requested("new", "hardware")).await), (403, "agent.certificate".into()));
    let standing = shown("new");
    let standing: Vec<&str> = standing.iter().map(String::as_str).collect();
    let standing = service.curl_path(service.portal, &format!("/agent{path}"), &standing).await;
    assert_eq!(value(&standing)["state"], "activated");

    let heard = listening.wait_with_output().await.unwrap();
    assert!(heard.status.success(), "the stream has ended by itself");
    let heard = String::from_utf8(heard.stdout).unwrap();
    let states: Vec<Value> =
        heard.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    assert_eq!(states.first().unwrap()["state"], "started", "{heard}");
    assert_eq!(states.last().unwrap()["state"], "activated", "{heard}");
    assert_eq!(states.last().unwrap()["serial"], issued["serial"]);
    let onward = between(&page, "data-onward=\"", "\"");
    let onward = onward.split_once(&format!(":{}", service.public)).unwrap().1.to_owned();
    let done = service.curl_path(service.public, &onward, &[]).await;
    assert!(done.status == 200 && done.body.contains("以外ではログインできません"), "{}", done.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn stolen_links_and_killed_agents() {
    let service = Service::start().await;
    service.holder("U-2", enrolled_for(8)).await;
    service.rename("old", "thief");
    let old = service.holder("U-1", enrolled_for(8)).await;
    let (path, page) = service.page("U-1").await;
    let phished = service.agent(service.portal, "/agent/open", "thief", &ticket(&page)).await;
    assert_eq!(told(&phished), (403, "agent.other_certificate".into()));
    // A certificate of nobody's making: the handshake goes through, nothing else does.
    service.run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=x",
            "-days",
            "9",
            "-keyout",
            "own.key",
            "-out",
            "own.pem",
        ],
    );
    let own = service.agent(service.portal, "/agent/open", "own", &ticket(&page)).await;
    assert_eq!(told(&own), (403, "agent.no_certificate".into()));
    let opened = service.agent(service.portal, "/agent/open", "old", &ticket(&page)).await;
    assert_eq!(opened.status, 200, "the holder's own agent still can: {opened:?}");
    let replayed = service.agent(service.portal, "/agent/open", "old", &ticket(&page)).await;
    assert_eq!(told(&replayed), (410, "agent.ticket_used".into()));
    let call = async |tail: &str, certificate: &str, body: Value| {
        service.agent(service.portal, &format!("/agent{path}/{tail}"), certificate, &body).await
    };
    let digits = json!({"code": between(&page, "<output id=\"agent-code\">", "<")});
    assert_eq!(told(&call("confirm", "thief", digits.clone()).await), (404, "agent.not_found".into()));
    assert_eq!(call("confirm", "old", digits).await.status, 200);
    service.request("new", &["-subj", "/"]);
    service.request("other", &["-subj", "/"]);
    assert_eq!(told(&call("request", "thief", service.requested("new", "os")).await), (404, "agent.not_found".into()));
    let declined = call("declined", "old", json!({"at": 1})).await;
    assert_eq!(declined.status, 200);
    let issued = value(&call("request", "old", service.requested("new", "os")).await);
    // Killed here, and the browser's session ended meanwhile: certificate, renewal and key are enough, another key is not.
    assert_eq!(service.browser("/logout", &["-X", "POST"]).await.status, 200);
    assert_eq!(value(&call("request", "old", service.requested("new", "os")).await), issued);
    assert_eq!(told(&call("request", "old", service.requested("other", "os")).await), (409, "agent.other_key".into()));
    assert_eq!(call("declined", "old", json!({"at": 2})).await.status, 200);
    assert_eq!(call("installed", "old", json!({})).await.status, 200);
    let holding = service.town.holding("U-1").await;
    assert!(matches!(holding.certificate(&old).unwrap().status, Status::Active { .. }), "until the new one is proven");
    assert_eq!(holding.certificates.len(), 2);
    service.keep("new", &issued);
    let id = path.rsplit('/').next().unwrap();
    for _ in 0..2 {
        let activated = service.agent(service.activate, "/activate", "new", &json!({"renewal": id})).await;
        assert_eq!(activated.status, 200, "{activated:?}");
    }
}
