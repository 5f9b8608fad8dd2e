//! A foreign corpus of certificate chains with the expected verdicts, run against the verifier of the TLS edge.
//!
//! The corpus (`limbo-client.json`, made of C2SP's x509-limbo) is not part of this repository: `KOSHIN_LIMBO` names the file.
//! Every case gets a verdict here; those that differ from the expected one stand in `limbo-exceptions.txt` with the
//! reason, and one that stands there without differing is a mistake too.

use std::{collections::BTreeMap, fs};

use koshin_edge::{ClientCertificate, GreetingVerifier, Peer, Trust};
use koshin_issuance::{CrlReadError, RevocationList};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject as _};
use serde::Deserialize;
use time::{UtcDateTime, format_description::well_known::Rfc3339};

#[derive(Deserialize)]
struct Corpus {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    tier: String,
    expected_result: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    crls: Vec<String>,
}

impl Case {
    fn accepted(&self) -> bool {
        let der = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let anchors: Vec<_> = self.trusted_certs.iter().map(der).collect();
        let chain: Vec<_> =
            std::iter::once(&self.peer_certificate).chain(&self.untrusted_intermediates).map(der).collect();
        let now = self
            .validation_time
            .as_ref()
            .map_or_else(default_time, |time| time::OffsetDateTime::parse(time, &Rfc3339).unwrap().to_utc());
        // An anchor that cannot be one is refused when the service starts; its operator goes on with the others.
        anchors
            .iter()
            .filter_map(|anchor| Some((anchor, GreetingVerifier::new(std::slice::from_ref(anchor)).ok()?)))
            .any(|(anchor, verifier)| match verifier.judge(&chain, now) {
                ClientCertificate::Presented(peer) => {
                    peer.trust == Trust::Verified && self.crls.iter().all(|pem| spares(pem, anchor, &peer))
                }
                ClientCertificate::None => false,
            })
    }
}

/// Whether a CRL can be read and does not list the certificate. One of another CA is not about it.
fn spares(pem: &str, anchor: &CertificateDer<'_>, peer: &Peer) -> bool {
    let crl = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    match RevocationList::read(&crl, anchor) {
        Ok(list) => peer.serial.is_some_and(|serial| list.find(&serial).is_none()),
        Err(error) => error == CrlReadError::Issuer,
    }
}

/// Any instant in the corpus's long validities: 2026-11-22T00:00:00Z.
fn default_time() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_795_305_600).unwrap()
}

#[test]
fn the_corpus_gets_the_expected_verdicts() {
    let Ok(path) = std::env::var("KOSHIN_LIMBO") else {
        println!("left out: KOSHIN_LIMBO names no corpus");
        return;
    };
    let corpus: Corpus = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut exceptions: BTreeMap<&str, &str> = include_str!("limbo-exceptions.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(": ").expect("an exception is `id: reason`"))
        .collect();
    let mut wrong = Vec::new();
    let mut right = 0;
    for case in &corpus.testcases {
        let differs = case.accepted() != (case.expected_result == "SUCCESS");
        match (differs, exceptions.remove(case.id.as_str())) {
            (false, None) => right += 1,
            (true, Some(_)) if case.tier != "required" => {}
            (true, _) => wrong.push(format!("{}: {} expected ({})", case.id, case.expected_result, case.tier)),
            (false, Some(_)) => wrong.push(format!("{}: an exception that is none", case.id)),
        }
    }
    wrong.extend(exceptions.keys().map(|id| format!("{id}: not in the corpus")));
    println!("{right} of {} verdicts are the expected ones", corpus.testcases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(right > 0, "the corpus is empty");
}
