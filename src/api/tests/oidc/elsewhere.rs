//! Where people are sent, and who is nobody.

use super::{location, scene};
use crate::api::testing::people::Browser;
use crate::api::testing::{As, desk};
use crate::oidc::stand_in::{Gives, Signer};
use crate::store::entry::Role;

#[tokio::test]
async fn s11_nobody_is_sent_to_another_place() {
    let scene = scene().await;
    let hosts = [
        "evil.example",
        "evil.example:443",
        "desk.example.evil.example",
        "user@evil.example",
        "[::1]",
    ];
    let shapes = [
        "https://@",
        "http://@",
        "//@",
        "///@",
        "////@",
        "/\\@",
        "\\\\@",
        "\\/@",
        "/%09/@",
        "/\t/@",
        "/ /@",
        "/./@",
        "/.//@",
        "/..//@",
        "/a/..//@",
        "/../..//@",
        "https:@",
        "https:/@",
        "https:\\\\@",
        "javascript:@",
        "@",
        ".@",
        "?@",
        "#//@",
        "/%5c@",
        "//%5c@",
        "/\n/@",
        "/\r\nLocation: https://@",
    ];
    let mut tried = 0;
    for host in hosts {
        for shape in shapes {
            let wanted = shape.replace('@', host);
            let browser = Browser::new(1);
            let escaped: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
            let asked = scene
                .leave(&browser, &format!("/auth/oidc/start?return={escaped}"))
                .await;
            let token = scene.honest(&asked, "jana", Signer::EdDsa);
            let code = scene.provider.code(&asked, Gives::Token(token));
            let answer = scene
                .back(&browser, &format!("code={code}&state={}", asked.state))
                .await;
            let to = location(&answer);
            let base = url::Url::parse("https://desk.example").expect("an address");
            let joined = base.join(to).expect("an address");
            assert_eq!(joined.origin(), base.origin(), "{wanted:?} {to}");
            assert!(
                to.starts_with('/') && !to.starts_with("//") && !to.contains('\\'),
                "{wanted:?} {to}"
            );
            tried += 1;
        }
    }
    assert!(tried >= 100, "{tried}");
    for (wanted, to) in [
        ("/conversations?q=a%20b#x", "/conversations?q=a%20b#x"),
        ("/a/../b", "/b"),
        ("/api/v1/exports", "/"),
        ("/auth/oidc/start", "/"),
        ("/setup?token=x", "/"),
        ("", "/"),
    ] {
        let browser = Browser::new(1);
        let escaped: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        let asked = scene
            .leave(&browser, &format!("/auth/oidc/start?return={escaped}"))
            .await;
        let token = scene.honest(&asked, "jana", Signer::EdDsa);
        let code = scene.provider.code(&asked, Gives::Token(token));
        let answer = scene
            .back(&browser, &format!("code={code}&state={}", asked.state))
            .await;
        assert_eq!(location(&answer), to, "{wanted}");
    }
}

#[tokio::test]
async fn s09_no_header_says_who_somebody_is() {
    let desk = desk().await;
    desk.add_user("admin@shop.example", Role::Admin, None).await;
    let names = [
        "X-Remote-User",
        "Remote-User",
        "REMOTE_USER",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Auth-Request-User",
        "X-Auth-Request-Email",
        "X-Webauth-User",
        "X-User",
        "X-Email",
        "X-Authenticated-User",
        "X-Ssl-Client-S-Dn",
        "X-Client-Cert",
        "X-Original-User",
        "Cf-Access-Authenticated-User-Email",
        "X-Goog-Authenticated-User-Email",
        "X-Ms-Client-Principal-Name",
        "X-Amzn-Oidc-Identity",
        "Tailscale-User-Login",
        "X-Pomerium-Claim-Email",
        "X-Deskbell-User",
        "X-Api-Key",
        "Proxy-Authorization",
    ];
    for name in names {
        for value in [
            "admin@shop.example",
            "admin",
            "usr_0000000000001",
            "dbk_canary-bootstrap-token",
        ] {
            for path in ["/api/v1/me", "/api/v1/audit"] {
                let request = axum::http::Request::builder().uri(path).header(name, value);
                let answer = desk.send(
                    As::Nobody,
                    request.body(axum::body::Body::empty()).expect("a request"),
                );
                assert_eq!(
                    answer.await.status.as_u16(),
                    401,
                    "{name}: {value} on {path}"
                );
            }
        }
    }
}
