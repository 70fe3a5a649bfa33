//! Files of customers' that lie elsewhere, fetched into the desk's own: for attachments and for pictures of people.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use deskbell_sdk::Source;
use deskbell_sdk::client::CallError;
use deskbell_sdk::media::{Located, Wanted};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::blobs::{Blobs, Incoming, Kept};
use crate::channels::OpenChannel;
use crate::http_client::{FetchError, Fetcher, Hosts, PlatformClient, Wish};
use crate::virus_check::{Objection, VirusCheck};

/// How many pieces of a file wait for the disk.
const PIECES: usize = 8;
/// How long a file waits that is larger than clamd takes: the operator may let it take more.
const TOO_LARGE_WAIT: Duration = Duration::from_secs(60 * 60);

/// Fetches files; cheap to clone.
#[derive(Clone, Debug)]
pub struct Downloads {
    fetcher: Arc<Fetcher>,
    blobs: Blobs,
    virus_check: VirusCheck,
}

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub file: Kept,
    /// The name that its host gave it.
    pub name: Option<String>,
}

/// A piece on its way to the disk.
enum Piece {
    Bytes(Bytes),
    /// There are no more: the file is whole.
    End,
}

impl Downloads {
    /// Fetches with `fetcher` into `blobs` what `virus_check` has nothing against.
    #[must_use]
    pub fn new(fetcher: Fetcher, blobs: Blobs, virus_check: VirusCheck) -> Self {
        Self {
            fetcher: Arc::new(fetcher),
            blobs,
            virus_check,
        }
    }

    /// Whether what is fetched can be checked, so that nothing is fetched in vain.
    ///
    /// # Errors
    /// Why not; that may pass.
    pub async fn can_check(&self) -> Result<(), String> {
        self.virus_check.ask().await
    }

    /// The client with which a channel's platform is asked.
    #[must_use]
    pub fn platform(&self, channel: &OpenChannel) -> PlatformClient {
        self.fetcher.platform(base(channel))
    }

    /// Where the bytes of an attachment or picture are now. Connectors that cannot be asked leave the address as it is.
    pub async fn locate(
        &self,
        channel: &OpenChannel,
        wanted: Wanted<'_>,
    ) -> Result<Located, CallError> {
        if let Some(media) = channel.channel.media() {
            return media.locate(&self.platform(channel), wanted).await;
        }
        match wanted.source {
            Source::Url(url) if !wanted.expired => Ok(Located {
                url: deskbell_sdk::Secret::new(url.as_str()),
                authorization: None,
            }),
            Source::Url(_) => Err(CallError::Refused {
                code: "expired".to_owned(),
                say: "the link no longer works, and this platform gives no other".to_owned(),
            }),
            _ => Err(CallError::Refused {
                code: "unreachable".to_owned(),
                say: "the platform does not give these bytes".to_owned(),
            }),
        }
    }

    /// Fetches a file of at most `most_bytes` and keeps it durably, once it was checked for viruses.
    pub async fn fetch(
        &self,
        channel: &OpenChannel,
        located: &Located,
        most_bytes: u64,
    ) -> Result<Fetched, FetchError> {
        let hosts = hosts(channel);
        let wish = Wish {
            url: &located.url,
            authorization: located.authorization.as_ref(),
            hosts: &hosts,
            most_bytes,
        };
        let mut download = self.fetcher.begin(wish).await?;
        let name = download.name.take();
        let (pieces, incoming) = mpsc::channel(PIECES);
        let blobs = self.blobs.clone();
        let keeping = spawn_blocking(move || take(blobs.begin()?, incoming));
        let mut fetched = Ok(());
        loop {
            let piece = match download.chunk().await {
                Ok(Some(bytes)) => Piece::Bytes(bytes),
                Ok(None) => Piece::End,
                Err(error) => {
                    fetched = Err(error);
                    break;
                }
            };
            let is_end = matches!(piece, Piece::End);
            // Where nobody takes it any more the disk has failed, which is told below.
            if pieces.send(piece).await.is_err() || is_end {
                break;
            }
        }
        drop(pieces);
        let taken = keeping.await.map_err(panicked)?;
        fetched?;
        let incoming = taken.map_err(|error| not_kept(&error))?;
        if incoming.size() == 0 {
            return Err(FetchError::failed("nothing came"));
        }
        if self.virus_check.is_on() {
            let file = incoming.reader().map_err(|error| not_kept(&error))?;
            let checked = self.virus_check.check(tokio::fs::File::from_std(file));
            checked.await.map_err(objected)?;
        }
        let finishing = spawn_blocking(move || incoming.finish());
        let file = finishing.await.map_err(panicked)?;
        let file = file.map_err(|error| not_kept(&error))?;
        Ok(Fetched { file, name })
    }
}

/// Writes pieces until the end; without one, the file is dropped.
fn take(mut file: Incoming, mut pieces: mpsc::Receiver<Piece>) -> io::Result<Incoming> {
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Bytes(bytes)) => file.write(&bytes)?,
            Some(Piece::End) => return Ok(file),
            None => return Err(io::Error::other("it broke off")),
        }
    }
}

fn panicked(_: tokio::task::JoinError) -> FetchError {
    FetchError::failed("keeping the file panicked")
}

fn not_kept(error: &io::Error) -> FetchError {
    tracing::error!(%error, "a file that was fetched cannot be kept");
    FetchError::failed("the file cannot be kept on this disk")
}

/// A file with a virus is never fetched again; one that could not be checked is.
fn objected(objection: Objection) -> FetchError {
    let say = objection.to_string();
    match objection {
        Objection::Virus(_) => FetchError::Refused(say),
        Objection::TooLarge => FetchError::Failed {
            say,
            after: Some(TOO_LARGE_WAIT),
        },
        Objection::NotChecked(_) => FetchError::failed(say),
    }
}

fn base(channel: &OpenChannel) -> &str {
    channel
        .settings
        .api_base()
        .or(channel.kind.api_base)
        .unwrap_or_default()
}

/// Whose addresses a channel's files may be fetched from.
fn hosts(channel: &OpenChannel) -> Hosts {
    let domains = channel
        .channel
        .media()
        .and_then(deskbell_sdk::media::Media::hosts);
    Hosts {
        own: base(channel).parse().ok(),
        domains: domains.map(|domains| domains.iter().map(|&domain| domain.to_owned()).collect()),
    }
}
