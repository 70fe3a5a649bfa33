//! HTTP by hand, for requests that no client library would send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// The host and port of a daemon's address.
pub(crate) fn host(url: &str) -> &str {
    url.strip_prefix("http://").expect("plain HTTP")
}

/// A connection to the daemon whose reads wait at most `patience`.
pub(crate) fn connect(url: &str, patience: Duration) -> TcpStream {
    let stream = TcpStream::connect(host(url)).expect("the daemon listens");
    stream.set_read_timeout(Some(patience)).expect("a time-out");
    stream
        .set_write_timeout(Some(patience))
        .expect("a time-out");
    stream
}

/// Sends bytes on a connection of its own and reads until the daemon closes it. What was read so far is given back
/// even where the connection broke.
pub(crate) fn exchange(url: &str, bytes: &[u8], patience: Duration) -> String {
    let mut stream = connect(url, patience);
    // A refusal may come before all is sent.
    let _ = stream.write_all(bytes);
    read_all(&mut stream)
}

/// Reads until the other side closes, or nothing comes for as long as the connection waits.
pub(crate) fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0_u8; 16 * 1024];
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer; `None` where there is none.
pub(crate) fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
