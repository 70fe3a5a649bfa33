//! Deliveries that are not the platform's. Not one may get in (W01, W02, W03, W05, W07).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Fault;
use super::chance::Chance;
use super::conformance::{Examined, verify_with};
use crate::webhook::Webhook;

/// How many bodies with one changed byte are tried.
const CHANGED_BODIES: usize = 600;
const SEED: u64 = 0xF0_46E5;

/// Tries every forgery on every fixture; returns how many were refused, or the first that was let in.
pub(crate) fn examine(
    examined: &Examined<'_>,
    stranger: Option<&dyn Webhook>,
    bodies: &[&[u8]],
) -> Result<usize, Fault> {
    let mut refused = 0;
    let mut must_refuse = |what: &str, headers: &HeaderMap, body: &[u8]| -> Result<(), Fault> {
        if examined.verify(headers, body)?.is_ok() {
            let body: String = String::from_utf8_lossy(body).chars().take(2000).collect();
            return Err(Fault::new(
                "forgery",
                format!("let in: {what}; body:\n{body}"),
            ));
        }
        refused += 1;
        Ok(())
    };

    for body in bodies {
        let genuine = (examined.proof.value)(body);
        for (what, headers) in forged_headers(examined.proof.header, &genuine) {
            must_refuse(&what, &headers, body)?;
        }
        if let Some(stranger) = stranger
            && verify_with(stranger, &examined.proof.headers(body), body)?.is_ok()
        {
            return Err(Fault::new(
                "forgery",
                "a channel with other secrets let this delivery in",
            ));
        }
    }
    if examined.proof.covers_body {
        let mut chance = Chance::from_seed(SEED);
        for round in 0..CHANGED_BODIES {
            let Some(body) = chance.one_of(bodies).filter(|body| !body.is_empty()) else {
                continue;
            };
            let mut changed = body.to_vec();
            let at = chance.below(changed.len());
            changed[at] ^= 1 << (round % 8);
            let what = format!("the byte at {at} changed (seed {SEED:#x}, round {round})");
            must_refuse(&what, &examined.proof.headers(body), &changed)?;
        }
        for body in bodies {
            let headers = examined.proof.headers(body);
            must_refuse(
                "the body cut by a byte",
                &headers,
                &body[..body.len().saturating_sub(1)],
            )?;
            must_refuse(
                "the body without its first byte",
                &headers,
                body.get(1..).unwrap_or_default(),
            )?;
            must_refuse("no body", &headers, b"")?;
            for added in [&b" "[..], b"\n", b"\0", b"\r\n"] {
                must_refuse(
                    "the body with a byte added",
                    &headers,
                    &[body, added].concat(),
                )?;
            }
        }
        for pair in bodies.windows(2) {
            must_refuse(
                "the proof of another body",
                &examined.proof.headers(pair[0]),
                pair[1],
            )?;
        }
    }
    Ok(refused)
}

/// The headers of a delivery whose proof is missing, doubled or damaged.
fn forged_headers(name: &'static str, genuine: &str) -> Vec<(String, HeaderMap)> {
    let header = HeaderName::from_static(name);
    let mut forged = vec![("no header".to_owned(), HeaderMap::new())];

    let mut add = |what: &str, values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            // What no HTTP server would hand over cannot be tried.
            let Ok(value) = HeaderValue::from_bytes(value) else {
                return;
            };
            headers.append(header.clone(), value);
        }
        forged.push((what.to_owned(), headers));
    };
    let value = genuine.as_bytes();
    add("an empty header", &[b""]);
    for blank in [" ", "\t", "   ", "null", "undefined", "true", "0"] {
        add(&format!("the header {blank:?}"), &[blank.as_bytes()]);
    }
    add("the header twice", &[value, value]);
    add("the header, then a wrong one", &[value, b"x"]);
    add("a wrong header, then the right one", &[b"x", value]);
    add("an empty header, then the right one", &[b"", value]);
    add(
        "two values in one header",
        &[&[value, b", ", value].concat()],
    );
    add(
        "two values in one header",
        &[&[value, b",", value].concat()],
    );
    for (before, after) in [
        (" ", ""),
        ("", " "),
        ("\t", ""),
        ("", "\t"),
        ("\"", "\""),
        ("", ","),
        ("", ";"),
    ] {
        let spaced = format!("{before}{genuine}{after}");
        add(&format!("the header as {spaced:?}"), &[spaced.as_bytes()]);
    }
    for other in [
        genuine.to_ascii_uppercase(),
        genuine.to_ascii_lowercase(),
        upper_digits(genuine),
    ] {
        if other != genuine {
            add("the header in another case", &[other.as_bytes()]);
        }
    }
    for length in 0..value.len() {
        add(
            &format!("the header cut to {length} bytes"),
            &[&value[..length]],
        );
    }
    for from in 1..value.len() {
        add(
            &format!("the header without its first {from} bytes"),
            &[&value[from..]],
        );
    }
    for added in ["0", "00", "a", "=", "\u{fc}"] {
        add("a longer header", &[format!("{genuine}{added}").as_bytes()]);
    }
    for at in 0..value.len() {
        for bit in [0x01, 0x02, 0x10, 0x20, 0x80] {
            let mut changed = value.to_vec();
            changed[at] ^= bit;
            add(
                &format!("the header's byte at {at} changed by {bit:#04x}"),
                &[&changed],
            );
        }
    }
    if let Some((prefix, digits)) = genuine.split_once('=') {
        for other in [
            "",
            "=",
            "sha1=",
            "sha512=",
            "sha256:",
            "sha256==",
            "SHA256=",
            "Sha256=",
            "hmac=",
            "sha256=sha256=",
        ] {
            if other.trim_end_matches('=') != prefix || other.len() != prefix.len() + 1 {
                add(
                    &format!("the prefix {other:?}"),
                    &[format!("{other}{digits}").as_bytes()],
                );
            }
        }
        for digit in ["0", "f", "g", " ", "é"] {
            add(
                "digits of nothing",
                &[format!("{prefix}={}", digit.repeat(digits.len())).as_bytes()],
            );
        }
        add(
            "half the digits",
            &[format!("{prefix}={}", &digits[..digits.len() / 2]).as_bytes()],
        );
        add(
            "the digits twice",
            &[format!("{prefix}={digits}{digits}").as_bytes()],
        );
        add(
            "the digits backwards",
            &[format!("{prefix}={}", digits.chars().rev().collect::<String>()).as_bytes()],
        );
    }

    let mut elsewhere = HeaderMap::new();
    if let (Ok(value), Ok(name)) = (
        HeaderValue::from_bytes(value),
        HeaderName::try_from(format!("{name}-2")),
    ) {
        elsewhere.insert(name, value);
        forged.push(("the proof in another header".to_owned(), elsewhere));
    }
    forged
}

/// The value with only what follows its prefix in upper case.
fn upper_digits(genuine: &str) -> String {
    match genuine.split_once('=') {
        Some((prefix, digits)) => format!("{prefix}={}", digits.to_ascii_uppercase()),
        None => genuine.to_ascii_uppercase(),
    }
}
