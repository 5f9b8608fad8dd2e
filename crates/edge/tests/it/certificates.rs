//! What becomes of each kind of client certificate.

use std::sync::Arc;

use koshin_edge::{ClientCertificate, GreetingVerifier, MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES, Trust, VerifierError};
use koshin_types::{Fingerprint, SerialNumber, Validity};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{HandshakeKind, sign::CertifiedKey};
use time::{Duration, UtcDateTime};

use super::support::{BOTH, Ca, Identity, NOW, Portal, Shows, ask, big_extension, day, kind, self_signed};

fn trust(verifier: &GreetingVerifier, identity: &Identity, now: UtcDateTime) -> Trust {
    verifier.judge(&identity.chain, now).peer().unwrap().trust
}

fn is_untrusted(trust: Trust) -> bool {
    matches!(trust, Trust::Untrusted { .. })
}

#[tokio::test]
async fn every_version_and_protocol_shows_the_same() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let good = ca.good();
    let digest = ring::digest::digest(&ring::digest::SHA256, good.der());
    let verified = format!("verified {}", Fingerprint::new(digest.as_ref().try_into().unwrap()));
    for version in BOTH {
        for (identity, expected) in [(None, "none"), (Some(&good), verified.as_str())] {
            let client = portal.client(identity).version(version);
            let mut h1 = client.connect().await.unwrap();
            assert_eq!(ask(&mut h1, "/").await.unwrap().body, expected);
            assert_eq!(ask(&mut h1, "/").await.unwrap().body, expected, "kept alive");
            let mut h2 = client.connect_h2().await;
            assert_eq!(h2.ask("/").await.unwrap().body, expected);
        }
    }
    assert_eq!(portal.stop().await.cut, 0);
}

#[tokio::test]
async fn a_dead_or_unborn_certificate_is_greeted() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    assert!(portal.greets(&ca.leaf(day(-368), day(-3))).await.starts_with("expired "));
    assert!(portal.greets(&ca.leaf(day(3), day(368))).await.starts_with("not yet valid "));
}

#[tokio::test]
async fn anything_else_is_greeted_as_untrusted() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let foreign = Ca::new("Other CA");
    let same_name = Ca::new("Client CA");
    for (dates, what) in [((-10, 10), "valid"), ((-20, -10), "expired"), ((10, 20), "not yet valid")] {
        let (from, to) = (day(dates.0), day(dates.1));
        for identity in [foreign.leaf(from, to), self_signed(from, to)] {
            let said = portal.greets(&identity).await;
            assert!(said.starts_with("it was issued by another authority"), "{what}: {said}");
        }
        let said = portal.greets(&same_name.leaf(from, to)).await;
        assert!(said.starts_with("its signature does not match"), "{what}: {said}");
        let said = portal.greets(&ca.leaf_with(from, to, |p| p.extended_key_usages.clear())).await;
        assert!(said.starts_with("it is not meant for client authentication"), "{what}: {said}");
        let server =
            |p: &mut rcgen::CertificateParams| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let said = portal.greets(&ca.leaf_with(from, to, server)).await;
        assert!(said.starts_with("it is not meant for client authentication"), "{what}: {said}");
    }
    let said = portal.greets(&ca.identity).await;
    assert!(said.starts_with("it is"), "the authority itself is no client: {said}");
}

#[test]
fn an_authority_is_no_client_whatever_its_usage_says() {
    let ca = Ca::new("Client CA");
    let verifier = GreetingVerifier::new(&[ca.der()]).unwrap();
    let below = ca.leaf_with(day(-1), day(1), |p| p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    assert!(is_untrusted(trust(&verifier, &below, NOW)));
}

#[tokio::test]
async fn nobody_shows_a_certificate_without_its_key() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    for version in BOTH {
        for shown in [ca.good(), ca.leaf(day(-20), day(-10)), self_signed(day(-1), day(1))] {
            let stolen = Identity { key: ca.good().key, ..shown };
            let client = portal.client(Some(&stolen)).version(version);
            assert!(client.is_refused_with(client.config()).await);
        }
    }
}

