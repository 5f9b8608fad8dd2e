//! `koshin-ca client`: who an RA is to the CA.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use koshin_issuance::pem;
use koshin_operator::{evidence::fingerprint, instant::rfc3339, machine, output::Form, secret};
use koshin_types::Fingerprint;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SerialNumber,
};
use serde_json::json;
use time::{Duration, OffsetDateTime, UtcDateTime};
use zeroize::Zeroizing;

use crate::{
    commands::init::Files,
    exit::{Fault, Status},
};

#[derive(Debug, Args)]
pub(crate) struct ClientArguments {
    /// What the client is called in the ledger and in the CA's configuration
    name: String,
    /// Where NAME.pem and NAME.key are made
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// For how many days the certificate is valid
    #[arg(long, value_name = "N", default_value_t = DAYS, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

/// The usual life of a client's certificate.
pub(crate) const DAYS: u16 = 825;

pub(crate) fn run(arguments: &ClientArguments) -> anyhow::Result<()> {
    let made = Made::new(&arguments.name, arguments.days, machine::now())?;
    let (certificate, key) = made.write(&arguments.dir)?;
    Form::new(arguments.json).one(&json!({
        "client": arguments.name,
        "certificate": certificate,
        "key": key,
        "fingerprint": made.fingerprint.to_string(),
        "not_after": rfc3339(made.not_after),
    }))?;
    eprintln!(
        "koshin-ca: at the CA, in koshin-ca.toml: [clients.{}] with fingerprints = [\"{}\"] and profiles = [\"user\"]",
        arguments.name, made.fingerprint
    );
    Ok(())
}

/// A key and a certificate that it signed itself. The CA knows the certificate, so nobody has to vouch for it.
pub(crate) struct Made {
    name: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) not_after: UtcDateTime,
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Made {
    pub(crate) fn new(name: &str, days: u16, now: UtcDateTime) -> anyhow::Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !(1..=64).contains(&name.len()) || !name.chars().all(plain) || name.starts_with('.') {
            let reason = format!("{name:?} is no client's name: 1 to 64 of A-Z a-z 0-9 . _ -");
            return Err(Fault::usage(reason).into());
        }
        let key = KeyPair::generate().context("no key could be made")?;
        let mut octets = [0; 16];
        machine::entropy(&mut octets)?;
        // Positive, and of the same length every time.
        octets[0] = octets[0] & 0x7f | 0x40;
        let start = OffsetDateTime::from(now.truncate_to_second());
        let mut wanted = CertificateParams::default();
        wanted.serial_number = Some(SerialNumber::from_slice(&octets));
        wanted.not_before = start - Duration::minutes(5);
        wanted.not_after = start + Duration::days(days.into());
        wanted.distinguished_name = DistinguishedName::new();
        wanted.distinguished_name.push(DnType::CommonName, name);
        wanted.is_ca = IsCa::ExplicitNoCa;
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = wanted.self_signed(&key).context("the certificate could not be signed")?;
        Ok(Self {
            name: name.to_owned(),
            fingerprint: fingerprint(certificate.der()),
            not_after: UtcDateTime::from(wanted.not_after),
            certificate: certificate.der().to_vec(),
            key: Zeroizing::new(key.serialize_der()),
        })
    }

    /// Adds both files to what is made together.
    pub(crate) fn add_to(&self, files: &mut Files) {
        let name = |ending: &str| format!("clients/{}.{ending}", self.name);
        files.open(&name("pem"), pem("CERTIFICATE", &self.certificate));
        files.private(Path::new(&name("key")), Zeroizing::new(pem("PRIVATE KEY", &self.key)));
    }

    /// Writes both files; takes the first away again when the second cannot be made.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
        let at = |ending: &str| folder.join(format!("{}.{ending}", self.name));
        let (certificate, key) = (at("pem"), at("key"));
        if let Some(there) = [&certificate, &key].into_iter().find(|file| file.exists()) {
            return Err(Fault::new(Status::State, format!("{} exists already", there.display())).into());
        }
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        secret::create(&key, Zeroizing::new(pem("PRIVATE KEY", &self.key)).as_bytes(), true)?;
        if let Err(error) = secret::create(&certificate, pem("CERTIFICATE", &self.certificate).as_bytes(), false) {
            drop(std::fs::remove_file(&key));
            return Err(error);
        }
        Ok((certificate, key))
    }
}
