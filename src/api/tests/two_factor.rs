//! The second factor.

use axum::http::Method;
use deskbell_sdk::{Secret, Time};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::api::testing::people::{Browser, PASSWORD};
use crate::api::testing::{Answer, As, Desk, desk, each, noon};
use crate::api::two_factor::seal_anew;
use crate::id::UserId;
use crate::store::Table;
use crate::store::entry::{Entry, Role, TwoFactorEntry, UserEntry};
use crate::totp;

const TWO_FACTOR: &str = "/api/v1/me/two-factor";
const CONFIRM: &str = "/api/v1/me/two-factor/confirm";
const EMAIL: &str = "jana@shop.example";

/// The code that an authenticator shows at a time.
fn shown(secret: &str, at: Time) -> String {
    totp::code_at(&Secret::new(secret), at)
}

/// Somebody with a second factor: their authenticator's secret and recovery codes.
async fn set_up(desk: &Desk, browser: &Browser) -> (String, Vec<String>) {
    let body = json!({ "password": PASSWORD });
    let begun = browser.json(desk, Method::POST, TWO_FACTOR, &body);
    let begun = begun.await;
    assert_eq!(begun.status.as_u16(), 201, "{}", begun.text());
    let secret = begun.json()["secret"].as_str().expect("a text").to_owned();
    let url = begun.json()["otpauth_url"]
        .as_str()
        .expect("a text")
        .to_owned();
    assert!(url.contains(&secret), "{url}");
    let code = shown(&secret, desk.app.clock.now());
    let confirmed = browser
        .json(desk, Method::POST, CONFIRM, &json!({ "code": code }))
        .await;
    assert_eq!(confirmed.status.as_u16(), 200, "{}", confirmed.text());
    let codes = confirmed.json()["recovery_codes"]
        .as_array()
        .expect("a list")
        .clone();
    let codes = codes
        .iter()
        .map(|code| code.as_str().expect("a text").to_owned());
    (secret, codes.collect())
}

/// Half a minute passes, so that there is a new code.
fn next_step(desk: &Desk) -> Time {
    let now = desk.app.clock.now().plus_millis(30_000);
    desk.app.clock.turn_to(now);
    now
}

async fn sign_in(desk: &Desk, browser: &Browser, code: &str) -> Answer {
    let body = json!({ "email": EMAIL, "password": PASSWORD, "code": code });
    browser
        .json(desk, Method::POST, "/api/v1/session", &body)
        .await
}

/// The last part of the problem's type.
fn kind(answer: &Answer) -> String {
    let kind = answer.json()["type"].as_str().expect("a type").to_owned();
    kind.rsplit('/').next().expect("a name").to_owned()
}

async fn jana(desk: &Desk) -> (UserId, Browser) {
    desk.person(EMAIL, Role::Agent, None).await
}

#[tokio::test]
async fn s06_a_code_is_asked_for_and_opens_the_door_once() {
    let desk = desk().await;
    let (id, browser) = jana(&desk).await;
    let (secret, recovery) = set_up(&desk, &browser).await;
    assert_eq!(recovery.len(), 10);
    let me = browser.ask(&desk, Method::GET, "/api/v1/me").await.json();
    assert_eq!(me["user"]["two_factor"], true);
    let other = Browser::new(1);
    let without = other.sign_in(&desk, EMAIL, PASSWORD).await;
    assert_eq!(
        (without.status.as_u16(), kind(&without).as_str()),
        (401, "code-needed")
    );
    // The code that set it up is used up.
    let used = shown(&secret, desk.app.clock.now());
    assert_eq!(kind(&sign_in(&desk, &other, &used).await), "wrong-code");
    let now = next_step(&desk);
    let code = shown(&secret, now);
    for wrong in [
        "",
        "000000",
        &code[..5],
        &format!("{code}0"),
        "abcdefgh",
        "1111-1111-1111-1111",
    ] {
        if wrong != code {
            assert_eq!(
                kind(&sign_in(&desk, &Browser::new(9), wrong).await),
                "wrong-code",
                "{wrong}"
            );
        }
    }
    // A wrong password says nothing of the code.
    let body = json!({ "email": EMAIL, "password": "wrong", "code": code });
    let wrong = other
        .json(&desk, Method::POST, "/api/v1/session", &body)
        .await;
    assert_eq!(kind(&wrong), "wrong-credentials");
    let right = sign_in(&desk, &other, &code).await;
    assert_eq!(right.status.as_u16(), 201, "{}", right.text());
    assert_eq!(right.json()["id"], json!(id));
    for _ in 0..3 {
        assert_eq!(
            kind(&sign_in(&desk, &Browser::new(2), &code).await),
            "wrong-code"
        );
    }
    // Neither is a code of an earlier step taken once a later one was.
    let (now, earlier) = (next_step(&desk), shown(&secret, desk.app.clock.now()));
    let later = now.plus_millis(30_000);
    let later = shown(&secret, later);
    assert_eq!(sign_in(&desk, &Browser::new(3), &later).await.status, 201);
    assert_eq!(
        kind(&sign_in(&desk, &Browser::new(4), &earlier).await),
        "wrong-code"
    );
}

