//! Making CAs, and reading their keys.

use crate::support::tool::openssl_ok;
use crate::support::{Authority, days, random, serial};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, CeremonyError, FileSigner, KeyFileError, Parent, ProfileError, SignatureAlgorithm,
    Signer, create_issuing, create_root, create_server_ca, create_server_certificate,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

fn name() -> AuthorityName {
    AuthorityName::new(Some("JP"), "更新信用金庫", "認証局").unwrap()
}

#[test]
fn a_root_and_an_issuing_ca_say_what_they_may() {
    let authority = Authority::new();
    let (_, root) = X509Certificate::from_der(authority.root.certificate_der()).unwrap();
    let (_, issuing) = X509Certificate::from_der(&authority.issuing).unwrap();
    assert_eq!(root.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.3");
    assert_eq!(root.subject().as_raw(), root.issuer().as_raw());
    assert_eq!(issuing.issuer().as_raw(), root.subject().as_raw());
    assert!(issuing.verify_signature(Some(root.public_key())).is_ok());
    for (certificate, path_length) in [(&root, None), (&issuing, Some(0))] {
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, path_length);
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.flags == 0b110_0000, "keyCertSign and cRLSign alone");
    }
}

#[test]
fn a_server_ca_is_constrained() {
    let ca = create_server_ca(&name(), &["localhost"], serial(1), days(7), &random()).unwrap();
    let (_, read) = X509Certificate::from_der(ca.certificate_der()).unwrap();
    let constraints = read.name_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    let permitted = constraints.value.permitted_subtrees.as_ref().unwrap();
    assert_eq!(permitted.iter().map(|s| s.base.clone()).collect::<Vec<_>>(), [GeneralName::DNSName("localhost")]);
    let excluded = constraints.value.excluded_subtrees.as_ref().unwrap();
    assert_eq!(excluded.len(), 2, "all of IPv4 and all of IPv6");
    let leaf = create_server_certificate("x", &["localhost"], &ca, serial(2), days(7), &random()).unwrap();
    let (_, read) = X509Certificate::from_der(leaf.certificate_der()).unwrap();
    assert_eq!(
        read.subject_alternative_name().unwrap().unwrap().value.general_names,
        [GeneralName::DNSName("localhost")]
    );
    let purposes = read.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && !purposes.client_auth && !purposes.any);
}

#[test]
fn plans_that_cannot_work_are_refused() {
    let root = create_root(&AuthorityPlan::root(name()), serial(1), days(100), &random()).unwrap();
    let plan = AuthorityPlan::issuing(name());
    let issuing =
        |plan: &AuthorityPlan, days_valid| create_issuing(plan, &root, serial(2), days(days_valid), &random());
    assert!(issuing(&plan, 100).is_ok());
    assert!(matches!(issuing(&plan, 101), Err(CeremonyError::BeyondParent { .. })));
    let secure = AuthorityPlan { crl_urls: vec!["https://ca.example/crl".into()], ..plan.clone() };
    assert!(matches!(issuing(&secure, 9), Err(CeremonyError::Plan(ProfileError::Url { .. }))));
    let other = create_root(&AuthorityPlan::root(name()), serial(1), days(100), &random()).unwrap();
    let mixed = Parent::new(root.certificate_der(), other.signer());
    assert_eq!(create_issuing(&plan, mixed, serial(2), days(9), &random()).unwrap_err(), CeremonyError::ParentKey);
    for hosts in [&[][..], &["-a"], &["a b"], &["*.localhost"], &["あ"], &["127.0.0.1:80"]] {
        let refused = create_server_ca(&name(), hosts, serial(1), days(7), &random()).unwrap_err();
        assert!(matches!(refused, CeremonyError::DnsName { .. }), "{hosts:?}");
    }
    let leaf = create_server_certificate("x", &["localhost"], &root, serial(3), days(7), &random()).unwrap();
    let below_leaf = create_issuing(&plan, &leaf, serial(4), days(1), &random());
    assert!(matches!(below_leaf, Err(CeremonyError::Parent(_))));
}

#[test]
fn key_files_of_openssl_are_read() {
    for (curve, algorithm) in
        [("P-256", SignatureAlgorithm::EcdsaP256Sha256), ("P-384", SignatureAlgorithm::EcdsaP384Sha384)]
    {
        let option = format!("ec_paramgen_curve:{curve}");
        let key = openssl_ok(&["genpkey", "-algorithm", "EC", "-pkeyopt", &option], b"");
        let signer = FileSigner::from_pkcs8_pem(std::str::from_utf8(&key).unwrap(), random()).unwrap();
        assert_eq!(signer.algorithm(), algorithm);
        assert_eq!(signer.public_key_spki(), openssl_ok(&["pkey", "-pubout", "-outform", "DER"], &key));
        assert!(!format!("{signer:?}").contains("key:"), "a key is not printed");
    }
}

#[test]
fn other_key_files_are_refused() {
    let key = openssl_ok(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b"");
    let read = |octets: &[u8]| FileSigner::from_pkcs8_pem(std::str::from_utf8(octets).unwrap(), random()).unwrap_err();
    let encrypted = openssl_ok(&["pkcs8", "-topk8", "-passout", "pass:x"], &key);
    assert_eq!(read(&encrypted), KeyFileError::Label { label: "ENCRYPTED PRIVATE KEY".into() });
    let ed25519 = openssl_ok(&["genpkey", "-algorithm", "ED25519"], b"");
    assert!(matches!(read(&ed25519), KeyFileError::Key { .. }));
    assert_eq!(read(&key.repeat(2)), KeyFileError::NotPem);
    assert_eq!(read(b""), KeyFileError::NotPem);
}
