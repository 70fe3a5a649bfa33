//! Reads the project's files for the rules of `tidy.rs`: what is tracked, which part of a Rust file is code, and which
//! paths that code names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A text file of the project.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Its path from the root, with slashes.
    pub(crate) path: String,
    /// What stands in it.
    pub(crate) text: String,
    /// Whether it is compiled for tests only.
    pub(crate) for_tests: bool,
}

/// The files that a rule looks at: those of the project, or planted ones.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// Every tracked text file of the project.
    pub(crate) fn of_the_project() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        read_folder(root, "", &mut files);
        files.sort();
        Self::of(files)
    }

    /// Files that are only here: paths with texts.
    pub(crate) fn planted(files: &[(&str, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self::of(owned.collect())
    }

    fn of(files: Vec<(String, String)>) -> Self {
        let mut only_tests = BTreeSet::new();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
            for module in test_modules(&code_of(text)) {
                only_tests.insert(format!("{}/{module}", folder_of_children(path)));
            }
        }
        let for_tests = |path: &str| {
            path.starts_with("tests/")
                || path.starts_with("fuzz/")
                || path.contains("/tests/")
                || only_tests.iter().any(|module| {
                    path.strip_prefix(module.as_str())
                        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
                })
        };
        let files = files.into_iter().map(|(path, text)| File {
            for_tests: for_tests(&path),
            path,
            text,
        });
        Self {
            files: files.collect(),
        }
    }

    /// The Rust files below a folder.
    pub(crate) fn rust<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.starts_with(folder) && file.path.ends_with(".rs"))
    }

    /// The file with this path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// What belongs to a developer's machine and not to the project.
const OF_THE_MACHINE: &[&str] = &[
    "node_modules",
    ".cargo",
    ".npmrc",
    ".env",
    ".idea",
    ".vscode",
    ".DS_Store",
];

/// What `.gitignore` leaves out, and what a developer keeps beside the project.
fn is_left_out(path: &str, name: &str) -> bool {
    let of_data =
        path.starts_with("data/") && !matches!(path, "data/README.md" | "data/.gitignore");
    let of_the_root = matches!(path, "target" | ".git" | "deskbell.toml");
    of_the_root || of_data || name.ends_with(".log") || OF_THE_MACHINE.contains(&name)
}

fn read_folder(root: &Path, folder: &str, files: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(root.join(folder))
        .unwrap_or_else(|error| panic!("{folder}/ cannot be read: {error}"));
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if is_left_out(&path, &name) {
            continue;
        }
        if kind.is_dir() {
            read_folder(root, &path, files);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            files.push((path, text));
        }
    }
}

/// Where the files of a file's modules stand.
fn folder_of_children(path: &str) -> String {
    let whole = path.strip_suffix(".rs").unwrap_or(path);
    let (folder, name) = whole.rsplit_once('/').unwrap_or(("", whole));
    if matches!(name, "mod" | "lib" | "main") {
        folder.to_owned()
    } else {
        whole.to_owned()
    }
}

impl File {
    /// The code without comments, the insides of texts, and what is compiled for tests only. Lines keep their numbers.
    pub(crate) fn code(&self) -> String {
        if self.for_tests {
            String::new()
        } else {
            without_tests(&code_of(&self.text))
        }
    }

    /// The same with what is compiled for tests.
    pub(crate) fn code_with_tests(&self) -> String {
        code_of(&self.text)
    }

    /// Every path that the code names, from its crate's name on, with its line: those of `use`, each branch by
    /// itself, and those in the code.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut code: Vec<char> = self.code().chars().collect();
        let mut found = used(&mut code);
        found.extend(in_code(&code));
        let (name, module) = self.module();
        found
            .into_iter()
            .map(|(line, path)| (line, from_crate(&name, &module, path)))
            .collect()
    }

    /// The crate's name and the module's path in it.
    fn module(&self) -> (String, Vec<String>) {
        let (name, rest) = match self
            .path
            .strip_prefix("connectors/")
            .and_then(|rest| rest.split_once("/src/"))
        {
            Some((name, rest)) => (format!("deskbell_{}", name.replace('-', "_")), rest),
            None => (
                "deskbell".to_owned(),
                self.path.strip_prefix("src/").unwrap_or(&self.path),
            ),
        };
        let mut module: Vec<_> = rest
            .trim_end_matches(".rs")
            .split('/')
            .map(str::to_owned)
            .collect();
        if module
            .last()
            .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
        {
            module.pop();
        }
        (name, module)
    }
}

/// The number of the line in which a character stands.
pub(crate) fn line_at(code: &[char], place: usize) -> usize {
    1 + code[..place]
        .iter()
        .filter(|character| **character == '\n')
        .count()
}

/// Blanks comments and the insides of texts and characters.
pub(crate) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = chars.clone();
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => until(&chars, at, |rest| rest[0] == '\n'),
            ('/', Some('*')) => end_of_comment(&chars, at),
            ('"', _) => end_of_text(&chars, at + 1),
            ('r', Some('"' | '#')) if begins_raw(&chars, at) => end_of_raw(&chars, at + 1),
            ('\'', Some('\\')) => until(&chars, at + 3, |rest| rest[0] == '\'') + 1,
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
            _ => {
                at += 1;
                continue;
            }
        };
        let end = end.min(chars.len());
        // The quotes stay, so that a text is still seen to be one.
        let quoted = matches!(chars[at], '"' | '\'' | 'r');
        for place in at..end {
            let edge = quoted && (place == at || place + 1 == end);
            if chars[place] != '\n' {
                code[place] = if edge { '"' } else { ' ' };
            }
        }
        at = end;
    }
    code.into_iter().collect()
}

