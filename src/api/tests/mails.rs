//! Invitations by mail, to a mail server on this machine.

use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::api::testing::{As, Desk, desk_with};
use crate::config::{MailSecurity, Smtp};

/// A mail server: what it was given, and with which words it refuses the recipient.
struct Server {
    port: u16,
    mails: Arc<Mutex<Vec<String>>>,
}

async fn server(refuses: Option<&'static str>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mails = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&mails);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reading, mut writing) = stream.into_split();
            let mut lines = BufReader::new(reading).lines();
            let mut say = async |text: &str| {
                let _ = writing.write_all(format!("{text}\r\n").as_bytes()).await;
            };
            say("220 invented").await;
            let mut mail = None;
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(text) = &mut mail {
                    if line == "." {
                        kept.lock()
                            .expect("not poisoned")
                            .push(mail.take().expect("a mail"));
                        say("250 taken").await;
                    } else {
                        let text: &mut String = text;
                        text.push_str(&line);
                        text.push('\n');
                    }
                    continue;
                }
                match line.get(..4).unwrap_or_default() {
                    "EHLO" => say("250 invented").await,
                    "RCPT" => say(refuses.unwrap_or("250 fine")).await,
                    "DATA" => {
                        mail = Some(String::new());
                        say("354 go on").await;
                    }
                    "QUIT" => say("221 bye").await,
                    _ => say("250 fine").await,
                }
            }
        }
    });
    Server { port, mails }
}

async fn desk_of(port: u16) -> Desk {
    let smtp = Smtp {
        host: "127.0.0.1".to_owned(),
        port,
        security: MailSecurity::None,
        login: None,
        from: "Shop <desk@shop.example>".to_owned(),
    };
    desk_with(|config| config.smtp = Some(smtp)).await
}

#[tokio::test]
async fn p12_an_invitation_is_mailed_and_a_name_makes_no_header() {
    let server = server(None).await;
    let desk = desk_of(server.port).await;
    let new = json!({ "email": "jana@shop.example", "name": "Žofia 'Bcc: x@evil.example'", "role": "agent" });
    let added = desk
        .json(As::Admin, Method::POST, "/api/v1/users", &new)
        .await;
    assert_eq!(added.status.as_u16(), 201, "{}", added.text());
    let added = added.json();
    assert_eq!(added["invitation"]["mailed"], true);
    let path = format!(
        "/api/v1/users/{}/invitation",
        added["id"].as_str().expect("an id")
    );
    let again = desk
        .json(As::Admin, Method::POST, &path, &json!({}))
        .await
        .json();
    assert_eq!(again["mailed"], true);
    let mails = server.mails.lock().expect("not poisoned").clone();
    assert_eq!(mails.len(), 2);
    let (head, _) = mails[1].split_once("\n\n").expect("a head");
    let line = |name: &str| {
        let mut lines = head.lines().filter(|line| line.starts_with(name));
        let found = lines.next().unwrap_or_default().to_owned();
        assert_eq!(lines.next(), None);
        found
    };
    assert!(line("From: ").contains("desk@shop.example"), "{head}");
    assert!(line("To: ").contains("jana@shop.example"), "{head}");
    assert_eq!(line("Auto-Submitted: "), "Auto-Submitted: auto-generated");
    assert_eq!(line("Bcc"), "");
    // The link is whole in it, whatever the encoding of the text did with its lines.
    let text: String = mails[1].replace("=\n", "").replace("=3D", "=");
    let url = again["url"].as_str().expect("a link");
    assert!(text.contains(url), "{text}");
}

#[tokio::test]
async fn a_mail_server_that_does_not_take_it_keeps_nobody_out() {
    for refuses in ["550 nobody here", "451 come again"] {
        let server = server(Some(refuses)).await;
        let desk = desk_of(server.port).await;
        let new = json!({ "email": "jana@shop.example", "name": "Jana", "role": "agent" });
        let added = desk
            .json(As::Admin, Method::POST, "/api/v1/users", &new)
            .await;
        assert_eq!(added.status.as_u16(), 201, "{}", added.text());
        let invitation = &added.json()["invitation"];
        assert_eq!(invitation["mailed"], false, "{refuses}");
        assert!(
            invitation["url"]
                .as_str()
                .expect("a link")
                .contains("/join#")
        );
        assert!(server.mails.lock().expect("not poisoned").is_empty());
    }
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let desk = desk_of(port).await;
    let new = json!({ "email": "jana@shop.example", "name": "Jana", "role": "agent" });
    let added = desk
        .json(As::Admin, Method::POST, "/api/v1/users", &new)
        .await;
    assert_eq!(added.json()["invitation"]["mailed"], false);
}
