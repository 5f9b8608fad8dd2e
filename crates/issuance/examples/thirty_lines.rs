//! A CA in thirty lines: ceremony, request, certificate, revocation list, and openssl as the judge of them.
//!
//! ```text
//! cargo run -q -p koshin-issuance --example thirty_lines
//! ```

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CertificationRequest, CrlEdition, Curve, FileSigner, Gate, Profile,
    ProfileConfig, Random, RevokedCertificate, SubjectName, create_issuing, create_root, new_serial, pem,
    request_certificate,
};
use koshin_types::{RevocationReason, Validity};
use std::{error::Error, fs, process::Command, sync::Arc};
use time::{Duration, UtcDateTime};

#[expect(clippy::disallowed_methods, reason = "a program's rim is where the clock is read")]
fn main() -> Result<(), Box<dyn Error>> {
    let now = UtcDateTime::now().truncate_to_second();
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let serial = || new_serial(now, &*random);
    let years = |years: i64| Validity::new(now, now + Duration::days(365 * years));

    // The ceremony: a root, and the CA below it that issues.
    let name = |common_name| AuthorityName::new(Some("JP"), "更新信用金庫", common_name);
    let root = create_root(&AuthorityPlan::root(name("ルート認証局")?), serial()?, years(20)?, &random)?;
    let issuing = create_issuing(&AuthorityPlan::issuing(name("認証局")?), &root, serial()?, years(10)?, &random)?;
    let above = pem("CERTIFICATE", issuing.certificate_der()) + &root.certificate_pem();
    let (own, chain) = (issuing.certificate_der().to_vec(), [root.certificate_der().to_vec()]);
    let ca = Ca::load(&own, &chain, Box::new(issuing.into_signer()), Profile::new(ProfileConfig::default())?)?;

    // Somebody's key and request; of the request only the key is taken.
    let (holder, _) = FileSigner::generate(Curve::P256, random.clone())?;
    let request = request_certificate(&name("whoever")?, &holder)?;
    let request = CertificationRequest::from_bytes(&request, &Gate::new())?;

    // The registry's names, the record, the signature.
    let subject = SubjectName::new("更新商店", "U-1001")?;
    let prepared = ca.prepare(request, &subject, Some("taro@example.jp"), serial()?, years(1)?)?;
    // Here a ledger stores the serial number and the bytes to be signed.
    let certificate = ca.issue(prepared.recorded())?;

    // Good with an empty list; refused by the next one.
    let (serial, reason) = (certificate.serial(), RevocationReason::KeyCompromise);
    let revoked = RevokedCertificate { serial, revoked_at: now, reason, invalidity_date: None };
    for (number, entries) in [(1, vec![]), (2, vec![revoked])] {
        let edition = CrlEdition { number, this_update: now, next_update: now + Duration::days(7) };
        let list = pem("X509 CRL", ca.sign_crl(edition, &entries)?.der());
        println!("list {number}: {}", judge(&(above.clone() + &list), &pem("CERTIFICATE", certificate.der()))?);
    }
    Ok(())
}

fn judge(authorities: &str, certificate: &str) -> std::io::Result<String> {
    let folder = std::env::temp_dir().join(format!("koshin-example-{}", std::process::id()));
    fs::create_dir(&folder)?;
    fs::write(folder.join("ca.pem"), authorities)?;
    fs::write(folder.join("leaf.pem"), certificate)?;
    let verify = ["verify", "-x509_strict", "-crl_check", "-CAfile", "ca.pem", "leaf.pem"];
    let output = Command::new("openssl").args(verify).current_dir(&folder).output();
    fs::remove_dir_all(folder)?;
    Ok(match output {
        Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        Err(error) => format!("nobody judges, openssl is missing: {error}"),
    })
}
