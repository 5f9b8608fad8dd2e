//! A client of EST that others wrote: Bouncy Castle's, as Debian has it.

use super::{fingerprint, service::Service};
use crate::town::{PASSWORD, enrolled_for};
use koshin_renewal::Status;

#[tokio::test(flavor = "multi_thread")]
async fn bouncy_castle_renews() {
    let service = Service::start().await;
    service.holder("U-1", enrolled_for(8)).await;
    let ticket = service.ticket("U-1", "old").await;
    let export =
        ["pkcs12", "-export", "-in", "old.pem", "-inkey", "old.key", "-passout", "pass:secret", "-out", "old.p12"];
    service.run("openssl", &export);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/est/Program.java");
    let path = ["bcpkix", "bcprov", "bcutil"].map(|name| format!("/usr/share/java/{name}.jar")).join(":");
    let port = service.portal.to_string();
    let arguments = ["-cp", &path, source, &port, "server.pem", "old.p12", "U-1", &ticket, "new.der"];
    assert_eq!(service.run("java", &arguments), "2 2 1\n", "two CAs, two kinds of keys, one certificate");
    service.run("openssl", &["x509", "-inform", "DER", "-in", "new.der", "-out", "new.pem"]);
    service.run("openssl", &["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "new.pem"]);
    let holding = service.town.holding("U-1").await;
    assert_eq!(holding.certificate(&fingerprint(&service, "new")).unwrap().status, Status::Pending);
    assert_eq!(service.login("U-1", PASSWORD, "old").await.status, 303, "the present one keeps working");
}
