//! Whether what was acknowledged is there: each message once, the newest first.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::daemon::Daemon;

/// The number that a message of the deliveries begins with.
fn number_of(item: &Value) -> Option<usize> {
    let text = item["text"].as_str()?;
    text.strip_prefix('#')?.split(' ').next()?.parse().ok()
}

/// Reads the whole feed and says what is wrong with it, where anything is: messages 1 to `acknowledged` have to be
/// there, each once.
pub(crate) fn check(daemon: &Daemon, acknowledged: usize) -> Result<()> {
    let mut http = daemon.http()?;
    let mut seen = vec![0_u8; acknowledged + 1];
    let mut cursor = String::new();
    let mut last: Option<String> = None;
    loop {
        let page = http.json(&format!("/api/v1/feed?limit=200{cursor}"))?;
        let items = page["data"].as_array().context("a page has no data")?;
        for item in items {
            let number = number_of(item).context("a message in the feed is none of ours")?;
            let slot = seen
                .get_mut(number)
                .context("the feed has a message that was not sent")?;
            *slot += 1;
            // Ids are in the order of arrival, also as text.
            let id = item["id"].as_str().context("a message has no id")?;
            if last.as_deref().is_some_and(|last| last <= id) {
                bail!("the feed is not in the order of arrival at #{number}");
            }
            last = Some(id.to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let lost = seen[1..].iter().filter(|times| **times == 0).count();
    let doubled = seen[1..].iter().filter(|times| **times > 1).count();
    if lost > 0 || doubled > 0 {
        bail!(
            "of {acknowledged} acknowledged messages {lost} are missing and {doubled} are there more than once"
        );
    }
    Ok(())
}
