//! What is no abuse: requests of the programs that people have, PEM as it is copied, and whatever a request says beside its
//! key.

use super::{edited, judge};
use crate::support::csr::{ECDSA_SHA384, EXTENSION_REQUEST, EcKey, Info, csr};
use crate::support::der::{attribute, common_name, extension, int, oid, seq, set, tlv};
use crate::support::tool::{Desk, openssl_ok, tool_ok};
use crate::support::{Authority, accept, days, serial, subject};
use koshin_issuance::{KeyKind, pem};

#[test]
fn requests_of_openssl_pass() {
    let desk = Desk::new();
    for (arguments, kind) in [
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..], KeyKind::P256),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], KeyKind::P384),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], KeyKind::Rsa { bits: 2048 }),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"], KeyKind::Rsa { bits: 3072 }),
    ] {
        let key = desk.put("key.pem", openssl_ok(&[&["genpkey"], arguments].concat(), b""));
        let spki = openssl_ok(&["pkey", "-in", &key, "-pubout", "-outform", "DER"], b"");
        let forms = [&["-outform", "DER", "-sha384"][..], &["-newhdr", "-sha256"], &["-text", "-sha256"]];
        // RSA keys take long to check in a debug build; how the request is wrapped does not depend on its key.
        let few = if matches!(kind, KeyKind::Rsa { .. }) { 1 } else { forms.len() };
        for form in &forms[..few] {
            let common = ["req", "-new", "-key", &key, "-subj", "/C=JP/O=x/CN=y"];
            let octets = openssl_ok(&[&common, *form].concat(), b"");
            let request = judge(&octets).unwrap_or_else(|e| panic!("{arguments:?} {form:?}: {e}"));
            assert_eq!((request.key_kind(), request.spki_der()), (kind, &spki[..]));
        }
    }
    let largest = judge(include_bytes!("../data/rsa8192.pem")).unwrap();
    assert_eq!(largest.key_kind(), KeyKind::Rsa { bits: 8192 });
}

/// What openssl says the key of a request is.
fn spki_of(request: &[u8]) -> Vec<u8> {
    let form = if request.first() == Some(&0x30) { "DER" } else { "PEM" };
    let public = openssl_ok(&["req", "-inform", form, "-noout", "-pubkey"], request);
    openssl_ok(&["pkey", "-pubin", "-outform", "DER"], &public)
}

fn takes(name: &str, request: &[u8], kind: KeyKind) {
    let judged = judge(request).unwrap_or_else(|rejected| panic!("{name}: {rejected}"));
    assert_eq!((judged.key_kind(), judged.spki_der()), (kind, &spki_of(request)[..]), "{name}");
}

#[test]
fn requests_of_gnutls_pass() {
    let desk = Desk::new();
    let template = desk.put("template", "cn = \"x\"\norganization = \"y\"\nemail = \"a@b.jp\"\nca\ncert_signing_key\n");
    for (key, kind) in [
        (&["--key-type=ecdsa", "--curve=secp256r1"][..], KeyKind::P256),
        (&["--key-type=ecdsa", "--curve=secp384r1"], KeyKind::P384),
        (&["--key-type=rsa", "--bits=2048"], KeyKind::Rsa { bits: 2048 }),
    ] {
        let key = desk.put("key.pem", tool_ok("certtool", &[&["--generate-privkey"], key].concat(), b""));
        let common = ["--generate-request", "--load-privkey", &key, "--template", &template];
        takes("PEM with a text before it", &tool_ok("certtool", &common, b""), kind);
        takes("DER", &tool_ok("certtool", &[&common[..], &["--outder"]].concat(), b""), kind);
    }
}

#[test]
fn requests_of_java_pass() {
    let desk = Desk::new();
    for (key, kind) in [
        (&["-keyalg", "EC", "-groupname", "secp256r1"][..], KeyKind::P256),
        (&["-keyalg", "EC", "-groupname", "secp384r1"], KeyKind::P384),
        (&["-keyalg", "RSA", "-keysize", "2048"], KeyKind::Rsa { bits: 2048 }),
    ] {
        let alias = kind.to_string();
        let store = ["-alias", &alias, "-keystore", &desk.path("store.p12"), "-storepass", "changeit"];
        tool_ok("keytool", &[&["-genkeypair", "-dname", "CN=x, O=y, C=JP"], key, &store[..]].concat(), b"");
        let more = ["-certreq", "-ext", "BC:critical=ca:true", "-ext", "EKU=serverAuth"];
        takes("keytool", &tool_ok("keytool", &[&more, &store[..]].concat(), b""), kind);
    }
}

