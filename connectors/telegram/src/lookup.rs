//! Where files are (`getFile`), and who people are (`getChat`).

use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::media::{Located, Media, Wanted};
use deskbell_sdk::profile::{Profile, Profiles};
use deskbell_sdk::text::clean_name;
use deskbell_sdk::{ExternalId, Source};
use serde::{Deserialize, Serialize};

use crate::api::{BotApi, No, own_result};

/// The longest path that is taken; Telegram's have about 30 characters.
const MAX_PATH_CHARS: usize = 512;

#[derive(Serialize)]
struct GetFile<'a> {
    file_id: &'a str,
}

#[derive(Deserialize)]
struct File {
    file_path: Option<String>,
}

#[derive(Serialize)]
struct GetChat {
    chat_id: i64,
}

#[derive(Deserialize)]
struct Chat {
    title: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    photo: Option<ChatPhoto>,
}

#[derive(Deserialize)]
struct ChatPhoto {
    big_file_id: Option<ExternalId>,
}

impl Media for BotApi {
    /// Each look gives an address that works for an hour at least, so that an expired one needs nothing else. The
    /// address holds the token.
    fn locate<'a>(
        &'a self,
        http: &'a dyn Http,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Located, CallError>> {
        Box::pin(async move {
            let Source::Handle(file_id) = wanted.source else {
                return Err(refused("no_file", "Telegram told no file for it"));
            };
            let answer = self.answer(http, "getFile", &GetFile { file_id }).await?;
            let result = own_result(&answer).map_err(|no| match &no {
                No::Refused(refusal) if refusal.says(&["too big"]) => refused(
                    "too_large",
                    "Telegram gives bots files of at most 20 MB, and this one is larger; see it in Telegram itself",
                ),
                no => no.for_a_question(answer.headers()),
            })?;
            let file: File = serde_json::from_str(&result).map_err(|_| {
                CallError::retry("Telegram's answer to getFile cannot be understood")
            })?;
            let path = file
                .file_path
                .ok_or_else(|| CallError::retry("Telegram has not got the file ready yet"))?;
            let path = encoded_path(&path).ok_or_else(|| {
                refused(
                    "no_address",
                    "Telegram's server keeps its files to itself: a local Bot API server must not run with --local",
                )
            })?;
            Ok(Located {
                url: self.file_address(&path),
                authorization: None,
            })
        })
    }
}

/// A path below the token's folder; `None` for what leads elsewhere.
fn encoded_path(path: &str) -> Option<String> {
    let leads_elsewhere = path.is_empty()
        || path.len() > MAX_PATH_CHARS
        || path.starts_with('/')
        || path.split('/').any(|part| matches!(part, "" | "." | ".."));
    if leads_elsewhere {
        return None;
    }
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(encoded)
}

fn refused(code: &str, say: &str) -> CallError {
    CallError::Refused {
        code: code.to_owned(),
        say: say.to_owned(),
    }
}

impl Profiles for BotApi {
    fn profile<'a>(
        &'a self,
        http: &'a dyn Http,
        person: &'a str,
    ) -> BoxFuture<'a, Result<Option<Profile>, CallError>> {
        Box::pin(async move {
            // A person in a channel's direct messages whom Telegram did not name has no number.
            let Ok(chat_id) = person.parse() else {
                return Ok(None);
            };
            let chat: Chat = match self.ask(http, "getChat", &GetChat { chat_id }).await {
                Ok(chat) => chat,
                Err(CallError::Refused { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            let parts: Vec<&str> = [
                chat.title.as_deref(),
                chat.first_name.as_deref(),
                chat.last_name.as_deref(),
            ]
            .into_iter()
            .flatten()
            .collect();
            Ok(Some(Profile {
                name: clean_name(&parts.join(" ")),
                picture: chat
                    .photo
                    .and_then(|photo| photo.big_file_id)
                    .map(|id| Source::Handle(id.into_string())),
            }))
        })
    }
}
