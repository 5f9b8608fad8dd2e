//! What `cargo xtask ci` and `cargo xtask nightly` consist of, in order: quick verdicts first.
//!
//! Dependencies are built as few times as possible: checked once for clippy and the docs, built once for tests and benches,
//! which is also what the browser drives; the fuzz targets have their own small closure. Of the optimised builds only that of
//! the instruction counts, which is small too, is made before a commit; the others are `nightly`'s.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, bail};

use crate::{
    counts,
    e2e::{self, Build},
    fuzz,
    setup::{self, Extent, Missing},
    shell::{Cmd, root, target_dir, unpacked_dir},
    steps::{self, Failure, Outcome, Step},
    tidy,
};

/// What has to pass before a commit.
const BEFORE_A_COMMIT: &[Step] = &[
    Step { name: "lock files", needs: &[], run: lock_files },
    Step { name: "fmt", needs: &[], run: fmt },
    Step { name: "tidy", needs: &[], run: |_| tidy::run().map(passed) },
    Step { name: "clippy", needs: &[], run: clippy },
    Step { name: "no_std", needs: &[], run: no_std },
    Step { name: "windows", needs: &["x86_64-w64-mingw32-gcc"], run: windows },
    Step { name: "test", needs: &[], run: test },
    Step { name: "postfix", needs: &["postfix", "python3 with venv"], run: |_| mail_server("postfix") },
    Step { name: "benches", needs: &[], run: benches },
    Step { name: "counts", needs: &["valgrind", "gungraun-runner"], run: |_| counts::run() },
    Step { name: "page", needs: PAGE, run: page },
    Step { name: "doc", needs: &[], run: doc },
    Step { name: "deny", needs: &["cargo-deny"], run: deny },
    Step { name: "fuzz", needs: &["cargo-fuzz", "c++"], run: |_| fuzz::run(fuzz::SMOKE_SECONDS).map(passed) },
];

/// The page's key module is judged by what a holder would open its files with.
const PAGE: &[&str] = &["node", "chromium", "openssl", "certtool", "certutil", "pk12util", "keytool"];

/// Packages whose tests ask a foreign tool, and the tools. A missing judge fails a test; here the package is left out.
const JUDGED: &[(&str, &[&str])] = &[
    ("koshin-endpoints", &["certtool", "openssl", "pkilint"]),
    ("koshin-issuance", &["certtool", "certutil", "keytool", "node", "openssl"]),
    ("koshin-web", &["curl", "openssl", "javac", "Bouncy Castle"]),
    ("koshin-ca", &["curl", "openssl", "softhsm2-util"]),
    (
        "koshin-pkcs11",
        &[
            "softhsm2-util",
            "p11-kit",
            "p11-kit's client module",
            "pkcs11-tool",
            "certutil",
            "swtpm",
            "tpm2-abrmd",
            "tpm2-abrmd's module",
            "dbus-daemon",
            "tpm2_getcap",
            "tpm2_ptool",
            "tpm2-pkcs11",
        ],
    ),
];

const BROWSER: &[&str] = &[
    "chromium",
    "certtool",
    "certutil",
    "keytool",
    "node",
    "openssl",
    "pk12util",
    "pkilint",
    "the browser tests' modules",
    "a Japanese font",
];

const ONE_PATH: &[Step] = &[Step { name: "e2e", needs: BROWSER, run: |_| e2e::run(&Build::Tested, &["--ci"]) }];

const LONG: &[Step] = &[
    Step { name: "e2e all", needs: BROWSER, run: |_| e2e::run(&Build::Release, &["--all"]) },
    Step {
        name: "e2e split",
        needs: BROWSER,
        run: |_| e2e::run(&Build::Release, &["--all", "--split", "--language", "ja"]),
    },
    Step {
        name: "opensmtpd",
        needs: &["OpenSMTPD", "libevent", "python3 with venv"],
        run: |_| mail_server("opensmtpd"),
    },
    Step { name: "properties", needs: &[], run: properties },
    Step { name: "mutants", needs: &["cargo-mutants"], run: mutants },
    Step { name: "fuzz long", needs: &["cargo-fuzz", "c++"], run: |_| fuzz::run(fuzz::LONG_SECONDS).map(passed) },
];

