//! Who is on the other side, and how much of us each address holds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use ipnet::IpNet;

use super::{ClientAddress, Scheme};

/// What a proxy may say about a client, and nobody else.
const PROXY_HEADERS: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// The proxies whose word about their clients is taken.
#[derive(Debug)]
pub(super) struct TrustedProxies(pub(super) Vec<IpNet>);

impl TrustedProxies {
    /// True where the address, already in canonical form, is one of ours.
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The client behind a trusted `peer`: X-Forwarded-For from the right, past our own proxies. A
    /// client can put anything on the left, so the first foreign address is the last that can be
    /// believed. What cannot be read makes it the peer.
    pub(super) fn client(&self, headers: &HeaderMap, peer: IpAddr) -> ClientAddress {
        let mut client = peer;
        for line in headers.get_all("x-forwarded-for").iter().rev() {
            let Ok(line) = line.to_str() else {
                return ClientAddress(peer);
            };
            for entry in line.rsplit(',') {
                let Some(address) = read_address(entry) else {
                    return ClientAddress(peer);
                };
                client = address;
                if !self.trust(address) {
                    return ClientAddress(client);
                }
            }
        }
        ClientAddress(client)
    }
}

/// The scheme that a trusted proxy says its client used; the last word where there are several, as
/// that one is the proxy's own. `None` where it says nothing that can be read.
pub(super) fn forwarded_scheme(headers: &HeaderMap) -> Option<Scheme> {
    let line = headers.get_all("x-forwarded-proto").iter().next_back()?;
    let word = line.to_str().ok()?.rsplit(',').next()?.trim();
    if word.eq_ignore_ascii_case("https") {
        Some(Scheme { https: true })
    } else if word.eq_ignore_ascii_case("http") {
        Some(Scheme { https: false })
    } else {
        None
    }
}

/// Takes away what only a trusted proxy may say, so that no handler can be misled by it. True where
/// there was any.
pub(super) fn forget_proxy_headers(headers: &mut HeaderMap) -> bool {
    let mut any = false;
    for name in PROXY_HEADERS {
        any |= headers.remove(name).is_some();
    }
    any
}

/// True for an address on this machine or in a network of one's own, where proxies stand.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

/// An address as proxies write it: plain, with a port, or bracketed.
fn read_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let plain = entry.parse::<IpAddr>().ok();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|it| it.ip());
    let bracketed = || {
        let inner = entry.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let address = plain.or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

/// Counts what each address holds. An IPv6 customer has a whole /64, so that is what counts.
#[derive(Debug)]
pub(super) struct AddressCounter {
    most: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl AddressCounter {
    /// At most `most` places for one address.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: Mutex::new(HashMap::new()),
        })
    }

    /// A place for the address, given back when it is dropped; `None` when it holds all it may.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = counted_as(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_insert(0);
        if *count >= self.most {
            // An entry made just now by a limit of 0 is not to stay.
            if *count == 0 {
                held.remove(&address);
            }
            return None;
        }
        *count += 1;
        Some(Place {
            counter: Arc::clone(self),
            address,
        })
    }
}

fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

/// One place that an address holds.
#[derive(Debug)]
pub(super) struct Place {
    counter: Arc<AddressCounter>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self
            .counter
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn client(lines: &[&str]) -> IpAddr {
        let proxies = TrustedProxies(vec![
            "10.0.0.0/8".parse().expect("a net"),
            "fd00::/8".parse().expect("a net"),
        ]);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().expect("a value"));
        }
        proxies.client(&headers, ip("10.0.0.1")).0
    }

    #[test]
    fn w18_the_last_foreign_address_is_the_client() {
        assert_eq!(client(&[]), ip("10.0.0.1"));
        assert_eq!(client(&["203.0.113.7"]), ip("203.0.113.7"));
        assert_eq!(client(&["198.51.100.1, 203.0.113.7"]), ip("203.0.113.7"));
        assert_eq!(client(&["198.51.100.1", "203.0.113.7"]), ip("203.0.113.7"));
        assert_eq!(
            client(&["198.51.100.1, 203.0.113.7, 10.1.1.1 , fd00::1"]),
            ip("203.0.113.7")
        );
        assert_eq!(client(&["10.2.2.2, 10.3.3.3"]), ip("10.2.2.2"));
        assert_eq!(client(&["::ffff:203.0.113.7"]), ip("203.0.113.7"));
        assert_eq!(client(&["203.0.113.7:4711"]), ip("203.0.113.7"));
        assert_eq!(client(&["[2001:db8::1]:4711"]), ip("2001:db8::1"));
        assert_eq!(client(&["[2001:db8::1]"]), ip("2001:db8::1"));
        assert_eq!(client(&["nonsense, 203.0.113.7"]), ip("203.0.113.7"));
    }

    #[test]
    fn w18_what_cannot_be_read_makes_it_the_peer() {
        for line in [
            "",
            "unknown",
            "203.0.113.7,",
            "203.0.113.7, x",
            "203.0.113.256",
            "0xcb007107",
            "203.0.113.7 198.51.100.1",
        ] {
            assert_eq!(client(&[line]), ip("10.0.0.1"), "{line:?}");
        }
    }

    #[test]
    fn w18_the_scheme_is_the_last_word() {
        let scheme = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-proto", line.parse().expect("a value"));
            forwarded_scheme(&headers).map(|it| it.https)
        };
        assert_eq!(scheme("https"), Some(true));
        assert_eq!(scheme("http, HTTPS"), Some(true));
        assert_eq!(scheme("https, http"), Some(false));
        assert_eq!(scheme("wss"), None);
        assert_eq!(forwarded_scheme(&HeaderMap::new()).map(|it| it.https), None);
    }

    #[test]
    fn d01_places_are_counted_and_given_back() {
        let counter = AddressCounter::new(2);
        let first = counter.take(ip("203.0.113.7"));
        let second = counter.take(ip("203.0.113.7"));
        assert!(first.is_some() && second.is_some());
        assert!(counter.take(ip("203.0.113.7")).is_none());
        assert!(counter.take(ip("203.0.113.8")).is_some());
        drop(first);
        assert!(counter.take(ip("203.0.113.7")).is_some());
        let one = counter.take(ip("2001:db8::1"));
        let other = counter.take(ip("2001:db8::ffff:2"));
        assert!(one.is_some() && other.is_some());
        assert!(counter.take(ip("2001:db8::3")).is_none(), "one /64");
        drop((second, one, other));
        let held = counter.held.lock().expect("no panic");
        assert!(
            held.is_empty(),
            "nothing is remembered of who left: {held:?}"
        );
    }
}
