//! A SoftHSM token in a temporary folder, and programs that use it. Both SoftHSM and p11-kit are told by environment
//! variables where things are, so each signer runs in a process of its own: the example `token_signer`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// What talks to a [`Proxy`].
pub(crate) const PROXIED: &str = if cfg!(target_arch = "aarch64") {
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so"
} else {
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so"
};
const PIN: &str = "1234";

pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    /// A token `koshin-test`, without keys.
    pub(crate) fn new() -> Self {
        assert!(Path::new(SOFTHSM).is_file(), "these tests need the Debian package softhsm2");
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("tokens")).unwrap();
        let tokens = bench.path("tokens");
        let config =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(bench.path("softhsm2.conf"), config).unwrap();
        bench.set_pin_file(PIN);
        bench.init("koshin-test");
        bench
    }

    pub(crate) fn init(&self, label: &str) {
        let init = ["--init-token", "--free", "--label", label, "--so-pin", "5678", "--pin", PIN];
        let done = self.command("softhsm2-util").args(init).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn set_pin_file(&self, pin: &str) {
        fs::write(self.path("pin"), format!("{pin}\n")).unwrap();
    }

    pub(crate) fn change_pin(&self, pin: &str) {
        let mut command = self.command("pkcs11-tool");
        command.args(["--module", SOFTHSM, "--token-label", "koshin-test", "--login", "--pin", PIN]);
        let done = command.args(["--change-pin", "--new-pin", pin]).output();
        let done = done.expect("these tests need the Debian package opensc");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command.env("P11_KIT_SERVER_ADDRESS", format!("unix:path={}", self.path("socket").display()));
        command
    }

    /// Starts a signer on a module; it makes a key of this kind first where one is named.
    pub(crate) fn signer(&self, module: &str, patience: Duration, generate: Option<&str>) -> Program {
        self.signers(module, patience, generate, &[])
    }

    pub(crate) fn signers(&self, module: &str, patience: Duration, generate: Option<&str>, more: &[&str]) -> Program {
        let mut command = self.command(example());
        command
            .args([module, "koshin-test", "ca"])
            .arg(self.path("pin"))
            .arg(patience.as_millis().to_string())
            .args(more);
        command.args(generate.map(|kind| ["--generate", kind]).into_iter().flatten());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut program = Program { child, input, output, greeting: String::new() };
        program.greeting = program.read();
        program
    }

    /// A process of its own that holds the token, and hands it out over a socket.
    pub(crate) fn proxy(&self) -> Proxy {
        let socket = self.path("socket");
        let _ = fs::remove_file(&socket);
        let mut command = self.command("p11-kit");
        command.args(["server", "--foreground", "--provider", SOFTHSM, "--name"]).arg(&socket);
        command.arg("pkcs11:token=koshin-test").stdout(Stdio::null()).stderr(Stdio::null());
        // The server leads a group of its own, so that its children can be stopped and killed with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().expect("these tests need the Debian package p11-kit");
        let until = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            assert!(Instant::now() < until, "the proxy does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Proxy { child }
    }
}

/// The example, beside the tests' own program.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples/token_signer")
}

/// A running `token_signer`.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    greeting: String,
}

impl Program {
    fn read(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Algorithm and public key, or nothing when it did not start.
    pub(crate) fn greeting(&self) -> Option<(&str, Vec<u8>)> {
        let (algorithm, spki) = self.greeting.split_once(' ')?;
        Some((algorithm, unhex(spki)))
    }

    /// Has something signed: the word of the answer and what follows it.
    pub(crate) fn sign(&mut self, message: &str) -> (String, String) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{message}").unwrap();
        input.flush().unwrap();
        let answer = self.read();
        let (word, rest) = answer.split_once(' ').unwrap_or((&answer, ""));
        (word.to_owned(), rest.to_owned())
    }

    pub(crate) fn word(&mut self) -> String {
        self.sign("message").0
    }

    /// Ends it and gives what it wrote to standard error.
    pub(crate) fn end(mut self) -> String {
        drop(self.input.take());
        let mut text = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut errors, &mut text).unwrap();
        self.child.wait().unwrap();
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    child: Child,
}

impl Proxy {
    fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        assert!(Command::new("kill").args([name, "--", &group]).status().unwrap().success());
    }

    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
