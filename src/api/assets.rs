//! Text that is compiled in: compressed once, revalidated by its hash.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::{Digest, Sha256};

/// A text with its compressed form.
#[derive(Debug)]
pub struct Asset {
    plain: Bytes,
    brotli: Bytes,
    etag: String,
}

/// The asset of a text of the program.
#[must_use]
pub fn text(text: &'static str) -> Arc<Asset> {
    static ASSETS: LazyLock<Mutex<HashMap<&'static str, Arc<Asset>>>> =
        LazyLock::new(Mutex::default);
    let mut assets = ASSETS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(
        assets
            .entry(text)
            .or_insert_with(|| Arc::new(Asset::of(text))),
    )
}

impl Asset {
    /// Compresses a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut brotli = Vec::new();
        {
            let mut compressor = brotli::CompressorWriter::new(&mut brotli, 4096, 9, 22);
            // Writing into memory cannot fail.
            let _ = compressor.write_all(text.as_bytes());
        }
        Self {
            plain: Bytes::copy_from_slice(text.as_bytes()),
            brotli: brotli.into(),
            etag: format!(
                "\"{}\"",
                &hex::encode(Sha256::digest(text.as_bytes()))[..32]
            ),
        }
    }

    /// The answer to a request for it.
    #[must_use]
    pub fn response(&self, content_type: &'static str, request: &HeaderMap) -> Response {
        let text = |name: header::HeaderName| {
            request
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let known = text(header::IF_NONE_MATCH)
            .split(',')
            .any(|one| one.trim() == self.etag);
        let takes_brotli = text(header::ACCEPT_ENCODING)
            .split(',')
            .any(|one| one.trim().split(';').next() == Some("br"));
        let body = match (known, takes_brotli) {
            (true, _) => Body::empty(),
            (false, true) => Body::from(self.brotli.clone()),
            (false, false) => Body::from(self.plain.clone()),
        };
        let mut response = Response::new(body);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if takes_brotli && !known {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        }
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}
