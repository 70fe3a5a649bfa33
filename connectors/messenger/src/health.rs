//! Whether the Page's token works and Meta delivers the Page's events to the app.

use bytes::Bytes;
use deskbell_sdk::health::{BoxFuture, Finding, Health, Http, Standing};
use deskbell_sdk::webhook::hmac_sha256_hex;
use deskbell_sdk::{ExternalId, Secret};
use http::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;

/// The fields without which nothing arrives.
const NEEDED_FIELDS: [&str; 1] = ["messages"];
/// The fields without which something is missing: taps, receipts, echoes, reactions, edits, handovers, warnings.
const WANTED_FIELDS: [&str; 13] = [
    "messaging_postbacks",
    "message_deliveries",
    "message_reads",
    "message_echoes",
    "message_reactions",
    "message_edits",
    "messaging_referrals",
    "messaging_optins",
    "messaging_optouts",
    "messaging_account_linking",
    "messaging_handovers",
    "standby",
    "messaging_policy_enforcement",
];

/// Meta's Graph API as one Page's token sees it.
pub(crate) struct Graph {
    /// The address without a slash at its end.
    pub(crate) base: String,
    pub(crate) version: String,
    pub(crate) app_id: String,
    pub(crate) page_id: String,
    pub(crate) app_secret: Secret,
    pub(crate) page_access_token: Secret,
}

/// Why a question brought no answer that can be used.
enum NoAnswer {
    /// It could not be asked, or the platform is in trouble; it says nothing about the credentials.
    NotNow(String),
    /// The platform refused: its code and, where it gives one, its subcode.
    Refused { code: i64, subcode: Option<i64> },
}

#[derive(Deserialize)]
struct GraphError {
    error: GraphErrorDetail,
}

/// The message is left out on purpose: it is in the operator's language at best, and may repeat the token.
#[derive(Deserialize)]
struct GraphErrorDetail {
    code: i64,
    error_subcode: Option<i64>,
    #[serde(default)]
    is_transient: bool,
}

#[derive(Deserialize)]
struct Me {
    id: ExternalId,
}

#[derive(Deserialize)]
struct SubscribedApps {
    data: Vec<SubscribedApp>,
}

#[derive(Deserialize)]
struct SubscribedApp {
    id: ExternalId,
    #[serde(default)]
    subscribed_fields: Vec<String>,
}

impl Health for Graph {
    fn look<'a>(&'a self, http: &'a dyn Http) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            let token = self.look_at_token(http).await;
            let works = token.standing == Standing::Fine;
            let mut findings = vec![token];
            // With a token that does not work the next question would only repeat the first answer.
            if works {
                findings.push(self.look_at_subscription(http).await);
            }
            findings
        })
    }
}

impl Graph {
    async fn look_at_token(&self, http: &dyn Http) -> Finding {
        let (standing, say) = match self.ask::<Me>(http, "me", Some("fields=id,name")).await {
            Ok(me) if me.id.as_str() == self.page_id => (
                Standing::Fine,
                format!("the token works for the Page {}", self.page_id),
            ),
            Ok(me) => (
                Standing::Broken,
                format!(
                    "page_access_token belongs to {}, not to the Page {}: generate the token of the right Page, or \
                     correct page_id",
                    quoted_id(&me.id),
                    self.page_id
                ),
            ),
            Err(no_answer) => self.in_words(&no_answer),
        };
        Finding {
            what: "token",
            standing,
            say,
        }
    }

    async fn look_at_subscription(&self, http: &dyn Http) -> Finding {
        let path = format!("{}/subscribed_apps", self.page_id);
        let (standing, say) = match self.ask::<SubscribedApps>(http, &path, None).await {
            Ok(apps) => self.judge(&apps),
            Err(no_answer) => self.in_words(&no_answer),
        };
        Finding {
            what: "subscription",
            standing,
            say,
        }
    }

    fn judge(&self, apps: &SubscribedApps) -> (Standing, String) {
        let subscribe =
            "subscribe them under Messenger > API settings > Webhooks at the Page's row";
        let Some(own) = apps.data.iter().find(|app| app.id.as_str() == self.app_id) else {
            let say = format!(
                "the app {} is not subscribed to the Page {}, so nothing arrives: {subscribe}",
                self.app_id, self.page_id
            );
            return (Standing::Broken, say);
        };
        let missing = |fields: &[&str]| -> Vec<String> {
            fields
                .iter()
                .filter(|field| {
                    !own.subscribed_fields
                        .iter()
                        .any(|subscribed| subscribed == *field)
                })
                .map(|field| (*field).to_owned())
                .collect()
        };
        let (needed, wanted) = (missing(&NEEDED_FIELDS), missing(&WANTED_FIELDS));
        if !needed.is_empty() {
            let all = [needed, wanted].concat().join(", ");
            (
                Standing::Broken,
                format!("customers' messages do not arrive; not subscribed: {all}; {subscribe}"),
            )
        } else if !wanted.is_empty() {
            (
                Standing::Doubtful,
                format!(
                    "messages arrive; not subscribed: {}; {subscribe}",
                    wanted.join(", ")
                ),
            )
        } else {
            (
                Standing::Fine,
                "the Page's events are delivered to the app".to_owned(),
            )
        }
    }