fn until(chars: &[char], from: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|at| stop(&chars[*at..]))
        .unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn end_of_text(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Whether `r` begins a raw text rather than a name (`r#type`).
fn begins_raw(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| chars[before]);
    let prefixed = matches!(before, Some('b' | 'c'))
        && !at.checked_sub(2).is_some_and(|at| is_name(chars[at]));
    let own = prefixed || !before.is_some_and(is_name);
    own && chars[at + 1..].iter().find(|next| **next != '#') == Some(&'"')
}

fn end_of_raw(chars: &[char], from: usize) -> usize {
    let hashes = chars[from..]
        .iter()
        .take_while(|next| **next == '#')
        .count();
    let ends = |rest: &[char]| {
        rest[0] == '"'
            && rest
                .iter()
                .skip(1)
                .take(hashes)
                .filter(|next| **next == '#')
                .count()
                == hashes
    };
    until(chars, from + hashes + 1, ends) + 1 + hashes
}

/// Whether a character belongs to a name.
pub(crate) fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

const TEST_ATTRIBUTE: &str = "#[cfg(test)]";

/// Blanks every item behind `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut chars: Vec<char> = code.chars().collect();
    let attribute: Vec<char> = TEST_ATTRIBUTE.chars().collect();
    let mut at = 0;
    while at + attribute.len() <= chars.len() {
        if chars[at..].starts_with(&attribute) {
            let end = end_of_item(&chars, at + attribute.len());
            chars[at..end]
                .iter_mut()
                .filter(|one| **one != '\n')
                .for_each(|one| *one = ' ');
            at = end;
        } else {
            at += 1;
        }
    }
    chars.into_iter().collect()
}

/// Behind the `;` or the closing brace that ends an item.
fn end_of_item(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, character) in chars.iter().enumerate().skip(from) {
        match character {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    chars.len()
}

/// The modules in files of their own that are compiled for tests only.
fn test_modules(code: &str) -> Vec<String> {
    let behind = code.split(TEST_ATTRIBUTE).skip(1);
    let names = behind.filter_map(|rest| {
        let rest = rest
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .strip_prefix("mod ")?;
        let name: String = rest
            .chars()
            .take_while(|character| is_name(*character))
            .collect();
        rest[name.len()..].starts_with(';').then_some(name)
    });
    names.collect()
}

/// The paths of `use`, which are blanked in `code`.
fn used(code: &mut [char]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 4 < code.len() {
        let is_use = code[at..].starts_with(&['u', 's', 'e'])
            && code[at + 3].is_whitespace()
            && !at
                .checked_sub(1)
                .is_some_and(|before| is_name(code[before]) || code[before] == '#');
        if !is_use {
            at += 1;
            continue;
        }
        let end = until(code, at, |rest| rest[0] == ';');
        let line = line_at(code, at);
        let tree: String = code[at + 4..end].iter().collect();
        found.extend(branches(&tree).into_iter().map(|path| (line, path)));
        code[at..end]
            .iter_mut()
            .filter(|one| **one != '\n')
            .for_each(|one| *one = ' ');
        at = end;
    }
    found
}

/// The branches of the tree behind `use`, each as a whole path.
fn branches(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((stem, inside)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![
            path.split("::")
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
        ];
    };
    let stem: Vec<String> = stem
        .split("::")
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let mut depth = 0;
    let parts = inside.split(|character| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    });
    let whole = parts
        .filter(|part| !part.trim().is_empty())
        .flat_map(branches);
    whole
        .map(|branch| stem.iter().cloned().chain(branch).collect())
        .collect()
}

/// The paths in code, of two names or more.
fn in_code(code: &[char]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let (mut line, mut counted) = (1, 0);
    let mut at = 0;
    while at < code.len() {
        if !is_name(code[at]) {
            at += 1;
            continue;
        }
        let start = at;
        let mut path = Vec::new();
        loop {
            let end = until(code, at, |rest| !is_name(rest[0]));
            path.push(code[at..end].iter().collect());
            at = end;
            let goes_on = code[at..].starts_with(&[':', ':'])
                && code.get(at + 2).is_some_and(|next| is_name(*next));
            if !goes_on {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            line += code[counted..start]
                .iter()
                .filter(|character| **character == '\n')
                .count();
            counted = start;
            found.push((line, path));
        }
    }
    found
}

/// A path from its crate's name on; a name that is local stays as it is.
fn from_crate(name: &str, module: &[String], path: Vec<String>) -> Vec<String> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let whole = |kept: &[String], skipped: usize| {
        let start = std::iter::once(name.to_owned()).chain(kept.iter().cloned());
        start.chain(path[skipped..].iter().cloned()).collect()
    };
    match path.first().map(String::as_str) {
        Some("crate") => whole(&[], 1),
        Some("self") => whole(module, 1),
        Some("super") => whole(&module[..module.len().saturating_sub(ups)], ups),
        _ => path,
    }
}
