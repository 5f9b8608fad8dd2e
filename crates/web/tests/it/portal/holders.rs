//! What holders are told and led to, in the states that a life with certificates comes to.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use koshin_notify::{Disposition, Outbox as _, Reply, Tasks as _, Whose};
use koshin_ra::{Authority, AuthorityError, Issuing, MemoryAuthority, Order, Revocation};
use koshin_renewal::State;
use koshin_types::Fingerprint;

use super::{Answer, World};
use crate::town::{NOW, PASSWORD, Town, enrolled_for, entropy, key, operator, registration, sha256};

impl World {
    /// Renews at an instant, to an activated certificate.
    async fn renewed(&self, id: &str, old: &Fingerprint, at: time::UtcDateTime) -> Fingerprint {
        let access = self.town.sign_in(id, old, at).await.access;
        let renewal = self.town.ra.start_renewal(&access, at).await.unwrap();
        let new = sha256(&self.town.request(&access, renewal, &key(), at).await.certificate);
        let _ = self.town.ra.activate(&new, at).await.unwrap();
        new
    }

    /// The serial number of a certificate of U-1.
    async fn serial(&self, certificate: &Fingerprint) -> String {
        self.town.holding("U-1").await.certificate(certificate).unwrap().serial.to_string()
    }

    /// What login page, doctor and activation host say to whoever shows this certificate.
    async fn advice(&self, shown: &Fingerprint) -> [String; 3] {
        let mut pages = Vec::new();
        for ask in [self.portal(Method::GET, "/"), self.portal(Method::GET, "/doctor"), self.activate(Method::GET, "/")]
        {
            pages.push(ask.with(shown).send().await);
        }
        <[Answer; 3]>::try_from(pages).ok().unwrap().map(|page| {
            let next = page.body.split("id=\"next-step\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
            format!("{} -> {}", page.words(), next.unwrap_or("none"))
        })
    }
}

#[tokio::test]
async fn the_language_switch_leads_to_no_other_host() {
    let world = World::new().await;
    for path in ["//evil.example/", "//evil.example/start-again", "///evil.example", "//"] {
        for method in [Method::GET, Method::POST] {
            let page = world.public(method.clone(), path).send().await;
            assert_eq!(page.status, StatusCode::NOT_FOUND);
            assert!(page.body.contains("href=\"/?lang=en\"") && !page.body.contains("evil"), "{method} {path}");
        }
    }
    assert!(world.public(Method::GET, "/enrol").send().await.body.contains("href=\"/enrol?lang=en\""));
}

#[tokio::test]
async fn the_host_that_asks_for_no_certificate_sends_people_to_the_doctor_that_sees_one() {
    let world = World::new().await;
    let sent = world.public(Method::GET, "/doctor").send().await;
    assert_eq!((sent.status, sent.location()), (StatusCode::SEE_OTHER, "https://portal.example/doctor"));
    let home = world.public(Method::GET, "/").send().await;
    assert!(home.body.contains("href=\"https://portal.example/doctor\""), "{}", home.body);
    assert!(world.activate(Method::GET, "/").send().await.body.contains("href=\"/doctor\""));
}

#[tokio::test]
async fn whoever_is_signed_in_is_not_asked_to_log_in() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let lost = world.portal(Method::GET, "/no/such/page").session(&cookie).with(&mine).send().await;
    assert!(lost.body.contains("id=\"next-step\" href=\"/\""), "{}", lost.body);
    let back = world.portal(Method::GET, "/").session(&cookie).with(&mine).send().await;
    assert_eq!((back.status, back.location()), (StatusCode::SEE_OTHER, "/main"));
    let form = world.portal(Method::GET, "/").with(&mine).send().await;
    assert!(form.body.contains("id=\"log-in\""), "{}", form.body);
    let without = world.portal(Method::GET, "/").send().await;
    assert!(!without.body.contains("id=\"log-in\"") && without.body.contains("https://public.example/enrol"));
}

