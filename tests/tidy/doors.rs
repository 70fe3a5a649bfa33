//! What lets nobody in who should not: scopes, proofs, no unsafe code, no foreign hosts.

use super::source::{File, Tree, is_name};
use super::{Complaints, PROJECT, complaint, has_words, hold, lines};

fn no_unscoped_reads(tree: &Tree) -> Complaints {
    let places = [
        "src/api/",
        "src/live/",
        "src/view.rs",
        "src/intake/",
        "src/access",
        "src/channels.rs",
    ];
    let mut found = Vec::new();
    for file in places.iter().flat_map(|place| tree.rust(place)) {
        for (line, text) in lines(&file.code()) {
            if has_words(text, "whole_desk") {
                found.push(complaint(
                    file,
                    line,
                    "whoever asks sees what their scope allows: pass the caller's Scope on (T01)",
                ));
            }
        }
    }
    found
}

#[test]
fn t01_what_is_shown_goes_through_the_callers_scope() {
    hold(
        no_unscoped_reads,
        &[
            (
                "src/api/feed.rs",
                "fn f() { read(&Scope::whole_desk()); }\n",
            ),
            (
                "src/live/mod.rs",
                "fn f() { let all = Scope :: whole_desk; }\n",
            ),
            ("src/view.rs", "use crate::store::scope::whole_desk;\n"),
        ],
        &[(
            "src/api/feed.rs",
            "//! Not `Scope::whole_desk()`.\n#[cfg(test)]\nmod tests { fn f() { Scope::whole_desk(); } }\n",
        )],
    );
}

/// Where deliveries are checked.
pub(crate) const WEBHOOK: &str = "connectors/sdk/src/webhook.rs";

/// Where deliveries that were checked when they came are decoded once more.
const REPLAY: &str = "src/intake/replay.rs";

fn verified_is_made_by_checks_only(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    for file in tree.rust("") {
        let code = file.code_with_tests();
        for (line, text) in lines(&code) {
            if text.contains("Verified::kept") && file.path != REPLAY {
                found.push(complaint(file, line, "what comes is checked: only what is decoded once more was checked before (W01)"));
            }
            if file.path != WEBHOOK && makes_verified(text) {
                found.push(complaint(file, line, "a Verified is made by the checks of the sdk and nowhere else: call one of them (W01)"));
            }
        }
        if file.path == WEBHOOK {
            found.extend(verified_is_closed(file, &code));
        }
    }
    found
}

/// `Verified {` where a value is written, not where a type is named.
fn makes_verified(text: &str) -> bool {
    let places = text
        .match_indices("Verified")
        .filter(|(at, _)| text[at + "Verified".len()..].trim_start().starts_with('{'));
    places.into_iter().any(|(at, _)| {
        let before = text[..at]
            .trim_end_matches(|character: char| is_name(character) || character == ':')
            .trim_end();
        !["->", "impl", "for", "struct"]
            .iter()
            .any(|word| before.ends_with(word))
    })
}

/// Its fields are private, it is derived by nothing that makes one, and what gives one away has seen the request.
fn verified_is_closed(file: &File, code: &str) -> Complaints {
    let Some((before, body)) = code.split_once("pub struct Verified {") else {
        return vec![complaint(
            file,
            1,
            "`pub struct Verified {` with private fields stands here (W01)",
        )];
    };
    let mut found = Vec::new();
    if body
        .split('}')
        .next()
        .is_some_and(|fields| fields.contains("pub"))
    {
        found.push(complaint(
            file,
            1,
            "the fields of Verified are private, so that no connector makes one (W01)",
        ));
    }
    let derives = before.rsplit("#[derive(").next().unwrap_or_default();
    if ["Default", "Deserialize"]
        .iter()
        .any(|name| derives.split(')').next().unwrap_or_default().contains(name))
    {
        found.push(complaint(file, 1, "no derive may make a Verified (W01)"));
    }
    for function in code.split("fn ").skip(1) {
        let signature = function.split(['{', ';']).next().unwrap_or_default();
        let gives = signature
            .rsplit_once("->")
            .is_some_and(|(_, result)| result.contains("Verified"));
        if gives
            && !(signature.contains("&Request<")
                && signature.contains("Result<Verified, Rejected>"))
        {
            let sentence = format!(
                "`fn {}` gives a Verified without having checked a request (W01)",
                signature.split('(').next().unwrap_or_default()
            );
            found.push(complaint(file, 1, &sentence));
        }
    }
    found
}

