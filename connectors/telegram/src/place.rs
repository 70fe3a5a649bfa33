//! Where a message is: the ids of threads and messages, as they are written and read back.

use std::fmt;

/// Which part of a chat a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// All of it.
    Whole,
    /// A topic of a forum.
    Forum(i64),
    /// One person's talk with a channel.
    Direct(i64),
}

/// A thread: `<chat>`, `<chat>/<topic>`, `<chat>/d<topic>`, each with `<connection>:` before it where it belongs to a
/// connected business account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thread<'a> {
    /// The business connection.
    pub(crate) connection: Option<&'a str>,
    /// The chat.
    pub(crate) chat: i64,
    /// The part of it.
    pub(crate) topic: Topic,
}

impl fmt::Display for Thread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(connection) = self.connection {
            write!(f, "{connection}:")?;
        }
        write!(f, "{}", self.chat)?;
        match self.topic {
            Topic::Whole => Ok(()),
            Topic::Forum(topic) => write!(f, "/{topic}"),
            Topic::Direct(topic) => write!(f, "/d{topic}"),
        }
    }
}

impl<'a> Thread<'a> {
    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (connection, rest) = match text.rsplit_once(':') {
            Some((connection, rest)) => (Some(connection), rest),
            None => (None, text),
        };
        let (chat, topic) = match rest.split_once('/') {
            None => (rest, Topic::Whole),
            Some((chat, topic)) => match topic.strip_prefix('d') {
                Some(direct) => (chat, Topic::Direct(direct.parse().ok()?)),
                None => (chat, Topic::Forum(topic.parse().ok()?)),
            },
        };
        Some(Self {
            connection,
            chat: chat.parse().ok()?,
            topic,
        })
    }

    /// The id of a message in it.
    pub(crate) fn message(&self, message: i64) -> String {
        message_id(self.connection, self.chat, message)
    }

    /// Telegram's number of a message of this thread's chat; `None` for messages elsewhere and for what is no message
    /// at Telegram, such as a tap on a button.
    pub(crate) fn number_of(&self, message_id: &str) -> Option<i64> {
        let (_, number) = message_id.rsplit_once(':')?;
        let number = number.parse().ok()?;
        (self.message(number) == message_id).then_some(number)
    }
}

/// The id of a message: its number is only its chat's.
pub(crate) fn message_id(connection: Option<&str>, chat: i64, message: i64) -> String {
    match connection {
        Some(connection) => format!("{connection}:{chat}:{message}"),
        None => format!("{chat}:{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_read_as_they_were_written() {
        for (text, connection, chat, topic) in [
            ("2001", None, 2001, Topic::Whole),
            ("-1001234/17", None, -1_001_234, Topic::Forum(17)),
            ("-1001234/d9", None, -1_001_234, Topic::Direct(9)),
            ("bc_1:2001", Some("bc_1"), 2001, Topic::Whole),
            ("b:c/1:2001/4", Some("b:c/1"), 2001, Topic::Forum(4)),
        ] {
            let thread = Thread {
                connection,
                chat,
                topic,
            };
            assert_eq!(thread.to_string(), text);
            assert_eq!(Thread::parse(text), Some(thread));
        }
        for text in ["", "x", "2001/", "2001/x", "2001/d", ":", "1:x", "2001/1/2"] {
            assert_eq!(Thread::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_messages_of_the_same_chat_can_be_quoted() {
        let thread = Thread::parse("-100/7").expect("a thread");
        assert_eq!(thread.message(3), "-100:3");
        assert_eq!(thread.number_of("-100:3"), Some(3));
        for other in [
            "-101:3",
            "bc:-100:3",
            "callback:3",
            "3",
            "-100:x",
            "-100:03",
        ] {
            assert_eq!(thread.number_of(other), None, "{other}");
        }
    }
}
