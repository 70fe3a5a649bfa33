//! Talking to a running daemon.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use super::Remote;
use crate::config::{self, Overrides};
use crate::registry::KINDS;
use crate::run::LOCAL_FILE;

/// How long a call may take that carries a history: a day. Whether it goes on is looked at as it does.
const LONGEST_CALL: Duration = Duration::from_secs(24 * 60 * 60);

/// A daemon to talk to.
pub(super) struct Daemon {
    server: String,
    token: Option<String>,
    /// Whether it is the one of this machine, found by its file.
    local: bool,
}

#[derive(Deserialize)]
struct LocalFile {
    server: String,
    token: String,
}

impl Daemon {
    /// The one that the options name, else that of this machine.
    pub(super) fn find(remote: &Remote) -> Result<Self> {
        if let Some(server) = &remote.server {
            let server = server.trim_end_matches('/').to_owned();
            return Ok(Self {
                server,
                token: remote.token.clone(),
                local: false,
            });
        }
        let data_dir = match &remote.data_dir {
            Some(data_dir) => data_dir.clone(),
            None => configured_data_dir(remote.config.as_deref())?,
        };
        let path = data_dir.join(LOCAL_FILE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("no running daemon was found ({} cannot be read); name one with --server and --token", path.display())
        })?;
        let found: LocalFile = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let token = remote.token.clone().or(Some(found.token));
        Ok(Self {
            server: found.server,
            token,
            local: true,
        })
    }

    fn client(&self) -> Result<reqwest::Client> {
        // Some calls make the daemon ask a platform several times.
        let builder = crate::http_client::builder().timeout(std::time::Duration::from_secs(60));
        // The certificate of this machine's daemon names its public host. What is asked here stays on this machine.
        let builder = if self.local {
            builder.tls_danger_accept_invalid_certs(true)
        } else {
            builder
        };
        Ok(builder.build()?)
    }

    /// Whether the daemon is ready.
    pub(super) async fn ready(&self) -> Result<Option<String>> {
        let url = format!("{}/readyz", self.server);
        let answer = self.client()?.get(&url).send().await;
        let answer = answer.with_context(|| self.unreachable())?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let words = answer.text().await.context("the answer broke off")?;
        Ok(Some(words.trim_end().to_owned()))
    }

    /// One call of the API.
    pub(super) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let token = self
            .token
            .as_ref()
            .ok_or_else(|| anyhow!("a token is needed: --token or DESKBELL_TOKEN"))?;
        let mut request = self
            .client()?
            .request(method, format!("{}/api/v1/{path}", self.server))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| self.unreachable())?;
        let status = answer.status();
        let text = answer.text().await.context("the answer broke off")?;
        if status.is_success() {
            return if text.is_empty() {
                Ok(Value::Null)
            } else {
                Ok(serde_json::from_str(&text)?)
            };
        }
        bail!(problem(status, &text))
    }

    /// A call of the API whose answer is read piece by piece. Any answer but a good one is an error.
    pub(super) async fn stream(&self, path: &str) -> Result<reqwest::Response> {
        let request = self.long_request(reqwest::Method::GET, path)?;
        let answer = request.send().await.with_context(|| self.unreachable())?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text().await.context("the answer broke off")?;
        bail!(problem(status, &text))
    }

    /// A request of the API that may take long, with the token.
    pub(super) fn long_request(
        &self,
        method: reqwest::Method,
        path: &str,
    ) -> Result<reqwest::RequestBuilder> {
        let token = self
            .token
            .as_ref()
            .ok_or_else(|| anyhow!("a token is needed: --token or DESKBELL_TOKEN"))?;
        let request = self
            .client()?
            .request(method, format!("{}/api/v1/{path}", self.server));
        Ok(request.bearer_auth(token).timeout(LONGEST_CALL))
    }

    /// What to say where nothing answers.
    pub(super) fn unreachable(&self) -> String {
        format!(
            "the daemon at {} does not answer; is it running?",
            self.server
        )
    }
}

/// What a daemon's problem says.
pub(super) fn problem(status: reqwest::StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    told(&problem, status.as_str())
}

/// A problem in words; where several fields do not do, a line for each.
fn told(problem: &Value, status: &str) -> String {
    let title = problem["title"].as_str().unwrap_or(status);
    let fields = problem["errors"].as_array().filter(|all| all.len() > 1);
    let Some(fields) = fields else {
        let detail = problem["detail"].as_str().unwrap_or("no detail");
        return format!("{title}: {detail}");
    };
    let lines = fields.iter().map(|field| {
        let text = |key: &str| field[key].as_str().unwrap_or_default().to_owned();
        format!("\n  {}: {}", text("pointer"), text("detail"))
    });
    format!("{title}:{}", lines.collect::<String>())
}

/// Where a daemon of this machine keeps its data. A configuration that cannot be read is an error of its own: falling
/// back to `data` would look for the daemon in the wrong place.
fn configured_data_dir(file: Option<&Path>) -> Result<std::path::PathBuf> {
    match config::load(
        file,
        &config::process_environment(),
        Overrides::default(),
        KINDS,
    ) {
        Ok(config) => Ok(config.data_dir),
        Err(errors) => {
            let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
            bail!("{}; or name the daemon's --data-dir", lines.join("; "))
        }
    }
}
