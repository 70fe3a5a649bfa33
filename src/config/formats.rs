//! What a text of the configuration may be.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use super::suggest::nearest;
use super::{ClamdAddress, Engine, LogFormat, MailSecurity, NewRole};

/// A kind of text: what to say is expected, and how to read it. Errors never repeat the text.
pub(super) struct Format<T> {
    pub(super) expected: &'static str,
    pub(super) parse: fn(&str) -> Result<T, String>,
}

impl<T> Clone for Format<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Format<T> {}

const LISTEN_EXPECTED: &str =
    "an IP address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";

/// Where to listen.
pub(super) const LISTEN: Format<SocketAddr> = Format {
    expected: LISTEN_EXPECTED,
    parse: |text| {
        text.parse()
            .map_err(|_| format!("expected {LISTEN_EXPECTED}"))
    },
};

/// An address that other machines reach.
pub(super) const WEB_ADDRESS: Format<Url> = Format {
    expected: "an address such as \"https://www.example.com\"",
    parse: web_address,
};

/// A platform's address, kept as it will be joined with paths: without a slash at its end.
pub(super) const API_BASE: Format<String> = Format {
    expected: "an address such as \"https://www.example.com\"",
    parse: |text| Ok(web_address(text)?.as_str().trim_end_matches('/').to_owned()),
};

/// A range of IP addresses; one address is a range of its own.
pub(super) const NETWORK: Format<IpNet> = Format {
    expected: "an IP address or range, such as \"127.0.0.1/32\" or \"10.0.0.0/8\"",
    parse: |text| {
        let network = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network: IpNet| network.trunc()).map_err(|_| {
            "expected an IP address or range, such as \"127.0.0.1/32\" or \"10.0.0.0/8\"".to_owned()
        })
    },
};

const CLAMD_EXPECTED: &str =
    "the path of clamd's socket, such as \"/run/clamav/clamd.ctl\", or \"127.0.0.1:3310\"";

/// Where ClamAV's daemon is.
pub(super) const CLAMD: Format<ClamdAddress> = Format {
    expected: CLAMD_EXPECTED,
    parse: |text| clamd(text).ok_or_else(|| format!("expected {CLAMD_EXPECTED}")),
};

const DURATION_EXPECTED: &str =
    "a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\"";

/// A duration of at most a year: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(super) const DURATION: Format<Duration> = Format {
    expected: DURATION_EXPECTED,
    parse: duration,
};

/// Any text.
pub(super) const TEXT: Format<String> = Format {
    expected: "a text in quotes",
    parse: |text| Ok(text.to_owned()),
};

/// Any text but none.
pub(super) const FILLED_TEXT: Format<String> = Format {
    expected: "a text in quotes",
    parse: |text| {
        if text.trim().is_empty() {
            Err("is empty".to_owned())
        } else {
            Ok(text.to_owned())
        }
    },
};

/// A name that people read: one line of at most 100 characters.
pub(super) const NAME: Format<String> = Format {
    expected: "a text in quotes",
    parse: |text| {
        if text.trim().is_empty() {
            Err("is empty".to_owned())
        } else if text.chars().count() > 100 {
            Err("is longer than 100 characters".to_owned())
        } else if text.chars().any(char::is_control) {
            Err("holds a line break or another control character".to_owned())
        } else {
            Ok(text.trim().to_owned())
        }
    },
};

/// A channel's id, which stands in URLs.
pub(super) const SLUG: Format<String> = Format {
    expected: "a text in quotes",
    parse: |text| {
        if is_slug(text) {
            Ok(text.to_owned())
        } else {
            Err(
                "must be 1 to 63 of a-z, 0-9 and \"-\", and begin with a letter or digit, such as \
                 \"shop-page\""
                    .to_owned(),
            )
        }
    },
};

/// The store's engine.
pub(super) const ENGINE: Format<Engine> = Format {
    expected: "\"sled\"",
    parse: |text| match text {
        "sled" => Ok(Engine::Sled),
        "postgres" => {
            Err("\"postgres\" is not built into this version of Deskbell; use \"sled\"".to_owned())
        }
        _ => Err("must be \"sled\"".to_owned()),
    },
};

