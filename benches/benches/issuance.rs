//! Issuance in the library, from request bytes to certificate, step by step; then as a ratio to the floor, measured in
//! turns with it, so that a noisy moment hits both.
//!
//! The floor has one verification; the CA makes two, because a signature that was not verified is not handed out. So two
//! ratios are printed: to the floor, and to the floor with that second verification.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion};
use koshin_benches::{floor::Floor, issuing};
use koshin_counts::Issuing;
use koshin_issuance::Signer;

/// Operations of one turn.
const TURN: u32 = 32;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let (floor, issuing) = (Floor::new()?, Issuing::new()?);
    issuing.whole()?;
    let mut group = criterion.benchmark_group("issuance");
    group.bench_function("floor: verify", |b| b.iter(|| floor.verify()));
    group.bench_function("floor: sign", |b| b.iter(|| floor.sign()));
    group.bench_function("floor: verify and sign", |b| b.iter(|| floor.once()));
    group.bench_function("gate", |b| b.iter(|| issuing.gate()));
    group.bench_function("prepare", |b| {
        b.iter_batched(|| issuing.gate(), |request| issuing.prepare(request?), BatchSize::SmallInput);
    });
    group.bench_function("issue", |b| {
        let prepared = || issuing.prepare(issuing.gate()?);
        b.iter_batched(prepared, |prepared| issuing.issue(prepared?), BatchSize::SmallInput);
    });
    group.bench_function("whole", |b| b.iter(|| issuing.whole()));
    group.bench_function("OCSP request: read", |b| b.iter(|| issuing.asked()));
    group.bench_function("OCSP request: answered, signed", |b| b.iter(|| issuing.answer()));
    group.finish();
    other_keys(&mut criterion)?;
    criterion.final_summary();
    drop(criterion);
    let measured = std::env::args().any(|argument| argument == "--bench");
    ratio(&floor, &issuing, if measured { 300 } else { 2 })
}

/// The same with other keys of the CA (P6). An RSA key of a CA lives in a token; these are ring's.
fn other_keys(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("issuance with other CA keys");
    let mut rows = |name: &str, key: &dyn Fn() -> anyhow::Result<Box<dyn Signer>>| -> anyhow::Result<()> {
        let (signer, issuing) = (key()?, Issuing::with(key()?)?);
        issuing.whole()?;
        let message = vec![0xa5; 620];
        group.bench_function(format!("{name}: sign"), |b| b.iter(|| signer.sign(black_box(&message))));
        group.bench_function(format!("{name}: whole"), |b| b.iter(|| issuing.whole()));
        Ok(())
    };
    rows("P-384", &issuing::p384)?;
    rows("RSA 2048", &|| issuing::rsa(2048))?;
    rows("RSA 3072", &|| issuing::rsa(3072))?;
    group.finish();
    Ok(())
}

fn ratio(floor: &Floor, issuing: &Issuing, turns: usize) -> anyhow::Result<()> {
    let mut floors = Vec::with_capacity(turns);
    let mut verified = Vec::with_capacity(turns);
    let mut wholes = Vec::with_capacity(turns);
    for _ in 0..turns {
        floors.push(turn(|| floor.once())?);
        verified.push(turn(|| floor.once().and_then(|()| floor.verify()))?);
        wholes.push(turn(|| issuing.whole().map(|certificate| drop(black_box(certificate))))?);
    }
    let (floor, verified, whole) = (median(floors), median(verified), median(wholes));
    println!("issuance: {whole:.1} us a certificate, {:.0} a second and core", 1e6 / whole);
    println!("issuance: {:.3} of the floor (verify + sign, {floor:.1} us)", floor / whole);
    println!("issuance: {:.3} of the floor with the signature verified ({verified:.1} us)", verified / whole);
    Ok(())
}

fn turn(mut once: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    for _ in 0..TURN {
        once()?;
    }
    Ok(start.elapsed() / TURN)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
