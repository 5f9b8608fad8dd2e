//! What a configuration file may say, and what is said about it.

use std::{fs, path::Path, sync::Arc};

use koshin_edge::{ClientCertificate, Trust};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CertificationRequest, FileSigner, Gate, KeyedCertificate, Profile, ProfileConfig,
    Random, Recorded, SubjectName, create_issuing, create_root, new_serial,
};
use koshin_types::Validity;
use rustls_pki_types::CertificateDer;
use time::{Duration, UtcDateTime, macros::utc_datetime};

use super::Checked;
use crate::p12;

const GOOD: &str = r#"
[ca]
certificate = "ca/issuing.pem"
key = "credential:ca-key"

[hosts]
portal = "https://portal.example"
public = "https://portal.example:8444"
activate = "https://activate.portal.example"
publication = "http://ca.example"

[tls]
certificate = "tls/server.pem"
key = "tls/server.key"

[brand]
operator = { ja = "みどり信用金庫", en = "Midori Bank" }
portal = { ja = "みどりビジネスWeb", en = "Midori Business Web" }

[contact]
name = { ja = "サポート", en = "Support" }

[mail]
from = "noreply@midori.example"

[mail.smtp]
host = "mail.midori.example"
user = "koshin"
password_file = "smtp.password"
"#;

