//! What is said while mails go out: to a terminal a line for each change, to anything else nothing.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use koshin_notify::{Disposition, Mail, Observer};

use crate::exit::PROGRAM;

/// Counts what becomes of mails, and shows it to who watches.
pub(crate) struct Progress {
    watched: Option<Mutex<Box<dyn io::Write + Send>>>,
    planned: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    left_out: AtomicU64,
    /// Refusals that no server spoke.
    unreached: AtomicU64,
}

impl Progress {
    /// To a terminal on standard error.
    pub(crate) fn new() -> Self {
        let terminal: Option<Box<dyn io::Write + Send>> =
            io::stderr().is_terminal().then(|| Box::new(io::stderr()) as _);
        Self::to(terminal)
    }

    fn to(watched: Option<Box<dyn io::Write + Send>>) -> Self {
        let none = AtomicU64::default;
        Self {
            watched: watched.map(Mutex::new),
            planned: none(),
            sent: none(),
            refused: none(),
            left_out: none(),
            unreached: none(),
        }
    }

    /// So many were planned so far.
    pub(crate) fn planned(&self, count: u64) {
        if self.planned.swap(count, Ordering::Relaxed) != count {
            self.say();
        }
    }

    /// How many found no server.
    pub(crate) fn unreached(&self) -> u64 {
        self.unreached.load(Ordering::Relaxed)
    }

    fn say(&self) {
        let Some(watched) = &self.watched else { return };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (planned, sent, refused) = (read(&self.planned), read(&self.sent), read(&self.refused));
        let left_out = read(&self.left_out);
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        // Who went away sees nothing, and the mails go out all the same.
        let _ = writeln!(watched, "{PROGRAM}: {planned} planned, {sent} sent, {refused} refused, {left_out} left out");
    }
}

impl Observer for Progress {
    fn recorded(&self, _: &Mail, disposition: &Disposition) {
        let counter = match disposition {
            Disposition::Sent => &self.sent,
            Disposition::Suppressed { .. } => &self.left_out,
            Disposition::Retry { reply: Some(reply), .. } if reply.code().is_none() => {
                self.unreached.fetch_add(1, Ordering::Relaxed);
                &self.refused
            }
            _ => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.say();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use koshin_notify::{Reply, sample_mails};
    use time::UtcDateTime;

    use super::*;

    #[derive(Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Terminal {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_for_each_change() {
        let terminal = Terminal::default();
        let progress = Progress::to(Some(Box::new(terminal.clone())));
        let (_, mail) = sample_mails(koshin_types::Language::En, UtcDateTime::UNIX_EPOCH).next().unwrap();
        progress.planned(2);
        progress.planned(2);
        progress.recorded(&mail, &Disposition::Sent);
        let reply = Some(Reply::new(None, "connection refused"));
        progress.recorded(&mail, &Disposition::Retry { at: UtcDateTime::UNIX_EPOCH, reply });
        let said = String::from_utf8(terminal.0.lock().unwrap().clone()).unwrap();
        let expected = [
            "koshin-mailer: 2 planned, 0 sent, 0 refused, 0 left out",
            "koshin-mailer: 2 planned, 1 sent, 0 refused, 0 left out",
            "koshin-mailer: 2 planned, 1 sent, 1 refused, 0 left out",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
        assert_eq!(progress.unreached(), 1);
    }
}