#[tokio::test]
async fn s06_of_fifty_at_once_with_one_code_one_gets_in() {
    let desk = desk().await;
    let (id, browser) = jana(&desk).await;
    let (secret, recovery) = set_up(&desk, &browser).await;
    let code = shown(&secret, next_step(&desk));
    let by = || crate::store::entry::Actor::system();
    for code in [code, recovery[0].clone()] {
        let uses = (0..50).map(|_| crate::api::two_factor::is_right(&desk.app, id, &code, by()));
        let right = join_all(uses)
            .await
            .into_iter()
            .filter(|used| matches!(used, Ok(true)));
        assert_eq!(right.count(), 1, "{code}");
    }
}

#[tokio::test]
async fn s06_recovery_codes_work_once_each_and_new_ones_end_the_old() {
    let desk = desk().await;
    let (_, browser) = jana(&desk).await;
    let (_, codes) = set_up(&desk, &browser).await;
    assert_eq!(sign_in(&desk, &browser, &codes[0]).await.status, 201);
    assert_eq!(
        kind(&sign_in(&desk, &Browser::new(1), &codes[0]).await),
        "wrong-code"
    );
    let typed = codes[1].to_uppercase().replace('-', " ");
    assert_eq!(sign_in(&desk, &browser, &typed).await.status, 201);
    let path = "/api/v1/me/two-factor/recovery-codes";
    let wrong = browser
        .json(&desk, Method::POST, path, &json!({ "password": "wrong" }))
        .await;
    assert_eq!(wrong.bad_field(), "/password");
    let renewed = browser
        .json(&desk, Method::POST, path, &json!({ "password": PASSWORD }))
        .await;
    let renewed = renewed.json()["recovery_codes"][0]
        .as_str()
        .expect("a text")
        .to_owned();
    assert_eq!(
        kind(&sign_in(&desk, &Browser::new(1), &codes[2]).await),
        "wrong-code"
    );
    assert_eq!(sign_in(&desk, &browser, &renewed).await.status, 201);
    let told = desk.found(As::Admin, "/api/v1/audit?action=user").await;
    let told = each(&told, "action");
    let used = told
        .iter()
        .filter(|action| **action == "user.recovery_code_used")
        .count();
    assert_eq!(used, 3);
}

