//! The stream's reader against a server of our own that does what daemons do on bad days.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deskbell_desktop::client::Daemon;
use deskbell_desktop::keeping::Account;
use deskbell_desktop::sse::Said;
use deskbell_desktop::stream::{Stream, Word, follow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nDate: Sat, 21 Nov 2026 17:20:32 GMT\r\nConnection: close\r\n\r\n";

/// What the server does with a connection.
#[derive(Clone, Copy)]
enum Does {
    /// Says this, and closes.
    Says(&'static str),
    /// Says this, and leaves the line open.
    Stays(&'static str),
    /// Closes at once.
    Closes,
}

/// A server that does one thing after another, and the last one for ever. What it was asked is kept.
struct Server {
    address: std::net::SocketAddr,
    asked: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Server {
    async fn start(does: Vec<Does>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((socket, _)) = listener.accept().await {
                let one = does.get(number).or(does.last()).copied();
                number += 1;
                tokio::spawn(serve(
                    socket,
                    one.expect("something to do"),
                    Arc::clone(&kept),
                ));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<(Instant, String)> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The positions that were asked for, in order.
    fn positions(&self) -> Vec<Option<u64>> {
        let position = |head: &str| {
            let line = head
                .lines()
                .find_map(|line| line.strip_prefix("last-event-id: "))
                .map(str::to_owned);
            line.map(|line| line.parse().expect("a number"))
        };
        self.asked()
            .iter()
            .map(|(_, head)| position(head))
            .collect()
    }

    fn follow(&self, position: Option<u64>) -> Stream {
        let account = Account {
            server: format!("http://{}", self.address)
                .parse()
                .expect("an address"),
            token: "dbk_invented".to_owned(),
            device_id: None,
            user_id: None,
            user_name: None,
        };
        let daemon = Daemon::new(account).expect("a client");
        follow(position, move || Some(daemon.clone()))
    }
}

async fn serve(mut socket: TcpStream, does: Does, asked: Arc<Mutex<Vec<(Instant, String)>>>) {
    let mut head = Vec::new();
    let mut bytes = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read(&mut bytes).await {
            Ok(count) if count > 0 => head.extend_from_slice(&bytes[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((Instant::now(), head));
    match does {
        Does::Closes => {}
        Does::Says(words) => drop(socket.write_all(words.as_bytes()).await),
        Does::Stays(words) => {
            // The reader may have gone.
            let _ = socket.write_all(words.as_bytes()).await;
            let _ = socket.read(&mut bytes).await;
        }
    }
}

async fn next(stream: &mut Stream) -> Word {
    let word = tokio::time::timeout(PATIENCE, stream.words.recv())
        .await
        .expect("a word in time");
    word.expect("the line is followed")
}

/// The words up to the next event with this number.
async fn up_to(stream: &mut Stream, number: u64) -> Vec<Word> {
    let mut words = Vec::new();
    loop {
        words.push(next(stream).await);
        if matches!(words.last(), Some(Word::Said(Said::Event { id: Some(id), .. })) if *id == number)
        {
            return words;
        }
    }
}

#[tokio::test]
async fn f36_it_resumes_where_it_was_cut_also_in_the_middle_of_an_event() {
    let first = concat_head(
        "retry: 1000\n: hello\n: position 41\n\nid: 42\nevent: a\ndata: {}\n\nid: 43\nevent: b\ndata: {\"ha",
    );
    let second = concat_head("id: 43\nevent: b\ndata: {}\n\n");
    let server = Server::start(vec![Does::Says(first), Does::Closes, Does::Stays(second)]).await;
    let mut stream = server.follow(None);
    let words = up_to(&mut stream, 43).await;
    assert_eq!(
        server.positions(),
        [None, Some(42), Some(42)],
        "what was half said is asked for again"
    );
    let events = words
        .iter()
        .filter(|word| matches!(word, Word::Said(Said::Event { .. })));
    assert_eq!(events.count(), 2, "nothing twice: {words:?}");
    let Word::Up(Some(opened_at)) = &words[0] else {
        panic!("{words:?}")
    };
    assert_eq!(opened_at.to_string(), "2026-11-21T17:20:32Z");
    assert_eq!(
        words
            .iter()
            .filter(|word| matches!(word, Word::Down(_)))
            .count(),
        2
    );
}

fn concat_head(body: &str) -> &'static str {
    Box::leak(format!("{HEAD}{body}").into_boxed_str())
}

#[tokio::test]
async fn a_kept_position_is_asked_for_and_one_before_the_first_event_is_known_too() {
    let server = Server::start(vec![
        Does::Says(concat_head(": position 41\n\n")),
        Does::Stays(concat_head("id: 50\nevent: a\ndata: {}\n\n")),
    ])
    .await;
    up_to(&mut server.follow(Some(7)), 50).await;
    assert_eq!(server.positions(), [Some(7), Some(41)]);
}

#[tokio::test]
async fn it_waits_as_long_as_the_daemon_asks_and_longer_from_time_to_time() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::start(vec![
        Does::Says(busy),
        Does::Closes,
        Does::Closes,
        Does::Closes,
        Does::Stays(concat_head("id: 1\nevent: a\ndata: {}\n\n")),
    ])
    .await;
    let words = up_to(&mut server.follow(None), 1).await;
    assert_eq!(
        words
            .iter()
            .filter(|word| matches!(word, Word::Down(_)))
            .count(),
        4
    );
    let asked: Vec<Instant> = server.asked().into_iter().map(|(at, _)| at).collect();
    let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] >= Duration::from_secs(2), "{pauses:?}");
    // 300 ms, 600, 1200, 2400, each at least half of it.
    assert!(
        pauses[1] >= Duration::from_millis(300) && pauses[2] >= Duration::from_millis(600),
        "{pauses:?}"
    );
    assert!(pauses[3] >= Duration::from_millis(1_200), "{pauses:?}");
}

#[tokio::test]
async fn being_signed_out_is_told_and_tried_again_when_somebody_asks() {
    let out = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nContent-Length: 34\r\nConnection: close\r\n\r\n{\"detail\":\"The token was revoked\"}";
    let server = Server::start(vec![
        Does::Says(out),
        Does::Stays(concat_head("id: 1\nevent: a\ndata: {}\n\n")),
    ])
    .await;
    let mut stream = server.follow(None);
    assert_eq!(
        next(&mut stream).await,
        Word::SignedOut("The token was revoked".to_owned())
    );
    let asked = Instant::now();
    stream.anew.notify_one();
    up_to(&mut stream, 1).await;
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "it does not wait for its half minute"
    );
}

#[tokio::test]
async fn a_line_that_is_dead_and_does_not_know_is_opened_anew_at_once() {
    let server = Server::start(vec![
        Does::Stays(concat_head("id: 1\nevent: a\ndata: {}\n\n")),
        Does::Stays(concat_head("id: 2\nevent: a\ndata: {}\n\n")),
    ])
    .await;
    let mut stream = server.follow(None);
    up_to(&mut stream, 1).await;
    // The computer slept.
    stream.anew.notify_one();
    up_to(&mut stream, 2).await;
    assert_eq!(server.positions(), [None, Some(1)]);
}

#[tokio::test]
async fn a_line_that_says_nothing_at_all_is_given_up() {
    let server = Server::start(vec![
        Does::Stays(concat_head(":\n\n")),
        Does::Stays(concat_head("id: 2\nevent: a\ndata: {}\n\n")),
    ])
    .await;
    let mut stream = server.follow(None);
    let begun = Instant::now();
    up_to(&mut stream, 2).await;
    let after = begun.elapsed();
    assert!(
        (Duration::from_secs(24)..Duration::from_secs(50)).contains(&after),
        "a living daemon is heard every 15 s: {after:?}"
    );
}
