//! Who may ask, and for what.

use std::{collections::BTreeMap, sync::Arc};

use koshin_endpoints::ca::{CaService, Client, ClientError, IssueRefused, IssueRequest, Right, ServiceError};

use super::{Bench, client, now, order};

#[tokio::test]
async fn a_client_is_its_certificate() {
    let mut bench = Bench::new();
    bench.clients[0].certificates.insert(super::sha256(b"the portal's next"));
    let service = bench.service();
    for shown in [&b"portal"[..], b"the portal's next"] {
        assert_eq!(service.client(shown).map(|client| client.name.as_str()), Some("portal"));
    }
    assert_eq!(service.client(b"other").map(|client| client.name.as_str()), Some("other"));
    assert!(service.client(b"somebody's").is_none());
    assert!(service.client(b"").is_none());
}

#[tokio::test]
async fn rights_and_profiles_are_what_is_configured() {
    let bench = Bench::new();
    let service = bench.service();
    let ask = async |client: &Client, profile: &str| {
        let request = IssueRequest { profile: profile.to_owned(), ..order(1) };
        service.issue(client, &request, now()).await.unwrap_err()
    };
    let mut texts = Vec::new();
    for profile in ["machine", "nowhere"] {
        let refused = ask(bench.portal(), profile).await;
        assert!(matches!(refused, IssueRefused::NotAllowed { .. }), "{refused:?}");
        texts.push(refused.to_string().replace(profile, "-"));
    }
    assert_eq!(texts[0], texts[1], "whether there is such a profile is nobody's to learn");
    let mut reader = bench.portal().clone();
    reader.rights.remove(&Right::Issue);
    let refused = ask(&reader, "client").await;
    assert!(matches!(refused, IssueRefused::NotAllowed { .. }), "{refused:?}");
    assert_eq!(bench.ledger.audited(), 0);
}

#[test]
fn a_service_is_checked_when_it_is_put_together() {
    let bench = Bench::new();
    let refused = |clients: Vec<Client>| {
        let mut parts = bench.parts(Arc::clone(&bench.ledger) as _);
        parts.clients = clients;
        match CaService::new(parts).map(|_| ()).unwrap_err() {
            ServiceError::Client(error) => error,
            other => panic!("{other:?}"),
        }
    };
    let name = |name: &str| name.to_owned();
    for bad in ["", "a b", "ポータル", &"x".repeat(65)] {
        assert_eq!(refused(vec![client(bad, b"1")]), ClientError::Name { name: name(bad) });
    }
    assert_eq!(refused(vec![client("a", b"1"), client("a", b"2")]), ClientError::Twice { name: name("a") });
    let shared = refused(vec![client("a", b"1"), client("b", b"1")]);
    let certificate = super::sha256(b"1");
    assert_eq!(shared, ClientError::Shared { certificate, one: name("a"), other: name("b") });
    let nobody = Client { certificates: [].into(), ..client("a", b"1") };
    assert_eq!(refused(vec![nobody]), ClientError::NoCertificate { name: name("a") });
    let nothing = Client { profiles: [name("x")].into(), ..client("a", b"1") };
    assert_eq!(refused(vec![nothing]), ClientError::NoProfile { name: name("a"), profile: name("x") });

    let mut parts = bench.parts(Arc::clone(&bench.ledger) as _);
    let profile = parts.profiles.pop_first().unwrap().1;
    parts.profiles = BTreeMap::new();
    assert!(matches!(CaService::new(parts), Err(ServiceError::NoProfile)));
    let mut parts = bench.parts(Arc::clone(&bench.ledger) as _);
    parts.profiles.insert("a/b".to_owned(), profile);
    assert!(matches!(CaService::new(parts), Err(ServiceError::ProfileName { .. })));
    let mut parts = bench.parts(Arc::clone(&bench.ledger) as _);
    parts.signer = Arc::clone(&Bench::new().key) as _;
    assert!(matches!(CaService::new(parts), Err(ServiceError::Ca(_))));
    assert_eq!(Right::ALL.map(Right::as_str), ["issue", "revoke", "changes"]);
}
