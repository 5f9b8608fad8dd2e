//! Figures: percentiles, the CPU time of a process, the rate of the disk, how quiet the machine is.

use std::{
    fmt, fs,
    io::{self, Seek as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// Durations of one operation each.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub fn push(&mut self, one: Duration) {
        self.0.push(one);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Milliseconds that so many thousandths did not exceed.
    pub fn millis(&mut self, thousandth: usize) -> f64 {
        self.0.sort_unstable();
        let at = (self.0.len() * thousandth / 1000).min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(0.0, |one| one.as_secs_f64() * 1e3)
    }
}

/// CPU time of a process so far (`proc(5)`), to within a clock tick of mostly 10 ms.
///
/// # Errors
///
/// When there is no such process, or this is no Linux.
pub fn used(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields after it are numbers from the third on.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let field = |at: usize| fields.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok());
    let (user, system) = field(11).zip(field(12)).context("/proc/PID/stat has no times")?;
    let ticks = user + system;
    Ok(Duration::from_micros(ticks * 1_000_000 / ticks_per_second()))
}

fn ticks_per_second() -> u64 {
    let output = Command::new("getconf").arg("CLK_TCK").output();
    let ticks = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    ticks.filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// KiB of memory that a process has resident, and its proportional share of it.
///
/// # Errors
///
/// When there is no such process, or this is no Linux.
pub fn memory(pid: u32) -> anyhow::Result<(u64, u64)> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
    };
    kib("Rss:").zip(kib("Pss:")).context("smaps_rollup has no Rss")
}

/// How fast the disk makes 4 KiB durable.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// `fdatasync` calls a second, one after another.
    pub per_second: f64,
    /// Median of one, in milliseconds.
    pub median: f64,
}

impl Disk {
    /// Appends 4 KiB and syncs, over and over.
    ///
    /// # Errors
    ///
    /// When the file is not written.
    pub fn measure(folder: &Path, time: Duration) -> io::Result<Self> {
        let mut file = tempfile::tempfile_in(folder)?;
        let page = [0x4b; 4096];
        let start = Instant::now();
        let mut times = Latencies::default();
        while start.elapsed() < time {
            if times.len().is_multiple_of(4096) {
                file.rewind()?;
            }
            let one = Instant::now();
            file.write_all(&page)?;
            file.sync_data()?;
            times.push(one.elapsed());
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_second = times.len() as f64 / start.elapsed().as_secs_f64();
        Ok(Self { per_second, median: times.millis(500) })
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fdatasync {:.0}/s, median {:.2} ms", self.per_second, self.median)
    }
}

/// The share of all cores that was idle during a pause, and the share that the host took away, in per cent.
///
/// # Errors
///
/// When this is no Linux.
pub fn idle(pause: Duration) -> anyhow::Result<(f64, f64)> {
    let before = jiffies()?;
    std::thread::sleep(pause);
    let after = jiffies()?;
    let spent: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let total: f64 = spent.iter().take(8).sum();
    let share = |at: usize| spent.get(at).copied().unwrap_or_default() * 100.0 / total.max(1.0);
    Ok((share(3) + share(4), share(7)))
}

fn jiffies() -> anyhow::Result<Vec<f64>> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    Ok(line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect())
}

/// Waits up to `patience` until nine tenths of the machine are idle. Answers with what it saw last.
///
/// # Errors
///
/// As [`idle`].
pub fn quiet(patience: Duration) -> anyhow::Result<String> {
    let start = Instant::now();
    loop {
        let (idle, stolen) = idle(Duration::from_secs(1))?;
        if idle >= 90.0 || start.elapsed() >= patience {
            return Ok(format!("{idle:.0} % idle, {stolen:.1} % stolen"));
        }
    }
}

/// The cores for server and load: one each, when there are two and `taskset` is there.
pub fn cores() -> Option<(&'static str, &'static str)> {
    let enough = std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2);
    let taskset = || Command::new("taskset").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    (enough && taskset().is_ok_and(|status| status.success())).then_some(("0", "1"))
}

/// A command for a program on a core.
pub fn pinned(program: &Path, core: Option<&str>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

/// Keeps this process on a core. Call it before there are threads.
///
/// # Errors
///
/// When `taskset` fails.
pub fn pin_self(core: &str) -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    let status = Command::new("taskset").args(["-cp", core, &pid]).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "taskset does not pin this process");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousandths_are_counted_from_below() {
        let mut latencies = Latencies((1..=1000).map(Duration::from_millis).collect());
        assert!((latencies.millis(500) - 501.0).abs() < 1e-9);
        assert!((latencies.millis(990) - 991.0).abs() < 1e-9);
        assert!((latencies.millis(1000) - 1000.0).abs() < 1e-9);
        assert!(Latencies::default().millis(990).abs() < 1e-9);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let start = Instant::now();
        let before = used(std::process::id()).unwrap();
        let mut sum = 0_u64;
        while used(std::process::id()).unwrap() <= before + Duration::from_millis(20) {
            sum = (0..100_000).fold(sum, u64::wrapping_add);
            assert!(start.elapsed() < Duration::from_mins(1), "{sum}");
        }
        let (resident, share) = memory(std::process::id()).unwrap();
        assert!(resident >= share && share > 100, "{resident} {share}");
    }
}
