//! A plain HTTP/1.1 client that waits, for what is measured one by one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::daemon::ADMIN;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its header lines, in small letters.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Http {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Sends a request and reads the answer, which has a length.
    pub(crate) fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: desk\r\nauthorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::with_capacity(64 * 1024);
        let mut buffer = [0_u8; 64 * 1024];
        loop {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                bail!("the connection was closed");
            }
            bytes.extend_from_slice(&buffer[..read]);
            if let Some(end) = whole_answer(&bytes)? {
                let head_end = end.head;
                let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
                return Ok(Answer {
                    status: end.status,
                    head,
                    body: bytes.split_off(head_end),
                });
            }
        }
    }

    /// A GET that works; its body.
    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        let answer = self.exchange("GET", path, "")?;
        if answer.status != 200 {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            bail!("{path} was answered {}: {said}", answer.status);
        }
        Ok(answer.body)
    }

    /// A GET of JSON.
    pub(crate) fn json(&mut self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.get(path)?)?)
    }
}

/// Where a whole answer ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) status: u16,
    /// Bytes of its head.
    head: usize,
    /// Bytes of it all.
    pub(crate) whole: usize,
}

/// Whether `bytes` begin with a whole answer.
pub(crate) fn whole_answer(bytes: &[u8]) -> Result<Option<End>> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = head + 4;
    let text = std::str::from_utf8(&bytes[..head]).context("an odd answer")?;
    let status = text.get(9..12).context("an odd answer")?.parse()?;
    let length = text
        .lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>())
        })
        .context("an answer without a length")??;
    let whole = head + length;
    Ok((bytes.len() >= whole).then_some(End {
        status,
        head,
        whole,
    }))
}
