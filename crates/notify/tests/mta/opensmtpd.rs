//! OpenSMTPD, as Debian packages it. Postfix cannot be installed beside it, so it runs out of the folder into which its package
//! was unpacked, and sees the places and users that are built into it in a mount namespace of its own (`unpacked.sh`).

use std::{env, fs, path::Path, process::Command};

use koshin_notify::smtp::Tls;

use crate::{
    far::far,
    relay::{BOUNCES, PEOPLE, Place, Relay, make},
    scenario,
};

/// The folder of the unpacked package.
const UNPACKED: &str = "KOSHIN_OPENSMTPD";

/// Without TLS: OpenSMTPD 6.8 of Debian 12 cannot use any key with the OpenSSL 3 that it is linked with (OpenSMTPD's issue
/// 1171). Such a server is one on the same machine, and its recipients and reports are what this is about.
#[tokio::test]
async fn opensmtpd() {
    scenario::play(&start()).await;
}

fn start() -> Relay {
    let unpacked = env::var_os(UNPACKED).unwrap_or_else(|| {
        panic!("{UNPACKED} names no folder with OpenSMTPD: run `cargo xtask ci opensmtpd`, which knows where it is")
    });
    let place = Place::new(Tls::None);
    let at = place.path();
    make(
        Command::new("install").args(["-d", "-o", "nobody", "-g", "nogroup"]).args([at.join(PEOPLE), at.join(BOUNCES)]),
    );
    let config = format!(
        "listen on 127.0.0.1 port {port} hostname relay.example
action people maildir \"{at}/{PEOPLE}\" user nobody virtual {{ \"taro@people.example\" = \"nobody\" }}
action bounces maildir \"{at}/{BOUNCES}\" user nobody virtual {{ \"bounce@midori.example\" = \"nobody\" }}
action far relay host \"smtp://127.0.0.1:{far}\"
match from any for rcpt-to \"taro@people.example\" action people
match from any for domain \"midori.example\" action bounces
match from any for domain \"far.example\" action far
",
        port = place.port,
        at = at.display(),
        far = far(),
    );
    fs::write(at.join("smtpd.conf"), config).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mta/unpacked.sh");
    let log = at.join("log");
    let folder = at.to_owned();
    let mut command = Command::new("unshare");
    command.arg("--mount").arg("sh").arg(script).arg(unpacked).arg(folder);
    Relay::start(place, &mut command, log)
}
