//! What an answer in a channel may hold, so that a client can say so before anything is sent.
//!
//! The connector's own plan is asked, which refuses what the platform can never take: so this cannot differ from what
//! happens when an answer is written.

use deskbell_sdk::AttachmentKind;
use deskbell_sdk::send::{ReplyShape, Send};
use serde::Serialize;
use utoipa::ToSchema;

use super::attachments::MAX_UPLOAD_BYTES;
use super::messages::MAX_ATTACHMENTS;
use crate::channels::OpenChannel;

/// What an answer may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplyLimits {
    /// The longest text of one message, in characters; `null`: no limit. Where the platform takes longer answers in
    /// parts, a longer one becomes several.
    pub text_chars: Option<usize>,
    /// What of files.
    pub attachments: AttachmentLimits,
}

/// What of files an answer may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AttachmentLimits {
    /// How many.
    pub count: usize,
    /// The largest of each kind, in bytes; 0: none of this kind.
    pub bytes: BytesByKind,
}

/// A size for each kind of file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BytesByKind {
    /// Pictures.
    pub image: u64,
    /// Sounds.
    pub audio: u64,
    /// Films.
    pub video: u64,
    /// Everything else.
    pub file: u64,
}

/// What an answer in this channel may hold; `None` where it takes none from here.
pub(super) fn of(open: &OpenChannel) -> Option<ReplyLimits> {
    let sender = open.channel.send();
    let is_served_here = open.channel.visitors().is_some();
    if sender.is_none() && !is_served_here {
        return None;
    }
    let largest = |kind, mime_type| {
        let upload = MAX_UPLOAD_BYTES as u64;
        match sender {
            Some(sender) => largest(sender, kind, mime_type, upload),
            None => upload,
        }
    };
    Some(ReplyLimits {
        text_chars: open.channel.limits().text_chars,
        attachments: AttachmentLimits {
            count: MAX_ATTACHMENTS,
            bytes: BytesByKind {
                image: largest(AttachmentKind::Image, "image/jpeg"),
                audio: largest(AttachmentKind::Audio, "audio/mpeg"),
                video: largest(AttachmentKind::Video, "video/mp4"),
                file: largest(AttachmentKind::File, "application/pdf"),
            },
        },
    })
}

/// The largest file of a kind that a connector takes, up to `most`: what is larger than one that it refuses it refuses.
fn largest(sender: &dyn Send, kind: AttachmentKind, mime_type: &str, most: u64) -> u64 {
    let takes = |size: u64| {
        let shape = ReplyShape {
            text: None,
            files: vec![(kind, mime_type, size)],
        };
        sender.plan(&shape).is_ok()
    };
    if takes(most) {
        return most;
    }
    if !takes(1) {
        return 0;
    }
    let (mut taken, mut refused) = (1, most);
    while taken + 1 < refused {
        let middle = taken + (refused - taken) / 2;
        if takes(middle) {
            taken = middle;
        } else {
            refused = middle;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use deskbell_sdk::client::{BoxFuture, Http};
    use deskbell_sdk::send::{Outbound, PartPlan, SendError, Sent};

    use super::*;

    /// Takes pictures of at most so many bytes, everything else of any size, and no films.
    struct Picky(u64);

    impl Send for Picky {
        fn plan(&self, reply: &ReplyShape<'_>) -> Result<Vec<PartPlan>, SendError> {
            let (kind, _, size) = reply.files[0];
            let refused = match kind {
                AttachmentKind::Image => size > self.0,
                AttachmentKind::Video => true,
                _ => false,
            };
            if refused {
                return Err(SendError::Refused {
                    code: "too_large".to_owned(),
                    say: String::new(),
                });
            }
            Ok(vec![PartPlan::File(0)])
        }

        fn send<'a>(
            &'a self,
            _: &'a dyn Http,
            _: Outbound<'a>,
        ) -> BoxFuture<'a, Result<Sent, SendError>> {
            Box::pin(std::future::ready(Ok(Sent { external_id: None })))
        }
    }

    #[test]
    fn the_limits_are_those_of_the_plan_to_the_byte() {
        for size in [1, 2, 3, 1_000, 4_999_999, 24_999_999] {
            let found = largest(&Picky(size), AttachmentKind::Image, "image/png", 25_000_000);
            assert_eq!(found, size);
        }
        let largest = |kind| largest(&Picky(9), kind, "x/y", 25_000_000);
        assert_eq!(largest(AttachmentKind::File), 25_000_000);
        assert_eq!(largest(AttachmentKind::Video), 0);
    }
}