#[tokio::test]
async fn a_chain_has_a_size() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let filler = ca.der();
    let full = ca.good().with_chain(&vec![filler.clone(); MAX_CHAIN_CERTIFICATES - 1]);
    assert!(portal.greets(&full).await.starts_with("verified "));
    let large = ca.leaf_with(day(-1), day(1), |p| p.custom_extensions.push(big_extension(MAX_CHAIN_BYTES - 1000)));
    assert!(large.der().len() < MAX_CHAIN_BYTES);
    assert!(portal.greets(&large).await.starts_with("verified "));

    let too_large = ca.leaf_with(day(-1), day(1), |p| p.custom_extensions.push(big_extension(MAX_CHAIN_BYTES)));
    let together = large.with_chain(&[filler.clone(), filler.clone(), filler.clone()]);
    let too_many = full.with_chain(&[filler]);
    for version in BOTH {
        for identity in [&too_many, &too_large, &together] {
            let client = portal.client(Some(identity)).version(version);
            assert!(client.is_refused_with(client.config()).await);
        }
    }
}

#[tokio::test]
async fn every_handshake_is_a_full_one() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    for version in BOTH {
        let mut client = portal.client(Some(&ca.good())).version(version);
        client.resumption = true;
        let config = Arc::new(client.config());
        for _ in 0..3 {
            let mut stream = client.connect_with(Arc::clone(&config)).await.unwrap();
            // A ticket would come with the first answer.
            assert!(ask(&mut stream, "/").await.unwrap().body.starts_with("verified "));
            assert_eq!(kind(&stream), Some(HandshakeKind::Full));
        }
    }
}

#[tokio::test]
async fn browsers_are_told_our_authorities_only() {
    let (old, new) = (Ca::new("Client CA 1"), Ca::new("Client CA 2"));
    let portal = Portal::start(&[&old, &new]).await;
    for identity in [old.good(), new.good()] {
        assert!(portal.greets(&identity).await.starts_with("verified "));
    }
    let client = portal.client(None);
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let key = rustls::crypto::ring::sign::any_supported_type(&key.try_into().unwrap()).unwrap();
    let shows = Arc::new(Shows::new(CertifiedKey::new(vec![], key)));
    let _ = client.connect_with(Arc::new(client.config_with(Some(Arc::clone(&shows) as _)))).await;
    let hints = shows.hints.lock().unwrap().clone();
    assert_eq!(hints.len(), 2);
    assert!(hints[0].ends_with(b"Client CA 1") && hints[1].ends_with(b"Client CA 2"));
}

#[tokio::test]
async fn a_listener_that_asks_for_none_sees_none() {
    let portal = Portal::public().await;
    let said = portal.greets(&Ca::new("Client CA").good()).await;
    assert_eq!(said, "none");
}

#[tokio::test]
async fn a_certificate_dies_on_an_open_connection() {
    let ca = Ca::new("Client CA");
    let portal = Portal::start(&[&ca]).await;
    let mut stream = portal.client(Some(&ca.leaf(day(-365), NOW))).connect().await.unwrap();
    portal.set_clock(NOW + Duration::milliseconds(999));
    assert!(ask(&mut stream, "/").await.unwrap().body.starts_with("verified "));
    portal.set_clock(NOW + Duration::SECOND);
    assert!(ask(&mut stream, "/").await.unwrap().body.starts_with("expired "));
    assert_eq!(ask(&mut stream, "/instant").await.unwrap().body, (NOW + Duration::SECOND).to_string());
}

#[test]
fn invariant_01_both_ends_are_inside() {
    let ca = Ca::new("Client CA");
    let verifier = GreetingVerifier::new(&[ca.der()]).unwrap();
    let leaf = ca.leaf(day(-10), day(10));
    // The first round examines, the second remembers.
    for _ in 0..2 {
        assert_eq!(trust(&verifier, &leaf, day(-10) - Duration::MILLISECOND), Trust::NotYetValid);
        assert_eq!(trust(&verifier, &leaf, day(-10)), Trust::Verified);
        assert_eq!(trust(&verifier, &leaf, day(10) + Duration::milliseconds(999)), Trust::Verified);
        assert_eq!(trust(&verifier, &leaf, day(10) + Duration::SECOND), Trust::Expired);
    }
}

#[test]
fn what_is_read_is_what_was_issued() {
    let ca = Ca::new("Client CA");
    let verifier = GreetingVerifier::new(&[ca.der()]).unwrap();
    let serial = SerialNumber::from_be_bytes(&[0x7f, 0xff, 0x01]).unwrap();
    let leaf = ca
        .leaf_with(day(-1), day(1), |p| p.serial_number = Some(rcgen::SerialNumber::from_slice(serial.as_be_bytes())));
    let ClientCertificate::Presented(peer) = verifier.judge(&leaf.chain, NOW) else { panic!("nothing presented") };
    assert_eq!(peer.serial, Some(serial));
    assert_eq!(peer.validity, Validity::new(day(-1), day(1)).ok());
    assert_eq!(peer.leaf_der, leaf.der().to_vec());
    assert_eq!(verifier.judge(&[], NOW), ClientCertificate::None);
}

