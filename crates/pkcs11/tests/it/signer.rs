//! What a CA's signer has to survive.

use std::{
    fs,
    time::{Duration, Instant},
};

use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

use crate::bench::{Bench, PROXIED, SOFTHSM, unhex};

const PATIENT: Duration = Duration::from_secs(10);

/// Longer than a token that failed is left alone.
fn rest() {
    std::thread::sleep(Duration::from_millis(1_100));
}

#[test]
fn every_kind_of_key_signs() {
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    };
    let kinds: [(&str, &str, &dyn VerificationAlgorithm); 3] = [
        ("p256", "EcdsaP256Sha256", &ECDSA_P256_SHA256_ASN1),
        ("p384", "EcdsaP384Sha384", &ECDSA_P384_SHA384_ASN1),
        ("rsa2048", "RsaPkcs1Sha256", &RSA_PKCS1_2048_8192_SHA256),
    ];
    for (kind, name, verification) in kinds {
        let bench = Bench::new();
        let mut signer = bench.signer(SOFTHSM, PATIENT, Some(kind));
        let (algorithm, spki) = signer.greeting().unwrap();
        assert_eq!(algorithm, name);
        let (rest, parsed) = SubjectPublicKeyInfo::from_der(&spki).unwrap();
        assert!(rest.is_empty());
        let key = UnparsedPublicKey::new(verification, parsed.subject_public_key.data.to_vec());
        for number in 0..8 {
            let message = format!("message {number}");
            let (word, signature) = signer.sign(&message);
            assert_eq!(word, "signed");
            key.verify(message.as_bytes(), &unhex(&signature)).unwrap();
        }
    }
}

#[test]
fn what_is_not_there_is_said() {
    let bench = Bench::new();
    let without = bench.signer(SOFTHSM, PATIENT, None);
    assert!(without.greeting().is_none());
    assert!(without.end().contains("Keys"), "there is no key yet");
    bench.signer(SOFTHSM, PATIENT, Some("p256")).end();
    let again = bench.signer(SOFTHSM, PATIENT, Some("p256"));
    assert!(again.end().contains("Taken"), "a label is never used twice");
    let nowhere = bench.signer("/nowhere.so", PATIENT, None);
    assert!(nowhere.end().contains("Module"));
    fs::rename(bench.path("tokens"), bench.path("elsewhere")).unwrap();
    fs::create_dir(bench.path("tokens")).unwrap();
    bench.init("another");
    let other = bench.signer(SOFTHSM, PATIENT, None).end();
    assert!(other.contains("NoToken") && other.contains("another"), "{other}");
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let bench = Bench::new();
    let proxy = bench.proxy();
    let mut signer = bench.signer(PROXIED, PATIENT, Some("p256"));
    assert_eq!(signer.word(), "signed");
    bench.set_pin_file("0000");
    let wrong = bench.signer(SOFTHSM, PATIENT, None);
    assert!(wrong.end().contains("Pin"));
    // The running one keeps the PIN it was started with; the token was not locked by the one wrong try.
    assert_eq!(signer.word(), "signed");
    drop(proxy);
}

#[test]
fn a_token_whose_pin_was_changed_is_left_alone() {
    let bench = Bench::new();
    let proxy = bench.proxy();
    let mut signer = bench.signer(PROXIED, PATIENT, Some("p256"));
    assert_eq!(signer.word(), "signed");
    drop(proxy);
    // The token comes back with another PIN: each further try would bring it nearer to its lock.
    bench.change_pin("9999");
    let _proxy = bench.proxy();
    assert_eq!(signer.word(), "refused");
    for _ in 0..5 {
        rest();
        let (word, why) = signer.sign("message");
        assert_eq!(word, "refused", "{why}");
    }
    bench.set_pin_file("9999");
    let mut right = bench.signer(PROXIED, PATIENT, None);
    assert_eq!(right.word(), "signed", "the token was not locked");
}

