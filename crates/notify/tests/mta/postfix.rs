//! Debian's Postfix, with a configuration, a queue and a process of its own. What is installed on the machine is not touched.

use std::{fs, path::Path, process::Command};

use koshin_notify::smtp::Tls;

use crate::{
    far::far,
    relay::{BOUNCES, PEOPLE, Place, Relay, make},
    scenario,
};

/// The program that starts all others.
const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// What runs for each service: none in a change of root, because the queue has no copies of libraries.
const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

#[tokio::test]
async fn postfix() {
    scenario::play(&start()).await;
}

fn start() -> Relay {
    assert!(Path::new(MASTER).is_file(), "Postfix is missing: `cargo xtask setup` installs it");
    let place = Place::new(Tls::StartTls);
    let at = place.path();
    let main = format!(
        "compatibility_level = 3.6
queue_directory = {at}/queue
data_directory = {at}/data
maillog_file = {at}/log
maillog_file_prefixes = {at}
myhostname = relay.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {at}/cert.pem
smtpd_tls_key_file = {at}/key.pem
recipient_delimiter = +
virtual_mailbox_domains = people.example, midori.example
virtual_mailbox_base = {at}
virtual_mailbox_maps = inline:{{ taro@people.example={PEOPLE}/ bounce@midori.example={BOUNCES}/ }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
relay_domains = far.example
transport_maps = inline:{{ far.example=smtp:[127.0.0.1]:{far} }}
disable_dns_lookups = yes
",
        at = at.display(),
        far = far(),
    );
    fs::create_dir(at.join("conf")).unwrap();
    fs::write(at.join("conf/main.cf"), main).unwrap();
    let services = format!("127.0.0.1:{} inet n - n - - smtpd\n{SERVICES}", place.port);
    fs::write(at.join("conf/master.cf"), services).unwrap();
    let folder = |mode: &str, owner: &str, group: &str, names: &[&str]| {
        let folders = names.iter().map(|name| at.join(name));
        make(Command::new("install").args(["-d", "-m", mode, "-o", owner, "-g", group]).args(folders));
    };
    folder("755", "root", "root", &["queue", "queue/pid", "mail"]);
    let own = ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved"];
    let own: Vec<_> = own.iter().map(|name| format!("queue/{name}")).collect();
    folder("700", "postfix", "root", &own.iter().map(String::as_str).collect::<Vec<_>>());
    folder("700", "postfix", "root", &["data", "queue/trace"]);
    folder("710", "postfix", "postdrop", &["queue/public"]);
    folder("730", "postfix", "postdrop", &["queue/maildrop"]);
    folder("755", "nobody", "nogroup", &[PEOPLE, BOUNCES]);
    let (conf, log) = (at.join("conf"), at.join("log"));
    Relay::start(place, Command::new(MASTER).arg("-c").arg(conf), log)
}
