//! A person asks a platform that what an app keeps of them be deleted, and the platform passes it on.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::secret::Secret;
use crate::webhook::{Rejected, Request, is_hmac_sha256_hex};

/// The longest id of a person that is believed, in bytes.
const MAX_PERSON_BYTES: usize = 256;

/// Who wants to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionRequest {
    /// The platform's id of the person, as this app knows them.
    pub person: String,
}

/// Receives such requests at `/webhooks/{channel_id}/data-deletion`.
pub trait Deletions: Send + Sync {
    /// Checks who sent the request and says whom it is about.
    fn requested(&self, request: &Request<'_>) -> Result<DeletionRequest, Rejected>;
}

#[derive(Deserialize)]
struct Payload {
    algorithm: String,
    user_id: String,
}

/// Checks Meta's `signed_request`: a form field `base64url(tag).base64url(json)`, where the tag is the HMAC-SHA256 of
/// the encoded JSON under the app's secret. Any of `secrets` may have made it.
pub fn signed_request(
    request: &Request<'_>,
    secrets: &[Secret],
) -> Result<DeletionRequest, Rejected> {
    // A form in a body is written as one in an address.
    let form = Request {
        query: std::str::from_utf8(request.body).map_err(|_| Rejected::Wrong)?,
        ..*request
    };
    let signed = form
        .query_value("signed_request")
        .ok_or(Rejected::Missing)?;
    let (tag, payload) = signed.split_once('.').ok_or(Rejected::Wrong)?;
    let tag = hex::encode(decoded(tag)?);
    let genuine = secrets
        .iter()
        .any(|secret| is_hmac_sha256_hex(secret, payload.as_bytes(), &tag));
    if !genuine {
        return Err(Rejected::Wrong);
    }
    let payload: Payload =
        serde_json::from_slice(&decoded(payload)?).map_err(|_| Rejected::Wrong)?;
    let is_id = (1..=MAX_PERSON_BYTES).contains(&payload.user_id.len())
        && payload.user_id.bytes().all(|byte| byte.is_ascii_graphic());
    if payload.algorithm != "HMAC-SHA256" || !is_id {
        return Err(Rejected::Wrong);
    }
    Ok(DeletionRequest {
        person: payload.user_id,
    })
}

/// Base64 in either alphabet, with or without padding: senders differ.
fn decoded(text: &str) -> Result<Vec<u8>, Rejected> {
    let text = text.trim_end_matches('=');
    URL_SAFE_NO_PAD
        .decode(text)
        .or_else(|_| STANDARD_NO_PAD.decode(text))
        .map_err(|_| Rejected::Wrong)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;
    use crate::webhook::hmac_sha256_hex;

    fn signed(secret: &str, json: &str) -> String {
        let payload = URL_SAFE_NO_PAD.encode(json);
        let tag = hmac_sha256_hex(&Secret::new(secret), payload.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(hex::decode(tag).expect("hex"));
        format!("signed_request={tag}.{payload}")
    }

    fn check(form: &str) -> Result<DeletionRequest, Rejected> {
        let (headers, body) = (HeaderMap::new(), Bytes::copy_from_slice(form.as_bytes()));
        let request = Request {
            method: &Method::POST,
            query: "",
            headers: &headers,
            body: &body,
        };
        signed_request(&request, &[Secret::new("old"), Secret::new("app secret")])
    }

    #[test]
    fn w01_only_what_the_app_signed_is_believed() {
        let json = r#"{"algorithm":"HMAC-SHA256","user_id":"218471","issued_at":1790000000}"#;
        let good = signed("app secret", json);
        let person = "218471".to_owned();
        assert_eq!(check(&good), Ok(DeletionRequest { person }));
        assert!(check(&good.replacen('.', "%3D.", 1)).is_ok(), "padded");
        assert_eq!(check(""), Err(Rejected::Missing));
        assert_eq!(check("signed_request="), Err(Rejected::Wrong));
        assert_eq!(check(&signed("another", json)), Err(Rejected::Wrong));
        assert_eq!(check(&signed("", json)), Err(Rejected::Wrong));
        for place in 15..good.len() {
            let mut forged = good.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            // The last digit of the tag carries bits that decode to nothing; a strict decoder refuses them.
            assert_eq!(check(&forged), Err(Rejected::Wrong), "{place}");
        }
        for odd in [
            r#"{"algorithm":"none","user_id":"218471"}"#,
            r#"{"algorithm":"HMAC-SHA256"}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":218471}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":""}"#,
            r#"{"algorithm":"HMAC-SHA256","user_id":"a b"}"#,
            "nonsense",
        ] {
            assert_eq!(
                check(&signed("app secret", odd)),
                Err(Rejected::Wrong),
                "{odd}"
            );
        }
    }
}
