//! Telling platforms where to deliver.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskbell_sdk::client::CallError;
use deskbell_sdk::health::{Finding, Standing};
use url::Url;

use crate::app::{App, Daemon};
use crate::channels::OpenChannel;
use crate::http_client::{PlatformClient, client};
use crate::store::record::ChannelNo;
use crate::watch;

/// How often a channel that registers by itself looks whether it was replaced.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often it is looked whether one is due.
const TICK: Duration = Duration::from_secs(2);
/// The first wait after a registration that did not work; each further one is twice as long, up to [`LOOK_EVERY`].
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Makes the platform of a channel deliver to this daemon, and reads back what it has registered: a finding for each
/// thing that could differ. Channels of one app are registered together, with all that any of them wants.
///
/// # Errors
/// Where the channel cannot register, this daemon has no address that a platform can reach, or the platform refuses.
pub async fn register(app: &App, channel: &Arc<OpenChannel>) -> Result<Vec<Finding>, CallError> {
    let register = ability(channel)?;
    let (address, events, http) = call(app, channel)?;
    register.register(&http, &address, &events).await?;
    look(app, channel).await
}

/// Reads back what is registered at the platform of a channel and compares.
///
/// # Errors
/// As [`register`].
pub async fn look(app: &App, channel: &Arc<OpenChannel>) -> Result<Vec<Finding>, CallError> {
    let register = ability(channel)?;
    let (address, events, http) = call(app, channel)?;
    let findings = register.registered(&http, &address, &events).await?;
    watch::found(app, channel, "registration", findings.clone()).await;
    Ok(findings)
}

/// Makes the platform of a channel deliver here no longer; where other channels of its app are open, they go on.
///
/// # Errors
/// Where the channel cannot register, or the platform refuses.
pub async fn unregister(app: &App, channel: &Arc<OpenChannel>) -> Result<(), CallError> {
    let register = ability(channel)?;
    let app_is_shared = app.channels.of_app(channel).len() > 1;
    let client = client().map_err(|error| CallError::retry(error.to_string()))?;
    let http = PlatformClient::new(client, channel.api_base());
    register.unregister(&http, app_is_shared).await
}

fn ability(channel: &OpenChannel) -> Result<&dyn deskbell_sdk::register::Register, CallError> {
    channel
        .channel
        .register()
        .ok_or_else(|| CallError::Refused {
            code: "nothing_to_register".to_owned(),
            say: format!(
                "{} does not deliver to an address, so there is nothing to register",
                channel.kind.title
            ),
        })
}

/// What a call needs: where to deliver, what, and the client.
fn call(
    app: &App,
    channel: &Arc<OpenChannel>,
) -> Result<(String, Vec<&'static str>, PlatformClient), CallError> {
    let address = callback_url(app, channel)?;
    let events: BTreeSet<&'static str> = app
        .channels
        .of_app(channel)
        .iter()
        .filter_map(|sibling| sibling.channel.register())
        .flat_map(|register| register.wants())
        .collect();
    let client = client().map_err(|error| CallError::retry(error.to_string()))?;
    let http = PlatformClient::new(client, channel.api_base());
    Ok((address, events.into_iter().collect(), http))
}

