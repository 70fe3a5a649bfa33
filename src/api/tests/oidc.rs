//! Signing in by a provider of identities that lies.

mod elsewhere;
mod forgeries;

use axum::http::{Method, header};
use serde_json::{Value, json};

use crate::api::testing::people::Browser;
use crate::api::testing::{Answer, As, Desk, desk, desk_with, each, noon};
use crate::desk::people::{AddUser, ChangeUser, NewUser};
use crate::id::UserId;
use crate::oidc::stand_in::{Asked, Gives, Signer, StandIn};
use crate::store::entry::{Entry, IdentityEntry, Role, SessionEntry, UserEntry};

const COOKIE: &str = "__Host-deskbell";
const ATTEMPT: &str = "__Host-deskbell-oidc";

/// A desk with a provider.
struct Scene {
    desk: Desk,
    provider: StandIn,
}

async fn scene() -> Scene {
    let provider = StandIn::start().await;
    let oidc = provider.config();
    Scene {
        desk: desk_with(|config| config.auth.oidc = Some(oidc)).await,
        provider,
    }
}

/// Where an answer sends the browser.
fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status.as_u16(), 303, "{}", answer.text());
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    answer.headers[header::LOCATION].to_str().expect("text")
}

/// What `/signin?problem=` says.
fn problem(answer: &Answer) -> &str {
    let to = location(answer);
    to.strip_prefix("/signin?problem=")
        .unwrap_or_else(|| panic!("{to}"))
}

impl Scene {
    /// A browser leaves for the provider.
    async fn leave(&self, browser: &Browser, path: &str) -> Asked {
        let answer = browser.ask(&self.desk, Method::GET, path).await;
        self.provider.asked(location(&answer))
    }

    /// A browser comes back with a query.
    async fn back(&self, browser: &Browser, query: &str) -> Answer {
        let path = format!("/auth/oidc/callback?{query}");
        browser.ask(&self.desk, Method::GET, &path).await
    }

    /// An honest token.
    fn honest(&self, asked: &Asked, person: &str, signer: Signer) -> String {
        let claims = self
            .provider
            .claims(asked, person, self.desk.app.clock.now());
        self.provider.token(signer, &StandIn::head(signer), &claims)
    }

    /// A whole attempt, with a token that is made for it.
    async fn sign_in(&self, browser: &Browser, token: impl FnOnce(&Asked) -> String) -> Answer {
        let asked = self.leave(browser, "/auth/oidc/start").await;
        let code = self.provider.code(&asked, Gives::Token(token(&asked)));
        self.back(browser, &format!("code={code}&state={}", asked.state))
            .await
    }

    async fn sign_in_as(&self, browser: &Browser, person: &str) -> Answer {
        self.sign_in(browser, |asked| self.honest(asked, person, Signer::Es256))
            .await
    }

    /// How many sessions, people and linked identities there are.
    fn inside(&self) -> (usize, usize, usize) {
        let store = &*self.desk.app.store;
        let sessions = SessionEntry::scan(store, &[], None, 10_000).expect("memory");
        let people = UserEntry::scan(store, &[], None, 10_000).expect("memory");
        let identities = IdentityEntry::scan(store, &[], None, 10_000).expect("memory");
        (sessions.len(), people.len(), identities.len())
    }

    /// Adds somebody as they are before they come.
    async fn add(&self, email: &str, role: Role, password: Option<&str>) -> UserId {
        let user = NewUser {
            email: email.to_owned(),
            name: "Somebody".to_owned(),
            role,
            channels: None,
            password: password.map(str::to_owned),
        };
        let added = self
            .desk
            .app
            .writer
            .write(AddUser { user, link: None })
            .await;
        added
            .expect("written")
            .expect("nothing stands against it")
            .0
            .id
    }
}