#[tokio::test]
async fn screens_speak_the_registered_language_unless_another_one_is_chosen() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let body = format!("id=U-1&password={}", PASSWORD.replace(' ', "+"));
    let answer = world.portal(Method::POST, "/login").form(&body).with(&mine).send().await;
    let cookies = answer.cookies().join("; ");
    let main = async |cookies: &str, path: &str| {
        let ask = world.portal(Method::GET, path).header("accept-language", "en").session(cookies).with(&mine);
        ask.send().await.body
    };
    assert!(main(&answer.cookie(), "/main").await.contains("<html lang=\"en\""), "nothing says otherwise");
    assert!(main(&cookies, "/main").await.contains("<html lang=\"ja\""), "registered: {cookies}");
    assert!(main(&format!("{cookies}; koshin-language=en"), "/main").await.contains("<html lang=\"en\""));
    assert!(main(&cookies, "/main?lang=en").await.contains("<html lang=\"en\""));
    let out = world.portal(Method::POST, "/logout").session(&cookies).with(&mine).send().await;
    assert!(out.cookies().contains(&"koshin-own-language=".to_owned()), "{:?}", out.cookies());
}

#[tokio::test]
async fn the_last_login_is_the_one_before_this_one() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let first = world.signed_in("U-1", &mine).await;
    let main = async |cookie: &str| world.portal(Method::GET, "/main").session(cookie).with(&mine).send().await.words();
    assert!(main(&first).await.contains("今回が初めてのログインです。"), "{}", main(&first).await);
    let second = world.signed_in("U-1", &mine).await;
    assert!(main(&second).await.contains("お心当たりのない日時のときは"), "{}", main(&second).await);
    assert!(main(&first).await.contains("今回が初めてのログインです。"), "each session knows its own");
}

#[tokio::test]
async fn whoever_has_another_certificate_is_told_which_and_not_to_obtain_one() {
    let world = World::new().await;
    let town = &world.town;
    // Expired, enrolled again, imported; the browser still shows the old one.
    let dead = town.enrolled("U-1", enrolled_for(-3)).await;
    for said in world.advice(&dead).await {
        assert!(said.ends_with("https://public.example/enrol"), "{said}");
    }
    let (_, access, renewal) = town.prove("U-1", NOW).await;
    let new = sha256(&town.request(&access, renewal, &key(), NOW).await.certificate);
    town.ra.deliver(&access, renewal, NOW).await.unwrap();
    let serial = world.serial(&new).await;
    for said in world.advice(&dead).await {
        assert!(said.contains(&serial) && said.contains("確認を待っています") && said.ends_with("none"), "{said}");
    }
    // Revoked, reissued, in use.
    let reason = koshin_types::RevocationReason::KeyCompromise;
    let _ = town.ra.activate(&new, NOW).await.unwrap();
    let _ = town.ra.administration().revoke(access.id(), reason, &operator(), NOW).await.unwrap();
    for said in world.advice(&new).await {
        assert!(said.contains("再発行をご依頼ください") && said.ends_with("#help"), "{said}");
    }
    let third = town.enrolled("U-1", NOW).await;
    let serial = world.serial(&third).await;
    for shown in [&dead, &new] {
        for said in world.advice(shown).await {
            assert!(said.contains(&serial) && !said.contains("再発行をご依頼") && said.ends_with("none"), "{said}");
        }
    }
}

#[tokio::test]
async fn advice_names_the_certificate_in_use_and_no_dead_one_between() {
    let world = World::new().await;
    let at = |days_ago| NOW - time::Duration::days(days_ago);
    let first = world.town.enrolled("U-1", at(700)).await;
    let second = world.renewed("U-1", &first, at(340)).await;
    let third = world.renewed("U-1", &second, NOW).await;
    let (second, third) = (world.serial(&second).await, world.serial(&third).await);
    for said in world.advice(&first).await {
        assert!(said.contains(&third) && !said.contains(&second), "{said}");
    }
    // The successor has ended too: it is no use to name it.
    let first = world.town.enrolled("U-2", at(800)).await;
    world.renewed("U-2", &first, at(440)).await;
    for said in world.advice(&first).await {
        assert!(said.contains("もう使えません") && said.ends_with("https://public.example/enrol"), "{said}");
    }
}

