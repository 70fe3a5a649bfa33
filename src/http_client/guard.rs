//! Which addresses of strangers are fetched at all: what the URL says is checked here, where its name leads when the
//! connection is made.

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::addresses::is_public;

/// What may be fetched from where.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The schemes.
    pub schemes: &'static [&'static str],
    /// The ports.
    pub ports: &'static [u16],
    /// The addresses.
    pub allows: fn(IpAddr) -> bool,
}

impl Rules {
    /// The public internet by https, at its own port.
    pub const PUBLIC: Self = Self {
        schemes: &["https"],
        ports: &[443],
        allows: is_public,
    };
}

/// Whose addresses may be fetched, beside [`Rules`].
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// The channel's own platform: scheme, host and port. Rules do not hold for exactly this origin.
    pub own: Option<Url>,
    /// The platform's domains, with what is below them; `None`: every host.
    pub domains: Option<Vec<String>>,
}

impl Hosts {
    /// Whether `url` is at the channel's own platform.
    #[must_use]
    pub fn is_own(&self, url: &Url) -> bool {
        self.own
            .as_ref()
            .is_some_and(|own| own.has_host() && own.origin() == url.origin())
    }

    /// Whether `url` is at a host of the platform's that is known by name. Only those are given authorization.
    #[must_use]
    pub fn is_platforms(&self, url: &Url) -> bool {
        self.is_own(url) || self.domains.is_some() && self.names(url)
    }

    fn names(&self, url: &Url) -> bool {
        let Some(domains) = &self.domains else {
            return true;
        };
        let host = match url.host() {
            Some(Host::Domain(host)) => host.trim_end_matches('.').to_ascii_lowercase(),
            _ => return false,
        };
        domains.iter().any(|domain| {
            host.strip_suffix(domain.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }
}

/// Reads an address and checks it; the error is a sentence that names the host and nothing behind it.
pub(super) fn checked(text: &str, rules: &Rules, hosts: &Hosts) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("the address cannot be read: {error}"))?;
    check(&url, rules, hosts)?;
    Ok(url)
}

/// The same for an address that was read.
pub(super) fn check(url: &Url, rules: &Rules, hosts: &Hosts) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a name or a password".to_owned());
    }
    if hosts.is_own(url) {
        return Ok(());
    }
    let Some(host) = url.host() else {
        return Err("the address has no host".to_owned());
    };
    let scheme = url.scheme();
    if !rules.schemes.contains(&scheme) {
        return Err(format!("{host} is not to be asked by {scheme}"));
    }
    match url.port_or_known_default() {
        Some(port) if rules.ports.contains(&port) => {}
        _ => {
            return Err(format!(
                "{host} is to be asked at another port than https's"
            ));
        }
    }
    let address = match &host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        Host::Domain(_) => None,
    };
    if address.is_some_and(|address| !(rules.allows)(address)) {
        return Err(format!("{host} is not on the public internet"));
    }
    if !hosts.names(url) {
        return Err(format!("{host} is no host of the platform's"));
    }
    Ok(())
}

/// A name leads to an address that is refused.
#[derive(Debug, thiserror::Error)]
#[error("it leads to an address that is not on the public internet")]
pub(super) struct LeadsAstray;

/// Looks names up and lets only addresses through that the rules allow. The connection goes to exactly what this
/// gives: there is no second look-up that could say something else (M02).
pub(super) struct CheckedResolver {
    /// Who looks up.
    pub(super) inner: Arc<dyn Resolve>,
    /// What is let through.
    pub(super) allows: fn(IpAddr) -> bool,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, allows) = (self.inner.resolve(name), self.allows);
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            // One bad address among good ones is no mistake of an honest name.
            if found.iter().any(|address| !allows(address.ip())) {
                return Err(LeadsAstray.into());
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// The operating system's way to look names up.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// What went wrong, with the host and nothing else of the address.
pub(super) fn in_words(error: &reqwest::Error, url: &Url) -> String {
    let host = url.host_str().unwrap_or("the host");
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(one) = cause {
        if one.is::<LeadsAstray>() {
            // It may be a captive portal or an operator's mistake, so it is looked at again later.
            return format!("{host} is refused: {LeadsAstray}");
        }
        cause = one.source();
    }
    let why = if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "cannot be reached"
    } else if error.is_decode() {
        "sent something that cannot be unpacked"
    } else {
        "broke off"
    };
    format!("{host} {why}")
}

#[cfg(test)]
mod tests;