async fn me(scene: &Scene, browser: &Browser) -> Value {
    let answer = browser.ask(&scene.desk, Method::GET, "/api/v1/me").await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn somebody_comes_in_by_the_provider_and_is_the_same_the_next_time() {
    let scene = scene().await;
    let listed = scene
        .desk
        .get(As::Nobody, "/api/v1/session/providers")
        .await;
    let wanted = json!([{ "id": "oidc", "name": "Invented", "start_url": "/auth/oidc/start" }]);
    assert_eq!(listed.json()["data"], wanted);
    for (number, signer) in (1..).zip(Signer::ALL) {
        let browser = Browser::new(number);
        let path = "/auth/oidc/start?return=/conversations/cnv_1%3Ftab=notes";
        let asked = scene.leave(&browser, path).await;
        let token = scene.honest(&asked, "jana", signer);
        let code = scene.provider.code(&asked, Gives::Token(token));
        // What providers add besides is passed over.
        let query = format!(
            "code={code}&state={}&session_state=x&scope=openid&authuser=0",
            asked.state
        );
        let answer = scene.back(&browser, &query).await;
        assert_eq!(location(&answer), "/conversations/cnv_1?tab=notes");
        assert_eq!(browser.cookie(ATTEMPT), None);
        let me = me(&scene, &browser).await;
        assert_eq!(
            (&me["user"]["email"], &me["role"]),
            (&json!("jana@shop.example"), &json!("agent"))
        );
        assert_eq!(me["name"], "Name of jana");
    }
    assert_eq!(scene.inside(), (4, 1, 1));
    assert_eq!(scene.provider.faults(), Vec::<String>::new());
    let told = scene.desk.found(As::Admin, "/api/v1/audit").await;
    let told = each(&told, "action");
    assert_eq!(
        told,
        [
            "session.begun",
            "session.begun",
            "session.begun",
            "user.linked"
        ]
    );
    // Nobody finds a provider where none is configured.
    let plain = desk().await;
    plain.get(As::Nobody, "/auth/oidc/start").await.problem(404);
    plain
        .get(As::Nobody, "/auth/oidc/callback?code=x")
        .await
        .problem(404);
    let listed = plain.get(As::Nobody, "/api/v1/session/providers").await;
    assert_eq!(listed.json()["data"], json!([]));
}

#[tokio::test]
async fn s10_no_forged_flow_opens_a_door() {
    let scene = scene().await;
    let before = scene.inside();
    let mut tried = 0;
    let honest = |asked: &Asked| Gives::Token(scene.honest(asked, "jana", Signer::Es256));
    // Each: an own browser with an attempt of its own and a good code for it, and what it brings back instead.
    type Change = fn(&str, &str, &str) -> String;
    let changes: &[(&str, Change)] = &[
        ("no state", |code, _, _| format!("code={code}")),
        ("an empty state", |code, _, _| format!("code={code}&state=")),
        ("another state", |code, _, _| {
            format!("code={code}&state={}", "x".repeat(43))
        }),
        ("half of the state", |code, state, _| {
            format!("code={code}&state={}", &state[..42])
        }),
        ("more than the state", |code, state, _| {
            format!("code={code}&state={state}x")
        }),
        ("the state in capitals", |code, state, _| {
            format!("code={code}&state={}", state.to_uppercase() + "A")
        }),
        ("two states", |code, state, _| {
            format!("code={code}&state={state}&state={state}")
        }),
        ("two states, one wrong", |code, state, _| {
            format!("code={code}&state=x&state={state}")
        }),
        ("two codes", |code, state, _| {
            format!("code=x&code={code}&state={state}")
        }),
        ("no code", |_, state, _| format!("state={state}")),
        ("an empty code", |_, state, _| {
            format!("code=&state={state}")
        }),
        ("an unknown code", |_, state, _| {
            format!("code=unknown&state={state}")
        }),
        ("a code without end", |code, state, _| {
            format!("code={code}{}&state={state}", "x".repeat(5_000))
        }),
        ("a code in the fragment", |code, state, _| {
            format!("state={state}%23code={code}")
        }),
        ("a token in the place of a code", |_, state, _| {
            format!("id_token=a.b.c&state={state}")
        }),
        ("another provider", |code, state, _| {
            format!("code={code}&state={state}&iss=https://evil.example")
        }),
        ("another provider in a path", |code, state, issuer| {
            format!("code={code}&state={state}&iss={issuer}/x")
        }),
        ("no provider", |code, state, _| {
            format!("code={code}&state={state}&iss=")
        }),
        ("an error", |code, state, _| {
            format!("code={code}&state={state}&error=server_error")
        }),
        ("a no", |code, state, _| {
            format!("code={code}&state={state}&error=access_denied")
        }),
        ("nothing", |_, _, _| String::new()),
        ("no text", |code, state, _| {
            format!("code={code}&state={state}%FF")
        }),
    ];
    for (what, change) in changes {
        let browser = Browser::new(1);
        let asked = scene.leave(&browser, "/auth/oidc/start").await;
        let code = scene.provider.code(&asked, honest(&asked));
        let query = change(&code, &asked.state, scene.provider.issuer());
        let answer = scene.back(&browser, &query).await;
        let wanted = if *what == "a no" {
            "cancelled"
        } else {
            "provider-refused"
        };
        assert_eq!(problem(&answer), wanted, "{what}");
        assert_eq!(
            (browser.cookie(COOKIE), browser.cookie(ATTEMPT)),
            (None, None),
            "{what}"
        );
        // The attempt is over, whatever is brought afterwards.
        let query = format!("code={code}&state={}", asked.state);
        assert_eq!(
            problem(&scene.back(&browser, &query).await),
            "expired",
            "{what}"
        );
        tried += 2;
    }
    // Answers of the token endpoint that are none.
    let answers = [
        (200, "application/json", "{}".to_owned()),
        (200, "application/json", "[]".to_owned()),
        (
            200,
            "application/json",
            "{\"access_token\":\"x\",\"token_type\":\"Bearer\"}".to_owned(),
        ),
        (200, "text/html", "<p>Sign in</p>".to_owned()),
        (
            200,
            "application/json",
            format!("{{\"id_token\":\"{}\"}}", "x".repeat(2_000_000)),
        ),
        (302, "text/plain", String::new()),
        (
            400,
            "application/json",
            "{\"error\":\"invalid_grant\"}".to_owned(),
        ),
        (
            401,
            "application/json",
            "{\"error\":\"invalid_client\"}".to_owned(),
        ),
        (500, "text/plain", "broken".to_owned()),
    ];
    for (status, kind, body) in answers {
        let browser = Browser::new(1);
        let asked = scene.leave(&browser, "/auth/oidc/start").await;
        let code = scene
            .provider
            .code(&asked, Gives::Answer(status, kind, body));
        let answer = scene
            .back(&browser, &format!("code={code}&state={}", asked.state))
            .await;
        assert!(problem(&answer).starts_with("provider-"), "{status} {kind}");
        assert_eq!(browser.cookie(COOKIE), None, "{status} {kind}");
        tried += 1;
    }
    assert!(tried >= 40, "{tried}");
    assert_eq!(scene.inside(), before);
}

#[tokio::test]
async fn s10_an_attempt_belongs_to_its_browser_and_is_finished_once() {
    let scene = scene().await;
    let before = scene.inside();
    let honest = |asked: &Asked| Gives::Token(scene.honest(asked, "jana", Signer::Es256));
    let (one, other) = (Browser::new(1), Browser::new(2));
    // What one began, another browser cannot finish: neither without an attempt nor with its own.
    let asked = scene.leave(&one, "/auth/oidc/start").await;
    let code = scene.provider.code(&asked, honest(&asked));
    let query = format!("code={code}&state={}", asked.state);
    assert_eq!(problem(&scene.back(&other, &query).await), "expired");
    let others = scene.leave(&other, "/auth/oidc/start").await;
    assert_eq!(
        problem(&scene.back(&other, &query).await),
        "provider-refused"
    );
    // A code that belongs to another attempt has another verifier.
    let others_again = scene.leave(&other, "/auth/oidc/start").await;
    assert_ne!(others.state, others_again.state);
    let query = format!("code={code}&state={}", others_again.state);
    assert_eq!(
        problem(&scene.back(&other, &query).await),
        "provider-refused"
    );
    assert_eq!(scene.provider.faults(), ["verifier"]);
    // A cookie that was changed anywhere is none, and so is one of another desk.
    let asked = scene.leave(&one, "/auth/oidc/start").await;
    let cookie = one.cookie(ATTEMPT).expect("an attempt");
    let stranger = crate::seal::Sealer::new(&deskbell_sdk::Secret::new("another key"), &[]);
    let sealed = stranger.seal(
        crate::seal::Place::SIGN_IN,
        &deskbell_sdk::Secret::new("{}"),
    );
    assert!(sealed.is_ok());
    for at in (0..cookie.len()).step_by(cookie.len() / 40) {
        let mut changed = cookie.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let browser = Browser::new(3);
        browser.set_cookie(ATTEMPT, &String::from_utf8(changed).expect("text"));
        let code = scene.provider.code(&asked, honest(&asked));
        let query = format!("code={code}&state={}", asked.state);
        assert_eq!(
            problem(&scene.back(&browser, &query).await),
            "expired",
            "{at}"
        );
    }
    // Eleven minutes later it is over.
    scene
        .desk
        .app
        .clock
        .turn_to(noon().plus_millis(11 * 60 * 1000));
    let code = scene.provider.code(&asked, honest(&asked));
    let query = format!("code={code}&state={}", asked.state);
    assert_eq!(problem(&scene.back(&one, &query).await), "expired");
    assert_eq!(scene.inside(), before);
    // Fifty times at once with a cookie that was kept: one gets in.
    let asked = scene.leave(&one, "/auth/oidc/start").await;
    let cookie = one.cookie(ATTEMPT).expect("an attempt");
    let browsers: Vec<_> = (0..50)
        .map(|number| {
            let browser = Browser::new(100 + number);
            browser.set_cookie(ATTEMPT, &cookie);
            browser
        })
        .collect();
    let attempts = browsers.iter().map(|browser| {
        let code = scene.provider.code(&asked, honest(&asked));
        let query = format!("code={code}&state={}", asked.state);
        let scene = &scene;
        async move { location(&scene.back(browser, &query).await) == "/" }
    });
    let inside = futures_util::future::join_all(attempts).await;
    assert_eq!(inside.iter().filter(|inside| **inside).count(), 1);
    assert_eq!(scene.inside(), (before.0 + 1, before.1 + 1, before.2 + 1));
}

#[tokio::test]
async fn s10_a_provider_that_names_itself_must_do_so_and_new_keys_are_read() {
    let scene = scene().await;
    scene
        .provider
        .publish(json!({ "authorization_response_iss_parameter_supported": true }));
    let browser = Browser::new(1);
    assert_eq!(
        problem(&scene.sign_in_as(&browser, "jana").await),
        "provider-refused"
    );
    let asked = scene.leave(&browser, "/auth/oidc/start").await;
    let token = scene.honest(&asked, "jana", Signer::Es256);
    let code = scene.provider.code(&asked, Gives::Token(token));
    let issuer = scene.provider.issuer();
    let query = format!("code={code}&state={}&iss={issuer}", asked.state);
    assert_eq!(location(&scene.back(&browser, &query).await), "/");
    // The provider begins to use a key that is not known yet: it is read once, and the old ones are no longer believed.
    let read = scene.provider.keys_read();
    scene.provider.publish_keys(&[Signer::Stranger]);
    let sign_in = |signer: Signer| {
        let browser = Browser::new(2);
        let scene = &scene;
        async move {
            let asked = scene.leave(&browser, "/auth/oidc/start").await;
            let token = scene.honest(&asked, "jana", signer);
            let code = scene.provider.code(&asked, Gives::Token(token));
            let query = format!(
                "code={code}&state={}&iss={}",
                asked.state,
                scene.provider.issuer()
            );
            location(&scene.back(&browser, &query).await).to_owned()
        }
    };
    assert_eq!(sign_in(Signer::Stranger).await, "/");
    assert_eq!(scene.provider.keys_read(), read + 1);
    assert_eq!(sign_in(Signer::Stranger).await, "/");
    assert_eq!(scene.provider.keys_read(), read + 1);
    assert_eq!(
        sign_in(Signer::Es256).await,
        "/signin?problem=provider-refused"
    );
}

#[tokio::test]
async fn s10_a_provider_that_calls_itself_otherwise_or_names_an_unsafe_place_is_not_asked() {
    for changes in [
        json!({ "issuer": "https://evil.example" }),
        json!({ "issuer": null }),
        json!({ "token_endpoint": "http://evil.example/token" }),
        json!({ "jwks_uri": "http://192.0.2.1/keys" }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "jwks_uri": "file:///etc/passwd" }),
    ] {
        let scene = scene().await;
        scene.provider.publish(changes.clone());
        let browser = Browser::new(1);
        let answer = browser
            .ask(&scene.desk, Method::GET, "/auth/oidc/start")
            .await;
        assert_eq!(problem(&answer), "provider-unavailable", "{changes}");
    }
}