#[test]
fn w01_every_webhook_goes_through_verified() {
    let closed = "#[derive(Clone)]\npub struct Verified {\n    body: Bytes,\n}\npub fn check(request: &Request<'_>) -> Result<Verified, Rejected> { x }\n";
    hold(
        verified_is_made_by_checks_only,
        &[
            (
                "connectors/echo/src/lib.rs",
                "fn f() { Ok(Verified { body }) }\n",
            ),
            (
                "src/intake/webhook.rs",
                "fn f() { g(webhook::Verified{body}); }\n",
            ),
            (
                "src/intake/webhook.rs",
                "fn f() { decode(&Verified::kept(body)); }\n",
            ),
            (WEBHOOK, "pub struct Verified {\n    pub body: Bytes,\n}\n"),
            (
                WEBHOOK,
                "#[derive(Clone, Default)]\npub struct Verified {\n    body: Bytes,\n}\n",
            ),
            (
                WEBHOOK,
                "pub struct Verified {\n    body: Bytes,\n}\npub fn trusted(body: Bytes) -> Verified { Verified { body } }\n",
            ),
            (WEBHOOK, "pub enum Verified { Yes }\n"),
        ],
        &[
            (WEBHOOK, closed),
            (
                "connectors/echo/src/lib.rs",
                "fn verify(r: &Request<'_>) -> Result<Verified, Rejected> { webhook::shared_secret(r) }\nfn f() -> Verified { g() }\n",
            ),
        ],
    );
    let tree = &*PROJECT;
    let hooks: Vec<_> = tree
        .rust("connectors/")
        .filter(|file| file.code().contains("impl Webhook for"))
        .collect();
    assert!(
        hooks.len() >= 2,
        "the connectors with webhooks are not found"
    );
}

fn no_unsafe_code(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    for file in tree.rust("") {
        for (line, text) in lines(&file.code_with_tests()) {
            if has_words(text, "unsafe") {
                found.push(complaint(
                    file,
                    line,
                    "no unsafe code in our own crates (C04)",
                ));
            }
        }
    }
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
    {
        if !file.text.contains("[lints]\nworkspace = true\n") {
            found.push(complaint(
                file,
                1,
                "`[lints] workspace = true` is missing, which forbids unsafe code (C04)",
            ));
        }
        if file.path == "Cargo.toml" && !file.text.contains("unsafe_code = \"forbid\"") {
            found.push(complaint(
                file,
                1,
                "the workspace forbids unsafe code (C04)",
            ));
        }
    }
    found
}

#[test]
fn c04_no_unsafe_code() {
    hold(
        no_unsafe_code,
        &[
            ("src/run.rs", "fn f() { unsafe { g() } }\n"),
            ("connectors/new/src/lib.rs", "unsafe impl Send for A {}\n"),
            (
                "tests/api.rs",
                "#[cfg(test)]\nmod tests { unsafe fn f() {} }\n",
            ),
            (
                "connectors/new/Cargo.toml",
                "[package]\nname = \"deskbell-new\"\n",
            ),
            ("Cargo.toml", "[lints]\nworkspace = true\n"),
        ],
        &[(
            "src/run.rs",
            "//! Nothing unsafe.\nconst A: &str = \"unsafe\"; fn unsafely() {}\n",
        )],
    );
}

/// Addresses that may stand in what browsers load, since nothing is fetched from them, and why.
const NAMED_ONLY: &[(&str, &str)] = &[
    ("http://www.w3.org/", "the name of the SVG namespace"),
    (
        "http://127.0.0.1:8080/",
        "what the terminal's link looks like",
    ),
    ("https://your-desk/", "what the include looks like"),
    (
        "https://www.openstreetmap.org/",
        "a link to where a customer is",
    ),
    (
        "https://developers.facebook.com/",
        "a link of the guide for a Page",
    ),
    ("https://t.me/", "a link of the guide for a bot"),
    ("https://ntfy.sh/", "what the address of a hook looks like"),
    ("https://push.example.com/", "the same"),
    ("https://api.pushover.net/", "the same"),
    ("https://hooks.slack.com/", "the same"),
    ("https://discord.com/", "the same"),
    ("https://m.me/", "words for the reviewers of an app"),
    (
        "https://shop.example",
        "what a website's address looks like",
    ),
    (
        "https://www.shop.example",
        "what a website's address looks like",
    ),
];

