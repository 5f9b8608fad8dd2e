//! OCSP: what openssl asks is understood, and what is answered openssl believes.

use crate::support::csr::EcKey;
use crate::support::der::tlv;
use crate::support::tool::{Answer, Desk, openssl, openssl_ok};
use crate::support::{Authority, NOW, accept, days, now, random, serial, subject};
use koshin_issuance::{
    Curve, OcspEdition, OcspError, OcspFailure, OcspFault, OcspRequest, OcspResponder, OcspStatus, ProfileConfig,
    create_ocsp_responder, pem,
};
use koshin_types::{RevocationReason, Validity};
use proptest::prelude::*;
use time::Duration;

struct Bench {
    authority: Authority,
    responder: OcspResponder,
    desk: Desk,
    trust: String,
    issuer: String,
}

impl Bench {
    fn new() -> Self {
        let authority = Authority::new();
        let made =
            create_ocsp_responder("更新信用金庫", "更新 OCSP", authority.ca.parent(), serial(50), days(14), &random())
                .unwrap();
        let certificate = made.certificate_der().to_vec();
        let responder = OcspResponder::load(&authority.issuing, &certificate, Box::new(made.into_signer())).unwrap();
        let desk = Desk::new();
        let trust = [authority.root.certificate_pem(), pem("CERTIFICATE", &authority.issuing)].concat();
        let trust = desk.put("trust.pem", trust);
        let issuer = desk.put("issuer.pem", pem("CERTIFICATE", &authority.issuing));
        Self { authority, responder, desk, trust, issuer }
    }

    fn leaf(&self, low: u8) -> String {
        let request = accept(&EcKey::p256().csr());
        let prepared = self.authority.ca.prepare(request, &subject(), None, serial(low), days(365)).unwrap();
        let issued = self.authority.ca.issue(prepared.recorded()).unwrap();
        self.desk.put(&format!("{low}.pem"), pem("CERTIFICATE", issued.der()))
    }

    /// What openssl asks about these certificates.
    fn question(&self, options: &[&str], leaves: &[&String]) -> Vec<u8> {
        let file = self.desk.put("question.der", b"");
        let mut arguments = vec!["ocsp", "-issuer", &self.issuer];
        arguments.extend(options);
        arguments.extend(leaves.iter().flat_map(|leaf| ["-cert", leaf.as_str()]));
        arguments.extend(["-reqout", &file]);
        openssl_ok(&arguments, b"");
        std::fs::read(file).unwrap()
    }

    /// What openssl makes of an answer to that question: whether it is one.
    fn judge(&self, question: &[u8], answer: &[u8]) -> Answer {
        let question = self.desk.put("q.der", question);
        self.openssl(answer, &["-reqin", &question])
    }

    /// What openssl reads about these certificates in an answer. It takes no question from a file then.
    fn status(&self, hash: &str, answer: &[u8], leaves: &[&String]) -> Answer {
        let mut arguments = vec![hash, "-no_nonce"];
        arguments.extend(leaves.iter().flat_map(|leaf| ["-cert", leaf.as_str()]));
        self.openssl(answer, &arguments)
    }

    fn openssl(&self, answer: &[u8], more: &[&str]) -> Answer {
        let (answer, at) = (self.desk.put("a.der", answer), (NOW + 3600).to_string());
        let common = ["ocsp", "-issuer", &self.issuer, "-respin", &answer, "-CAfile", &self.trust, "-attime", &at];
        openssl(&[&common[..], &["-validity_period", "1000000000"], more].concat(), b"")
    }
}

fn edition() -> OcspEdition {
    let at = now() + Duration::HOUR;
    OcspEdition { produced_at: at, this_update: at, next_update: Some(at + Duration::hours(12)) }
}

#[test]
fn openssl_believes_what_is_answered() {
    let bench = Bench::new();
    let leaves: Vec<String> = [10, 11, 12, 13].map(|low| bench.leaf(low)).into();
    let leaves: Vec<&String> = leaves.iter().collect();
    for options in [["-sha1", "-nonce"], ["-sha256", "-nonce"], ["-sha256", "-no_nonce"]] {
        let question = bench.question(&options, &leaves);
        let request = OcspRequest::from_der(&question).unwrap();
        assert_eq!(request.nonce().is_none(), options[1] == "-no_nonce");
        assert!(request.certificates().iter().all(|id| bench.responder.answers_for(id)));
        let serials: Vec<_> = request.certificates().iter().map(|id| id.serial().unwrap()).collect();
        assert_eq!(serials, [10, 11, 12, 13].map(serial));
        let at = now() + Duration::MINUTE;
        let statuses = [
            OcspStatus::Good,
            OcspStatus::Revoked { at, reason: RevocationReason::KeyCompromise },
            OcspStatus::Revoked { at, reason: RevocationReason::Unspecified },
            OcspStatus::Unknown,
        ];
        let answers = request.certificates().iter().zip(statuses);
        let answer = bench.responder.sign(answers, edition(), request.nonce()).unwrap();
        let judged = bench.judge(&question, &answer);
        assert!(judged.good && judged.text().contains("Response verify OK"), "{}", judged.text());
        assert!(!judged.text().to_lowercase().contains("nonce"), "{}", judged.text());
        let text = bench.status(options[0], &answer, &leaves).text();
        let words = [": good", ": revoked", ": revoked", ": unknown"];
        assert!(words.iter().zip(&leaves).all(|(word, leaf)| text.contains(&format!("{leaf}{word}"))), "{text}");
        assert_eq!(text.matches("Reason: keyCompromise").count(), 1, "{text}");
    }
}

