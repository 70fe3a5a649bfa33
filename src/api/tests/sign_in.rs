//! Signing in, and what ends it.

use std::time::{Duration, Instant};

use axum::http::{Method, header};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::api::testing::people::{Browser, PASSWORD};
use crate::api::testing::{Desk, desk, how_many};
use crate::desk::people::ChangeUser;
use crate::id::UserId;
use crate::store::Table;
use crate::store::entry::{Entry, Role, SessionEntry, UserEntry};

const COOKIE: &str = "__Host-deskbell";
const DEVICE: &str = "__Host-deskbell-device";

async fn disable(desk: &Desk, id: UserId) {
    let change = ChangeUser {
        disabled: Some(true),
        ..ChangeUser::of(id)
    };
    let changed = desk.app.writer.write(change).await.expect("written");
    changed.expect("nothing stands against it");
}

#[tokio::test]
async fn a_person_signs_in_and_is_who_they_are() {
    let desk = desk().await;
    let (id, browser) = desk
        .person("Jana@Shop.example", Role::Agent, Some(&["shop"]))
        .await;
    let me = browser.ask(&desk, Method::GET, "/api/v1/me").await.json();
    assert_eq!(me["type"], "session");
    assert_eq!((&me["id"], &me["user"]["id"]), (&json!(id), &json!(id)));
    assert_eq!(me["name"], "Name of Jana@Shop.example");
    assert_eq!(
        (&me["role"], &me["scopes"], &me["channels"]),
        (&json!("agent"), &json!(["write"]), &json!(["shop"]))
    );
    assert_eq!(me["user"]["status"], "active");
    assert_eq!(me["user"]["channels"], json!(["shop"]));
    assert_eq!(
        (&me["preferences"], &me["shop_name"]),
        (&json!({}), &json!("Deskbell"))
    );
    // Capitals and spaces make no other address.
    let again = Browser::new(1);
    let answer = again.sign_in(&desk, " JANA@shop.EXAMPLE ", PASSWORD).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    assert_eq!(answer.json()["id"], json!(id));
}

#[tokio::test]
async fn s02_whoever_cannot_sign_in_hears_the_same_words() {
    let desk = desk().await;
    desk.add_user("jana@shop.example", Role::Agent, None).await;
    let gone = desk.add_user("gone@shop.example", Role::Agent, None).await;
    disable(&desk, gone).await;
    let invite = json!({ "email": "invited@shop.example", "name": "I", "role": "agent" });
    let admin = desk.person("admin@shop.example", Role::Admin, None).await.1;
    let invited = admin
        .json(&desk, Method::POST, "/api/v1/users", &invite)
        .await;
    assert_eq!(invited.status.as_u16(), 201, "{}", invited.text());
    let mut words = Vec::new();
    let tries = [
        ("jana@shop.example", "a wrong password"),
        ("nobody@shop.example", PASSWORD),
        ("gone@shop.example", PASSWORD),
        ("invited@shop.example", PASSWORD),
        ("jana@shop.example", ""),
        ("", ""),
        ("jana@shop.example", &"x".repeat(100_000)),
        (&"x".repeat(100_000), PASSWORD),
    ];
    for (number, (email, password)) in tries.into_iter().enumerate() {
        let browser = Browser::new(10 + u32::try_from(number).expect("small"));
        let answer = browser.sign_in(&desk, email, password).await;
        answer.problem(401);
        assert!(
            answer.json()["type"]
                .as_str()
                .expect("text")
                .ends_with("/wrong-credentials")
        );
        assert!(answer.headers.get(header::SET_COOKIE).is_none());
        words.push(answer.text());
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
}

/// The Kolmogorov-Smirnov statistic of two samples: the largest distance of their distributions.
fn distance(mut one: Vec<Duration>, mut other: Vec<Duration>) -> f64 {
    one.sort_unstable();
    other.sort_unstable();
    let below = |all: &[Duration], at: Duration| {
        let count = all.partition_point(|one| *one <= at);
        f64::from(u32::try_from(count).expect("small"))
            / f64::from(u32::try_from(all.len()).expect("small"))
    };
    let points = one.iter().chain(&other);
    points
        .map(|at| (below(&one, *at) - below(&other, *at)).abs())
        .fold(0.0, f64::max)
}

#[tokio::test]
async fn s02_whoever_cannot_sign_in_waits_as_long() {
    // A difference that is there shows in every round; one that a busy machine made does not.
    const ROUNDS: usize = 4;
    // p = 0.05 lies at 1.358 × √(2/n) for two samples of n. A loaded machine is loaded unevenly: with a short sample twice
    // that is still far from any difference worth knowing.
    let each = how_many("DESKBELL_TRIES", 120);
    let factor = if each < 1_000 { 2.0 } else { 1.0 };
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let limit = factor * 1.358 * (2.0 / each as f64).sqrt();
    let desk = desk().await;
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        let (of_known, of_unknown) = times_of_failures(&desk, round, each).await;
        // The measure is tried against half of the times of one sample: what would be found if one of them returned
        // before the hash.
        let without_hash = of_unknown.iter().map(|time| *time / 2).collect();
        assert!(
            distance(of_known.clone(), without_hash) > limit,
            "the measure sees nothing"
        );
        found.push(distance(of_known, of_unknown));
        if found[round] < limit {
            return;
        }
    }
    panic!("{found:?}, each above {limit}");
}

