//! The guarded client against names, redirections and servers that mean no good.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::{Addrs, Name, Resolving};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Where honest hosts of these tests live; the rules of the tests allow it and no other address.
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where nothing may ever be asked.
const INSIDE: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn allows(address: IpAddr) -> bool {
    address == IpAddr::V4(HONEST)
}

/// A server that answers each request by a function of its head, and remembers the heads.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start<F, A>(address: Ipv4Addr, answer: F) -> Self
    where
        F: Fn(String, TcpStream) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8(head).expect("text");
                    kept.lock().expect("no panic").push(head.clone());
                    answer(head, stream).await;
                });
            }
        });
        Self { port, heads }
    }

    /// One that answers with these bytes.
    async fn saying(address: Ipv4Addr, answer: Vec<u8>) -> Self {
        let answer = Arc::new(answer);
        Self::start(address, move |_, stream| say(stream, answer.to_vec())).await
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

async fn say(mut stream: TcpStream, answer: Vec<u8>) {
    // A caller that has gone hears nothing.
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
}

fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn to(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .into_bytes()
}

/// Looks every name up by a function, and counts.
struct Names<F> {
    answer: F,
    asked: Arc<AtomicUsize>,
}

impl<F: Fn(&str, usize) -> Vec<IpAddr> + Send + Sync> Resolve for Names<F> {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.answer)(name.as_str(), self.asked.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move {
            let found: Vec<SocketAddr> = found
                .into_iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// A fetcher whose rules are the public ones, but that the internet is [`HONEST`], by http at these ports.
fn fetcher(
    ports: &[u16],
    pace: Pace,
    answer: impl Fn(&str, usize) -> Vec<IpAddr> + Send + Sync + 'static,
) -> Fetcher {
    let rules = Rules {
        schemes: &["https", "http"],
        ports: Box::leak(ports.into()),
        allows,
    };
    let asked = Arc::new(AtomicUsize::new(0));
    Fetcher::with(rules, pace, Arc::new(Names { answer, asked })).expect("a client")
}

fn honest(_: &str, _: usize) -> Vec<IpAddr> {
    vec![HONEST.into()]
}

async fn get(
    fetcher: &Fetcher,
    url: &str,
    hosts: &Hosts,
    most_bytes: u64,
) -> Result<Vec<u8>, FetchError> {
    get_with(fetcher, url, None, hosts, most_bytes).await
}

async fn get_with(
    fetcher: &Fetcher,
    url: &str,
    authorization: Option<&Secret>,
    hosts: &Hosts,
    most_bytes: u64,
) -> Result<Vec<u8>, FetchError> {
    let wish = Wish {
        url: &Secret::new(url),
        authorization,
        hosts,
        most_bytes,
    };
    let mut download = fetcher.begin(wish).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        bytes.extend_from_slice(&chunk);
        assert!(bytes.len() as u64 <= most_bytes, "never more than wanted");
    }
    Ok(bytes)
}

#[tokio::test]
async fn m02_a_name_that_changes_its_mind_never_leads_inside() {
    // The same port on both addresses, so that only the address tells them apart.
    let (inside, outside) = loop {
        let inside = Server::saying(INSIDE, ok(b"the router's password")).await;
        if let Ok(outside) = TcpListener::bind((HONEST, inside.port)).await {
            break (inside, outside);
        }
    };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = outside.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                say(stream, ok(b"a picture")).await;
            });
        }
    });
    let mixed = |_: &str, asked: usize| -> Vec<IpAddr> {
        match asked % 4 {
            0 => vec![HONEST.into()],
            1 => vec![INSIDE.into()],
            2 => vec![HONEST.into(), INSIDE.into()],
            _ => vec![
                "::1".parse().expect("an address"),
                Ipv4Addr::new(169, 254, 169, 254).into(),
            ],
        }
    };
    let fetcher = fetcher(&[inside.port], Pace::ORDINARY, mixed);
    let (mut came, mut refused) = (0, 0);
    // Each name is new, so that no connection of before hides a look-up.
    for name in 0..2_000 {
        let url = format!("http://n{name}.example:{}/x", inside.port);
        match get(&fetcher, &url, &Hosts::default(), 100).await {
            Ok(bytes) => {
                assert_eq!(bytes, b"a picture");
                came += 1;
            }
            Err(FetchError::Failed { say, .. }) => {
                assert!(say.contains("not on the public internet"), "{say}");
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((came, refused), (500, 1_500));
    assert_eq!(inside.heads(), Vec::<String>::new(), "nobody got inside");
}

#[tokio::test]
async fn m03_no_redirection_leads_inside_or_on_for_ever() {
    let inside = Server::saying(INSIDE, ok(b"secret")).await;
    let inside_port = inside.port;
    let server = Server::start(HONEST, move |head, stream| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        async move {
            let port = stream.local_addr().expect("an address").port();
            let here = |rest: &str| format!("http://files.example:{port}{rest}");
            let answer = match path.split_once("/n/").map(|(_, rest)| rest) {
                Some("0") => ok(b"arrived"),
                Some(number) => {
                    let number: u32 = number.parse().expect("a number");
                    to(&here(&format!("/n/{}", number - 1)))
                }
                None => match path.trim_start_matches("/to/") {
                    "relative" => to("/n/0"),
                    "loop" => to("/to/loop"),
                    "nothing" => to(""),
                    "none" => b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
                    other => {
                        to(&String::from_utf8(hex::decode(other).expect("hex")).expect("text"))
                    }
                },
            };
            say(stream, answer).await;
        }
    })
    .await;
    let names = |name: &str, _: usize| -> Vec<IpAddr> {
        if name.starts_with("inside") {
            vec![INSIDE.into()]
        } else {
            vec![HONEST.into()]
        }
    };
    let port = server.port;
    let fetcher = fetcher(&[port, inside_port], Pace::ORDINARY, names);
    let hosts = Hosts::default();
    let ask = async |path: &str| {
        let url = format!("http://files.example:{port}{path}");
        get(&fetcher, &url, &hosts, 100).await
    };
    for good in ["/n/0", "/n/1", "/n/2", "/n/3", "/to/relative"] {
        assert_eq!(ask(good).await.expect(good), b"arrived");
    }
    for endless in ["/n/4", "/n/9", "/to/loop"] {
        let ended = ask(endless).await;
        assert!(
            matches!(ended, Err(FetchError::Refused(_))),
            "{endless}: {ended:?}"
        );
    }
    assert!(ask("/to/none").await.is_err());
    let mut chains = 0;
    for inner in [
        format!("http://127.0.0.1:{inside_port}/"),
        format!("http://2130706433:{inside_port}/"),
        format!("http://0x7f.1:{inside_port}/"),
        format!("http://0177.0.0.1:{inside_port}/"),
        format!("http://[::ffff:127.0.0.1]:{inside_port}/"),
        format!("http://[::1]:{inside_port}/"),
        format!("http://inside.example:{inside_port}/"),
        format!("//127.0.0.1:{inside_port}/"),
        format!("//inside.example:{inside_port}/"),
        format!("http://a@127.0.0.2:{inside_port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://metadata.google.internal/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "ftp://files.example/x".to_owned(),
        "gopher://127.0.0.1:6379/_INFO".to_owned(),
        "data:text/plain,x".to_owned(),
        "javascript:alert(1)".to_owned(),
        format!("http://files.example:{}/", inside_port.wrapping_add(1)),
        "http://127.0.0.1:22/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
    ] {
        // Directly, and behind one and two more redirections.
        let mut target = inner.clone();
        for _ in 0..3 {
            let path = format!("/to/{}", hex::encode(&target));
            let ended = ask(&path).await;
            assert!(
                matches!(
                    ended,
                    Err(FetchError::Refused(_) | FetchError::Failed { .. })
                ),
                "{inner}: {ended:?}"
            );
            target = format!("http://files.example:{port}{path}");
            chains += 1;
        }
    }
    assert_eq!(chains, 60);
    assert_eq!(inside.heads(), Vec::<String>::new(), "nobody got inside");
    // Away from https, which no server of these tests speaks.
    let hop = |from: &str, to: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, to.parse().expect("a header"));
        fetcher.next_hop(&headers, &from.parse().expect("an address"), &hosts)
    };
    let (secure, open) = (
        format!("https://files.example:{port}/x"),
        format!("http://files.example:{port}/x"),
    );
    assert!(matches!(hop(&secure, &open), Err(FetchError::Refused(_))));
    for (from, to) in [(&secure, &secure), (&open, &open), (&open, &secure)] {
        assert_eq!(hop(from, to).expect("allowed").as_str(), to);
    }
}

