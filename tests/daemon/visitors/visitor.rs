//! A visitor as a browser is one: a session's token, requests with it, and the stream.

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::{ADMIN, Daemon, client};

/// The configuration with `site` as the website chat, whose clients' addresses are believed, so that a test can be
/// many households at once. `more` is added to the channel.
pub(crate) fn config(more: &str) -> String {
    format!(
        "trusted_proxies = [\"127.0.0.1/32\"]\n{}",
        crate::support::config(more)
    )
}

/// A household's address of its own for each number.
pub(crate) fn household(number: usize) -> String {
    format!(
        "198.{}.{}.{}",
        18 + (number >> 16) % 2,
        (number >> 8) & 255,
        number & 255
    )
}

/// Who has a session.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// The daemon's address.
    pub(crate) url: String,
    /// The channel.
    pub(crate) channel: String,
    /// The token.
    pub(crate) token: String,
    /// The conversation that the token opens.
    pub(crate) conversation: String,
    /// The household.
    pub(crate) address: String,
}

impl Visitor {
    /// A stranger from household `number` begins a session at `site`.
    pub(crate) async fn stranger(daemon: &Daemon, number: usize) -> Self {
        Self::come(daemon, number, &json!({})).await
    }

    /// Somebody begins a session at `site` with this body.
    pub(crate) async fn come(daemon: &Daemon, number: usize, opening: &Value) -> Self {
        let address = household(number);
        let answer = open(daemon, "site", &address, opening).await;
        assert_eq!(answer.status(), 201);
        let session: Value = answer.json().await.expect("JSON");
        Self {
            url: daemon.url.clone(),
            channel: "site".to_owned(),
            token: text(&session["token"]),
            conversation: text(&session["conversation"]["id"]),
            address,
        }
    }

    /// A request to one of the visitor's routes.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        client()
            .request(method, format!("{}/chat/{}/{path}", self.url, self.channel))
            .bearer_auth(&self.token)
            .header("x-forwarded-for", &self.address)
    }

    /// A GET of one of the visitor's routes.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path)
            .send()
            .await
            .expect("answers")
    }

    /// A POST of JSON to one of the visitor's routes.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path)
            .json(body)
            .send()
            .await
            .expect("answers")
    }

    /// Writes, and gives the message that was made.
    pub(crate) async fn say(&self, words: &str, client_id: &str) -> Value {
        let answer = self
            .post(
                "messages",
                &json!({ "text": words, "client_id": client_id }),
            )
            .await;
        assert_eq!(answer.status(), 201, "{words}");
        answer.json().await.expect("JSON")
    }

    /// Uploads a file.
    pub(crate) async fn upload(&self, name: &str, bytes: Vec<u8>) -> Response {
        let part = Part::bytes(bytes).file_name(name.to_owned());
        let form = Form::new().part("file", part);
        // A large one takes its time where the machine is busy and the daemon is not optimised.
        let request = self
            .request(Method::POST, "attachments")
            .timeout(Duration::from_secs(90));
        request.multipart(form).send().await.expect("answers")
    }

    /// Uploads a file and gives its id.
    pub(crate) async fn uploaded(&self, name: &str, bytes: Vec<u8>) -> String {
        let answer = self.upload(name, bytes).await;
        assert_eq!(answer.status(), 201, "{name}");
        text(&answer.json::<Value>().await.expect("JSON")["id"])
    }

    /// The first page of the conversation, newest first.
    pub(crate) async fn list(&self) -> Vec<Value> {
        let answer = self.get("messages").await;
        assert_eq!(answer.status(), 200);
        let page: Value = answer.json().await.expect("JSON");
        page["data"].as_array().expect("a list").clone()
    }

    /// The stream, from after the event `last_id` where there is one.
    pub(crate) async fn listen(&self, last_id: Option<&str>) -> Stream {
        let request = self
            .request(Method::GET, "events")
            .timeout(Duration::from_secs(120));
        let request = match last_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let answer = request.send().await.expect("answers");
        assert_eq!(answer.status(), 200);
        let mut stream = Stream {
            answer,
            text: String::new(),
        };
        // What comes after this line is heard.
        while !stream.text.contains(": hello\n\n") {
            let chunk = stream
                .answer
                .chunk()
                .await
                .expect("the stream is open")
                .expect("it goes on");
            stream.text.push_str(&String::from_utf8_lossy(&chunk));
        }
        stream
    }
}

/// Asks for a session.
pub(crate) async fn open(
    daemon: &Daemon,
    channel: &str,
    address: &str,
    opening: &Value,
) -> Response {
    let request = client().post(format!("{}/chat/{channel}/session", daemon.url));
    request
        .header("x-forwarded-for", address)
        .json(opening)
        .send()
        .await
        .expect("answers")
}

/// An event of the visitor's stream.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its number, where it is in the log.
    pub(crate) id: Option<String>,
    /// Its type.
    pub(crate) kind: String,
    /// What it says.
    pub(crate) data: Value,
}

impl Event {
    /// The text of the message that it tells of.
    pub(crate) fn text(&self) -> &str {
        self.data["data"]["message"]["text"]
            .as_str()
            .unwrap_or_default()
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    answer: Response,
    text: String,
}

impl Stream {
    /// The next event; `None` where none comes within `patience`.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<Event> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                if let Some(kind) = field("event: ") {
                    let data = serde_json::from_str(&field("data: ").expect("data")).expect("JSON");
                    return Some(Event {
                        id: field("id: "),
                        kind,
                        data,
                    });
                }
            }
            match tokio::time::timeout_at(deadline, self.answer.chunk()).await {
                Ok(Ok(Some(chunk))) => self.text.push_str(&String::from_utf8_lossy(&chunk)),
                _ => return None,
            }
        }
    }

    /// All events until none comes for `quiet`.
    pub(crate) async fn rest(&mut self, quiet: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next(quiet).await {
            events.push(event);
        }
        events
    }
}

/// Writes into a conversation as the shop does: an answer, or a note that stays in the shop.
pub(crate) async fn shop_writes(
    daemon: &Daemon,
    conversation: &str,
    words: &str,
    private: bool,
) -> Value {
    let body = json!({ "text": words, "private": private });
    shop_posts(daemon, conversation, &body).await
}

/// Posts into a conversation as the shop does.
pub(crate) async fn shop_posts(daemon: &Daemon, conversation: &str, body: &Value) -> Value {
    let request = client().post(format!(
        "{}/api/v1/conversations/{conversation}/messages",
        daemon.url
    ));
    let answer = request
        .bearer_auth(ADMIN)
        .json(body)
        .send()
        .await
        .expect("answers");
    assert!(
        answer.status().is_success(),
        "{}: {}",
        answer.status(),
        answer.text().await.unwrap_or_default()
    );
    answer.json().await.expect("JSON")
}

/// A JSON string's text.
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// The texts of messages, in their order.
pub(crate) fn texts(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .map(|message| message["text"].as_str().unwrap_or_default().to_owned())
        .collect()
}
