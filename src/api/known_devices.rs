//! Devices that somebody has signed in with: each keeps a cookie that proves it, so that nobody who guesses from elsewhere
//! can keep the real person out (S01). It opens nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::{Secret, webhook};

use crate::app::Daemon;
use crate::id::UserId;
use crate::secrets::random_bytes;

/// The cookie's name by HTTPS.
pub const SECURE_COOKIE: &str = "__Host-deskbell-device";
/// The cookie's name on plain HTTP.
pub const PLAIN_COOKIE: &str = "deskbell-device";
/// How long a device is known: a year, in seconds.
const AGE_SECONDS: i64 = 365 * 24 * 60 * 60;
/// How many people share a device at the most; who came first is forgotten.
const MOST_PEOPLE: usize = 8;
/// The longest cookie that is looked at, in bytes.
const MAX_BYTES: usize = 2 * 1024;

/// What proves that a person has signed in with this device: a number of its own, and the daemon's word for both.
fn proof(app: &Daemon, user: UserId, number: &str) -> String {
    let of = format!("{user} {number}");
    app.cursors.derived_secret("known device", of.as_bytes())
}

/// The numbers in a cookie with what is to prove them.
fn entries(cookie: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_plain = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !text.is_empty() && text.bytes().all(fits)
    };
    let cookie = if cookie.len() <= MAX_BYTES {
        cookie
    } else {
        ""
    };
    cookie
        .split('~')
        .take(MOST_PEOPLE)
        .filter_map(|entry| entry.split_once('.'))
        .filter(move |(number, shown)| is_plain(number) && is_plain(shown))
}

/// The number of this person's entry.
fn number_of<'a>(app: &Daemon, cookie: &'a str, user: UserId) -> Option<&'a str> {
    let own = |(number, shown): &(&str, &str)| {
        webhook::same_secret(&Secret::new(proof(app, user, number)), shown)
    };
    entries(cookie).find(own).map(|(number, _)| number)
}

/// The name under which the tries of this person with this device are counted; `None` where they never signed in with it.
#[must_use]
pub fn known(app: &Daemon, cookie: &str, user: UserId) -> Option<Vec<u8>> {
    let number = number_of(app, cookie, user)?;
    Some(format!("{user} {number}").into_bytes())
}

/// The `Set-Cookie` of a device with which this person has just signed in.
#[must_use]
pub fn cookie_for(app: &Daemon, before: Option<&str>, user: UserId) -> String {
    let before = before.unwrap_or_default();
    let own = number_of(app, before, user);
    let number = own.map_or_else(
        || URL_SAFE_NO_PAD.encode(random_bytes::<16>()),
        str::to_owned,
    );
    let others = entries(before).filter(|(number, _)| Some(*number) != own);
    let mut all: Vec<String> = others
        .map(|(number, shown)| format!("{number}.{shown}"))
        .collect();
    let entry = format!("{number}.{}", proof(app, user, &number));
    all.insert(0, entry);
    all.truncate(MOST_PEOPLE);
    let value = all.join("~");
    if app.is_https() {
        format!(
            "{SECURE_COOKIE}={value}; Path=/; Max-Age={AGE_SECONDS}; HttpOnly; SameSite=Strict; Secure"
        )
    } else {
        format!("{PLAIN_COOKIE}={value}; Path=/; Max-Age={AGE_SECONDS}; HttpOnly; SameSite=Strict")
    }
}
