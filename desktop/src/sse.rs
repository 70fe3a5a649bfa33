//! The words of Server-Sent Events, as bytes come in. Pure.

/// The longest event, in bytes: far above what the daemon sends. A longer one is passed over.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// One thing that the stream said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An event.
    Event {
        /// Its number; `None` for what is not in the log.
        id: Option<u64>,
        /// Its type.
        kind: String,
        /// Its JSON.
        data: String,
    },
    /// Where the stream begins.
    Position(u64),
    /// Nothing but that it lives.
    Alive,
}

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// How many bytes have been looked through for the end of a block.
    looked: usize,
    /// The block is too long: its beginning was thrown away.
    too_long: bool,
}

impl Reader {
    /// Takes in bytes, and gives what they complete.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Said> {
        self.bytes
            .extend(bytes.iter().filter(|byte| **byte != b'\r'));
        let mut all = Vec::new();
        let mut from = 0;
        let mut at = self.looked;
        while let Some(end) = find(&self.bytes[at..]).map(|end| at + end) {
            let block = &self.bytes[from..end];
            if std::mem::take(&mut self.too_long) {
                all.push(Said::Alive);
            } else {
                all.extend(said(&String::from_utf8_lossy(block)));
            }
            from = end + 2;
            at = from;
        }
        self.bytes.drain(..from);
        if self.bytes.len() > MOST_BYTES {
            let last = self.bytes.last().copied();
            self.bytes.clear();
            self.bytes.extend(last.filter(|byte| *byte == b'\n'));
            self.too_long = true;
        }
        self.looked = self.bytes.len().saturating_sub(1);
        all
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\n\n")
}

fn said(block: &str) -> Vec<Said> {
    let (mut id, mut kind, mut data) = (None, String::new(), Vec::new());
    let mut all = Vec::new();
    for line in block.lines() {
        if let Some(comment) = line.strip_prefix(':') {
            let position = comment
                .trim()
                .strip_prefix("position ")
                .and_then(|text| text.parse().ok());
            all.extend(position.map(Said::Position));
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = value.parse().ok(),
            "event" => value.clone_into(&mut kind),
            "data" => data.push(value),
            _ => {}
        }
    }
    if !data.is_empty() {
        all.push(Said::Event {
            id,
            kind,
            data: data.join("\n"),
        });
    }
    if all.is_empty() {
        all.push(Said::Alive);
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "retry: 1000\n: hello\n: position 41\n\n:\n\nid: 42\nevent: bell.rung\ndata: {\"a\":\"č\"}\n\n\
                          event: typing\ndata: {}\r\n\r\nevent: half\ndata: {";

    fn whole() -> Vec<Said> {
        vec![
            Said::Position(41),
            Said::Alive,
            Said::Event {
                id: Some(42),
                kind: "bell.rung".into(),
                data: "{\"a\":\"č\"}".into(),
            },
            Said::Event {
                id: None,
                kind: "typing".into(),
                data: "{}".into(),
            },
        ]
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_says_the_same(cuts in proptest::collection::vec(0_usize..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut reader, mut from, mut all) = (Reader::default(), 0, Vec::new());
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                all.extend(reader.read(&STREAM.as_bytes()[from..cut]));
                from = cut;
            }
            prop_assert_eq!(all, whole());
        }

        #[test]
        fn nothing_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            Reader::default().read(&bytes);
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_passed_over_and_the_next_is_heard() {
        let mut reader = Reader::default();
        reader.read(b"id: 1\nevent: huge\ndata: ");
        for _ in 0..6 {
            assert!(reader.read(&vec![b'x'; 1024 * 1024]).is_empty());
            assert!(reader.bytes.len() <= MOST_BYTES);
        }
        let said = reader.read(b"\n\nid: 2\nevent: a\ndata: {}\n\n");
        assert_eq!(
            said,
            [
                Said::Alive,
                Said::Event {
                    id: Some(2),
                    kind: "a".into(),
                    data: "{}".into()
                }
            ]
        );
    }
}
