//! Telling a channel's platform where to deliver, and reading back what it was told.

use std::sync::Arc;

use deskbell_sdk::client::CallError;
use deskbell_sdk::health::{Finding, Standing};
use url::{Host, Url};

use crate::app::App;
use crate::channels::OpenChannel;
use crate::http_client::{PlatformClient, client};

/// Where the platform is to deliver to.
///
/// # Errors
/// Where no platform can, in words that say what to do. A platform on this machine, which is a test's, may deliver by
/// plain HTTP.
pub fn callback_url(
    public_url: Option<&Url>,
    listening_at: &str,
    channel: &OpenChannel,
) -> Result<String, String> {
    let base = match public_url {
        Some(url) if url.scheme() == "https" || is_local(channel) => url.as_str(),
        None if is_local(channel) => listening_at,
        Some(url) => {
            return Err(format!(
                "public_url is {url}; platforms deliver to https only: set it to this daemon's https address and start \
                 the daemon again"
            ));
        }
        None => {
            return Err(
                "public_url is missing: set it to the https address at which this daemon is reached from the internet, \
                 and start the daemon again"
                    .to_owned(),
            );
        }
    };
    Ok(format!(
        "{}/webhooks/{}",
        base.trim_end_matches('/'),
        channel.id
    ))
}

/// Whether the platform's address is one of this machine.
fn is_local(channel: &OpenChannel) -> bool {
    let base = Url::parse(channel.api_base()).ok();
    match base.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn http(channel: &OpenChannel) -> Result<PlatformClient, CallError> {
    let client = client().map_err(|error| CallError::retry(error.to_string()))?;
    Ok(PlatformClient::new(client, channel.api_base()))
}

fn refused(code: &str, say: impl Into<String>) -> CallError {
    CallError::Refused {
        code: code.to_owned(),
        say: say.into(),
    }
}

fn cannot(channel: &OpenChannel) -> CallError {
    refused(
        "no-registration",
        format!("{} needs no registration", channel.kind.title),
    )
}

/// What all channels of the app want delivered.
fn wanted(app: &App, channel: &Arc<OpenChannel>) -> Vec<&'static str> {
    let mut events = Vec::new();
    for sibling in app.channels.of_app(channel) {
        for event in sibling
            .channel
            .register()
            .map(|one| one.wants())
            .unwrap_or_default()
        {
            if !events.contains(&event) {
                events.push(event);
            }
        }
    }
    events
}

/// Tells a channel's platform where to deliver, with all that the channels of its app want, and reads back what it has.
///
/// # Errors
/// Where it cannot be registered, in words that say what to do.
pub async fn tell(app: &App, channel: &Arc<OpenChannel>) -> Result<Vec<Finding>, CallError> {
    let register = channel.channel.register().ok_or_else(|| cannot(channel))?;
    let callback = callback_url(app.config.public_url.as_ref(), &app.public_url(), channel)
        .map_err(|say| refused("public-url", say))?;
    let (http, events) = (http(channel)?, wanted(app, channel));
    register.register(&http, &callback, &events).await?;
    register.registered(&http, &callback, &events).await
}

/// Reads back what a channel's platform has.
///
/// # Errors
/// As [`tell`].
pub async fn read_back(app: &App, channel: &Arc<OpenChannel>) -> Result<Vec<Finding>, CallError> {
    let register = channel.channel.register().ok_or_else(|| cannot(channel))?;
    let callback = callback_url(app.config.public_url.as_ref(), &app.public_url(), channel)
        .map_err(|say| refused("public-url", say))?;
    let events = wanted(app, channel);
    register
        .registered(&http(channel)?, &callback, &events)
        .await
}

/// Registers a channel with all that the channels of its app want, and reads back what the platform has now.
///
/// # Errors
/// Where it cannot be registered, in words that say what to do.
pub async fn register(app: &App, channel: &Arc<OpenChannel>) -> Result<Vec<Finding>, CallError> {
    let register = channel.channel.register().ok_or_else(|| cannot(channel))?;
    let callback = callback_url(app.config.public_url.as_ref(), &app.public_url(), channel)
        .map_err(|say| refused("public-url", say))?;
    let (http, events) = (http(channel)?, wanted(app, channel));
    let address = reaches_itself(&callback).await;
    if let Err(error) = register.register(&http, &callback, &events).await {
        return Err(match error {
            // Why the platform could not call us is likely what we saw ourselves.
            CallError::Refused { code, say } if address.standing != Standing::Fine => {
                let say = format!("{say}; {}", address.say);
                CallError::Refused { code, say }
            }
            other => other,
        });
    }
    tracing::info!(channel = %channel.id, "registered to deliver to {callback}");
    let mut findings = vec![address];
    findings.extend(register.registered(&http, &callback, &events).await?);
    Ok(findings)
}

/// Undoes it. What other channels of the app need stays.
///
/// # Errors
/// Where the platform does not take it, in words that say what to do.
pub async fn unregister(app: &App, channel: &Arc<OpenChannel>) -> Result<(), CallError> {
    let register = channel.channel.register().ok_or_else(|| cannot(channel))?;
    let is_shared = app.channels.of_app(channel).len() > 1;
    register.unregister(&http(channel)?, is_shared).await?;
    tracing::info!(channel = %channel.id, "registered no longer");
    Ok(())
}

/// Reads back what the platform has. It never fails: what cannot be read is a finding, and nothing is said where the
/// platform is only not there now.
pub async fn look(app: &App, channel: &Arc<OpenChannel>) -> Vec<Finding> {
    let events = wanted(app, channel);
    let callback = callback_url(app.config.public_url.as_ref(), &app.public_url(), channel);
    compare(channel, callback, &events).await
}

/// The same for a channel by itself, where no daemon runs.
pub async fn compare(
    channel: &OpenChannel,
    callback: Result<String, String>,
    events: &[&'static str],
) -> Vec<Finding> {
    let Some(register) = channel.channel.register() else {
        return Vec::new();
    };
    let doubtful = |say| {
        vec![Finding {
            what: "callback",
            standing: Standing::Doubtful,
            say,
        }]
    };
    let callback = match callback {
        Ok(callback) => callback,
        Err(say) => return doubtful(say),
    };
    let found = match http(channel) {
        Ok(http) => register.registered(&http, &callback, events).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(findings) => findings,
        Err(CallError::Retry { .. }) => Vec::new(),
        Err(CallError::Refused { say, .. } | CallError::Credentials { say }) => doubtful(say),
    }
}

/// Whether this daemon reaches itself at its public address. From inside of some networks that does not work though the
/// platform can, so that it is no reason to give up.
async fn reaches_itself(callback: &str) -> Finding {
    let mut address = callback.to_owned();
    address.truncate(callback.rfind("/webhooks/").unwrap_or(callback.len()));
    let finding = |standing, say| Finding {
        what: "address",
        standing,
        say,
    };
    let answered = async {
        let answer = client()?.get(format!("{address}/healthz")).send().await?;
        let is_ok = answer.status().is_success();
        Ok::<bool, reqwest::Error>(is_ok && answer.text().await?.trim() == "ok")
    };
    match answered.await {
        Ok(true) => finding(
            Standing::Fine,
            format!("this daemon is reached at {address}"),
        ),
        Ok(false) => finding(
            Standing::Doubtful,
            format!(
                "what answers at {address} is not this daemon: see where public_url and the proxy lead"
            ),
        ),
        Err(_) => finding(
            Standing::Doubtful,
            format!(
                "this daemon does not reach itself at {address}; where your own network is the reason that is no harm, \
                 else see public_url, its certificate and the proxy"
            ),
        ),
    }
}
