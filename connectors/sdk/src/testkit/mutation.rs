//! Damaged deliveries: properly signed, since a bug of the platform's or a stolen secret can bring anything. Whatever
//! comes, decoding ends soon, without a panic and without results that no store takes (W10 to W13).

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::Fault;
use super::chance::Chance;
use super::conformance::Examined;
use super::json_map::{JsonMap, replaced};

/// How many damaged deliveries are made for each connector.
pub(crate) const MUTATIONS: usize = 10_000;
/// How deep the deepest nesting is; a reader that recurses overflows its stack long before.
const DEEPEST: usize = 200_000;
/// At how many places of the fixtures the deepest nesting is tried.
const DEEP_PLACES: usize = 40;
/// What one delivery may take in a debug build on a busy machine: quadratic work on these sizes takes minutes.
const LONGEST: Duration = Duration::from_secs(20);
const SEED: u64 = 0xDE5C_BE11;

/// Values that programs trip over.
const ODD_VALUES: [&str; 34] = [
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "[{}]",
    "0",
    "-0",
    "-1",
    "1e400",
    "-1e400",
    "1.5",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "123456789012345678901234567890",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"a\\u0000b\\u001b[31m\"",
    "\"\\ud83d\"",
    "\"\\udce6\\ud83d\"",
    "\"\\u202egpj.exe\"",
    "\"NaN\"",
    "\"inf\"",
    "\"-1\"",
    "\"1763740800\"",
    "\"<script>alert(1)</script>\"",
    "\"https://shop.example/\\u0000%\"",
    "{\"id\":\"1\",\"id\":\"2\"}",
];

/// Text that is no JSON, or only nearly.
const BROKEN_VALUES: [&[u8]; 8] = [
    b"",
    b"nul",
    b"\xff\xfe",
    b"\"\xc3\x28\"",
    b"'a'",
    b"NaN",
    b"\"\\x\"",
    b"01",
];

pub(crate) fn examine(examined: &Examined<'_>, bodies: &[&[u8]]) -> Result<usize, Fault> {
    let corpus = Corpus::of(bodies);
    let mut chance = Chance::from_seed(SEED);
    for round in 0..MUTATIONS {
        let body = corpus.mutated(&mut chance);
        try_one(examined, &body, &format!("seed {SEED:#x}, round {round}"))?;
    }
    let mut tried = MUTATIONS;
    for round in 0..DEEP_PLACES {
        let Some((body, map)) = chance.one_of(&corpus.texts) else {
            break;
        };
        let Some(place) = chance.one_of(&map.values) else {
            continue;
        };
        let deep = match round % 4 {
            0 => nested("[", "]", DEEPEST),
            1 => nested("{\"id\":", "}", DEEPEST / 4),
            2 => "[".repeat(DEEPEST),
            _ => nested("[{\"type\":", "}]", DEEPEST / 8),
        };
        let what = format!("nesting, seed {SEED:#x}, place {place:?}, round {round}");
        try_one(examined, &replaced(body, place, deep.as_bytes()), &what)?;
        tried += 1;
    }
    for body in bombs() {
        try_one(examined, &body, "a bomb that is no delivery")?;
        tried += 1;
    }
    Ok(tried)
}