#[tokio::test]
async fn s10_an_address_opens_no_account_that_somebody_has() {
    let scene = scene().await;
    let refused = async |person: &str| {
        let browser = Browser::new(1);
        let answer = scene.sign_in_as(&browser, person).await;
        assert_eq!(browser.cookie(COOKIE), None);
        problem(&answer).to_owned()
    };
    // An administrator's, invited or not; one with a password; a closed one; one with a second factor.
    scene.add("boss@shop.example", Role::Admin, None).await;
    scene
        .add("chief@shop.example", Role::Admin, Some("a hash"))
        .await;
    scene
        .add("agent@shop.example", Role::Agent, Some("a hash"))
        .await;
    let closed = scene.add("closed@shop.example", Role::Agent, None).await;
    let close = async |id: UserId, disabled: bool| {
        let change = ChangeUser {
            disabled: Some(disabled),
            ..ChangeUser::of(id)
        };
        let changed = scene.desk.app.writer.write(change).await.expect("written");
        changed.expect("nothing stands against it");
    };
    close(closed, true).await;
    assert_eq!(refused("boss").await, "account-exists");
    assert_eq!(refused("chief").await, "account-exists");
    assert_eq!(refused("agent").await, "account-exists");
    assert_eq!(refused("closed").await, "account-disabled");
    // Who was invited comes in, and is known by the subject from then on, whatever the address says.
    let invited = scene.add("Invited@shop.example", Role::Viewer, None).await;
    let browser = Browser::new(2);
    assert_eq!(location(&scene.sign_in_as(&browser, "invited").await), "/");
    let shown = me(&scene, &browser).await;
    assert_eq!(
        (&shown["id"], &shown["role"]),
        (&json!(invited), &json!("viewer"))
    );
    let moved = scene.sign_in(&browser, |asked| {
        let mut claims = scene.provider.claims(asked, "invited", noon());
        claims["email"] = json!("boss@shop.example");
        scene
            .provider
            .token(Signer::Es256, &StandIn::head(Signer::Es256), &claims)
    });
    assert_eq!(location(&moved.await), "/");
    assert_eq!(me(&scene, &browser).await["id"], json!(invited));
    // Another subject with the same address is somebody else.
    let third = Browser::new(3);
    let other = scene.sign_in(&third, |asked| {
        let mut claims = scene.provider.claims(asked, "invited", noon());
        claims["sub"] = json!("somebody-else");
        scene
            .provider
            .token(Signer::Es256, &StandIn::head(Signer::Es256), &claims)
    });
    assert_eq!(problem(&other.await), "account-exists");
    // A closed account stays closed, and its open sessions are over.
    close(invited, true).await;
    assert_eq!(refused("invited").await, "account-disabled");
    assert_eq!(
        browser
            .ask(&scene.desk, Method::GET, "/api/v1/me")
            .await
            .status,
        401
    );
    close(invited, false).await;
    // A second factor of the desk's is not passed by.
    let mut user = UserEntry::get(&*scene.desk.app.store, &invited.key())
        .expect("memory")
        .expect("there");
    user.two_factor = true;
    let group = crate::store::Group {
        puts: vec![user.put(invited.key().to_vec())],
        ..Default::default()
    };
    scene.desk.app.store.commit(group).expect("memory");
    assert_eq!(refused("invited").await, "two-factor");
}

