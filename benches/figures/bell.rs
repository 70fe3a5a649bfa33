//! The bell while many wait: what it costs that nobody takes them, and how late it rings.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use deskbell_sdk::Time;
use serde_json::{Value, json};

use crate::Settings;
use crate::daemon::{ADMIN, Daemon, configure};
use crate::deliveries::{Deliveries, For};
use crate::load::under_load;
use crate::platform;
use crate::table::{Goal, Row, float, median, quantile};

/// How many wait, in the short form and in the long one: each in a conversation of their own.
const WAITING: [usize; 2] = [2_000, 10_000];
/// How many people may be told.
const PEOPLE: usize = 50;
/// When the second step is due, in milliseconds.
const SECOND_STEP_MS: i64 = 20_000;
/// How often the last step comes again by default, in microseconds: a quarter of an hour.
const AGAIN_US: f64 = 15.0 * 60.0 * 1e6;
/// How long it may take until all have climbed.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a stream has told of a ring that climbed.
#[derive(Clone, Copy, Debug)]
struct Climbed {
    /// How long after it was due, in milliseconds.
    late_ms: f64,
    /// How many were told.
    told: usize,
}

/// Reads the log until `count` rings have come to the second step.
fn climbed(address: SocketAddr, count: usize) -> Result<Vec<Climbed>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /api/v1/events?after=0 HTTP/1.1\r\nhost: desk\r\nauthorization: Bearer {ADMIN}\r\n\r\n"
    )?;
    let mut found = Vec::with_capacity(count);
    let mut is_ring = false;
    for line in BufReader::new(stream).lines() {
        let line = line.context("the stream ended")?;
        if let Some(kind) = line.strip_prefix("event: ") {
            is_ring = kind == "bell.rung";
        } else if let Some(data) = line.strip_prefix("data: ").filter(|_| is_ring) {
            let event: Value = serde_json::from_str(data)?;
            let ring = &event["data"]["ring"];
            // What is wrong rings as well.
            if ring["step"] != 2 || ring["conversation_id"].is_null() {
                continue;
            }
            let time = |value: &Value| -> Result<Time> {
                let text = value.as_str().context("a ring without a time")?;
                text.parse()
                    .ok()
                    .with_context(|| format!("{text} is no time"))
            };
            let due_ms = time(&ring["started_at"])?.as_millis() + SECOND_STEP_MS;
            let late_ms = time(&event["at"])?.as_millis() - due_ms;
            found.push(Climbed {
                late_ms: f64::from(i32::try_from(late_ms).unwrap_or(i32::MAX)),
                told: ring["told"].as_array().map_or(0, Vec::len),
            });
            if found.len() == count {
                return Ok(found);
            }
        }
    }
    bail!("only {} of {count} rings climbed", found.len())
}

/// Everybody may see the channel and works always.
fn people(daemon: &Daemon) -> Result<()> {
    let mut http = daemon.http()?;
    for number in 0..PEOPLE {
        let person = json!({
            "email": format!("{number}@shop.example"), "name": format!("Person {number}"), "role": "agent",
            "channels": "all", "password": "seven blue umbrellas",
        });
        let answer = http.exchange("POST", "/api/v1/users", &person.to_string())?;
        if answer.status != 201 {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("a person was answered {}: {said}", answer.status);
        }
    }
    Ok(())
}

/// What a daemon used.
#[derive(Clone, Copy, Debug)]
struct Used {
    /// In the 25 seconds after the last message, in microseconds of CPU.
    climbing_us: f64,
    /// Afterwards, in microseconds of CPU a second.
    resting_us: f64,
}

/// A daemon to which so many write, and what it uses; and how its rings climbed, where what was written is new: what is older
/// than a day does not ring.
async fn daemon(
    settings: &Settings,
    waiting: usize,
    rings: bool,
) -> Result<(Used, Option<Vec<Climbed>>)> {
    let folder = tempfile::tempdir_in(&settings.folder).context("no folder")?;
    let folder = folder.path();
    configure(folder, platform::start().await?)?;
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.join("deskbell.toml"))?;
    write!(
        file,
        "\n[bell]\nsteps = [\"0s\", \"{}s\", \"15m\"]\n",
        SECOND_STEP_MS / 1000
    )?;
    drop(file);
    let daemon = Daemon::start(folder)?;
    people(&daemon)?;
    let mut deliveries = Deliveries::new(daemon.address, waiting);
    if rings {
        deliveries.written_now();
    }
    under_load(&daemon, &mut deliveries, For::Us, waiting).await?;
    // The first ring may be due while the last message comes; what the second step costs is counted from here.
    let cpu = daemon.cpu_us()?;
    let address = daemon.address;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let climbing_us = daemon.cpu_us()? - cpu;
    let climbed = if rings {
        Some(tokio::task::spawn_blocking(move || climbed(address, waiting)).await??)
    } else {
        None
    };
    // Everything waits, and nothing is due: a minute of that, or a sixth.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rest = Duration::from_secs(if settings.long { 60 } else { 10 });
    let cpu = daemon.cpu_us()?;
    tokio::time::sleep(rest).await;
    let resting_us = (daemon.cpu_us()? - cpu) / rest.as_secs_f64();
    daemon.stop()?;
    let used = Used {
        climbing_us,
        resting_us,
    };
    Ok((used, climbed))
}

/// Measures.
pub(crate) async fn measure(settings: &Settings) -> Result<Vec<Row>> {
    let waiting = WAITING[usize::from(settings.long)];
    // What else is done for so many people (names are asked of the platform for minutes) is no cost of the bell.
    let (without, _) = daemon(settings, waiting, false).await?;
    let (with, climbed) = daemon(settings, waiting, true).await?;
    let climbed = climbed.context("nothing rang")?;
    if let Some(short) = climbed.iter().find(|ring| ring.told != PEOPLE) {
        bail!("a ring told {} people, not {PEOPLE}", short.told);
    }
    let mut late_ms: Vec<f64> = climbed.iter().map(|ring| ring.late_ms).collect();
    let latest_ms = quantile(&mut late_ms, 1.0);
    let resting_us = (with.resting_us - without.resting_us).max(0.0);
    let each_us = (with.climbing_us - without.climbing_us).max(0.0) / float(waiting);
    let of = format!(
        "{waiting} conversations that nobody has taken, {PEOPLE} people: {:.2} %, and {:.2} % where none of them rings",
        with.resting_us / 1e4,
        without.resting_us / 1e4
    );
    Ok(vec![
        Row::new(
            "while many wait and none is due, % of a core",
            resting_us / 1e4,
            Goal::AtMost(1.0),
            of,
        ),
        Row::new(
            "a step of each every quarter of an hour, 10,000 of them, % of a core",
            each_us * 10_000.0 / AGAIN_US * 100.0,
            Goal::AtMost(1.0),
            format!("{each_us:.0} µs a step that tells {PEOPLE}"),
        ),
        Row::new(
            "all are due at once: the latest, s",
            latest_ms / 1e3,
            Goal::AtMost(1.0),
            format!("p50 {:.0} ms", median(&mut late_ms)),
        ),
    ])
}
