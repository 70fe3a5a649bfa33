//! Signing in by a provider of identities that lies.

use axum::http::{Method, header};
use serde_json::{Value, json};

use crate::api::testing::people::Browser;
use crate::api::testing::{Answer, As, Desk, desk, desk_with, each, noon};
use crate::desk::people::{AddUser, ChangeUser, NewUser};
use crate::id::UserId;
use crate::oidc::stand_in::{
    Asked, CLIENT_SECRET, Gives, Signer, StandIn, unsigned, with_shared_secret,
};
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

/// A change of a token that must not be believed.
type Forge = (&'static str, fn(&mut Value, &mut Value));

/// Changes of head and claims. What is forged is signed by the right key.
const FORGED_CLAIMS: &[Forge] = &[
    ("another issuer", |_, claims| {
        claims["iss"] = json!("https://evil.example")
    }),
    ("an issuer with a slash", |_, claims| {
        claims["iss"] = json!(format!("{}/", claims["iss"].as_str().expect("a text")));
    }),
    ("an issuer in capitals", |_, claims| {
        claims["iss"] = json!(claims["iss"].as_str().expect("a text").to_uppercase());
    }),
    ("no issuer", |_, claims| {
        drop(claims.as_object_mut().expect("an object").remove("iss"))
    }),
    ("a number for an issuer", |_, claims| {
        claims["iss"] = json!(7)
    }),
    ("a list of issuers", |_, claims| {
        claims["iss"] = json!([claims["iss"]])
    }),
    ("another audience", |_, claims| {
        claims["aud"] = json!("another-client")
    }),
    ("another audience in a list", |_, claims| {
        claims["aud"] = json!(["another-client"])
    }),
    ("a second audience", |_, claims| {
        claims["aud"] = json!(["the-desk", "another-client"])
    }),
    ("no audience", |_, claims| {
        drop(claims.as_object_mut().expect("an object").remove("aud"))
    }),
    ("an empty audience", |_, claims| claims["aud"] = json!([])),
    ("a null audience", |_, claims| claims["aud"] = Value::Null),
    ("half of our name", |_, claims| {
        claims["aud"] = json!("the-des")
    }),
    ("our name in capitals", |_, claims| {
        claims["aud"] = json!("THE-DESK")
    }),
    ("no nonce", |_, claims| {
        drop(claims.as_object_mut().expect("an object").remove("nonce"))
    }),
    ("another nonce", |_, claims| {
        claims["nonce"] = json!("x".repeat(43))
    }),
    ("an empty nonce", |_, claims| claims["nonce"] = json!("")),
    ("a null nonce", |_, claims| claims["nonce"] = Value::Null),
    ("half of the nonce", |_, claims| {
        claims["nonce"] = json!(claims["nonce"].as_str().expect("a text")[..42]);
    }),
    ("too old", |_, claims| {
        claims["exp"] = json!(claims["iat"].as_i64().expect("a number") - 1)
    }),
    ("too old by nothing", |_, claims| {
        claims["exp"] = claims["iat"].clone()
    }),
    ("no end", |_, claims| {
        drop(claims.as_object_mut().expect("an object").remove("exp"))
    }),
    ("an end in words", |_, claims| {
        claims["exp"] = json!("never")
    }),
    ("an end before all time", |_, claims| {
        claims["exp"] = json!(-1)
    }),
    ("made tomorrow", |_, claims| {
        claims["iat"] = json!(claims["iat"].as_i64().expect("a number") + 86_400);
        claims["exp"] = json!(claims["iat"].as_i64().expect("a number") + 300);
    }),
    ("made never", |_, claims| {
        drop(claims.as_object_mut().expect("an object").remove("iat"))
    }),
    ("not yet valid", |_, claims| {
        claims["nbf"] = json!(claims["iat"].as_i64().expect("a number") + 120);
    }),
    ("valid from words on", |_, claims| {
        claims["nbf"] = json!("soon")
    }),
    ("nobody", |_, claims| {
        drop(claims.as_object_mut().expect("an object").remove("sub"))
    }),
    ("an empty subject", |_, claims| claims["sub"] = json!("")),
    ("a null subject", |_, claims| claims["sub"] = Value::Null),
    ("a number for a subject", |_, claims| {
        claims["sub"] = json!(1)
    }),
    ("a subject without end", |_, claims| {
        claims["sub"] = json!("s".repeat(256))
    }),
    ("made for another client", |_, claims| {
        claims["azp"] = json!("another-client")
    }),
    ("an address that is not theirs", |_, claims| {
        claims["email_verified"] = json!(false)
    }),
    ("an address of which nothing is said", |_, claims| {
        drop(
            claims
                .as_object_mut()
                .expect("an object")
                .remove("email_verified"),
        );
    }),
    ("an address that words call theirs", |_, claims| {
        claims["email_verified"] = json!("true")
    }),
    ("an address that a number calls theirs", |_, claims| {
        claims["email_verified"] = json!(1)
    }),
    ("no address", |_, claims| {
        drop(claims.as_object_mut().expect("an object").remove("email"))
    }),
    ("an address elsewhere", |_, claims| {
        claims["email"] = json!("jana@evil.example")
    }),
    ("an address below the domain", |_, claims| {
        claims["email"] = json!("jana@a.shop.example")
    }),
    ("an address beside the domain", |_, claims| {
        claims["email"] = json!("jana@evilshop.example")
    }),
    ("two addresses", |_, claims| {
        claims["email"] = json!("jana@shop.example@evil.example")
    }),
    ("an address with a line", |_, claims| {
        claims["email"] = json!("jana@evil.example\n@shop.example")
    }),
    ("the administrator's address", |_, claims| {
        claims["email"] = json!("admin@shop.example")
    }),
    ("somebody's address", |_, claims| {
        claims["email"] = json!(" Agent@SHOP.example")
    }),
    ("a key that nobody knows", |head, _| {
        head["kid"] = json!("nobody's")
    }),
    ("an algorithm of another key", |head, _| {
        head["alg"] = match head["alg"].as_str() {
            Some("ES256") => json!("RS256"),
            _ => json!("ES256"),
        };
    }),
    ("an algorithm that nobody knows", |head, _| {
        head["alg"] = json!("XS256")
    }),
    ("no algorithm", |head, _| {
        drop(head.as_object_mut().expect("an object").remove("alg"))
    }),
    ("something critical", |head, _| {
        head["crit"] = json!(["exp"])
    }),
    ("a token in a token", |head, _| head["cty"] = json!("JWT")),
    ("an access token", |head, _| head["typ"] = json!("at+jwt")),
];

/// Tokens that are signed wrongly, not at all, or by somebody else.
fn wrongly_signed(scene: &Scene, asked: &Asked, signer: Signer, person: &str) -> Vec<String> {
    let provider = &scene.provider;
    let claims = provider.claims(asked, person, scene.desk.app.clock.now());
    let head = StandIn::head(signer);
    let honest = provider.token(signer, &head, &claims);
    let parts: Vec<&str> = honest.split('.').collect();
    let with = |algorithm: &str| {
        let mut head = head.clone();
        head["alg"] = json!(algorithm);
        head
    };
    let by_stranger = |head: &Value| provider.token(Signer::Stranger, head, &claims);
    let mut own_key = StandIn::head(signer);
    own_key["alg"] = json!("ES256");
    own_key["jwk"] = provider.published(Signer::Stranger);
    let mut own_place = own_key.clone();
    own_place["jku"] = json!("https://evil.example/keys");
    own_place["x5u"] = json!("https://evil.example/chain");
    let mut nameless = own_key.clone();
    nameless.as_object_mut().expect("an object").remove("kid");
    let mut other_claims = claims.clone();
    other_claims["sub"] = json!("somebody-else");
    let swapped = unsigned(&head, &other_claims);
    let none = unsigned(&with("none"), &claims);
    let flipped = {
        let first = if parts[2].starts_with('A') { 'B' } else { 'A' };
        format!("{}.{}.{first}{}", parts[0], parts[1], &parts[2][1..])
    };
    vec![
        format!("{none}."),
        format!("{none}.{}", parts[2]),
        format!("{}.", unsigned(&with("None"), &claims)),
        format!("{}.", unsigned(&with("NONE"), &claims)),
        with_shared_secret(CLIENT_SECRET.as_bytes(), &with("HS256"), &claims),
        with_shared_secret(&provider.public(signer), &with("HS256"), &claims),
        with_shared_secret(
            provider.published(signer).to_string().as_bytes(),
            &with("HS256"),
            &claims,
        ),
        with_shared_secret(b"", &with("HS256"), &claims),
        by_stranger(&own_key),
        by_stranger(&own_place),
        by_stranger(&nameless),
        by_stranger(&StandIn::head(Signer::Stranger)),
        format!("{swapped}.{}", parts[2]),
        flipped,
        format!(
            "{}.{}.{}",
            parts[0],
            parts[1],
            &parts[2][..parts[2].len() - 4]
        ),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{honest}.{}", parts[2]),
        format!("{}.{}.{}", parts[1], parts[0], parts[2]),
        format!("{honest} "),
        String::new(),
        "null".to_owned(),
        "...".to_owned(),
    ]
}

#[tokio::test]
async fn s10_no_forged_token_opens_a_door() {
    let scene = scene().await;
    scene.add("admin@shop.example", Role::Admin, None).await;
    scene
        .add("agent@shop.example", Role::Agent, Some("a hash"))
        .await;
    let before = scene.inside();
    let browser = Browser::new(1);
    let mut tried = 0;
    for (signer, people) in
        Signer::ALL
            .into_iter()
            .zip([["jana", "ivan"], ["eva", "petr"], ["ola", "max"]])
    {
        for person in people {
            for (what, forge) in FORGED_CLAIMS {
                let answer = scene.sign_in(&browser, |asked| {
                    let mut claims = scene.provider.claims(asked, person, noon());
                    let mut head = StandIn::head(signer);
                    forge(&mut head, &mut claims);
                    scene.provider.token(signer, &head, &claims)
                });
                let answer = answer.await;
                assert!(!problem(&answer).is_empty());
                assert_eq!(browser.cookie(COOKIE), None, "{what} by {signer:?}");
                tried += 1;
            }
            let count = wrongly_signed(
                &scene,
                &scene.leave(&browser, "/auth/oidc/start").await,
                signer,
                person,
            )
            .len();
            for number in 0..count {
                let answer = scene.sign_in(&browser, |asked| {
                    wrongly_signed(&scene, asked, signer, person).swap_remove(number)
                });
                let problem = problem(&answer.await).to_owned();
                assert_eq!(problem, "provider-refused", "{number} by {signer:?}");
                assert_eq!(browser.cookie(COOKIE), None, "{number} by {signer:?}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 400, "{tried}");
    assert_eq!(scene.inside(), before);
    // The same without a forgery opens it: it was the forgeries that were refused.
    for (signer, person) in Signer::ALL.into_iter().zip(["jana", "eva", "ola"]) {
        let browser = Browser::new(2);
        let answer = scene.sign_in(&browser, |asked| scene.honest(asked, person, signer));
        assert_eq!(location(&answer.await), "/");
        assert_eq!(
            me(&scene, &browser).await["name"],
            format!("Name of {person}")
        );
    }
    assert_eq!(scene.provider.faults(), Vec::<String>::new());
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
