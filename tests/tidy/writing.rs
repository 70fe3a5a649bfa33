//! How it is written.

use super::source::Tree;
use super::{Complaints, PROJECT, complaint, has_words, hold, lines};

fn time_is_an_argument(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    let clocks = ["src/clock.rs", "desktop/src/clock.rs"];
    for file in tree
        .rust("")
        .filter(|file| !clocks.contains(&file.path.as_str()))
    {
        for (line, text) in lines(&file.code()) {
            if ["SystemTime::now", "Timestamp::now", "Zoned::now"]
                .iter()
                .any(|call| has_words(text, call))
            {
                found.push(complaint(file, line, "the time is an argument, from deskbell::clock, so that tests can turn it (F11)"));
            }
        }
    }
    found
}

#[test]
fn f11_only_the_clock_reads_the_clock() {
    hold(
        time_is_an_argument,
        &[
            (
                "src/desk/mod.rs",
                "fn f() { std::time::SystemTime::now(); }\n",
            ),
            (
                "connectors/new/src/lib.rs",
                "fn f() { jiff :: Timestamp :: now(); }\n",
            ),
        ],
        &[("src/server/mod.rs", "fn f() { Instant::now(); }\n")],
    );
}

/// Words of hashers whose collisions anybody can compute, and of engines whose patterns may take for ever.
const BREAKABLE: [&str; 6] = [
    "fxhash",
    "rustc_hash",
    "FnvHashMap",
    "FxHashMap",
    "fancy_regex",
    "pcre2",
];

fn no_breakable_maps_or_patterns(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    for file in tree.rust("") {
        for (line, text) in lines(&file.code()) {
            if BREAKABLE.iter().any(|word| has_words(text, word)) {
                found.push(complaint(
                    file,
                    line,
                    "strangers choose our keys and words: the maps of the standard library hash with a secret, and search is by plain words (D04, D05)",
                ));
            }
        }
    }
    found
}

#[test]
fn d05_maps_cannot_be_flooded_and_patterns_cannot_explode() {
    hold(
        no_breakable_maps_or_patterns,
        &[
            ("src/live/mod.rs", "use rustc_hash::FxHashMap;\n"),
            (
                "src/api/filters.rs",
                "fn f() { fancy_regex::Regex::new(q); }\n",
            ),
        ],
        &[(
            "src/live/mod.rs",
            "use std::collections::HashMap; // no fxhash\n",
        )],
    );
}

fn expectations_say_why(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    for file in tree.rust("") {
        let code = file.code_with_tests();
        for (at, _) in code.match_indices('#') {
            let attribute = code[at..].trim_start_matches(['#', '!', '[']);
            let whole = attribute.split(")]").next().unwrap_or_default();
            let line = 1 + code[..at].matches('\n').count();
            if attribute.starts_with("allow(") {
                found.push(complaint(
                    file,
                    line,
                    "`#[expect(…, reason = \"…\")]` instead of `allow`",
                ));
            }
            if attribute.starts_with("expect(") && !whole.contains("reason =") {
                found.push(complaint(
                    file,
                    line,
                    "say why: `#[expect(…, reason = \"…\")]`",
                ));
            }
        }
    }
    found
}

#[test]
fn every_expected_lint_says_why() {
    hold(
        expectations_say_why,
        &[
            ("src/run.rs", "#[expect(clippy::expect_used)]\nfn f() {}\n"),
            ("src/run.rs", "#![allow(dead_code)]\n"),
            (
                "tests/api.rs",
                "#[allow(unused, reason = \"x\")]\nfn f() {}\n",
            ),
            ("tests/support/mod.rs", "#![allow(dead_code)]\n"),
        ],
        &[(
            "src/run.rs",
            "#[expect(\n    clippy::expect_used,\n    reason = \"the clock\"\n)]\nfn f() {}\n",
        )],
    );
}

/// Files that may be longer than others: how long, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[(
    "connectors/webchat/widget/chat.js",
    1300,
    "what a page includes is one file, and there is no build step",
)];
const MOST_LINES: usize = 700;

