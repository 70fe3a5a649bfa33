//! TLS by two files, taken up anew when they change.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// More than any chain of certificates needs.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's own certificate first, then those between it and the root.
    pub certificate: PathBuf,
    /// PEM: the key of the first certificate, unencrypted (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why TLS cannot be served with these files. Names the file; never shows a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS {what} {}: {source}; check [tls] and the file's permissions", path.display())]
    Unreadable {
        /// Which of the two.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("the TLS {what} {} {problem}", path.display())]
    Malformed {
        /// Which of the two.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Each file is sound, but they do not belong together.
    #[error("the TLS key {} is not the key of the first certificate in {}: give the key it was issued for, and put the server's own certificate first", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// rustls does not take them.
    #[error("cannot serve TLS with the certificate {} and the key {}: {source}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// Reads both files and proves that they can be served.
///
/// # Errors
/// When a file cannot be read, is not PEM of the right kind, or the key is another certificate's.
pub fn check_tls(files: &TlsFiles) -> Result<(), TlsError> {
    load(files).map(|_loaded| ())
}

/// A hash of both files as they were read, to see a change by.
type Fingerprint = [u8; 32];

struct FilesRead {
    certificate: Vec<u8>,
    key: Vec<u8>,
    fingerprint: Fingerprint,
}

/// The configuration for new connections; the files' newest good state.
#[derive(Debug)]
pub(super) struct ReloadedTls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    seen: Fingerprint,
}

impl ReloadedTls {
    /// Loads the files for the first time.
    pub(super) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let (config, seen) = load(&files)?;
        Ok(Self {
            files,
            current: RwLock::new(config),
            seen,
        })
    }

    /// What the next connection is to be served with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files every `interval`, for ever. What is broken is reported once and changes
    /// nothing: the last good certificate goes on being served.
    pub(super) async fn follow(&self, interval: Duration) {
        let mut seen = Some(self.seen);
        let mut reported = String::new();
        loop {
            tokio::time::sleep(interval).await;
            let files = self.files.clone();
            let looked = tokio::task::spawn_blocking(move || look(&files, seen)).await;
            match looked {
                Ok(Ok(None)) => {}
                Ok(Ok(Some((config, fingerprint)))) => {
                    seen = Some(fingerprint);
                    reported.clear();
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
                    tracing::info!(
                        certificate = %self.files.certificate.display(),
                        "the TLS certificate has changed and is now served",
                    );
                }
                Ok(Err(error)) => {
                    // Until the files are mended they count as changed.
                    seen = None;
                    let sentence = error.to_string();
                    if sentence != reported {
                        tracing::warn!("{sentence}; the certificate loaded before is still served");
                        reported = sentence;
                    }
                }
                Err(stopped) => tracing::warn!("could not look at the TLS files: {stopped}"),
            }
        }
    }
}

type Loaded = (Arc<ServerConfig>, Fingerprint);

/// What the files hold now, where that is not what was seen last.
fn look(files: &TlsFiles, seen: Option<Fingerprint>) -> Result<Option<Loaded>, TlsError> {
    let read = read_files(files)?;
    if seen == Some(read.fingerprint) {
        return Ok(None);
    }
    configure(files, read).map(Some)
}

fn load(files: &TlsFiles) -> Result<Loaded, TlsError> {
    configure(files, read_files(files)?)
}

fn read_files(files: &TlsFiles) -> Result<FilesRead, TlsError> {
    let certificate = read_file("certificate", &files.certificate)?;
    let key = read_file("key", &files.key)?;
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(&certificate));
    hash.update(Sha256::digest(&key));
    Ok(FilesRead {
        certificate,
        key,
        fingerprint: hash.finalize().into(),
    })
}

fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(malformed(what, path, "is larger than 1 MiB: is it PEM?"));
    }
    Ok(bytes)
}

fn configure(files: &TlsFiles, read: FilesRead) -> Result<Loaded, TlsError> {
    let chain = read_chain(&files.certificate, &read.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read.key)
        .map_err(|error| malformed("key", &files.key, key_problem(&error, &read.key)))?;
    let unusable = |source| match source {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        },
        source => TlsError::Unusable {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        },
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), read.fingerprint))
}

fn read_chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed("certificate", path, pem_problem(&error)))?;
    if chain.is_empty() {
        let problem = "holds no certificate: it should begin with -----BEGIN CERTIFICATE-----";
        return Err(malformed("certificate", path, problem));
    }
    Ok(chain)
}

fn malformed(what: &'static str, path: &Path, problem: &str) -> TlsError {
    TlsError::Malformed {
        what,
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

/// Said in our words, as the parser's own may quote the file.
fn pem_problem(error: &PemError) -> &'static str {
    match error {
        PemError::MissingSectionEnd { .. } => "is cut short: an -----END …----- line is missing",
        PemError::IllegalSectionStart { .. } => "has a broken -----BEGIN …----- line",
        PemError::Base64Decode(_) => "is damaged: its base64 cannot be read",
        _ => "is not PEM",
    }
}

fn key_problem(error: &PemError, pem: &[u8]) -> &'static str {
    let encrypted = pem.windows(9).any(|part| part == b"ENCRYPTED");
    match error {
        PemError::NoItemsFound if encrypted => {
            "is encrypted, and nobody is there to type its password: store it unencrypted, readable by Deskbell only"
        }
        PemError::NoItemsFound => {
            "holds no private key: it should begin with -----BEGIN PRIVATE KEY-----"
        }
        error => pem_problem(error),
    }
}