#[tokio::test]
async fn after_an_enrolment_the_old_certificate_is_named_and_removed_too() {
    let world = World::new().await;
    let town = &world.town;
    let dead = town.enrolled("U-1", enrolled_for(-3)).await;
    let (token, access, renewal) = town.prove("U-1", NOW).await;
    let new = sha256(&town.request(&access, renewal, &key(), NOW).await.certificate);
    town.ra.deliver(&access, renewal, NOW).await.unwrap();
    let cookie = format!("__Host-koshin-enrolment={}", token.reveal());
    let path = format!("/renewals/{renewal}/complete");
    let complete = async || world.public(Method::GET, &path).session(&cookie).send().await;
    let (old, firefox) = (world.serial(&dead).await, "Firefox はそちらを使い続けます");
    let before = complete().await;
    assert!(before.words().contains(&old) && before.body.contains(firefox), "{}", before.words());
    assert!(before.body.contains("5段階のうち4段階目"));
    assert!(before.body.contains("data-state=\"delivered\"") && before.body.contains("id=\"save-again\""));
    let _ = town.ra.activate(&new, NOW).await.unwrap();
    let after = complete().await;
    assert!(after.words().contains(&old) && after.body.contains("以前の電子証明書を削除する"), "{}", after.words());
    assert!(after.body.contains("5段階のうち5段階目"));
    assert!(after.body.contains("data-state=\"activated\"") && !after.body.contains("id=\"save-again\""));
    assert!(!after.body.contains(firefox) && after.body.contains("使えるようになりました"), "{}", after.words());
}

#[tokio::test]
async fn in_the_last_year_of_the_ca_the_preparation_stops_and_says_why() {
    let world = World::of(Town::in_the_last_year_of_its_ca().await);
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let path = world.portal(Method::POST, "/renewals").session(&cookie).with(&mine).send().await.location().to_owned();
    let preparing = world.portal(Method::GET, &path).session(&cookie).with(&mine).send().await;
    assert_eq!(preparing.status, StatusCode::OK);
    assert!(preparing.body.contains("認証局の切り替えを待っています") && preparing.body.contains("authority.ending"));
    assert!(!preparing.body.contains("/start") && !preparing.body.contains("<script"), "it does not go on");
    for script in [true, false] {
        let ask = world.portal(Method::POST, &format!("{path}/request")).session(&cookie).with(&mine);
        let ask = if script { ask.script() } else { ask };
        let answer = ask.bytes("application/pkcs10", &key()).send().await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
        assert!(answer.body.contains("authority.ending") && !answer.body.contains("server.internal"));
    }
    assert!(world.portal(Method::GET, "/main").session(&cookie).with(&mine).send().await.status.is_success());
}

/// A CA elsewhere that does not answer.
struct Away;

#[async_trait]
impl Authority for Away {
    async fn issue(&self, _order: &Order, _now: time::UtcDateTime) -> Result<Vec<u8>, AuthorityError> {
        Err(AuthorityError::Unavailable { detail: "it is switched off".into() })
    }

    async fn revoke(&self, _revocation: &Revocation, _now: time::UtcDateTime) -> Result<(), AuthorityError> {
        Err(AuthorityError::Unavailable { detail: "it is switched off".into() })
    }

    async fn changes(&self, _after: u64) -> Result<(u64, Vec<Revocation>), AuthorityError> {
        Err(AuthorityError::Unavailable { detail: "it is switched off".into() })
    }
}

#[tokio::test]
async fn while_a_ca_elsewhere_is_away_the_page_says_so_and_nothing_is_lost() {
    let mut world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let (store, issuer) = (world.town.store.clone(), Arc::new(world.town.ra.ca().clone()));
    let elsewhere = |authority: Arc<dyn Authority>| {
        let issuing = Issuing::Elsewhere { authority, issuer: issuer.clone(), correspondence: store.clone() };
        registration(&store, store.clone(), issuing)
    };
    Arc::get_mut(&mut world.portal).unwrap().ra = elsewhere(Arc::new(Away));
    let cookie = world.signed_in("U-1", &mine).await;
    let path = world.portal(Method::POST, "/renewals").session(&cookie).with(&mine).send().await.location().to_owned();
    let csr = key();
    for _ in 0..2 {
        let ask = world.portal(Method::POST, &format!("{path}/request")).script().session(&cookie).with(&mine);
        let answer = ask.bytes("application/pkcs10", &csr).send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "authority.unavailable"));
        assert!(answer.headers.contains_key(http::header::RETRY_AFTER));
        assert!(matches!(world.town.holding("U-1").await.renewal.unwrap().state, State::Requested { .. }));
    }
    let main = world.portal(Method::GET, "/main").session(&cookie).with(&mine).send().await;
    assert_eq!(main.status, StatusCode::OK, "everything else goes on");
    world.signed_in("U-1", &mine).await;
    // It is back, and answers the same request.
    let sound = MemoryAuthority::new(Arc::clone(&world.town.ca), entropy);
    Arc::get_mut(&mut world.portal).unwrap().ra = elsewhere(Arc::new(sound));
    let ask = world.portal(Method::POST, &format!("{path}/request")).script().session(&cookie).with(&mine);
    assert_eq!(ask.bytes("application/pkcs10", &csr).send().await.status, StatusCode::OK);
    assert_eq!(world.town.holding("U-1").await.certificates.len(), 2);
}

