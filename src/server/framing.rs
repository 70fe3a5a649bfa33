//! Sees the bytes of an HTTP/1 connection go by, for what the parser no longer tells (W19).
//!
//! hyper resolves a request that carries both Transfer-Encoding and Content-Length by dropping the
//! length, and merges repeated lengths, so a handler cannot see that a proxy in front may have read
//! the request differently. This follows the same bytes from head to head and notes such faults;
//! the service then refuses the request.

use std::collections::VecDeque;

/// Enough of a line for each header name and value that matters here.
const LINE_BYTES_KEPT: usize = 96;

/// Why a head is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Transfer-Encoding and Content-Length at once.
    TwoFramings,
    /// More than one Content-Length line.
    RepeatedLength,
    /// A Content-Length that is not a plain number.
    UnreadableLength,
    /// A Transfer-Encoding other than one plain `chunked`.
    UnknownCoding,
}

impl Fault {
    /// The sentence for the sender.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::TwoFramings => "Send Content-Length or Transfer-Encoding, not both.",
            Self::RepeatedLength => "Send Content-Length once.",
            Self::UnreadableLength => "Content-Length must be a plain decimal number.",
            Self::UnknownCoding => "The only Transfer-Encoding understood is chunked, given once.",
        }
    }
}

/// What was seen of one request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The body is chunked. The bytes after such a head are not followed: the connection is to be
    /// closed after its answer.
    pub(super) chunked: bool,
    /// The first fault found.
    pub(super) fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    RequestLine,
    HeaderLine,
    Body {
        left: u64,
    },
    /// HTTP/2, the body of a chunked request, or after a fault.
    NotFollowed,
}

/// The heads of one connection, in the order of their requests.
#[derive(Debug)]
pub(super) struct Framing {
    place: Place,
    line: Vec<u8>,
    line_cut: bool,
    length: Option<u64>,
    lengths: usize,
    codings: usize,
    fault: Option<Fault>,
    heads: VecDeque<Head>,
}

impl Framing {
    /// A connection that has sent nothing yet.
    pub(super) fn new() -> Self {
        Self {
            place: Place::RequestLine,
            line: Vec::new(),
            line_cut: false,
            length: None,
            lengths: 0,
            codings: 0,
            fault: None,
            heads: VecDeque::new(),
        }
    }

    /// The head of the next request in order; `None` where it was not followed.
    pub(super) fn next_head(&mut self) -> Option<Head> {
        self.heads.pop_front()
    }

    /// Takes the bytes that the parser is about to see.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.place {
                Place::NotFollowed => return,
                Place::Body { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    let left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                    self.place = match left {
                        0 => Place::RequestLine,
                        left => Place::Body { left },
                    };
                }
                Place::RequestLine | Place::HeaderLine => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    self.keep(&bytes[..end.unwrap_or(bytes.len())]);
                    let Some(end) = end else { return };
                    bytes = &bytes[end + 1..];
                    self.end_of_line();
                }
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES_KEPT - self.line.len();
        self.line_cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_of_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.line_cut);
        if !cut && line.last() == Some(&b'\r') {
            line.pop();
        }
        if self.place == Place::RequestLine {
            if line.starts_with(b"PRI * HTTP/2") {
                self.place = Place::NotFollowed;
            } else if !line.is_empty() {
                // Empty lines before a request are allowed and skipped.
                self.place = Place::HeaderLine;
            }
        } else if line.is_empty() {
            self.end_of_head();
        } else {
            self.header_line(&line, cut);
        }
        // The same allocation serves every line.
        line.clear();
        self.line = line;
    }

    fn header_line(&mut self, line: &[u8], cut: bool) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            self.length = plain_number(value).filter(|_| !cut);
            if self.length.is_none() {
                self.fault = self.fault.or(Some(Fault::UnreadableLength));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            if cut || self.codings > 1 || !value.eq_ignore_ascii_case(b"chunked") {
                self.fault = self.fault.or(Some(Fault::UnknownCoding));
            }
        }
    }

    fn end_of_head(&mut self) {
        if self.lengths > 0 && self.codings > 0 {
            self.fault = Some(Fault::TwoFramings);
        } else if self.lengths > 1 {
            self.fault = self.fault.or(Some(Fault::RepeatedLength));
        }
        let head = Head {
            chunked: self.codings > 0,
            fault: self.fault,
        };
        self.place = match self.length {
            _ if head.chunked || head.fault.is_some() => Place::NotFollowed,
            None | Some(0) => Place::RequestLine,
            Some(left) => Place::Body { left },
        };
        (self.length, self.lengths, self.codings, self.fault) = (None, 0, 0, None);
        self.heads.push_back(head);
    }
}

