//! Secrets are compared in constant time.

use super::doors::WEBHOOK;
use super::source::{File, Tree, is_name, line_at};
use super::{Complaints, PROJECT, complaint, hold};

/// Names of what must be compared in constant time, as a word of a name.
const SECRET_WORDS: &[&str] = &[
    "signature",
    "sig",
    "hmac",
    "mac",
    "digest",
    "tag",
    "secret",
    "token",
    "password",
    "cookie",
    "hash",
    "proof",
];
/// What is called on a value without making another of it.
const SAME_VALUE: &[&str] = &[
    "as_slice",
    "as_bytes",
    "as_str",
    "as_ref",
    "as_deref",
    "expose",
    "clone",
    "to_vec",
    "to_owned",
    "to_string",
    "trim",
    "into_bytes",
    "to_lowercase",
    "to_ascii_lowercase",
    "iter",
];

fn secrets_are_compared_in_constant_time(tree: &Tree) -> Complaints {
    let places = [
        "connectors/",
        "src/access",
        "src/api/",
        "src/desk/",
        "src/intake/",
        "src/secrets.rs",
    ];
    let mut found = Vec::new();
    for file in places
        .iter()
        .flat_map(|place| tree.rust(place))
        .filter(|file| !file.path.contains("/testkit"))
    {
        let code: Vec<char> = file.code().chars().collect();
        for at in 1..code.len().saturating_sub(2) {
            let compares = matches!((code[at], code[at + 1]), ('=' | '!', '='))
                && code[at + 2] != '='
                && !matches!(code[at - 1], '=' | '<' | '>' | '!');
            if !compares {
                continue;
            }
            let sides = [compared_before(&code, at), compared_behind(&code, at + 2)];
            if let Some(name) = sides.iter().flatten().find(|name| is_secret(name)) {
                let sentence = format!(
                    "`{name}` is compared with `==`, which tells how much of it was right: use the sdk's checks, or subtle (W04)"
                );
                found.push(complaint(file, line_at(&code, at), &sentence));
            }
        }
    }
    found
}

fn is_secret(name: &str) -> bool {
    name.split('_').any(|word| SECRET_WORDS.contains(&word))
}

/// The name of what stands before a comparison: the last of its path that is no change of form.
fn compared_before(code: &[char], end: usize) -> Option<String> {
    let mut at = end;
    loop {
        while at > 0 && (code[at - 1].is_whitespace() || matches!(code[at - 1], '?' | '.')) {
            at -= 1;
        }
        if at > 0 && matches!(code[at - 1], ')' | ']') {
            at = opening(code, at - 1)?;
            continue;
        }
        let start = (0..at)
            .rev()
            .take_while(|before| is_name(code[*before]))
            .last()?;
        let name: String = code[start..at].iter().collect();
        if !SAME_VALUE.contains(&name.as_str()) {
            return Some(name);
        }
        at = start;
    }
}

/// Where the bracket that ends at `end` begins.
fn opening(code: &[char], end: usize) -> Option<usize> {
    let mut depth = 0;
    (0..=end).rev().find(|at| {
        match code[*at] {
            ')' | ']' => depth += 1,
            '(' | '[' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The name of what stands behind a comparison.
fn compared_behind(code: &[char], start: usize) -> Option<String> {
    let mut name = None;
    let mut at = start;
    while at < code.len() {
        match code[at] {
            ' ' | '\n' | '&' | '*' | '.' | ':' | '?' => at += 1,
            '(' | '[' => {
                let mut depth = 0_i32;
                let end = (at..code.len()).find(|at| {
                    depth += match code[*at] {
                        '(' | '[' => 1,
                        ')' | ']' => -1,
                        _ => 0,
                    };
                    depth == 0
                })?;
                at = end + 1;
            }
            character if is_name(character) && !character.is_numeric() => {
                let joined = name.is_none()
                    || code[..at]
                        .iter()
                        .rev()
                        .find(|before| !before.is_whitespace())
                        .is_some_and(|before| matches!(before, '.' | ':' | '&' | '*'));
                if !joined {
                    break;
                }
                let end = (at..code.len())
                    .find(|at| !is_name(code[*at]))
                    .unwrap_or(code.len());
                let next: String = code[at..end].iter().collect();
                if !SAME_VALUE.contains(&next.as_str()) {
                    name = Some(next);
                }
                at = end;
            }
            _ => break,
        }
        if code.get(at..at + 2) == Some(&['&', '&']) {
            break;
        }
    }
    name
}

#[test]
fn w04_secrets_are_compared_in_constant_time() {
    hold(
        secrets_are_compared_in_constant_time,
        &[
            (
                "connectors/new/src/lib.rs",
                "fn f() -> bool { header == expected_signature }\n",
            ),
            (
                "connectors/new/src/lib.rs",
                "fn f() -> bool { presented.as_bytes() != self.verify_token.expose().as_bytes() }\n",
            ),
            (
                "connectors/new/src/lib.rs",
                "fn f() -> bool { hmac(key, body).as_slice() == tag }\n",
            ),
            (
                "src/access.rs",
                "fn f() -> bool { secret_hash(token) == stored }\n",
            ),
            (
                "src/access.rs",
                "fn f() -> bool { known\n        .token\n        == *given }\n",
            ),
            (
                "src/api/auth.rs",
                "fn f() -> bool { given == &session.cookie }\n",
            ),
            (
                "src/desk/visits.rs",
                "fn f() -> bool { Some(a) == self.old_hash.as_deref() }\n",
            ),
        ],
        &[
            (
                "connectors/new/src/lib.rs",
                "fn f() -> bool { tag.len() != 64 || token.standing == Standing::Fine }\n",
            ),
            (
                "src/access.rs",
                "//! token == token\nfn f() -> bool { right == Right::Read && works(token) }\n",
            ),
            (
                "src/api/assets.rs",
                "fn f() -> bool { one.trim() == self.etag }\n",
            ),
        ],
    );
    let checks = PROJECT.file(WEBHOOK).map(File::code).unwrap_or_default();
    assert!(
        checks.contains("ct_eq") && checks.contains("verify_slice"),
        "the sdk's checks compare in constant time"
    );
}
