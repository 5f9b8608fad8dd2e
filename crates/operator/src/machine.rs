//! The machine: its clock, its random source, its signals, systemd, and where logs go.

use std::{io::IsTerminal as _, sync::Arc};

use time::UtcDateTime;
use tracing_subscriber::EnvFilter;

/// What the system's clock says, in whole milliseconds as everything that is stored. Whoever acts on stored data judges it
/// first.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
pub fn now() -> UtcDateTime {
    let now = UtcDateTime::now();
    now.replace_millisecond(now.millisecond()).unwrap_or(now)
}

/// Fills a buffer from the operating system's random source.
///
/// # Errors
///
/// What the source said.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
pub fn entropy(octets: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(octets)
}

/// The same source for signatures.
pub fn random() -> Arc<ring::rand::SystemRandom> {
    Arc::new(ring::rand::SystemRandom::new())
}

/// A filter for logs, as text: it is no value that can be cloned.
///
/// # Errors
///
/// What is wrong with it.
pub fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Logs to standard error, as JSON when nobody watches.
pub fn start_logging(filter: &str) {
    // Read once already, as an argument.
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}

/// Ready when the process is asked to end. From the call on, not from the first poll, nothing else ends it: call it
/// before saying that the service is ready.
///
/// # Errors
///
/// When signals cannot be taken.
pub fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

/// Hears that a service is asked to read again what can change while it runs (SIGHUP), which else ends a process.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    /// Listens from now on; `None` where that is not possible.
    pub fn listen() -> Option<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::hangup()).ok().map(|signal| Self { signal })
        }
        #[cfg(not(unix))]
        None
    }

    /// Ready at the next one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signal.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Tells systemd that the service is ready. Without systemd nobody listens, and nobody has to.
pub fn tell_ready() {
    tell(sd_notify::NotifyState::Ready);
}

/// Tells systemd that the service is stopping.
pub fn tell_stopping() {
    tell(sd_notify::NotifyState::Stopping);
}

fn tell(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told how the service stands");
    }
}
