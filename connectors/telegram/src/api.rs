//! Telegram's Bot API as one bot's token sees it: how it is called, and how it says no.

use std::time::Duration;

use bytes::Bytes;
use deskbell_sdk::Secret;
use deskbell_sdk::client::{CallError, Http};
use deskbell_sdk::json::{Raw, mended};
use deskbell_sdk::retry_after::{LONGEST_WAIT, retry_after};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

/// What to do about a token that Telegram does not take.
pub(crate) const NEW_TOKEN: &str = "Telegram does not accept the bot's token: ask @BotFather for it with /token, and put it into bot_token";

/// Telegram's Bot API as one bot's token sees it.
///
/// Telegram wants the token in the path of every address and knows no other place for it. It therefore stands in no
/// error, no log and no `Debug`: whoever lends the client names hosts only.
pub(crate) struct BotApi {
    /// The address without a slash at its end.
    pub(crate) base: String,
    pub(crate) token: Secret,
    /// The bot's own id.
    pub(crate) bot_id: i64,
}

impl BotApi {
    /// The address of a method.
    pub(crate) fn address(&self, method: &str) -> String {
        format!("{}/bot{}/{method}", self.base, self.token.expose())
    }

    /// The address of a file's content.
    pub(crate) fn file_address(&self, path: &str) -> Secret {
        Secret::new(format!(
            "{}/file/bot{}/{path}",
            self.base,
            self.token.expose()
        ))
    }

    /// A call with its arguments as JSON.
    pub(crate) fn call(
        &self,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<Request<Bytes>, String> {
        let body = serde_json::to_vec(arguments).map_err(|error| error.to_string())?;
        self.post(method, "application/json", body.into())
    }

    /// A call with a body.
    pub(crate) fn post(
        &self,
        method: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, String> {
        Request::builder()
            .method(Method::POST)
            .uri(self.address(method))
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|_| "api_base is no address".to_owned())
    }

    /// Asks for something.
    pub(crate) async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        http: &dyn Http,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<T, CallError> {
        let answer = self.answer(http, method, arguments).await?;
        let result = own_result(&answer).map_err(|no| no.for_a_question(answer.headers()))?;
        serde_json::from_str(&result).map_err(|_| {
            CallError::retry(format!(
                "Telegram's answer to {method} cannot be understood"
            ))
        })
    }

    /// One call, whatever is answered.
    pub(crate) async fn answer(
        &self,
        http: &dyn Http,
        method: &str,
        arguments: &impl Serialize,
    ) -> Result<Response<Bytes>, CallError> {
        let request = self.call(method, arguments).map_err(CallError::retry)?;
        Ok(http.call(request).await?)
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum No {
    /// Telegram's own refusal.
    Refused(Refusal),
    /// Not Telegram's own answer, with its status: a gateway's, or half of one.
    NotTelegrams(StatusCode),
}

/// A refusal in Telegram's own form. Its words are kept to tell cases apart and are shown to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status, as Telegram repeats it.
    pub(crate) code: i64,
    words: String,
    /// How long Telegram asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// Where the group has moved to.
    pub(crate) migrate_to: Option<i64>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    ok: bool,
    #[serde(borrow)]
    result: Option<Raw<'a>>,
    error_code: Option<i64>,
    description: Option<String>,
    #[serde(borrow)]
    parameters: Option<Raw<'a>>,
}

#[derive(Default, Deserialize)]
struct Parameters<'a> {
    /// Whole seconds; what is none is passed over.
    #[serde(borrow)]
    retry_after: Option<Raw<'a>>,
    migrate_to_chat_id: Option<i64>,
}

/// The JSON text of the result, where Telegram itself answered and did what it was asked.
pub(crate) fn own_result(answer: &Response<Bytes>) -> Result<String, No> {
    let no = || No::NotTelegrams(answer.status());
    let text = mended(answer.body());
    let envelope: Envelope<'_> = serde_json::from_str(&text).map_err(|_| no())?;
    match (envelope.ok, envelope.result, envelope.error_code) {
        (true, Some(result), None) if answer.status().is_success() => Ok(result.get().to_owned()),
        (false, None, Some(code)) => {
            let words = envelope.description.ok_or_else(no)?;
            let parameters: Parameters<'_> = envelope
                .parameters
                .and_then(|parameters| serde_json::from_str(parameters.get()).ok())
                .unwrap_or_default();
            let seconds = parameters
                .retry_after
                .and_then(|seconds| seconds.get().parse::<u64>().ok());
            Err(No::Refused(Refusal {
                code,
                words: words.to_ascii_lowercase(),
                retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)),
                migrate_to: parameters.migrate_to_chat_id,
            }))
        }
        _ => Err(no()),
    }
}

impl Refusal {
    /// Whether Telegram's words hold any of these (in lower case).
    pub(crate) fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|words| self.words.contains(words))
    }

    /// Whether the token does not work. A token of a wrong shape is answered as a method that does not exist.
    pub(crate) const fn is_of_token(&self) -> bool {
        matches!(self.code, 401 | 404)
    }

    /// Whether it passes by itself.
    pub(crate) const fn passes(&self) -> bool {
        self.code == 429 || self.code >= 500
    }

    /// When Telegram says that it passes.
    pub(crate) fn wait(&self, headers: &HeaderMap) -> Option<Duration> {
        self.retry_after.or_else(|| retry_after(headers))
    }

    /// What it means for a question.
    fn for_a_question(&self, headers: &HeaderMap) -> CallError {
        let code = self.code;
        if self.is_of_token() {
            return CallError::Credentials {
                say: format!("{NEW_TOKEN} (Telegram's error {code})"),
            };
        }
        if self.passes() || code == 409 {
            return CallError::Retry {
                after: self.wait(headers),
                say: format!("Telegram takes no question for now (its error {code})"),
            };
        }
        CallError::Refused {
            code: code.to_string(),
            say: format!("Telegram refused (its error {code})"),
        }
    }
}

impl No {
    /// What it means for a question.
    pub(crate) fn for_a_question(&self, headers: &HeaderMap) -> CallError {
        match self {
            Self::Refused(refusal) => refusal.for_a_question(headers),
            Self::NotTelegrams(status) => CallError::Retry {
                after: retry_after(headers),
                say: format!(
                    "what came back ({}) is not Telegram's own answer",
                    status.as_u16()
                ),
            },
        }
    }
}

/// No arguments.
#[derive(Serialize)]
pub(crate) struct Nothing {}
