//! The people of the shop: adding, changing, inviting them, and what they set for themselves.

use axum::http::{Method, header};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::api::testing::people::{Browser, PASSWORD};
use crate::api::testing::{As, Desk, desk, each};
use crate::store::entry::{Entry, Role, SettingEntry};

async fn added(desk: &Desk, body: &Value) -> Value {
    let answer = desk
        .json(As::Admin, Method::POST, "/api/v1/users", body)
        .await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    answer.json()
}

/// What stands behind the `#` of a link.
fn token_of(link: &Value) -> String {
    let url = link["url"].as_str().expect("a link");
    let token = url.strip_prefix("https://desk.example/join#");
    token.expect("behind the # of our own address").to_owned()
}

async fn accept(desk: &Desk, browser: &Browser, token: &str, password: &str) -> u16 {
    let body = json!({ "token": token, "name": "Eva", "password": password });
    let answer = browser
        .json(desk, Method::POST, "/api/v1/invitations/accept", &body)
        .await;
    answer.status.as_u16()
}

#[tokio::test]
async fn people_are_added_listed_and_changed() {
    let desk = desk().await;
    let new = json!({ "email": "jana@shop.example", "name": " Jana ", "role": "agent", "channels": ["shop"],
        "password": PASSWORD });
    let jana = added(&desk, &new).await;
    assert_eq!(
        (&jana["name"], &jana["status"], &jana["channels"]),
        (&json!("Jana"), &json!("active"), &json!(["shop"]))
    );
    assert!(jana.get("password").is_none() && jana.get("invitation").is_none());
    let eva = added(
        &desk,
        &json!({ "email": "eva@shop.example", "name": "Eva", "role": "admin" }),
    )
    .await;
    assert_eq!(
        (&eva["status"], &eva["channels"]),
        (&json!("invited"), &json!("all"))
    );
    let list = desk.found(As::Admin, "/api/v1/users?limit=1").await;
    assert_eq!(each(&list, "id"), [&jana["id"]]);
    let next = format!(
        "/api/v1/users?cursor={}",
        list["next"].as_str().expect("more")
    );
    assert_eq!(
        each(&desk.found(As::Admin, &next).await, "id"),
        [&eva["id"]]
    );
    let invited = desk.found(As::Admin, "/api/v1/users?status=invited").await;
    assert_eq!(each(&invited, "id"), [&eva["id"]]);
    desk.get(As::Admin, "/api/v1/users?status=gone")
        .await
        .problem(400);

    let path = format!("/api/v1/users/{}", jana["id"].as_str().expect("an id"));
    let change = json!({ "name": "Jana N.", "email": "JANA.n@shop.example", "role": "viewer", "channels": "all" });
    let changed = desk
        .json(As::Admin, Method::PATCH, &path, &change)
        .await
        .json();
    for field in ["name", "email", "role", "channels"] {
        assert_eq!(changed[field], change[field]);
    }
    assert_eq!(desk.found(As::Admin, &path).await, changed);
    let browser = Browser::new(1);
    assert_eq!(
        browser
            .sign_in(&desk, "jana@shop.example", PASSWORD)
            .await
            .status
            .as_u16(),
        401
    );
    assert_eq!(
        browser
            .sign_in(&desk, "jana.n@shop.example", PASSWORD)
            .await
            .status
            .as_u16(),
        201
    );
    // The address that she left is free, the one that she has is not.
    added(
        &desk,
        &json!({ "email": "jana@shop.example", "name": "Another", "role": "viewer" }),
    )
    .await;
    let taken = json!({ "email": "Jana.N@shop.example", "name": "x", "role": "viewer" });
    desk.json(As::Admin, Method::POST, "/api/v1/users", &taken)
        .await
        .problem(409);
    desk.json(
        As::Admin,
        Method::PATCH,
        &path,
        &json!({ "email": "eva@shop.example" }),
    )
    .await
    .problem(409);
    desk.get(As::Admin, "/api/v1/users/usr_0000000000001")
        .await
        .problem(404);

    for (field, wrong) in [
        ("/name", json!({ "name": "  " })),
        ("/name", json!({ "name": "x".repeat(301) })),
        ("/email", json!({ "email": "no address" })),
        ("/email", json!({ "email": "a@" })),
        ("/email", json!({ "email": "a@b@c" })),
        (
            "/email",
            json!({ "email": format!("{}@shop.example", "x".repeat(250)) }),
        ),
        ("/role", json!({ "role": "owner" })),
        ("/channels", json!({ "channels": ["nowhere"] })),
        ("/channels", json!({ "channels": "some" })),
        (
            "/channels",
            json!({ "role": "admin", "channels": ["shop"] }),
        ),
        ("/password", json!({ "password": "short" })),
        ("/password", json!({ "password": "password123" })),
        ("/password", json!({ "password": "jana.n@shop.example" })),
    ] {
        let answer = desk.json(As::Admin, Method::PATCH, &path, &wrong).await;
        assert_eq!(answer.bad_field(), field, "{wrong}");
        let mut new = json!({ "email": "new@shop.example", "name": "New", "role": "viewer" });
        for (key, value) in wrong.as_object().expect("an object") {
            new[key] = value.clone();
        }
        if wrong != json!({ "password": "jana.n@shop.example" }) {
            let answer = desk
                .json(As::Admin, Method::POST, "/api/v1/users", &new)
                .await;
            assert_eq!(answer.bad_field(), field, "{new}");
        }
    }
    assert_eq!(desk.found(As::Admin, &path).await["name"], "Jana N.");
}

