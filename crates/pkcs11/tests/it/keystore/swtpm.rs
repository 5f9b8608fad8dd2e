//! A TPM that is a program, and before it what a kernel's resource manager does.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A running TPM with a state of its own: another one is another PC.
pub(crate) struct SoftTpm {
    folder: TempDir,
    children: Vec<Child>,
}

impl SoftTpm {
    pub(crate) fn start() -> Self {
        let mut tpm = Self { folder: tempfile::tempdir().unwrap(), children: Vec::new() };
        let state = tpm.path("state");
        fs::create_dir(&state).unwrap();
        for _ in 0..5 {
            if tpm.try_start(&state) {
                return tpm;
            }
            tpm.stop();
        }
        panic!(
            "no TPM; these tests need the Debian packages swtpm, tpm2-abrmd, libtss2-tcti-tabrmd0, dbus and tpm2-tools"
        );
    }

    /// Another program may take the ports meanwhile: then it is tried with others.
    fn try_start(&mut self, state: &Path) -> bool {
        let port = free_pair();
        let mut swtpm = Command::new("swtpm");
        swtpm
            .args(["socket", "--tpm2", "--flags", "startup-clear", "--tpmstate"])
            .arg(format!("dir={}", state.display()));
        swtpm.args(["--server", &format!("type=tcp,port={port}"), "--ctrl", &format!("type=tcp,port={}", port + 1)]);
        self.spawn(swtpm);
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--address"]).arg(self.bus());
        self.spawn(bus);
        let until = Instant::now() + Duration::from_secs(10);
        while !self.path("bus").exists() || !listens(port) {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut manager = Command::new("/usr/sbin/tpm2-abrmd");
        manager
            .args(["--session", "--allow-root", "--flush-all"])
            .arg(format!("--tcti=swtpm:host=127.0.0.1,port={port}"));
        manager.env("DBUS_SESSION_BUS_ADDRESS", self.bus());
        self.spawn(manager);
        while Instant::now() < until {
            let mut asked = Command::new("tpm2_getcap");
            asked.args(["--tcti", "tabrmd:bus_type=session", "properties-fixed"]);
            asked.env("DBUS_SESSION_BUS_ADDRESS", self.bus()).stdout(Stdio::null()).stderr(Stdio::null());
            if asked.status().is_ok_and(|status| status.success()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn spawn(&mut self, mut command: Command) {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn();
        self.children.push(child.unwrap_or_else(|error| panic!("{}: {error}", program.display())));
    }

    fn stop(&mut self) {
        for mut child in self.children.drain(..).rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.path("bus"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bus(&self) -> OsString {
        format!("unix:path={}", self.path("bus").display()).into()
    }

    /// What programs have to be told so that they reach it, for a user of this home.
    pub(crate) fn environment(&self, home: &Path) -> Vec<(&'static str, OsString)> {
        vec![
            ("HOME", home.as_os_str().to_owned()),
            ("DBUS_SESSION_BUS_ADDRESS", self.bus()),
            // The one is for the module, the other for the tools.
            ("TPM2TOOLS_TCTI", OsStr::new("tabrmd:bus_type=session").to_owned()),
            ("TPM2_PKCS11_TCTI", OsStr::new("tabrmd:bus_type=session").to_owned()),
            ("TPM2_PKCS11_STORE", home.join(".tpm2_pkcs11").into_os_string()),
        ]
    }
}

impl Drop for SoftTpm {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Two ports in a row that are free: the program that asks for commands takes the one after the data's.
fn free_pair() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// Whether somebody listens on a port of this machine. A connection would count as one, so the system is asked.
fn listens(port: u16) -> bool {
    let end = format!(":{port:04X}");
    let listening = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&end)) && words.nth(1) == Some("0A")
    };
    fs::read_to_string("/proc/net/tcp").is_ok_and(|table| table.lines().any(listening))
}
