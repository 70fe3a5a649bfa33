//! How replies are cut into parts: thousands of texts, none of which may lose anything.

use super::super::Fault;
use super::super::chance::Chance;
use super::super::conformance::guarded;
use crate::model::AttachmentKind;
use crate::send::{PartPlan, ReplyShape, Send as Sender, SendError};

/// How many replies are cut.
const REPLIES: usize = 1500;
const SEED: u64 = 0x5E4D_0001;
/// What the longest texts are measured by where a channel has no limit, in characters.
const LONG_CHARS: usize = 5000;
/// Limits below this leave no room for what people see as one character.
const ROOMY_CHARS: usize = 100;

/// What texts are made of.
const PIECES: [&str; 20] = [
    "a",
    "word",
    "Straße",
    " ",
    " ",
    "\n",
    "\n\n",
    "\r\n\r\n",
    "\t",
    "  ",
    "汉字",
    "👍🏽",
    "👩\u{200D}👩\u{200D}👧",
    "e\u{301}",
    "❤\u{FE0F}",
    "🇸🇰",
    "https://shop.example/p/1?x=2",
    ". ",
    "नमस्ते",
    "\u{A0}",
];
/// What none of those begins with, so that a part which does was cut out of one.
const INNER: [char; 4] = ['\u{200D}', '\u{301}', '\u{FE0F}', '🏽'];

/// Cuts replies and looks at the parts; returns how many there were.
pub(super) fn examine(sender: &dyn Sender, limit: Option<usize>) -> Result<usize, Fault> {
    nothing_is_refused(sender)?;
    for number in 0..REPLIES {
        let seed = SEED + number as u64;
        let mut chance = Chance::from_seed(seed);
        let text = text(&mut chance, limit.unwrap_or(LONG_CHARS));
        let files = vec![(AttachmentKind::File, "application/pdf", 1000); chance.below(4)];
        cut(sender, limit, &text, files).map_err(|fault| {
            Fault::new(fault.check, format!("{} (seed {seed:#x})", fault.detail))
        })?;
    }
    Ok(REPLIES)
}

/// A reply with nothing in it is no reply.
fn nothing_is_refused(sender: &dyn Sender) -> Result<(), Fault> {
    for text in [None, Some(""), Some(" \n\t\u{A0} ")] {
        let shape = ReplyShape {
            text,
            files: Vec::new(),
        };
        match guarded("plan", || sender.plan(&shape))? {
            Err(SendError::Refused { .. }) => {}
            other => {
                return Err(Fault::new(
                    "plan",
                    format!("an empty reply {text:?} became {other:?}"),
                ));
            }
        }
    }
    Ok(())
}

/// A text of at least one visible character and up to three times `limit`.
fn text(chance: &mut Chance, limit: usize) -> String {
    // Half of them stay short, and some are of one kind of piece.
    let most = if chance.below(2) == 0 {
        limit / 10
    } else {
        limit * 3
    };
    let length = 1 + chance.below(most);
    let only = (chance.below(4) == 0)
        .then(|| chance.one_of(&PIECES))
        .flatten();
    let mut text = String::new();
    let mut chars = 0;
    while chars < length {
        let piece = only.or_else(|| chance.one_of(&PIECES)).unwrap_or(&"a");
        let times = if chance.below(200) == 0 { limit / 2 } else { 1 };
        text.push_str(&piece.repeat(times.max(1)));
        chars += piece.chars().count() * times.max(1);
    }
    text.insert(0, 'x');
    text
}

fn cut(
    sender: &dyn Sender,
    limit: Option<usize>,
    text: &str,
    files: Vec<(AttachmentKind, &str, u64)>,
) -> Result<(), Fault> {
    let fault = |detail: String| Err(Fault::new("plan", detail));
    let count = files.len();
    let mut shape = ReplyShape {
        text: Some(text),
        files,
    };
    let mut plan = guarded("plan", || sender.plan(&shape))?;
    let mut expected_files = count;
    if plan.is_err() && count > 0 {
        // The channel takes no files.
        shape.files.clear();
        expected_files = 0;
        plan = guarded("plan", || sender.plan(&shape))?;
    }
    if guarded("plan", || sender.plan(&shape))? != plan {
        return fault("the same reply is cut differently the second time".to_owned());
    }
    let parts = match plan {
        Ok(parts) => parts,
        Err(error) => return fault(format!("an ordinary text is refused: {error}")),
    };
    let mut rest = text;
    let mut next_file = 0;
    for part in &parts {
        match part {
            PartPlan::File(place) => {
                if *place != next_file {
                    return fault(format!("file {place} comes where file {next_file} should"));
                }
                next_file += 1;
            }
            PartPlan::Text(part) => {
                let chars = part.chars().count();
                if limit.is_some_and(|limit| chars > limit) {
                    return fault(format!("a part has {chars} characters"));
                }
                if part.trim().is_empty() {
                    return fault("a part is blank".to_owned());
                }
                if limit.is_none_or(|limit| limit >= ROOMY_CHARS) && part.starts_with(INNER) {
                    return fault(
                        "a part begins inside of what people see as one character".to_owned(),
                    );
                }
                // White space may be left out at the seams, and nowhere else.
                let behind = rest
                    .strip_prefix(part.as_str())
                    .or_else(|| rest.trim_start().strip_prefix(part.trim_start()));
                match behind {
                    Some(behind) => rest = behind,
                    None => return fault("the parts are not the text in its order".to_owned()),
                }
            }
        }
    }
    if !rest.trim().is_empty() {
        return fault(format!(
            "the last {} characters are lost",
            rest.chars().count()
        ));
    }
    if next_file != expected_files {
        return fault(format!("{next_file} of {expected_files} files are sent"));
    }
    Ok(())
}