#[test]
fn requests_of_nss_pass() {
    let desk = Desk::new();
    let (folder, noise) = (desk.path("nss"), desk.put("noise", [7; 64]));
    std::fs::create_dir(&folder).unwrap();
    let at = format!("sql:{folder}");
    tool_ok("certutil", &["-N", "-d", &at, "--empty-password"], b"");
    for (key, kind) in [
        (&["-k", "ec", "-q", "nistp256"][..], KeyKind::P256),
        (&["-k", "ec", "-q", "nistp384"], KeyKind::P384),
        (&["-k", "rsa", "-g", "2048"], KeyKind::Rsa { bits: 2048 }),
    ] {
        for (form, more) in [("DER", &[][..]), ("PEM", &["-a"]), ("for a CA", &["-a", "-2", "--extSAN", "dns:a.jp"])] {
            let file = desk.path("request");
            let common = ["-R", "-d", &at, "-s", "CN=x,O=y,C=JP", "-z", &noise, "-o", &file];
            // The answers to what `-2` asks: a CA, no path length, critical.
            tool_ok("certutil", &[&common, key, more].concat(), b"y\n\ny\n");
            takes(form, &std::fs::read(&file).unwrap(), kind);
        }
    }
}

/// The portal's page makes its key and request by `WebCrypto`; Node has the same interface.
#[test]
fn requests_of_the_page_pass() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/assets/key.mjs");
    let script = format!(
        "import {{ certificationRequest, makeKey }} from {page:?};
         for (let i = 0; i < 50; i += 1)
           console.log(Buffer.from(await certificationRequest(await makeKey())).toString('base64'));"
    );
    let said = String::from_utf8(tool_ok("node", &["--input-type=module", "--eval", &script], b"")).unwrap();
    assert_eq!(said.lines().count(), 50);
    for line in said.lines() {
        let text = format!("-----BEGIN CERTIFICATE REQUEST-----\n{line}\n-----END CERTIFICATE REQUEST-----");
        takes("the page", text.as_bytes(), KeyKind::P256);
    }
}

