//! The daemon's start: channels that were made through the API are opened again, and what a former key sealed is sealed
//! anew (K02).

use std::collections::BTreeSet;

use super::Provisioner;
use super::setup::{opened, resealed, values};
use super::wanted::BadField;
use crate::channels::{Channels, OpenChannel};
use crate::config::ChannelConfig;
use crate::desk::access::OpenChannel as NumberChannel;
use crate::desk::channels::Reseal;
use crate::secrets::webhook_secret;
use crate::store::entry::{ChannelEntry, ChannelSetup, Entry, KeptSetting};
use crate::store::record::ChannelNo;
use crate::store::{Found, Store, StoreError};
use crate::writer::{WriteError, Writer};

/// Most channels that are read at once.
const STRETCH: usize = 100;

/// What the operator should know once the channels are open.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// In plain words.
    pub notes: Vec<String>,
    /// How many channels have secrets that are not sealed with the present key.
    pub sealed_by_others: usize,
}

/// Why the channels could not be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// From the store.
    #[error("the channels that were made through the API cannot be read")]
    Read(#[from] StoreError),
    /// Their numbers could not be written.
    #[error("a channel could not be given its number")]
    Write(#[from] WriteError),
}

impl Provisioner {
    /// Opens the channels that were made through the API. One that cannot be opened stays closed and says why; the
    /// others start. A slug that stands in the configuration belongs to that.
    pub async fn open_all(
        &self,
        store: &dyn Store,
        writer: &Writer,
        channels: &Channels,
        in_file: &[ChannelConfig],
    ) -> Result<Opened, OpenError> {
        let (mut notes, mut all) = (Vec::new(), all(store)?);
        let mut sealed_by_others = 0;
        for (id, setup) in &mut all {
            self.seal_anew(writer, id, setup).await;
            let mut sealed = setup.settings.values().filter_map(|kept| match kept {
                KeptSetting::Sealed(sealed) => Some(sealed),
                _ => None,
            });
            sealed_by_others += usize::from(!sealed.all(|sealed| self.sealer.is_current(sealed)));
        }
        for (id, setup) in all {
            if let Some(configured) = in_file.iter().find(|channel| channel.id == id) {
                notes.push(format!(
                    "The channel {id} of {} stands in for one of that id that was made through the API, which is kept, closed.",
                    configured.origin
                ));
                continue;
            }
            let entry = number(writer, channels, &id, &setup).await?;
            match self.opened(&entry, &setup) {
                Ok(channel) => channels.open_now(entry, channel),
                Err(why) => {
                    let note = format!("The channel {id} stays closed: {why}");
                    tracing::error!("{note}");
                    notes.push(note);
                    channels.close(entry, Some(&why));
                }
            }
        }
        Ok(Opened {
            notes,
            sealed_by_others,
        })
    }

    /// Seals with the present key what a former one sealed: one decision a channel, so that a crash between leaves each
    /// channel with one or the other, and both open.
    async fn seal_anew(&self, writer: &Writer, id: &str, setup: &mut ChannelSetup) {
        let Some(after) = resealed(&self.sealer, id, setup) else {
            return;
        };
        let reseal = Reseal {
            id: id.to_owned(),
            before: setup.clone(),
            after: after.clone(),
        };
        match writer.write(reseal).await {
            Ok(_) => {
                tracing::info!(
                    channel = id,
                    "the channel's secrets were sealed with the present key"
                );
                *setup = after;
            }
            // The former key still opens them; the next start tries again.
            Err(error) => {
                tracing::warn!(channel = id, %error, "the channel's secrets are still sealed with a former key");
            }
        }
    }

    fn opened(&self, entry: &ChannelEntry, setup: &ChannelSetup) -> Result<OpenChannel, String> {
        let words = |bad: Vec<BadField>| {
            let words = bad.iter().map(|bad| {
                let key = bad.pointer.trim_start_matches("/settings/");
                format!("{} {}", key.replace('/', "."), bad.detail)
            });
            words.collect::<Vec<_>>().join("; ")
        };
        let kind = self.kind(&setup.connector).ok_or_else(|| {
            format!(
                "this version of Deskbell has no connector {}",
                setup.connector
            )
        })?;
        let (values, unopened) = values(&self.sealer, &entry.id, &setup.settings);
        if !unopened.is_empty() {
            return Err(words(unopened));
        }
        let secret = webhook_secret(&self.key, &entry.id);
        opened(kind, entry, values, setup, secret, &BTreeSet::new()).map_err(words)
    }
}

/// Every channel that was made through the API, by slug.
fn all(store: &dyn Store) -> Found<Vec<(String, ChannelSetup)>> {
    let (mut all, mut last): (Vec<_>, Option<Vec<u8>>) = (Vec::new(), None);
    loop {
        let stretch = ChannelSetup::scan(store, &[], last.as_deref(), STRETCH)?;
        let is_last = stretch.len() < STRETCH;
        for (key, setup) in stretch {
            all.push((String::from_utf8_lossy(&key).into_owned(), setup));
            last = Some(key);
        }
        if is_last {
            return Ok(all);
        }
    }
}

/// The number of a channel. A channel of the configuration may have stood in its place and have left its name.
async fn number(
    writer: &Writer,
    channels: &Channels,
    id: &str,
    setup: &ChannelSetup,
) -> Result<ChannelEntry, WriteError> {
    let highest = channels.all_known().last().map_or(0, |last| last.no.0);
    let number = NumberChannel {
        id: id.to_owned(),
        connector: setup.connector.clone(),
        name: setup.name.clone(),
        free: ChannelNo(highest.saturating_add(1)),
    };
    writer.write(number).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use deskbell_sdk::settings::SettingValue;
    use deskbell_sdk::{Channel, Kind, Limits, Secret, Setting, SettingProblem, Settings, Time};

    use super::super::setup::kept;
    use super::*;
    use crate::clock::Clock;
    use crate::desk::channels::SetUp;
    use crate::store::memory::MemoryStore;

    struct Silent;

    impl Channel for Silent {
        fn limits(&self) -> Limits {
            Limits::default()
        }
    }

    fn silent(_: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
        Ok(Box::new(Silent))
    }

    const BOT: Kind = Kind {
        id: "bot",
        title: "Bot",
        settings: &[
            Setting::secret("token", "the token"),
            Setting::secret("other", "another").optional(),
        ],
        api_base: None,
        open: silent,
    };

    struct Desk {
        store: Arc<dyn Store>,
        writer: Writer,
    }

    fn provisioner(key: &str, previous: &[&str]) -> Provisioner {
        let previous: Vec<_> = previous.iter().copied().map(Secret::new).collect();
        Provisioner::new(&[BOT], Secret::new(key), &previous)
    }

    impl Desk {
        fn new() -> Self {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let clock = Clock::standing_at(Time::default());
            let (writer, _thread) = Writer::start(Arc::clone(&store), clock, 7).expect("a thread");
            Self { store, writer }
        }

        fn kept(&self, id: &str) -> ChannelSetup {
            let setup = ChannelSetup::get(&*self.store, id.as_bytes()).expect("memory");
            setup.expect("kept")
        }

        async fn keep(&self, id: &str, free: u16, setup: ChannelSetup) {
            let set_up = SetUp {
                id: id.to_owned(),
                setup,
                free: ChannelNo(free),
                healthy: true,
                say: String::new(),
                remembered: None,
            };
            self.writer.write(set_up).await.expect("written");
        }

        async fn make(&self, key: &str, id: &str, free: u16) {
            let sealer = provisioner(key, &[]).sealer;
            let settings = ["token", "other"].map(|setting| {
                let secret = SettingValue::Secret(Secret::new(format!("{setting} of {id}")));
                let kept = kept(&sealer, id, setting, &secret).expect("sealed");
                (setting.to_owned(), kept)
            });
            let setup = ChannelSetup {
                connector: "bot".to_owned(),
                name: id.to_owned(),
                settings: BTreeMap::from(settings),
                api_base: None,
                catch_up: false,
                changed_at: Time::default(),
            };
            self.keep(id, free, setup).await;
        }

        async fn open(&self, provisioner: &Provisioner) -> (Channels, Opened) {
            let channels = Channels::default();
            let opened = provisioner
                .open_all(&*self.store, &self.writer, &channels, &[])
                .await
                .expect("opened");
            (channels, opened)
        }
    }

    fn token(channels: &Channels, id: &str) -> Option<String> {
        let channel = channels.get(id)?;
        let token = channel.settings.secret("token")?;
        Some(token.expose().to_owned())
    }

    #[tokio::test]
    async fn k01_a_sealed_value_that_was_moved_closes_its_channel_and_no_other() {
        let desk = Desk::new();
        for (free, id) in [(1, "one"), (2, "two"), (3, "three")] {
            desk.make("the key", id, free).await;
        }
        // Between two channels, and between two settings of one.
        let (mut one, mut two, mut three) =
            (desk.kept("one"), desk.kept("two"), desk.kept("three"));
        std::mem::swap(&mut one.settings, &mut two.settings);
        desk.keep("one", 0, one).await;
        let (channels, _) = desk.open(&provisioner("the key", &[])).await;
        assert_eq!(token(&channels, "one"), None);
        assert_eq!(token(&channels, "two").as_deref(), Some("token of two"));
        let why = channels.why_closed(ChannelNo(1)).expect("closed");
        assert!(why.contains("token does not open") && why.contains("other does not open"));
        let token_of_three = three.settings.remove("token").expect("there");
        let other = three
            .settings
            .insert("token".to_owned(), three.settings["other"].clone());
        assert_eq!(other, None);
        three.settings.insert("other".to_owned(), token_of_three);
        desk.keep("three", 0, three).await;
        let (channels, _) = desk.open(&provisioner("the key", &[])).await;
        assert_eq!(token(&channels, "three"), None);
    }

    #[tokio::test]
    async fn k02_what_a_former_key_sealed_is_sealed_anew_and_what_no_key_opens_is_kept() {
        let desk = Desk::new();
        desk.make("first", "one", 1).await;
        desk.make("second", "two", 2).await;
        desk.make("lost", "three", 3).await;
        let lost = desk.kept("three");
        let third = provisioner("third", &["second", "first"]);
        let (channels, opened) = desk.open(&third).await;
        assert_eq!(token(&channels, "one").as_deref(), Some("token of one"));
        assert_eq!(token(&channels, "two").as_deref(), Some("token of two"));
        assert_eq!(opened.sealed_by_others, 1);
        assert_eq!(desk.kept("three"), lost, "the right key may come back");
        let why = channels.why_closed(ChannelNo(3)).expect("closed");
        assert!(why.contains("previous_keys"), "{why}");
        assert!(
            opened
                .notes
                .iter()
                .any(|note| note.contains("three stays closed"))
        );
        // The former keys are needed no more.
        let (channels, _) = desk.open(&provisioner("third", &[])).await;
        assert_eq!(token(&channels, "one").as_deref(), Some("token of one"));
        assert_eq!(token(&channels, "two").as_deref(), Some("token of two"));
        let (_, opened) = desk.open(&provisioner("third", &["lost"])).await;
        assert_eq!(opened.sealed_by_others, 0);
        assert!(!channels.get("one").expect("open").catch_up);
    }

    #[tokio::test]
    async fn a_channel_of_the_configuration_stands_in_for_one_of_its_slug() {
        let desk = Desk::new();
        desk.make("key", "one", 1).await;
        let configured = ChannelConfig {
            id: "one".to_owned(),
            connector: "bot",
            name: "One".to_owned(),
            settings: Settings::default(),
            catch_up: true,
            origin: crate::config::Origin::BuiltIn,
        };
        let channels = Channels::default();
        let opened = provisioner("key", &[])
            .open_all(&*desk.store, &desk.writer, &channels, &[configured])
            .await
            .expect("opened");
        assert!(channels.get("one").is_none());
        assert!(opened.notes[0].contains("built-in configuration"));
    }
}