/// How long it takes to fail to sign in: at accounts that are there, and at ones that are not.
async fn times_of_failures(
    desk: &Desk,
    round: usize,
    each: usize,
) -> (Vec<Duration>, Vec<Duration>) {
    let mut known = Vec::new();
    for number in 0..each {
        let email = format!("known{round}-{number}@shop.example");
        desk.add_user(&email, Role::Agent, None).await;
        known.push(email);
    }
    // One after the other, each as often first as second: what else the machine does falls on both alike, and so does what
    // a try leaves behind, since a failure at a known account is still being noted when the next one tries.
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for (number, email) in known.iter().enumerate() {
        let unknown = format!("nobody{round}-{number}@shop.example");
        let mut pair = [(email, &mut of_known), (&unknown, &mut of_unknown)];
        if number % 2 == 1 {
            pair.reverse();
        }
        for (email, times) in pair {
            let browser = Browser::new(u32::try_from(round * each + number).expect("small"));
            let begun = Instant::now();
            let answer = browser.sign_in(desk, email, "a wrong password").await;
            times.push(begun.elapsed());
            answer.problem(401);
        }
    }
    (of_known, of_unknown)
}

#[tokio::test]
async fn s03_a_session_is_new_at_each_sign_in_and_what_the_store_holds_opens_nothing() {
    let desk = desk().await;
    desk.add_user("jana@shop.example", Role::Agent, None).await;
    let browser = Browser::new(1);
    // What somebody else put there beforehand is not taken over.
    browser.set_cookie(COOKIE, "canary-planted-by-somebody-else");
    let answer = browser.sign_in(&desk, "jana@shop.example", PASSWORD).await;
    let set: Vec<_> = answer.headers.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(set.len(), 2);
    let session = set[0].to_str().expect("text");
    for part in [
        "__Host-deskbell=",
        "; HttpOnly",
        "; Secure",
        "; SameSite=Lax",
        "; Path=/;",
    ] {
        assert!(session.contains(part), "{session}");
    }
    assert!(!session.contains("Domain"));
    let device = set[1].to_str().expect("text");
    for part in [
        "__Host-deskbell-device=",
        "; HttpOnly",
        "; Secure",
        "; SameSite=Strict",
    ] {
        assert!(device.contains(part), "{device}");
    }
    let first = browser.cookie(COOKIE).expect("a cookie");
    assert!(first.len() >= 43 && first != "canary-planted-by-somebody-else");
    // A second sign-in takes the place of the first.
    browser.sign_in(&desk, "jana@shop.example", PASSWORD).await;
    let second = browser.cookie(COOKIE).expect("a cookie");
    assert_ne!(first, second);
    let old = Browser::new(2);
    old.set_cookie(COOKIE, &first);
    old.ask(&desk, Method::GET, "/api/v1/me").await.problem(401);
    assert_eq!(
        browser
            .ask(&desk, Method::GET, "/api/v1/me")
            .await
            .status
            .as_u16(),
        200
    );

    // Whoever reads the store reads neither cookie nor password, and cannot sign in with what they read.
    let store = &*desk.app.store;
    let mut read = Vec::new();
    for table in [
        Table::Sessions,
        Table::Users,
        Table::UserEmails,
        Table::Invitations,
        Table::Settings,
        Table::Idempotency,
    ] {
        for (key, value) in store.scan(table, &[], None, 1_000).expect("readable") {
            read.extend([key, value]);
        }
    }
    assert!(read.len() >= 6);
    for bytes in &read {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(&second) && !text.contains(PASSWORD));
        let forged = Browser::new(3);
        for cookie in [
            hex::encode(bytes),
            text.chars()
                .filter(char::is_ascii_graphic)
                .filter(|c| *c != ';')
                .collect(),
        ] {
            forged.set_cookie(COOKIE, &cookie);
            let request = forged
                .request(Method::GET, "/api/v1/me")
                .body(axum::body::Body::empty());
            let Ok(request) = request else { continue };
            forged.send(&desk, request).await.problem(401);
        }
    }
}

