//! The desk's web interface, compiled in: its files, compressed and named by their content.

use std::borrow::Cow;

use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "$DESKBELL_UI_FOLDER"]
struct Dist;

/// A file of the interface.
#[derive(Clone, Debug)]
pub struct File {
    /// Its bytes.
    pub plain: Cow<'static, [u8]>,
    /// The same compressed with Brotli, where that is shorter.
    pub brotli: Option<Cow<'static, [u8]>>,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
    /// Its media type.
    pub content_type: &'static str,
    /// Whether its name has a hash of its content in it, so that it never changes under this name.
    pub immutable: bool,
}

/// The file at this path, without a slash at its begin; `None` where there is none.
#[must_use]
pub fn file(path: &str) -> Option<File> {
    let content_type = content_type(path)?;
    let EmbeddedFile { data, metadata } = Dist::get(path)?;
    Some(File {
        plain: data,
        brotli: Dist::get(&format!("{path}.br")).map(|file| file.data),
        hash: metadata.sha256_hash(),
        content_type,
        immutable: path.starts_with("ui/"),
    })
}

/// The paths of all files that [`file`] gives.
pub fn paths() -> impl Iterator<Item = Cow<'static, str>> {
    Dist::iter().filter(|path| content_type(path).is_some())
}

/// The media type by a file's ending; `None` for what is never served, as the compressed copies.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_there_and_what_is_not_served_is_not() {
        let page = file("index.html").expect("always there");
        assert!(page.content_type.starts_with("text/html") && !page.immutable);
        assert!(String::from_utf8_lossy(&page.plain).contains("<title>Deskbell"));
        for nothing in ["", "index.html.br", "../Cargo.toml", "ui/", "none.js"] {
            assert!(file(nothing).is_none(), "{nothing}");
        }
        assert!(paths().any(|path| path == "index.html"));
        assert!(paths().all(|path| file(&path).is_some()));
    }
}