#[tokio::test]
async fn m06_the_token_goes_to_the_platforms_hosts_and_to_nobody_else() {
    let stranger = Server::saying(HONEST, ok(b"thanks")).await;
    let stranger_port = stranger.port;
    let platform = Server::start(HONEST, move |head, stream| {
        let away = head.starts_with("GET /away");
        let answer = if away {
            to(&format!("http://evil.example:{stranger_port}/x"))
        } else {
            ok(b"a picture")
        };
        say(stream, answer)
    })
    .await;
    let fetcher = fetcher(&[platform.port, stranger_port], Pace::ORDINARY, honest);
    let token = Secret::new("Bearer canary-token");
    let with_domains = |domains: Option<&[&str]>| Hosts {
        own: Some("http://127.0.0.2:1/".parse().expect("an address")),
        domains: domains.map(|all| all.iter().map(|&one| one.to_owned()).collect()),
    };
    let both = with_domains(Some(&["files.example", "evil.example"]));
    let url = format!("http://cdn.files.example:{}/x", platform.port);
    get_with(&fetcher, &url, Some(&token), &both, 100)
        .await
        .expect("a picture");
    assert!(
        platform.heads()[0].contains("canary-token"),
        "{:?}",
        platform.heads()
    );
    // A redirection to another origin takes it away, even to another host of the platform's.
    let away = format!("http://cdn.files.example:{}/away", platform.port);
    get_with(&fetcher, &away, Some(&token), &both, 100)
        .await
        .expect("thanks");
    // Nobody named any host: then none is the platform's.
    let any = with_domains(None);
    for number in 0..30 {
        let url = format!("http://h{number}.example:{stranger_port}/x");
        get_with(&fetcher, &url, Some(&token), &any, 100)
            .await
            .expect("thanks");
    }
    let heads = stranger.heads();
    assert_eq!(heads.len(), 31);
    for head in heads {
        let head = head.to_ascii_lowercase();
        assert!(
            !head.contains("canary") && !head.contains("authorization"),
            "{head}"
        );
        assert!(
            !head.contains("referer") && !head.contains("cookie"),
            "{head}"
        );
        assert!(!head.contains("metadata-flavor"), "{head}");
    }
}

