//! `deskbell check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use deskbell_sdk::health::{Finding, Standing};

use super::{configuration, runtime, say};
use crate::channels::OpenChannel;
use crate::config::{ChannelConfig, Config, Overrides};
use crate::registration::{callback_url, compare};
use crate::registry::KINDS;
use crate::server::{TlsFiles, check_tls};
use crate::store::record::ChannelNo;
use crate::virus_check::VirusCheck;
use crate::watch::{look, look_at_history};

/// Options of `check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration [default: ./deskbell.toml where it exists]
    #[arg(long, env = "DESKBELL_CONFIG")]
    config: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = match configuration(self.config.as_deref(), Overrides::default()) {
            Ok(config) => config,
            Err(code) => return Ok(code),
        };
        for warning in &config.warnings {
            say(&format!("note: {warning}"));
        }
        let tls_works = tls(&config);
        let runtime = runtime()?;
        let virus_check_works = runtime.block_on(virus_check(&config));
        let mut broken = 0;
        for channel in &config.channels {
            let (works, line) = runtime.block_on(one(&config, channel));
            say(&format!("{}: {line}", channel.id));
            broken += usize::from(!works);
        }
        let all_work = broken == 0 && tls_works && virus_check_works;
        say(&match (config.channels.len(), broken) {
            (0, _) => "The configuration is good. It has no channels.".to_owned(),
            (number, 0) => format!("The configuration is good; {number} channel(s) work."),
            (number, broken) => format!("{broken} of {number} channel(s) do not work."),
        });
        Ok(if all_work {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Whether files can be checked for viruses, where they are to be.
async fn virus_check(config: &Config) -> bool {
    let Some(clamd) = &config.attachments.clamd else {
        return true;
    };
    match VirusCheck::new(Some(clamd)).ask().await {
        Ok(()) => {
            say(&format!(
                "[attachments]: clamd at {clamd} checks files for viruses"
            ));
            true
        }
        Err(why) => {
            say(&format!(
                "[attachments]: {why}. Start clamd (`systemctl start clamav-daemon`), let the user that runs deskbell \
                 use its socket, or take `clamd` out: then nothing is checked."
            ));
            false
        }
    }
}

fn tls(config: &Config) -> bool {
    let Some(tls) = &config.tls else { return true };
    let files = TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
    };
    match check_tls(&files) {
        Ok(()) => true,
        Err(error) => {
            say(&format!("[tls]: {error}"));
            false
        }
    }
}

/// Whether a channel works, and a line that says so.
async fn one(config: &Config, channel: &ChannelConfig) -> (bool, String) {
    let Some(kind) = KINDS.iter().find(|kind| kind.id == channel.connector) else {
        return (false, "its connector is unknown".to_owned());
    };
    let opened = match OpenChannel::open(
        ChannelNo(0),
        &channel.id,
        &channel.name,
        *kind,
        channel.settings.clone(),
    ) {
        Ok(opened) => opened,
        Err(problem) => return (false, problem.to_string()),
    };
    if opened.channel.health().is_none() {
        return (
            true,
            "fine (it has no credentials at a platform)".to_owned(),
        );
    }
    let mut findings = look(&opened).await;
    let token_works = findings
        .iter()
        .any(|finding| finding.what == "token" && finding.standing == Standing::Fine);
    // With a token that does not work the other questions would only repeat the first answer.
    if token_works {
        if channel.catch_up {
            findings.extend(look_at_history(&opened).await);
        }
        for finding in registered(config, &opened).await {
            if findings.iter().all(|known| known.what != finding.what) {
                findings.push(finding);
            }
        }
    }
    let works = findings
        .iter()
        .all(|finding| finding.standing == Standing::Fine);
    let notable = findings
        .iter()
        .filter(|finding| works || finding.standing != Standing::Fine);
    let words: Vec<_> = notable.map(|finding| finding.say.as_str()).collect();
    (works, words.join(" "))
}

/// What the platform was told of this daemon. Without `public_url` nobody can say what it should have been told.
async fn registered(config: &Config, channel: &OpenChannel) -> Vec<Finding> {
    let (Some(register), Some(public_url)) = (channel.channel.register(), &config.public_url)
    else {
        return Vec::new();
    };
    let callback = callback_url(Some(public_url), "", channel);
    compare(channel, callback, &register.wants()).await
}
