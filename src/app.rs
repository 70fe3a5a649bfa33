//! What the parts of a running daemon share.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::blobs::Blobs;
use crate::channels::Channels;
use crate::clock::Clock;
use crate::config::Config;
use crate::duty::Duty;
use crate::held::Held;
use crate::inbox::Inbox;
use crate::live::Live;
use crate::mail::Mailer;
use crate::oidc::Oidc;
use crate::presence::Presence;
use crate::provision::Provisioner;
use crate::push::Push;
use crate::search::Search;
use crate::store::Store;
use crate::view::View;
use crate::virus_check::VirusCheck;
use crate::writer::Writer;

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// Its configuration.
    pub config: Config,
    /// Its clock.
    pub clock: Clock,
    /// What it reads.
    pub store: StoreHandle,
    /// What it writes through.
    pub writer: Writer,
    /// Its channels.
    pub channels: Channels,
    /// What channels are made with.
    pub provisioner: Provisioner,
    /// Who gets in.
    pub access: Access,
    /// Sign-ins that failed.
    pub failures: crate::api::failures::Failures,
    /// Who else may say who somebody is.
    pub oidc: Option<Oidc>,
    /// What carries invitations.
    pub mailer: Option<Mailer>,
    /// What reaches browsers.
    pub push: Push,
    /// The bytes of attachments.
    pub blobs: Blobs,
    /// Who checks files for viruses before they are kept.
    pub virus_check: VirusCheck,
    /// The live stream.
    pub live: Live,
    /// Who is at which conversation.
    pub presence: Presence,
    /// Who works when.
    pub duty: Duty,
    /// The search.
    pub search: Search,
    /// What is not resolved, in memory.
    pub inbox: Inbox,
    /// The limits of the website chat.
    pub chat_limits: crate::api::chat::limits::ChatLimits,
    /// What is still to be done.
    pub lanes: crate::work::Lanes,
    /// Makes and reads cursors.
    pub cursors: crate::api::cursor::Cursors,
    /// Who is told what happens.
    pub hooks: crate::hooks::Hooks,
    /// Whether anything may go out.
    pub held: Held,
    /// Somebody is to be erased.
    pub erasures: Notify,
    /// The figures.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// The daemon stops: streams end, no new work begins.
    pub stopping: CancellationToken,
}

/// The daemon as handlers hold it.
pub type App = Arc<Daemon>;

/// The store, with a `Debug` that shows none of it.
#[derive(Clone)]
pub struct StoreHandle(pub Arc<dyn Store>);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl std::ops::Deref for StoreHandle {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Daemon {
    /// Shows records as of now.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View {
            channels: &self.channels,
            now: self.clock.now(),
        }
    }

    /// Whether people reach this daemon by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        match &self.config.public_url {
            Some(url) => url.scheme() == "https",
            None => self.config.tls.is_some(),
        }
    }

    /// Where people and platforms reach this daemon, without a slash at its end.
    #[must_use]
    pub fn public_url(&self) -> String {
        match &self.config.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None if self.config.tls.is_some() => format!("https://{}", self.config.listen),
            None => format!("http://{}", self.config.listen),
        }
    }
}