/// The name by which a provider of identities calls itself: exactly so, also its slash at the end.
pub(super) const ISSUER: Format<String> = Format {
    expected: "an address such as \"https://accounts.example.com\"",
    parse: |text| {
        let url = web_address(text).map_err(|problem| match Url::parse(text) {
            Ok(_) => problem,
            Err(_) => format!("expected {}", ISSUER.expected),
        })?;
        match is_safe_way(&url) {
            true => Ok(text.to_owned()),
            false => Err(
                "must begin with https://, so that nobody on the way can say who somebody is"
                    .to_owned(),
            ),
        }
    },
};

/// A domain of e-mail addresses.
pub(super) const DOMAIN: Format<String> = Format {
    expected: "a domain such as \"example.com\"",
    parse: |text| match Host::parse(text) {
        Ok(Host::Domain(domain)) if !text.contains('@') && domain.contains('.') => Ok(domain),
        _ => Err("expected a domain such as \"example.com\"".to_owned()),
    },
};

/// What people may do who come by a provider of identities for the first time.
pub(super) const NEW_ROLE: Format<NewRole> = Format {
    expected: "\"agent\" or \"viewer\"",
    parse: |text| match text {
        "agent" => Ok(NewRole::Agent),
        "viewer" => Ok(NewRole::Viewer),
        "admin" => Err(
            "must be \"agent\" or \"viewer\": administrators are made by administrators".to_owned(),
        ),
        _ => Err("must be \"agent\" or \"viewer\"".to_owned()),
    },
};

/// A host's name or IP address.
pub(super) const HOST: Format<String> = Format {
    expected: "a host such as \"mail.example.com\"",
    parse: |text| {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let is_address = bare.unwrap_or(text).parse::<IpAddr>().is_ok();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if is_address || (!text.is_empty() && text.bytes().all(fits)) {
            Ok(bare.unwrap_or(text).to_owned())
        } else {
            Err("expected a host such as \"mail.example.com\", without a port".to_owned())
        }
    },
};

/// How the line to a mail server is kept private.
pub(super) const MAIL_SECURITY: Format<MailSecurity> = Format {
    expected: "\"tls\", \"starttls\" or \"none\"",
    parse: |text| match text {
        "tls" => Ok(MailSecurity::Tls),
        "starttls" => Ok(MailSecurity::StartTls),
        "none" => Ok(MailSecurity::None),
        _ => Err("must be \"tls\", \"starttls\" or \"none\"".to_owned()),
    },
};

/// Who a mail is from.
pub(super) const MAILBOX: Format<String> = Format {
    expected: "an e-mail address such as \"Shop <desk@example.com>\"",
    parse: |text| match text.parse::<lettre::message::Mailbox>() {
        Ok(mailbox) => Ok(mailbox.to_string()),
        Err(_) => Err("expected an e-mail address such as \"Shop <desk@example.com>\"".to_owned()),
    },
};

/// How log lines look.
pub(super) const LOG_FORMAT: Format<LogFormat> = Format {
    expected: "\"text\" or \"json\"",
    parse: |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be \"text\" or \"json\"".to_owned()),
    },
};

/// What is logged.
pub(super) const LOG_LEVEL: Format<String> = Format {
    expected: "a level such as \"info\"",
    parse: log_level,
};

/// Whether a text may be a channel's id: `[a-z0-9][a-z0-9-]{0,62}`.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    matches!(text.len(), 1..=63)
        && text.bytes().all(|byte| letter(byte) || byte == b'-')
        && !text.starts_with('-')
}

/// A name that people read, as it is kept; else what is wrong with it.
pub fn checked_name(text: &str) -> Result<String, String> {
    (NAME.parse)(text)
}

/// A platform's address (`api_base`), as it is kept; else what is wrong with it.
pub fn checked_address(text: &str) -> Result<String, String> {
    (API_BASE.parse)(text)
}

fn clamd(text: &str) -> Option<ClamdAddress> {
    if text.starts_with('/') {
        let is_path = !text.ends_with('/') && !text.contains('\0');
        return is_path.then(|| ClamdAddress::Unix(PathBuf::from(text)));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()?
            .to_string(),
        None => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (!host.is_empty() && host.bytes().all(fits)).then(|| host.to_owned())?
        }
    };
    Some(ClamdAddress::Tcp(host, port))
}

fn web_address(text: &str) -> Result<Url, String> {
    let address = Url::parse(text).map_err(|_| format!("expected {}", WEB_ADDRESS.expected))?;
    let refused = if !matches!(address.scheme(), "http" | "https") {
        "must begin with https:// or http://"
    } else if !address.username().is_empty() || address.password().is_some() {
        "must not hold a user name or password"
    } else if address.query().is_some() || address.fragment().is_some() {
        "must end before any \"?\" or \"#\""
    } else {
        return Ok(address);
    };
    Err(refused.to_owned())
}