fn problems(text: &str) -> String {
    match Checked::parse(Path::new("koshin.toml"), text) {
        Ok(_) => "none".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

/// The good file with one line replaced by others.
fn with(line: &str, others: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    problems(&GOOD.replace(line, others))
}

#[test]
fn a_good_file_and_its_defaults() {
    let Ok(checked) = Checked::parse(Path::new("/etc/koshin/koshin.toml"), GOOD) else { panic!("{}", problems(GOOD)) };
    assert_eq!(checked.database(), Path::new("/etc/koshin/koshin.db"));
    assert_eq!(checked.settings, koshin_ra::Settings::default());
    assert_eq!(format!("{:?}", checked.policy.mail_days()), "[10, 30]");
    insta::assert_snapshot!(checked.effective().unwrap());
    // The effective file is a file, and says the same.
    let again = Checked::parse(Path::new("x"), &checked.effective().unwrap()).ok().unwrap();
    assert_eq!(again.effective().unwrap(), checked.effective().unwrap());
}

#[test]
fn an_unknown_key_is_named_with_its_table_and_line() {
    let said = with("[mail.smtp]", "[mail.smtp]\npasswort_file = \"x\"");
    assert!(said.starts_with("koshin.toml: mail.smtp.passwort_file: unknown field"), "{said}");
    assert!(said.ends_with("(line 27)"), "{said}");
    let said = problems(&format!("{GOOD}\n[polizy]\n"));
    assert!(said.starts_with("koshin.toml: polizy: unknown field"), "{said}");
    let said = problems(&format!("{GOOD}\n[policy]\nnotice_days = \"many\"\n"));
    assert!(said.starts_with("koshin.toml: policy.notice_days: invalid type"), "{said}");
    let said = problems(&format!("{GOOD}\n[est]\nholders = \"on\"\n"));
    assert_eq!(said, "koshin.toml: est.holders: unknown variant `on`, expected `off` or `ticket` (line 32)");
    assert_eq!(problems(&format!("{GOOD}\n[est]\nholders = \"ticket\"\n")), "none");
    let agent = |lines: &str| problems(&format!("{GOOD}\n[agent]\n{lines}\n"));
    assert_eq!(agent("user = \"required\"\nminimum_protection = { user = \"hardware\" }"), "none");
    assert_eq!(agent("user = \"off\""), "none");
    let said = agent("user = \"off\"\nminimum_protection = { user = \"os\" }");
    let nobody = "off, and minimum_protection asks for more than a file: nobody could get a certificate";
    assert!(said.contains("agent.user") && said.contains(nobody), "{said}");
    assert!(agent("minimum_protection = { user = \"chip\" }").contains("agent.minimum_protection.user"));
    let said = problems(&format!("{GOOD}\n[policy]\nreacquire_days = \"never\"\n"));
    assert_eq!(said, "koshin.toml: policy.reacquire_days: a number of days or \"unlimited\" (line 32)");
    assert!(with("portal = \"https://portal.example\"", "").starts_with("koshin.toml: hosts: missing field `portal`"));
    assert!(problems("[storage\n").contains("(line 1)"), "{}", problems("[storage\n"));
}

#[test]
fn a_policy_that_contradicts_itself_is_refused_with_key_and_reason() {
    let policy = |table: &str| problems(&format!("{GOOD}\n[policy]\n{table}\n"));
    for (table, said) in [
        ("mail_days = [30, 10, 30]", "policy.mail_days: the threshold of 30 days is named twice"),
        ("mail_days = [400]", "policy.mail_days: a threshold of 400 days is longer than the validity of 365 days"),
        ("validity = \"days:20\"", "policy.notice_days: a window of 30 days is longer than the validity of 20 days"),
        ("mode = \"lunar\"", "policy.mode: \"lunar\" is none of calendar, instant"),
        ("validity = \"p2y\"", "policy.validity: \"p2y\" is none of p1y, p1y-eod, days:N"),
    ] {
        assert_eq!(policy(table), format!("koshin.toml: {said}"));
    }
    let said = policy("tz = \"Asia/Nowhere\"");
    assert!(said.starts_with("koshin.toml: policy.tz: \"Asia/Nowhere\" is no zone of the IANA database"), "{said}");
    assert_eq!(policy("reacquire_days = \"unlimited\""), "none");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = GOOD
        .replace("https://portal.example:8444", "http://portal.example:8444")
        .replace("http://ca.example", "http://ca.example/crl")
        .replace("noreply@midori.example", "noreply")
        .replace("user = \"koshin\"\n", "")
        .replace("[hosts]", "country = \"Japan\"\n\n[hosts]");
    let said = problems(&format!("{text}\n[rules]\ncode_tries = 0\n"));
    let keys: Vec<_> = said.lines().filter_map(|line| line.trim().split(": ").nth(1)).collect();
    assert_eq!(
        keys,
        ["hosts.public", "hosts.publication", "rules.code_tries", "mail.smtp", "ca.country", "mail.from"],
        "{said}"
    );
    assert!(with("[mail.smtp]", "maildir = \"mail\"\n\n[mail.smtp]").contains("mail: smtp and maildir exclude"));
    let clear = with("host = \"mail.midori.example\"", "host = \"mail.midori.example\"\ntls = \"none\"");
    assert_eq!(clear, "koshin.toml: mail.smtp.tls: a password needs TLS");
}

#[test]
fn what_cannot_stand_in_certificates_is_said_with_its_setting() {
    let table = |lines: &str| with("[hosts]", &format!("{lines}\n\n[hosts]"));
    let said = table(
        "organizational_unit = \"\"\nextended_key_usages = [\"1.3.6.1.5.5.7.3.1\"]\nocsp_url = \"https://ca.example\"\n\
         cps_url = \"https://ca.example/cps\"\nkeys = [\"p256\", \"RSA-1024\", \"P-384\"]",
    );
    let keys: Vec<_> = said.lines().filter_map(|line| line.trim().split(": ").nth(1)).collect();
    let settings = ["keys", "keys", "organizational_unit", "extended_key_usages", "ocsp_url", "cps_url"];
    assert_eq!(keys, settings.map(|setting| format!("ca.{setting}")), "{said}");
    assert!(table("keys = []").ends_with("ca.keys: no kind of key is named; leave it out to take every one"));
    assert!(table("mail_in_certificate = \"no\"").starts_with("koshin.toml: ca.mail_in_certificate: invalid type"));
    let good = "organizational_unit = \"電子契約\"\nextended_key_usages = [\"1.3.6.1.5.5.7.3.4\"]\nmail_in_certificate = false\n\
                policy_oids = [\"1.2.3\"]\ncps_url = \"https://ca.example/cps\"\nkeys = [\"RSA-3072\"]\nblocked_keys = \"b.txt\"";
    assert_eq!(table(good), "none");
}

#[test]
fn the_gate_knows_the_keys_of_the_profile_and_of_the_block_list() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority(3650));
    let request = p12::new_key_and_request().unwrap().1;
    let asked = |checked: &Checked| {
        let gate = checked.load().unwrap().gate;
        CertificationRequest::from_bytes(&request, &gate).map(|it| it.spki_fingerprint()).map_err(|no| no.code())
    };
    let spki = asked(&installed(folder.path(), &authority, "")).unwrap();
    let with = |lines: &str| {
        let folder = tempfile::tempdir().unwrap();
        let checked = installed(folder.path(), &authority, lines);
        (folder, checked)
    };
    let (_folder, p384) = with("keys = [\"P-384\"]");
    assert_eq!(asked(&p384), Err("request.key_not_issued_for"));
    let (place, blocking) = with("blocked_keys = \"blocked.txt\"");
    let missing = blocking.load().err().unwrap().to_string();
    assert!(missing.contains("koshin.toml: ca.blocked_keys: ") && missing.contains("blocked.txt"), "{missing}");
    fs::write(place.path().join("blocked.txt"), "\nno fingerprint\n").unwrap();
    let wrong = blocking.load().err().unwrap().to_string();
    assert!(wrong.contains("line 2 of the block list"), "{wrong}");
    fs::write(place.path().join("blocked.txt"), format!("{spki}  # found\n")).unwrap();
    assert_eq!(asked(&blocking), Err("request.key_blocked"));
    fs::write(place.path().join("blocked.txt"), format!("{}\n", "0a".repeat(32))).unwrap();
    assert_eq!(asked(&blocking), Ok(spki));
}

