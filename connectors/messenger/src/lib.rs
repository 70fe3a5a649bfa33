//! Facebook Messenger: the messages of one Facebook Page.
//!
//! Meta delivers to one address an app (`POST /webhooks/{channel_id}`), signed with the app's secret; a delivery may
//! hold events of several Pages, which the daemon sends to their channels. The connector receives everything that the
//! platform tells about a conversation, sends texts and files, finds the files that came and the names and pictures of
//! people, and can tell whether its credentials work. `README.md` has the set-up.

mod ask;
mod backfill;
mod call;
mod decode;
mod graph;
mod health;
mod media;
mod profile;
mod register;
mod send;
mod wire;

use deskbell_sdk::deletion::{DeletionRequest, Deletions, signed_request};
use deskbell_sdk::webhook::{hmac_sha256_prefixed, same_secret};
use deskbell_sdk::{
    AppKey, Channel, Inbound, Kind, Limits, Malformed, Rejected, Reply, Request, Secret, Setting,
    SettingKind, SettingProblem, Settings, Verified, Webhook,
};

use crate::graph::Graph;

/// Facebook Messenger, as the registry lists it.
pub const KIND: Kind = Kind {
    id: "messenger",
    title: "Facebook Messenger",
    settings: SETTINGS,
    api_base: Some("https://graph.facebook.com"),
    open,
};

const SETTINGS: &[Setting] = &[
    Setting::text("app_id", "the Meta app's id: App settings > Basic > App ID"),
    Setting::secret(
        "app_secret",
        "the Meta app's secret, which signs deliveries: App settings > Basic > App secret",
    ),
    Setting::text(
        "page_id",
        "the Facebook Page's id: the Page > About > Page transparency",
    ),
    Setting::secret(
        "page_access_token",
        "the Page's access token: Messenger > API settings > Generate token",
    ),
    Setting::secret(
        "verify_token",
        "a text of your own choice, entered also at Meta beside the callback URL",
    ),
    Setting::text(
        "human_agent",
        "whether Meta has granted this app the Human Agent feature (answers up to 7 days)",
    )
    .kind(SettingKind::Flag)
    .default("false"),
    Setting::text("graph_version", "the version of Meta's Graph API").default("v25.0"),
];

/// Meta batches up to 1,000 updates; its largest documented body has 3 MB.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// The challenge of a handshake is a number; Meta's have about ten digits.
const MAX_CHALLENGE_DIGITS: usize = 128;
const SIGNATURE_HEADER: &str = "x-hub-signature-256";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// One Page.
struct Messenger {
    app_id: String,
    app_secrets: [Secret; 1],
    verify_token: Secret,
    page_id: String,
    /// Whether Meta has granted the app the Human Agent feature.
    human_agent: bool,
    graph: Graph,
}

fn open(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    let app_id = platform_id(settings, "app_id")?;
    let page_id = platform_id(settings, "page_id")?;
    let app_secret = settings.required_secret("app_secret")?.clone();
    let page_access_token = settings.required_secret("page_access_token")?.clone();
    if !page_access_token
        .expose()
        .bytes()
        .all(|byte| byte.is_ascii_graphic())
    {
        let problem = "has spaces or other characters that no token has; copy it again";
        return Err(SettingProblem::new("page_access_token", problem));
    }
    let graph = Graph {
        base: settings
            .api_base()
            .or(KIND.api_base)
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned(),
        version: graph_version(settings)?,
        app_id: app_id.clone(),
        page_id: page_id.clone(),
        app_secret: app_secret.clone(),
        page_access_token,
    };
    Ok(Box::new(Messenger {
        app_id,
        app_secrets: [app_secret],
        verify_token: settings.required_secret("verify_token")?.clone(),
        page_id,
        human_agent: settings.flag("human_agent"),
        graph,
    }))
}

/// An id that can stand in an address; Meta's have digits only.
fn platform_id(settings: &Settings, key: &str) -> Result<String, SettingProblem> {
    let id = settings.required_text(key)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if id.len() > 64 || !id.bytes().all(plain) {
        return Err(SettingProblem::new(
            key,
            "is no id of Meta's; those are numbers, such as 1029384756",
        ));
    }
    Ok(id.to_owned())
}

fn graph_version(settings: &Settings) -> Result<String, SettingProblem> {
    let version = settings.required_text("graph_version")?;
    let digits = |text: &str| {
        (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_version = version
        .strip_prefix('v')
        .and_then(|numbers| numbers.split_once('.'))
        .is_some_and(|(major, minor)| digits(major) && digits(minor));
    if is_version {
        Ok(version.to_owned())
    } else {
        Err(SettingProblem::new("graph_version", "must look like v25.0"))
    }
}

impl Channel for Messenger {
    fn limits(&self) -> Limits {
        Limits {
            reply_window_ms: Some(DAY_MS),
            text_chars: Some(send::MAX_TEXT_CHARS),
        }
    }

    fn app(&self) -> Option<AppKey> {
        Some(AppKey {
            platform: "meta",
            app_id: self.app_id.clone(),
        })
    }

    fn account(&self) -> Option<&str> {
        Some(&self.page_id)
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }

    fn deletions(&self) -> Option<&dyn Deletions> {
        Some(self)
    }

    fn send(&self) -> Option<&dyn deskbell_sdk::send::Send> {
        Some(self)
    }

    fn backfill(&self) -> Option<&dyn deskbell_sdk::backfill::Backfill> {
        Some(&self.graph)
    }

    fn register(&self) -> Option<&dyn deskbell_sdk::register::Register> {
        Some(self)
    }

    fn media(&self) -> Option<&dyn deskbell_sdk::media::Media> {
        Some(self)
    }

    fn profiles(&self) -> Option<&dyn deskbell_sdk::profile::Profiles> {
        Some(self)
    }

    fn health(&self) -> Option<&dyn deskbell_sdk::health::Health> {
        Some(&self.graph)
    }
}

/// Meta's data-deletion callback: a form with a `signed_request`.
impl Deletions for Messenger {
    fn requested(&self, request: &Request<'_>) -> Result<DeletionRequest, Rejected> {
        signed_request(request, &self.app_secrets)
    }
}

impl Webhook for Messenger {
    fn max_body_bytes(&self) -> usize {
        MAX_BODY_BYTES
    }

    /// Meta calls `GET ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=<digits>` and wants the challenge back as
    /// the whole body. Whatever else comes by GET is refused with a fixed text (W08).
    fn handshake(&self, request: &Request<'_>) -> Option<Reply> {
        if request.method != http::Method::GET {
            return None;
        }
        let granted = || {
            let mode = request.query_value("hub.mode")?;
            let token = request.query_value("hub.verify_token")?;
            let challenge = request.query_value("hub.challenge")?;
            let is_number = (1..=MAX_CHALLENGE_DIGITS).contains(&challenge.len())
                && challenge.bytes().all(|byte| byte.is_ascii_digit());
            (same_secret(&self.verify_token, &token) && mode == "subscribe" && is_number)
                .then_some(challenge)
        };
        Some(match granted() {
            Some(challenge) => Reply {
                status: 200,
                body: challenge,
            },
            None => Reply {
                status: 403,
                body: "not verified".to_owned(),
            },
        })
    }

    fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejected> {
        hmac_sha256_prefixed(request, SIGNATURE_HEADER, &self.app_secrets)
    }

    fn decode(&self, delivery: &Verified) -> Result<Vec<Inbound>, Malformed> {
        decode::delivery(delivery.body(), &self.app_id)
    }
}

#[cfg(test)]
mod tests;
