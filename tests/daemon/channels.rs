//! Channels that are made through the API, against the real daemon: they work at once, survive its ends, and their
//! secrets are nothing without its key.

mod command;
mod keys;
mod life;

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Daemon, client, envelope, now_ms};

/// The key of the tests' daemons.
const KEY: &str = "an-invented-key-of-the-daemon-no-1";

/// A configuration with a key and one website chat.
fn configuration(key: &str, previous: &[&str]) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n[auth]\nbootstrap_token = \"{ADMIN}\"\n[secrets]\nkey = \"{key}\"\nprevious_keys = {}\n\
         [[channels]]\nid = \"site\"\nconnector = \"webchat\"\nname = \"Website\"\n",
        json!(previous)
    )
}

fn start(folder: &Path) -> Daemon {
    Daemon::start(folder, &configuration(KEY, &[]))
}

/// Which secrets a Page has, and its number at the platform.
#[derive(Clone, Debug)]
struct Page {
    id: String,
    page: String,
    app_secret: String,
    token: String,
    verify: String,
}

impl Page {
    fn new(number: usize) -> Self {
        let secret = |what: &str| {
            let noise = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number as u64 + 1);
            format!("canary-secret-{what}-{noise:016x}")
        };
        Self {
            id: format!("page-{number}"),
            page: format!("80{number:04}"),
            app_secret: secret("app"),
            token: secret("token"),
            verify: secret("verify"),
        }
    }

    /// The request that makes it. Its platform is not there.
    fn wanted(&self) -> Value {
        json!({
            "id": self.id,
            "connector": "messenger",
            "name": format!("canary-name-of-{}", self.id),
            "api_base": "http://127.0.0.1:9",
            "settings": {
                "app_id": format!("70{}", self.page),
                "page_id": self.page,
                "app_secret": self.app_secret,
                "page_access_token": self.token,
                "verify_token": self.verify,
            },
        })
    }

    async fn make(&self, daemon: &Daemon) {
        let (status, made) = daemon.post("channels", &self.wanted()).await;
        assert_eq!(status, 201, "{made}");
        assert_eq!(made["source"], "api");
    }

    /// What comes of a customer's message, signed with this secret.
    async fn delivers(&self, daemon: &Daemon, secret: &str, mid: &str) -> u16 {
        let event = json!({
            "sender": { "id": "2001" },
            "recipient": { "id": self.page },
            "timestamp": now_ms(),
            "message": { "mid": mid, "text": "hello" },
        });
        let body = envelope(&self.page, &[event]);
        daemon.deliver(&self.id, secret, body).await
    }
}

/// A request of the API with every right: its status and its answer.
async fn ask(daemon: &Daemon, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut request = client()
        .request(method, format!("{}/api/v1/{path}", daemon.url))
        .bearer_auth(ADMIN);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("the daemon answers");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// The pointers of the fields that do not do.
fn pointers(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().into_iter().flatten();
    errors
        .filter_map(|error| error["pointer"].as_str())
        .collect()
}