#[test]
fn a_killed_token_is_found_again_without_a_restart() {
    let bench = Bench::new();
    let mut proxy = bench.proxy();
    let mut signer = bench.signer(PROXIED, PATIENT, Some("p256"));
    for _ in 0..3 {
        assert_eq!(signer.word(), "signed");
        drop(proxy);
        assert_eq!(signer.word(), "unavailable");
        assert_eq!(signer.word(), "unavailable", "it rests, and says so at once");
        proxy = bench.proxy();
        rest();
        assert_eq!(signer.word(), "signed");
    }
    // Restarted between two calls: nobody has to know.
    drop(proxy);
    let _proxy = bench.proxy();
    assert_eq!(signer.word(), "signed");
}

#[test]
fn a_token_that_is_pulled_out_is_found_when_it_is_back() {
    let bench = Bench::new();
    let proxy = bench.proxy();
    let mut signer = bench.signer(PROXIED, PATIENT, Some("p256"));
    assert_eq!(signer.word(), "signed");
    drop(proxy);
    fs::rename(bench.path("tokens"), bench.path("pulled out")).unwrap();
    fs::create_dir(bench.path("tokens")).unwrap();
    let proxy = bench.proxy();
    assert_eq!(signer.word(), "unavailable", "another reader, and no token in it");
    drop(proxy);
    fs::remove_dir(bench.path("tokens")).unwrap();
    fs::rename(bench.path("pulled out"), bench.path("tokens")).unwrap();
    let _proxy = bench.proxy();
    rest();
    assert_eq!(signer.word(), "signed");
}

#[test]
fn a_swapped_key_signs_nothing() {
    let bench = Bench::new();
    let proxy = bench.proxy();
    let mut signer = bench.signer(PROXIED, PATIENT, Some("p256"));
    assert_eq!(signer.word(), "signed");
    drop(proxy);
    fs::remove_dir_all(bench.path("tokens")).unwrap();
    fs::create_dir(bench.path("tokens")).unwrap();
    bench.init("koshin-test");
    bench.signer(SOFTHSM, PATIENT, Some("p256")).end();
    let _proxy = bench.proxy();
    let (word, why) = signer.sign("message");
    assert!(word == "unavailable" && why.contains("put the right token back"), "{word} {why}");
}

#[test]
fn a_slow_token_costs_each_caller_its_patience_once() {
    let bench = Bench::new();
    let proxy = bench.proxy();
    let mut signer = bench.signer(PROXIED, Duration::from_millis(300), Some("p256"));
    assert_eq!(signer.word(), "signed");
    proxy.stop();
    let (word, why) = signer.sign("message");
    assert!(word == "unavailable" && why.contains("0.3 s"), "{why}");
    let begun = Instant::now();
    let (word, why) = signer.sign("message");
    assert!(word == "unavailable" && why.contains("last call"), "{why}");
    assert!(begun.elapsed() < Duration::from_millis(200), "and then nobody waits for it");
    proxy.go_on();
    let until = Instant::now() + PATIENT;
    while signer.word() != "signed" {
        assert!(Instant::now() < until, "it does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_token_that_hangs_is_not_waited_for_for_ever_when_it_is_opened() {
    let bench = Bench::new();
    let proxy = bench.proxy();
    assert_eq!(bench.signer(PROXIED, PATIENT, Some("p256")).word(), "signed");
    proxy.stop();
    // What the program says is said at once; its end waits for the module, which wants to say good-bye to the token.
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            proxy.go_on();
        });
        bench.signer(PROXIED, Duration::from_millis(500), None).end()
    });
    assert!(said.contains("Silent"), "{said}");
    assert_eq!(bench.signer(PROXIED, PATIENT, None).word(), "signed");
}

#[test]
fn two_keys_in_one_module_do_not_end_each_others_sessions_for_ever() {
    let bench = Bench::new();
    let mut both = bench.signers(SOFTHSM, PATIENT, Some("p256"), &["--beside"]);
    // A third one has gone and taken the module with it: both open it anew.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((both.word(), both.word()), ("signed".to_owned(), "signed".to_owned()));
    // Whoever logs in from here on is refused.
    bench.change_pin("4321");
    for _ in 0..3 {
        assert_eq!(both.word(), "signed");
    }
}