#[tokio::test]
async fn a_person_is_added_once_for_each_key_and_the_key_tells_no_password() {
    let desk = desk().await;
    let new = json!({ "email": "eva@shop.example", "name": "Eva", "role": "agent" });
    let add = async |body: &Value, key: &str| {
        desk.json_with_key(As::Admin, Method::POST, "/api/v1/users", body, Some(key))
            .await
    };
    let first = add(&new, "one").await.json();
    let again = add(&new, "one").await;
    assert_eq!(again.status.as_u16(), 201);
    assert_eq!(again.json(), first, "with the same link");
    let mut other = new.clone();
    other["name"] = json!("Another");
    add(&other, "one").await.problem(422);
    add(&new, "two").await.problem(409);
    add(&new, "two").await.problem(409);
    let link = first["invitation"].clone();
    assert_eq!(
        accept(&desk, &Browser::new(1), &token_of(&link), PASSWORD).await,
        201
    );
    let used = add(&new, "one").await.json();
    assert!(used.get("invitation").is_none(), "{used}");
    let with = json!({ "email": "jana@shop.example", "name": "Jana", "role": "agent", "password": PASSWORD });
    assert_eq!(add(&with, "three").await.json()["status"], "active");
    let hash = |body: &Value| {
        use sha2::Digest as _;
        sha2::Sha256::digest(body.to_string()).to_vec()
    };
    let kept = crate::store::entry::IdempotencyEntry::scan(&*desk.app.store, &[], None, 100)
        .expect("readable");
    assert!(kept.iter().all(|(_, entry)| entry.body != hash(&with)));
    // A link by itself, too.
    let path = format!(
        "/api/v1/users/{}/invitation",
        first["id"].as_str().expect("an id")
    );
    let invite = async |key: &str| {
        desk.json_with_key(As::Admin, Method::POST, &path, &json!({}), Some(key))
            .await
    };
    let link = invite("four").await;
    assert_eq!(link.status.as_u16(), 201, "{}", link.text());
    assert_eq!(invite("four").await.json(), link.json());
    assert_ne!(invite("five").await.json()["url"], link.json()["url"]);
    invite("four").await.problem(409);
}

