//! A connector is mended: what came before is decoded once more, by the command that people type, over the store that
//! they run. The daemon runs in this process, since it is given a connector of this test's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{ADMIN, client};
use deskbell::config::{self, Overrides};
use deskbell_sdk::{
    AppKey, AttachmentKind, Author, Channel, Direction, Event, Inbound, Kind, Limits, Malformed,
    NewAttachment, NewMessage, Person, Rejected, Request, Secret, Setting, SettingProblem,
    Settings, Time, Verified, Webhook, webhook,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "a-token-of-the-kitchens";
const SETTINGS: &[Setting] = &[
    Setting::secret("token", "what proves a delivery"),
    Setting::text("account", "whose"),
];
/// Two channels of one app, whose deliveries come to one address.
const CONFIG: &str = r#"
[auth]
bootstrap_token = "bootstrap-token-of-the-tests"
[[channels]]
id = "north"
connector = "kitchen"
token = "a-token-of-the-kitchens"
account = "n"
[[channels]]
id = "south"
connector = "kitchen"
token = "a-token-of-the-kitchens"
account = "s"
"#;

/// A connector whose platform delivers `{"parts": [{"account", "id", "thread", "text", "kind"}]}`. While it is not
/// mended it does not know orders, takes riddles for something that it cannot show, and trips over bombs.
struct Kitchen {
    token: Secret,
    account: String,
    mended: bool,
}

const THEN: Kind = kitchen(|settings| open(settings, false));
const NOW: Kind = kitchen(|settings| open(settings, true));

const fn kitchen(open: fn(&Settings) -> Result<Box<dyn Channel>, SettingProblem>) -> Kind {
    Kind {
        id: "kitchen",
        title: "Kitchen",
        settings: SETTINGS,
        api_base: None,
        open,
    }
}

fn open(settings: &Settings, mended: bool) -> Result<Box<dyn Channel>, SettingProblem> {
    Ok(Box::new(Kitchen {
        token: settings.required_secret("token")?.clone(),
        account: settings.text("account").unwrap_or_default().to_owned(),
        mended,
    }))
}

impl Channel for Kitchen {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn app(&self) -> Option<AppKey> {
        Some(AppKey {
            platform: "kitchen",
            app_id: "1".to_owned(),
        })
    }

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
}

impl Webhook for Kitchen {
    fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejected> {
        webhook::shared_secret(request, "x-kitchen-token", &self.token)
    }

    fn decode(&self, delivery: &Verified) -> Result<Vec<Inbound>, Malformed> {
        let body: Value = serde_json::from_slice(delivery.body())
            .map_err(|error| Malformed(error.to_string()))?;
        let parts = body["parts"].as_array();
        let parts = parts.ok_or_else(|| Malformed("no parts".to_owned()))?;
        Ok(parts.iter().map(|part| self.part(part)).collect())
    }
}

impl Kitchen {
    fn part(&self, part: &Value) -> Inbound {
        let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
        let kind = text("kind");
        assert!(self.mended || kind != "bomb", "it goes off");
        let customer = Person::with_id(text("thread"));
        let shows = self.mended || kind != "riddle";
        let event = if kind == "noise" || (kind == "order" && !self.mended) {
            Event::Undecodable {
                raw: part.to_string(),
                why: format!("{kind} is not known"),
            }
        } else {
            Event::Message(Box::new(NewMessage {
                thread: text("thread"),
                customer: customer.clone(),
                external_id: text("id"),
                direction: Direction::Inbound,
                author: Author::Contact(customer),
                text: shows.then(|| text("text")),
                attachments: match shows {
                    true => Vec::new(),
                    false => vec![NewAttachment::of_kind(AttachmentKind::Unsupported)],
                },
                reply_to: None,
                sent_at: Time::from_millis(part["at"].as_i64().unwrap_or_default()),
                order: 0,
                metadata: BTreeMap::new(),
                send_token: None,
                album: None,
            }))
        };
        Inbound::of(&text("account"), event)
    }
}

/// A daemon in this process.
struct Running {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(folder: &Path, kind: Kind) -> Self {
        deskbell::http_client::install_tls();
        let file = folder.join("kitchen.toml");
        std::fs::write(&file, CONFIG).expect("written");
        let overrides = Overrides {
            data_dir: Some(folder.join("data")),
            ..Overrides::default()
        };
        let config = config::load(Some(&file), &BTreeMap::new(), overrides, &[kind]);
        let config = config.expect("the configuration is good");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (tell, told) = tokio::sync::oneshot::channel();
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        let task = tokio::spawn(async move {
            deskbell::run::run(config, &[kind], listener, shutdown, move |_| {
                // The test may have given up.
                let _ = tell.send(());
            })
            .await
        });
        told.await.expect("it is ready");
        Self { url, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("ends").expect("cleanly");
    }

    async fn deliver(&self, channel: &str, parts: Value) {
        let answer = client()
            .post(format!("{}/webhooks/{channel}", self.url))
            .header("content-type", "application/json")
            .header("x-kitchen-token", TOKEN)
            .body(json!({ "parts": parts }).to_string());
        assert_eq!(answer.send().await.expect("answers").status(), 200);
    }

    async fn get(&self, path: &str) -> Value {
        let request = client().get(format!("{}/api/v1/{path}", self.url));
        let answer = request.bearer_auth(ADMIN).send().await.expect("answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// The ids at the platform and the texts of a channel's messages, by their place in the one conversation.
    async fn told(&self, channel: &str) -> Vec<(String, Value)> {
        let feed = self.get(&format!("feed?channel={channel}&limit=200")).await;
        let items = feed["data"].as_array().expect("a list");
        let mut told: Vec<_> = items
            .iter()
            .map(|item| {
                (
                    item["sent_at"].to_string(),
                    item["external_id"].as_str().expect("text").to_owned(),
                    item["text"].clone(),
                )
            })
            .collect();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        told.into_iter().map(|(_, id, text)| (id, text)).collect()
    }

    /// Runs `deskbell replay` against it.
    async fn replay(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deskbell"));
        command
            .arg("replay")
            .args(args)
            .args(["--server", &self.url, "--token", ADMIN])
            .env_clear()
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("ends").expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("text"))
    }
}

fn part(account: &str, id: &str, kind: &str, at: i64) -> Value {
    json!({ "account": account, "id": id, "thread": "ann", "kind": kind, "text": format!("{kind} {id}"),
        "at": 1_790_000_000_000_i64 + at })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mended_decoder_brings_in_what_it_did_not_understand_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Running::start(folder.path(), THEN).await;
    // One delivery for both kitchens; one to the other's address; one that breaks the decoder; one that stays noise.
    daemon
        .deliver(
            "north",
            json!([
                part("n", "n1", "words", 1),
                part("n", "n2", "order", 2),
                part("s", "s1", "order", 1),
                part("n", "n3", "riddle", 3),
            ]),
        )
        .await;
    daemon
        .deliver(
            "south",
            json!([part("n", "n4", "order", 4), part("s", "s2", "words", 2)]),
        )
        .await;
    daemon
        .deliver(
            "north",
            json!([part("n", "n5", "bomb", 5), part("n", "n6", "words", 6)]),
        )
        .await;
    daemon
        .deliver("north", json!([part("n", "n7", "noise", 7)]))
        .await;
    let words = |id: &str, kind: &str| (id.to_owned(), json!(format!("{kind} {id}")));
    assert_eq!(
        daemon.told("north").await,
        [words("n1", "words"), ("n3".to_owned(), Value::Null)]
    );
    let quarantine = daemon.get("quarantine").await;
    assert_eq!(quarantine["data"].as_array().expect("a list").len(), 5);
    // The decoder of then knows no more than it did.
    let (code, said) = daemon.replay(&["north"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("0 messages new, 0 completed, 0 other changes, 2 known already"),
        "{said}"
    );
    assert_eq!(daemon.get("quarantine").await, quarantine);
    daemon.stop().await;

    let daemon = Running::start(folder.path(), NOW).await;
    let mut events = daemon.get("feed?channel=north").await;
    let conversation = events["data"][0]["conversation_id"].take();
    let conversation = conversation.as_str().expect("an id").to_owned();
    let (code, said) = daemon
        .replay(&["north", "--since", "2999-01-01T00:00:00Z"])
        .await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 deliveries read"), "{said}");
    let (code, said) = daemon.replay(&["north"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("4 deliveries read: 4 messages new, 1 completed, 0 other changes, 1 known already; 1 parts are still not understood, 3 left"),
        "{said}"
    );
    let all = [
        words("n1", "words"),
        words("n2", "order"),
        words("n3", "riddle"),
        words("n4", "order"),
        words("n5", "bomb"),
        words("n6", "words"),
    ];
    assert_eq!(daemon.told("north").await, all);
    let listed = daemon
        .get(&format!("conversations/{conversation}/messages"))
        .await;
    let listed: Vec<_> = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|message| message["external_id"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(
        listed,
        ["n6", "n5", "n4", "n3", "n2", "n1"],
        "each at its place"
    );
    // The other kitchen's part waits until somebody asks for it.
    assert_eq!(daemon.told("south").await, [words("s2", "words")]);
    let left = daemon.get("quarantine").await;
    let left = left["data"].as_array().expect("a list");
    let raws: Vec<_> = left.iter().map(|one| one["raw"].to_string()).collect();
    assert_eq!(raws.len(), 2, "{raws:?}");
    assert!(
        raws[0].contains("noise") && raws[1].contains("s1"),
        "{raws:?}"
    );

    // Once more, after a start of its own: nothing is doubled.
    daemon.stop().await;
    let daemon = Running::start(folder.path(), NOW).await;
    let (code, said) = daemon.replay(&["north"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("0 messages new, 0 completed, 0 other changes, 6 known already"),
        "{said}"
    );
    assert_eq!(daemon.told("north").await, all);
    let (_, said) = daemon.replay(&["south"]).await;
    assert!(
        said.contains("1 messages new") && said.contains("1 left the quarantine"),
        "{said}"
    );
    assert_eq!(
        daemon.told("south").await,
        [words("s1", "order"), words("s2", "words")]
    );
    let report = daemon.get("channels/south/replay").await;
    assert_eq!(
        (&report["running"], &report["messages_new"]),
        (&json!(false), &json!(1))
    );
    // Where there is none, or no such right.
    let (code, said) = daemon.replay(&["west"]).await;
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = daemon.replay(&["north", "--since", "yesterday"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/since"), "{said}");
    daemon.stop().await;
}
