//! Keeps the house in order: who may use whom, and what stands nowhere. Each rule is first shown what it is to find,
//! so that none passes because it looks at nothing; then it looks at the whole project. A failure says what to do.

#[path = "tidy/comparisons.rs"]
mod comparisons;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/doors.rs"]
mod doors;
#[path = "tidy/kept_out.rs"]
mod kept_out;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/writing.rs"]
mod writing;

use std::sync::LazyLock;

use source::{File, Tree, is_name};

/// The project, read once.
static PROJECT: LazyLock<Tree> = LazyLock::new(Tree::of_the_project);

/// What a rule found: where, and the sentence to read.
type Complaints = Vec<String>;

/// Lets a rule look at planted offences, each of which it has to see, at innocent files, and at the project.
fn hold(rule: fn(&Tree) -> Complaints, offences: &[(&str, &str)], innocents: &[(&str, &str)]) {
    for offence in offences {
        assert!(
            !rule(&Tree::planted(&[*offence])).is_empty(),
            "this is to be found in {}: {}",
            offence.0,
            offence.1
        );
    }
    for innocent in innocents {
        let found = rule(&Tree::planted(&[*innocent]));
        assert!(
            found.is_empty(),
            "this is no offence: {}: {found:#?}",
            innocent.1
        );
    }
    let found = rule(&PROJECT);
    assert!(found.is_empty(), "{}\n", found.join("\n"));
}

fn complaint(file: &File, line: usize, sentence: &str) -> String {
    format!("{}:{line}: {sentence}", file.path)
}

/// The lines of a text with their numbers, from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line))
}

/// Whether code has these words, apart from spaces, and not as a part of longer names.
fn has_words(code: &str, words: &str) -> bool {
    let close: String = if words.contains("::") {
        code.replace(" ::", "::").replace(":: ", "::")
    } else {
        code.to_owned()
    };
    close.match_indices(words).any(|(at, _)| {
        let before = close[..at].chars().next_back();
        let behind = close[at + words.len()..].chars().next();
        !before.is_some_and(is_name) && !behind.is_some_and(is_name)
    })
}
