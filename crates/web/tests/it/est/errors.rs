//! Every refusal, with its status, its code and its headers.

use std::sync::atomic::Ordering;

use koshin_types::RevocationReason;
use koshin_web::portal::HolderEst;

use super::service::Service;
use crate::town::{NOW, PASSWORD, enrolled_for, operator};

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_in_words_and_change_nothing() {
    let service = Service::start().await;
    service.holder("U-1", enrolled_for(8)).await;
    let ticket = service.ticket("U-1", "old").await;
    let before = service.town.holding("U-1").await;
    let own = service.subject("old");
    service.request("good", &["-subj", &own]);
    service.request("other", &["-subj", &own.replace("U-1", "U-2")]);
    service.request("named", &["-subj", &own, "-addext", "subjectAltName=email:hana@example.jp"]);
    let good = std::fs::read(service.folder().join("good.b64")).unwrap();
    service.write("der.b64", &std::fs::read(service.folder().join("good.der")).unwrap());
    service.write("pem.b64", service.run("openssl", &["req", "-inform", "DER", "-in", "good.der"]).as_bytes());
    service.write("private.b64", service.run("openssl", &["pkey", "-in", "good.key"]).as_bytes());
    service.write("privateder.b64", &{
        service.run("openssl", &["pkey", "-in", "good.key", "-outform", "DER", "-out", "k.der"]);
        service.run_bytes("openssl", &["base64", "-in", "k.der"])
    });
    service.write("empty.b64", b"\r\n");
    service.write("cut.b64", &good[..64]);
    service.write("large.b64", &vec![b'A'; 50_000]);
    service.write("huge.b64", &vec![b'A'; 10 * 1024 * 1024]);
    service.run("openssl", &["genrsa", "-out", "weak.key", "1024"]);
    service.run("openssl", &["req", "-new", "-key", "weak.key", "-subj", "/", "-outform", "DER", "-out", "weak.der"]);
    service.run("openssl", &["base64", "-in", "weak.der", "-out", "weak.b64"]);
    let credentials = format!("U-1:{ticket}");
    for (body, status, code) in [
        ("other", 400, "est.names"),
        ("named", 400, "est.names"),
        ("der", 400, "est.base64"),
        ("pem", 400, "est.base64"),
        ("empty", 400, "est.base64"),
        ("cut", 400, "request.invalid"),
        ("private", 400, "request.private_key"),
        ("privateder", 400, "request.private_key"),
        ("weak", 400, "request.key"),
        ("large", 413, "request.too_large"),
        ("huge", 413, "request.too_large"),
    ] {
        // A body that is refused before it was sent ends a stream of HTTP/2, which curl takes for an error of the answer.
        let answer = service.reenroll("old", &["--http1.1", "-u", &credentials], body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let english = service.reenroll("old", &["-u", &credentials, "-H", "Accept-Language: en"], "named").await;
    assert!(english.body.contains("nothing but the key is taken") && english.header("content-language") == "en");
    for kind in ["text/plain", "multipart/form-data; boundary=x", "application/pkcs7-mime"] {
        let header = format!("Content-Type: {kind}");
        let arguments = ["--cert", "old.pem", "--key", "old.key", "-u", &credentials, "-H", &header];
        let arguments = [&arguments[..], &["--data-binary", "@good.b64"]].concat();
        let answer = service.curl(service.portal, "simplereenroll", &arguments).await;
        assert_eq!((answer.status, answer.code()), (415, "request.type"), "{kind}");
    }
    assert_eq!(service.town.holding("U-1").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_however_it_is_sent() {
    let service = Service::start().await;
    service.holder("U-1", enrolled_for(8)).await;
    let credentials = format!("U-1:{}", service.ticket("U-1", "old").await);
    service.request("good", &["-subj", "/"]);
    let good = std::fs::read(service.folder().join("good.b64")).unwrap();
    // However it is wrapped, chunked, and by either version of HTTP: all the same request.
    service.write("one.b64", &good.iter().copied().filter(|octet| *octet != b'\n').collect::<Vec<_>>());
    service.write("wrapped.b64", String::from_utf8(good.clone()).unwrap().replace('\n', "\r\n\t ").as_bytes());
    let mut bodies = Vec::new();
    for (body, arguments) in [
        ("good", &["--http1.1"][..]),
        ("one", &["--http2"]),
        ("wrapped", &["--http1.1", "-H", "Transfer-Encoding: chunked"]),
        ("good", &["-H", "Content-Transfer-Encoding: 8bit"]),
        ("good", &["-H", "Expect: 100-continue", "--http1.1"]),
    ] {
        let answer = service.reenroll("old", &[arguments, &["-u", &credentials]].concat(), body).await;
        assert_eq!(answer.status, 200, "{body} {arguments:?}: {answer:?}");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    // Another key in the same renewal.
    service.request("second", &["-subj", "/"]);
    let other = service.reenroll("old", &["-u", &credentials], "second").await;
    assert_eq!((other.status, other.code()), (409, "renewal.other_key"));
    assert_eq!(service.town.holding("U-1").await.certificates.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_may_not_renew_are_told_why() {
    let service = Service::start().await;
    service.request("new", &["-subj", "/"]);
    service.holder("U-1", enrolled_for(40)).await;
    let early = service.reenroll("old", &["-H", "Accept-Language: en"], "new").await;
    assert_eq!((early.status, early.code()), (403, "renewal.too_early"));
    assert!(early.body.contains("The certificate can be renewed from"), "{}", early.body);
    assert_eq!(service.login("U-1", PASSWORD, "old").await.status, 303);
    let session = ["--cert", "old.pem", "--key", "old.key", "-b", "portal.jar"];
    let page = service.curl_path(service.portal, "/ticket", &session).await;
    assert!(page.status == 200 && !page.body.contains("<form method=\"post\" action=\"/ticket"), "{}", page.body);
    let made = service.curl_path(service.portal, "/ticket", &[&session[..], &["-X", "POST"]].concat()).await;
    assert!(made.status == 403 && made.body.contains("renewal.too_early"), "{}", made.body);
    let id = "U-1".parse().unwrap();
    let _ =
        service.town.ra.administration().revoke(&id, RevocationReason::KeyCompromise, &operator(), NOW).await.unwrap();
    let revoked = service.reenroll("old", &[], "new").await;
    assert_eq!((revoked.status, revoked.code()), (403, "est.not_in_use"));
    service.holder("U-2", enrolled_for(-2)).await;
    let expired = service.reenroll("old", &[], "new").await;
    assert_eq!((expired.status, expired.code()), (403, "est.expired"));
    // One that we did not issue, and none at all.
    let foreign =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=U-1"];
    service.run("openssl", &[&foreign[..], &["-keyout", "foreign.key", "-out", "foreign.pem"]].concat());
    let foreign = service.reenroll("foreign", &["-u", "U-1:x"], "new").await;
    assert_eq!((foreign.status, foreign.code()), (403, "est.certificate_needed"));
    let none = ["-u", "U-1:x", "-H", "Content-Type: application/pkcs10", "--data-binary", "@new.b64"];
    let none = service.curl(service.portal, "simplereenroll", &none).await;
    assert_eq!((none.status, none.code()), (403, "est.certificate_needed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tickets_and_codes_are_slowed_down() {
    let service = Service::start().await;
    service.holder("U-1", enrolled_for(8)).await;
    let ticket = service.ticket("U-1", "old").await;
    service.request("new", &["-subj", "/"]);
    for _ in 0..5 {
        let answer = service.reenroll("old", &["-u", &format!("U-1:{}", "0".repeat(64))], "new").await;
        assert_eq!((answer.status, answer.code()), (401, "est.ticket_wrong"));
    }
    let answer = service.reenroll("old", &["-u", &format!("U-1:{ticket}")], "new").await;
    assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (429, "request.too_many", "30"));

    // Somebody who is not there gets the same answers as somebody who is.
    service.town.enrolled("U-2", enrolled_for(-3)).await;
    for id in ["U-2", "U-9"] {
        let mut said = Vec::new();
        let mut counts = Vec::new();
        for _ in 0..7 {
            let answer = service.enroll(service.public, &["-u", &format!("{id}:wrong password")], "new").await;
            counts.push(answer.status);
            said.push(answer.code().to_owned());
        }
        // What the enrolment of U-2 itself has counted is forgotten with its right code.
        assert_eq!(counts, [401, 401, 401, 401, 401, 429, 429], "{id}");
        assert_eq!(said[0], "est.code_sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_that_is_over_takes_its_cookie_along() {
    let service = Service::start().await;
    service.town.enrolled("U-1", enrolled_for(-3)).await;
    service.request("new", &["-subj", "/"]);
    let jar = ["-c", "e.jar", "-b", "e.jar"];
    let send = async |credentials: &str| {
        service.enroll(service.public, &[&["-u", credentials], &jar[..]].concat(), "new").await
    };
    assert_eq!(send(&format!("U-1:{PASSWORD}")).await.code(), "est.code_sent");
    let right = format!("U-1:{}", service.town.code());
    // One of the five free tries was the beginning.
    for (credentials, status, code) in [
        ("U-1:00000000", 401, "est.code_wrong"),
        ("U-1:00000000", 401, "est.code_wrong"),
        ("U-1:00000000", 401, "est.code_wrong"),
        ("U-1:00000000", 401, "est.code_wrong"),
        (&right, 429, "request.too_many"),
    ] {
        let answer = send(credentials).await;
        assert_eq!((answer.status, answer.code()), (status, code));
    }
    // A cookie that is none of ours, as after the code's end.
    let cookie = format!("Cookie: __Host-koshin-enrolment={}", "0".repeat(64));
    let answer = service.enroll(service.public, &["-u", &right, "-H", &cookie], "new").await;
    assert_eq!((answer.status, answer.code()), (401, "est.enrolment_over"));
    let gone = answer.header("set-cookie");
    assert!(gone.starts_with("__Host-koshin-enrolment=;") && gone.contains("Max-Age=0"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_key_is_away_the_same_request_is_asked_for_again() {
    let service = Service::start().await;
    service.holder("U-1", enrolled_for(8)).await;
    let ticket = service.ticket("U-1", "old").await;
    service.request("new", &["-subj", "/"]);
    let credentials = format!("U-1:{ticket}");
    let send = async || service.reenroll("old", &["-u", &credentials], "new").await;
    service.town.signer_down.store(true, Ordering::Release);
    for _ in 0..2 {
        let answer = send().await;
        assert_eq!((answer.status, answer.code()), (202, "est.recorded"), "{answer:?}");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    service.town.signer_down.store(false, Ordering::Release);
    assert_eq!(send().await.status, 200);
    assert_eq!(service.town.holding("U-1").await.certificates.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods() {
    let service = Service::start().await;
    let est = "/.well-known/est";
    for (port, path, method, status, code) in [
        (service.portal, "/fullcmc", "POST", 404, "request.not_found"),
        (service.portal, "/serverkeygen", "POST", 404, "request.not_found"),
        (service.portal, "/label/cacerts", "GET", 404, "request.not_found"),
        (service.portal, "", "GET", 404, "request.not_found"),
        (service.public, "/simplereenroll", "POST", 404, "request.not_found"),
        (service.activate, "/cacerts", "GET", 404, "request.not_found"),
        (service.portal, "/simplereenroll", "GET", 405, "request.method"),
        (service.portal, "/simpleenroll", "PUT", 405, "request.method"),
        (service.portal, "/cacerts", "POST", 405, "request.method"),
    ] {
        let answer = service.curl_path(port, &format!("{est}{path}"), &["-X", method]).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{method} {path}");
    }
    let cross = ["-X", "POST", "-H", "Origin: https://evil.example", "-H", "Sec-Fetch-Site: cross-site"];
    let answer = service.curl(service.portal, "simpleenroll", &cross).await;
    assert_eq!((answer.status, answer.code()), (403, "request.forbidden"));
    let answer = service.curl(service.public, "simpleenroll", &["-X", "POST"]).await;
    assert_eq!((answer.status, answer.code()), (401, "est.password_needed"));
    assert_eq!(answer.header("www-authenticate"), "Basic realm=\"enrolment: ID and password\", charset=\"UTF-8\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_of_it_is_there() {
    let service = Service::with(HolderEst::Off).await;
    service.holder("U-1", enrolled_for(8)).await;
    for port in [service.portal, service.public] {
        for (operation, method) in
            [("cacerts", "GET"), ("csrattrs", "GET"), ("simpleenroll", "POST"), ("simplereenroll", "POST")]
        {
            let answer = service.curl(port, operation, &["-X", method]).await;
            assert_eq!((answer.status, answer.code()), (404, "request.not_found"), "{operation}");
        }
    }
    assert_eq!(service.login("U-1", PASSWORD, "old").await.status, 303);
    let session = ["--cert", "old.pem", "--key", "old.key", "-b", "portal.jar"];
    assert!(!service.curl_path(service.portal, "/main", &session).await.body.contains("/ticket"));
    let page = service.curl_path(service.portal, "/ticket", &[&session[..], &["-X", "POST"]].concat()).await;
    assert_eq!(page.status, 404);
}
