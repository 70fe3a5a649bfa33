//! What several test files ask of a daemon.

use std::time::{Duration, Instant};

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use serde_json::Value;

use super::{ADMIN, Daemon, client};

/// The token of the tests' echo channels.
pub(crate) const ECHO_TOKEN: &str = "invented-echo-token";

/// An echo channel.
pub(crate) fn echo(id: &str) -> String {
    format!(
        "\n[[channels]]\nid = \"{id}\"\nconnector = \"echo\"\nname = \"Echo {id}\"\ntoken = \"{ECHO_TOKEN}\"\n"
    )
}

/// Meta's signature of bytes.
pub(crate) fn signature_of(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hmac_sha256_hex(&Secret::new(secret), body))
}

impl Daemon {
    /// Delivers bytes to a channel as Meta does.
    pub(crate) async fn deliver_bytes(&self, channel: &str, secret: &str, body: Vec<u8>) -> u16 {
        let signature = signature_of(secret, &body);
        self.post_webhook(channel, &[("x-hub-signature-256", &signature)], body)
            .await
    }

    /// Delivers to an echo channel.
    pub(crate) async fn echo(&self, channel: &str, body: Vec<u8>) -> u16 {
        self.post_webhook(channel, &[("x-echo-token", ECHO_TOKEN)], body)
            .await
    }

    /// A POST to a webhook with exactly these headers.
    pub(crate) async fn post_webhook(
        &self,
        channel: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> u16 {
        let mut request = client()
            .post(format!("{}/webhooks/{channel}", self.url))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
            .timeout(Duration::from_secs(30))
            .send()
            .await
            .expect("the daemon answers")
            .status()
            .as_u16()
    }

    /// A POST of the API with every right: its status and its answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = client()
            .post(format!("{}/api/v1/{path}", self.url))
            .bearer_auth(ADMIN)
            .json(body);
        let answer = request.send().await.expect("the daemon answers");
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    /// Makes an API token: its id and itself.
    pub(crate) async fn make_token(&self, body: &Value) -> (String, String) {
        let (status, made) = self.post("tokens", body).await;
        assert_eq!(status, 201, "{made}");
        let text = |key: &str| made[key].as_str().expect("a text").to_owned();
        (text("id"), text("token"))
    }

    /// Adds a person who may answer everywhere: without one the daemon rings an alarm, which is an event like others.
    pub(crate) async fn add_somebody(&self) {
        let body = serde_json::json!({
            "email": "jana@shop.example", "name": "Jana", "password": "an invented password 2026",
            "role": "agent", "channels": "all",
        });
        let (status, made) = self.post("users", &body).await;
        assert_eq!(status, 201, "{made}");
    }

    /// The figures as Prometheus reads them.
    pub(crate) async fn metrics(&self) -> String {
        let answer = client()
            .get(format!("{}/metrics", self.url))
            .send()
            .await
            .expect("the daemon answers");
        assert_eq!(answer.status(), 200);
        answer.text().await.expect("text")
    }

    /// One figure, by its name with its labels; 0 where it was never counted.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// The number of the newest event.
    pub(crate) async fn head(&self) -> u64 {
        let metrics = self.metrics().await;
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix("deskbell_log_head "));
        value
            .and_then(|value| value.parse().ok())
            .expect("the figure")
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a figure");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kib * 1024
    }

    /// The time that it has had of the processor, in milliseconds.
    pub(crate) fn processor_ms(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // After the name in brackets, which may hold spaces: the state, and ten more before the two that count.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number"));
        // Linux tells them in hundredths of a second, whatever its own clock does.
        ticks.sum::<u64>() * 10
    }

    /// Its log so far.
    pub(crate) fn log_text(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }
}

/// Asks again and again until it is so.
pub(crate) async fn until(what: &str, patience: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(
            begun.elapsed() < patience,
            "never within {patience:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins at a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}
