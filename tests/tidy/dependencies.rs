//! Dependencies: each with its reason, in one place, locked.

use std::collections::BTreeSet;

use super::source::{File, Tree};
use super::{Complaints, PROJECT, complaint, hold, lines};

/// The names in the sections of a manifest whose heading ends so, with the rest of their line.
fn entries(manifest: &str, section_ends: &str) -> Vec<(usize, String, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (line, text) in lines(manifest) {
        if text.starts_with('[') {
            inside = text.trim().trim_end_matches(']').ends_with(section_ends);
        } else if inside
            && let Some((name, rest)) = text
                .split_once(['.', '=', ' '])
                .filter(|_| !text.trim_start().starts_with('#'))
        {
            found.push((line, name.trim().to_owned(), rest.to_owned()));
        }
    }
    found
}

/// The names and reasons of a table under a heading of CONTRIBUTING.md.
fn table(text: &str, heading: &str) -> Vec<(String, String)> {
    let section = text
        .split_once(heading)
        .map_or("", |(_, rest)| rest)
        .split("\n#")
        .next()
        .unwrap_or_default();
    let rows = section
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, reason)| {
        (
            name.to_owned(),
            reason.trim_end_matches([' ', '|']).to_owned(),
        )
    })
    .collect()
}

/// Crates that unpack archives or decode pictures, by their names or parts of them. Strangers' files are kept as they
/// came: what opens none has no bomb in it.
const OPENS_FILES: &[&str] = &[
    "zip",
    "tar",
    "rar",
    "7z",
    "sevenz",
    "cpio",
    "flate",
    "inflate",
    "xz",
    "lzma",
    "bzip",
    "zstd",
    "cab",
    "archive",
    "image",
    "png",
    "jpeg",
    "gif",
    "webp",
    "tiff",
    "avif",
    "exr",
    "svg",
    "pdf",
    "docx",
    "office",
    "calamine",
    "thumbnail",
    "ffmpeg",
];

/// Reads and writes backups, which the operator makes; it is used there and nowhere else.
const BACKUPS: (&str, &str) = ("tar", "src/backup/");

fn opens_files(tree: &Tree) -> Complaints {
    let manifests = tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"));
    let mut found = Vec::new();
    for file in manifests {
        for (line, name, _) in entries(&file.text, "dependencies") {
            let parts = name.split(['-', '_']).filter(|_| name != BACKUPS.0);
            let opens = parts.into_iter().any(|part| {
                OPENS_FILES
                    .iter()
                    .any(|word| part.starts_with(word) || part.ends_with(word))
            });
            if opens {
                let sentence = format!(
                    "`{name}`: what strangers sent is never unpacked or decoded here (M09, M10)"
                );
                found.push(complaint(file, line, &sentence));
            }
        }
    }
    let sources = tree.files.iter().filter(|file| file.path.ends_with(".rs"));
    for file in sources.filter(|file| !file.path.starts_with(BACKUPS.1)) {
        for (line, text) in lines(&file.code()) {
            if text.contains("tar::") {
                let sentence =
                    "archives are for backups alone: what strangers sent is never unpacked (M10)";
                found.push(complaint(file, line, sentence));
            }
        }
    }
    found
}

#[test]
fn m09_m10_nothing_that_strangers_sent_is_unpacked_or_decoded() {
    hold(
        opens_files,
        &[
            ("Cargo.toml", "[workspace.dependencies]\nzip = \"2\"\n"),
            ("Cargo.toml", "[dependencies]\nasync-tar.workspace = true\n"),
            (
                "connectors/new/Cargo.toml",
                "[dependencies]\nimage = \"0.25\"\n",
            ),
            (
                "connectors/new/Cargo.toml",
                "[dependencies]\nasync_zip = \"0.25\"\n",
            ),
            ("src/api/uploads.rs", "use tar::Archive;\n"),
        ],
        &[(
            "Cargo.toml",
            "[dependencies]\ntower.workspace = true\nbrotli = \"8\"\n",
        )],
    );
}

