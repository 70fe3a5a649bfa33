//! Telling Meta where to deliver. Two things have to be on: the app's callback with its fields, which all Pages of the
//! app share, and the Page's subscription to the app. If one is missing nothing arrives, and Meta says nothing.

use bytes::Bytes;
use deskbell_sdk::ExternalId;
use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::health::{Finding, Standing};
use deskbell_sdk::register::Register;
use serde::Deserialize;

use crate::Messenger;
use crate::call::ask;
use crate::decode::shortened;
use crate::graph::{FORM, form};
use crate::health::{NEEDED_FIELDS, WANTED_FIELDS};

/// What the app is subscribed to.
#[derive(Deserialize)]
struct Subscriptions {
    data: Vec<Subscription>,
}

#[derive(Deserialize)]
struct Subscription {
    object: String,
    #[serde(default)]
    callback_url: String,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
}

/// Which apps the Page is subscribed to.
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

#[derive(Deserialize)]
struct Success {
    success: bool,
}

/// What an app delivers for Pages.
const OBJECT: &str = "page";

impl Messenger {
    /// An order that answers nothing but that it was carried out.
    async fn order(
        &self,
        http: &dyn Http,
        request: Result<http::Request<Bytes>, String>,
    ) -> Result<(), CallError> {
        let done: Success = ask(http, request).await?;
        if done.success {
            return Ok(());
        }
        Err(CallError::Refused {
            code: "not-done".to_owned(),
            say: "Meta says that it did not carry this out, and not why".to_owned(),
        })
    }

    fn subscriptions_path(&self) -> String {
        format!("{}/subscriptions", self.app_id)
    }

    fn subscribed_apps_path(&self) -> String {
        format!("{}/subscribed_apps", self.page_id)
    }

    fn judge_callback(
        &self,
        subscriptions: &Subscriptions,
        callback_url: &str,
        events: &[&str],
    ) -> (Standing, String) {
        let own = subscriptions
            .data
            .iter()
            .find(|subscription| subscription.object == OBJECT);
        let Some(own) = own else {
            let say = format!(
                "the app {} delivers nothing of its Pages to anybody: register the channel",
                self.app_id
            );
            return (Standing::Broken, say);
        };
        if own.callback_url != callback_url {
            let say = format!(
                "the app {} delivers to {}, not to {callback_url}: register the channel, unless what is there hands \
                 deliveries on",
                self.app_id,
                shortened(&own.callback_url)
            );
            return (Standing::Doubtful, say);
        }
        if !own.active {
            let say = format!(
                "the app {}'s deliveries are switched off: register the channel",
                self.app_id
            );
            return (Standing::Broken, say);
        }
        let names: Vec<&str> = own.fields.iter().map(|field| field.name.as_str()).collect();
        match missing(events, &names) {
            missing if missing.is_empty() => (
                Standing::Fine,
                format!("the app {} delivers to {callback_url}", self.app_id),
            ),
            missing => (
                severity(&missing),
                format!(
                    "the app {} does not deliver {}: register the channel",
                    self.app_id,
                    missing.join(", ")
                ),
            ),
        }
    }

    fn judge_page(&self, apps: &SubscribedApps, events: &[&str]) -> (Standing, String) {
        let own = apps.data.iter().find(|app| app.id.as_str() == self.app_id);
        let Some(own) = own else {
            let say = format!(
                "the Page {} is not subscribed to the app {}, so nothing arrives: register the channel",
                self.page_id, self.app_id
            );
            return (Standing::Broken, say);
        };
        let names: Vec<&str> = own.subscribed_fields.iter().map(String::as_str).collect();
        match missing(events, &names) {
            missing if missing.is_empty() => (
                Standing::Fine,
                format!(
                    "the Page {} is subscribed to the app {} with all {} fields",
                    self.page_id,
                    self.app_id,
                    events.len()
                ),
            ),
            missing => (
                severity(&missing),
                format!(
                    "the Page {} is not subscribed to {}: register the channel",
                    self.page_id,
                    missing.join(", ")
                ),
            ),
        }
    }
}

fn missing<'a>(wanted: &[&'a str], there: &[&str]) -> Vec<&'a str> {
    let absent = |field: &&&str| !there.contains(*field);
    wanted.iter().filter(absent).copied().collect()
}

/// Without `messages` nothing of the customers' arrives.
fn severity(missing: &[&str]) -> Standing {
    if missing.iter().any(|field| NEEDED_FIELDS.contains(field)) {
        Standing::Broken
    } else {
        Standing::Doubtful
    }
}

impl Register for Messenger {
    fn wants(&self) -> Vec<&'static str> {
        NEEDED_FIELDS
            .iter()
            .chain(&WANTED_FIELDS)
            .copied()
            .collect()
    }

    /// Meta calls the address with a challenge before it answers the first call.
    fn register<'a>(
        &'a self,
        http: &'a dyn Http,
        callback_url: &'a str,
        events: &'a [&'static str],
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            let fields = events.join(",");
            let of_app = form(&[
                ("object", OBJECT),
                ("callback_url", callback_url),
                ("verify_token", self.verify_token.expose()),
                ("fields", &fields),
                ("include_values", "true"),
            ]);
            let graph = &self.graph;
            self.order(
                http,
                graph.post_as_app(&self.subscriptions_path(), of_app.into()),
            )
            .await
            .map_err(of_app_secret)?;
            let of_page = form(&[("subscribed_fields", &fields)]);
            let path = self.subscribed_apps_path();
            self.order(http, graph.post(&path, FORM, of_page.into()))
                .await
        })
    }

    fn registered<'a>(
        &'a self,
        http: &'a dyn Http,
        callback_url: &'a str,
        events: &'a [&'static str],
    ) -> BoxFuture<'a, Result<Vec<Finding>, CallError>> {
        Box::pin(async move {
            let subscriptions: Subscriptions =
                ask(http, self.graph.get_as_app(&self.subscriptions_path()))
                    .await
                    .map_err(of_app_secret)?;
            let apps: SubscribedApps =
                ask(http, self.graph.get(&self.subscribed_apps_path(), "")).await?;
            let callback = self.judge_callback(&subscriptions, callback_url, events);
            let page = self.judge_page(&apps, events);
            let finding = |what, (standing, say)| Finding {
                what,
                standing,
                say,
            };
            Ok(vec![
                finding("callback", callback),
                finding("subscription", page),
            ])
        })
    }

    fn unregister<'a>(
        &'a self,
        http: &'a dyn Http,
        app_is_shared: bool,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            self.order(http, self.graph.delete(&self.subscribed_apps_path()))
                .await?;
            if app_is_shared {
                return Ok(());
            }
            let query = form(&[("object", OBJECT)]);
            self.order(
                http,
                self.graph.delete_as_app(&self.subscriptions_path(), &query),
            )
            .await
            .map_err(of_app_secret)
        })
    }
}

/// The app's own token is its id and secret: where it does not work, the Page's token is not to blame.
fn of_app_secret(error: CallError) -> CallError {
    match error {
        CallError::Credentials { .. } => CallError::Refused {
            code: "190".to_owned(),
            say: "Meta does not know the app by this secret: copy app_id and app_secret anew from App settings > Basic"
                .to_owned(),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests;
