//! Channels that register by themselves: at the start, and again when a later look finds one replaced.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deskbell_sdk::client::CallError;
use deskbell_sdk::health::{Finding, Standing};

use crate::app::App;
use crate::channels::OpenChannel;
use crate::store::record::ChannelNo;
use crate::{registration, watch};

/// How often a channel that registers by itself looks whether it was replaced.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often it is looked whether one is due.
const TICK: Duration = Duration::from_secs(2);
/// The first wait after a registration that did not work; each further one is twice as long, up to [`LOOK_EVERY`].
const FIRST_WAIT: Duration = Duration::from_secs(5);

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
        match registration::read_back(app, channel).await {
            Ok(findings) if is_fine(&findings) => Ok(findings),
            Ok(_) => {
                tracing::warn!(channel = %channel.id, "the channel's registration was replaced; it registers again");
                registration::tell(app, channel).await
            }
            Err(error) => Err(error),
        }
    } else {
        registration::tell(app, channel).await
    };
    if let Ok(findings) = &found {
        watch::found(app, channel, "registration", findings.clone()).await;
    }
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