#[tokio::test]
async fn s06_to_set_it_up_or_take_it_away_needs_the_password_again() {
    let desk = desk().await;
    let (id, browser) = jana(&desk).await;
    for body in [
        json!({}),
        json!({ "password": "" }),
        json!({ "password": "wrong" }),
        json!({ "password": null }),
    ] {
        let refused = browser.json(&desk, Method::POST, TWO_FACTOR, &body).await;
        assert_eq!(refused.status.as_u16(), 422, "{body}");
    }
    let confirm = async |code: &str| {
        browser
            .json(&desk, Method::POST, CONFIRM, &json!({ "code": code }))
            .await
    };
    assert_eq!(kind(&confirm("123456").await), "two-factor-not-begun");
    // What is begun ends after ten minutes, and with the next beginning.
    let begin = async || {
        let begun = browser
            .json(
                &desk,
                Method::POST,
                TWO_FACTOR,
                &json!({ "password": PASSWORD }),
            )
            .await;
        begun.json()["secret"].as_str().expect("a text").to_owned()
    };
    let first = begin().await;
    let second = begin().await;
    assert_eq!(
        confirm(&shown(&first, desk.app.clock.now()))
            .await
            .bad_field(),
        "/code"
    );
    desk.app.clock.turn_to(noon().plus_millis(10 * 60 * 1000));
    let late = confirm(&shown(&second, desk.app.clock.now())).await;
    assert_eq!(kind(&late), "two-factor-not-begun");
    let user = UserEntry::get(&*desk.app.store, &id.key())
        .expect("memory")
        .expect("there");
    assert!(!user.two_factor);
    let (secret, codes) = set_up(&desk, &browser).await;
    let again = browser
        .json(
            &desk,
            Method::POST,
            TWO_FACTOR,
            &json!({ "password": PASSWORD }),
        )
        .await;
    assert_eq!(kind(&again), "two-factor-on");
    let off = async |body: Value| browser.json(&desk, Method::DELETE, TWO_FACTOR, &body).await;
    let code = shown(&secret, next_step(&desk));
    assert_eq!(
        off(json!({ "password": "wrong", "code": code }))
            .await
            .bad_field(),
        "/password"
    );
    assert_eq!(
        off(json!({ "password": PASSWORD, "code": "000000" }))
            .await
            .bad_field(),
        "/code"
    );
    assert_eq!(
        off(json!({ "password": PASSWORD, "code": codes[3] }))
            .await
            .status,
        204
    );
    let path = format!("/api/v1/users/{id}/two-factor");
    assert_eq!(kind(&desk.delete(As::Admin, &path).await), "two-factor-off");
    // Nothing of the former secret counts after it was set up anew.
    let (_, new_codes) = set_up(&desk, &browser).await;
    for old in [&code, &codes[4]] {
        assert_eq!(
            kind(&sign_in(&desk, &Browser::new(1), old).await),
            "wrong-code"
        );
    }
    // Who has lost everything asks an administrator; nobody else can.
    desk.delete(As::Writer, &path).await.problem(403);
    assert_eq!(desk.delete(As::Admin, &path).await.status, 204);
    let without = Browser::new(1).sign_in(&desk, EMAIL, PASSWORD).await;
    assert_eq!(without.status, 201);
    assert_eq!(new_codes.len(), 10);
}

#[tokio::test]
async fn s06_codes_cannot_be_tried_through() {
    let desk = desk().await;
    let (_, browser) = jana(&desk).await;
    let (secret, _) = set_up(&desk, &browser).await;
    let right = shown(&secret, next_step(&desk));
    let mut looked_at = 0;
    for number in 0..200_u32 {
        let code = format!("{number:06}");
        if code == right {
            continue;
        }
        // From ever new addresses: the password is known to whoever tries.
        let answer = sign_in(&desk, &Browser::new(number), &code).await;
        match answer.status.as_u16() {
            401 => looked_at += 1,
            429 => break,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!((1..=30).contains(&looked_at), "{looked_at}");
}

#[tokio::test]
async fn k01_k02_the_secret_is_sealed_for_its_person_and_sealed_anew_by_a_new_key() {
    let desk = desk().await;
    let (id, browser) = jana(&desk).await;
    let (secret, codes) = set_up(&desk, &browser).await;
    let bytes = desk
        .app
        .store
        .get(Table::TwoFactors, &id.key())
        .expect("memory")
        .expect("there");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!text.contains(&secret));
    for code in &codes {
        let bare = totp::recovery_code(code).expect("a code");
        assert!(!text.contains(code.as_str()) && !text.contains(&bare));
    }
    let sealer = desk.app.provisioner.sealer();
    let entry = || {
        TwoFactorEntry::get(&*desk.app.store, &id.key())
            .expect("memory")
            .expect("there")
    };
    let sealed = entry().secret.expect("on");
    let place = crate::seal::Place::second_factor;
    let (own, other) = (id.to_string(), UserId(id.0 + 1).to_string());
    assert_eq!(
        sealer.open(place(&own), &sealed).expect("opens").expose(),
        secret
    );
    assert!(sealer.open(place(&other), &sealed).is_err());
    // A key that nobody has any more: the start says so, and a recovery code still opens the door.
    let stranger = crate::seal::Sealer::new(&Secret::new("a former key"), &[]);
    let mut by_stranger = entry();
    by_stranger.secret = Some(
        stranger
            .seal(place(&own), &Secret::new(secret))
            .expect("sealed"),
    );
    let put = by_stranger.put(id.key().to_vec());
    let group = crate::store::Group {
        puts: vec![put],
        ..Default::default()
    };
    desk.app.store.commit(group).expect("memory");
    assert_eq!(seal_anew(&desk.app).await, 1);
    assert_eq!(sign_in(&desk, &Browser::new(1), "123456").await.status, 503);
    assert_eq!(
        sign_in(&desk, &Browser::new(1), &codes[0]).await.status,
        201
    );
}