#[tokio::test]
async fn s07_a_link_works_once_for_a_day_for_its_account_and_for_nothing_else() {
    let desk = desk().await;
    let eva = added(
        &desk,
        &json!({ "email": "eva@shop.example", "name": "Eva", "role": "agent" }),
    )
    .await;
    let id = eva["id"].as_str().expect("an id");
    let link = async || {
        let path = format!("/api/v1/users/{id}/invitation");
        desk.json(As::Admin, Method::POST, &path, &json!({}))
            .await
            .json()
    };
    let older = token_of(&eva["invitation"]);
    let newer = link().await;
    let ends = "2026-11-22T12:00:00.000Z";
    assert_eq!(newer["expires_at"], ends, "a day");
    let token = token_of(&newer);
    assert!(token.len() == 43 && token != older, "256 bits");
    let browser = Browser::new(1);
    let look = async |token: &Value| {
        let body = json!({ "token": token });
        browser
            .json(&desk, Method::POST, "/api/v1/invitations/look", &body)
            .await
    };
    let seen = look(&json!(token)).await;
    assert_eq!(
        seen.json(),
        json!({ "email": "eva@shop.example", "name": "Eva", "expires_at": ends })
    );
    let hash = hex::encode(crate::store::entry::secret_hash(&token));
    let mut wrong = vec![
        older,
        String::new(),
        "null".to_owned(),
        "undefined".to_owned(),
        format!("{token} "),
        format!("{token}A"),
        token.to_uppercase(),
        hash,
        "A".repeat(43),
        id.to_owned(),
        "\0".to_owned(),
        "%00".to_owned(),
    ];
    wrong.extend((1..token.len()).map(|length| token[..length].to_owned()));
    for wrong in wrong {
        look(&json!(wrong)).await.problem(404);
        assert_eq!(
            accept(&desk, &browser, &wrong, PASSWORD).await,
            404,
            "{wrong:?}"
        );
    }
    for no_text in [
        Value::Null,
        json!(0),
        json!(true),
        json!([token]),
        json!({ "token": token }),
    ] {
        look(&no_text).await.problem(422);
    }
    // A password that is refused uses nothing up.
    assert_eq!(accept(&desk, &browser, &token, "password123").await, 422);
    // Of many at once one gets through.
    let browsers: Vec<_> = (10..40).map(Browser::new).collect();
    let tries = join_all(
        browsers
            .iter()
            .map(|browser| accept(&desk, browser, &token, PASSWORD)),
    )
    .await;
    let won = tries.iter().filter(|status| **status == 201).count();
    assert_eq!(won, 1, "{tries:?}");
    assert!(
        tries.iter().all(|status| [201, 404, 429].contains(status)),
        "{tries:?}"
    );
    assert_eq!(accept(&desk, &browser, &token, PASSWORD).await, 404, "used");
    assert_eq!(
        browser
            .sign_in(&desk, "eva@shop.example", PASSWORD)
            .await
            .status
            .as_u16(),
        201
    );

    // The same way leads to a new password. What was open before is over.
    let reset = token_of(&link().await);
    assert_eq!(
        browser
            .ask(&desk, Method::GET, "/api/v1/me")
            .await
            .status
            .as_u16(),
        200,
        "not yet"
    );
    let new = "nine green kettles";
    assert_eq!(accept(&desk, &Browser::new(2), &reset, new).await, 201);
    browser
        .ask(&desk, Method::GET, "/api/v1/me")
        .await
        .problem(401);
    browser
        .sign_in(&desk, "eva@shop.example", PASSWORD)
        .await
        .problem(401);
    // A day later, after a change of the address or the password, and for who is disabled, it is dead.
    let now = desk.app.clock.now();
    let late = token_of(&link().await);
    desk.app.clock.turn_to(now.plus_millis(24 * 60 * 60 * 1000));
    assert_eq!(accept(&desk, &browser, &late, new).await, 404);
    desk.app.clock.turn_to(now);
    let path = format!("/api/v1/users/{id}");
    for change in [
        json!({ "email": "eva2@shop.example" }),
        json!({ "password": "ten white bicycles" }),
        json!({ "disabled": true }),
    ] {
        let open = token_of(&link().await);
        assert_eq!(look(&json!(open)).await.status.as_u16(), 200);
        let answer = desk.json(As::Admin, Method::PATCH, &path, &change).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        look(&json!(open)).await.problem(404);
        assert_eq!(accept(&desk, &browser, &open, new).await, 404, "{change}");
    }
    let path = format!("/api/v1/users/{id}/invitation");
    desk.json(As::Admin, Method::POST, &path, &json!({}))
        .await
        .problem(409);
}