/// Whether nobody on the way can read or change what goes to an address: it is reached by TLS, or on this machine.
pub(super) fn is_safe_way(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Domain(name)) => is_local_name(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || is_local
}

/// Whether a host's name is this machine's.
pub(super) fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn duration(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        _ => return Err(format!("expected {DURATION_EXPECTED}")),
    };
    if number.is_empty() {
        return Err(format!("expected {DURATION_EXPECTED}"));
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(milliseconds))
        .map(Duration::from_millis)
        .filter(|duration| *duration <= YEAR)
        .ok_or_else(|| "is longer than a year".to_owned())
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or several for parts of the program: `info,deskbell::store=debug`.
fn log_level(text: &str) -> Result<String, String> {
    for directive in text.split(',') {
        let (target, level) = directive
            .rsplit_once('=')
            .unwrap_or(("deskbell", directive));
        let target_is_path = !target.is_empty()
            && target
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
        if !target_is_path || !LEVELS.contains(&level) {
            let mut problem = format!(
                "must be one of {}, or levels of parts such as \"info,deskbell::store=debug\"",
                LEVELS.join(", ")
            );
            if let Some(meant) = nearest(level, LEVELS) {
                problem.push_str(&format!("; did you mean {meant}?"));
            }
            return Err(problem);
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m13_where_clamd_is() {
        let tcp = |host: &str| Some(ClamdAddress::Tcp(host.to_owned(), 3310));
        let path = "/run/clamav/clamd.ctl";
        assert_eq!(clamd(path), Some(ClamdAddress::Unix(PathBuf::from(path))));
        for (text, host) in [
            ("127.0.0.1:3310", "127.0.0.1"),
            ("clamav:3310", "clamav"),
            ("[::1]:3310", "::1"),
        ] {
            assert_eq!(clamd(text), tcp(host), "{text}");
            assert_eq!(
                clamd(text).map(|address| address.to_string()).as_deref(),
                Some(text)
            );
        }
        for text in [
            "",
            "/",
            "/run/clamav/",
            "run/clamav/clamd.ctl",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            ":3310",
            "::1:3310",
            "[::1:3310",
            "[clamav]:3310",
            "tcp://clamav:3310",
            "a b:3310",
        ] {
            assert_eq!(clamd(text), None, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("60s", 60_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("366d", 366 * 86_400_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "s",
            "5",
            "-5s",
            "+5s",
            "1.5h",
            "5 m",
            "5M",
            "367d",
            "99999999999999999999s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn slugs() {
        let longest = "a".repeat(63);
        for good in ["a", "9", "shop-page", "a--b", longest.as_str()] {
            assert!(is_slug(good), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in [
            "",
            "-a",
            "Shop",
            "a_b",
            "a b",
            "ž",
            "a/b",
            "..",
            too_long.as_str(),
        ] {
            assert!(!is_slug(bad), "{bad}");
        }
    }

    #[test]
    fn web_addresses_are_plain() {
        assert_eq!(
            (API_BASE.parse)("https://graph.example.com/").as_deref(),
            Ok("https://graph.example.com")
        );
        assert_eq!(
            (API_BASE.parse)("http://127.0.0.1:4000/mock/").as_deref(),
            Ok("http://127.0.0.1:4000/mock")
        );
        for bad in [
            "",
            "desk.example.com",
            "ftp://a.example",
            "https://u@a.example",
            "https://:p@a.example",
            "https://a.example/?",
            "https://a.example/#x",
            "https://",
            "javascript:alert(1)",
        ] {
            assert!(web_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_may_be_single_addresses() {
        let read = |text| (NETWORK.parse)(text).map(|network| network.to_string());
        assert_eq!(read("127.0.0.1").as_deref(), Ok("127.0.0.1/32"));
        assert_eq!(read("10.1.2.3/8").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(read("::1").as_deref(), Ok("::1/128"));
        assert!(read("10.0.0.0/33").is_err());
        assert!(read("localhost").is_err());
    }

    #[test]
    fn log_levels() {
        for good in ["info", "off", "info,deskbell::store=debug", "hyper=warn"] {
            assert!(log_level(good).is_ok(), "{good}");
        }
        for bad in ["", "INFO", "verbose", "info,", "=debug", "a b=debug"] {
            assert!(log_level(bad).is_err(), "{bad}");
        }
    }
}
