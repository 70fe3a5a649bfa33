//! Who somebody is, by the word of a provider of identities: OpenID Connect, the code flow with PKCE (S10).
//!
//! What is believed is an ID token that came straight from the provider's token endpoint, is signed by one of its keys,
//! names this provider, this desk and the nonce of this attempt, and holds now. Whose account that is, the desk decides
//! (`desk/identities`).

mod provider;
#[cfg(test)]
pub(crate) mod stand_in;

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use deskbell_sdk::client::BoxFuture;
use deskbell_sdk::{Secret, Time};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use openidconnect::core::{
    CoreGenderClaim, CoreIdTokenVerifier, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{
    AdditionalClaims, ClaimsVerificationError, IdToken, IssuerUrl, Nonce,
    SignatureVerificationError,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::config;
use crate::secrets::random_text;
use provider::{Provider, Providers};

/// How long somebody may take at the provider, in milliseconds.
pub const ATTEMPT_MS: i64 = 10 * 60 * 1000;
/// How far the provider's clock may go before ours, in seconds.
const CLOCK_SKEW_S: i64 = 60;
/// How many codes are exchanged at once.
const AT_ONCE: usize = 8;
/// How many finished attempts are remembered, so that none is finished twice.
const REMEMBERED: usize = 4_096;
/// The longest code of a provider, in bytes.
const MAX_CODE_BYTES: usize = 4_096;
/// The longest `sub`, in characters (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT_CHARS: usize = 255;

/// The algorithms whose signatures are believed: those with a public key. `none` and those with a shared secret are not.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// Why somebody is not known by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The provider cannot be asked now.
    #[error("the provider of identities cannot be asked: {0}")]
    Unavailable(String),
    /// What came back is not believed.
    #[error("what the provider of identities sent is not believed: {0}")]
    NotBelieved(String),
    /// Too much is asked at once.
    #[error("too many are signing in at once")]
    Busy,
}

/// An attempt to sign in, which the browser that began it keeps, sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What the provider gives back with the answer.
    pub state: String,
    /// What stands in the ID token.
    nonce: String,
    /// What proves that who exchanges the code began this.
    verifier: String,
    /// Where the browser goes afterwards.
    pub return_to: String,
    /// Until when it can be finished.
    pub expires_at: Time,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What the provider sends back with the browser.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Answer {
    /// What is exchanged for the token.
    pub code: Option<String>,
    /// Which attempt it belongs to.
    pub state: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Who somebody is at the provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Who, for the provider: never another person.
    pub subject: String,
    /// The e-mail address, where the provider says that it is theirs.
    pub verified_email: Option<String>,
    /// The name.
    pub name: Option<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// What an ID token has beside what every one has.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Extra {
    /// From when on it holds.
    nbf: Option<serde_json::Number>,
    /// For whom it was made, where that is not who it is for.
    azp: Option<String>,
    /// Microsoft's word that the address's domain is the organisation's: it never sends `email_verified`.
    xms_edov: Option<serde_json::Value>,
}

impl AdditionalClaims for Extra {}

type Token = IdToken<Extra, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, Algorithm>;

/// What the token endpoint answers beside what every one does.
#[derive(Debug, Serialize, Deserialize)]
struct WithIdToken {
    id_token: String,
}

impl ExtraTokenFields for WithIdToken {}

type OAuthClient<AUTH, TOKEN> = Client<
    BasicErrorResponse,
    StandardTokenResponse<WithIdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    AUTH,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    TOKEN,
>;

/// A provider of identities, as the configuration names it.
#[derive(Debug)]
pub struct Oidc {
    settings: config::Oidc,
    providers: Providers,
    places: Semaphore,
    finished: Mutex<Finished>,
}

/// Attempts that are finished, oldest first.
#[derive(Debug, Default)]
struct Finished {
    states: HashSet<String>,
    order: VecDeque<String>,
}

impl Finished {
    /// Remembers an attempt; `false` where it was finished before.
    fn remember(&mut self, state: &str) -> bool {
        if !self.states.insert(state.to_owned()) {
            return false;
        }
        self.order.push_back(state.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.states.remove(&oldest);
        }
        true
    }
}

impl Oidc {
    /// For the provider that the configuration names.
    ///
    /// # Errors
    /// Where there is no HTTP client.
    pub fn new(settings: config::Oidc) -> Result<Self, reqwest::Error> {
        Ok(Self {
            providers: Providers::new(&settings.issuer)?,
            settings,
            places: Semaphore::new(AT_ONCE),
            finished: Mutex::default(),
        })
    }

    /// What the configuration says of it.
    #[must_use]
    pub const fn settings(&self) -> &config::Oidc {
        &self.settings
    }

    /// Begins an attempt: the address of the provider to which the browser goes, and what the browser keeps.
    ///
    /// # Errors
    /// Where the provider cannot be asked for its addresses.
    pub async fn begin(
        &self,
        callback: &str,
        return_to: String,
        now: Time,
    ) -> Result<(String, Attempt), OidcError> {
        let provider = self.providers.get().await?;
        let attempt = Attempt {
            state: random_text(),
            nonce: random_text(),
            verifier: random_text(),
            return_to,
            expires_at: now.plus_millis(ATTEMPT_MS),
        };
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let client = self.client(&provider, callback)?;
        let (url, _) = client
            .authorize_url(|| CsrfToken::new(attempt.state.clone()))
            .add_scopes(["openid", "email", "profile"].map(|scope| Scope::new(scope.to_owned())))
            .add_extra_param("nonce", attempt.nonce.as_str())
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok((url.into(), attempt))
    }

    /// Finishes an attempt with what the browser brought back. `attempt` is the one that the same browser began.
    ///
    /// # Errors
    /// Where nothing is believed, or the provider cannot be asked.
    pub async fn finish(
        &self,
        callback: &str,
        attempt: &Attempt,
        answer: Answer,
        now: Time,
    ) -> Result<Identity, OidcError> {
        let believed = |holds: bool, why: &str| match holds {
            true => Ok(()),
            false => Err(OidcError::NotBelieved(why.to_owned())),
        };
        believed(now < attempt.expires_at, "the attempt is too old")?;
        let provider = self.providers.get().await?;
        // Another provider's answer, brought to this address, names that one (a mix-up).
        match &answer.iss {
            Some(issuer) => believed(*issuer == self.settings.issuer, "another provider answered")?,
            None => believed(
                !provider.names_itself,
                "nobody says which provider answered",
            )?,
        }
        let code = answer.code.as_deref().unwrap_or_default();
        let is_code = (1..=MAX_CODE_BYTES).contains(&code.len());
        believed(is_code, "there is no code in the answer")?;
        let first = self
            .finished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(&attempt.state);
        believed(first, "the attempt was finished before")?;
        let _place = self.places.try_acquire().map_err(|_| OidcError::Busy)?;
        let token = self.exchanged(&provider, callback, attempt, code)?.await?;
        match self.identity(&provider, &token, attempt, now) {
            // The provider may have begun to use a new key.
            Err(Unbelieved::UnknownKey) => {
                let provider = self.providers.anew(&provider).await?;
                self.identity(&provider, &token, attempt, now)
            }
            identity => identity,
        }
        .map_err(|unbelieved| OidcError::NotBelieved(unbelieved.to_string()))
    }

    fn client(
        &self,
        provider: &Provider,
        callback: &str,
    ) -> Result<OAuthClient<EndpointSet, EndpointSet>, OidcError> {
        let callback = RedirectUrl::new(callback.to_owned())
            .map_err(|_| OidcError::Unavailable("public_url is no address".to_owned()))?;
        let auth_type = match provider.takes_basic {
            true => AuthType::BasicAuth,
            false => AuthType::RequestBody,
        };
        let secret = self.settings.client_secret.expose().to_owned();
        let client = OAuthClient::new(ClientId::new(self.settings.client_id.clone()))
            .set_client_secret(ClientSecret::new(secret))
            .set_auth_type(auth_type)
            .set_auth_uri(AuthUrl::from_url(provider.authorization_endpoint.clone()))
            .set_token_uri(TokenUrl::from_url(provider.token_endpoint.clone()))
            .set_redirect_uri(callback);
        Ok(client)
    }

    /// The ID token for a code.
    fn exchanged(
        &self,
        provider: &Provider,
        callback: &str,
        attempt: &Attempt,
        code: &str,
    ) -> Result<BoxFuture<'static, Result<Secret, OidcError>>, OidcError> {
        use oauth2::RequestTokenError;

        let caller = self.providers.caller();
        let call = move |request| {
            let caller = caller.clone();
            async move { caller.call(request).await }
        };
        let client = self.client(provider, callback)?;
        let code = AuthorizationCode::new(code.to_owned());
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        // Words of the provider may hold the code or a token, and are told nowhere.
        let not_believed = |why: &str| Err(OidcError::NotBelieved(why.to_owned()));
        Ok(Box::pin(async move {
            let exchange = client.exchange_code(code).set_pkce_verifier(verifier);
            match exchange.request_async(&call).await {
                Ok(answer) => Ok(Secret::new(answer.extra_fields().id_token.clone())),
                Err(RequestTokenError::Request(error)) => Err(error.into()),
                Err(RequestTokenError::ServerResponse(_)) => not_believed(
                    "the provider does not take the code, or client_id and client_secret",
                ),
                Err(RequestTokenError::Parse(..)) => {
                    not_believed("there is no ID token in the provider's answer")
                }
                Err(RequestTokenError::Other(_)) => Err(OidcError::Unavailable(
                    "its answer cannot be read".to_owned(),
                )),
            }
        }))
    }

    /// Who an ID token tells of, where it is believed.
    fn identity(
        &self,
        provider: &Provider,
        token: &Secret,
        attempt: &Attempt,
        now: Time,
    ) -> Result<Identity, Unbelieved> {
        let token: Token = token
            .expose()
            .parse()
            .map_err(|_| Unbelieved::because("the ID token cannot be read"))?;
        let issuer = IssuerUrl::new(self.settings.issuer.clone())
            .map_err(|_| Unbelieved::because("the issuer is no address"))?;
        let now_s = now.as_millis() / 1000;
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let instant = UNIX_EPOCH + Duration::from_millis(millis);
        let client_id = ClientId::new(self.settings.client_id.clone());
        let verifier =
            CoreIdTokenVerifier::new_public_client(client_id, issuer, provider.keys.clone())
                .set_allowed_algs(ALGORITHMS)
                .set_time_fn(move || instant.into())
                .set_issue_time_verifier_fn(move |issued_at| {
                    match issued_at.timestamp() <= now_s + CLOCK_SKEW_S {
                        true => Ok(()),
                        false => Err("it is of the future".to_owned()),
                    }
                });
        let claims = token
            .claims(&verifier, &Nonce::new(attempt.nonce.clone()))
            .map_err(Unbelieved::from)?;
        // Two addresses that browsers hold for the same are two providers.
        if claims.issuer().as_str() != self.settings.issuer {
            return Err(Unbelieved::because("the ID token is another provider's"));
        }
        let extra = claims.additional_claims();
        if let Some(from) = &extra.nbf
            && from
                .as_f64()
                .is_none_or(|from| from > (now_s + CLOCK_SKEW_S) as f64)
        {
            return Err(Unbelieved::because("the ID token does not hold yet"));
        }
        let is_for_us = |azp: &String| *azp == self.settings.client_id;
        if !extra.azp.as_ref().is_none_or(is_for_us) {
            return Err(Unbelieved::because(
                "the ID token was made for another client",
            ));
        }
        let subject = claims.subject().as_str();
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT_CHARS {
            return Err(Unbelieved::because("the ID token names nobody"));
        }
        let is_verified =
            claims.email_verified() == Some(true) || extra.xms_edov.as_ref().is_some_and(says_yes);
        let email = claims.email().filter(|_| is_verified);
        let name = claims.name().and_then(|name| name.get(None));
        Ok(Identity {
            issuer: self.settings.issuer.clone(),
            subject: subject.to_owned(),
            verified_email: email.map(|email| email.as_str().to_owned()),
            name: name.map(|name| name.as_str().to_owned()),
        })
    }
}

