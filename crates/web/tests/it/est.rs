//! EST as programs speak it: curl and OpenSSL, over real mutual TLS, against the portal's routers.

mod errors;
mod foreign;
pub(crate) mod service;

use koshin_issuance::{Gate, KeyChoice, Profile, ProfileConfig};
use koshin_renewal::Status;
use koshin_types::Fingerprint;

use self::service::Service;
use crate::town::{PASSWORD, enrolled_for, sha256};

#[tokio::test(flavor = "multi_thread")]
async fn the_cas_certificates_and_what_may_be_asked_for() {
    let service = Service::start().await;
    for host in [service.portal, service.public] {
        let answer = service.curl(host, "cacerts", &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/pkcs7-mime"), "{answer:?}");
        let printed = service.openssl(&["pkcs7", "-inform", "DER", "-print_certs", "-noout"], &answer.der());
        assert_eq!(printed.matches("subject=").count(), 2, "the issuing CA and the root: {printed}");
        let answer = service.curl(host, "csrattrs", &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/csrattrs"));
        let parsed = service.openssl(&["asn1parse", "-inform", "DER"], &answer.der());
        assert!(parsed.contains(":prime256v1") && parsed.contains(":rsaEncryption"), "{parsed}");
    }
    // What the profile does not take is not offered.
    let config = ProfileConfig { keys: vec![KeyChoice::P384], ..ProfileConfig::default() };
    service.town.ra.set_gate(Gate::new().with_profile(&Profile::new(config).unwrap()));
    let answer = service.curl(service.portal, "csrattrs", &[]).await;
    let parsed = service.openssl(&["asn1parse", "-inform", "DER"], &answer.der());
    assert!(parsed.contains(":secp384r1") && !parsed.contains("256v1") && !parsed.contains("rsa"), "{parsed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_renews_with_a_ticket_and_a_password_puts_it_into_use() {
    let service = Service::start().await;
    let old = service.holder("U-1", enrolled_for(8)).await;
    let ticket = service.ticket("U-1", "old").await;
    service.request("new", &["-subj", &service.subject("old")]);
    let credentials = format!("U-1:{ticket}");
    let send = async || service.reenroll("old", &["-u", &credentials], "new").await;
    let answer = send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/pkcs7-mime; smime-type=certs-only");
    let printed = service.openssl(&["pkcs7", "-inform", "DER", "-print_certs"], &answer.der());
    assert_eq!(printed.matches("BEGIN CERTIFICATE").count(), 1, "only what was issued");
    service.write("new.pem", printed.as_bytes());
    service.run("openssl", &["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "new.pem"]);
    let key = |arguments: &[&str]| service.run("openssl", arguments);
    assert_eq!(key(&["x509", "-in", "new.pem", "-noout", "-pubkey"]), key(&["pkey", "-in", "new.key", "-pubout"]));
    assert_eq!(send().await.body, answer.body, "the same request, the same certificate");

    // The handshake alone, on the host that activates others, changes nothing.
    let new = fingerprint(&service, "new");
    for arguments in [&[][..], &["-X", "POST"]] {
        let arguments = [&["--cert", "new.pem", "--key", "new.key"], arguments].concat();
        let shown = service.curl_path(service.activate, "/", &arguments).await;
        assert!([303, 405].contains(&shown.status), "{shown:?}");
    }
    let activate = ["--cert", "new.pem", "--key", "new.key", "-X", "POST"];
    let shown = service.curl_path(service.activate, "/activate", &activate).await;
    assert_eq!((shown.status, shown.header("location")), (303, service.url(service.portal, "/").as_str()));
    let holding = service.town.holding("U-1").await;
    assert_eq!(holding.certificate(&new).unwrap().status, Status::Pending);
    assert!(matches!(holding.certificate(&old).unwrap().status, Status::Active { .. }));

    // Nor does a wrong password; the right one does.
    assert_eq!(service.login("U-1", "wrong", "new").await.status, 403);
    assert_eq!(service.town.holding("U-1").await.certificate(&new).unwrap().status, Status::Pending);
    assert_eq!(service.login("U-1", PASSWORD, "new").await.status, 303);
    let holding = service.town.holding("U-1").await;
    assert!(matches!(holding.certificate(&new).unwrap().status, Status::Active { .. }));
    assert!(matches!(holding.certificate(&old).unwrap().status, Status::Superseded { .. }));
    let late = send().await;
    assert_eq!((late.status, late.code()), (403, "est.not_in_use"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_file_without_a_ticket_gets_nothing() {
    let service = Service::start().await;
    service.holder("U-1", enrolled_for(8)).await;
    service.request("new", &["-subj", "/"]);
    let before = service.town.holding("U-1").await;
    let password = format!("U-1:{PASSWORD}");
    for (arguments, code) in [
        (&[][..], "est.ticket_needed"),
        (&["-u", "U-1:"], "est.ticket_wrong"),
        (&["-u", &password], "est.ticket_wrong"),
        (&["-H", "Authorization: Bearer abc"], "est.ticket_needed"),
    ] {
        let answer = service.reenroll("old", arguments, "new").await;
        assert_eq!((answer.status, answer.code()), (401, code), "{answer:?}");
        assert_eq!(
            answer.header("www-authenticate"),
            "Basic realm=\"renewal: ID and renewal ticket\", charset=\"UTF-8\""
        );
    }
    assert_eq!(service.town.holding("U-1").await, before);
    // Nor do the pages: the ticket page takes a session, and a session takes the password.
    let page =
        service.curl_path(service.portal, "/ticket", &["--cert", "old.pem", "--key", "old.key", "-X", "POST"]).await;
    assert_eq!((page.status, page.header("location")), (303, "/"));
    assert_eq!(service.town.holding("U-1").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_enrols_with_password_and_code() {
    let service = Service::start().await;
    for (host, id) in [(service.public, "U-1"), (service.portal, "U-2")] {
        service.town.enrolled(id, enrolled_for(-3)).await;
        service.request("new", &["-subj", "/"]);
        let jar = format!("{id}.jar");
        let send = async |credentials: &str, jar: &[&str]| {
            service.enroll(host, &[&["-u", credentials], jar].concat(), "new").await
        };
        let first = send(&format!("{id}:{PASSWORD}"), &["-c", &jar]).await;
        assert_eq!((first.status, first.code()), (401, "est.code_sent"), "{first:?}");
        let code = service.town.code();
        // The code works in the session that asked for it only, and only for its ID.
        let elsewhere = send(&format!("{id}:{code}"), &[]).await;
        assert_eq!((elsewhere.status, elsewhere.code()), (401, "est.code_sent"), "taken for a password: {elsewhere:?}");
        let wrong = send(&format!("{id}:00000000"), &["-b", &jar]).await;
        assert_eq!((wrong.status, wrong.code()), (401, "est.code_wrong"));
        let credentials = format!("{id}:{code}");
        let issued = send(&credentials, &["-b", &jar, "-c", &jar]).await;
        assert_eq!(issued.status, 200, "{issued:?}");
        // Again, in the session that the code has opened, for the same key.
        assert_eq!(send(&credentials, &["-b", &jar]).await.body, issued.body);
        service.request("other", &["-subj", "/"]);
        let other = service.enroll(host, &["-u", &credentials, "-b", &jar], "other").await;
        assert_eq!((other.status, other.code()), (409, "renewal.other_key"));
        let other = send(&format!("A-1:{code}"), &["-b", &jar]).await;
        assert_eq!((other.status, other.code()), (401, "est.code_wrong"));

        let printed = service.openssl(&["pkcs7", "-inform", "DER", "-print_certs"], &issued.der());
        service.write("new.pem", printed.as_bytes());
        let new = fingerprint(&service, "new");
        assert_eq!(service.town.holding(id).await.certificate(&new).unwrap().status, Status::Pending);
        assert_eq!(service.login(id, PASSWORD, "new").await.status, 303);
        let holding = service.town.holding(id).await;
        assert!(matches!(holding.certificate(&new).unwrap().status, Status::Active { .. }));
    }
}

/// SHA-256 of a certificate in the folder.
fn fingerprint(service: &Service, name: &str) -> Fingerprint {
    let der = service.run_bytes("openssl", &["x509", "-in", &format!("{name}.pem"), "-outform", "DER"]);
    sha256(&der)
}
