//! Reads a PKCS#10 request and prints a client certificate for it with the chain above, all as PEM.
//!
//! ```text
//! openssl req -new -newkey rsa:3072 -nodes -keyout key.pem -subj /CN=ignored \
//!   | cargo run -q -p koshin-issuance --example issue -- 更新商店 U-1001 taro@example.jp
//! ```
//!
//! The CA lives as long as the program: its keys are made at start and dropped at the end.

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CertificationRequest, Gate, Profile, ProfileConfig, Random, SubjectName,
    create_issuing, create_root, new_serial, pem,
};
use koshin_types::Validity;
use std::error::Error;
use std::io::Read as _;
use std::sync::Arc;
use time::{Duration, UtcDateTime};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (organization, name, mail) = match arguments.as_slice() {
        [organization, name] => (organization, name, None),
        [organization, name, mail] => (organization, name, Some(mail.as_str())),
        _ => return Err("usage: issue ORGANIZATION NAME [MAIL] < request".into()),
    };
    let mut request = Vec::new();
    std::io::stdin().take(64 * 1024).read_to_end(&mut request)?;
    let request = CertificationRequest::from_bytes(&request, &Gate::new())?;

    // The clock and the random source are asked here and nowhere below.
    #[expect(clippy::disallowed_methods, reason = "a program's rim is where the clock is read")]
    let now = UtcDateTime::now().truncate_to_second();
    let random: Random = Arc::new(ring::rand::SystemRandom::new());

    let ca = make_ca(now, &random)?;
    let subject = SubjectName::new(organization, name)?;
    let prepared = ca.prepare(request, &subject, mail, new_serial(now, random.as_ref())?, for_days(now, 365)?)?;
    eprintln!("A CA stores serial number {} and {} octets now.", prepared.serial(), prepared.tbs().len());
    let certificate = ca.issue(prepared.recorded())?;
    eprintln!("{} issued it, valid to {}.", ca.issuer_name(), certificate.validity().not_after());
    print!("{}{}", pem("CERTIFICATE", certificate.der()), pem("CERTIFICATE", ca.certificate_der()));
    ca.chain_der().iter().for_each(|above| print!("{}", pem("CERTIFICATE", above)));
    Ok(())
}

fn make_ca(now: UtcDateTime, random: &Random) -> Result<Ca, Box<dyn Error>> {
    let name = |common_name| AuthorityName::new(Some("JP"), "Koshin example", common_name);
    let serial = || new_serial(now, random.as_ref());
    let plan = AuthorityPlan::root(name("Koshin example root")?);
    let root = create_root(&plan, serial()?, for_days(now, 7300)?, random)?;
    let plan = AuthorityPlan::issuing(name("Koshin example issuing CA")?);
    let issuing = create_issuing(&plan, &root, serial()?, for_days(now, 3650)?, random)?;
    let profile = Profile::new(ProfileConfig {
        country: Some("JP".into()),
        crl_urls: vec!["http://ca.example.jp/issuing.crl".into()],
        ca_issuers_url: Some("http://ca.example.jp/issuing.cer".into()),
        ocsp_url: Some("http://ocsp.example.jp/".into()),
        policy_oids: vec!["1.2.3.4".into()],
        ..ProfileConfig::default()
    })?;
    let certificate = issuing.certificate_der().to_vec();
    Ok(Ca::load(&certificate, &[root.certificate_der().to_vec()], Box::new(issuing.into_signer()), profile)?)
}

fn for_days(now: UtcDateTime, days: i64) -> Result<Validity, Box<dyn Error>> {
    Ok(Validity::new(now, now + Duration::days(days) - Duration::SECOND)?)
}
