//! Who may what: every route of the document, by every kind of caller.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use tower::ServiceExt as _;

use crate::api::docs::document;
use crate::api::testing::{As, Desk, SHOP, desk};
use crate::desk::profiles::{After, FinishLookup, NoteProfiles};
use crate::store::entry::{Entry, LookupEntry, Right, Role};
use crate::store::record::AvatarRecord;

/// A route of the document.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) tag: String,
    pub(super) takes_body: bool,
}

/// What a route wants of who calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: anybody may call it.
    Nothing,
    /// That they are somebody.
    SignedIn,
    /// A right.
    Right(Right),
}

pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, item) in document().paths.paths {
        let operations = [
            (Method::GET, item.get),
            (Method::POST, item.post),
            (Method::PUT, item.put),
            (Method::PATCH, item.patch),
            (Method::DELETE, item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                let tag = operation
                    .tags
                    .and_then(|tags| tags.first().cloned())
                    .expect("a tag");
                let takes_body = operation.request_body.is_some();
                routes.push(Route {
                    method,
                    path: path.clone(),
                    tag,
                    takes_body,
                });
            }
        }
    }
    routes
}

impl Route {
    fn is_for_admins(&self) -> bool {
        self.needs() == Needs::Right(Right::Admin)
    }

    fn is_for_everybody(&self) -> bool {
        matches!(self.needs(), Needs::Nothing | Needs::SignedIn)
    }

    /// What it wants of who calls it: what is written here is what is promised, and the tests compare.
    pub(super) fn needs(&self) -> Needs {
        let path = self.path.strip_prefix("/api/v1/").expect("of the API");
        let is_read = self.method == Method::GET;
        match (self.method.as_str(), path) {
            ("GET", "setup" | "session/providers")
            | ("POST", "session" | "invitations/look" | "invitations/accept" | "devices/claim") => {
                return Needs::Nothing;
            }
            ("POST", "setup")
            | (
                "POST" | "DELETE",
                "channels" | "channels/{id}/register" | "contacts/{id}" | "channels/{id}",
            )
            | ("PATCH", "channels/{id}")
            | ("PUT", "channels/{id}/hours") => return Needs::Right(Right::Admin),
            _ => {}
        }
        match self.tag.as_str() {
            "session" | "devices" => Needs::SignedIn,
            "tokens" | "quarantine" | "data-deletions" | "exports" | "backup" | "replay"
            | "audit" | "hooks" => Needs::Right(Right::Admin),
            "users" | "teams" | "labels" | "settings" if !is_read => Needs::Right(Right::Admin),
            _ if is_read => Needs::Right(Right::Read),
            _ => Needs::Right(Right::Write),
        }
    }

    /// Whether the thing that its path names lies in a channel.
    pub(super) fn is_of_a_channel(&self) -> bool {
        self.path.contains('{')
            && matches!(
                self.tag.as_str(),
                "bell" | "conversations" | "messages" | "contacts" | "channels" | "attachments"
            )
    }

    /// The path with the ids of things in the channel `shop`.
    fn path_of(&self, things: &Things) -> String {
        let id = match self.tag.as_str() {
            "messages" if self.path.starts_with("/api/v1/messages/") => &things.message,
            "conversations" | "messages" => &things.conversation,
            "contacts" => &things.contact,
            "channels" | "replay" => &things.channel,
            "attachments" => &things.attachment,
            "bell" => &things.ring,
            "tokens" => &things.token,
            "users" => &things.user,
            "quarantine" => &things.quarantined,
            "teams" => &things.team,
            "hooks" => &things.hook,
            _ => "none",
        };
        self.path.replace("{id}", id)
    }

    fn request(&self, things: &Things) -> axum::http::request::Builder {
        let request = Request::builder()
            .method(self.method.clone())
            .uri(self.path_of(things));
        if self.takes_body {
            request.header("content-type", "application/json")
        } else {
            request
        }
    }
}

/// Things in the channel `shop`, with canaries in them.
struct Things {
    conversation: String,
    message: String,
    contact: String,
    channel: String,
    attachment: String,
    ring: String,
    token: String,
    quarantined: String,
    user: String,
    team: String,
    hook: String,
}