/// The profile of a configuration, at work.
#[test]
fn what_a_configuration_says_stands_in_a_certificate() {
    let authority = authority(3650);
    let issued = |lines: &str| {
        let folder = tempfile::tempdir().unwrap();
        let checked = installed(folder.path(), &authority, lines);
        issue_with(&authority.0, &authority.1, checked.profile, Some("taro@example.jp"))
    };
    let contains = |der: &[u8], part: &[u8]| der.windows(part.len()).any(|window| window == part);
    let plain = issued("");
    assert!(contains(&plain, b"taro@example.jp") && !contains(&plain, "電子契約".as_bytes()));
    let said = issued(
        "organizational_unit = \"電子契約\"\nmail_in_certificate = false\nextended_key_usages = [\"1.3.6.1.5.5.7.3.4\"]\n\
         policy_oids = [\"1.2.3\"]\ncps_url = \"https://ca.example/cps\"",
    );
    assert!(!contains(&said, b"taro@example.jp") && contains(&said, "電子契約".as_bytes()));
    assert!(contains(&said, b"https://ca.example/cps") && contains(&said, &[0x2b, 6, 1, 5, 5, 7, 3, 4]));
}

const NOW: UtcDateTime = utc_datetime!(2026-11-22 03:00);

/// An issuing CA that lasts so many days, below a root of its own.
fn authority(days: i64) -> (KeyedCertificate, KeyedCertificate) {
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let lasting = |days| Validity::new(NOW - Duration::DAY, NOW + Duration::days(days)).unwrap();
    let name = |what: &str| AuthorityName::new(Some("JP"), "みどり信用金庫", &format!("{what} {days}")).unwrap();
    let serial = || new_serial(NOW, random.as_ref()).unwrap();
    let root = create_root(&AuthorityPlan::root(name("Root")), serial(), lasting(9000), &random).unwrap();
    let issuing = create_issuing(&AuthorityPlan::issuing(name("CA")), &root, serial(), lasting(days), &random).unwrap();
    (root, issuing)
}

/// A certificate for a person, by this CA.
fn issue(root: &KeyedCertificate, issuing: &KeyedCertificate) -> Vec<u8> {
    issue_with(root, issuing, Profile::new(ProfileConfig::default()).unwrap(), None)
}

