//! The figures of a running mailer.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::{
    relay::{Manners, Relay},
    site::{Site, until},
};

fn asked(port: u16, line: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn figures_tell_what_happened_and_to_whom_to_nobody() {
    let relay = Relay::start(Manners { unknown: "holder2@", ..Manners::default() });
    let site = Site::new(relay.port, 3);
    let port = free_port();
    site.configure(relay.port, &format!("metrics = \"127.0.0.1:{port}\""));
    let running = site.run(&[]);
    until("all is done", || site.states().iter().filter(|state| *state != "waiting").count() == 3);
    let mut text = String::new();
    until("it is counted", || {
        text = asked(port, "GET /metrics");
        text.contains("koshin_mail_outcomes_total{kind=\"expiry\",outcome=\"sent\"} 2")
    });
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    for line in [
        "koshin_mail_outcomes_total{kind=\"expiry\",outcome=\"undeliverable\"} 1",
        "koshin_mail_store_up 1",
        "koshin_mail_planned_total 3",
        "koshin_mail_rows{state=\"waiting\"} 0",
        "koshin_mail_undeliverable 1",
        "koshin_mail_oldest_due_seconds 0",
        "koshin_mail_unplanned_seconds 0",
        "koshin_mail_alarm{code=\"mail.overdue\"} 0",
        "koshin_mail_alarm{code=\"mail.clock\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(
        text.contains("koshin_mail_lag_seconds{quantile=\"1\"} ") && text.contains("_last_success_timestamp_seconds ")
    );
    assert!(!text.contains('@') && !text.contains("holder") && !text.contains("U-1"), "{text}");
    // Each line is one that Prometheus reads.
    let body = text.split_once("\r\n\r\n").unwrap().1;
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok() && name.starts_with("koshin_mail_"), "{line}");
    }
    assert!(asked(port, "GET /").starts_with("HTTP/1.1 404 "));
    assert!(asked(port, "POST /metrics").starts_with("HTTP/1.1 405 "));

    // A second mailer beside it says why it cannot begin, and can be given another port.
    let said = site.mailer(&["run"]);
    assert_eq!(said.status(), 1);
    assert!(said.errors().contains("for the figures of the mails cannot be listened on"), "{}", said.errors());
    let other = free_port();
    let second = site.run(&["--metrics", &format!("127.0.0.1:{other}")]);
    assert!(asked(other, "GET /metrics").contains("koshin_mail_planned_total 3"));
    assert_eq!(second.end().0, Some(0));
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn the_alarm_is_logged_and_stands_among_the_figures() {
    // Nobody listens, so nothing goes out; what waits since yesterday is an alarm from the first look on.
    let site = Site::new(free_port(), 1);
    assert_eq!(site.mailer(&["once", "--json"]).status(), 6);
    site.sql("UPDATE outbox SET planned_at = planned_at - 86400000");
    let port = free_port();
    let running = site.run(&["--metrics", &format!("127.0.0.1:{port}")]);
    assert!(asked(port, "GET /metrics").contains("koshin_mail_alarm{code=\"mail.silent\"} 1"));
    until("it is logged", || running.said("mail.silent"));
    let logged: Vec<_> = running.lines().into_iter().filter(|line| line.contains("mail.silent")).collect();
    assert!(logged[0].contains("\"ERROR\"") && !logged[0].contains('@'), "{logged:?}");
    assert_eq!(running.end().0, Some(0));
}
