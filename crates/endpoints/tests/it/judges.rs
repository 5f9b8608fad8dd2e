//! Foreign judges on what is published: lists, answers and the certificates below and above them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use koshin_endpoints::MemoryRevocations;
use koshin_issuance::{OcspStatus, pem};
use koshin_types::RevocationReason;
use time::Duration;

use crate::{
    bench::{Bench, NOW, now, openssl, serial},
    ocsp::{body, post},
    publisher::{Rig, revoked},
};

/// A program of pkilint, where `cargo xtask setup` puts it.
fn pkilint(program: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let target = tests.ancestors().nth(3).unwrap();
    let program = target.join("tools/pkilint/bin").join(program);
    assert!(program.exists(), "{} is missing: cargo xtask setup", program.display());
    program
}

/// Fails unless pkilint has nothing to say that is a warning or worse.
fn is_sound(program: &str, arguments: &[&str]) {
    let mut command = Command::new(pkilint(program));
    let done = command.arg("lint").args(["-s", "WARNING"]).args(arguments).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success() && said.trim().is_empty(), "{program} {arguments:?}:\n{said}");
}

fn certtool(arguments: &[&str]) -> String {
    let done = Command::new("certtool").args(arguments).output().expect("this needs the Debian package gnutls-bin");
    let said = [done.stdout, done.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Every reason, once with an invalidityDate, and one that has none.
fn fill(source: &MemoryRevocations) {
    for number in 0..12 {
        let mut one = revoked(number, now() - Duration::HOUR, now() + Duration::days(90));
        one.entry.invalidity_date = (number >= 6).then(|| now() - Duration::days(i64::from(number)));
        source.revoke(one);
    }
}

#[tokio::test]
async fn every_judge_takes_the_list() {
    for filled in [false, true] {
        let rig = Rig::new();
        if filled {
            fill(&rig.source);
        }
        rig.publisher.publish(now()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| put(folder.path(), name, content);
        let list = put("list.der", &rig.file());
        is_sound("lint_crl", &["-t", "CRL", "-p", "PKIX", "--document-format", "DER", &list]);
        let pem_file = put("list.pem", pem("X509 CRL", &rig.file()).as_bytes());
        let issuing = put("issuing.pem", pem("CERTIFICATE", &rig.issuing.certificate).as_bytes());
        let verified = certtool(&["--verify-crl", "--load-ca-certificate", &issuing, "--infile", &pem_file]);
        // certtool has no clock to set; it judges the signature first, and says that the dates are another matter.
        let verified = verified.to_lowercase();
        assert!(verified.contains("verification output: verified") || verified.contains("future"), "{verified}");
        let shown = certtool(&["--crl-info", "--inder", "--infile", &list]);
        assert_eq!(shown.matches("Serial Number (hex)").count(), if filled { 12 } else { 0 }, "{shown}");
        assert!(shown.contains("CRL Number"), "{shown}");
    }
}

#[tokio::test]
async fn openssl_obeys_the_list() {
    let bench = Bench::new();
    let (good, bad) = (bench.leaf(10, None), bench.leaf(11, None));
    let rig = Rig::of(&bench);
    let mut one = revoked(1, now() - Duration::HOUR, now() + Duration::days(365));
    one.entry.serial = serial(11);
    rig.source.revoke(one);
    rig.publisher.publish(now()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let list = put(folder.path(), "list.pem", pem("X509 CRL", &rig.file()));
    let (trust, at) = (bench.path("trust.pem"), (NOW + 60).to_string());
    let common = ["verify", "-x509_strict", "-crl_check", "-attime", &at, "-CAfile", &trust, "-CRLfile", &list];
    let judge = |leaf: &str| openssl(&[&common[..], &[leaf]].concat());
    let (accepted, said) = judge(&good);
    assert!(accepted, "{said}");
    let (accepted, said) = judge(&bad);
    assert!(!accepted && said.contains("certificate revoked"), "{said}");
}

#[tokio::test]
async fn pkilint_takes_the_answers() {
    let bench = Bench::new();
    bench.install(14);
    let folder = tempfile::tempdir().unwrap();
    let reason = RevocationReason::KeyCompromise;
    let statuses = [
        Some(OcspStatus::Good),
        None,
        Some(OcspStatus::Revoked { at: now() - Duration::DAY, reason }),
        Some(OcspStatus::Revoked { at: now() - Duration::DAY, reason: RevocationReason::Unspecified }),
    ];
    for (status, low) in statuses.into_iter().zip(10..) {
        let leaf = bench.leaf(low, status);
        for options in [&["-nonce"][..], &["-no_nonce"]] {
            let answer = body(post(&bench.service.router(), bench.question(&leaf, options)).await).await;
            let answer = put(folder.path(), "answer.der", answer);
            is_sound("lint_ocsp_response", &["--document-format", "DER", &answer]);
        }
    }
}

#[test]
fn pkilint_takes_the_chain() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let root = put(folder.path(), "root.pem", &bench.root);
    let (issuing, leaf) = (bench.path("issuer.pem"), bench.leaf(10, None));
    let responder = put(folder.path(), "responder.pem", pem("CERTIFICATE", &bench.responder()));
    for (signer, signee) in [(&root, &root), (&root, &issuing), (&issuing, &leaf), (&issuing, &responder)] {
        is_sound("lint_pkix_signer_signee_cert_chain", &[signer, signee]);
        is_sound("lint_pkix_cert", &[signee]);
    }
}