/// Small limits, and the slowest pace that is still borne.
const SMALL: Pace = Pace {
    total: Duration::from_secs(60),
    window: Duration::from_millis(500),
    window_bytes: 512,
    redirects: 3,
};

#[tokio::test]
async fn m07_endless_lying_and_packed_files_end_at_the_limit() {
    let most_bytes = 64 * 1024;
    let endless = Server::start(HONEST, |_, mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n";
        let _ = stream.write_all(head).await;
        while stream.write_all(&[7; 8192]).await.is_ok() {}
    })
    .await;
    let announced = Server::start(HONEST, |_, mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n";
        let _ = stream.write_all(head).await;
        while stream.write_all(&[7; 8192]).await.is_ok() {}
    })
    .await;
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..100 {
        chunked.extend_from_slice(b"2000\r\n");
        chunked.extend_from_slice(&[7; 0x2000]);
        chunked.extend_from_slice(b"\r\n");
    }
    let chunked = Server::saying(HONEST, chunked).await;
    // 2 MB of zeros, packed by brotli to a few bytes.
    let mut packed = Vec::new();
    let mut zeros: &[u8] = &[0; 2 * 1024 * 1024];
    brotli::BrotliCompress(
        &mut zeros,
        &mut packed,
        &brotli::enc::BrotliEncoderParams::default(),
    )
    .expect("packed");
    assert!(packed.len() < 1024);
    let mut bomb = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    bomb.extend_from_slice(&packed);
    let bomb = Server::saying(HONEST, bomb).await;
    for (what, server) in [
        ("endless", &endless),
        ("announced", &announced),
        ("chunked", &chunked),
        ("packed", &bomb),
    ] {
        let fetcher = fetcher(&[server.port], Pace::ORDINARY, honest);
        let url = format!("http://files.example:{}/x", server.port);
        let ended = get(&fetcher, &url, &Hosts::default(), most_bytes).await;
        assert_eq!(ended, Err(FetchError::TooLarge), "{what}");
    }
    // A length that is larger than what comes is a line that broke.
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nhalf".to_vec();
    let short = Server::saying(HONEST, short).await;
    let fetcher = fetcher(&[short.port], Pace::ORDINARY, honest);
    let url = format!("http://files.example:{}/x", short.port);
    let ended = get(&fetcher, &url, &Hosts::default(), most_bytes).await;
    assert!(matches!(ended, Err(FetchError::Failed { .. })), "{ended:?}");
    // Exactly the limit is not over it.
    let exact = Server::saying(HONEST, ok(&vec![7; 64 * 1024])).await;
    let fetcher = self::fetcher(&[exact.port], Pace::ORDINARY, honest);
    let url = format!("http://files.example:{}/x", exact.port);
    let ended = get(&fetcher, &url, &Hosts::default(), most_bytes).await;
    assert_eq!(ended.expect("all of it").len(), 64 * 1024);
}

