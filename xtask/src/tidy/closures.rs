//! What a package may never link, however deep: the closure of each package, with its default features.

use anyhow::Result;

use super::Findings;
use crate::shell::Cmd;

/// No second TLS stack and no second cryptographic library, anywhere in the default build.
const FOREIGN_TLS: &[&str] = &["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];
/// What people see, and the pages around it.
const SCREENS: &[&str] = &["askama", "fluent-bundle", "koshin-web"];
/// What decides who may do what.
const RULES_OF_LOGIN: &[&str] = &["koshin-expiry", "koshin-ra", "koshin-renewal"];
/// What decides who may have a certificate, and makes it.
const OF_THE_CA: &[&str] = &["koshin-edge", "koshin-endpoints", "koshin-pkcs11", "koshin-ra", "koshin-renewal"];
const SQL: &[&str] = &["libsqlite3-sys", "rusqlite", "sqlx", "sqlx-core", "koshin-sqlite"];
const HTTP: &[&str] = &["askama", "axum", "axum-core", "hyper", "hyper-util", "tower-http", "koshin-web"];
/// What speaks TLS. Mails are composed everywhere, but only the feature `smtp` of notify connects to anything.
const TLS: &[&str] = &["rustls", "rustls-native-certs", "tokio-rustls"];
const RUNTIME: &[&str] = &["tokio", "async-std"];
const CERTIFICATES: &[&str] = &["rcgen", "x509-parser", "koshin-issuance"];

/// Package, if need be with features, and what its closure must not hold.
const RULES: &[(&str, &[&[&str]])] = &[
    ("koshin", &[FOREIGN_TLS]),
    ("koshin-ca", &[FOREIGN_TLS, SCREENS, &["koshin-notify", "koshin-ra", "koshin-renewal", "lettre"]]),
    ("koshin-agent", &[FOREIGN_TLS, SQL, SCREENS, RULES_OF_LOGIN, &["axum", "koshin-issuance", "koshin-operator"]]),
    ("koshin-mailer", &[FOREIGN_TLS, HTTP, SCREENS, CERTIFICATES, OF_THE_CA]),
    ("koshin-web", &[FOREIGN_TLS, SQL]),
    ("koshin-edge", &[FOREIGN_TLS, SQL, RULES_OF_LOGIN, SCREENS]),
    ("koshin-sqlite --features registry", &[FOREIGN_TLS, HTTP, TLS]),
    ("koshin-sqlite --features ledger", &[FOREIGN_TLS, TLS, RULES_OF_LOGIN, SCREENS, &["koshin-notify"]]),
    ("koshin-sqlite --features outbox", &[FOREIGN_TLS, HTTP, TLS, CERTIFICATES, &["koshin-ra"]]),
    ("koshin-ra", &[FOREIGN_TLS, SQL, HTTP, TLS]),
    ("koshin-notify", &[FOREIGN_TLS, SQL, HTTP, TLS, CERTIFICATES]),
    ("koshin-endpoints", &[FOREIGN_TLS, SQL, TLS]),
    ("koshin-issuance", &[FOREIGN_TLS, SQL, HTTP, TLS, RUNTIME]),
    ("koshin-renewal", &[FOREIGN_TLS, SQL, HTTP, TLS, RUNTIME, CERTIFICATES]),
];

pub(super) fn check() -> Result<Findings> {
    let mut findings = Findings::new();
    for (package, forbidden) in RULES {
        let tree = Cmd::cargo(&format!("tree -p {package} -e normal --prefix none -f {{p}}")).output()?;
        findings.extend(violations(package, &tree, forbidden));
    }
    Ok(findings)
}

fn violations(package: &str, tree: &str, forbidden: &[&[&str]]) -> Findings {
    let mut linked: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    linked.sort_unstable();
    linked.dedup();
    let bad = linked.into_iter().filter(|name| forbidden.iter().any(|group| group.contains(name)));
    bad.map(|name| format!("{package} links {name}, which it must not; see `cargo tree -p {package} -i {name}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_package_is_found_at_any_depth() {
        let tree = "koshin-web v0.1.0 (path)\nsqlx v0.9.0\naxum v0.8.9\nsqlx v0.9.0 (*)\nsqlx-like v1.0.0\n";
        let findings = violations("koshin-web", tree, &[FOREIGN_TLS, SQL]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings.concat().starts_with("koshin-web links sqlx,"));
    }
}