fn explained(tree: &Tree) -> Complaints {
    let text = |path: &str| {
        tree.file(path)
            .map(|file| file.text.clone())
            .unwrap_or_default()
    };
    let contributing = text("CONTRIBUTING.md");
    let crates = entries(&text("Cargo.toml"), "workspace.dependencies")
        .into_iter()
        .map(|(_, name, _)| name)
        .filter(|name| !name.starts_with("deskbell-"));
    let package = text("tests/e2e/package.json");
    let dev = package
        .split_once("\"devDependencies\": {")
        .map_or("", |(_, rest)| rest)
        .split('}')
        .next()
        .unwrap_or_default();
    let packages = dev
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\":"))
        .map(|(name, _)| name.to_owned());
    let mut found = Vec::new();
    for (heading, wanted) in [
        ("\n## Dependencies\n", crates.collect::<BTreeSet<_>>()),
        ("\n### npm\n", packages.collect()),
    ] {
        let rows = table(&contributing, heading);
        for name in wanted
            .iter()
            .filter(|name| !rows.iter().any(|(row, _)| row == *name))
        {
            found.push(format!("CONTRIBUTING.md: `{name}` is used and not explained under \"{}\": say why it is wanted (C02)", heading.trim()));
        }
        for (name, reason) in &rows {
            if !wanted.contains(name) {
                found.push(format!("CONTRIBUTING.md: `{name}` is explained and not used any more: take its row out (C02)"));
            }
            if reason.len() < 15 {
                found.push(format!(
                    "CONTRIBUTING.md: `{name}` needs a reason in words (C02)"
                ));
            }
        }
    }
    found
}

#[test]
fn c02_every_dependency_has_its_reason() {
    hold(
        explained,
        &[
            ("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n"),
            (
                "CONTRIBUTING.md",
                "# C\n\n## Dependencies\n\n| `old` | a crate that nothing uses |\n",
            ),
            (
                "tests/e2e/package.json",
                "{\n  \"devDependencies\": {\n    \"left-pad\": \"1.0.0\"\n  }\n}\n",
            ),
        ],
        &[(
            "Cargo.toml",
            "[workspace.dependencies]\ndeskbell-sdk = { path = \"connectors/sdk\" }\n",
        )],
    );
    let manifest = PROJECT
        .file("Cargo.toml")
        .map(|file| file.text.clone())
        .unwrap_or_default();
    assert!(
        entries(&manifest, "workspace.dependencies").len() > 30,
        "the dependencies are not found"
    );
}

/// The dependencies that manifests name outside the table of the workspace: the file, the line, the name, the rest.
fn named_by_members(tree: &Tree) -> Vec<(&File, usize, String, String)> {
    let mut found = Vec::new();
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
    {
        let table: Vec<_> = entries(&file.text, "workspace.dependencies")
            .into_iter()
            .map(|(line, _, _)| line)
            .collect();
        let members = entries(&file.text, "dependencies")
            .into_iter()
            .filter(|(line, _, _)| !table.contains(line));
        found.extend(members.map(|(line, name, rest)| (file, line, name, rest)));
    }
    found
}

fn dependencies_are_inherited(tree: &Tree) -> Complaints {
    let own = named_by_members(tree)
        .into_iter()
        .filter(|(_, _, _, rest)| !rest.contains("workspace = true"));
    let sentence = "a dependency stands once, in [workspace.dependencies] of the root, and is `workspace = true` here (C02)";
    own.map(|(file, line, _, _)| complaint(file, line, sentence))
        .collect()
}

#[test]
fn c02_dependencies_stand_in_one_place() {
    hold(
        dependencies_are_inherited,
        &[
            (
                "connectors/new/Cargo.toml",
                "[dependencies]\nserde = \"1\"\n",
            ),
            (
                "connectors/new/Cargo.toml",
                "[dev-dependencies]\ntempfile = { version = \"3\" }\n",
            ),
            (
                "Cargo.toml",
                "[workspace.dependencies]\nhttp = \"1\"\n\n[dependencies]\nhttp = \"1\"\n",
            ),
        ],
        &[
            (
                "connectors/new/Cargo.toml",
                "[dependencies]\nserde.workspace = true\nhttp = { workspace = true, features = [\"x\"] }\n",
            ),
            ("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n"),
        ],
    );
}

fn dependencies_are_used(tree: &Tree) -> Complaints {
    let members = named_by_members(tree);
    let mut found = Vec::new();
    for (file, line, name, _) in &members {
        let folders = match file.path.trim_end_matches("Cargo.toml") {
            "" => vec!["src/", "tests/", "benches/"],
            folder => vec![folder],
        };
        let code = name.replace('-', "_");
        let mut files = folders
            .iter()
            .flat_map(|folder| tree.rust(folder))
            .filter(|rust| !rust.path.starts_with("tests/tidy"));
        let ways = [
            format!("{code}::"),
            format!("use {code};"),
            format!("\"{code}\""),
        ];
        if !files.any(|rust| ways.iter().any(|way| rust.text.contains(way))) {
            found.push(complaint(
                file,
                *line,
                &format!("`{name}` is named by no file of this crate: take it out (C02)"),
            ));
        }
    }
    if let Some(root) = tree.file("Cargo.toml") {
        for (line, name, _) in entries(&root.text, "workspace.dependencies") {
            if !members.iter().any(|(_, _, used, _)| *used == name) {
                found.push(complaint(
                    root,
                    line,
                    &format!("`{name}` is used by no crate of ours: take it out (C02)"),
                ));
            }
        }
    }
    found
}