#[tokio::test]
async fn m07_a_file_that_drips_is_given_up_and_a_slow_one_is_not() {
    let drip = |bytes: usize, count: usize| {
        Server::start(HONEST, move |_, mut stream| async move {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                bytes * count
            );
            let _ = stream.write_all(head.as_bytes()).await;
            for _ in 0..count {
                if stream.write_all(&vec![7; bytes]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    let dripping = drip(1, 100_000).await;
    let fetcher = fetcher(&[dripping.port], SMALL, honest);
    let url = format!("http://files.example:{}/x", dripping.port);
    let ended = get(&fetcher, &url, &Hosts::default(), 1_000_000).await;
    assert_eq!(ended, Err(FetchError::failed("files.example is too slow")));
    // Silence after the head is no faster.
    let silent = Server::start(HONEST, |_, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let fetcher = self::fetcher(&[silent.port], SMALL, honest);
    let url = format!("http://files.example:{}/x", silent.port);
    let ended = get(&fetcher, &url, &Hosts::default(), 1_000_000).await;
    assert_eq!(ended, Err(FetchError::failed("files.example is too slow")));
    // Faster than the slowest pace over several windows.
    let patient = Pace {
        window: Duration::from_secs(2),
        window_bytes: 16,
        ..SMALL
    };
    let slow = drip(256, 60).await;
    let fetcher = self::fetcher(&[slow.port], patient, honest);
    let url = format!("http://files.example:{}/x", slow.port);
    let ended = get(&fetcher, &url, &Hosts::default(), 1_000_000).await;
    assert_eq!(ended.expect("all of it").len(), 256 * 60);
}

#[tokio::test]
async fn answers_are_told_apart() {
    let answer = |status: &str, more: &str| {
        format!("HTTP/1.1 {status}\r\n{more}content-length: 1\r\nconnection: close\r\n\r\nx")
            .into_bytes()
    };
    let gone = |ended: &Result<Vec<u8>, FetchError>| matches!(ended, Err(FetchError::Gone(_)));
    let failed =
        |ended: &Result<Vec<u8>, FetchError>| matches!(ended, Err(FetchError::Failed { .. }));
    for (status, more, is_so) in [
        (
            "403 Forbidden",
            "",
            &gone as &dyn Fn(&Result<Vec<u8>, FetchError>) -> bool,
        ),
        ("404 Not Found", "", &gone),
        ("410 Gone", "", &gone),
        ("500 Oh", "", &failed),
        ("204 No Content", "", &failed),
        ("206 Partial Content", "", &failed),
        ("304 Not Modified", "", &failed),
        ("429 Too Many", "retry-after: 7\r\n", &failed),
    ] {
        let server = Server::saying(HONEST, answer(status, more)).await;
        let fetcher = fetcher(&[server.port], Pace::ORDINARY, honest);
        let url = format!("http://files.example:{}/secret?token=secret", server.port);
        let ended = get(&fetcher, &url, &Hosts::default(), 100).await;
        assert!(is_so(&ended), "{status}: {ended:?}");
        let error = ended.expect_err("no file");
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{error:?} (P16)"
        );
        if let FetchError::Failed { after, .. } = error {
            assert_eq!(after.is_some(), !more.is_empty());
        }
    }
    let nobody = fetcher(&[1], Pace::ORDINARY, honest);
    let ended = get(
        &nobody,
        "http://files.example:1/secret?token=secret",
        &Hosts::default(),
        1,
    )
    .await;
    assert_eq!(
        ended,
        Err(FetchError::failed("files.example cannot be reached"))
    );
    let named = b"HTTP/1.1 200 OK\r\ncontent-disposition: attachment; filename=\"../a b.pdf\"\r\ncontent-length: 1\r\n\r\nx";
    let server = Server::saying(HONEST, named.to_vec()).await;
    let fetcher = self::fetcher(&[server.port], Pace::ORDINARY, honest);
    let wish = Wish {
        url: &Secret::new(format!("http://files.example:{}/secret", server.port)),
        authorization: None,
        hosts: &Hosts::default(),
        most_bytes: 10,
    };
    let download = fetcher.begin(wish).await.expect("it comes");
    assert_eq!(download.name.as_deref(), Some("a b.pdf"));
    assert!(!format!("{download:?} {wish:?}").contains("secret"));
}

#[tokio::test]
async fn the_channels_own_origin_is_reached_wherever_it_is() {
    let own = Server::saying(INSIDE, ok(b"a picture")).await;
    let fetcher = Fetcher::new().expect("a client");
    let hosts = Hosts {
        own: Some(
            format!("http://127.0.0.1:{}", own.port)
                .parse()
                .expect("an address"),
        ),
        domains: Some(vec!["files.example".to_owned()]),
    };
    let url = format!("http://127.0.0.1:{}/a", own.port);
    assert_eq!(
        get(&fetcher, &url, &hosts, 100).await.expect("a picture"),
        b"a picture"
    );
    let ended = get(&fetcher, &url, &Hosts::default(), 100).await;
    assert!(matches!(ended, Err(FetchError::Refused(_))), "{ended:?}");
    assert_eq!(own.heads().len(), 1);
}
