//! A listener for programs: no certificate, no connection.

use koshin_edge::{GreetingVerifier, Trust, VerifierError};

use super::support::{BOTH, Ca, Identity, Portal, ask, day, fingerprint, self_signed};

/// Whether an answer comes back. Under TLS 1.3 a client learns of a refusal only when it reads.
async fn is_served(portal: &Portal, identity: Option<&Identity>) -> bool {
    let mut served = Vec::new();
    for version in BOTH {
        let answer = match portal.client(identity).version(version).connect().await {
            Ok(mut stream) => ask(&mut stream, "/").await.ok(),
            Err(_) => None,
        };
        served.push(answer.is_some_and(|it| it.status == 200 && it.body.starts_with("verified ")));
    }
    assert_eq!(served[0], served[1], "both versions of TLS agree");
    served[0]
}

#[tokio::test]
async fn only_known_clients_get_through() {
    let ca = Ca::new("Some CA");
    let (known, other) = (ca.good(), ca.good());
    let (own, stranger) = (self_signed(day(-1), day(1)), self_signed(day(-1), day(1)));
    let portal = Portal::demanding(&[&known, &own]).await;
    assert!(is_served(&portal, Some(&known)).await);
    assert!(is_served(&portal, Some(&own)).await, "who issued it is of no account");
    assert!(!is_served(&portal, Some(&other)).await, "nor does the same issuer help");
    assert!(!is_served(&portal, Some(&stranger)).await);
    assert!(!is_served(&portal, None).await);
    let borrowed = Identity { chain: known.chain.clone(), key: other.key.clone() };
    assert!(!is_served(&portal, Some(&borrowed)).await, "a certificate is public, its key is not");
}

#[tokio::test]
async fn nobody_is_greeted_out_of_season() {
    let ca = Ca::new("Some CA");
    let client = ca.leaf(day(-1), day(1));
    let portal = Portal::demanding(&[&client]).await;
    assert!(is_served(&portal, Some(&client)).await);
    let mut open = portal.client(Some(&client)).connect().await.unwrap();
    assert_eq!(ask(&mut open, "/").await.unwrap().status, 200);
    for out in [day(-2), day(2)] {
        portal.set_clock(out);
        assert!(!is_served(&portal, Some(&client)).await, "{out}");
    }
    let answer = ask(&mut open, "/").await.unwrap();
    assert!(answer.body.starts_with("expired "), "on an open connection every request is judged: {}", answer.body);
}

#[test]
fn a_known_client_is_judged_by_its_own_dates() {
    assert!(matches!(GreetingVerifier::of_clients([]), Err(VerifierError::NoAuthority)));
    let client = self_signed(day(-1), day(1));
    let verifier = GreetingVerifier::of_clients([fingerprint(client.der())]).unwrap();
    let trust = |at| verifier.judge(&client.chain, at).peer().unwrap().trust;
    assert_eq!((trust(day(0)), trust(day(2)), trust(day(-2))), (Trust::Verified, Trust::Expired, Trust::NotYetValid));
}
