//! Meta's Graph API as one Page's token sees it: how it is called, and how it says no.

use std::fmt::Write as _;

use bytes::Bytes;
use deskbell_sdk::Secret;
use deskbell_sdk::json::{lenient_i64, mended};
use deskbell_sdk::webhook::hmac_sha256_hex;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use serde::Deserialize;

/// Meta's Graph API as one Page's token sees it.
pub(crate) struct Graph {
    /// The address without a slash at its end.
    pub(crate) base: String,
    pub(crate) version: String,
    pub(crate) app_id: String,
    pub(crate) page_id: String,
    pub(crate) app_secret: Secret,
    pub(crate) page_access_token: Secret,
}

impl Graph {
    /// A question. `query` is what stands before the proof, without `?` and `&` at its ends.
    pub(crate) fn get(&self, path: &str, query: &str) -> Result<Request<Bytes>, String> {
        self.request(Method::GET, path, query, None, Bytes::new())
    }

    /// An order with a body.
    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, String> {
        self.request(Method::POST, path, "", Some(content_type), body)
    }

    /// The token goes in a header, where proxies do not log it; its proof shows that we hold the app's secret, which
    /// apps can be set to demand.
    fn request(
        &self,
        method: Method,
        path: &str,
        query: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Request<Bytes>, String> {
        let token = self.page_access_token.expose();
        let proof = hmac_sha256_hex(&self.app_secret, token.as_bytes());
        let separator = if query.is_empty() { "" } else { "&" };
        let uri = format!(
            "{}/{}/{path}?{query}{separator}appsecret_proof={proof}",
            self.base, self.version
        );
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "page_access_token cannot stand in a header".to_owned())?;
        bearer.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(AUTHORIZATION, bearer);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request
            .body(body)
            .map_err(|_| "api_base is no address".to_owned())
    }
}

/// For a path or a query: everything but letters, digits and `-._~` (RFC 3986, 2.3).
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String never fails.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// An error in the Graph API's own form. Its message is left out on purpose: it is in the language of whoever made the
/// token, and may repeat the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GraphError {
    pub(crate) code: i64,
    pub(crate) subcode: Option<i64>,
    /// Whether Meta says of itself that this passes.
    pub(crate) is_transient: bool,
}

#[derive(Deserialize)]
struct Envelope {
    error: Detail,
}

#[derive(Deserialize)]
struct Detail {
    code: i64,
    #[serde(default, deserialize_with = "lenient_i64")]
    error_subcode: Option<i64>,
    #[serde(default)]
    is_transient: Option<bool>,
    message: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl GraphError {
    /// The error that `body` holds, if it is Meta's own. Meta's have a `message`, a `type` and a `code` of Meta's; some
    /// gateways write nearly the same, without a type and with the HTTP status for a code, and those speak for nobody.
    pub(crate) fn of(status: StatusCode, body: &[u8]) -> Option<Self> {
        let Envelope { error } = serde_json::from_str(&mended(body)).ok()?;
        let is_metas = error.kind.is_some()
            || (!error.message.is_empty() && error.code != i64::from(status.as_u16()));
        is_metas.then_some(Self {
            code: error.code,
            subcode: error.error_subcode.filter(|subcode| *subcode != 0),
            is_transient: error.is_transient.unwrap_or(false),
        })
    }

    /// Whether this passes by itself: an outage or a rate limit.
    pub(crate) const fn passes(self) -> bool {
        self.is_transient || self.is_outage() || self.is_rate_limit()
    }

    const fn is_outage(self) -> bool {
        matches!(self.code, 1 | 2)
    }

    /// The limits of the app, the user, the Page and the API, and those of business use cases.
    pub(crate) const fn is_rate_limit(self) -> bool {
        matches!(
            self.code,
            4 | 17 | 32 | 341 | 613 | 80_001 | 80_002 | 80_006 | 80_007 | 80_008
        )
    }

    /// The error's number, as Meta's documentation lists it: `10/2018278`.
    pub(crate) fn number(self) -> String {
        self.subcode.map_or_else(
            || self.code.to_string(),
            |subcode| format!("{}/{subcode}", self.code),
        )
    }

    /// What to do where the token does not work, where this error says so.
    pub(crate) const fn of_token(self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            (102 | 190, Some(458)) => {
                "the app was removed from the Page: add it again, then generate a new token under Messenger > API \
                 settings and put it into page_access_token"
            }
            (102 | 190, Some(459 | 464)) => {
                "the person who made the token has to sign in at facebook.com and confirm who they are; then generate a \
                 new token under Messenger > API settings and put it into page_access_token"
            }
            (102 | 190, Some(460)) => {
                "the person who made the token changed the password or signed out: generate a new token under Messenger \
                 > API settings and put it into page_access_token"
            }
            (102 | 190, Some(463)) => {
                "the token has expired: generate a new token under Messenger > API settings and put it into \
                 page_access_token"
            }
            (102 | 190, Some(492)) => {
                "the person who made the token has no role at the Page any more: another person has to generate a new \
                 token under Messenger > API settings and put it into page_access_token"
            }
            (102 | 190, _) => {
                "Meta does not accept the token: generate a new token under Messenger > API settings and put it into \
                 page_access_token"
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> Option<GraphError> {
        GraphError::of(
            StatusCode::from_u16(status).expect("a status"),
            body.as_bytes(),
        )
    }

    #[test]
    fn metas_errors_are_told_from_gateways() {
        let window = r##"{"error":{"message":"(#10) \u6d88 \ud83d","type":"OAuthException","code":10,"error_subcode":"2018278","is_transient":false,"error_data":{"a":[1]},"fbtrace_id":"A"}}"##;
        let known = error(400, window).expect("Meta's, cut surrogates and all");
        assert_eq!(known.number(), "10/2018278");
        assert!(!known.passes());
        let plain =
            error(400, r#"{"error":{"message":"x","type":"T","code":190}}"#).expect("Meta's");
        assert_eq!(plain.number(), "190");
        assert!(
            error(
                500,
                r#"{"error":{"message":"x","code":5,"is_transient":true}}"#
            )
            .is_some_and(GraphError::passes)
        );
        for strange in [
            "",
            "null",
            "[]",
            "<html>",
            r#"{"error":"x"}"#,
            r#"{"error":{}}"#,
            r#"{"error":{"code":"190","message":"x","type":"T"}}"#,
            r#"{"error":{"code":1}}"#,
            r#"{"error":{"code":502,"message":"Bad Gateway","status":"UNAVAILABLE"}}"#,
            r#"{"errors":[{"code":1,"message":"x"}]}"#,
        ] {
            assert_eq!(error(502, strange), None, "{strange}");
        }
    }
}