/// Microsoft writes `true` in several ways.
fn says_yes(value: &serde_json::Value) -> bool {
    *value == true || *value == 1 || *value == "1" || *value == "true"
}

/// Why an ID token is not believed.
#[derive(Debug, thiserror::Error)]
enum Unbelieved {
    #[error("the ID token is signed by a key that the provider does not publish")]
    UnknownKey,
    #[error("{0}")]
    Because(&'static str),
}

impl Unbelieved {
    const fn because(why: &'static str) -> Self {
        Self::Because(why)
    }
}

impl From<ClaimsVerificationError> for Unbelieved {
    fn from(error: ClaimsVerificationError) -> Self {
        use ClaimsVerificationError as Claim;
        // Only what kind it is of: the words hold what the token holds.
        Self::Because(match error {
            Claim::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
                return Self::UnknownKey;
            }
            Claim::SignatureVerification(SignatureVerificationError::DisallowedAlg(_)) => {
                "the ID token is signed by an algorithm that is not allowed"
            }
            Claim::SignatureVerification(_) => "the ID token's signature is wrong",
            Claim::Expired(_) => "the ID token is too old",
            Claim::InvalidAudience(_) => "the ID token is not for this desk",
            Claim::InvalidIssuer(_) => "the ID token is another provider's",
            Claim::InvalidNonce(_) => "the ID token belongs to another attempt",
            _ => "the ID token is not as it has to be",
        })
    }
}
