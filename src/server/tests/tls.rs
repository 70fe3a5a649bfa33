//! TLS by files: at the start, when they change, and when they break.

use std::path::Path as FilePath;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// A directory with a certificate for shop.test and its key.
struct Files {
    directory: tempfile::TempDir,
    tls: TlsFiles,
}

impl Files {
    fn new() -> (Self, CertificateDer<'static>) {
        let directory = tempfile::tempdir().expect("a directory");
        let tls = TlsFiles {
            certificate: directory.path().join("cert.pem"),
            key: directory.path().join("key.pem"),
        };
        let files = Self { directory, tls };
        let certificate = files.renew();
        (files, certificate)
    }

    /// Puts a new certificate and its key in place.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["shop.test".to_owned()]);
        let made = made.expect("a certificate");
        write(&self.tls.certificate, &made.cert.pem());
        write(&self.tls.key, &made.signing_key.serialize_pem());
        made.cert.der().clone()
    }

    fn problem(&self) -> String {
        check_tls(&self.tls).expect_err("a problem").to_string()
    }
}

fn write(path: &FilePath, text: &str) {
    std::fs::write(path, text).expect("written");
}

fn options(files: &Files) -> Options {
    Options {
        tls: Some(files.tls.clone()),
        tls_reload_interval: Duration::from_millis(100),
        ..quick()
    }
}

fn trusting(certificate: &CertificateDer<'static>, alpn: &[&[u8]]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

async fn handshake(
    server: &Running,
    certificate: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("shop.test").expect("a name");
    let connector = TlsConnector::from(Arc::new(trusting(certificate, alpn)));
    connector.connect(name, stream).await
}

/// Waits until the server shows this certificate.
async fn until_served(server: &Running, certificate: &CertificateDer<'static>) {
    let end = Instant::now() + PATIENCE;
    while handshake(server, certificate, &[]).await.is_err() {
        assert!(Instant::now() < end, "the certificate is not taken up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn serves_both_versions_of_http_and_knows_that_it_is_https() {
    let (files, certificate) = Files::new();
    let server = start(options(&files)).await;
    for (offered, chosen) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = handshake(&server, &certificate, offered)
            .await
            .expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
    }

    let mut stream = handshake(&server, &certificate, &[]).await.expect("TLS");
    let request = b"GET /who HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut heard = String::new();
    stream
        .read_to_string(&mut heard)
        .await
        .expect("an end by TLS, not a cut");
    assert!(
        heard.ends_with("127.0.0.1 https=true told=false unvouched=false"),
        "{heard}"
    );

    let config = trusting(&certificate, &[b"h2", b"http/1.1"]);
    let client = http_client()
        .tls_backend_preconfigured(config)
        .resolve("shop.test", server.address)
        .build()
        .expect("a client");
    let url = format!("https://shop.test:{}/bytes/3000000", server.address.port());
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.bytes().await.expect("a body").len(), 3_000_000);
}

#[tokio::test]
async fn f38_a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let (files, first) = Files::new();
    let server = start(options(&files)).await;
    until_served(&server, &first).await;
    let mut open = handshake(&server, &first, &[]).await.expect("TLS");

    let second = files.renew();
    until_served(&server, &second).await;
    handshake(&server, &first, &[])
        .await
        .expect_err("the old one is gone");
    let request = b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    open.write_all(request).await.expect("sent");
    let mut heard = String::new();
    open.read_to_string(&mut heard)
        .await
        .expect("an open connection goes on");
    assert!(heard.ends_with("fine"), "{heard}");

    write(
        &files.tls.certificate,
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
    );
    tokio::time::sleep(Duration::from_millis(400)).await;
    handshake(&server, &second, &[])
        .await
        .expect("the good one is still served");
    std::fs::remove_file(&files.tls.key).expect("removed");
    tokio::time::sleep(Duration::from_millis(400)).await;
    handshake(&server, &second, &[])
        .await
        .expect("the good one is still served");

    let third = files.renew();
    until_served(&server, &third).await;
}

#[tokio::test]
async fn d01_a_slow_handshake_is_cut() {
    let (files, certificate) = Files::new();
    let server = start(options(&files)).await;
    let began = Instant::now();
    for start in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut peers = Vec::new();
        for _ in 0..many(200) / 2 {
            peers.push(Peer::saying(&server, start).await);
        }
        handshake(&server, &certificate, &[])
            .await
            .expect("others are served");
        for mut peer in peers {
            peer.hear_to_the_end().await;
        }
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    // Who speaks without TLS is shown out at once.
    let mut plain = Peer::saying(&server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!plain.hear_to_the_end().await.contains("fine"));
}

#[tokio::test]
async fn d03_a_reader_that_never_reads_is_cut() {
    let (files, certificate) = Files::new();
    let server = start(options(&files)).await;
    let mut stream = handshake(&server, &certificate, &[]).await.expect("TLS");
    let request = b"GET /flood HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    server.shop.until_bodies_are(1).await;
    server.shop.until_bodies_are(0).await;
}

#[tokio::test]
async fn the_start_fails_with_a_sentence_that_names_the_file() {
    let (files, _certificate) = Files::new();
    std::fs::remove_file(&files.tls.key).expect("removed");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let started = serve(
        listener,
        Router::new(),
        options(&files),
        CancellationToken::new(),
    );
    let error = started.await.expect_err("no key").to_string();
    assert!(error.contains("cannot read the TLS key"), "{error}");
    assert!(error.contains("key.pem"), "{error}");
}

#[test]
fn each_broken_file_is_named_with_what_is_wrong() {
    let (files, _certificate) = Files::new();
    check_tls(&files.tls).expect("sound");
    let certificate = std::fs::read_to_string(&files.tls.certificate).expect("read");
    let key = std::fs::read_to_string(&files.tls.key).expect("read");

    write(&files.tls.certificate, &key);
    assert!(files.problem().contains("cert.pem holds no certificate"));
    write(&files.tls.certificate, &certificate[..200]);
    assert!(files.problem().contains("cert.pem is cut short"));
    write(
        &files.tls.certificate,
        &certificate.replacen("MII", "!!!", 1),
    );
    assert!(files.problem().contains("cert.pem is damaged"));
    write(&files.tls.certificate, "");
    assert!(files.problem().contains("cert.pem holds no certificate"));
    write(&files.tls.certificate, &"x".repeat(2 << 20));
    assert!(files.problem().contains("cert.pem is larger than 1 MiB"));
    let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    write(&files.tls.certificate, not_x509);
    assert!(files.problem().contains("cert.pem"), "{}", files.problem());
    write(&files.tls.certificate, &certificate);

    write(&files.tls.key, &certificate);
    assert!(files.problem().contains("key.pem holds no private key"));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    write(&files.tls.key, &encrypted);
    assert!(files.problem().contains("key.pem is encrypted"));
    let broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    write(&files.tls.key, broken);
    assert!(files.problem().contains("key.pem"), "{}", files.problem());
    assert!(!files.problem().contains("secret"));
    let (other, _certificate) = Files::new();
    std::fs::copy(&other.tls.key, &files.tls.key).expect("copied");
    assert!(
        files
            .problem()
            .contains("is not the key of the first certificate")
    );
    drop(files.directory);
}
