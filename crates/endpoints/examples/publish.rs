//! Publishes the revocation list of a CA again and again into a folder, until it is stopped. Each line is the number of
//! one that can be fetched.
//!
//! ```text
//! cargo run -q -p koshin-endpoints --example publish -- CA.der KEY.pk8 FOLDER ENTRIES
//! ```
//!
//! CA.der is the CA's certificate, KEY.pk8 its private key (PKCS#8, DER). So many revocations are made up.

use std::{error::Error, fs, io::Write as _, sync::Arc};

use koshin_endpoints::{CrlSettings, MemoryRevocations, Place, Publication, Publisher, Revoked};
use koshin_issuance::{Ca, FileSigner, Profile, ProfileConfig, Random, RevokedCertificate};
use koshin_types::{RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

#[expect(clippy::disallowed_methods, reason = "a program's rim is where the clock is read")]
fn now() -> UtcDateTime {
    UtcDateTime::now()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: publish CA.der KEY.pk8 FOLDER ENTRIES");
    let (certificate, key, folder, entries) = (fs::read(next()?)?, fs::read(next()?)?, next()?, next()?.parse()?);
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let signer = Box::new(FileSigner::from_pkcs8_der(&key, random)?);
    let ca = Ca::load(&certificate, &[], signer, Profile::new(ProfileConfig::default())?)?;

    let source = MemoryRevocations::default();
    let begun = now();
    for number in 0..entries {
        let entry = RevokedCertificate {
            serial: SerialNumber::from_time_and_random(1_700_000_000_000 + number, [7; 13]),
            revoked_at: begun - Duration::DAY,
            reason: RevocationReason::CessationOfOperation,
            invalidity_date: None,
        };
        source.revoke(Revoked { entry, not_after: begun + Duration::days(365) });
    }
    let (publication, place) = (Publication::new(Arc::new(now)), Place::new(folder, "issuing.crl"));
    let publisher = Publisher::new(Arc::new(ca), Arc::new(source), publication, place, CrlSettings::default());
    publisher.resume().await?;
    loop {
        let edition = publisher.publish(now()).await?;
        writeln!(std::io::stdout(), "{}", edition.number)?;
    }
}
