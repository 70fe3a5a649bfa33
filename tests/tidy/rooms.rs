//! Who may use whom.

use std::collections::BTreeSet;

use super::source::{File, Tree};
use super::{Complaints, PROJECT, complaint, has_words, hold, lines};

/// The rooms of `src`, and which other rooms each may use. ARCHITECTURE.md says why.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "access",
        &["channels", "id", "priority", "secrets", "store"],
    ),
    (
        "api",
        &[
            "access",
            "app",
            "backup",
            "blobs",
            "channels",
            "clock",
            "desk",
            "duty",
            "erasure",
            "export",
            "held",
            "hooks",
            "id",
            "inbox",
            "intake",
            "live",
            "outbox",
            "presence",
            "provision",
            "push",
            "registration",
            "search",
            "secrets",
            "server",
            "store",
            "view",
            "virus_check",
            "writer",
            "config",
            "mail",
            "oidc",
            "seal",
            "totp",
        ],
    ),
    (
        "alarms",
        &[
            "app",
            "bell",
            "channels",
            "desk",
            "duty",
            "http_client",
            "id",
            "intake",
            "live",
            "server",
            "store",
        ],
    ),
    (
        "app",
        &[
            "access",
            "api",
            "blobs",
            "channels",
            "clock",
            "config",
            "duty",
            "held",
            "hooks",
            "inbox",
            "live",
            "presence",
            "provision",
            "push",
            "search",
            "store",
            "view",
            "virus_check",
            "work",
            "writer",
            "mail",
            "oidc",
        ],
    ),
    ("backup", &["blobs", "clock", "desk", "store"]),
    ("bell", &["app", "config", "desk", "duty", "id", "store"]),
    ("blobs", &["secrets"]),
    ("channels", &["store"]),
    (
        "cli",
        &[
            "api",
            "backup",
            "channels",
            "clock",
            "config",
            "export",
            "hooks",
            "http_client",
            "registration",
            "registry",
            "run",
            "secrets",
            "server",
            "store",
            "virus_check",
            "watch",
        ],
    ),
    ("clock", &[]),
    ("config", &[]),
    ("desk", &["id", "store"]),
    (
        "downloads",
        &["blobs", "channels", "http_client", "virus_check"],
    ),
    ("duty", &["app", "desk", "id", "live", "store"]),
    ("export", &["blobs", "channels", "id", "store"]),
    ("figures", &[]),
    ("http_client", &[]),
    ("id", &[]),
    ("inbox", &["id", "store"]),
    (
        "intake",
        &[
            "app",
            "channels",
            "clock",
            "desk",
            "http_client",
            "id",
            "registration",
            "secrets",
            "store",
            "watch",
            "writer",
        ],
    ),
    ("lib", &[]),
    (
        "live",
        &["access", "app", "id", "presence", "server", "store", "view"],
    ),
    ("main", &["cli"]),
    (
        "media",
        &[
            "app",
            "channels",
            "desk",
            "downloads",
            "http_client",
            "id",
            "secrets",
            "store",
            "watch",
            "work",
            "writer",
        ],
    ),
    ("mail", &["config", "http_client"]),
    ("oidc", &["config", "http_client", "secrets"]),
    (
        "outbox",
        &[
            "app",
            "channels",
            "desk",
            "http_client",
            "id",
            "secrets",
            "store",
            "watch",
            "work",
            "writer",
        ],
    ),
    ("presence", &["app", "id", "store"]),
    (
        "profiles",
        &[
            "app",
            "channels",
            "desk",
            "downloads",
            "http_client",
            "id",
            "secrets",
            "store",
            "watch",
            "work",
            "writer",
        ],
    ),
    (
        "registration",
        &["app", "channels", "http_client", "store", "watch"],
    ),
    (
        "provision",
        &[
            "app",
            "channels",
            "config",
            "desk",
            "registration",
            "seal",
            "secrets",
            "store",
            "writer",
        ],
    ),
    (
        "push",
        &[
            "desk",
            "http_client",
            "id",
            "seal",
            "secrets",
            "store",
            "writer",
        ],
    ),
    ("registration", &["app", "channels", "http_client"]),
    ("registry", &[]),
    (
        "run",
        &[
            "access",
            "alarms",
            "backup",
            "bell",
            "hooks",
            "erasure",
            "held",
            "api",
            "app",
            "blobs",
            "channels",
            "clock",
            "config",
            "desk",
            "duty",
            "downloads",
            "figures",
            "http_client",
            "id",
            "intake",
            "inbox",
            "live",
            "media",
            "outbox",
            "presence",
            "profiles",
            "registration",
            "provision",
            "push",
            "seal",
            "search",
            "secrets",
            "server",
            "store",
            "telling",
            "upkeep",
            "view",
            "virus_check",
            "waking",
            "watch",
            "work",
            "writer",
            "mail",
            "oidc",
        ],
    ),
    ("priority", &[]),
    ("seal", &["secrets", "store"]),
    ("search", &["app", "id", "priority", "store"]),
    ("secrets", &[]),
    (
        "erasure",
        &["app", "desk", "id", "store", "watch", "writer"],
    ),
    ("held", &[]),
    (
        "hooks",
        &[
            "app",
            "bell",
            "config",
            "desk",
            "http_client",
            "id",
            "seal",
            "secrets",
            "store",
        ],
    ),
    ("html", &[]),
    ("server", &[]),
    (
        "simulation",
        &[
            "api",
            "app",
            "channels",
            "clock",
            "desk",
            "http_client",
            "id",
            "intake",
            "live",
            "outbox",
            "store",
            "work",
            "writer",
        ],
    ),
    ("store", &["clock", "id"]),
    (
        "telling",
        &[
            "access", "app", "desk", "duty", "id", "push", "seal", "secrets", "store", "view",
            "work", "writer",
        ],
    ),
    ("totp", &["secrets"]),
    ("upkeep", &["app", "store"]),
    ("view", &["channels", "html", "id", "store"]),
    ("virus_check", &["config"]),
    ("waking", &["app", "desk", "inbox", "writer"]),
    (
        "watch",
        &[
            "app",
            "channels",
            "clock",
            "desk",
            "http_client",
            "registration",
            "store",
        ],
    ),
    ("work", &["app", "desk", "id", "store", "writer"]),
    ("writer", &["clock", "desk", "id", "store"]),
];