#[test]
fn c02_every_dependency_is_used() {
    let manifest = "[dependencies]\nfutures-util.workspace = true\n";
    hold(
        dependencies_are_used,
        &[
            ("connectors/new/Cargo.toml", manifest),
            ("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n"),
        ],
        &[(
            "connectors/new/Cargo.toml",
            "[package]\nname = \"deskbell-new\"\n",
        )],
    );
    let both = [
        ("connectors/new/Cargo.toml", manifest),
        ("connectors/new/src/lib.rs", "use futures_util::Stream;\n"),
    ];
    assert!(dependencies_are_used(&Tree::planted(&both)).is_empty());
}

fn locks_name_no_hosts(tree: &Tree) -> Complaints {
    let mut found = Vec::new();
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.lock"))
    {
        for (line, text) in lines(&file.text) {
            if text
                .strip_prefix("source = ")
                .is_some_and(|source| source.trim_matches('"') != crates_io)
            {
                found.push(complaint(
                    file,
                    line,
                    "crates come from crates.io only (C01)",
                ));
            }
        }
    }
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("package-lock.json"))
    {
        let (resolved, whole) = (
            file.text.matches("\"resolved\":").count(),
            file.text.matches("\"integrity\": \"sha512-").count(),
        );
        if resolved > 0 {
            found.push(complaint(file, 1, "no \"resolved\": whoever installs uses the registry they have, and the integrity holds (C02)"));
        }
        if whole != file.text.matches("\"node_modules/").count() {
            found.push(complaint(
                file,
                1,
                "every package has its sha512 integrity (C02)",
            ));
        }
    }
    found
}

#[test]
fn c01_c02_everything_is_locked() {
    hold(
        locks_name_no_hosts,
        &[
            (
                "Cargo.lock",
                "source = \"registry+https://mirror.example/index\"\n",
            ),
            (
                "Cargo.lock",
                "source = \"git+https://github.com/somebody/fork#abc\"\n",
            ),
            (
                "tests/e2e/package-lock.json",
                "\"node_modules/a\": { \"resolved\": \"https://mirror.example/a.tgz\", \"integrity\": \"sha512-x\" }\n",
            ),
            (
                "tests/e2e/package-lock.json",
                "\"node_modules/a\": { \"version\": \"1.0.0\" }\n",
            ),
        ],
        &[(
            "Cargo.lock",
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
        )],
    );
    let tree = &*PROJECT;
    for lock in [
        "Cargo.lock",
        "tests/e2e/package-lock.json",
        "ui/package-lock.json",
    ] {
        assert!(tree.file(lock).is_some(), "{lock} belongs to the project");
    }
}

fn container_lacks_its_desk(tree: &Tree) -> Complaints {
    let dockerfile = tree.file("Dockerfile");
    let lacking = dockerfile.filter(|file| {
        let lines: Vec<&str> = file.text.lines().map(str::trim_start).collect();
        let is_set = |line: &&str| line.starts_with("ENV DESKBELL_UI_DIST=");
        let is_built = |line: &&str| line.starts_with("RUN npm run build");
        !(lines.iter().any(is_set) && lines.iter().any(is_built))
    });
    let say = "build the desk's page in a stage with Node.js, and say by DESKBELL_UI_DIST where it is: the image of Rust has no npm";
    lacking
        .map(|file| complaint(file, 1, say))
        .into_iter()
        .collect()
}

#[test]
fn a_container_has_its_desk() {
    hold(
        container_lacks_its_desk,
        &[
            ("Dockerfile", "FROM rust\nRUN cargo build\n"),
            ("Dockerfile", "FROM node\nRUN npm run build\nFROM rust\n"),
        ],
        &[(
            "Dockerfile",
            "FROM node\nRUN npm run build\nFROM rust\nENV DESKBELL_UI_DIST=/build/desk\n",
        )],
    );
    assert!(PROJECT.file("Dockerfile").is_some(), "the image is built");
}