async fn change(desk: &Desk, admin: &Browser, id: UserId, body: Value) {
    let path = format!("/api/v1/users/{id}");
    let answer = admin.json(desk, Method::PATCH, &path, &body).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
}

#[tokio::test]
async fn s04_what_ends_a_session_ends_it_at_the_next_request() {
    let desk = desk().await;
    let (_, admin) = desk.person("admin@shop.example", Role::Admin, None).await;
    let status = async |browser: &Browser, path: &str| {
        browser.ask(&desk, Method::GET, path).await.status.as_u16()
    };
    for (number, end) in ["disabled", "password", "by an administrator"]
        .into_iter()
        .enumerate()
    {
        let email = format!("person{number}@shop.example");
        let (id, here) = desk.person(&email, Role::Agent, None).await;
        let there = Browser::new(200);
        there.sign_in(&desk, &email, PASSWORD).await;
        assert_eq!(status(&there, "/api/v1/me").await, 200);
        match end {
            "disabled" => change(&desk, &admin, id, json!({ "disabled": true })).await,
            "password" => {
                change(
                    &desk,
                    &admin,
                    id,
                    json!({ "password": "nine green kettles" }),
                )
                .await
            }
            _ => {
                let path = format!("/api/v1/users/{id}/sessions");
                assert_eq!(
                    admin
                        .ask(&desk, Method::DELETE, &path)
                        .await
                        .status
                        .as_u16(),
                    204
                );
            }
        }
        for browser in [&here, &there] {
            assert_eq!(status(browser, "/api/v1/me").await, 401, "{end}");
        }
        // And what was right before is right again only where it should be.
        let again = here.sign_in(&desk, &email, PASSWORD).await.status.as_u16();
        assert_eq!(
            again,
            if end == "by an administrator" {
                201
            } else {
                401
            },
            "{end}"
        );
    }
    // Enabled again, the old sessions stay over.
    let (id, here) = desk.person("back@shop.example", Role::Agent, None).await;
    change(&desk, &admin, id, json!({ "disabled": true })).await;
    change(&desk, &admin, id, json!({ "disabled": false })).await;
    assert_eq!(status(&here, "/api/v1/me").await, 401);

    // A role and channels hold from the next request on, in the session that there is.
    let (id, here) = desk.person("moved@shop.example", Role::Admin, None).await;
    assert_eq!(status(&here, "/api/v1/tokens").await, 200);
    change(
        &desk,
        &admin,
        id,
        json!({ "role": "viewer", "channels": ["page"] }),
    )
    .await;
    assert_eq!(status(&here, "/api/v1/tokens").await, 403);
    assert_eq!(status(&here, "/api/v1/channels/shop").await, 404);
    assert_eq!(status(&here, "/api/v1/channels/page").await, 200);
    let upload = here
        .json(&desk, Method::POST, "/api/v1/attachments", &json!({}))
        .await;
    upload.problem(403);
    change(&desk, &admin, id, json!({ "role": "admin" })).await;
    assert_eq!(status(&here, "/api/v1/channels/shop").await, 200);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_whose_they_are() {
    let desk = desk().await;
    let (id, here) = desk.person("jana@shop.example", Role::Agent, None).await;
    let (_, stranger) = desk.person("eva@shop.example", Role::Admin, None).await;
    let there = Browser::new(7);
    there.sign_in(&desk, "jana@shop.example", PASSWORD).await;
    let list = here
        .ask(&desk, Method::GET, "/api/v1/sessions")
        .await
        .json();
    let all = list["data"].as_array().expect("a list");
    assert_eq!(all.len(), 2, "{list}");
    assert_eq!(
        (&all[0]["current"], &all[1]["current"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        (&all[0]["address"], &all[0]["agent"]),
        (&json!("198.51.100.7"), &json!("Invented/1.0"))
    );
    let page = here
        .ask(&desk, Method::GET, "/api/v1/sessions?limit=1")
        .await
        .json();
    assert_eq!(page["data"][0]["id"], all[0]["id"]);
    let next = format!(
        "/api/v1/sessions?limit=1&cursor={}",
        page["next"].as_str().expect("more")
    );
    let page = here.ask(&desk, Method::GET, &next).await.json();
    assert_eq!(
        (&page["data"][0]["id"], &page["next"]),
        (&all[1]["id"], &Value::Null)
    );
    // Nobody else's.
    let path = format!("/api/v1/sessions/{}", all[0]["id"].as_str().expect("an id"));
    stranger
        .ask(&desk, Method::DELETE, &path)
        .await
        .problem(404);
    assert_eq!(
        there
            .ask(&desk, Method::GET, "/api/v1/me")
            .await
            .status
            .as_u16(),
        200
    );
    assert_eq!(
        here.ask(&desk, Method::DELETE, &path).await.status.as_u16(),
        204
    );
    there
        .ask(&desk, Method::GET, "/api/v1/me")
        .await
        .problem(401);
    here.ask(&desk, Method::DELETE, &path).await.problem(404);
    // All others.
    there.sign_in(&desk, "jana@shop.example", PASSWORD).await;
    assert_eq!(
        here.ask(&desk, Method::DELETE, "/api/v1/sessions")
            .await
            .status
            .as_u16(),
        204
    );
    there
        .ask(&desk, Method::GET, "/api/v1/me")
        .await
        .problem(401);
    assert_eq!(
        here.ask(&desk, Method::GET, "/api/v1/me").await.json()["id"],
        json!(id)
    );
    // And the own one.
    let cookie = here.cookie(COOKIE).expect("signed in");
    assert_eq!(
        here.ask(&desk, Method::DELETE, "/api/v1/session")
            .await
            .status
            .as_u16(),
        204
    );
    assert_eq!(here.cookie(COOKIE), None, "the browser forgets it");
    here.set_cookie(COOKIE, &cookie);
    here.ask(&desk, Method::GET, "/api/v1/me")
        .await
        .problem(401);
}

#[tokio::test]
async fn a_session_ends_after_two_weeks_without_use_and_after_thirty_days_with_it() {
    let desk = desk().await;
    let (id, here) = desk.person("jana@shop.example", Role::Agent, None).await;
    let day_ms = 24 * 60 * 60 * 1000;
    let begun = desk.app.clock.now();
    let mut last = 0;
    for day in 1..=31 {
        desk.app.clock.turn_to(begun.plus_millis(day * day_ms));
        let status = here
            .ask(&desk, Method::GET, "/api/v1/me")
            .await
            .status
            .as_u16();
        if status == 401 {
            last = day;
            break;
        }
        // That it is used is noted beside the request.
        let seen = || {
            let user = UserEntry::get(&*desk.app.store, &id.key()).expect("readable");
            user.expect("there").last_seen_at
        };
        let begun = Instant::now();
        while seen() != Some(desk.app.clock.now()) && begun.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            here.ask(&desk, Method::GET, "/api/v1/me").await;
        }
        assert_eq!(seen(), Some(desk.app.clock.now()), "day {day}");
    }
    assert_eq!(last, 30);
    let answer = here.sign_in(&desk, "jana@shop.example", PASSWORD).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    desk.app
        .clock
        .turn_to(desk.app.clock.now().plus_millis(14 * day_ms + 1));
    here.ask(&desk, Method::GET, "/api/v1/me")
        .await
        .problem(401);
}

#[tokio::test]
async fn s01_who_guesses_is_slowed_and_cannot_keep_the_real_person_out() {
    let desk = desk().await;
    let (_, jana) = desk.person("jana@shop.example", Role::Agent, None).await;
    let (mut evaluated, mut slowed) = (0, 0);
    for number in 0..60 {
        let stranger = Browser::new(100 + number);
        let answer = stranger
            .sign_in(&desk, "jana@shop.example", "123456789a")
            .await;
        match answer.status.as_u16() {
            401 => evaluated += 1,
            429 => {
                let wait: u32 = answer.headers[header::RETRY_AFTER]
                    .to_str()
                    .expect("text")
                    .parse()
                    .expect("seconds");
                assert!((1..=61).contains(&wait), "{wait}");
                slowed += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((evaluated, slowed), (20, 40));
    // Even the right password is not looked at from a device that nobody knows …
    let new = Browser::new(90);
    new.sign_in(&desk, "jana@shop.example", PASSWORD)
        .await
        .problem(429);
    // … and a device that was made up, or is somebody else's, is one of those.
    let (_, eva) = desk.person("eva@shop.example", Role::Agent, None).await;
    let hers = jana.cookie(DEVICE).expect("a device");
    let (number, _) = hers.split_once('.').expect("two parts");
    let (_, other) = eva
        .cookie(DEVICE)
        .map(|cookie| {
            let (number, proof) = cookie.split_once('.').expect("two parts");
            (number.to_owned(), proof.to_owned())
        })
        .expect("a device");
    let forged = [
        eva.cookie(DEVICE).expect("a device"),
        format!("{number}.{other}"),
        format!("{number}."),
        format!("{number}.{}", "A".repeat(43)),
        hers.to_uppercase(),
        "~".repeat(5_000),
    ];
    for cookie in forged {
        new.set_cookie(DEVICE, &cookie);
        new.sign_in(&desk, "jana@shop.example", PASSWORD)
            .await
            .problem(429);
    }
    // Jana mistypes twice and gets in, with the device that she has signed in with.
    for (password, status) in [
        ("seven blue umbrela", 401),
        ("seven blu umbrellas", 401),
        (PASSWORD, 201),
    ] {
        let answer = jana.sign_in(&desk, "jana@shop.example", password).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    }
    // Also when she signed out before, and when a colleague uses the same device.
    jana.ask(&desk, Method::DELETE, "/api/v1/session").await;
    jana.sign_in(&desk, "eva@shop.example", PASSWORD).await;
    let answer = jana.sign_in(&desk, "jana@shop.example", PASSWORD).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    // What guesses with her device has an end, too.
    let tries = join_all((0..40).map(|_| jana.sign_in(&desk, "jana@shop.example", "wrong"))).await;
    let evaluated = tries
        .iter()
        .filter(|answer| answer.status.as_u16() == 401)
        .count();
    assert!(evaluated <= 10, "{evaluated}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_five_hundred_at_once_are_answered_and_others_do_not_wait_for_them() {
    let desk = desk().await;
    let (_, jana) = desk.person("jana@shop.example", Role::Agent, None).await;
    let browsers: Vec<_> = (0..500).map(Browser::new).collect();
    let emails: Vec<_> = (0..500)
        .map(|number| format!("{number}@shop.example"))
        .collect();
    let flood = join_all(
        browsers
            .iter()
            .zip(&emails)
            .map(|(browser, email)| browser.sign_in(&desk, email, "a wrong password")),
    );
    let beside = async {
        // A device that is known does not stand in their queue, and reads are answered.
        let begun = Instant::now();
        let answer = jana.sign_in(&desk, "jana@shop.example", PASSWORD).await;
        let signed_in = begun.elapsed();
        let begun = Instant::now();
        let me = jana.ask(&desk, Method::GET, "/api/v1/me").await;
        (
            answer.status.as_u16(),
            signed_in,
            me.status.as_u16(),
            begun.elapsed(),
        )
    };
    let begun = Instant::now();
    let (answers, (signed_in, took, read, read_took)) = tokio::join!(flood, beside);
    let whole = begun.elapsed();
    let (wrong, later): (Vec<_>, Vec<_>) = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .partition(|status| *status == 401);
    assert!(later.iter().all(|status| *status == 429), "{later:?}");
    assert!(
        !wrong.is_empty() && !later.is_empty(),
        "{} {}",
        wrong.len(),
        later.len()
    );
    assert_eq!((signed_in, read), (201, 200));
    assert!(
        took < whole && read_took < whole,
        "{took:?} {read_took:?} of {whole:?}"
    );
    let sessions = SessionEntry::scan(&*desk.app.store, &[], None, 1_000).expect("readable");
    assert!(sessions.len() <= 3, "nobody else got in");
}
