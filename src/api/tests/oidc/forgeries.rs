//! Tokens that must not be believed.

use serde_json::{Value, json};

use super::{COOKIE, Scene, location, me, problem, scene};
use crate::api::testing::noon;
use crate::api::testing::people::Browser;
use crate::oidc::stand_in::{Asked, CLIENT_SECRET, Signer, StandIn, unsigned, with_shared_secret};
use crate::store::entry::Role;

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
                let to = location(&answer);
                assert!(to.starts_with("/signin?problem="), "{what} by {signer:?}");
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