/// The packages without clock, randomness, input or output.
const PURE: &str = "-p koshin-types -p koshin-expiry -p koshin-renewal";

/// The target without an operating system, on which only `no_std` code compiles.
const BARE: &str = "x86_64-unknown-none";

/// The target of what runs on holders' computers with Windows. Nothing is run there: it is compiled and linted.
const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// Installs what is missing, then runs the steps.
pub(crate) fn run(extent: Extent) -> Result<()> {
    let began = Instant::now();
    let missing = setup::run(extent)?;
    match extent {
        Extent::Ci => steps::run(&[BEFORE_A_COMMIT, ONE_PATH], &missing, began, Failure::Stops),
        Extent::Nightly => steps::run(&[BEFORE_A_COMMIT, LONG], &missing, began, Failure::IsReported),
    }
}

/// Runs one step, with whatever is installed.
pub(crate) fn one(name: &str) -> Result<()> {
    let all = || [BEFORE_A_COMMIT, ONE_PATH, LONG].into_iter().flatten();
    let Some(step) = all().find(|step| step.name == name) else {
        let names: Vec<_> = all().map(|step| step.name).collect();
        bail!("no step is called {name:?}; there are {}", names.join(", "));
    };
    let missing = setup::missing_now(Extent::Nightly);
    if let Some(tool) = missing.among(step.needs) {
        bail!("{tool} is missing: `cargo xtask setup --nightly` installs it");
    }
    match (step.run)(&missing)? {
        Outcome::Passed => Ok(()),
        Outcome::Partly(without) => bail!("passed, but without {without}"),
        Outcome::LeftOut(why) => bail!("left out: {why}"),
    }
}

const fn passed((): ()) -> Outcome {
    Outcome::Passed
}

/// Both lock files are committed and up to date. This also downloads every crate, so that later steps need no network.
fn lock_files(_: &Missing) -> Result<Outcome> {
    Cmd::cargo("fetch --locked").run()?;
    Cmd::cargo("fetch --locked --manifest-path fuzz/Cargo.toml").run().map(passed)
}

fn fmt(_: &Missing) -> Result<Outcome> {
    Cmd::cargo("fmt --all -- --check").run()?;
    Cmd::cargo("fmt --manifest-path fuzz/Cargo.toml -- --check").run().map(passed)
}

fn clippy(_: &Missing) -> Result<Outcome> {
    Cmd::cargo("clippy --workspace --all-targets -- -D warnings").run()?;
    // Features are additive: the libraries that stand alone compile without any.
    for package in ["types", "expiry", "renewal", "notify", "keystore", "pkcs11"] {
        Cmd::cargo(&format!("check --quiet -p koshin-{package} --no-default-features")).run()?;
    }
    for features in ["", "--features outbox", "--features ledger", "--features registry", "--all-features"] {
        Cmd::cargo(&format!("check --quiet -p koshin-sqlite --no-default-features {features}")).run()?;
    }
    Ok(Outcome::Passed)
}

fn no_std(_: &Missing) -> Result<Outcome> {
    if !added(BARE) {
        return Ok(cannot_be_added(BARE));
    }
    Cmd::cargo(&format!("check --target {BARE} {PURE}")).run().map(passed)
}

fn windows(_: &Missing) -> Result<Outcome> {
    if !added(WINDOWS) {
        return Ok(cannot_be_added(WINDOWS));
    }
    let lint = |what: &str| Cmd::cargo(&format!("clippy --target {WINDOWS} {what} -- -D warnings")).run();
    lint("-p koshin-keystore --all-features --all-targets")?;
    lint("-p koshin-agent").map(passed)
}

fn cannot_be_added(target: &str) -> Outcome {
    Outcome::LeftOut(format!("the target {target} is not installed and cannot be added"))
}

