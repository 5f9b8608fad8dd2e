//! What a process has done about mails, and how they stand, as figures for Prometheus. No address and no ID is among them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use koshin_notify::{Disposition, Mail, Observer};
use time::{Duration, UtcDateTime};

use super::{Alarm, Standing};

/// Counts what becomes of mails in this process, by kind and outcome.
#[derive(Debug, Default)]
pub struct Figures {
    outcomes: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Observer for Figures {
    fn recorded(&self, mail: &Mail, disposition: &Disposition) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        *outcomes.entry((mail.kind.word(), disposition.word())).or_default() += 1;
    }
}

impl Figures {
    /// The text format of Prometheus, version 0.0.4. Without a standing the database did not answer.
    pub fn text(&self, standing: Option<&Standing>) -> String {
        let mut text = Text::default();
        text.head(
            "koshin_mail_outcomes_total",
            "counter",
            "What this process recorded about mails, by kind and outcome.",
        );
        for ((kind, outcome), count) in &*self.outcomes.lock().unwrap_or_else(PoisonError::into_inner) {
            text.line("koshin_mail_outcomes_total", &[("kind", kind), ("outcome", outcome)], *count);
        }
        text.one("koshin_mail_store_up", "gauge", "Whether the database answered.", u8::from(standing.is_some()));
        if let Some(standing) = standing {
            text.standing(standing);
        }
        text.0
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn standing(&mut self, standing: &Standing) {
        let Standing { now, counts, unplanned, lag, alarms } = standing;
        self.one("koshin_mail_planned_total", "counter", "Mails ever put into the outbox.", counts.planned);
        self.head("koshin_mail_rows", "gauge", "Mails that are not done with, by state.");
        let states = [("waiting", counts.waiting), ("claimed", counts.claimed), ("quarantined", counts.quarantined)];
        for (state, count) in states {
            self.line("koshin_mail_rows", &[("state", state)], count);
        }
        let tasks = "Mails that reached nobody and that nobody has seen to.";
        self.one("koshin_mail_undeliverable", "gauge", tasks, counts.undeliverable);
        let age = |since: Option<UtcDateTime>| seconds(since.map_or(Duration::ZERO, |since| *now - since));
        let due = "For how long the oldest mail waits that a mailer could claim now.";
        self.one("koshin_mail_oldest_due_seconds", "gauge", due, age(counts.oldest_due));
        let oldest = "For how long the oldest mail is due that is not done with.";
        self.one("koshin_mail_oldest_seconds", "gauge", oldest, age(counts.oldest));
        let behind = "For how long a notice of expiry is to be planned.";
        self.one("koshin_mail_unplanned_seconds", "gauge", behind, age(*unplanned));
        if let Some(last) = counts.last_sent {
            let name = "koshin_mail_last_success_timestamp_seconds";
            self.one(name, "gauge", "When a mail was sent last.", last.unix_timestamp());
        }
        let late = "How late the mails of the last day were.";
        self.head("koshin_mail_lag_seconds", "gauge", late);
        if let Some(lag) = lag {
            for (quantile, lag) in [("0.5", lag.median), ("0.9", lag.ninth), ("1", lag.most)] {
                self.line("koshin_mail_lag_seconds", &[("quantile", quantile)], seconds(lag));
            }
        }
        self.head("koshin_mail_alarm", "gauge", "1 while somebody has to look, by reason.");
        for code in Alarm::CODES {
            let on = alarms.iter().any(|alarm| alarm.code() == code);
            self.line("koshin_mail_alarm", &[("code", code)], u8::from(on));
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    // Writing to a text has no way to fail.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn seconds(of: Duration) -> i64 {
    of.whole_seconds().max(0)
}
