//! Whether the Page's token works and Meta delivers the Page's events to the app.

use deskbell_sdk::ExternalId;
use deskbell_sdk::client::{BoxFuture, Http};
use deskbell_sdk::health::{Finding, Health, Standing};
use serde::Deserialize;

use crate::graph::{Graph, GraphError};

/// The fields without which nothing arrives.
pub(crate) const NEEDED_FIELDS: [&str; 1] = ["messages"];
/// The fields without which something is missing: taps, receipts, echoes, reactions, edits, handovers, warnings.
pub(crate) const WANTED_FIELDS: [&str; 13] = [
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

/// Why a question brought no answer that can be used.
enum NoAnswer {
    /// It could not be asked, or the platform is in trouble; it says nothing about the credentials.
    NotNow(String),
    /// The platform refused.
    Refused(GraphError),
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
        let (standing, say) = match self.ask::<Me>(http, "me", "fields=id,name").await {
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
        let (standing, say) = match self.ask::<SubscribedApps>(http, &path, "").await {
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

    /// One question.
    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        http: &dyn Http,
        path: &str,
        query: &str,
    ) -> Result<T, NoAnswer> {
        let request = self.get(path, query).map_err(NoAnswer::NotNow)?;
        let answer = http
            .call(request)
            .await
            .map_err(|failure| NoAnswer::NotNow(failure.to_string()))?;
        let status = answer.status();
        if let Some(error) = GraphError::of(status, answer.body()) {
            return Err(if error.passes() {
                let code = error.code;
                NoAnswer::NotNow(format!("Meta answered with its error {code}, which passes"))
            } else {
                NoAnswer::Refused(error)
            });
        }
        if !status.is_success() {
            let why = format!("Meta answered {status} without a reason");
            return Err(NoAnswer::NotNow(why));
        }
        serde_json::from_slice(answer.body()).map_err(|_| {
            let base = &self.base;
            NoAnswer::NotNow(format!(
                "what answers at {base} does not speak Meta's language"
            ))
        })
    }

    fn in_words(&self, no_answer: &NoAnswer) -> (Standing, String) {
        let error = match no_answer {
            NoAnswer::NotNow(why) => {
                return (Standing::Doubtful, format!("could not be looked at: {why}"));
            }
            NoAnswer::Refused(error) => *error,
        };
        let anew =
            "generate a new token under Messenger > API settings and put it into page_access_token";
        let what = match (error.of_token(), error.code) {
            (Some(what), _) => what.to_owned(),
            (None, 100) => "Meta does not accept the question: page_access_token and app_secret have to be of the same \
                            app, and page_id has to be the Page's"
                .to_owned(),
            (None, 33 | 803) => format!("the token does not see the Page {}: {anew}", self.page_id),
            (None, 3 | 10 | 200..=299) => {
                format!("the token lacks a permission (pages_messaging, pages_manage_metadata): {anew}")
            }
            (None, 368) => {
                "Meta has restricted the Page or the app: see the Page's Support Inbox".to_owned()
            }
            _ => format!("Meta refused: {anew}"),
        };
        let say = format!("{what} (Meta's error {})", error.number());
        (Standing::Broken, say)
    }
}

/// An id that the platform told, cut to what an id of Meta's can be.
fn quoted_id(id: &ExternalId) -> String {
    if id.as_str().len() <= 64 && id.as_str().bytes().all(|byte| byte.is_ascii_digit()) {
        id.as_str().to_owned()
    } else {
        "something that is no Page".to_owned()
    }
}
