//! Every way to write an address that is not to be asked.

use std::net::Ipv4Addr;

use super::super::Poster;
use super::*;

/// Whether an address is refused; where no hosts are named, what is posted is refused alike.
fn refused(text: &str, hosts: &Hosts) -> bool {
    static POSTER: std::sync::LazyLock<Poster> =
        std::sync::LazyLock::new(|| Poster::new(false).expect("a client"));
    let refused = checked(text, &Rules::PUBLIC, hosts).is_err();
    if hosts.own.is_none() && hosts.domains.is_none() {
        assert_eq!(POSTER.check(text).is_err(), refused, "{text}");
    }
    refused
}

/// Every way that browsers read an IPv4 address (WHATWG URL, "IPv4 parser"), and what looks like one.
fn written(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let whole = address.to_bits();
    let low = u32::from(c) << 8 | u32::from(d);
    let lower = u32::from(b) << 16 | low;
    let mut forms = vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{a:#o}.{b:#o}.{c:#o}.{d:#o}").replace("0o", "0"),
        format!("{a:04o}.{b:04o}.{c:04o}.{d:04o}").replace("0000", "0"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("{a:#X}.{b}.{c:#x}.{d}"),
        format!("{whole}"),
        format!("{whole:#x}"),
        format!("0{whole:o}"),
        format!("0x00000000{whole:08x}"),
        format!("{a}.{lower}"),
        format!("{a:#x}.{lower:#x}"),
        format!("{a}.{b}.{low}"),
        format!("{a}.{b}.0{low:o}"),
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[::ffff:{:x}:{:x}]", whole >> 16, whole & 0xffff),
        format!("[0:0:0:0:0:ffff:{a}.{b}.{c}.{d}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[2002:{:x}:{:x}::1]", whole >> 16, whole & 0xffff),
    ];
    let dotted = format!("{a}.{b}.{c}.{d}");
    let shifted = |zero: u32| -> String {
        let digit = |character: char| {
            character
                .to_digit(10)
                .and_then(|value| char::from_u32(zero + value))
                .unwrap_or(character)
        };
        dotted.chars().map(digit).collect()
    };
    // Full-width digits, mathematical ones, and other dots.
    forms.push(shifted(0xff10));
    forms.push(shifted(0x1d7ce));
    for dot in ["。", "．", "｡", "%2e", "%2E"] {
        forms.push(dotted.replace('.', dot));
    }
    forms.push(dotted.bytes().map(|byte| format!("%{byte:02x}")).collect());
    forms
}

#[test]
fn m01_o01_no_way_to_write_an_address_gets_past() {
    let hosts = Hosts::default();
    let mut cases = 0;
    let inner = [
        "127.0.0.1",
        "127.1.2.3",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.254",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "0.1.2.3",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ];
    for address in inner {
        for form in written(address.parse().expect("an address")) {
            for url in [
                format!("https://{form}/"),
                format!("https://{form}:443/x?y#z"),
            ] {
                assert!(refused(&url, &hosts), "{url}");
                cases += 1;
            }
        }
    }
    for literal in [
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[2001:4860:4860::8888%25eth0]",
        "[fc00::1]",
        "[ff02::1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "[2001:0:7f00:1::80ff:fffe]",
        "[::ffff:7f00:1]",
        "[v1.127.0.0.1]",
        "",
        "0",
        "0x7f.1",
        "1.2.3.4.5",
        "256.0.0.1",
        "127.0.0.1%00.example",
        "a b.example",
    ] {
        assert!(refused(&format!("https://{literal}/"), &hosts), "{literal}");
        cases += 1;
    }
    assert!(cases > 800, "{cases}");
    // The same ways to write a public address are as good as it.
    for good in [
        "https://1.1.1.1/",
        "https://0x01010101/",
        "https://[2606:4700::1111]/",
    ] {
        assert!(!refused(good, &hosts), "{good}");
    }
}

#[test]
fn m04_only_https_at_its_own_port_without_a_name_or_password() {
    let hosts = Hosts::default();
    let mut cases = 0;
    for scheme in [
        "http",
        "ftp",
        "ftps",
        "file",
        "gopher",
        "dict",
        "ldap",
        "ldaps",
        "ws",
        "wss",
        "data",
        "javascript",
        "jar",
        "tftp",
        "sftp",
        "ssh",
        "smb",
        "telnet",
        "unix",
        "http+unix",
        "httpunix",
        "blob",
        "about",
        "view-source",
        "netdoc",
        "rtsp",
        "imap",
        "smtp",
        "pop3",
        "mqtt",
    ] {
        for rest in [
            "://files.example/a.png",
            ":///files.example/a.png",
            ":files.example",
        ] {
            assert!(
                refused(&format!("{scheme}{rest}"), &hosts),
                "{scheme}{rest}"
            );
            cases += 1;
        }
    }
    for port in [
        1, 21, 22, 25, 53, 80, 111, 389, 444, 445, 2375, 3306, 5432, 6379, 8080, 8443, 9200, 11211,
        65535,
    ] {
        assert!(
            refused(&format!("https://files.example:{port}/"), &hosts),
            "{port}"
        );
        cases += 1;
    }
    for user in [
        "a@",
        "a:b@",
        ":b@",
        "1.1.1.1@",
        "files.example:443@",
        "%61@",
        "a%40b@",
    ] {
        assert!(
            refused(&format!("https://{user}files.example/"), &hosts),
            "{user}"
        );
        cases += 1;
    }
    for broken in [
        "",
        "//files.example/",
        "/files.example",
        "files.example",
        "https:",
        "https://",
        "https:///",
        "\0",
    ] {
        assert!(refused(broken, &hosts), "{broken:?}");
        cases += 1;
    }
    assert!(cases >= 100, "{cases}");
    assert!(!refused("https://files.example/a.png", &hosts));
    assert!(!refused("https://files.example:443/a.png", &hosts));
    assert!(!refused("HTTPS://Files.Example/a.png", &hosts));
}

#[test]
fn a_platforms_own_domains_and_no_others() {
    let hosts = Hosts {
        own: None,
        domains: Some(vec!["files.example".to_owned(), "cdn.example".to_owned()]),
    };
    for good in [
        "files.example",
        "a.b.files.example",
        "FILES.example",
        "files.example.",
    ] {
        assert!(!refused(&format!("https://{good}/"), &hosts), "{good}");
    }
    for bad in [
        "notfiles.example",
        "files.example.evil.example",
        "files.exampleevil",
        "evil.example",
        "evil.example/files.example",
        "evil.example?files.example",
        "evil.example#.files.example",
        "1.1.1.1",
        "[2606:4700::1111]",
        "files.example@evil.example",
        "example",
    ] {
        assert!(refused(&format!("https://{bad}/"), &hosts), "{bad}");
    }
}

#[test]
fn the_channels_own_origin_and_exactly_that_is_free_of_the_rules() {
    let hosts = Hosts {
        own: Some("http://127.0.0.1:9123/base".parse().expect("an address")),
        domains: Some(vec!["files.example".to_owned()]),
    };
    assert!(!refused("http://127.0.0.1:9123/any?thing", &hosts));
    assert!(!refused("https://files.example/a", &hosts));
    for other in [
        "http://127.0.0.1:9124/",
        "https://127.0.0.1:9123/",
        "http://127.0.0.1/",
        "http://localhost:9123/",
        "http://127.0.0.2:9123/",
        "http://[::ffff:127.0.0.1]:9123/",
        "http://a@127.0.0.1:9123/",
        "ftp://127.0.0.1:9123/",
    ] {
        assert!(refused(other, &hosts), "{other}");
    }
    // Origins that are none are equal to nothing.
    let opaque = Hosts {
        own: Some("data:text/plain,x".parse().expect("an address")),
        domains: None,
    };
    assert!(refused("data:text/plain,x", &opaque));
}

#[test]
fn p16_what_is_refused_is_told_without_path_and_query() {
    let told = [
        "https://127.0.0.1/secret-path?token=secret-token#secret-fragment",
        "https://files.example:8443/secret-path?token=secret-token",
        "http://files.example/secret-path?token=secret-token",
        "https://secret-name:secret-word@files.example/",
        "https://[secret-host/secret-path",
        "https://a b/secret-path",
    ];
    for text in told {
        let say = checked(text, &Rules::PUBLIC, &Hosts::default()).expect_err("refused");
        assert!(!say.contains("secret"), "{text}: {say}");
    }
}
