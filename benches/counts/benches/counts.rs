//! Instructions of one decision, one step, one command, one certificate: `cargo xtask counts`.
//!
//! What an operation works on is made before the count begins and dropped after it has ended.
#![expect(clippy::expect_used, reason = "a case that cannot be made ends the run")]
#![expect(missing_docs, reason = "the macros make public items of every benchmark")]

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use koshin_counts::{Issuing, Life, NOW, Renewing};
use koshin_expiry::{Decision, Mode};
use koshin_issuance::{Certificate, CertificationRequest, OcspRequest, Prepared, Rejected};
use koshin_renewal::{Admission, Change, Fact, Holding, Refused, State};
use time::UtcDateTime;

fn life(mode: Mode, days_left: i64) -> (Life, UtcDateTime) {
    let life = Life::new(mode).expect("the default policy");
    let now = life.days_left(days_left);
    (life, now)
}

fn renewing() -> Renewing {
    Renewing::new().expect("a renewal of a year")
}

fn recorded() -> (Renewing, Vec<Fact>) {
    let renewing = renewing();
    let facts = renewing.facts().expect("a renewal that goes through");
    (renewing, facts)
}

#[library_benchmark(setup = life)]
#[bench::calendar_200_days_left(Mode::Calendar, 200)]
#[bench::calendar_8_days_left(Mode::Calendar, 8)]
#[bench::calendar_expired(Mode::Calendar, -3)]
#[bench::instant_200_days_left(Mode::Instant, 200)]
#[bench::instant_8_days_left(Mode::Instant, 8)]
#[bench::instant_expired(Mode::Instant, -3)]
fn decide((life, now): (Life, UtcDateTime)) -> (Life, Decision) {
    let decision = black_box(&life).decide(black_box(now));
    (life, decision)
}

#[library_benchmark(setup = life)]
#[bench::calendar(Mode::Calendar, 200)]
#[bench::instant(Mode::Instant, 200)]
fn next_mail((life, now): (Life, UtcDateTime)) -> (Life, Option<UtcDateTime>) {
    let next = black_box(&life).next_mail(black_box(now));
    (life, next)
}

#[library_benchmark(setup = renewing)]
#[bench::request()]
fn machine(renewing: Renewing) -> (Renewing, Result<State, Refused>) {
    let state = black_box(&renewing).step(black_box(NOW));
    (renewing, state)
}

#[library_benchmark(setup = renewing)]
#[bench::start()]
fn holding(renewing: Renewing) -> (Renewing, Result<Change, Refused>) {
    let change = black_box(&renewing).start(black_box(NOW));
    (renewing, change)
}

#[library_benchmark(setup = renewing)]
#[bench::whole()]
fn renewal(renewing: Renewing) -> (Renewing, Result<[Change; 6], Refused>) {
    let changes = black_box(&renewing).whole(black_box(NOW));
    (renewing, changes)
}

#[library_benchmark(setup = renewing)]
#[bench::login()]
fn admission(renewing: Renewing) -> (Renewing, Admission) {
    let admission = black_box(&renewing).admission(black_box(NOW));
    (renewing, admission)
}

#[library_benchmark(setup = recorded)]
#[bench::renewal()]
fn replay((renewing, facts): (Renewing, Vec<Fact>)) -> (Renewing, Vec<Fact>, Holding) {
    let holding = black_box(&renewing).replay(black_box(&facts), black_box(NOW));
    (renewing, facts, holding)
}

fn issuing() -> Issuing {
    let issuing = Issuing::new().expect("a CA with known keys");
    // Whatever is made at first use is made now.
    issuing.whole().expect("a certificate");
    issuing
}

/// A CA whose signature has been made already: signing itself takes as long as its random number wants.
fn signed() -> (Issuing, Prepared) {
    let issuing = Issuing::repeating().expect("a CA with known keys");
    issuing.whole().expect("a certificate");
    let prepared = prepared(&issuing);
    (issuing, prepared)
}

fn prepared(issuing: &Issuing) -> Prepared {
    issuing.prepare(issuing.gate().expect("a good request")).expect("bytes to be signed")
}

fn gated() -> (Issuing, CertificationRequest) {
    let issuing = issuing();
    let request = issuing.gate().expect("a good request");
    (issuing, request)
}

type Gating = fn(&Issuing) -> Result<CertificationRequest, Rejected>;

fn at_the_gate(gating: Gating) -> (Issuing, Gating) {
    (issuing(), gating)
}

#[library_benchmark(setup = at_the_gate)]
#[bench::whole(Issuing::gate)]
#[bench::without_signature(Issuing::gate_without_signature)]
fn gate((issuing, gating): (Issuing, Gating)) -> (Issuing, Result<CertificationRequest, Rejected>) {
    let request = gating(black_box(&issuing));
    (issuing, request)
}

#[library_benchmark(setup = gated)]
#[bench::with_lints()]
fn prepare((issuing, request): (Issuing, CertificationRequest)) -> (Issuing, anyhow::Result<Prepared>) {
    let prepared = black_box(&issuing).prepare(black_box(request));
    (issuing, prepared)
}

#[library_benchmark(setup = signed)]
#[bench::without_signing()]
fn issue((issuing, prepared): (Issuing, Prepared)) -> (Issuing, anyhow::Result<Certificate>) {
    let certificate = black_box(&issuing).issue(black_box(prepared));
    (issuing, certificate)
}

#[library_benchmark(setup = issuing)]
#[bench::whole()]
fn issuance(issuing: Issuing) -> (Issuing, anyhow::Result<Certificate>) {
    let certificate = black_box(&issuing).whole();
    (issuing, certificate)
}

#[library_benchmark(setup = issuing)]
#[bench::read()]
fn ocsp(issuing: Issuing) -> (Issuing, anyhow::Result<OcspRequest>) {
    let asked = black_box(&issuing).asked();
    (issuing, asked)
}

#[library_benchmark(setup = issuing)]
#[bench::signed()]
fn ocsp_answer(issuing: Issuing) -> (Issuing, anyhow::Result<Vec<u8>>) {
    let answer = black_box(&issuing).answer();
    (issuing, answer)
}

library_benchmark_group!(name = expiry, benchmarks = [decide, next_mail]);
library_benchmark_group!(name = renewals, benchmarks = [machine, holding, renewal, admission, replay]);

library_benchmark_group!(name = ca, benchmarks = [gate, prepare, issue, issuance, ocsp, ocsp_answer]);

main!(library_benchmark_groups = [expiry, renewals, ca]);
