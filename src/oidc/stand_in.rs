//! A provider of identities for tests: strict with us, and ready to lie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use deskbell_sdk::{Secret, Time};
use hmac::Mac as _;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::config;

/// By which name it knows the desk.
pub(crate) const CLIENT: &str = "the-desk";
/// By what it knows the desk.
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret";

/// An RSA key that was made for these tests and is used nowhere else.
const RSA_KEY: &[&str] = &[
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQD7oA3CeM3jeXwnSSNgB6NxJK4dlPpaevH8Lg0uvF7WiMgp3Ume",
    "G8NoaJVMpOZnN84vQ8qyO/DwnX/N7ZUnDhkdOtgW1kXQoqfEY/GxGT17UJDmP6Pp8BeXmNAj3thRVj9C+dKs0LHgolRpvY/xJqd7",
    "YagCcHjdSAICaSTgsK/xgfSA6EXdKLzfqbrijxX/Tx38U/jAe7A8iVv9+UaD1q7ugRp/O4zayiq4JlK/4YTcLvTmvAZtn3frNraX",
    "ffrVfqCgwJQYU8fc21F5DOVWTDqggF5jrZmY1wYrFAuERDtJa/LIXrXCEq/mbKCRX/Y0AYqEzMB7OIEbGADpxgAwNx15AgMBAAEC",
    "ggEAAenN3sX6+C4W3uFB/YRWUUh+yl4jaE0Zm/sO1c9dUZdcbQjKiFtt/z4oVolSho7YkodUWR3gfs6km27jgkLGKkkPn0QkfZYa",
    "WP0QqlLz5PxWsDRFOq6nAcE2Em96MprkBjgpJylrkI8Rf/k68M+aRyP7UYejBzkYcmb4Tgo/ak+rVUFk6ymfqSQe952SVPtrsDtd",
    "u4bKPRFm1j9/F0Xs+obaqgIPen5SgErmKt4YrsUx8QjwJln6gwPjWuO6AyGKEPhvm8TrYtCBExT8iLPAWo6OVIGkOdWXSl2bXl1w",
    "mWES4jzp1hj2lz0iPRL9EJjfDe+zPzRBWXPd/oBSRZmp2QKBgQD+zVUaZfAVW/fvelrCnQbGcNEOHszmk9AGdyYF/zAa4zPakWmx",
    "L0upgMRH5Zbat8oMTFwOisD5xFWv5nx/HhKkfxU9gJlidOw8oftNKMMcEYBgmfKjGuzwWRc18UT5od72A8NxBBoFMMxUgk4d05wN",
    "ExOa0i6lb8RqfsnaO4sKRQKBgQD8zuXVU6NMIaRmYls8YXZCPGEuEoegbkzz9Vn0nXXHUP8aF0VznT9xtdpsb/VIJwaKlKlsd3Zt",
    "xOzmQ6Xsb4clYiYMwEDSbuhl6QI4gvwwrDRMUcYi7pnxa/O916sEJ4dBKaXC+C15Z2PkyIL6U5YXZJA/cI4Rma2PVnXLbBLzpQKB",
    "gG7ONHgqZGGlgQivmNCRIOUjIoaVdl2/YfOt1Oc+tli6/U3Ldr8K5khsKu9pNFUhH8iBXHcmeA0mCG1aOkG9fjXy3fXE+u8KEcG8",
    "X2CKnW6TXdSknhO4HdnXpHRc27YDYsZxlIiNVBN1ySXnFLl70J0O8rOdO5POKwh04qr4wdpRAoGBAJPB2VL1r1uvzgaJNgn0bMoJ",
    "wELNUbfSv+dWX105Kr1z+aWmNFF+drZfM2pthU7GgGw+t0dOC0nc7xkmMLQf+z0+QD7znu9fIzVtGn8tD3jjLS3uHYANNKyGC8/J",
    "XYrwD31mehuaMfnjE9+D0gm9ENxbSnPJtT9UMry0K+TZJbqBAoGAQg9ja88c35PleRDKrZE/7i4eLzL1HWJ5LDGmo3t35xkvxbN+",
    "K9c/jefmSgG1/BvDd25bohd9OouwzqrbxmPEhlgGZYCGet4/kfc528SLTWOJp6OYWO01OOY4A8PnptaWEI7po5ovoSoEkoGaeFgD",
    "EcBiOcaTkcovxUyDhhZEvlk=",
];
/// Its modulus.
const RSA_MODULUS: &[&str] = &[
    "fba00dc278cde3797c2749236007a37124ae1d94fa5a7af1fc2e0d2ebc5ed688c829dd499e1bc36868954ca4e66737ce2f43",
    "cab23bf0f09d7fcded95270e191d3ad816d645d0a2a7c463f1b1193d7b5090e63fa3e9f0179798d023ded851563f42f9d2ac",
    "d0b1e0a25469bd8ff126a77b61a8027078dd4802026924e0b0aff181f480e845dd28bcdfa9bae28f15ff4f1dfc53f8c07bb0",
    "3c895bfdf94683d6aeee811a7f3b8cdaca2ab82652bfe184dc2ef4e6bc066d9f77eb36b6977dfad57ea0a0c0941853c7dcdb",
    "51790ce5564c3aa0805e63ad9998d7062b140b84443b496bf2c85eb5c212afe66ca0915ff634018a84ccc07b38811b1800e9",
    "c60030371d79",
];

