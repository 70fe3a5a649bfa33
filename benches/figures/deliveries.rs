//! Deliveries as Meta sends them: one message each, signed, of about 680 bytes.

use std::net::SocketAddr;

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;

use crate::daemon::{APP_SECRET, PAGE};

/// A Page of the same app that is no channel here: what is addressed to it is verified, decoded and dropped.
const FOREIGN_PAGE: &str = "5647382910";
/// Characters of a message's text, so that a body has about as many bytes as was measured at a real Page.
const TEXT_CHARS: usize = 380;
/// When the first message was written.
const EPOCH_MS: usize = 1_794_000_000_000;
/// What customers write of.
const WORDS: [&str; 32] = [
    "dobrý",
    "den",
    "objednávka",
    "kdy",
    "přijde",
    "balík",
    "velikost",
    "barva",
    "modrá",
    "cena",
    "doprava",
    "prosím",
    "děkuji",
    "výměna",
    "vrácení",
    "faktura",
    "platba",
    "kartou",
    "zítra",
    "dnes",
    "obchod",
    "otevřeno",
    "adresa",
    "telefon",
    "email",
    "sleva",
    "kód",
    "neplatí",
    "reklamace",
    "záruka",
    "sklad",
    "možné",
];

/// Whom deliveries are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// The channel.
    Us,
    /// Nobody here.
    Nobody,
}

/// Makes deliveries: each message once, of people in an order that looks like chance and is the same each time.
#[derive(Debug)]
pub(crate) struct Deliveries {
    secret: Secret,
    host: String,
    people: usize,
    first: usize,
    epoch_ms: usize,
    chance: u64,
    /// How many were made for us.
    pub(crate) made: usize,
    /// Bytes of their bodies.
    pub(crate) body_bytes: usize,
}

impl Deliveries {
    /// Deliveries to a daemon, of so many people.
    pub(crate) fn new(address: SocketAddr, people: usize) -> Self {
        Self {
            secret: Secret::new(APP_SECRET),
            host: address.to_string(),
            people,
            first: 0,
            epoch_ms: EPOCH_MS,
            chance: 0x9e37_79b9_7f4a_7c15,
            made: 0,
            body_bytes: 0,
        }
    }

    /// Goes on behind the numbers of `before`; whoever wrote there may write here.
    pub(crate) fn continue_from(&mut self, before: &Self) {
        self.chance = before.chance;
        self.made = before.made;
        self.body_bytes = before.body_bytes;
        self.first = before.made;
    }

    /// They are written now, so that they ring: what is older than a day is only shown.
    pub(crate) fn written_now(&mut self) {
        let now = deskbell::clock::Clock::system().now();
        let begun_ms = now.as_millis() - 10 * i64::try_from(self.people).unwrap_or(0);
        self.epoch_ms = usize::try_from(begun_ms).unwrap_or(EPOCH_MS);
    }

    /// The same deliveries, to another address.
    pub(crate) fn to(&mut self, address: SocketAddr) {
        self.host = address.to_string();
    }

    fn throw(&mut self, below: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        usize::try_from(self.chance >> 11).unwrap_or(0) % below
    }

    /// The next request, whole. Its text begins with `#` and its number, from 1.
    pub(crate) fn next(&mut self, whom: For) -> Vec<u8> {
        let page = match whom {
            For::Us => PAGE,
            For::Nobody => FOREIGN_PAGE,
        };
        let number = self.made + 1;
        // Everybody writes once before anybody writes twice.
        let person = if number - self.first <= self.people {
            number - self.first
        } else {
            1 + self.throw(self.people)
        };
        let mut text = format!("#{number}");
        while text.len() < TEXT_CHARS {
            text.push(' ');
            text.push_str(WORDS[self.throw(WORDS.len())]);
        }
        let at = self.epoch_ms + number * 10;
        let mark = self.chance;
        let body = format!(
            r#"{{"object":"page","entry":[{{"id":"{page}","time":{at},"messaging":[{{"sender":{{"id":"24680{person:010}"}},"recipient":{{"id":"{page}"}},"timestamp":{at},"message":{{"mid":"m_{mark:016x}invented{number:040}","text":"{text}"}}}}]}}]}}"#
        );
        if whom == For::Us {
            self.made = number;
            self.body_bytes += body.len();
        }
        let signature = hmac_sha256_hex(&self.secret, body.as_bytes());
        format!(
            "POST /webhooks/shop-page HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nx-hub-signature-256: sha256={signature}\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .into_bytes()
    }

    /// The next requests.
    pub(crate) fn many(&mut self, whom: For, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.next(whom)).collect()
    }
}