#[tokio::test]
async fn s10_nobody_comes_uninvited_unless_the_operator_says_so() {
    let provider = StandIn::start().await;
    let mut oidc = provider.config();
    oidc.create = false;
    let desk = desk_with(|config| config.auth.oidc = Some(oidc)).await;
    let scene = Scene { desk, provider };
    let browser = Browser::new(1);
    assert_eq!(
        problem(&scene.sign_in_as(&browser, "jana").await),
        "not-invited"
    );
    // Microsoft's word for an address counts as one.
    scene.add("jana@shop.example", Role::Agent, None).await;
    let by_microsoft = |word: Value| {
        let scene = &scene;
        let browser = Browser::new(2);
        async move {
            let answer = scene.sign_in(&browser, |asked| {
                let mut claims = scene.provider.claims(asked, "jana", noon());
                claims
                    .as_object_mut()
                    .expect("an object")
                    .remove("email_verified");
                claims["xms_edov"] = word;
                scene
                    .provider
                    .token(Signer::Rs256, &StandIn::head(Signer::Rs256), &claims)
            });
            location(&answer.await).to_owned()
        }
    };
    for word in [
        json!(false),
        json!(0),
        json!("0"),
        json!("yes"),
        Value::Null,
    ] {
        assert_eq!(
            by_microsoft(word).await,
            "/signin?problem=email-not-verified"
        );
    }
    assert_eq!(by_microsoft(json!(true)).await, "/");
}