fn issue_with(root: &KeyedCertificate, issuing: &KeyedCertificate, profile: Profile, mail: Option<&str>) -> Vec<u8> {
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let signer = FileSigner::from_pkcs8_pem(&issuing.pkcs8_pem(), Arc::clone(&random)).unwrap();
    let above = [root.certificate_der().to_vec()];
    let ca = Ca::load(issuing.certificate_der(), &above, Box::new(signer), profile).unwrap();
    let (_, request) = p12::new_key_and_request().unwrap();
    let request = CertificationRequest::from_bytes(&request, &Gate::new()).unwrap();
    let spki = request.spki_fingerprint();
    let validity = Validity::new(NOW - Duration::HOUR, NOW + Duration::DAY).unwrap();
    let (name, serial) = (SubjectName::new("更新商店", "U-1").unwrap(), new_serial(NOW, random.as_ref()).unwrap());
    let prepared = ca.prepare(request, &name, mail, serial, validity).unwrap();
    let recorded = Recorded::restore(prepared.tbs().to_vec(), serial, validity, spki).unwrap();
    ca.issue(recorded).unwrap().into_der()
}

/// An installation with this CA, and with others before it.
fn installed(folder: &Path, (root, issuing): &(KeyedCertificate, KeyedCertificate), former: &str) -> Checked {
    let write =
        |name: &str, text: &str| koshin_operator::secret::create(&folder.join(name), text.as_bytes(), true).unwrap();
    for (name, text) in [("root.pem", root.certificate_pem()), ("issuing.pem", issuing.certificate_pem())] {
        write(name, &text);
    }
    for name in ["issuing.key", "smtp.password"] {
        write(name, &issuing.pkcs8_pem());
    }
    let authority = format!("certificate = \"issuing.pem\"\nchain = [\"root.pem\"]\nkey = \"issuing.key\"\n{former}");
    let text = GOOD
        .replace("certificate = \"ca/issuing.pem\"\nkey = \"credential:ca-key\"", &authority)
        .replace("tls/server.pem", "issuing.pem")
        .replace("tls/server.key", "issuing.key");
    Checked::parse(&folder.join("koshin.toml"), &text).ok().unwrap()
}

#[test]
fn holders_of_a_former_cas_certificates_are_still_ours() {
    let (old, new, foreign) = (authority(400), authority(3650), authority(3651));
    let folder = tempfile::tempdir().unwrap();
    let checked = installed(folder.path(), &new, "former = [\"former.pem\"]");
    let said = checked.load().err().unwrap().to_string();
    assert!(said.contains("koshin.toml: ca.former: ") && said.contains("former.pem cannot be read"), "{said}");
    fs::write(folder.path().join("former.pem"), old.1.certificate_pem()).unwrap();
    let verifier = checked.load().unwrap().verifier;
    let trust = |(root, issuing): &(KeyedCertificate, KeyedCertificate)| {
        let leaf = CertificateDer::from(issue(root, issuing));
        match verifier.judge(&[leaf], NOW) {
            ClientCertificate::Presented(peer) => peer.trust,
            ClientCertificate::None => panic!("a certificate was shown"),
        }
    };
    assert_eq!((trust(&new), trust(&old)), (Trust::Verified, Trust::Verified));
    assert!(matches!(trust(&foreign), Trust::Untrusted { .. }));
    // No CA at all: said before anybody is turned away.
    fs::write(folder.path().join("former.pem"), koshin_issuance::pem("CERTIFICATE", &issue(&old.0, &old.1))).unwrap();
    let said = checked.load().err().unwrap().to_string();
    assert!(said.contains("koshin.toml: ca.former: "), "{said}");
}

#[test]
fn a_ca_that_ends_too_early_is_said_in_time() {
    for (days, begins) in [
        (364, Some("ca.certificate: nothing can be issued: ")),
        (440, Some("ca.certificate: within 90 days nothing can be issued any more: ")),
        (470, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let checked = installed(folder.path(), &authority(days), "");
        let warnings = checked.warnings(&checked.load().unwrap(), NOW);
        match begins {
            Some(begins) => {
                let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
                assert!(warning.starts_with(begins) && warning.ends_with("ca.former"), "{warning}");
            }
            None => assert!(warnings.is_empty(), "{warnings:?}"),
        }
    }
}