    /// One question. The token goes in a header, where proxies do not log it; its proof shows that we hold the app's
    /// secret, which apps can be set to demand.
    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        http: &dyn Http,
        path: &str,
        query: Option<&str>,
    ) -> Result<T, NoAnswer> {
        let proof = hmac_sha256_hex(&self.app_secret, self.page_access_token.expose().as_bytes());
        let query = query.map_or_else(String::new, |query| format!("{query}&"));
        let uri = format!(
            "{}/{}/{path}?{query}appsecret_proof={proof}",
            self.base, self.version
        );
        let not_now = |text: String| NoAnswer::NotNow(text);
        let bearer = format!("Bearer {}", self.page_access_token.expose());
        let mut bearer = HeaderValue::try_from(bearer)
            .map_err(|_| not_now("page_access_token cannot stand in a header".to_owned()))?;
        bearer.set_sensitive(true);
        let request = http::Request::get(uri)
            .header(AUTHORIZATION, bearer)
            .body(Bytes::new())
            .map_err(|_| not_now("api_base is no address".to_owned()))?;
        let answer = http
            .call(request)
            .await
            .map_err(|failure| not_now(failure.to_string()))?;
        let status = answer.status();
        if let Ok(GraphError { error }) = serde_json::from_slice(answer.body()) {
            return Err(if error.is_transient || is_passing(error.code) {
                not_now(format!(
                    "Meta answered with its error {}, which passes",
                    error.code
                ))
            } else {
                NoAnswer::Refused {
                    code: error.code,
                    subcode: error.error_subcode,
                }
            });
        }
        if !status.is_success() {
            return Err(not_now(format!("Meta answered {status} without a reason")));
        }
        serde_json::from_slice(answer.body()).map_err(|_| {
            not_now(format!(
                "what answers at {} does not speak Meta's language",
                self.base
            ))
        })
    }

    fn in_words(&self, no_answer: &NoAnswer) -> (Standing, String) {
        let (code, subcode) = match no_answer {
            NoAnswer::NotNow(why) => {
                return (Standing::Doubtful, format!("could not be looked at: {why}"));
            }
            NoAnswer::Refused { code, subcode } => (*code, *subcode),
        };
        let anew =
            "generate a new token under Messenger > API settings and put it into page_access_token";
        let what = match (code, subcode) {
            (102 | 190, Some(458)) => format!("the app was removed from the Page: add it again, then {anew}"),
            (102 | 190, Some(459 | 464)) => {
                format!("the person who made the token has to sign in at facebook.com and confirm who they are; then {anew}")
            }
            (102 | 190, Some(460)) => format!("the person who made the token changed the password or signed out: {anew}"),
            (102 | 190, Some(463)) => format!("the token has expired: {anew}"),
            (102 | 190, Some(492)) => {
                format!("the person who made the token has no role at the Page any more: another person has to {anew}")
            }
            (102 | 190, _) => format!("Meta does not accept the token: {anew}"),
            (100, _) => "Meta does not accept the question: page_access_token and app_secret have to be of the same app, \
                         and page_id has to be the Page's"
                .to_owned(),
            (33 | 803, _) => format!("the token does not see the Page {}: {anew}", self.page_id),
            (3 | 10 | 200..=299, _) => {
                format!("the token lacks a permission (pages_messaging, pages_manage_metadata): {anew}")
            }
            (368, _) => "Meta has restricted the Page or the app: see the Page's Support Inbox".to_owned(),
            _ => format!("Meta refused: {anew}"),
        };
        let number =
            subcode.map_or_else(|| code.to_string(), |subcode| format!("{code}/{subcode}"));
        (Standing::Broken, format!("{what} (Meta's error {number})"))
    }
}

/// The codes of outages and rate limits.
const fn is_passing(code: i64) -> bool {
    matches!(code, 1 | 2 | 4 | 17 | 32 | 341 | 613 | 80_001 | 80_006)
}

/// An id that the platform told, cut to what an id of Meta's can be.
fn quoted_id(id: &ExternalId) -> String {
    if id.as_str().len() <= 64 && id.as_str().bytes().all(|byte| byte.is_ascii_digit()) {
        id.as_str().to_owned()
    } else {
        "something that is no Page".to_owned()
    }
}