/// Where the platform reaches the channel's webhook. Platforms deliver to HTTPS only; a stand-in on this machine may
/// call back without.
fn callback_url(app: &Daemon, channel: &OpenChannel) -> Result<String, CallError> {
    let refused = |say: String| {
        Err(CallError::Refused {
            code: "public_url".to_owned(),
            say,
        })
    };
    let told = app.config.public_url.as_ref();
    if !is_on_this_machine(channel.api_base()) {
        let title = channel.kind.title;
        match told {
            None => {
                return refused(format!(
                    "public_url is missing, so {title} cannot be told where to deliver: set it to the https address at \
                     which this daemon is reached from outside"
                ));
            }
            Some(url) if url.scheme() != "https" => {
                return refused(format!(
                    "public_url is no https address, and {title} delivers to nothing else: put a proxy with TLS before \
                     the daemon, or set [tls], and write https:// in public_url"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(format!("{}/webhooks/{}", app.public_url(), channel.id))
}

fn is_on_this_machine(address: &str) -> bool {
    let host = Url::parse(address).ok();
    match host.as_ref().and_then(Url::host) {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// When a channel is looked at next.
struct Turn {
    channel: Arc<OpenChannel>,
    due: Instant,
    registered: bool,
    failures: u32,
}

/// Registers the channels that do so by themselves: at the start, and again when a later look finds one replaced.
pub async fn by_itself(app: App) {
    let mut turns: HashMap<ChannelNo, Turn> = HashMap::new();
    loop {
        let open = app.channels.open();
        // One that was changed since is another: it registers anew.
        turns.retain(|_, turn| {
            open.iter()
                .any(|channel| Arc::ptr_eq(channel, &turn.channel))
        });
        for channel in &open {
            let by_itself = channel.channel.register();
            if !by_itself.is_some_and(deskbell_sdk::register::Register::by_itself) {
                continue;
            }
            let turn = turns.entry(channel.no).or_insert_with(|| Turn {
                channel: Arc::clone(channel),
                due: Instant::now(),
                registered: false,
                failures: 0,
            });
            if turn.due <= Instant::now() {
                take_turn(&app, channel, turn).await;
            }
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

async fn take_turn(app: &App, channel: &Arc<OpenChannel>, turn: &mut Turn) {
    let found = if turn.registered {
        match look(app, channel).await {
            Ok(findings) if is_fine(&findings) => Ok(findings),
            Ok(_) => {
                tracing::warn!(channel = %channel.id, "the channel's registration was replaced; it registers again");
                register(app, channel).await
            }
            Err(error) => Err(error),
        }
    } else {
        register(app, channel).await
    };
    let wait = match found {
        Ok(findings) if is_fine(&findings) => {
            if !turn.registered {
                tracing::info!(channel = %channel.id, "the platform delivers to this daemon");
            }
            (turn.registered, turn.failures) = (true, 0);
            LOOK_EVERY
        }
        Ok(_) => turn.failed(),
        Err(CallError::Credentials { say }) => {
            watch::credentials_broken(app, channel, &say).await;
            turn.failed()
        }
        Err(CallError::Retry { after, say }) => {
            tell(app, channel, Standing::Doubtful, &say).await;
            turn.failed().max(after.unwrap_or_default())
        }
        Err(CallError::Refused { say, .. }) => {
            tell(app, channel, Standing::Broken, &say).await;
            turn.failed()
        }
    };
    turn.due = Instant::now() + wait;
}

impl Turn {
    fn failed(&mut self) -> Duration {
        self.registered = false;
        self.failures = self.failures.saturating_add(1);
        FIRST_WAIT
            .saturating_mul(1 << (self.failures - 1).min(10))
            .min(LOOK_EVERY)
    }
}

async fn tell(app: &App, channel: &Arc<OpenChannel>, standing: Standing, say: &str) {
    let finding = Finding {
        what: "registration",
        standing,
        say: say.to_owned(),
    };
    watch::found(app, channel, "registration", vec![finding]).await;
}

fn is_fine(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.standing == Standing::Fine)
}

#[cfg(test)]
mod tests {
    use super::is_on_this_machine;

    #[test]
    fn only_a_stand_in_on_this_machine_is_called_without_https() {
        for address in [
            "http://127.0.0.1:8081",
            "http://127.8.0.1",
            "http://[::1]:5",
            "http://localhost:9",
        ] {
            assert!(is_on_this_machine(address), "{address}");
        }
        for address in [
            "https://api.telegram.org",
            "http://10.0.0.1",
            "http://localhost.example",
            "http://0.0.0.0",
            "",
        ] {
            assert!(!is_on_this_machine(address), "{address}");
        }
    }
}