#[tokio::test]
async fn what_can_never_be_signed_leads_to_a_new_beginning() {
    let mut world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let path = world.portal(Method::POST, "/renewals").session(&cookie).with(&mine).send().await.location().to_owned();
    let csr = key();
    world.town.signer_down.store(true, std::sync::atomic::Ordering::Release);
    let request = |world: &World| {
        let ask = world.portal(Method::POST, &format!("{path}/request")).script().session(&cookie).with(&mine);
        ask.bytes("application/pkcs10", &csr)
    };
    assert_eq!(request(&world).send().await.code(), "authority.unavailable");
    let start = world.portal(Method::GET, &format!("{path}/start")).session(&cookie).with(&mine).send().await;
    assert!(start.body.contains("/start-again\">"), "whoever does not want to wait can begin anew: {}", start.body);
    let ra = world.town.with_another_ca();
    Arc::get_mut(&mut world.portal).unwrap().ra = ra;
    let answer = request(&world).send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (410, "renewal.refused"));
    let start = world.portal(Method::GET, &format!("{path}/start")).session(&cookie).with(&mine).send().await;
    assert!(start.status == StatusCode::GONE && start.body.contains("もう一度始めてください"), "{}", start.body);
    let main = world.portal(Method::GET, "/main").session(&cookie).with(&mine).send().await;
    assert!(main.body.contains("id=\"menu-renew\""), "{}", main.body);
}

#[tokio::test]
async fn pages_name_the_keys_that_a_browser_may_keep() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let other = world.town.enrolled("U-2", enrolled_for(8)).await;
    let data = |answer: &Answer, name: &str| {
        let rest = answer.body.split(&format!(" data-{name}=\"")).nth(1);
        rest.and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let login = async |shown| world.portal(Method::GET, "/").with(shown).send().await;
    let before = login(&mine).await;
    let owner = data(&before, "owner").unwrap();
    assert_eq!(data(&before, "renewal"), None);
    assert_ne!(data(&login(&other).await, "owner").unwrap(), owner);
    assert_eq!(data(&world.portal(Method::GET, "/").send().await, "owner"), None, "nobody is recognised");
    let cookie = world.signed_in("U-1", &mine).await;
    let path = world.portal(Method::POST, "/renewals").session(&cookie).with(&mine).send().await.location().to_owned();
    let id = path.rsplit('/').next().unwrap().to_owned();
    let main = world.portal(Method::GET, "/main").session(&cookie).with(&mine).send().await;
    let start = world.portal(Method::GET, &format!("{path}/start")).session(&cookie).with(&mine).send().await;
    for page in [login(&mine).await, main, start] {
        assert_eq!((data(&page, "owner").unwrap(), data(&page, "renewal").unwrap()), (owner.clone(), id.clone()));
    }
    for script in ["forget.mjs", "key-store.mjs", "key-error.mjs"] {
        assert!(world.portal(Method::GET, &format!("/assets/{script}")).send().await.status.is_success(), "{script}");
    }
    let home = world.public(Method::GET, "/").send().await;
    assert_eq!(data(&home, "keep-days").as_deref(), Some("37"));
    assert!(home.body.contains("/assets/forget.mjs"));
}

