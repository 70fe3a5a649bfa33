//! What rooms must not touch outside the project.

use super::source::Tree;
use super::{Complaints, complaint, hold};

/// What a room must not touch outside the project, beside the rooms: the sentence says why.
const KEPT_OUT: &[(&str, &[&str], &str)] = &[
    (
        "src/desk/",
        &[
            "std::fs",
            "std::net",
            "std::io",
            "std::process",
            "std::thread",
            "std::env",
            "std::time",
            "tokio",
            "axum",
            "http",
            "hyper",
            "reqwest",
            "sled",
            "rand",
            "rustix",
            "serde_json",
        ],
        "the desk decides without I/O, clock or chance: take it as an argument, or do it in the room that asks",
    ),
    (
        "src/store/",
        &[
            "axum",
            "http",
            "hyper",
            "hyper_util",
            "reqwest",
            "tower",
            "utoipa_axum",
            "std::net",
            "tokio",
        ],
        "the store knows no HTTP and no network: it offers typed reads and one durable step",
    ),
    (
        "src/view.rs",
        &["axum", "tokio", "std::fs", "std::net"],
        "the view only shows records",
    ),
    (
        "src/config/",
        &["tokio", "axum", "reqwest", "sled"],
        "the configuration only reads and checks",
    ),
    (
        "connectors/",
        &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::env",
            "std::time::SystemTime",
            "std::time::Instant",
            "tokio",
            "axum",
            "hyper",
            "reqwest",
            "sled",
            "rand",
        ],
        "a connector is bytes in, events out: HTTP, files, clock and chance are the daemon's",
    ),
];

fn kept_out(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    for (folder, names, sentence) in KEPT_OUT {
        for file in tree
            .rust(folder)
            .filter(|file| !file.path.contains("/testkit"))
        {
            for (line, path) in file.paths() {
                let whole = path.join("::");
                let touched = names.iter().any(|name| {
                    whole == *name
                        || whole
                            .strip_prefix(name)
                            .is_some_and(|rest| rest.starts_with("::"))
                });
                if touched {
                    found.push(complaint(file, line, &format!("`{whole}`: {sentence}")));
                }
            }
        }
    }
    found
}

#[test]
fn the_desk_the_store_and_connectors_do_no_io_of_others() {
    hold(
        kept_out,
        &[
            ("src/desk/mod.rs", "use tokio::time::sleep;\n"),
            (
                "src/desk/bell.rs",
                "fn f() { let _ = std::fs::read(\"x\"); }\n",
            ),
            (
                "src/desk/bell.rs",
                "use std::{collections::BTreeMap, time::Instant};\n",
            ),
            ("src/store/mod.rs", "use axum::http::StatusCode;\n"),
            (
                "connectors/messenger/src/lib.rs",
                "use std::{fmt, time::{Duration, SystemTime}};\n",
            ),
            (
                "connectors/new/src/send.rs",
                "async fn f() { reqwest::get(\"x\").await; }\n",
            ),
        ],
        &[(
            "connectors/new/src/lib.rs",
            "//! tokio::spawn\nuse std::time::Duration;\nuse std::fmt;\n",
        )],
    );
}