#[test]
fn pem_passes_as_it_is_copied() {
    let key = EcKey::p256();
    let text = pem("CERTIFICATE REQUEST", &key.csr());
    let one_line = text.replacen("-----\n", "----- ", 1).replace('\n', "").replacen("----- ", "-----\n", 1);
    let one_line = one_line.replacen("-----END", "\n-----END", 1);
    for (name, text) in [
        ("CR LF", text.replace('\n', "\r\n")),
        ("CR", text.replace('\n', "\r")),
        ("a byte order mark", format!("\u{feff}{text}")),
        ("a text before it", format!("Please sign this, 山田\n\n{text}")),
        ("a text behind it", format!("{text}\n--\nTaro")),
        ("blanks around the lines", text.lines().fold(String::new(), |all, line| all + "  " + line + " \t\n")),
        ("empty lines", text.replace('\n', "\n\n")),
        ("no line break at the end", text.trim_end().to_owned()),
        ("all in one line", one_line),
        ("the older label", text.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")),
    ] {
        assert_eq!(judge(text.as_bytes()).map(|request| request.spki_der().to_vec()), Ok(key.spki()), "{name}");
    }
}

/// Everything that a request can say beside its key.
fn wishes(key: &EcKey) -> Vec<(&'static str, Vec<u8>)> {
    let many = seq(&vec![&set(&[&seq(&[&oid("2.5.4.3"), &tlv(0x0c, "x")])])[..]; 500]);
    let string = |tag: u8, octets: &[u8]| seq(&[&set(&[&seq(&[&oid("2.5.4.3"), &tlv(tag, octets)])])]);
    let wish = |extensions: &[Vec<u8>]| vec![attribute(EXTENSION_REQUEST, &tlv(0x30, extensions.concat()))];
    let ca = extension("2.5.29.19", true, &seq(&[&tlv(1, [0xff]), &int(9)]));
    let server = extension("2.5.29.37", true, &seq(&[&oid("1.3.6.1.5.5.7.3.1"), &oid("2.5.29.37.0")]));
    let hosts = extension("2.5.29.17", false, &seq(&[&tlv(0x82, "*.example"), &tlv(0x87, [127, 0, 0, 1])]));
    let password = attribute("1.2.840.113549.1.9.7", &tlv(0x0c, "hunter2"));
    vec![
        ("no subject", edited(key, |i| i.subject = seq(&[]))),
        ("500 names", edited(key, |i| i.subject = many)),
        ("14,000 octets in a name", edited(key, |i| i.subject = common_name(&"山".repeat(4_600)))),
        ("NUL in the subject", edited(key, |i| i.subject = common_name("a\0b"))),
        ("lines in the subject", edited(key, |i| i.subject = common_name("a\r\nSet-Cookie: x"))),
        ("markup in the subject", edited(key, |i| i.subject = common_name("<script>alert(1)</script>"))),
        ("a formula in the subject", edited(key, |i| i.subject = common_name("=HYPERLINK(\"//x\")"))),
        ("a turned direction", edited(key, |i| i.subject = common_name("\u{202e}nimda"))),
        ("no UTF-8", edited(key, |i| i.subject = string(0x0c, b"\xff\xfe"))),
        ("half a UTF-16", edited(key, |i| i.subject = string(0x1e, &[0]))),
        ("an empty name", edited(key, |i| i.subject = string(0x13, b""))),
        ("TeletexString", edited(key, |i| i.subject = string(0x14, b"\x1b$B"))),
        ("an attribute without a value", edited(key, |i| i.attributes = vec![seq(&[&oid("1.2.3"), &set(&[])])])),
        ("the same attribute twice", edited(key, |i| i.attributes = vec![attribute("1.2.3", &int(1)); 2])),
        ("7,000 attributes", edited(key, |i| i.attributes = vec![vec![0x30, 0]; 7_000])),
        ("an attribute that is none", edited(key, |i| i.attributes = vec![int(5)])),
        ("a challenge password", edited(key, |i| i.attributes = vec![password])),
        ("a broken extension request", edited(key, |i| i.attributes = vec![attribute(EXTENSION_REQUEST, &int(1))])),
        ("a CA", edited(key, |i| i.attributes = wish(std::slice::from_ref(&ca)))),
        (
            "a CA twice",
            edited(key, |i| i.attributes = [wish(std::slice::from_ref(&ca)), wish(&[ca.clone(), ca.clone()])].concat()),
        ),
        ("a server", edited(key, |i| i.attributes = wish(&[server, hosts]))),
        (
            "an extension without end",
            edited(key, |i| i.attributes = wish(&[extension("2.5.29.17", true, &[0x30, 0x80])])),
        ),
        ("300 extensions", edited(key, |i| i.attributes = wish(&vec![extension("1.2.3", true, &[5, 0]); 300]))),
    ]
}

#[test]
fn what_is_ignored_may_be_anything_and_changes_nothing() {
    let (authority, key) = (Authority::new(), EcKey::p256());
    let prepare = |request: &[u8]| {
        authority.ca.prepare(accept(request), &subject(), None, serial(1), days(30)).unwrap().tbs().to_vec()
    };
    let plain = prepare(&key.csr());
    for (name, request) in wishes(&key) {
        assert_eq!(judge(&request).map(|r| r.spki_der().to_vec()), Ok(key.spki()), "{name}");
        assert_eq!(prepare(&request), plain, "{name}");
    }
}

#[test]
fn both_hashes_pass_under_both_curves() {
    for (key, kind) in [(EcKey::p256(), KeyKind::P256), (EcKey::p384(), KeyKind::P384)] {
        assert_eq!(judge(&key.csr()).unwrap().key_kind(), kind);
    }
    let key = EcKey::p384();
    let info = Info { spki: key.spki(), ..Info::default() }.der();
    let request = csr(&info, &seq(&[&oid(ECDSA_SHA384)]), &key.sign(&info));
    assert_eq!(judge(&request).unwrap().key_kind(), KeyKind::P384);
}
