//! Meta, as far as the daemon asks it while it is measured: who people are. It tells everybody the same.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PERSON: &str = r#"{"id":"1","name":"Jana Invented","first_name":"Jana"}"#;

/// Starts it on a free port, for as long as the runtime lives.
pub(crate) async fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

/// Answers everything on a connection until it ends.
async fn serve(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{PERSON}",
        PERSON.len()
    );
    while stream
        .read_buf(&mut buffer)
        .await
        .is_ok_and(|read| read > 0)
    {
        // What is asked has no body.
        if buffer.ends_with(b"\r\n\r\n") {
            buffer.clear();
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