/// Gives the only person that is to be looked up a picture.
async fn give_picture(desk: &Desk) {
    let waiting = LookupEntry::scan(&*desk.app.store, &[], None, 10).expect("readable");
    let content = desk.app.blobs.keep(b"canary-picture").expect("kept");
    let lookup = FinishLookup {
        work: waiting[0].1.id,
        name: None,
        avatar: Some(AvatarRecord {
            content,
            mime_type: "image/png".to_owned(),
        }),
        after: After::Enough,
        jitter: 0.0,
    };
    desk.app.writer.write(lookup).await.expect("written");
}

async fn things(desk: &Desk) -> Things {
    let note = NoteProfiles {
        channel: SHOP,
        can: true,
    };
    desk.app.writer.write(note).await.expect("written");
    let (conversation, message) = desk.arrive(SHOP, "canary-visitor", "canary-words").await;
    give_picture(desk).await;
    let conversation = conversation.to_string();
    // It rings until it is answered below.
    let ring = desk.ring_of(&conversation);
    let seen = desk
        .found(As::Admin, &format!("/api/v1/conversations/{conversation}"))
        .await;
    let attachment = desk
        .uploaded(As::Writer, "canary-name.txt", b"canary-bytes")
        .await;
    let body = serde_json::json!({ "attachment_ids": [attachment] });
    let path = format!("/api/v1/conversations/{conversation}/messages");
    assert_eq!(
        desk.json(As::Writer, Method::POST, &path, &body)
            .await
            .status,
        StatusCode::ACCEPTED
    );
    let quarantine = crate::desk::access::Quarantine {
        channel: SHOP,
        received_at: desk.app.clock.now(),
        why: "canary-why".to_owned(),
        raw: "canary-raw".to_owned(),
        delivery: None,
    };
    let quarantined = desk
        .app
        .writer
        .write(quarantine)
        .await
        .expect("written")
        .to_string();
    let tokens = desk.found(As::Admin, "/api/v1/tokens").await;
    let team = serde_json::json!({ "name": "Sales" });
    let team = desk.json(As::Admin, Method::POST, "/api/v1/teams", &team);
    let team = team.await.json()["id"].as_str().expect("an id").to_owned();
    let hook =
        serde_json::json!({ "url": "https://hooks.example/canary", "events": ["message.created"] });
    let hook = desk.json(As::Admin, Method::POST, "/api/v1/hooks", &hook);
    let hook = hook.await.json()["id"].as_str().expect("an id").to_owned();
    Things {
        hook,
        ring,
        conversation,
        message: message.to_string(),
        contact: seen["contact"]["id"].as_str().expect("an id").to_owned(),
        channel: "shop".to_owned(),
        attachment,
        token: tokens["data"][0]["id"].as_str().expect("an id").to_owned(),
        quarantined,
        team,
        user: desk
            .add_user("somebody@shop.example", Role::Agent, None)
            .await
            .to_string(),
    }
}

#[tokio::test]
async fn t01_t03_t05_every_read_by_every_caller() {
    let desk = desk().await;
    let things = things(&desk).await;
    let mut checked = 0;
    for route in routes().iter().filter(|route| route.method == Method::GET) {
        for who in As::ALL {
            let path = route.path_of(&things);
            let wanted = match who {
                _ if route.needs() == Needs::Nothing => 200,
                As::Nobody => 401,
                // The engine of these tests has no files to give.
                As::Admin | As::Session if route.path == "/api/v1/backup" => 503,
                As::Admin | As::Session => 200,
                _ if route.is_for_admins() => 403,
                As::PageReader if route.is_of_a_channel() => 404,
                _ => 200,
            };
            if route.tag == "events" {
                // A stream has no end: only its beginning is looked at.
                let mut request = Request::builder().uri(&path);
                if let Some(token) = who.token() {
                    request = request.header("authorization", format!("Bearer {token}"));
                } else if who == As::Session {
                    continue;
                }
                let answer = desk
                    .router
                    .clone()
                    .oneshot(request.body(Body::empty()).expect("a request"))
                    .await;
                assert_eq!(
                    answer.expect("an answer").status().as_u16(),
                    wanted,
                    "{who:?} {path}"
                );
                checked += 1;
                continue;
            }
            let answer = desk.get(who, &path).await;
            assert_eq!(
                answer.status.as_u16(),
                wanted,
                "{who:?} {path}: {}",
                answer.text()
            );
            if wanted != 200 {
                answer.problem(wanted);
            }
            if matches!(who, As::Nobody | As::PageReader) {
                // What a caller may not see is not there in any form: no text, no name, no id.
                let hidden = [
                    "canary",
                    &things.conversation,
                    &things.contact,
                    &things.attachment,
                ];
                for hidden in hidden {
                    assert!(
                        !answer.text().contains(hidden),
                        "{who:?} {path} shows {hidden}"
                    );
                }
            }
            checked += 1;
        }
    }
    assert!(checked >= 70, "{checked}");
}

