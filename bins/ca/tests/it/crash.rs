//! A loss of power at any moment: one order, one serial number, one certificate (F02-F05).

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use crate::{
    program::{Server, eventually},
    site::{Answer, Site},
};

/// What each order was answered with so far.
#[derive(Default)]
struct Answered(Mutex<BTreeMap<u32, String>>);

impl Answered {
    /// Every answer to an order is the same one.
    fn note(&self, order: u32, answer: &Answer) {
        if answer.status == 200 {
            let certificate = answer.json()["certificate"].as_str().unwrap().to_owned();
            let mut answered = self.0.lock().unwrap();
            let first = answered.entry(order).or_insert_with(|| certificate.clone());
            assert_eq!(*first, certificate, "order {order} got two certificates");
        }
    }
}

#[test]
fn killed_at_any_moment_it_never_draws_a_second_serial_number() {
    const ORDERS: u32 = 24;
    let site = Site::new();
    let orders: Vec<_> = (1..=ORDERS).map(|number| site.order(number)).collect();
    let answered = Answered::default();
    for round in 0..6_u64 {
        let server = site.serve();
        std::thread::scope(|scope| {
            for part in orders.chunks(6) {
                let (site, server, answered) = (&site, &server, &answered);
                scope.spawn(move || send(site, server, part, answered));
            }
            // Each round dies a little later, in the middle of its work.
            std::thread::sleep(Duration::from_millis(15 + 25 * round));
            kill(&server);
        });
        drop(server);
    }
    let server = site.serve();
    for order in &orders {
        let number = number(order);
        let answer = site.issue(&server, order);
        assert_eq!(answer.status, 200, "{answer:?}");
        answered.note(number, &answer);
    }
    server.stop();
    assert_eq!(answered.0.lock().unwrap().len(), orders.len());
    let status = site.run("status --json").data();
    let counts = &status["certificates"];
    assert_eq!((counts["issued"].as_u64(), counts["unfinished"].as_u64()), (Some(ORDERS.into()), Some(0)), "{status}");
    assert_eq!(counts["abandoned"], 0);
    let replayed = site.run("audit replay --json").one();
    assert_eq!(replayed["entries"], ORDERS, "as many serial numbers as orders");
}

fn number(order: &serde_json::Value) -> u32 {
    u32::from_str_radix(order["renewal_id"].as_str().unwrap().trim_start_matches('0'), 16).unwrap()
}

fn send(site: &Site, server: &Server, orders: &[serde_json::Value], answered: &Answered) {
    for order in orders {
        let answer = site.issue(server, order);
        if answer.status == 0 {
            return;
        }
        answered.note(number(order), &answer);
    }
}

fn kill(server: &Server) {
    let killed = std::process::Command::new("kill").args(["-KILL", &server.pid().to_string()]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn a_list_is_whole_after_a_kill_and_its_number_grows() {
    let site = Site::new();
    let mut last = 0;
    for round in 0..4_u32 {
        let server = site.serve();
        eventually("there is a list", || site.published(&server, "/issuing.crl").status == 200);
        let issued = site.issue(&server, &site.order(round + 1));
        site.run(&format!("revoke {} --reason superseded", issued.serial())).done();
        std::thread::sleep(Duration::from_millis(u64::from(round) * 70));
        server.kill();
        let shown = site.run("crl show --json").one();
        let number = shown["number"].as_u64().unwrap();
        assert!(number > last, "{number} after {last}");
        last = number;
    }
    let server = site.serve();
    eventually("everything revoked is listed", || site.run("crl show --json").one()["entries"] == 4);
    server.stop();
}
