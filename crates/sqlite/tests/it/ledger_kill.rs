//! `kill -9` at any moment takes no acknowledged step of a ledger back.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use koshin_endpoints::{
    RevocationSource as _,
    ca::{Ledger as _, Standing as EntryStanding},
};
use koshin_sqlite::{LedgerStore, Standing};
use sqlx::Row as _;

use crate::{
    bench::{at, options},
    kill::{FILE, child},
    ledger::{Desk, intent, issue, revocation, serial},
    restore::edition,
};

/// What the killed process says when a step was acknowledged.
const WORDS: [&str; 4] = ["intended", "issued", "revoked", "reserved"];

fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{word} {number}").unwrap();
    out.flush().unwrap();
}

/// Six clients that issue and revoke, and a publisher, each of whom says what was acknowledged.
async fn work(path: &Path) {
    let ledger = LedgerStore::open(path, &options()).await.unwrap();
    let first = u32::try_from(ledger.audit_head().await.unwrap().sequence).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..6_u32 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            for turn in 0.. {
                let number = first + client + 6 * turn;
                ledger.intend(intent(number, at(1))).await.unwrap();
                say("intended", u64::from(number));
                if turn % 5 == 0 {
                    continue;
                }
                ledger.issued(&serial(number), &[2; 700], at(2)).await.unwrap();
                say("issued", u64::from(number));
                if turn % 3 == 0 {
                    ledger.revoke(&serial(number), &revocation(3), at(3)).await.unwrap();
                    say("revoked", u64::from(number));
                }
            }
        });
    }
    tasks.spawn(async move {
        loop {
            say("reserved", ledger.reserve(edition(1, 4)).await.unwrap().number);
        }
    });
    tasks.join_all().await;
}

#[test]
fn every_acknowledged_step_survives_kill_9() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(path) = std::env::var_os(FILE) {
        return runtime.block_on(work(Path::new(&path)));
    }
    let desk = runtime.block_on(async {
        let desk = Desk::empty().await;
        issue(&desk.ledger, 0, at(0)).await;
        desk.ledger.shut_down().await;
        desk
    });
    let (mut total, mut newest) = (0, 0);
    for round in 0..12_u64 {
        let mut child = child("ledger_kill::every_acknowledged_step_survives_kill_9", &desk.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        let mut deadline = None;
        // Between 0 and 150 ms after the first acknowledgement, at another moment each time.
        let pause = Duration::from_micros((round * 7_919 + 13) * 997 % 150_000);
        while let Some(Ok(line)) = lines.next() {
            let words = line.split_once(' ').filter(|(word, _)| WORDS.contains(word));
            if let Some((word, number)) = words.and_then(|(word, number)| Some((word, number.parse::<u64>().ok()?))) {
                said.push((word.to_owned(), number));
            }
            if !said.is_empty() && Instant::now() >= *deadline.get_or_insert(Instant::now() + pause) {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(!said.is_empty(), "round {round}: nothing was acknowledged");
        total += said.len();
        runtime.block_on(async {
            let check = sqlx::query("PRAGMA integrity_check").fetch_one(&mut desk.raw().await).await.unwrap();
            assert_eq!(check.get::<String, _>(0), "ok");
            let ledger = LedgerStore::open(&desk.path(), &options()).await.unwrap();
            assert_eq!(ledger.standing().await.unwrap(), Standing::Current, "round {round}: killed, not put back");
            let reserved = ledger.editions().await.unwrap().reserved.map_or(0, |edition| edition.number);
            for (word, number) in &said {
                if word == "reserved" {
                    assert!(newest < *number && *number <= reserved, "round {round}: {number} after {newest}");
                    newest = *number;
                    continue;
                }
                let number = u32::try_from(*number).unwrap();
                let found = ledger.find(&intent(number, at(1)).order).await.unwrap().expect("it was acknowledged");
                assert_eq!(found.intent, intent(number, at(1)), "round {round}");
                let holds = match word.as_str() {
                    "intended" => true,
                    "issued" => found.certificate == Some(vec![2; 700]),
                    _ => matches!(found.standing, EntryStanding::Revoked(_)),
                };
                assert!(holds, "round {round}: {number} was {word}, and is {:?}", found.standing);
            }
            newest = reserved;
            ledger.audit_replay().await.unwrap();
            // What was begun is found again, and ends as the same bytes.
            for begun in ledger.unfinished(1_000).await.unwrap() {
                ledger.issued(&begun.serial, &[3; 700], at(5)).await.unwrap();
            }
            assert_eq!(ledger.unfinished(1).await.unwrap(), []);
            ledger.shut_down().await;
        });
    }
    assert!(total > 100, "only {total} steps in all rounds");
}