#[test]
fn an_answer_to_another_question_is_not_believed() {
    let bench = Bench::new();
    let leaf = bench.leaf(10);
    let (one, two) = (bench.question(&[], &[&leaf]), bench.question(&[], &[&leaf]));
    let (request, other) = (OcspRequest::from_der(&one).unwrap(), OcspRequest::from_der(&two).unwrap());
    assert_ne!(request.nonce(), other.nonce());
    let answers = || request.certificates().iter().map(|id| (id, OcspStatus::Good));
    let answer = bench.responder.sign(answers(), edition(), other.nonce()).unwrap();
    let judged = bench.judge(&one, &answer);
    assert!(!judged.good && judged.text().contains("Nonce Verify error"), "{}", judged.text());
    let mut changed = bench.responder.sign(answers(), edition(), request.nonce()).unwrap();
    let place = changed.windows(2).position(|octets| octets == [0x80, 0]).unwrap();
    changed[place] = 0x82;
    assert!(!bench.judge(&one, &changed).text().contains("Response verify OK"));
}

#[test]
fn another_cas_certificates_are_nobodys_here() {
    let (bench, other) = (Bench::new(), Bench::new());
    let leaf = other.leaf(10);
    let request = OcspRequest::from_der(&other.question(&[], &[&leaf])).unwrap();
    assert!(request.certificates().iter().all(|id| other.responder.answers_for(id)));
    assert!(!request.certificates().iter().any(|id| bench.responder.answers_for(id)));
}

