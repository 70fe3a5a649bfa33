//! Asks ClamAV's daemon whether a file holds a virus, before the file is kept (M13). What is looked for and how deep, in
//! archives and mails, is clamd's; ours is that nothing is kept of which clamd did not say that it is clean.
//!
//! Without `[attachments] clamd` nothing is checked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::ClamdAddress;

mod clamd;

use clamd::Verdict;

/// How many files are checked at once; clamd itself has ten threads unless it is told otherwise.
const AT_ONCE: usize = 8;
/// Of how many files that were refused is remembered what was found in them.
const REMEMBERED: usize = 1000;

/// How long clamd is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it takes the connection.
    pub connect: Duration,
    /// Until it takes the next stretch of a file.
    pub stretch: Duration,
    /// Until it answers, once it has the whole file. clamd itself gives a file up after two minutes (`MaxScanTime`).
    pub answer: Duration,
}

impl Patience {
    /// What serves in ordinary times.
    pub const ORDINARY: Self = Self {
        connect: Duration::from_secs(5),
        stretch: Duration::from_secs(30),
        answer: Duration::from_secs(150),
    };
}

/// Why a file is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// There is a virus in it, by the name that clamd gives it.
    Virus(String),
    /// It is larger than clamd takes (`StreamMaxLength` of its configuration).
    TooLarge,
    /// It could not be checked, for this reason; that may pass.
    NotChecked(String),
}

impl std::fmt::Display for Objection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Virus(name) => write!(f, "a virus was found in it: {name}"),
            Self::TooLarge => f.write_str(
                "it is larger than the virus check takes (StreamMaxLength in clamd's configuration)",
            ),
            Self::NotChecked(why) => write!(f, "it could not be checked for viruses: {why}"),
        }
    }
}

impl std::error::Error for Objection {}

/// Checks files; cheap to clone.
#[derive(Clone, Debug)]
pub struct VirusCheck {
    clamd: Option<Arc<Clamd>>,
}

#[derive(Debug)]
struct Clamd {
    address: ClamdAddress,
    patience: Patience,
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What was wrong with clamd itself when it was last asked.
    trouble: Option<String>,
    /// The content of files that were refused lately, and what was found in them.
    refused: VecDeque<(String, String)>,
}

impl VirusCheck {
    /// Asks the clamd at `address`; without one nothing is checked.
    #[must_use]
    pub fn new(address: Option<&ClamdAddress>) -> Self {
        Self::with(address, Patience::ORDINARY)
    }

    /// The same with other waits.
    #[must_use]
    pub fn with(address: Option<&ClamdAddress>, patience: Patience) -> Self {
        let clamd = address.map(|address| {
            Arc::new(Clamd {
                address: address.clone(),
                patience,
                places: Semaphore::new(AT_ONCE),
                state: Mutex::default(),
            })
        });
        Self { clamd }
    }

    /// Whether files are checked at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.clamd.is_some()
    }

    /// Lets clamd look through a file. Nothing may be kept that is objected to.
    ///
    /// # Errors
    /// What speaks against keeping it.
    pub async fn check(&self, file: impl AsyncRead + Unpin + Send) -> Result<(), Objection> {
        let Some(clamd) = &self.clamd else {
            return Ok(());
        };
        // The semaphore is never closed.
        let _place = clamd.places.acquire().await;
        let verdict = match clamd.connect().await {
            Ok(stream) => clamd::scan(stream, file, clamd.patience).await,
            Err(why) => Err(why),
        };
        let (checked, outcome) = match verdict {
            Ok(Verdict::Clean) => (Ok(()), "clean"),
            Ok(Verdict::Virus(name)) => (Err(Objection::Virus(name)), "virus"),
            Ok(Verdict::TooLarge) => (Err(Objection::TooLarge), "too_large"),
            Err(why) => (Err(Objection::NotChecked(why)), "not_checked"),
        };
        metrics::counter!("deskbell_virus_checks_total", "outcome" => outcome).increment(1);
        clamd.note(match &checked {
            Err(Objection::NotChecked(why)) => Some(why),
            _ => None,
        });
        checked
    }

    /// Asks clamd whether it is there, so that nothing is fetched in vain. Without a check there is nothing to ask.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn ask(&self) -> Result<(), String> {
        let Some(clamd) = &self.clamd else {
            return Ok(());
        };
        let asked = match clamd.connect().await {
            Ok(stream) => clamd::ping(stream, clamd.patience).await,
            Err(why) => Err(why),
        };
        clamd.note(asked.as_ref().err());
        asked
    }

    /// What was wrong with clamd when it was last asked; `None` where it worked, and where nothing is checked.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.clamd.as_ref()?.state().trouble.clone()
    }

    /// Remembers for a while what was found in a file, by the SHA-256 of its content in hex.
    pub fn remember(&self, content: &str, virus: &str) {
        if let Some(clamd) = &self.clamd {
            let refused = &mut clamd.state().refused;
            refused.retain(|(known, _)| known != content);
            refused.push_back((content.to_owned(), virus.to_owned()));
            if refused.len() > REMEMBERED {
                refused.pop_front();
            }
        }
    }

    /// What was found in a file that was refused lately.
    #[must_use]
    pub fn found_in(&self, content: &str) -> Option<String> {
        let state = self.clamd.as_ref()?.state();
        let mut refused = state.refused.iter();
        let found = refused.find(|(known, _)| known == content);
        found.map(|(_, virus)| virus.clone())
    }
}

impl Clamd {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps how clamd does, and tells the operator once when that changes.
    fn note(&self, trouble: Option<&String>) {
        let before = std::mem::replace(&mut self.state().trouble, trouble.cloned());
        match (before, trouble) {
            (None, Some(why)) => tracing::error!(
                clamd = %self.address,
                "files cannot be checked for viruses: {why}; uploads are refused and files of customers wait until clamd works"
            ),
            (Some(_), None) => {
                tracing::info!(clamd = %self.address, "files are checked for viruses again");
            }
            _ => {}
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let address = &self.address;
        let connecting = async {
            Ok::<Box<dyn Stream>, std::io::Error>(match address {
                ClamdAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
                ClamdAddress::Tcp(host, port) => {
                    Box::new(TcpStream::connect((host.as_str(), *port)).await?)
                }
            })
        };
        match timeout(self.patience.connect, connecting).await {
            Ok(connected) => {
                connected.map_err(|error| format!("clamd cannot be reached at {address}: {error}"))
            }
            Err(_) => Err(format!(
                "clamd at {address} does not take the connection in time"
            )),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