#[tokio::test]
async fn s12_of_a_hundred_first_administrators_one_is_made_and_the_door_closes() {
    let desk = desk().await;
    let setup = async || desk.found(As::Nobody, "/api/v1/setup").await;
    assert_eq!(setup().await, json!({ "needed": true }));
    let first = |number: usize| json!({ "email": format!("{number}@shop.example"), "name": "First", "password": PASSWORD });
    for who in [As::Nobody, As::Reader, As::Writer] {
        let answer = desk
            .json(who, Method::POST, "/api/v1/setup", &first(0))
            .await;
        answer.problem(if who == As::Nobody { 401 } else { 403 });
    }
    let weak = json!({ "email": "a@shop.example", "name": "First", "password": "password123" });
    assert_eq!(
        desk.json(As::Session, Method::POST, "/api/v1/setup", &weak)
            .await
            .bad_field(),
        "/password"
    );
    // Of those who are not first some wait in vain for their hash: they are told to come again, and then it is too late.
    let (mut made, mut left) = (Vec::new(), (0..100).collect::<Vec<usize>>());
    while !left.is_empty() {
        let bodies: Vec<_> = left.iter().map(|number| first(*number)).collect();
        let answers = join_all(
            bodies
                .iter()
                .map(|body| desk.json(As::Session, Method::POST, "/api/v1/setup", body)),
        )
        .await;
        let mut later = Vec::new();
        for (number, answer) in left.iter().zip(answers) {
            match answer.status.as_u16() {
                201 => made.push(answer),
                429 => later.push(*number),
                // The session is the new administrator's by then.
                401 => {}
                409 => assert!(
                    answer.text().contains("already-set-up"),
                    "{}",
                    answer.text()
                ),
                other => panic!("{other}: {}", answer.text()),
            }
        }
        left = later;
    }
    assert_eq!(made.len(), 1);
    let me = made[0].json();
    assert_eq!(
        (&me["role"], &me["user"]["status"]),
        (&json!("admin"), &json!("active"))
    );
    assert!(made[0].headers.get(header::SET_COOKIE).is_some());
    assert_eq!(setup().await, json!({ "needed": false }));
    let people = desk.found(As::Admin, "/api/v1/users").await;
    assert_eq!(each(&people, "role"), [&json!("admin")]);
    desk.get(As::Session, "/api/v1/me").await.problem(401);
    desk.json(As::Admin, Method::POST, "/api/v1/setup", &first(7))
        .await
        .problem(409);
    let email = me["user"]["email"].as_str().expect("text");
    assert_eq!(
        Browser::new(1)
            .sign_in(&desk, email, PASSWORD)
            .await
            .status
            .as_u16(),
        201
    );
}

#[tokio::test]
async fn t08_however_many_are_demoted_at_once_one_administrator_is_left() {
    let desk = desk().await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(
            desk.add_user(&format!("{number}@shop.example"), Role::Admin, None)
                .await,
        );
    }
    let changes = [
        json!({ "role": "agent" }),
        json!({ "disabled": true }),
        json!({ "role": "viewer" }),
    ];
    let demoted = join_all(
        ids.iter()
            .zip(changes.iter().cycle())
            .map(async |(id, change)| {
                let path = format!("/api/v1/users/{id}");
                let answer = desk.json(As::Admin, Method::PATCH, &path, change).await;
                if answer.status.as_u16() == 409 {
                    assert!(answer.text().contains("last-admin"), "{}", answer.text());
                }
                answer.status.as_u16()
            }),
    )
    .await;
    assert_eq!(demoted.iter().filter(|status| **status == 200).count(), 39);
    assert_eq!(demoted.iter().filter(|status| **status == 409).count(), 1);
    let people = desk.found(As::Admin, "/api/v1/users?status=active").await;
    let admins = each(&people, "role")
        .into_iter()
        .filter(|role| **role == "admin");
    assert_eq!(admins.count(), 1);
    // Somebody who was only invited is none.
    added(
        &desk,
        &json!({ "email": "eva@shop.example", "name": "Eva", "role": "admin" }),
    )
    .await;
    let last = people["data"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|user| user["role"] == "admin");
    let path = format!(
        "/api/v1/users/{}",
        last.expect("one")["id"].as_str().expect("an id")
    );
    desk.json(
        As::Admin,
        Method::PATCH,
        &path,
        &json!({ "disabled": true }),
    )
    .await
    .problem(409);
    let renamed = json!({ "name": "Last", "role": "admin", "disabled": false });
    assert_eq!(
        desk.json(As::Admin, Method::PATCH, &path, &renamed)
            .await
            .status
            .as_u16(),
        200
    );
}

