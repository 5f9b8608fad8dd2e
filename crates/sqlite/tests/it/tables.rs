//! What the tables refuse by themselves, whatever program writes.

use crate::bench::{Bench, at, commit, run};
use koshin_ra::{Chronicle as _, Registry as _};
use koshin_types::RevocationReason;

#[tokio::test]
async fn the_tables_refuse_what_must_never_be() {
    let bench = Bench::with(2).await;
    bench.enrolled(1, 1, at(0)).await;
    bench.enrolled(2, 2, at(0)).await;
    let file = bench.file(2).await;
    let revoked = file.holding.revoke(RevocationReason::KeyCompromise, at(1)).unwrap();
    bench.store.commit(commit(&file, revoked, at(1))).await.unwrap();
    bench.store.advance(at(1)).await.unwrap();
    let mut raw = bench.raw().await;
    run(&mut raw, "PRAGMA foreign_keys = ON").await.unwrap();
    let open = "INSERT INTO renewals (id, subject, basis, started_at, again, chain_started_at, state) \
                VALUES (randomblob(16), 1, 'enrolment', 0, 0, 0, 'started')";
    let certificate = "INSERT INTO certificates (serial, subject, generation, fingerprint, not_before, not_after, spki, \
                       protection, issued_at, status, status_at, deferred) \
                       SELECT serial, 1, 2, randomblob(32), 0, 1, spki, 'os', 0, 'active', 0, 0 FROM intents LIMIT 1";
    run(&mut raw, open).await.unwrap();
    let order = "INSERT INTO orders (renewal, spki, organization, subject, not_before, not_after, request, ordered_at) \
                 SELECT id, zeroblob(32), 'Midori', 'U-1', 0, 1, x'00', 0 FROM renewals WHERE state = 'started'";
    run(&mut raw, order).await.unwrap();
    for (what, statement) in [
        ("a second open renewal (I-23)", open),
        ("a second active certificate (I-23)", certificate),
        (
            "a revocation that is taken back (I-36)",
            "UPDATE certificates SET status = 'active', reason = NULL WHERE status = 'revoked'",
        ),
        (
            "a superseded certificate that comes back",
            "UPDATE certificates SET status = 'pending', status_at = NULL WHERE subject = 1",
        ),
        ("a certificate with another key", "UPDATE certificates SET spki = randomblob(32)"),
        ("a longer validity", "UPDATE certificates SET not_after = not_after + 1"),
        ("a certificate that disappears", "DELETE FROM certificates"),
        ("other bytes", "UPDATE documents SET der = x'00'"),
        ("other bytes to be signed", "UPDATE intents SET tbs = x'00'"),
        ("a key that is forgotten", "DELETE FROM keys_seen"),
        ("an order that is given up while it waits", "DELETE FROM orders"),
        ("an order for another key", "UPDATE orders SET spki = randomblob(32)"),
        ("another request", "UPDATE orders SET request = x'01'"),
        ("a second order of a renewal", order),
        ("a renewal that comes to life", "UPDATE renewals SET state = 'started' WHERE state = 'activated'"),
        ("a renewal that disappears", "DELETE FROM renewals"),
        ("a subject that disappears", "DELETE FROM subjects"),
        ("a version that goes back", "UPDATE subjects SET version = 0"),
        ("a changed audit record", "UPDATE audit SET body = '{}'"),
        ("an audit record that disappears", "DELETE FROM audit"),
        ("a time that goes back unconfirmed", "UPDATE clock SET largest = largest - 1"),
        ("a time that is forgotten", "DELETE FROM clock"),
        ("a word that is no status", "UPDATE certificates SET status = 'suspended'"),
    ] {
        let done = run(&mut raw, statement).await;
        let error = done.expect_err(what);
        assert!(error.as_database_error().is_some(), "{what}: {error:?}");
    }
}