/// Whether a target is there, if need be after adding it.
fn added(target: &str) -> bool {
    let sysroot = Cmd::new("rustc", &["--print", "sysroot"]).output().unwrap_or_default();
    let installed = Path::new(sysroot.trim_end()).join("lib/rustlib").join(target).is_dir();
    installed || Cmd::new("timeout", &["120", "rustup", "target", "add", target]).succeeds()
}

/// Everything that `cargo test` finds, in the workspace and in that of the fuzz targets, whose seeds are ordinary tests.
fn test(missing: &Missing) -> Result<Outcome> {
    let left_out: Vec<_> = JUDGED.iter().filter_map(|(package, by)| Some((package, missing.among(by)?))).collect();
    let mut arguments = "test --workspace".to_owned();
    for (package, _) in &left_out {
        arguments = format!("{arguments} --exclude {package}");
    }
    Cmd::cargo(&arguments).run()?;
    let mut without: Vec<_> = left_out.iter().map(|(package, tool)| format!("{package}: {tool} is missing")).collect();
    match missing.among(fuzz::NEEDS) {
        Some(tool) => without.push(format!("the seeds of the fuzz targets: {tool} is missing")),
        None => fuzz::replay()?,
    }
    Ok(if without.is_empty() { Outcome::Passed } else { Outcome::Partly(without.join(", ")) })
}

/// Delivery through a mail server of others, which only root can start.
fn mail_server(name: &str) -> Result<Outcome> {
    if !setup::is_root() {
        return Ok(Outcome::LeftOut("mail servers start as root only".to_owned()));
    }
    let test = Cmd::cargo(&format!("test --workspace --test mta {name}"));
    test.env("KOSHIN_OPENSMTPD", unpacked_dir("opensmtpd")).run().map(passed)
}

/// Each bench once, as a test, from the libraries the tests were built with. Those that count are the step `counts`.
fn benches(_: &Missing) -> Result<Outcome> {
    Cmd::cargo("test --workspace --exclude koshin-counts --bench *").run().map(passed)
}

/// The tests of the page's key module. Files are named one by one: node's releases differ in what a folder means.
fn page(_: &Missing) -> Result<Outcome> {
    let folder = "crates/web/assets-test";
    let entries = fs::read_dir(root().join(folder)).with_context(|| folder.to_owned())?;
    let names =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<Vec<_>>>()?;
    let mut tests: Vec<String> = names
        .into_iter()
        .filter(|name| name.ends_with(".test.mjs") || name.ends_with(".test.js"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    tests.sort();
    if tests.is_empty() {
        bail!("no tests of the page's key module in {folder}");
    }
    let arguments: Vec<&str> = std::iter::once("--test").chain(tests.iter().map(String::as_str)).collect();
    Cmd::new("node", &arguments).run().map(passed)
}

fn doc(_: &Missing) -> Result<Outcome> {
    Cmd::cargo("doc --no-deps --workspace --quiet").env("RUSTDOCFLAGS", "-D warnings").run().map(passed)
}

fn deny(_: &Missing) -> Result<Outcome> {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let check = "--offline check --hide-inclusion-graph bans licenses sources";
        Cmd::cargo(&format!("deny --manifest-path {manifest} --config deny.toml {check}")).run()?;
    }
    Ok(Outcome::Passed)
}

fn properties(_: &Missing) -> Result<Outcome> {
    Cmd::cargo(&format!("test --release {PURE}")).env("PROPTEST_CASES", "100000").run().map(passed)
}

/// No mutant of the pure crates survives but those that `.cargo/mutants.toml` lists with a reason. One that runs for ever is
/// as dead as one that fails; shrinking a failure would only take time.
fn mutants(_: &Missing) -> Result<Outcome> {
    const SOME_RAN_FOR_EVER: i32 = 3;
    let mutants = Cmd::cargo(&format!("mutants {PURE} --output")).arg(target_dir());
    let mutants = mutants.env("PROPTEST_CASES", "64").env("PROPTEST_MAX_SHRINK_ITERS", "0");
    mutants.run_or(Some(SOME_RAN_FOR_EVER)).map(|_| Outcome::Passed)
}