#[test]
fn failures_are_what_openssl_says_they_are() {
    let desk = Desk::new();
    for (failure, words) in [
        (OcspFailure::MalformedRequest, "malformedrequest (1)"),
        (OcspFailure::InternalError, "internalerror (2)"),
        (OcspFailure::TryLater, "trylater (3)"),
        (OcspFailure::Unauthorized, "unauthorized (6)"),
    ] {
        let file = desk.put("answer.der", failure.der());
        let text = openssl(&["ocsp", "-respin", &file, "-noverify"], b"").text();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_responder_is_what_its_ca_made_it() {
    let (one, two) = (Authority::new(), Authority::with(Curve::P384, ProfileConfig::default()));
    let issue = |parent: &Authority| {
        create_ocsp_responder("更新信用金庫", "OCSP", parent.ca.parent(), serial(50), days(14), &random()).unwrap()
    };
    let load = |ca: &Authority, certificate: &[u8], key| {
        OcspResponder::load(&ca.issuing, certificate, Box::new(key)).map(|_| ())
    };
    for authority in [&one, &two] {
        let made = issue(authority);
        let certificate = made.certificate_der().to_vec();
        assert_eq!(load(authority, &certificate, made.into_signer()), Ok(()));
    }
    let made = issue(&two);
    let certificate = made.certificate_der().to_vec();
    assert_eq!(load(&one, &certificate, made.into_signer()), Err(OcspError::Issuer));
    let certificate = issue(&one).certificate_der().to_vec();
    assert_eq!(load(&one, &certificate, issue(&one).into_signer()), Err(OcspError::Key));
    let request = accept(&EcKey::p256().csr());
    let client = one.ca.prepare(request, &subject(), None, serial(9), days(365)).unwrap();
    let client = one.ca.issue(client.recorded()).unwrap();
    assert_eq!(load(&one, client.der(), issue(&one).into_signer()), Err(OcspError::Purpose));
}

#[test]
fn dates_that_contradict_each_other_are_refused() {
    let bench = Bench::new();
    let sign = |edit: fn(&mut OcspEdition)| {
        let mut edition = edition();
        edit(&mut edition);
        bench.responder.sign([], edition, None).map(|_| ())
    };
    assert_eq!(sign(|_| ()), Ok(()));
    assert_eq!(sign(|edition| edition.next_update = None), Ok(()));
    assert!(matches!(sign(|e| e.next_update = Some(e.this_update)), Err(OcspError::Dates { .. })));
    assert!(matches!(sign(|e| e.this_update += Duration::SECOND), Err(OcspError::Dates { .. })));
    let late = |e: &mut OcspEdition| e.next_update = Some(e.this_update + Duration::days(14));
    assert!(matches!(sign(late), Err(OcspError::Ended { .. })), "an answer outlives its responder");
    let before = |e: &mut OcspEdition| {
        let at = e.this_update - Duration::days(1);
        *e = OcspEdition { produced_at: at, this_update: at, ..*e };
    };
    assert!(matches!(sign(before), Err(OcspError::Ended { .. })));
    assert_eq!(bench.responder.validity(), Validity::new(days(14).not_before(), days(14).not_after()).unwrap());
}

/// A request about one certificate, with what is to stand before and behind the list.
fn request(before: &[u8], list: &[Vec<u8>], behind: &[u8]) -> Vec<u8> {
    let list = tlv(0x30, list.concat());
    tlv(0x30, tlv(0x30, [before, &list, behind].concat()))
}

fn single(number: &[u8], behind: &[u8]) -> Vec<u8> {
    let algorithm = tlv(0x30, [tlv(6, [0x2b, 0x0e, 3, 2, 0x1a]), tlv(5, [])].concat());
    let id = [algorithm, tlv(4, [1; 20]), tlv(4, [2; 20]), tlv(2, number)].concat();
    tlv(0x30, [&tlv(0x30, &id)[..], behind].concat())
}

fn extension(kind: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(1, [0xff]) } else { Vec::new() };
    tlv(0x30, [tlv(6, kind), critical, tlv(4, value)].concat())
}

#[test]
fn what_is_no_question_is_refused() {
    const NONCE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2];
    let read = |der: &[u8]| OcspRequest::from_der(der).map(|request| request.nonce().map(<[u8]>::len));
    let tail = |extensions: &[Vec<u8>]| tlv(0xa2, tlv(0x30, extensions.concat()));
    let nonce = |length: usize| tail(&[extension(NONCE, false, &tlv(4, vec![7; length]))]);
    let one = || vec![single(&[5], &[])];
    assert_eq!(read(&request(&[], &one(), &[])), Ok(None));
    assert_eq!(read(&request(&tlv(0xa0, tlv(2, [0])), &one(), &[])), Ok(None), "the default, written out");
    assert_eq!(read(&request(&tlv(0xa0, tlv(2, [1])), &one(), &[])), Err(OcspFault::Version));
    for length in [1, 32, 128] {
        assert_eq!(read(&request(&[], &one(), &nonce(length))), Ok(Some(length)));
    }
    for length in [0, 129] {
        assert_eq!(read(&request(&[], &one(), &nonce(length))), Err(OcspFault::Nonce));
    }
    let bare = tail(&[extension(NONCE, false, &[7; 16])]);
    assert_eq!(read(&request(&[], &one(), &bare)), Err(OcspFault::Nonce));
    let twice = tail(&[extension(NONCE, false, &tlv(4, [1])), extension(NONCE, false, &tlv(4, [2]))]);
    assert_eq!(read(&request(&[], &one(), &twice)), Err(OcspFault::Nonce));
    let unknown = |critical| tail(&[extension(&[0x2b, 6, 1], critical, &[])]);
    assert_eq!(read(&request(&[], &one(), &unknown(false))), Ok(None));
    assert_eq!(read(&request(&[], &one(), &unknown(true))), Err(OcspFault::CriticalExtension));
    let inside = tlv(0xa0, tlv(0x30, extension(&[0x2b, 6, 1], true, &[])));
    assert_eq!(read(&request(&[], &[single(&[5], &inside)], &[])), Err(OcspFault::CriticalExtension));
    assert_eq!(read(&request(&[], &[], &[])), Err(OcspFault::Empty));
    assert_eq!(read(&request(&[], &vec![single(&[5], &[]); 16], &[])), Ok(None));
    assert_eq!(read(&request(&[], &vec![single(&[5], &[]); 17], &[])), Err(OcspFault::TooMany));
    assert_eq!(read(&[0x30; 5000]), Err(OcspFault::TooLarge { octets: 5000 }));
    assert!(matches!(read(&[]), Err(OcspFault::Der(_))));
    let trailing = [request(&[], &one(), &[]), vec![0]].concat();
    assert!(matches!(read(&trailing), Err(OcspFault::Der(_))));
}

#[test]
fn impossible_serial_numbers_are_answered_and_never_found() {
    for number in [&[0][..], &[0x80], &[1; 21]] {
        let request = OcspRequest::from_der(&request(&[], &[single(number, &[])], &[])).unwrap();
        assert_eq!(request.certificates()[0].serial(), None);
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_is_answered_or_refused(octets in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..90, octet in any::<u8>()) {
        let _ = OcspRequest::from_der(&octets);
        let mut der = request(&[], &[single(&[5], &[])], &[]);
        let place = at % der.len();
        der[place] = octet;
        let _ = OcspRequest::from_der(&der);
    }
}
