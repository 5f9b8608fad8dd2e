//! A root, an issuing CA and a server's certificate in a folder, so that a server process can load them.

use std::{fs, path::Path, sync::Arc};

use anyhow::Context as _;
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, FileSigner, Profile, ProfileConfig, create_issuing, create_root,
    create_server_ca, create_server_certificate, new_serial,
};
use koshin_types::Validity;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, UtcDateTime};

use crate::rim;

/// The name that the server's certificate is for.
pub const HOST: &str = "localhost";

/// What a server loads from the folder.
pub struct Authorities {
    /// The issuing CA.
    pub ca: Arc<Ca>,
    /// The server's certificate.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// The CA that clients trust for it.
    pub server_ca: CertificateDer<'static>,
}

/// Makes everything, old enough to have issued certificates that are about to end.
///
/// # Errors
///
/// When a key is not made or a file is not written.
pub fn make(folder: &Path, now: UtcDateTime) -> anyhow::Result<()> {
    let random = rim::random();
    let start = now.replace_nanosecond(0)?.saturating_sub(Duration::days(3 * 365));
    let years = |years: i64| Validity::new(start, start.saturating_add(Duration::days(365 * years)));
    let serial = || new_serial(now, random.as_ref());
    let name = |common_name| AuthorityName::new(Some("JP"), "更新信用金庫", common_name);
    let root = create_root(&AuthorityPlan::root(name("更新ルート認証局")?), serial()?, years(20)?, &random)?;
    let plan = AuthorityPlan::issuing(name("更新電子証明書認証局")?);
    let issuing = create_issuing(&plan, &root, serial()?, years(10)?, &random)?;
    let server_name = AuthorityName::new(None, "Koshin", "Koshin benches server CA")?;
    let week = Validity::new(now.replace_nanosecond(0)? - Duration::HOUR, now.replace_nanosecond(0)? + Duration::WEEK)?;
    let server_ca = create_server_ca(&server_name, &[HOST], serial()?, week, &random)?;
    let server = create_server_certificate("Koshin benches", &[HOST], &server_ca, serial()?, week, &random)?;
    let files = [
        ("root.cer", root.certificate_der()),
        ("issuing.cer", issuing.certificate_der()),
        ("issuing.key", issuing.pkcs8_der()),
        ("server-ca.cer", server_ca.certificate_der()),
        ("server.cer", server.certificate_der()),
        ("server.key", server.pkcs8_der()),
    ];
    for (name, der) in files {
        fs::write(folder.join(name), der).with_context(|| format!("{name} is not written"))?;
    }
    Ok(())
}

/// Loads it.
///
/// # Errors
///
/// When a file is missing or none of ours.
pub fn load(folder: &Path) -> anyhow::Result<Authorities> {
    let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("{name} is not read"));
    let signer = FileSigner::from_pkcs8_der(&read("issuing.key")?, rim::random())?;
    let profile = Profile::new(profile())?;
    let ca = Ca::load(&read("issuing.cer")?, &[read("root.cer")?], Box::new(signer), profile)?;
    Ok(Authorities {
        ca: Arc::new(ca),
        chain: vec![read("server.cer")?.into()],
        key: PrivatePkcs8KeyDer::from(read("server.key")?).into(),
        server_ca: read("server-ca.cer")?.into(),
    })
}

/// A profile with every extension: CRL, CA issuers, OCSP, policy.
pub fn profile() -> ProfileConfig {
    ProfileConfig {
        country: Some("JP".into()),
        crl_urls: vec!["http://ca.example.jp/issuing.crl".into()],
        ca_issuers_url: Some("http://ca.example.jp/issuing.cer".into()),
        ocsp_url: Some("http://ocsp.example.jp/".into()),
        policy_oids: vec!["1.3.6.1.4.1.99999.1.2".into()],
        ..ProfileConfig::default()
    }
}