/// The room of a file of `src`.
fn room_of(file: &File) -> &str {
    let rest = file.path.strip_prefix("src/").unwrap_or_default();
    rest.split(['/', '.']).next().unwrap_or_default()
}

fn rooms_use_only_what_they_may(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    for file in tree.rust("src/") {
        let room = room_of(file);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            found.push(complaint(file, 1, "a new room: say in ROOMS of tests/tidy.rs whom it may use, and in ARCHITECTURE.md what it is"));
            continue;
        };
        for (line, path) in file.paths() {
            let [first, used, ..] = path.as_slice() else {
                continue;
            };
            let other =
                first == "deskbell" && used != room && ROOMS.iter().any(|(name, _)| name == used);
            if other && !allowed.contains(&used.as_str()) {
                let sentence = format!(
                    "`{room}` may not use `{used}` (ARCHITECTURE.md, \"Who may use whom\"); move what both need into a room that both may use"
                );
                found.push(complaint(file, line, &sentence));
            }
        }
    }
    found
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    hold(
        rooms_use_only_what_they_may,
        &[
            ("src/store/mod.rs", "//! .\nuse crate::desk::Decision;\n"),
            (
                "src/store/embedded/log.rs",
                "use crate::{id, api::problem};\n",
            ),
            (
                "src/desk/arrivals.rs",
                "fn now() -> crate::clock::Clock { panic!() }\n",
            ),
            (
                "src/desk/arrivals.rs",
                "use super::super::writer::Writer;\n",
            ),
            ("src/intake/poll.rs", "use crate::{\n    live,\n};\n"),
            ("src/view.rs", "type A = super::access::Caller;\n"),
            ("src/novelty/mod.rs", "//! A room that nobody knows.\n"),
        ],
        &[
            (
                "src/store/mod.rs",
                "//! The desk: `crate::desk`.\nuse crate::id::MessageId;\nconst A: &str = \"crate::desk\";\n",
            ),
            (
                "src/desk/mod.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::clock::Clock;\n}\n",
            ),
            (
                "src/desk/mod.rs",
                "/* crate::api /* crate::api */ crate::api */ use crate::store::{Found, draft::Draft};\n",
            ),
        ],
    );
    let tree = &*PROJECT;
    for (room, _) in ROOMS {
        assert!(
            tree.rust("src/").any(|file| room_of(file) == *room),
            "there is no room `{room}` any more: take it out of ROOMS"
        );
    }
}

/// The crates of the connectors, as code names them.
fn connector_crates(tree: &Tree) -> BTreeSet<String> {
    let folders = tree
        .files
        .iter()
        .filter_map(|file| file.path.strip_prefix("connectors/")?.split_once('/'));
    let names = folders.map(|(name, _)| name).filter(|name| *name != "sdk");
    names
        .map(|name| format!("deskbell_{}", name.replace('-', "_")))
        .collect()
}