/// Digits only: no sign, no list, no blank.
fn plain_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Head = Head {
        chunked: false,
        fault: None,
    };

    /// The heads seen when the bytes come in pieces of `size`.
    fn heads(bytes: &[u8], size: usize) -> Vec<Head> {
        let mut framing = Framing::new();
        bytes.chunks(size).for_each(|part| framing.feed(part));
        std::iter::from_fn(|| framing.next_head()).collect()
    }

    fn fault_of(headers: &str) -> Option<Fault> {
        let request = format!("POST /a:b HTTP/1.1\r\n{headers}\r\n\r\n");
        let seen = heads(request.as_bytes(), 7);
        assert_eq!(seen.len(), 1, "{request}");
        assert_eq!(seen, heads(request.as_bytes(), 4096));
        seen[0].fault
    }

    #[test]
    fn w19_follows_pipelined_requests_however_they_are_cut() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\nContent-Length: 40\n\n\
            Content-Length: 1\r\n\r\nTransfer-Encoding:xGET / HTTP/1.1\r\n\r\n\
            POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let chunked = Head {
            chunked: true,
            fault: None,
        };
        for size in [1, 2, 3, 17, 64, 4096] {
            assert_eq!(heads(bytes, size), [PLAIN, PLAIN, PLAIN, chunked], "{size}");
        }
    }

    #[test]
    fn w19_names_each_ambiguous_framing() {
        let two = Some(Fault::TwoFramings);
        assert_eq!(fault_of("Content-Length: 5"), None);
        assert_eq!(fault_of("Transfer-Encoding: chunked"), None);
        assert_eq!(
            fault_of("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            two
        );
        assert_eq!(
            fault_of("TRANSFER-encoding: chunked\r\nX: y\r\ncontent-LENGTH: 5"),
            two
        );
        assert_eq!(
            fault_of("Transfer-Encoding: identity\r\nContent-Length: 5"),
            two
        );
        let repeated = Some(Fault::RepeatedLength);
        assert_eq!(fault_of("Content-Length: 5\r\nContent-Length: 5"), repeated);
        for value in [
            "",
            "+5",
            "-5",
            "5, 5",
            "0x5",
            "5 5",
            "99999999999999999999999",
        ] {
            let fault = fault_of(&format!("Content-Length: {value}"));
            assert_eq!(fault, Some(Fault::UnreadableLength), "{value}");
        }
        let blanks = " ".repeat(200);
        let fault = fault_of(&format!("Content-Length:{blanks}5"));
        assert_eq!(fault, Some(Fault::UnreadableLength));
        for value in [
            "gzip, chunked",
            "chunked\r\nTransfer-Encoding: chunked",
            "xchunked",
            "chunked;q=1",
        ] {
            let fault = fault_of(&format!("Transfer-Encoding: {value}"));
            assert_eq!(fault, Some(Fault::UnknownCoding), "{value}");
        }
    }

    #[test]
    fn d02_leaves_http2_alone() {
        let mut framing = Framing::new();
        framing.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\n\n");
        assert_eq!(framing.next_head(), None);
    }
}