/// Whether browsers load this, or what is built of it.
fn is_loaded(file: &File) -> bool {
    let of_the_desk = file.path == "ui/index.html"
        || file.path.starts_with("ui/public/")
        // Types are gone when the page is built: those of the API carry its examples.
        || file.path.starts_with("ui/src/") && !file.path.ends_with(".d.ts");
    let for_tests = file.path.ends_with(".test.ts");
    file.path.starts_with("src/api/pages/")
        || file.path.contains("/widget/")
        || of_the_desk && !for_tests
}

fn no_foreign_hosts(tree: &Tree) -> Complaints {
    let loaded = tree.files.iter().filter(|file| is_loaded(file));
    let mut found = Vec::new();
    for file in loaded {
        for (line, text) in lines(&file.text) {
            let named = text.match_indices("://").map(|(at, _)| {
                let start = text[..at]
                    .rfind(|character: char| !character.is_ascii_alphabetic())
                    .map_or(0, |before| before + 1);
                &text[start..]
            });
            // A scheme before a quote or a variable names nobody.
            let names = |rest: &str| {
                let (scheme, host) = rest.split_once("://").unwrap_or((rest, ""));
                !scheme.is_empty() && host.starts_with(|sign: char| sign.is_ascii_alphanumeric())
            };
            let foreign = named
                .filter(|rest| names(rest))
                .any(|rest| !NAMED_ONLY.iter().any(|(known, _)| rest.starts_with(known)));
            let without_scheme = ["\"//", "'//", "`//", "(//", "=//"]
                .iter()
                .any(|opening| text.contains(opening));
            if foreign || without_scheme {
                found.push(complaint(file, line, "pages load only what the daemon serves; a name that is never fetched goes into NAMED_ONLY (C03)"));
            }
        }
    }
    found
}

#[test]
fn c03_pages_name_no_foreign_host() {
    hold(
        no_foreign_hosts,
        &[
            (
                "src/api/pages/feed.html",
                "<script src=\"https://cdn.example/x.js\"></script>\n",
            ),
            (
                "src/api/pages/feed.html",
                "<link href=//fonts.example/x.css>\n",
            ),
            (
                "src/api/pages/feed.css",
                "a { background: url(//cdn.example/x.png) }\n",
            ),
            (
                "connectors/webchat/widget/chat.js",
                "new WebSocket(\"wss://x.example\");\n",
            ),
            (
                "ui/src/features/Desk.svelte",
                "<img src=\"https://avatars.example/x.png\" alt=\"\" />\n",
            ),
            ("ui/index.html", "<link href=\"//fonts.example/x.css\">\n"),
        ],
        &[
            (
                "src/api/pages/feed.js",
                "// a remark\nconst u = `${origin}/api`; // http is fine\nif (x.startsWith(\"http://www.w3.org/2000/svg\")) {}\n",
            ),
            (
                "ui/src/lib/links.ts",
                "if (text.startsWith('https://')) open(`https://${host}`);\n",
            ),
            (
                "ui/src/lib/links.test.ts",
                "links('https://shop.example')\n",
            ),
        ],
    );
    for folder in ["src/api/pages/", "ui/src/"] {
        let pages = PROJECT
            .files
            .iter()
            .filter(|file| file.path.starts_with(folder) && is_loaded(file))
            .count();
        assert!(pages >= 3, "the pages of {folder} are not found");
    }
}

/// What turns text into markup or code: a customer's name would be both.
const SINKS: &[&str] = &[
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "createContextualFragment",
    "DOMParser",
    "srcdoc",
    "setHTMLUnsafe",
    "{@html",
    "eval(",
    "new Function(",
];

fn no_text_becomes_markup(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| is_loaded(file)) {
        for (line, text) in lines(&file.text) {
            if SINKS.iter().any(|sink| text.contains(sink)) {
                found.push(complaint(
                    file,
                    line,
                    "text stays text: build nodes instead (R02)",
                ));
            }
        }
    }
    found
}

#[test]
fn r02_no_text_becomes_markup() {
    hold(
        no_text_becomes_markup,
        &[
            (
                "ui/src/features/Row.svelte",
                "<b>{@html conversation.contact.name}</b>\n",
            ),
            ("ui/src/lib/a.ts", "node.innerHTML = name;\n"),
            (
                "connectors/webchat/widget/chat.js",
                "node.insertAdjacentHTML('beforeend', name);\n",
            ),
        ],
        &[(
            "ui/src/features/Row.svelte",
            "<b>{conversation.contact.name}</b>\n",
        )],
    );
}