fn only_the_registry_names_connectors(tree: &Tree) -> Complaints {
    let crates = connector_crates(tree);
    let mut found = Vec::new();
    // A fuzz target is for one connector, as its own test is.
    let others = |file: &&File| file.path != "src/registry.rs" && !file.path.starts_with("fuzz/");
    for file in tree.rust("").filter(others) {
        let own = file
            .path
            .strip_prefix("connectors/")
            .and_then(|rest| rest.split('/').next());
        for (line, path) in file.paths() {
            let named = path[0].starts_with("deskbell_")
                && path[0] != "deskbell_sdk"
                && path[0] != "deskbell_ui";
            // The companion for desktops is a crate of its own: its program and its tests name it.
            let named =
                named && !(file.path.starts_with("desktop/") && path[0] == "deskbell_desktop");
            let is_own =
                own.is_some_and(|own| path[0] == format!("deskbell_{}", own.replace('-', "_")));
            if named && !is_own {
                let sentence = format!(
                    "`{}`: only src/registry.rs names a connector; everything else learns of it by its KIND",
                    path[0]
                );
                found.push(complaint(file, line, &sentence));
            }
        }
    }
    if let Some(registry) = tree.file("src/registry.rs") {
        let known: BTreeSet<String> = registry
            .paths()
            .into_iter()
            .map(|(_, path)| path[0].clone())
            .collect();
        let absent = crates.iter().filter(|name| !known.contains(*name));
        found.extend(absent.map(|name| {
            complaint(
                registry,
                1,
                &format!("`{name}` is a connector that no daemon can open: list its KIND"),
            )
        }));
    }
    found
}

#[test]
fn only_the_registry_names_connectors_and_it_names_all() {
    hold(
        only_the_registry_names_connectors,
        &[
            ("src/run.rs", "use deskbell_messenger::KIND;\n"),
            ("src/api/pages.rs", "fn f() { deskbell_webchat::KIND; }\n"),
            (
                "connectors/echo/src/lib.rs",
                "use deskbell_webchat::origins;\n",
            ),
            (
                "connectors/sdk/src/lib.rs",
                "pub use deskbell_echo::KIND;\n",
            ),
        ],
        &[("connectors/echo/src/lib.rs", "use deskbell_sdk::Kind;\n")],
    );
    let unlisted = [
        ("src/registry.rs", "const KINDS: &[Kind] = &[];\n"),
        ("connectors/new/src/lib.rs", "//! New.\n"),
    ];
    assert_eq!(
        only_the_registry_names_connectors(&Tree::planted(&unlisted)).len(),
        1
    );
    assert!(connector_crates(&PROJECT).len() >= 3);
}

fn connectors_depend_on_the_sdk_only(tree: &Tree) -> Complaints {
    let manifests = tree
        .files
        .iter()
        .filter(|file| file.path.starts_with("connectors/") && file.path.ends_with("/Cargo.toml"));
    let mut found = Vec::new();
    for file in manifests {
        for (line, text) in lines(&file.text) {
            let name = text.split(['.', ' ', '=']).next().unwrap_or_default();
            let ours = name == "deskbell" || name.starts_with("deskbell-");
            let is_sdk = file.path.starts_with("connectors/sdk/");
            if ours && (is_sdk || name != "deskbell-sdk") {
                found.push(complaint(file, line, "a connector uses deskbell-sdk and nothing else of ours, and the sdk nothing at all"));
            }
        }
    }
    found
}

#[test]
fn connectors_depend_on_nothing_of_ours_but_the_sdk() {
    hold(
        connectors_depend_on_the_sdk_only,
        &[
            (
                "connectors/echo/Cargo.toml",
                "[dependencies]\ndeskbell-messenger.workspace = true\n",
            ),
            (
                "connectors/echo/Cargo.toml",
                "[dependencies]\ndeskbell = { path = \"../..\" }\n",
            ),
            (
                "connectors/sdk/Cargo.toml",
                "[dependencies]\ndeskbell-sdk.workspace = true\n",
            ),
        ],
        &[(
            "connectors/echo/Cargo.toml",
            "[package]\nname = \"deskbell-echo\"\n[dependencies]\ndeskbell-sdk.workspace = true\n",
        )],
    );
}

/// What puts the parts together, and who may.
const WIRING: &[&str] = &[
    "EmbeddedStore",
    "MemoryStore",
    "Writer::start",
    "Access::new",
    "server::serve",
    "Blobs::open",
];

fn only_run_wires(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    let owners = [
        "src/run.rs",
        "src/run/",
        "src/store/",
        "src/writer.rs",
        "src/access.rs",
        "src/server/",
        "src/blobs.rs",
    ];
    for file in tree
        .rust("src/")
        .filter(|file| !owners.iter().any(|owner| file.path.starts_with(owner)))
    {
        for (line, text) in lines(&file.code()) {
            for part in WIRING.iter().filter(|part| has_words(text, part)) {
                found.push(complaint(file, line, &format!("`{part}`: only src/run.rs puts the parts together; take what is made as an argument")));
            }
        }
    }
    found
}

#[test]
fn only_run_puts_the_parts_together() {
    hold(
        only_run_wires,
        &[
            (
                "src/api/mod.rs",
                "use crate::store::embedded::EmbeddedStore;\n",
            ),
            (
                "src/cli/serve.rs",
                "fn f() { Writer::start(store, clock, 1); }\n",
            ),
        ],
        &[(
            "src/api/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::store::memory::MemoryStore;\n}\n",
        )],
    );
}