/// Who signs a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// ECDSA with P-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA.
    Rs256,
    /// ECDSA with a key that the provider does not publish.
    Stranger,
}

impl Signer {
    /// Those that are to be believed.
    pub(crate) const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The name of the algorithm.
    pub(crate) const fn algorithm(self) -> &'static str {
        match self {
            Self::Es256 | Self::Stranger => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// The name of the key.
    pub(crate) const fn key_id(self) -> &'static str {
        match self {
            Self::Es256 => "ec",
            Self::EdDsa => "ed",
            Self::Rs256 => "rsa",
            Self::Stranger => "stranger",
        }
    }
}

/// What the desk asked for when it sent a browser.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What comes back with the answer.
    pub(crate) state: String,
    /// What stands in the token.
    pub(crate) nonce: String,
    challenge: String,
    callback: String,
}

/// What the token endpoint does with a code.
#[derive(Clone, Debug)]
pub(crate) enum Gives {
    /// Gives this ID token.
    Token(String),
    /// Answers this, whatever is asked.
    Answer(u16, &'static str, String),
}

#[derive(Debug)]
struct Shared {
    ec: KeyPair,
    ed: KeyPair,
    rsa: KeyPair,
    stranger: KeyPair,
    issuer: String,
    codes: Mutex<HashMap<String, (Asked, Gives)>>,
    /// What it publishes instead of what is true.
    document: Mutex<Value>,
    published: Mutex<Vec<Signer>>,
    keys_read: Mutex<usize>,
    faults: Mutex<Vec<String>>,
}

/// The provider; it ends with the test's runtime.
#[derive(Clone, Debug)]
pub(crate) struct StandIn(Arc<Shared>);

impl StandIn {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = listener.await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let made = |algorithm| KeyPair::generate_for(algorithm).expect("a key");
        let pem = format!(
            "-----BEGIN PRIVATE {key}-----\n{}\n-----END PRIVATE {key}-----\n",
            RSA_KEY.join("\n"),
            key = "KEY"
        );
        let rsa = KeyPair::from_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256);
        let shared = Arc::new(Shared {
            ec: made(&rcgen::PKCS_ECDSA_P256_SHA256),
            ed: made(&rcgen::PKCS_ED25519),
            rsa: rsa.expect("a key"),
            stranger: made(&rcgen::PKCS_ECDSA_P256_SHA256),
            issuer: format!("http://{address}"),
            codes: Mutex::default(),
            document: Mutex::new(json!({})),
            published: Mutex::new(Signer::ALL.to_vec()),
            keys_read: Mutex::default(),
            faults: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(shared)
    }

    /// The name by which it calls itself.
    pub(crate) fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The configuration that names it.
    pub(crate) fn config(&self) -> config::Oidc {
        config::Oidc {
            issuer: self.0.issuer.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: Secret::new(CLIENT_SECRET),
            name: "Invented".to_owned(),
            allowed_domains: vec!["shop.example".to_owned()],
            create: true,
            role: config::NewRole::Agent,
        }
    }

    /// From now on it publishes this in the place of what is true.
    pub(crate) fn publish(&self, changes: Value) {
        *self.0.document.lock().expect("not poisoned") = changes;
    }

    /// From now on it publishes these keys.
    pub(crate) fn publish_keys(&self, keys: &[Signer]) {
        *self.0.published.lock().expect("not poisoned") = keys.to_vec();
    }

    /// How often its keys were read.
    pub(crate) fn keys_read(&self) -> usize {
        *self.0.keys_read.lock().expect("not poisoned")
    }

    /// What the desk did that no client may do.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.0.faults.lock().expect("not poisoned").clone()
    }

