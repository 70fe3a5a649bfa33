//! Which addresses are on the public internet: everything that the IANA special-purpose registries do not set apart.
//!
//! Whatever they name is refused, also the few blocks in them that are reachable: no platform serves files from those.
//! Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), IPv4 and IPv6 multicast (RFC 5771,
//! RFC 4291). In IPv6 only 2000::/3 is given out as global unicast; all else is refused but NAT64's well-known prefix,
//! behind which a network without IPv4 shows every IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 blocks that are not the public internet: address and length of the prefix.
const NOT_PUBLIC_V4: &[(Ipv4Addr, u32)] = &[
    // "This network".
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private use.
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Shared by providers' customers; Alibaba's metadata lies in it.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's host, which answers for metadata at a public address (M05).
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Link-local; the metadata of most clouds (M05).
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Protocol assignments.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // AS112 and AMT.
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    // Relays of 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Measurements.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // Multicast; then what is reserved, with the broadcast address.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The only block of IPv6 that is given out as global unicast.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What in it is set apart nevertheless.
const NOT_PUBLIC_V6: &[(Ipv6Addr, u32)] = &[
    // Protocol assignments: Teredo, benchmarks, AMT, AS112, ORCHID, drones.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation.
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // 6to4: leads to the IPv4 address inside it.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    // AS112.
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
];

/// NAT64's well-known prefix: its last four bytes are an IPv4 address.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether an address is on the public internet. One that holds an IPv4 address is judged by it or refused.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) if lies_in_v6(address, NAT64) => {
            let [.., a, b, c, d] = address.octets();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => {
            lies_in_v6(address, GLOBAL_V6)
                && !NOT_PUBLIC_V6
                    .iter()
                    .any(|block| lies_in_v6(address, *block))
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|(block, length)| {
        let rest = 32 - length;
        address.to_bits() >> rest == block.to_bits() >> rest
    })
}

fn lies_in_v6(address: Ipv6Addr, (block, length): (Ipv6Addr, u32)) -> bool {
    let rest = 128 - length;
    address.to_bits() >> rest == block.to_bits() >> rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The registries as IANA prints them, kept apart from the table above on purpose.
    const SPECIAL: &str = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 \
        192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/31 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 \
        192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 \
        224.0.0.0/4 224.0.0.0/24 232.0.0.0/8 233.252.0.0/24 239.0.0.0/8 240.0.0.0/4 255.255.255.255/32 \
        168.63.129.16/32 169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 \
        ::/128 ::1/128 ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001::/32 \
        2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 \
        2001:30::/28 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 4000::/3 5f00::/16 6000::/3 8000::/3 a000::/3 \
        c000::/3 e000::/4 fc00::/7 fd00:ec2::254/128 fe80::/10 fec0::/10 ff00::/8 ff02::1/128";

    /// Addresses of the public internet, among them the neighbours of blocks.
    const PUBLIC: &[&str] = &[
        "1.0.0.0",
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2000::",
        "2001:200::1",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1111",
        "2620:4f:7fff::1",
        "2620:4f:8001::1",
        "2a03:2880:f003:c07:face:b00c::2",
        "3ffe:ffff::1",
        "64:ff9b::8.8.8.8",
        "64:ff9b::808:404",
    ];

    fn masked(bits: u128, keep: u32, width: u32) -> (u128, u128) {
        let host = width - keep;
        let mask = if host == 128 {
            u128::MAX
        } else {
            (1_u128 << host) - 1
        };
        (bits & !mask, bits | mask)
    }

    /// First, last and some addresses inside a block.
    fn inside(block: ipnet::IpNet) -> Vec<IpAddr> {
        let (bits, width) = match block.network() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let (first, last) = masked(bits, u32::from(block.prefix_len()), width);
        let span = last - first;
        let mut found: Vec<u128> = vec![first, last, first + span / 2, first + span / 3];
        // A spread that is the same at each run.
        let mut step = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834_u128;
        for _ in 0..20 {
            step = step.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29);
            found.push(
                first
                    + if span == u128::MAX {
                        step
                    } else {
                        step % (span + 1)
                    },
            );
        }
        found.sort_unstable();
        found.dedup();
        let address = |bits: u128| match block {
            ipnet::IpNet::V4(_) => {
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).expect("32 bits")))
            }
            ipnet::IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        };
        found.into_iter().map(address).collect()
    }

    /// The forms of IPv6 that lead to an IPv4 address: mapped, compatible, translated, NAT64, its local form, 6to4,
    /// Teredo (which holds it inverted), ISATAP below a link-local prefix.
    fn embedded(address: Ipv4Addr) -> Vec<IpAddr> {
        let bits = u128::from(address.to_bits());
        let low = [
            "::ffff:0:0",
            "::",
            "::ffff:0:0:0",
            "64:ff9b::",
            "64:ff9b:1::",
            "fe80::5efe:0:0",
        ];
        let mut forms: Vec<u128> = low
            .iter()
            .map(|prefix| prefix.parse::<Ipv6Addr>().expect("a prefix").to_bits() | bits)
            .collect();
        forms.push(0x2002 << 112 | bits << 80);
        forms.push(0x2001_u128 << 112 | u128::from(!address.to_bits()));
        forms
            .into_iter()
            .map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
            .collect()
    }

    #[test]
    fn m01_m05_no_address_that_is_set_apart_is_public_in_any_form() {
        let mut cases = 0;
        for block in SPECIAL.split_whitespace() {
            for address in inside(block.parse().expect(block)) {
                assert!(!is_public(address), "{address} of {block}");
                cases += 1;
                if let IpAddr::V4(address) = address {
                    for form in embedded(address) {
                        assert!(!is_public(form), "{form}, which holds {address}");
                        cases += 1;
                    }
                }
            }
        }
        assert!(cases >= 1_500, "only {cases} cases");
    }

    #[test]
    fn the_public_internet_is_reached() {
        for address in PUBLIC {
            assert!(is_public(address.parse().expect(address)), "{address}");
        }
        let special: Vec<ipnet::IpNet> = SPECIAL
            .split_whitespace()
            .map(|block| block.parse().expect(block))
            .collect();
        // Every address of IPv4 space that lies in no block is public: one in each /16.
        for high in 0..=u16::MAX {
            let address = Ipv4Addr::from_bits(u32::from(high) << 16 | 0x0807);
            let is_special = special
                .iter()
                .any(|block| block.contains(&IpAddr::V4(address)));
            assert_eq!(is_public(IpAddr::V4(address)), !is_special, "{address}");
        }
    }
}
