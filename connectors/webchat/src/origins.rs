//! What may stand in `allowed_origins`.

use std::fmt;

use url::Url;

/// An origin that would never match, or would match too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAnOrigin {
    given: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Wildcard,
    Null,
    NotAnAddress,
    Scheme,
    MoreThanAnOrigin,
    WrittenOtherwise(String),
}

impl fmt::Display for NotAnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" ", self.given.escape_debug())?;
        match &self.why {
            Why::Wildcard => f.write_str(
                "has a *, which would let other people's websites in; list each website by itself",
            ),
            Why::Null => f.write_str(
                "is the origin of sandboxed pages and local files, which anybody can make; leave it out",
            ),
            Why::NotAnAddress => {
                f.write_str("is not the address of a website; write it as https://shop.example")
            }
            Why::Scheme => f.write_str("must begin with https:// or http://"),
            Why::MoreThanAnOrigin => f.write_str(
                "has a user, path, query or fragment; write only https://shop.example or https://shop.example:8443",
            ),
            Why::WrittenOtherwise(expected) => {
                write!(f, "is sent by browsers as \"{expected}\"; write it like that")
            }
        }
    }
}

/// Accepts an origin exactly as browsers send it: scheme, host in lower-case ASCII, and the port where it is not the
/// scheme's own. Everything else is refused with what to write instead, so that the daemon can compare byte by byte
/// (V03).
pub(crate) fn check(origin: &str) -> Result<(), NotAnOrigin> {
    let refused = |why| {
        Err(NotAnOrigin {
            given: origin.to_owned(),
            why,
        })
    };
    if origin.contains('*') {
        return refused(Why::Wildcard);
    }
    if origin.trim().eq_ignore_ascii_case("null") {
        return refused(Why::Null);
    }
    let Ok(url) = Url::parse(origin) else {
        return refused(Why::NotAnAddress);
    };
    if !matches!(url.scheme(), "https" | "http") {
        return refused(Why::Scheme);
    }
    let only_an_origin = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !only_an_origin {
        return refused(Why::MoreThanAnOrigin);
    }
    let sent_by_browsers = url.origin().ascii_serialization();
    if sent_by_browsers != origin {
        return refused(Why::WrittenOtherwise(sent_by_browsers));
    }
    Ok(())
}