#[tokio::test]
async fn people_set_for_themselves_what_is_theirs() {
    let desk = desk().await;
    let (id, jana) = desk
        .person("jana@shop.example", Role::Viewer, Some(&["shop"]))
        .await;
    let set = async |body: Value| jana.json(&desk, Method::PATCH, "/api/v1/me", &body).await;
    let me = set(json!({ "name": "Jana", "available": false, "preferences": { "theme": "dark", "sound": { "on": true } } })).await.json();
    assert_eq!(
        (&me["name"], &me["user"]["available"]),
        (&json!("Jana"), &json!(false))
    );
    let me = set(json!({ "preferences": { "theme": null, "sound": { "volume": 3 } } }))
        .await
        .json();
    assert_eq!(
        me["preferences"],
        json!({ "sound": { "volume": 3 } }),
        "by key"
    );
    assert_eq!(
        me["user"]["available"],
        json!(false),
        "what is left out stays"
    );
    assert_eq!(
        set(json!({ "preferences": { "x": "y".repeat(16_400) } }))
            .await
            .bad_field(),
        "/preferences"
    );
    assert_eq!(
        set(json!({ "preferences": [] })).await.bad_field(),
        "/preferences"
    );
    assert_eq!(set(json!({ "name": "" })).await.bad_field(), "/name");
    for not_theirs in [
        "role",
        "channels",
        "disabled",
        "email",
        "password",
        "two_factor",
        "id",
    ] {
        let mut body = json!({});
        body[not_theirs] = json!("admin");
        set(body).await.problem(422);
    }
    assert_eq!(
        jana.ask(&desk, Method::GET, "/api/v1/me").await.json()["preferences"],
        me["preferences"]
    );
    let (_, eva) = desk.person("eva@shop.example", Role::Admin, None).await;
    assert_eq!(
        eva.ask(&desk, Method::GET, "/api/v1/me").await.json()["preferences"],
        json!({})
    );
    for who in [As::Reader, As::Admin, As::Session] {
        desk.json(
            who,
            Method::PATCH,
            "/api/v1/me",
            &json!({ "available": true }),
        )
        .await
        .problem(409);
        assert_eq!(desk.found(who, "/api/v1/me").await["user"], Value::Null);
    }
    let name = SettingEntry {
        value: "Butik".to_owned(),
    }
    .put(b"shop_name".to_vec());
    let named = Written(name);
    desk.app.writer.write(named).await.expect("written");
    assert_eq!(
        jana.ask(&desk, Method::GET, "/api/v1/me").await.json()["shop_name"],
        "Butik"
    );
    assert_eq!(
        desk.found(As::Reader, &format!("/api/v1/users/{id}")).await["name"],
        "Jana"
    );
}

/// Writes one entry.
struct Written(crate::store::Put);

impl crate::desk::Decision for Written {
    type Answer = ();

    fn decide(&self, draft: &mut crate::store::draft::Draft<'_>) -> crate::store::Found<()> {
        draft.put(self.0.clone());
        Ok(())
    }
}