    /// What a browser that was sent here asks for. Every parameter that a client has to send must be there.
    pub(crate) fn asked(&self, address: &str) -> Asked {
        let url = Url::parse(address).expect("an address");
        assert_eq!(url.origin().ascii_serialization(), self.0.issuer);
        assert_eq!(url.path(), "/authorize");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], CLIENT);
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["scope"], "openid email profile");
        assert!(query["state"].len() >= 43 && query["nonce"].len() >= 43);
        Asked {
            state: query["state"].clone(),
            nonce: query["nonce"].clone(),
            challenge: query["code_challenge"].clone(),
            callback: query["redirect_uri"].clone(),
        }
    }

    /// A code for what was asked, for which the token endpoint gives that, once.
    pub(crate) fn code(&self, asked: &Asked, gives: Gives) -> String {
        let code = crate::secrets::random_text();
        let mut codes = self.0.codes.lock().expect("not poisoned");
        codes.insert(code.clone(), (asked.clone(), gives));
        code
    }

    /// What stands in an honest token.
    pub(crate) fn claims(&self, asked: &Asked, person: &str, now: Time) -> Value {
        let now = now.as_millis() / 1000;
        json!({
            "iss": self.0.issuer, "sub": format!("sub-of-{person}"), "aud": CLIENT, "iat": now, "exp": now + 300,
            "nonce": asked.nonce, "email": format!("{person}@shop.example"), "email_verified": true,
            "name": format!("Name of {person}"),
        })
    }

    /// The head of an honest token.
    pub(crate) fn head(signer: Signer) -> Value {
        json!({ "alg": signer.algorithm(), "kid": signer.key_id(), "typ": "JWT" })
    }

    /// A token.
    pub(crate) fn token(&self, signer: Signer, head: &Value, claims: &Value) -> String {
        let signed = unsigned(head, claims);
        let signature = self.signature(signer, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A signature in the form of JOSE.
    pub(crate) fn signature(&self, signer: Signer, bytes: &[u8]) -> Vec<u8> {
        let sign = |key: &KeyPair| key.sign(bytes).expect("signed");
        match signer {
            Signer::Es256 => plain(&sign(&self.0.ec)),
            Signer::Stranger => plain(&sign(&self.0.stranger)),
            Signer::EdDsa => sign(&self.0.ed),
            Signer::Rs256 => sign(&self.0.rsa),
        }
    }

    /// The published half of a key, as bytes: what a careless reader might take for a shared secret.
    pub(crate) fn public(&self, signer: Signer) -> Vec<u8> {
        self.key_of(signer).der_bytes().to_vec()
    }

    fn key_of(&self, signer: Signer) -> &KeyPair {
        match signer {
            Signer::Es256 => &self.0.ec,
            Signer::EdDsa => &self.0.ed,
            Signer::Rs256 => &self.0.rsa,
            Signer::Stranger => &self.0.stranger,
        }
    }

    /// A key as it is published.
    pub(crate) fn published(&self, signer: Signer) -> Value {
        let raw = self.key_of(signer).public_key_raw();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut key = match signer {
            Signer::Es256 | Signer::Stranger => json!({
                "kty": "EC", "crv": "P-256", "x": text(&raw[1..33]), "y": text(&raw[33..65]),
            }),
            Signer::EdDsa => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(raw) }),
            Signer::Rs256 => json!({
                "kty": "RSA", "e": "AQAB",
                "n": text(&hex::decode(RSA_MODULUS.concat()).expect("hex")),
            }),
        };
        key["kid"] = json!(signer.key_id());
        key["use"] = json!("sig");
        key["alg"] = json!(signer.algorithm());
        key
    }
}

/// Head and claims as they are signed.
pub(crate) fn unsigned(head: &Value, claims: &Value) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", text(head), text(claims))
}

/// A token with a shared secret.
pub(crate) fn with_shared_secret(secret: &[u8], head: &Value, claims: &Value) -> String {
    let signed = unsigned(head, claims);
    let mut mac = <hmac::Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret).expect("any key");
    mac.update(signed.as_bytes());
    let signature = mac.finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The two numbers of a signature in DER, 32 bytes each.
fn plain(der: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        plain.extend(std::iter::repeat_n(0, 32 - number.len()));
        plain.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    plain
}

async fn document(State(shared): State<Arc<Shared>>) -> axum::Json<Value> {
    let issuer = &shared.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "none"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    let changes = shared.document.lock().expect("not poisoned").clone();
    for (key, value) in changes.as_object().expect("an object") {
        document[key] = value.clone();
    }
    axum::Json(document)
}

async fn keys(State(shared): State<Arc<Shared>>) -> axum::Json<Value> {
    *shared.keys_read.lock().expect("not poisoned") += 1;
    let published = shared.published.lock().expect("not poisoned").clone();
    let stand_in = StandIn(shared);
    let keys: Vec<_> = published
        .into_iter()
        .map(|one| stand_in.published(one))
        .collect();
    axum::Json(json!({ "keys": keys }))
}

/// Gives a token for a code, once, to the client that asked, if it proves that.
async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let refuse = |why: &str| {
        shared
            .faults
            .lock()
            .expect("not poisoned")
            .push(why.to_owned());
        (
            StatusCode::BAD_REQUEST,
            axum::Json(json!({ "error": "invalid_grant" })),
        )
            .into_response()
    };
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let credentials = STANDARD.encode(format!("{CLIENT}:{CLIENT_SECRET}"));
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if given != Some(&format!("Basic {credentials}")) {
        return refuse("client");
    }
    if field("grant_type") != "authorization_code" {
        return refuse("grant");
    }
    let found = shared
        .codes
        .lock()
        .expect("not poisoned")
        .remove(field("code"));
    let Some((asked, gives)) = found else {
        return refuse("code");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
    if challenge != asked.challenge {
        return refuse("verifier");
    }
    if field("redirect_uri") != asked.callback {
        return refuse("callback");
    }
    match gives {
        Gives::Token(token) => axum::Json(json!({
            "access_token": "canary-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": token,
        }))
        .into_response(),
        Gives::Answer(status, kind, body) => {
            let status = StatusCode::from_u16(status).expect("a status");
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::LOCATION, "http://127.0.0.1:9/elsewhere"),
            ];
            (status, headers, body).into_response()
        }
    }
}
