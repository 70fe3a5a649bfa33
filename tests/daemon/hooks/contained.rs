//! Commands that misbehave are ended with all that they began, and nothing else waits for them.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hooks::commands::{Place, comes, id_of};
use crate::hooks::receiver::Receiver;
use crate::hooks::{arrives, hook, until_deliveries};
use crate::support::Daemon;

/// Whether a process is there that has not ended.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    matches!(state, Some(Some(state)) if state != 'Z' && state != 'X')
}

/// The processes of a file of their numbers that still run.
fn left(place: &Place, name: &str) -> Vec<String> {
    let pids = place.read(name);
    let pids = pids.lines().filter(|pid| runs(pid));
    pids.map(str::to_owned).collect()
}

/// Waits until none of them runs.
async fn until_gone(place: &Place, name: &str, most: Duration) {
    let begun = Instant::now();
    loop {
        let left = left(place, name);
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < most, "{name}: {} still run", left.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for the first attempt of the newest delivery, and gives it.
async fn attempt(daemon: &Daemon, command: &str) -> Value {
    let id = id_of(daemon, command).await;
    let tried = |all: &[Value]| all.first().is_some_and(|one| one["tries"] != 0);
    let log = until_deliveries(daemon, &id, command, tried).await;
    log[0]["attempts"][0].clone()
}

/// A message comes to the receiver, and soon, although commands hang.
async fn is_told_soon(daemon: &Daemon, receiver: &Receiver, person: &str) {
    let before = receiver.calls().len();
    let begun = Instant::now();
    arrives(daemon, person, "meanwhile").await;
    receiver
        .until("another hook hears", |calls| calls.len() > before)
        .await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "another hook waited {took:?}"
    );
}

/// Hangs, ignores every signal that can be, and leaves children behind that made sessions of their own.
const HANGS: &str = r#"trap '' TERM INT HUP
    echo $$ >> "$OUT/hanging"
    setsid /bin/sh -c 'trap "" TERM; echo $$ >> "$OUT/hanging"; exec sleep 1000' > /dev/null 2>&1 < /dev/null &
    ( setsid /bin/sh -c 'echo $$ >> "$OUT/hanging"; exec sleep 1000' & ) 
    sleep 1000 & echo $! >> "$OUT/hanging"
    sleep inf"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_one_that_hangs_is_ended_with_all_that_it_began() {
    let place = Place::new();
    let program = place.program("hangs", HANGS);
    let good = place.program("good", "exit 0");
    let entries = [
        place.entry("hangs", &program, "timeout_s = 3"),
        place.entry("good", &good, ""),
    ];
    let private = "\n[hooks]\nallow_private_addresses = true\n";
    let config = place
        .config("\"20h\"", &entries)
        .replace("\n[hooks]\n", private);
    let daemon = Daemon::start(place.path(), &config);
    let receiver = Receiver::start().await;
    hook(&daemon, &receiver, &json!({})).await;
    let begun = Instant::now();
    arrives(&daemon, "p1", "hello").await;
    place
        .until("hanging", |text| text.lines().count() == 4)
        .await;
    assert_eq!(left(&place, "hanging").len(), 4, "all run");
    is_told_soon(&daemon, &receiver, "p2").await;
    let tried = attempt(&daemon, "good").await;
    assert_eq!(tried["status"], 0, "{tried}");
    let id = id_of(&daemon, "hangs").await;
    let log = until_deliveries(&daemon, &id, "ended", |all| {
        all.last().is_some_and(|first| first["tries"] == 1)
    })
    .await;
    let error = &log.last().expect("the first")["attempts"][0]["error"];
    assert_eq!(error, "still ran after 3 s and was ended (`timeout_s`)");
    until_gone(&place, "hanging", Duration::from_secs(30)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(35),
        "{:?}",
        begun.elapsed()
    );
}

/// Each has two children, so many levels deep: 511 processes in the end, and never more. `$2` is what begins a child.
const BOMB: &str = r#"echo $$ >> "$OUT/bomb"
    if [ "$1" -gt 0 ]; then $2 "$0" $(($1 - 1)) "$2" & $2 "$0" $(($1 - 1)) "$2" & fi
    sleep 300"#;