fn no_file_is_too_long(tree: &Tree) -> Complaints {
    let written = [".rs", ".js", ".mjs", ".css", ".html", "/run", ".sh"];
    let code = tree
        .files
        .iter()
        .filter(|file| written.iter().any(|ending| file.path.ends_with(ending)));
    let mut found = Vec::new();
    for file in code {
        let most = LONG_FILES
            .iter()
            .find(|(path, _, _)| *path == file.path)
            .map_or(MOST_LINES, |(_, most, _)| *most);
        let length = file.text.lines().count();
        if length > most {
            found.push(complaint(
                file,
                most,
                &format!(
                    "{length} lines: a file has one subject and at most {most} lines; split it"
                ),
            ));
        }
    }
    found
}

#[test]
fn no_file_has_more_than_700_lines() {
    let long = "x\n".repeat(701);
    hold(
        no_file_is_too_long,
        &[
            ("src/api/feed.rs", &long),
            ("tests/e2e/a.mjs", &long),
            ("tests/run", &long),
        ],
        &[
            ("src/api/feed.rs", &long[2..]),
            ("connectors/messenger/fixtures/text.json", &long),
        ],
    );
}

fn nothing_is_left_undone(tree: &Tree) -> Complaints {
    // Written so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "Cargo.lock") {
        for (line, text) in lines(&file.text) {
            if let Some(word) = words.iter().find(|word| text.contains(*word)) {
                found.push(complaint(
                    file,
                    line,
                    &format!("`{word}`: finish it, or take it out"),
                ));
            }
        }
    }
    found
}

#[test]
fn nothing_is_left_to_do() {
    hold(
        nothing_is_left_undone,
        &[
            ("src/run.rs", concat!("// TO", "DO: later\n")),
            ("src/run.rs", concat!("fn f() { unimple", "mented!() }\n")),
            ("README.md", concat!("FIX", "ME\n")),
        ],
        &[("Cargo.toml", "todo = \"warn\"\nunimplemented = \"warn\"\n")],
    );
}

fn no_machine_is_named(tree: &Tree) -> Complaints {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("C:\\", "Users"),
        concat!("shared/", "design"),
        concat!("artifact", "ory"),
        concat!("registry.", "npmjs"),
        concat!("npm", "mirror"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
    ];
    let mut found = Vec::new();
    for file in &tree.files {
        // What attackers write in tests may well name the folder for temporary files.
        let is_test = file.path.starts_with("tests/") && file.path.ends_with(".rs");
        let temporary = (!is_test).then_some(concat!("/t", "mp/"));
        for (line, text) in lines(&file.text) {
            let mut all = words.into_iter().chain(temporary);
            if let Some(word) = all.find(|word| text.contains(word)) {
                let sentence = format!(
                    "`{word}` is a matter of one machine: name it relative to the project, or leave it out"
                );
                found.push(complaint(file, line, &sentence));
            }
        }
    }
    found
}

#[test]
fn no_machine_or_registry_is_named() {
    hold(
        no_machine_is_named,
        &[
            ("tests/run", concat!("cd /wo", "rk/main\n")),
            (
                "tests/e2e/package-lock.json",
                concat!("https://registry.", "npmjs.org/a.tgz\n"),
            ),
            ("README.md", concat!("See /ho", "me/anna/notes.\n")),
            ("src/run.rs", concat!("const A: &str = \"/t", "mp/a\";\n")),
        ],
        &[("Dockerfile", "WORKDIR /etc/deskbell\nVOLUME /data\n")],
    );
    assert!(
        PROJECT.files.len() > 150,
        "the project's files are not found"
    );
}

fn every_rust_file_says_what_it_is(tree: &Tree) -> Complaints {
    let silent = tree
        .rust("")
        .filter(|file| !file.text.starts_with("//! ") && !file.for_tests);
    silent
        .map(|file| {
            complaint(
                file,
                1,
                "begin with `//! ` and a sentence that says what this file is",
            )
        })
        .collect()
}

#[test]
fn every_file_says_what_it_is() {
    hold(
        every_rust_file_says_what_it_is,
        &[("src/run.rs", "use std::fs;\n")],
        &[("src/run.rs", "//! The daemon.\n")],
    );
}
