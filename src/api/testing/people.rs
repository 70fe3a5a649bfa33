//! People of the shop for tests, and the browsers that they come with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::{Method, Request, header};
use deskbell_sdk::Secret;
use serde_json::{Value, json};

use super::{Answer, As, Desk};
use crate::access::passwords::Lane;
use crate::desk::people::{AddUser, NewUser};
use crate::id::UserId;
use crate::server::ClientAddress;
use crate::store::entry::Role;

/// The password of everybody in the tests.
pub(crate) const PASSWORD: &str = "seven blue umbrellas";

/// Its hash, made once: a hash takes its time by intent.
async fn password_hash(desk: &Desk) -> String {
    static HASH: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    let made = HASH.get_or_init(|| async {
        let hash = desk
            .app
            .access
            .passwords
            .hash(Lane::Known, Secret::new(PASSWORD));
        hash.await.expect("nobody else asks")
    });
    made.await.clone()
}

/// A browser: it keeps cookies, has an address, and asks from the desk's own page.
#[derive(Debug)]
pub(crate) struct Browser {
    address: IpAddr,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    /// One that was never here, at an address of its own.
    pub(crate) fn new(number: u32) -> Self {
        Self {
            address: IpAddr::from((0xC633_6400 + number).to_be_bytes()),
            cookies: Mutex::default(),
        }
    }

    /// A cookie that it keeps.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.cookies.lock().expect("not poisoned");
        cookies.get(name).cloned()
    }

    /// Puts a cookie into it.
    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.lock().expect("not poisoned");
        cookies.insert(name.to_owned(), value.to_owned());
    }

    /// What it would send.
    pub(crate) fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let cookies = self.cookies.lock().expect("not poisoned");
        let cookies: Vec<_> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("sec-fetch-site", "same-origin")
            .header(header::USER_AGENT, "Invented/1.0")
            .extension(ClientAddress(self.address));
        if cookies.is_empty() {
            return request;
        }
        request.header(header::COOKIE, cookies.join("; "))
    }

    /// Sends a request as it is, and keeps the cookies of the answer.
    pub(crate) async fn send(&self, desk: &Desk, request: Request<Body>) -> Answer {
        let answer = desk.send(As::Nobody, request).await;
        let mut cookies = self.cookies.lock().expect("not poisoned");
        for set in answer.headers.get_all(header::SET_COOKIE) {
            let set = set.to_str().expect("text");
            let pair = set.split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a pair");
            if value.is_empty() {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        drop(cookies);
        answer
    }

    /// Sends JSON.
    pub(crate) async fn json(
        &self,
        desk: &Desk,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Answer {
        let request = self
            .request(method, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()));
        self.send(desk, request.expect("a request")).await
    }

    /// Sends a request without a body.
    pub(crate) async fn ask(&self, desk: &Desk, method: Method, path: &str) -> Answer {
        let request = self.request(method, path).body(Body::empty());
        self.send(desk, request.expect("a request")).await
    }

    /// Signs in.
    pub(crate) async fn sign_in(&self, desk: &Desk, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.json(desk, Method::POST, "/api/v1/session", &body)
            .await
    }
}

/// Puts entries where they are.
struct Plant(Vec<crate::store::Put>);

impl crate::desk::Decision for Plant {
    type Answer = ();

    fn decide(&self, draft: &mut crate::store::draft::Draft<'_>) -> crate::store::Found<()> {
        for put in &self.0 {
            draft.put(put.clone());
        }
        Ok(())
    }
}

impl Desk {
    /// The ring of a conversation that rings.
    pub(crate) fn ring_of(&self, conversation: &str) -> String {
        let id = conversation.parse().expect("an id");
        let scope = crate::store::Scope::of_all_channels();
        let found = self.app.store.conversation(&scope, id).expect("readable");
        let ring = found.and_then(|conversation| conversation.ring);
        ring.expect("it rings").to_string()
    }

    /// People with the ids `usr_0000000000001` and so on, and as many teams, for tests that give things to somebody.
    pub(crate) async fn invent_people(&self, count: u64) {
        use crate::store::entry::{Entry as _, TeamEntry, UserEntry};
        let now = self.app.clock.now();
        let mut puts = Vec::new();
        for number in 1..=count {
            let user = UserEntry {
                id: UserId(number),
                email: format!("{number}@invented.example"),
                name: format!("Invented {number}"),
                role: Role::Agent,
                channels: None,
                password: None,
                disabled: false,
                joined_at: Some(now),
                generation: 0,
                invitation: None,
                available: true,
                created_at: now,
                last_seen_at: None,
                two_factor: false,
            };
            puts.push(user.put(user.id.key().to_vec()));
            let team = TeamEntry {
                id: crate::id::TeamId(number),
                name: format!("Team {number}"),
                members: BTreeSet::new(),
                created_at: now,
                dissolved_at: None,
            };
            puts.push(team.put(team.id.key().to_vec()));
        }
        self.app.writer.write(Plant(puts)).await.expect("written");
    }

    /// Adds a person with [`PASSWORD`].
    pub(crate) async fn add_user(
        &self,
        email: &str,
        role: Role,
        channels: Option<&[&str]>,
    ) -> UserId {
        let slugs = |all: &[&str]| -> BTreeSet<String> {
            all.iter().map(|slug| (*slug).to_owned()).collect()
        };
        let add = AddUser {
            user: NewUser {
                email: email.to_owned(),
                name: format!("Name of {email}"),
                role,
                channels: channels.map(slugs),
                password: Some(password_hash(self).await),
            },
            link: None,
        };
        let added = self.app.writer.write(add).await.expect("written");
        added.expect("nothing stands against it").0.id
    }

    /// Adds a person and signs them in.
    pub(crate) async fn person(
        &self,
        email: &str,
        role: Role,
        channels: Option<&[&str]>,
    ) -> (UserId, Browser) {
        let id = self.add_user(email, role, channels).await;
        let browser = Browser::new(u32::try_from(id.0 % 251).expect("small"));
        let answer = browser.sign_in(self, email, PASSWORD).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
        (id, browser)
    }
}
