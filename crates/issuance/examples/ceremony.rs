//! Makes a root, an issuing CA, its first CRL, and a server CA with a server's certificate, and writes all of them but the
//! private keys as PEM into a new folder.
//!
//! ```text
//! cargo run -q -p koshin-issuance --example ceremony -- /tmp/ceremony
//! ```

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CrlEdition, Profile, ProfileConfig, Random, RevokedCertificate, create_issuing,
    create_root, create_server_ca, create_server_certificate, new_serial, pem,
};
use koshin_types::{RevocationReason, Validity};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use time::{Duration, UtcDateTime};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: ceremony FOLDER")?);
    std::fs::create_dir(&folder)?;
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text);

    #[expect(clippy::disallowed_methods, reason = "a program's rim is where the clock is read")]
    let now = UtcDateTime::now().truncate_to_second();
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let serial = || new_serial(now, random.as_ref());
    let for_days = |days| Validity::new(now, now + Duration::days(days) - Duration::SECOND);

    let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新ルート認証局")?;
    let root = create_root(&AuthorityPlan::root(name), serial()?, for_days(7300)?, &random)?;
    write("root.pem", root.certificate_pem())?;

    let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局")?;
    let mut plan = AuthorityPlan::issuing(name);
    plan.crl_urls.push("http://ca.example.jp/root.crl".into());
    plan.ca_issuers_url = Some("http://ca.example.jp/root.cer".into());
    let issuing = create_issuing(&plan, &root, serial()?, for_days(3650)?, &random)?;
    write("issuing.pem", issuing.certificate_pem())?;

    let (certificate, chain) = (issuing.certificate_der().to_vec(), [root.certificate_der().to_vec()]);
    let profile = Profile::new(ProfileConfig::default())?;
    let ca = Ca::load(&certificate, &chain, Box::new(issuing.into_signer()), profile)?;
    let revoked = RevokedCertificate {
        serial: serial()?,
        revoked_at: now,
        reason: RevocationReason::Superseded,
        invalidity_date: None,
    };
    let edition = CrlEdition { number: 1, this_update: now, next_update: now + Duration::days(1) };
    write("issuing.crl.pem", pem("X509 CRL", ca.sign_crl(edition, &[revoked])?.der()))?;

    let hosts = ["localhost", "activate.localhost"];
    let name = AuthorityName::new(None, "Koshin demo", "Koshin demo server CA")?;
    let server_ca = create_server_ca(&name, &hosts, serial()?, for_days(7)?, &random)?;
    write("server-ca.pem", server_ca.certificate_pem())?;
    let server = create_server_certificate("Koshin demo", &hosts, &server_ca, serial()?, for_days(7)?, &random)?;
    write("server.pem", server.certificate_pem())?;
    eprintln!("The certificates are in {}.", folder.display());
    Ok(())
}
