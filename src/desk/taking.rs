//! Who has a conversation: of many who reach for it at once, one gets it.

use std::sync::Arc;

use super::{Decision, activities};
use crate::id::{ConversationId, UserId};
use crate::store::draft::Draft;
use crate::store::record::{AuthorRecord, ConversationRecord};
use crate::store::{Found, Scope};

/// A person takes a conversation, from nobody or from somebody they name.
#[derive(Clone, Debug)]
pub struct Take {
    /// What the caller may see.
    pub scope: Scope,
    /// Which conversation.
    pub conversation: ConversationId,
    /// Who takes it.
    pub user: UserId,
    /// The same, as the author of what is written about it.
    pub author: AuthorRecord,
    /// Who has it as far as the taker knows; `None`: nobody.
    pub from: Option<UserId>,
}

/// How taking went.
#[derive(Clone, Debug)]
pub enum Taken {
    /// It is the taker's; the conversation after it.
    Done(Arc<ConversationRecord>),
    /// Somebody else has it.
    By(UserId),
    /// The caller knows no such conversation.
    NoConversation,
}

impl Decision for Take {
    type Answer = Taken;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Taken> {
        let Some(known) = draft.conversation(&self.scope, self.conversation)? else {
            return Ok(Taken::NoConversation);
        };
        match known.assignee {
            Some(user) if user == self.user => return Ok(Taken::Done(known)),
            Some(user) if Some(user) != self.from => return Ok(Taken::By(user)),
            _ => {}
        }
        let mut conversation = (*known).clone();
        conversation.assignee = Some(self.user);
        conversation.version += 1;
        conversation.last_activity_at = conversation.last_activity_at.max(draft.now());
        draft.update_conversation(conversation.clone());
        activities::tell(draft, &known, &mut conversation, &self.author)?;
        Ok(Taken::Done(Arc::new(conversation)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;
    use crate::writer::{WriteError, Writer};

    struct Begin;

    impl Decision for Begin {
        type Answer = ConversationId;

        fn decide(&self, draft: &mut Draft<'_>) -> Found<ConversationId> {
            let channel = crate::store::ChannelNo(1);
            let person = deskbell_sdk::Person::with_id("anna");
            let now = draft.now();
            let contact = super::super::contacts::known_or_new(draft, channel, &person, now)?;
            let begun =
                super::super::conversations::known_or_new(draft, channel, "anna", &contact)?;
            Ok(begun.id)
        }
    }

    fn take(conversation: ConversationId, user: u64, from: Option<u64>) -> Take {
        Take {
            scope: Scope::whole_desk(),
            conversation,
            user: UserId(user),
            author: AuthorRecord::Staff(Some(UserId(user)), None),
            from: from.map(UserId),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn t08_of_a_thousand_who_take_it_at_once_one_gets_it() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let clock = Clock::system();
        let (writer, _thread) = Writer::start(Arc::clone(&store), clock, 7).expect("a thread");
        let id = writer.write(Begin).await.expect("written");
        let reach = |from: Option<u64>, first: u64| {
            let tasks: Vec<_> = (first..first + 1_000)
                .map(|user| {
                    let writer = writer.clone();
                    tokio::spawn(async move {
                        loop {
                            match writer.write(take(id, user, from)).await {
                                Err(WriteError::Busy) => tokio::task::yield_now().await,
                                other => return (user, other.expect("written")),
                            }
                        }
                    })
                })
                .collect();
            async move {
                let mut winners = Vec::new();
                for task in tasks {
                    match task.await.expect("no panic") {
                        (user, Taken::Done(_)) => winners.push(user),
                        (_, Taken::By(user)) => assert_ne!(Some(user.0), from),
                        (_, Taken::NoConversation) => panic!("it is there"),
                    }
                }
                winners
            }
        };
        let first = reach(None, 1).await;
        assert_eq!(first.len(), 1, "{first:?}");
        let has = |store: &dyn Store| {
            let found = store
                .conversation(&Scope::whole_desk(), id)
                .expect("memory");
            found.expect("there").assignee
        };
        assert_eq!(has(&*store), Some(UserId(first[0])));
        // Taken over from who has it: again one.
        let second = reach(Some(first[0]), 5_000).await;
        assert_eq!(second.len(), 1, "{second:?}");
        assert_eq!(has(&*store), Some(UserId(second[0])));
        let again = writer
            .write(take(id, second[0], None))
            .await
            .expect("written");
        assert!(matches!(again, Taken::Done(_)), "it is theirs already");
        let mut hidden = take(id, 9_999, Some(second[0]));
        hidden.scope = Scope::of_channels([]);
        let hidden = writer.write(hidden).await.expect("written");
        assert!(matches!(hidden, Taken::NoConversation));
    }
}