#[tokio::test]
async fn whoever_is_signed_in_takes_the_dates_of_the_certificate_along() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(100)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let main = world.portal(Method::GET, "/main").session(&cookie).with(&mine).send().await;
    assert!(main.body.contains("href=\"/certificate.ics\""), "{}", main.body);
    let (serial, held) = {
        let holding = world.town.holding("U-1").await;
        let held = holding.certificate(&mine).unwrap();
        (held.serial.to_string(), held.validity)
    };
    let end = held.not_after();
    let stamp =
        format!("{}T{:02}{:02}{:02}Z", end.date().to_string().replace('-', ""), end.hour(), end.minute(), end.second());
    for (language, words) in [("ja", "電子証明書の有効期限"), ("en", "Certificate ends")] {
        let ask = world.portal(Method::GET, &format!("/certificate.ics?lang={language}")).session(&cookie).with(&mine);
        let file = ask.send().await;
        assert_eq!(file.status, StatusCode::OK, "{}", file.body);
        assert_eq!(file.headers["content-type"], "text/calendar; charset=utf-8");
        assert_eq!(file.headers["content-disposition"], "attachment; filename=\"certificate.ics\"");
        assert_eq!(file.headers["cache-control"], "no-store");
        assert_eq!(file.body.matches("BEGIN:VEVENT").count(), 2, "{}", file.body);
        for part in [words, &format!("DTSTART:{stamp}\r\n"), &format!("UID:{serial}-ends@bank.example\r\n")] {
            assert!(file.body.contains(part), "{part}: {}", file.body);
        }
        assert!(!file.body.contains("U-1"), "calendars are shared: {}", file.body);
    }
    // Nobody else does: not without the session, not with another certificate, not on the other hosts.
    let other = world.town.enrolled("U-2", enrolled_for(100)).await;
    let none = world.portal(Method::GET, "/certificate.ics").with(&mine).send().await;
    let foreign = world.portal(Method::GET, "/certificate.ics").session(&cookie).with(&other).send().await;
    for answer in [none, foreign] {
        assert!(answer.status != StatusCode::OK && !answer.body.contains("VCALENDAR"), "{}", answer.status);
    }
    assert_eq!(world.public(Method::GET, "/certificate.ics").send().await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.activate(Method::GET, "/certificate.ics").with(&mine).send().await.status, StatusCode::NOT_FOUND);
}

impl World {
    /// Where a login leads.
    async fn login_leads_to(&self, id: &str, certificate: &Fingerprint) -> (String, String) {
        let body = format!("id={id}&password={}", PASSWORD.replace(' ', "+"));
        let answer = self.portal(Method::POST, "/login").form(&body).with(certificate).send().await;
        (answer.location().to_owned(), answer.cookie())
    }
}

#[tokio::test]
async fn a_holder_whose_mails_do_not_arrive_is_told_between_login_and_notice() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let other = world.town.enrolled("U-2", enrolled_for(100)).await;
    assert_eq!(world.login_leads_to("U-1", &mine).await.0, "/notice");
    let outbox = world.town.store.outbox();
    for claimed in outbox.claim(NOW, "test", time::Duration::minutes(10), 99).await.unwrap() {
        outbox.transmitting(claimed.mail.id, claimed.fence, NOW).await.unwrap();
        let refused = claimed.mail.subject_id.as_str() == "U-1" && claimed.mail.kind.word() == "certificate_activated";
        let end = if refused {
            Disposition::Undeliverable { reply: Reply::new(Some(550), "5.1.1 no such user") }
        } else {
            Disposition::Sent
        };
        outbox.record(claimed.mail.id, claimed.fence, &end, NOW).await.unwrap();
    }
    assert_eq!(world.login_leads_to("U-2", &other).await.0, "/main", "somebody else's mail");
    let (next, cookie) = world.login_leads_to("U-1", &mine).await;
    assert_eq!(next, "/undelivered");
    let (id, all) = ("U-1".parse().unwrap(), async || outbox.open_tasks(Whose::All, None, 9).await.unwrap());
    for _ in 0..2 {
        let page = world.portal(Method::GET, "/undelivered").session(&cookie).with(&mine).send().await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("u***@example.jp") && !page.body.contains("u-1@example.jp"), "{}", page.body);
        assert!(page.body.contains("id=\"next-step\" href=\"/notice\""), "{}", page.body);
        assert_eq!(all().await.len(), 1, "a look changes nothing");
    }
    let stranger = world.portal(Method::GET, "/undelivered").with(&mine).send().await;
    assert!(stranger.status != StatusCode::OK && !stranger.body.contains("u***@"), "{}", stranger.body);
    let posted = world.portal(Method::POST, "/undelivered").session(&cookie).with(&mine).send().await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
    // Seen to: nothing stands between login and notice any more.
    let task = outbox.open_tasks(Whose::To(&id), None, 9).await.unwrap().remove(0);
    assert!(outbox.settle(task.mail).await.unwrap());
    assert_eq!(world.login_leads_to("U-1", &mine).await.0, "/notice");
    let gone = world.portal(Method::GET, "/undelivered").session(&cookie).with(&mine).send().await;
    assert_eq!((gone.status, gone.location()), (StatusCode::SEE_OTHER, "/notice"));
}