#[tokio::test]
async fn t01_t05_every_change_needs_its_right_and_its_channel() {
    let desk = desk().await;
    let things = things(&desk).await;
    let mut checked = 0;
    for route in routes()
        .iter()
        .filter(|route| route.method != Method::GET && !route.is_for_everybody())
    {
        for who in [As::Nobody, As::PageReader, As::Reader, As::Writer] {
            let wanted = match who {
                As::Nobody => 401,
                As::Writer if !route.is_for_admins() => continue,
                // Before the body is read: a body of rubbish tells nothing either.
                _ => 403,
            };
            let request = route
                .request(&things)
                .body(Body::from("rubbish"))
                .expect("a request");
            let answer = desk.send(who, request).await;
            answer.problem(wanted);
            checked += 1;
        }
    }
    assert!(checked >= 30, "{checked}");
    // A writer of another channel knows nothing of this one.
    let other = serde_json::json!({ "name": "w", "scopes": ["write"], "channels": ["page"] });
    let made = desk
        .json(As::Admin, Method::POST, "/api/v1/tokens", &other)
        .await
        .json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let bodies = [
        ("PATCH", "", "{\"status\":\"resolved\"}"),
        ("POST", "/messages", "{\"text\":\"x\",\"private\":true}"),
        ("POST", "/read", "{}"),
        ("POST", "/typing", "{\"typing\":true}"),
    ];
    for (method, under, body) in bodies {
        let request = Request::builder()
            .method(method)
            .uri(format!(
                "/api/v1/conversations/{}{under}",
                things.conversation
            ))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        let answer = desk
            .send(
                As::Nobody,
                request.body(Body::from(body)).expect("a request"),
            )
            .await;
        answer.problem(404);
    }
}

#[tokio::test]
async fn s05_no_change_by_a_page_of_another_origin() {
    let desk = desk().await;
    let things = things(&desk).await;
    let forged = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "https://desk.example.evil.example"),
    ];
    let mut checked = 0;
    for route in routes().iter().filter(|route| route.method != Method::GET) {
        for (name, value) in forged {
            let request = route
                .request(&things)
                .header("cookie", "__Host-deskbell=canary-cookie")
                .header(name, value);
            let answer = desk
                .send(
                    As::Nobody,
                    request.body(Body::from("{}")).expect("a request"),
                )
                .await;
            answer.problem(403);
            checked += 1;
        }
    }
    assert!(checked >= 60, "{checked}");
    desk.found(As::Session, "/api/v1/me").await;
}

#[tokio::test]
async fn k03_no_secret_in_any_list_or_answer() {
    let desk = desk().await;
    let things = things(&desk).await;
    let new = serde_json::json!({ "name": "shown once", "scopes": ["read"] });
    let made = desk
        .json(As::Admin, Method::POST, "/api/v1/tokens", &new)
        .await
        .json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let hash = hex::encode(crate::store::entry::secret_hash(&token));
    for route in routes()
        .iter()
        .filter(|route| route.method == Method::GET && route.tag != "events")
    {
        for who in [As::Admin, As::Session] {
            let text = desk.get(who, &route.path_of(&things)).await.text();
            let secrets = [
                token.as_str(),
                &hash,
                "dbk_canary",
                "canary-cookie",
                "canary-server-key",
                "canary-page-secret",
                "canary-bootstrap",
            ];
            for secret in secrets {
                assert!(!text.contains(secret), "{} shows {secret}", route.path);
            }
        }
    }
    assert!(!format!("{:?}", desk.app).contains("canary-page-secret"));
}
