//! Channels that are a chat on a website: the daemon serves the visitors, the connector knows who may.

/// What a logged-in customer's page claims about the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedIdentity<'a> {
    /// The shop's id of the customer.
    pub id: &'a str,
    /// The name.
    pub name: Option<&'a str>,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// Lower-case hex HMAC-SHA256 of `id` under the channel's `identity_secret`.
    pub signature: Option<&'a str>,
}

/// Why an identity was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityRefused {
    /// The channel has no `identity_secret`, so nothing can be checked.
    NoSecret,
    /// There is no signature, or a wrong one.
    BadSignature,
}

/// Serves visitors of a website.
pub trait Visitors: Send + Sync {
    /// The script that a page includes.
    fn script(&self) -> &'static str;

    /// The origins whose pages may use the chat (`https://shop.example`); `None`: only the daemon's own.
    fn allowed_origins(&self) -> Option<&[String]>;

    /// Checks a claimed identity. Fails closed.
    fn identify(&self, claimed: &ClaimedIdentity<'_>) -> Result<(), IdentityRefused>;
}