fn try_one(examined: &Examined<'_>, body: &[u8], what: &str) -> Result<(), Fault> {
    let begun = Instant::now();
    let delivered = examined.deliver("mutation", body);
    let shown = || -> String { String::from_utf8_lossy(body).chars().take(4000).collect() };
    match delivered {
        Err(fault) => Err(Fault::new(
            fault.check,
            format!("{} ({what}); body:\n{}", fault.detail, shown()),
        )),
        Ok(_) if begun.elapsed() > LONGEST => Err(Fault::new(
            "mutation",
            format!("took {:?} ({what}); body:\n{}", begun.elapsed(), shown()),
        )),
        Ok(_) => Ok(()),
    }
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

/// Bodies that are only meant to hurt.
fn bombs() -> Vec<Vec<u8>> {
    let mut many_keys = String::from("{");
    for number in 0..100_000 {
        // Writing to a String cannot fail.
        let _ = write!(many_keys, "\"k{number}\":0,");
    }
    many_keys.push_str("\"last\":0}");
    vec![
        Vec::new(),
        b"\xef\xbb\xbf{}".to_vec(),
        vec![0; 1000],
        vec![b'['; DEEPEST],
        nested("[", "]", DEEPEST).into_bytes(),
        nested("{\"entry\":", "}", DEEPEST / 4).into_bytes(),
        "{\"a\":".repeat(DEEPEST / 4).into_bytes(),
        many_keys.into_bytes(),
        format!("{{\"n\":1{}}}", "0".repeat(500_000)).into_bytes(),
        format!("\"{}\"", "\\ud83d".repeat(100_000)).into_bytes(),
        format!("\"{}", "\\".repeat(500_001)).into_bytes(),
    ]
}

/// The fixtures taken apart.
struct Corpus<'a> {
    texts: Vec<(&'a [u8], JsonMap)>,
}

impl<'a> Corpus<'a> {
    fn of(bodies: &[&'a [u8]]) -> Self {
        Self {
            texts: bodies
                .iter()
                .map(|body| (*body, JsonMap::of(body)))
                .collect(),
        }
    }

    /// A part of any fixture.
    fn part(
        &self,
        chance: &mut Chance,
        places: fn(&JsonMap) -> &[std::ops::Range<usize>],
    ) -> &'a [u8] {
        let Some((text, map)) = chance.one_of(&self.texts) else {
            return b"";
        };
        chance
            .one_of(places(map))
            .map_or(&b""[..], |place| &text[place.clone()])
    }

    /// A fixture with one to three kinds of damage; those after the first hit the places that the first has moved,
    /// which makes them cruder still.
    fn mutated(&self, chance: &mut Chance) -> Vec<u8> {
        let Some((text, map)) = chance.one_of(&self.texts) else {
            return Vec::new();
        };
        let mut body = self.damaged(text, map, chance);
        for _ in 0..chance.below(3) {
            let map = JsonMap::of(&body);
            body = self.damaged(&body, &map, chance);
        }
        body
    }

    fn damaged(&self, text: &[u8], map: &JsonMap, chance: &mut Chance) -> Vec<u8> {
        let value = chance.one_of(&map.values).cloned().unwrap_or(0..0);
        let member = chance.one_of(&map.members).cloned().unwrap_or(0..0);
        match chance.below(12) {
            0 => {
                let mut body = text.to_vec();
                for _ in 0..=chance.below(8) {
                    let at = chance.below(body.len());
                    let bit = 1 << chance.below(8);
                    if let Some(byte) = body.get_mut(at) {
                        *byte ^= bit;
                    }
                }
                body
            }
            1 => text[..chance.below(text.len())].to_vec(),
            2 => replaced(text, &value, self.part(chance, |map| &map.values)),
            3 | 4 => replaced(
                text,
                &value,
                chance.one_of(&ODD_VALUES).map_or("", |odd| odd).as_bytes(),
            ),
            5 => replaced(
                text,
                &value,
                chance
                    .one_of(&BROKEN_VALUES)
                    .map_or(&b""[..], |broken| broken),
            ),
            // The same key twice, with the same or another value.
            6 => {
                let twice = [&text[member.clone()], b",", &text[member.clone()]].concat();
                replaced(text, &member, &twice)
            }
            7 => {
                let both = [
                    &text[member.clone()],
                    b",",
                    self.part(chance, |map| &map.members),
                ]
                .concat();
                replaced(text, &member, &both)
            }
            8 => replaced(text, &member, self.part(chance, |map| &map.members)),
            9 => {
                let key = chance.one_of(&map.keys).cloned().unwrap_or(0..0);
                replaced(text, &key, self.part(chance, |map| &map.keys))
            }
            10 => {
                let deep = nested("[", "]", 100 + chance.below(1000));
                replaced(text, &value, deep.as_bytes())
            }
            _ => {
                let long = format!("\"{}\"", "\u{1F4E6}\u{202E}a".repeat(1 + chance.below(600)));
                replaced(text, &value, long.as_bytes())
            }
        }
    }
}
