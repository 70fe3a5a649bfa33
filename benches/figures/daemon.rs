//! The real daemon as a child: the built binary, in a folder of its own, on a free port.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::http::Http;

/// The API token of the configuration, with every right.
pub(crate) const ADMIN: &str = "bootstrap-token-of-the-benches";
/// The app secret that signs deliveries.
pub(crate) const APP_SECRET: &str = "invented-app-secret";
/// The Page that is a channel.
pub(crate) const PAGE: &str = "1029384756";
/// sled's cache, in MiB: the default.
pub(crate) const CACHE_MIB: u32 = 256;

/// How long a start may take before it counts as failed.
const START_PATIENCE: Duration = Duration::from_secs(600);
/// Clock ticks of /proc a second; Linux shows them so on every platform.
const TICKS: f64 = 100.0;

/// Writes the configuration of a daemon: a Page whose platform is at `platform`.
pub(crate) fn configure(folder: &Path, platform: SocketAddr) -> Result<()> {
    let text = format!(
        r#"trusted_proxies = ["127.0.0.1/32"]
[auth]
bootstrap_token = "{ADMIN}"
[store]
cache_mib = {CACHE_MIB}
[limits]
connections_per_address = 4096
[[channels]]
id = "shop-page"
connector = "messenger"
name = "Page"
api_base = "http://{platform}"
catch_up = false
app_id = "4242424242"
page_id = "{PAGE}"
page_access_token = "invented-page-token"
app_secret = "{APP_SECRET}"
verify_token = "invented-verify-token"
"#
    );
    std::fs::write(folder.join("deskbell.toml"), text)
        .context("the configuration cannot be written")
}

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// From the process's begin until it was ready.
    pub(crate) ready_after: Duration,
    /// Whether the port answered 503 with `Retry-After` before, where it was asked.
    pub(crate) asked_to_wait: bool,
}

/// CPU that a process or a thread has used by its `stat` in /proc, in microseconds.
pub(crate) fn cpu_us_in(stat: &str) -> Result<f64> {
    let (_, behind_name) = stat.rsplit_once(')').context("odd /proc")?;
    let ticks = |place: usize| -> Result<f64> {
        let value = behind_name.split_whitespace().nth(place);
        Ok(value.context("odd /proc")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS * 1e6)
}

/// A port that is free now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr())?)
}

impl Daemon {
    /// Starts one in `folder`, where [`configure`] was, and waits until it is ready.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_deskbell"))
            .args(["serve", "--listen", &address.to_string()])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the daemon does not start")?;
        let stdout = child.stdout.take().context("piped")?;
        let mut stderr = child.stderr.take().context("piped")?;
        // Both must be read, or it would wait for its readers.
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            // What is no text is not told.
            let _ = stderr.read_to_string(&mut log);
            log
        });
        let (tell, ready) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.trim_start().starts_with("Set up ") {
                    // The other end may have given up.
                    let _ = tell.send(Instant::now());
                }
            }
        });
        let mut asked_to_wait = false;
        let ready_at = loop {
            match ready.recv_timeout(Duration::from_millis(20)) {
                Ok(at) => break at,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    let log = log.join().unwrap_or_default();
                    bail!("the daemon ended before it was ready:\n{log}");
                }
            }
            if begun.elapsed() > START_PATIENCE {
                bail!("the daemon was not ready within {START_PATIENCE:?}");
            }
            asked_to_wait |= Http::connect(address)
                .and_then(|mut http| http.exchange("POST", "/webhooks/shop-page", ""))
                .is_ok_and(|answer| answer.status == 503 && answer.head.contains("retry-after:"));
        };
        Ok(Self {
            child,
            address,
            ready_after: ready_at.duration_since(begun),
            asked_to_wait,
        })
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits; how long it took.
    pub(crate) fn stop(mut self) -> Result<Duration> {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the daemon did not stop cleanly: {status}");
        }
        Ok(begun.elapsed())
    }

    fn proc(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .context("the daemon has gone")
    }

    /// CPU that it has used, in microseconds.
    pub(crate) fn cpu_us(&self) -> Result<f64> {
        cpu_us_in(&self.proc("stat")?)
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("odd /proc")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0)
    }

    /// A connection to it.
    pub(crate) fn http(&self) -> Result<Http> {
        Http::connect(self.address)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