#[test]
fn an_authority_outside_its_own_validity_vouches_for_nothing() {
    let ca = Ca::valid("Client CA", day(-400), day(0));
    let verifier = GreetingVerifier::new(&[ca.der()]).unwrap();
    let outlives = ca.leaf(day(-100), day(100));
    assert_eq!(trust(&verifier, &outlives, day(-1)), Trust::Verified);
    assert!(is_untrusted(trust(&verifier, &outlives, day(1))));
    // A holder whose certificate and authority are both over is still told the date.
    assert_eq!(trust(&verifier, &ca.leaf(day(-100), day(-50)), day(1)), Trust::Expired);
    // Never both valid: no instant at which the path holds.
    assert!(is_untrusted(trust(&verifier, &ca.leaf(day(1), day(100)), day(2))));
}

#[test]
fn intermediates_are_followed_up_to_an_anchor() {
    let root = Ca::new("Root CA");
    let issuing = root.below("Issuing CA", day(-50), day(50));
    let over = root.below("Issuing CA of old", day(-50), day(-20));
    let verifier = GreetingVerifier::new(&[root.der()]).unwrap();
    let bare = issuing.leaf(day(-10), day(10));
    let whole = bare.clone().with_chain(&[issuing.der()]);
    for _ in 0..2 {
        assert!(is_untrusted(trust(&verifier, &bare, NOW)), "the issuer is missing");
        assert_eq!(trust(&verifier, &whole, NOW), Trust::Verified, "whatever was seen before");
        assert_eq!(trust(&verifier, &whole, day(11)), Trust::Expired);
    }
    let dead = over.leaf(day(-40), day(10)).with_chain(&[over.der()]);
    assert!(is_untrusted(trust(&verifier, &dead, NOW)), "its issuer is over");
    let never = over.leaf(day(-10), day(10)).with_chain(&[over.der()]);
    assert!(is_untrusted(trust(&verifier, &never, NOW)), "its issuer was over before it began");
    let garbage = bare.with_chain(&[vec![0x30, 0x00].into()]);
    assert!(is_untrusted(trust(&verifier, &garbage, NOW)));
}

#[test]
fn an_intermediate_counts_from_its_first_second() {
    let root = Ca::new("Root CA");
    let verifier = GreetingVerifier::new(&[root.der()]).unwrap();
    let unborn = root.below("Issuing CA to come", day(5), day(50));
    let leaf = unborn.leaf(day(-10), day(10)).with_chain(&[unborn.der()]);
    assert!(is_untrusted(trust(&verifier, &leaf, NOW)));
    assert_eq!(trust(&verifier, &leaf, day(6)), Trust::Verified);

    let below = unborn.below("Below it", day(-50), day(50));
    let leaf = below.leaf(day(-10), day(10));
    for chain in [[unborn.der(), below.der()], [below.der(), unborn.der()]] {
        let leaf = leaf.clone().with_chain(&chain);
        assert!(is_untrusted(trust(&verifier, &leaf, NOW)));
        assert_eq!(trust(&verifier, &leaf, day(6)), Trust::Verified);
    }
}

#[test]
fn a_sound_leaf_needs_nothing_that_comes_with_it() {
    let ca = Ca::new("Client CA");
    let verifier = GreetingVerifier::new(&[ca.der()]).unwrap();
    let over = ca.below("Something over", day(-50), day(-20));
    assert_eq!(trust(&verifier, &ca.good().with_chain(&[over.der()]), NOW), Trust::Verified);
}

#[test]
fn bytes_after_a_certificate_are_not_part_of_it() {
    let ca = Ca::new("Client CA");
    let verifier = GreetingVerifier::new(&[ca.der()]).unwrap();
    let good = ca.good();
    assert_eq!(trust(&verifier, &good, NOW), Trust::Verified);
    let mut octets = good.der().to_vec();
    octets.push(0);
    let trailing = Identity { chain: vec![octets.into()], ..good };
    let ClientCertificate::Presented(peer) = verifier.judge(&trailing.chain, NOW) else { panic!("nothing presented") };
    assert!(is_untrusted(peer.trust));
    assert_eq!((peer.validity, peer.serial), (None, None));
}

#[test]
fn a_verifier_needs_authorities() {
    assert!(matches!(GreetingVerifier::new(&[]), Err(VerifierError::NoAuthority)));
    let ca = Ca::new("Client CA").der();
    let refused = GreetingVerifier::new(&[ca, vec![0x30, 0x00].into()]);
    assert!(matches!(refused, Err(VerifierError::Unreadable { index: 1 })));
}
