//! The protocol of clamd, as far as it is needed: `zPING` and `zINSTREAM`. A command ends with a zero byte; a file
//! follows in stretches, each behind its length in four bytes, the highest first, and ends with a stretch of length
//! zero; the answer ends with a zero byte.

use std::pin::pin;

use deskbell_sdk::text;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Patience;

/// The longest stretch of a file, in bytes.
const STRETCH_BYTES: usize = 64 * 1024;
/// The longest answer, in bytes.
const ANSWER_BYTES: u64 = 4096;
/// What clamd says of a stream that is longer than it takes.
const TOO_LARGE: &str = "INSTREAM size limit exceeded. ERROR";

/// What clamd says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Clean,
    /// The virus's name.
    Virus(String),
    TooLarge,
}

/// How sending a file ended.
enum Sent {
    Whole,
    /// clamd took no more of it.
    Broken,
}

/// Sends a file and reads what clamd says of it; the error says why nothing is known.
pub(super) async fn scan(
    stream: impl AsyncRead + AsyncWrite,
    file: impl AsyncRead + Unpin,
    patience: Patience,
) -> Result<Verdict, String> {
    let (reading, writing) = tokio::io::split(stream);
    let mut answer = pin!(answer(reading));
    let sent = tokio::select! {
        sent = send(writing, file, patience) => sent?,
        // It may refuse a file before it has the whole.
        early = &mut answer => return match verdict(&early?)? {
            Verdict::Clean => Err("clamd answered before it had the whole file".to_owned()),
            other => Ok(other),
        },
    };
    let answered = timeout(patience.answer, answer)
        .await
        .map_err(|_| "clamd did not answer in time".to_owned())?;
    match (sent, verdict(&answered?)?) {
        (Sent::Broken, Verdict::Clean) => Err("clamd did not take the whole file".to_owned()),
        (_, verdict) => Ok(verdict),
    }
}

/// Asks whether clamd is there.
pub(super) async fn ping(
    stream: impl AsyncRead + AsyncWrite,
    patience: Patience,
) -> Result<(), String> {
    let (reading, mut writing) = tokio::io::split(stream);
    let asking = async {
        // Where it cannot be sent there is no answer, which says as much.
        let _ = writing.write_all(b"zPING\0").await;
        let _ = writing.flush().await;
        answer(reading).await
    };
    let answered = timeout(patience.connect, asking)
        .await
        .map_err(|_| "clamd did not answer in time".to_owned())?;
    match answered?.as_str() {
        "PONG" => Ok(()),
        other => Err(format!("what listens there is no clamd: {other:?}")),
    }
}

async fn send(
    mut stream: impl AsyncWrite + Unpin,
    mut file: impl AsyncRead + Unpin,
    patience: Patience,
) -> Result<Sent, String> {
    let mut stretch = vec![0; 4 + STRETCH_BYTES];
    let mut begun = false;
    loop {
        let read = file
            .read(&mut stretch[4..])
            .await
            .map_err(|error| format!("the file cannot be read: {error}"))?;
        let length = u32::try_from(read).unwrap_or_default();
        stretch[..4].copy_from_slice(&length.to_be_bytes());
        let sending = async {
            if !begun {
                stream.write_all(b"zINSTREAM\0").await?;
            }
            stream.write_all(&stretch[..4 + read]).await?;
            if read == 0 {
                stream.flush().await?;
            }
            Ok::<(), std::io::Error>(())
        };
        match timeout(patience.stretch, sending).await {
            Ok(Ok(())) if read == 0 => return Ok(Sent::Whole),
            Ok(Ok(())) => begun = true,
            // Its answer may say why.
            Ok(Err(_)) => return Ok(Sent::Broken),
            Err(_) => return Err("clamd does not take the file in time".to_owned()),
        }
    }
}

/// The answer without the zero byte at its end.
async fn answer(stream: impl AsyncRead + Unpin) -> Result<String, String> {
    let mut stream = stream.take(ANSWER_BYTES);
    let (mut answer, mut bytes) = (Vec::new(), [0; 256]);
    loop {
        let read = stream.read(&mut bytes).await.unwrap_or(0);
        answer.extend_from_slice(&bytes[..read]);
        if answer.ends_with(b"\0") {
            answer.pop();
            return String::from_utf8(answer)
                .map_err(|_| "what clamd answered is no text".to_owned());
        }
        if read == 0 {
            return Err("clamd broke off before it had answered".to_owned());
        }
    }
}

fn verdict(answer: &str) -> Result<Verdict, String> {
    if answer == "stream: OK" {
        return Ok(Verdict::Clean);
    }
    if answer == TOO_LARGE {
        return Ok(Verdict::TooLarge);
    }
    let virus = answer.strip_prefix("stream: ");
    if let Some(name) = virus.and_then(|rest| rest.strip_suffix(" FOUND")) {
        let name = text::clean_name(name).unwrap_or_else(|| "a virus without a name".to_owned());
        return Ok(Verdict::Virus(name));
    }
    let why = text::clean_name(answer).unwrap_or_else(|| "nothing".to_owned());
    Err(format!("clamd answered {why:?}"))
}