async fn bomb(begin: &str) {
    let place = Place::new();
    let program = place.program("bomb", BOMB);
    let good = place.program("good", "exit 0");
    let more = format!("timeout_s = 20\nargs = [\"8\", {begin:?}]");
    let entries = [
        place.entry("bomb", &program, &more),
        place.entry("good", &good, ""),
    ];
    let daemon = place.start("\"20h\"", &entries);
    let begun = Instant::now();
    arrives(&daemon, "p1", "hello").await;
    let tried = attempt(&daemon, "bomb").await;
    assert_eq!(tried["error"], "began more than 64 processes and was ended");
    until_gone(&place, "bomb", Duration::from_secs(30)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(35), "{took:?}");
    let all = place.read("bomb").lines().count();
    assert!(all > 8, "{all}: it was none");
    let tried = attempt(&daemon, "good").await;
    assert_eq!(tried["status"], 0, "{tried}");
    // What was ended stays so.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(place.read("bomb").lines().count(), all);
    crate::support::say(&format!(
        "a bomb of {all} processes was over after {took:?}"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_a_fork_bomb_is_ended() {
    bomb("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_a_fork_bomb_of_sessions_of_their_own_is_ended() {
    bomb("setsid").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_a_gigabyte_of_output_fills_nothing() {
    let place = Place::new();
    let loud = place.program("loud", "echo begins; head -c 1073741824 /dev/zero");
    let entries = [
        place.entry("loud", &loud, "timeout_s = 30"),
        place.entry("endless", Path::new("/usr/bin/yes"), "timeout_s = 2"),
    ];
    let daemon = place.start("\"20h\"", &entries);
    let before = daemon.resident_bytes();
    arrives(&daemon, "p1", "hello").await;
    let tried = attempt(&daemon, "loud").await;
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "the memory grew by {grown} bytes");
    let answer = tried["answer"].as_str().expect("its beginning");
    assert!(
        answer.starts_with("begins") && answer.len() <= 1024,
        "{tried}"
    );
    assert_eq!(tried["error"], Value::Null, "{tried}");
    let tried = attempt(&daemon, "endless").await;
    assert_eq!(tried["answer"].as_str().map(str::len), Some(1024));
    assert_eq!(
        tried["error"],
        "still ran after 2 s and was ended (`timeout_s`)"
    );
}

#[tokio::test]
async fn o06_limits_hold_and_input_that_nobody_reads_is_no_trouble() {
    let place = Place::new();
    let script = r#"exec < /dev/null; sleep 0.2; (ulimit -v; ulimit -f; ulimit -t; ulimit -n; ulimit -c) | tr '\n' ' '
        grep NoNewPrivs /proc/self/status; cut -d ' ' -f 19 /proc/self/stat"#;
    let limits = place.program("limits", script);
    let writes = place.program(
        "writes",
        "exec dd if=/dev/zero of=\"$OUT/big\" bs=1M seek=1024 count=1",
    );
    let entries = [
        place.entry("limits", &limits, ""),
        place.entry("writes", &writes, ""),
        place.entry("gone", &place.program("gone", "exit 0"), ""),
    ];
    let daemon = place.start("\"20h\"", &entries);
    std::fs::remove_file(place.file("gone")).expect("there");
    comes(&daemon, "p1", 0, &"long ".repeat(390)).await;
    let tried = attempt(&daemon, "limits").await;
    let answer = tried["answer"].as_str().unwrap_or_default();
    let words: Vec<&str> = answer.split_ascii_whitespace().collect();
    // In KiB, in blocks of 512 or 1024 bytes, in seconds; then files, cores, what `/proc` says, and the niceness.
    assert_eq!(
        (words[0], words[2], words[3], words[4]),
        ("4194304", "60", "1024", "0"),
        "{answer}"
    );
    assert!(matches!(words[1], "2097152" | "1048576"), "{answer}");
    assert_eq!(words[5..], ["NoNewPrivs:", "1", "10"], "{answer}");
    let tried = attempt(&daemon, "writes").await;
    assert_ne!(
        tried["error"],
        Value::Null,
        "a file may not grow for ever: {tried}"
    );
    assert!(std::fs::metadata(place.file("big")).is_ok_and(|big| big.len() <= 1 << 30));
    let tried = attempt(&daemon, "gone").await;
    let error = tried["error"].as_str().unwrap_or_default();
    assert!(error.contains("No such file"), "{tried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o06_a_daemon_that_is_killed_leaves_no_command_running_and_runs_it_again_under_its_id() {
    let place = Place::new();
    let script = r#"echo "$DESKBELL_ID" >> "$OUT/begun"
        if [ "$(wc -l < "$OUT/begun")" = 1 ]; then
          setsid /bin/sh -c 'echo $$ >> "$OUT/pids"; exec sleep 1000' &
          echo $$ >> "$OUT/pids"; sleep 1000
        fi"#;
    let program = place.program("slow", script);
    let daemon = place.start("\"1s\"", &[place.entry("slow", &program, "timeout_s = 30")]);
    arrives(&daemon, "p1", "one").await;
    arrives(&daemon, "p1", "two").await;
    place.until("pids", |text| text.lines().count() == 2).await;
    daemon.kill();
    until_gone(&place, "pids", Duration::from_secs(20)).await;
    let daemon = Daemon::start_as_it_is(place.path());
    let begun = place.until("begun", |text| text.lines().count() == 3).await;
    let ids: Vec<&str> = begun.lines().collect();
    assert_eq!(ids[0], ids[1], "under the same id");
    assert_ne!(ids[1], ids[2], "and then the next of the conversation");
    // One that is asked to end leaves none, either.
    let id = id_of(&daemon, "slow").await;
    until_deliveries(&daemon, &id, "both", |all| {
        all.iter().all(|one| one["state"] == "delivered")
    })
    .await;
    for name in ["begun", "pids"] {
        std::fs::remove_file(place.file(name)).expect("there");
    }
    arrives(&daemon, "p1", "three").await;
    place.until("pids", |text| text.lines().count() == 2).await;
    let (status, took) = daemon.stop();
    assert!(
        status.success() && took < Duration::from_secs(15),
        "{took:?}"
    );
    until_gone(&place, "pids", Duration::from_secs(20)).await;
}
