//! What a running service takes up without a restart.

use std::fs;

use serde_json::json;

use crate::{
    program::{Server, eventually, run},
    site::Site,
};

fn hang_up(site: &Site, server: &Server) {
    run(site.folder(), "kill", ["-HUP", &server.pid().to_string()]).done();
}

/// SHA-256 of the key of a request in Base64, as a block list has it.
fn key_of(site: &Site, request: &str) -> String {
    let line = format!(
        "echo '{request}' | base64 -d | openssl req -inform DER -noout -pubkey | openssl pkey -pubin -outform DER \
         | openssl dgst -sha256 -r | cut -d' ' -f1"
    );
    run(site.folder(), "bash", ["-c", &line]).done().out.trim().to_owned()
}

#[test]
fn a_block_list_is_read_again_and_a_bad_one_changes_nothing() {
    let site = Site::new();
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("blocked_keys = \"blocked.txt\"\n{text}")).unwrap();
    fs::write(site.path("blocked.txt"), "# none yet\n").unwrap();
    let server = site.serve();
    let (blocked, other) = (site.order(1), site.order(2));
    fs::write(site.path("blocked.txt"), key_of(&site, blocked["request"].as_str().unwrap())).unwrap();
    hang_up(&site, &server);
    eventually("it is said", || server.said("\"reloaded\""));
    let refused = site.issue(&server, &blocked);
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("request.key_blocked")), "{refused:?}");
    assert_eq!(site.issue(&server, &other).status, 200);

    // Half of a line: the list that was there before stays.
    fs::write(site.path("blocked.txt"), "abc\n").unwrap();
    hang_up(&site, &server);
    eventually("it is said", || server.said("reload_refused") && server.said("blocked_keys"));
    assert_eq!(site.issue(&server, &blocked).status, 422);
    // So with a configuration that cannot be read.
    fs::write(site.config(), "nonsense").unwrap();
    hang_up(&site, &server);
    eventually("it is said", || server.said("the configuration is refused; the old one stays"));
    assert_eq!(site.issue(&server, &site.order(3)).status, 200);
    server.stop();
}

#[test]
fn clients_come_and_go() {
    let site = Site::new();
    let server = site.serve();
    site.ca(["client", "branch", "--dir", "ca-site/clients"]).done();
    assert_eq!(site.api(&server, "branch", "/v1/ca", &[]).status, 0);
    let before = fs::read_to_string(site.config()).unwrap();
    let table = "[clients.branch]\ncertificates = [\"clients/branch.pem\"]\nprofiles = [\"user\"]\n\n[[ca]]";
    fs::write(site.config(), before.replace("[[ca]]", table)).unwrap();
    // By itself only another CA is taken up.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(site.api(&server, "branch", "/v1/ca", &[]).status, 0);
    hang_up(&site, &server);
    eventually("the new one gets through", || site.api(&server, "branch", "/v1/ca", &[]).status == 200);
    assert_eq!(site.api(&server, "portal", "/v1/ca", &[]).status, 200);
    fs::write(site.config(), before).unwrap();
    hang_up(&site, &server);
    eventually("it is gone", || site.api(&server, "branch", "/v1/ca", &[]).status == 0);
    assert_eq!(site.issue(&server, &site.order(1)).status, 200);
    server.stop();
}

/// A certificate of the API ends sooner than the service.
#[test]
fn the_certificate_of_the_api_is_exchanged() {
    let site = Site::new();
    let server = site.serve();
    assert_eq!(site.api(&server, "portal", "/v1/ca", &[]).status, 200);
    site.ca(["init", "--dir", "other", "--organization", "Midori"]).done();
    for file in ["api.pem", "api.key", "api-ca.pem"] {
        fs::copy(site.folder().join("other/tls").join(file), site.path("tls").join(file)).unwrap();
    }
    assert_eq!(site.api(&server, "portal", "/v1/ca", &[]).status, 0, "the old one is still shown");
    hang_up(&site, &server);
    eventually("the new one is shown", || site.api(&server, "portal", "/v1/ca", &[]).status == 200);
    server.stop();
}

#[test]
fn what_takes_a_restart_is_said() {
    let site = Site::new();
    let server = site.serve();
    let before = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), before.replace("database = \"koshin-ca.db\"", "database = \"other.db\"")).unwrap();
    hang_up(&site, &server);
    eventually("the ledger stays", || server.said("\"[storage]\"") && server.said("that takes a restart"));
    assert_eq!(site.issue(&server, &site.order(1)).status, 200);
    // Another key under the same name is no rollover.
    fs::copy(site.path("ca/issuing.pem"), site.path("ca/old.pem")).unwrap();
    fs::write(site.config(), before.replace("\"ca/issuing.key\"", "\"ca/elsewhere.key\"")).unwrap();
    eventually("it is noticed and refused", || server.said("is at work with another certificate, chain or key"));
    assert_eq!(site.issue(&server, &site.order(2)).status, 200);
    server.stop();
}