#[tokio::test]
async fn s04_a_new_password_ends_all_other_sessions_and_wants_the_old_one() {
    let desk = desk().await;
    let (id, here) = desk.person("jana@shop.example", Role::Agent, None).await;
    let there = Browser::new(9);
    there.sign_in(&desk, "jana@shop.example", PASSWORD).await;
    let link = format!("/api/v1/users/{id}/invitation");
    let open = token_of(
        &desk
            .json(As::Admin, Method::POST, &link, &json!({}))
            .await
            .json(),
    );
    let new = "nine green kettles";
    let say = async |current: &str, new: &str| {
        let body = json!({ "current": current, "new": new });
        here.json(&desk, Method::POST, "/api/v1/me/password", &body)
            .await
    };
    assert_eq!(say("wrong", new).await.bad_field(), "/current");
    assert_eq!(say(PASSWORD, "password123").await.bad_field(), "/new");
    assert_eq!(
        there
            .ask(&desk, Method::GET, "/api/v1/me")
            .await
            .status
            .as_u16(),
        200
    );
    let changed = say(PASSWORD, new).await;
    assert_eq!(changed.status.as_u16(), 200, "{}", changed.text());
    assert_eq!(
        here.ask(&desk, Method::GET, "/api/v1/me")
            .await
            .status
            .as_u16(),
        200
    );
    there
        .ask(&desk, Method::GET, "/api/v1/me")
        .await
        .problem(401);
    assert_eq!(
        accept(&desk, &there, &open, PASSWORD).await,
        404,
        "an open link is dead"
    );
    there
        .sign_in(&desk, "jana@shop.example", PASSWORD)
        .await
        .problem(401);
    assert_eq!(
        there
            .sign_in(&desk, "jana@shop.example", new)
            .await
            .status
            .as_u16(),
        201
    );
    // Who has the session and not the password cannot try for long.
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(say("wrong", new).await.status.as_u16() == 429);
    }
    assert!(refused >= 10, "{refused}");
    for who in [As::Reader, As::Admin, As::Session] {
        let body = json!({ "current": "a", "new": "b" });
        desk.json(who, Method::POST, "/api/v1/me/password", &body)
            .await
            .problem(409);
    }
}

#[tokio::test]
async fn t06_a_token_tells_when_it_was_last_used_and_stays_out_of_addresses() {
    let desk = desk().await;
    let made = json!({ "name": "shop's till", "scopes": ["read"] });
    let made = desk
        .json(As::Admin, Method::POST, "/api/v1/tokens", &made)
        .await
        .json();
    assert_eq!(made["last_used_at"], Value::Null);
    let token = made["token"].as_str().expect("a token");
    let used_at = async || {
        let tokens = desk.found(As::Admin, "/api/v1/tokens").await;
        let found = tokens["data"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["id"] == made["id"])
            .cloned();
        found.expect("listed")["last_used_at"].clone()
    };
    let call = async |path: &str, bearer: bool| {
        let request = axum::http::Request::builder().uri(path);
        let request = if bearer {
            request.header("authorization", format!("Bearer {token}"))
        } else {
            request
        };
        desk.send(
            As::Nobody,
            request.body(axum::body::Body::empty()).expect("a request"),
        )
        .await
        .status
        .as_u16()
    };
    // In an address it opens nothing.
    for name in ["token", "access_token", "api_key", "authorization"] {
        assert_eq!(
            call(&format!("/api/v1/me?{name}={token}"), false).await,
            401
        );
    }
    assert_eq!(used_at().await, Value::Null);
    let noon = desk.app.clock.now();
    for (minutes, expected) in [
        (0, "2026-11-21T12:00:00.000Z"),
        (59, "2026-11-21T12:00:00.000Z"),
        (61, "2026-11-21T13:01:00.000Z"),
    ] {
        desk.app.clock.turn_to(noon.plus_millis(minutes * 60_000));
        assert_eq!(call("/api/v1/me", true).await, 200);
        let begun = std::time::Instant::now();
        while used_at().await != expected && begun.elapsed() < std::time::Duration::from_secs(30) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(used_at().await, expected, "once an hour");
    }
}
