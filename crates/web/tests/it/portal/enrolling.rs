//! Enrolment over HTTP: what a code, a session and a network may do.

use std::sync::Arc;

use http::{Method, StatusCode, header};

use time::Duration;

use super::World;
use crate::town::{NOW, PASSWORD, enrolled_for, key};

/// The public host's cookie of somebody whose code was right, with the code, the cookie before it and where it leads.
async fn enrolling(world: &World, id: &str) -> (String, String, String, String) {
    let body = format!("id={id}&password={}", PASSWORD.replace(' ', "+"));
    let begun = world.public(Method::POST, "/enrol").form(&body).send().await.cookie();
    let code = format!("code={}", world.town.code());
    let proven = world.public(Method::POST, "/enrol/code").session(&begun).form(&code).send().await;
    assert_eq!(proven.status, StatusCode::SEE_OTHER, "{}", proven.body);
    (begun, code, proven.cookie(), proven.location().to_owned())
}

#[tokio::test]
async fn a_code_that_is_submitted_twice_leads_to_the_same_enrolment() {
    let world = World::new().await;
    world.town.enrolled("U-1", enrolled_for(-3)).await;
    let (begun, code, proven, path) = enrolling(&world, "U-1").await;
    // The first answer was lost: the browser still has the cookie of before.
    let again = world.public(Method::POST, "/enrol/code").session(&begun).form(&code).send().await;
    assert_eq!((again.status, again.location()), (StatusCode::SEE_OTHER, path.as_str()));
    assert_eq!(world.public(Method::GET, &path).session(&again.cookie()).send().await.status, StatusCode::OK);
    // It was not: the form is submitted once more, or its page is opened.
    let back = world.public(Method::POST, "/enrol/code").session(&proven).form(&code).send().await;
    assert_eq!((back.status, back.location()), (StatusCode::SEE_OTHER, path.as_str()));
    assert!(!back.headers.contains_key(header::SET_COOKIE));
    let page = world.public(Method::GET, "/enrol/code").session(&proven).send().await;
    assert_eq!(page.location(), path);
    // A code of which nothing is known any more is said to be too old.
    let gone = format!("__Host-koshin-enrolment={}", "0".repeat(64));
    let late = world.public(Method::POST, "/enrol/code").session(&gone).form(&code).send().await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    assert!(late.body.contains("確認コードの期限が切れました") && late.body.contains("href=\"/enrol\""));
}

#[tokio::test]
async fn an_enrolment_that_timed_out_is_begun_again_where_no_certificate_is_needed() {
    let world = World::new().await;
    world.town.enrolled("U-1", enrolled_for(-3)).await;
    let (_, _, cookie, path) = enrolling(&world, "U-1").await;
    let late = NOW + Duration::minutes(15);
    let idle = world.public(Method::GET, &path).session(&cookie).at(late).send().await;
    assert_eq!(idle.status, StatusCode::UNAUTHORIZED);
    assert!(idle.body.contains("手続きを中断しました") && idle.body.contains("id=\"next-step\" href=\"/enrol\""));
    assert!(!idle.body.contains("ログアウトしました"), "{}", idle.body);
    let csr = key();
    let ask = world.public(Method::POST, &format!("{path}/request")).script().session(&cookie).at(late);
    let answer = ask.bytes("application/pkcs10", &csr).send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "enrolment.missing"));
    assert!(!answer.body.contains("ログイン"), "{}", answer.body);
}

#[tokio::test]
async fn one_network_may_begin_only_so_many_enrolments() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(100)).await;
    let router = Arc::clone(&world.portal).public_router();
    let begin = |number: u32, address: &str| {
        let body = format!("id=nobody-{number}&password=x");
        world.public(Method::POST, "/enrol").form(&body).from(&router, address)
    };
    for number in 0..30 {
        let answer = begin(number, "192.0.2.1").send().await;
        assert_eq!(answer.location(), "/enrol/code", "{number}");
    }
    let empty = world.public(Method::POST, "/enrol").form("id=&password=").from(&router, "192.0.2.1").send().await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST, "what costs nothing does not count");
    for (language, words) in [("ja", "ネットワーク"), ("en", "network")] {
        let answer = begin(31, "192.0.2.200").header("accept-language", language).send().await;
        assert_eq!(
            (answer.status, &answer.headers[header::RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &"2".parse().unwrap())
        );
        assert!(answer.body.contains(words) && answer.body.contains("value=\"nobody-31\""), "{}", answer.body);
    }
    assert_eq!(begin(32, "198.51.100.1").send().await.location(), "/enrol/code");
    assert_eq!(begin(33, "192.0.2.1").at(NOW + Duration::seconds(2)).send().await.location(), "/enrol/code");
    world.signed_in("U-1", &mine).await;
}

#[tokio::test]
async fn a_door_that_is_still_closed_is_not_offered() {
    let world = World::new().await;
    let dead = world.town.enrolled("U-1", enrolled_for(-3)).await;
    let address = Some("new@example.jp".parse().unwrap());
    let (id, operator) = ("U-1".parse().unwrap(), koshin_ra::Actor::Operator("test".into()));
    world.portal.ra.administration().set_address(&id, address, false, &operator, NOW).await.unwrap();
    let greeted = world.portal(Method::GET, "/").with(&dead).send().await;
    assert!(greeted.body.contains("登録アドレスが変更されたため"), "{}", greeted.body);
    let day = world.portal(Method::GET, "/").with(&dead).at(NOW + Duration::DAY).send().await;
    assert!(!day.body.contains("登録アドレスが変更されたため") && day.body.contains("（4日前）"), "{}", day.body);
}

#[tokio::test]
async fn ones_own_ended_renewal_is_no_missing_page() {
    let world = World::new().await;
    let mine = world.town.enrolled("U-1", enrolled_for(8)).await;
    let other = world.town.enrolled("U-2", enrolled_for(8)).await;
    let cookie = world.signed_in("U-1", &mine).await;
    let ask = |method: Method, path: &str| world.portal(method, path).session(&cookie).with(&mine);
    let first = ask(Method::POST, "/renewals").send().await.location().to_owned();
    let second = ask(Method::POST, &format!("{first}/start-again")).send().await.location().to_owned();
    assert_ne!(first, second);
    for tail in ["", "/start", "/complete", "/start-again"] {
        let answer = ask(Method::GET, &format!("{first}{tail}")).send().await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, second.as_str()), "{tail}");
    }
    let answer = ask(Method::GET, &format!("{first}/certificate")).script().send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (410, "renewal.ended"));
    let stranger = world.signed_in("U-2", &other).await;
    let foreign = world.portal(Method::GET, &first).session(&stranger).with(&other).send().await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);

    // The enrolment that a session is for, after another session of the same subject has begun anew.
    world.town.enrolled("A-1", enrolled_for(-3)).await;
    let (begun, code, old, path) = enrolling(&world, "A-1").await;
    let again = world.public(Method::POST, "/enrol/code").session(&begun).form(&code).send().await.cookie();
    let next = world.public(Method::POST, &format!("{path}/start-again")).session(&again).send().await;
    let next = next.location().to_owned();
    assert_eq!(world.public(Method::GET, &next).session(&again).send().await.status, StatusCode::OK);
    for path in [&path, &next] {
        let over = world.public(Method::GET, path).session(&old).send().await;
        assert_eq!(over.status, StatusCode::GONE, "{path}");
    }
}
