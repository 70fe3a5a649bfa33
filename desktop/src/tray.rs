//! The tray: how many wait, and a menu. On Linux by StatusNotifierItem, where the desktop has it; elsewhere there is none.

use tokio::sync::mpsc;

/// What a person wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Open the desk.
    Open,
    /// Hear how it sounds.
    Test,
    /// End the program.
    Quit,
}

/// How it stands: how many wait, and whether the daemon is heard.
type Standing = (usize, bool);

/// The tray.
#[derive(Debug)]
pub struct Tray {
    told: Option<Standing>,
    standings: mpsc::Sender<Standing>,
}

impl Tray {
    /// Begins; what people wish is told to `wishes`.
    #[must_use]
    pub fn start(wishes: mpsc::Sender<Wish>) -> Self {
        let (standings, changes) = mpsc::channel(4);
        #[cfg(target_os = "linux")]
        tokio::spawn(notifier::work(changes, wishes));
        #[cfg(not(target_os = "linux"))]
        drop((changes, wishes));
        Self {
            told: None,
            standings,
        }
    }

    /// Tells how it stands.
    pub fn tell(&mut self, waiting: usize, up: bool) {
        let now = Some((waiting, up));
        // Where the queue is full it is told the next time.
        if self.told != now && self.standings.try_send((waiting, up)).is_ok() {
            self.told = now;
        }
    }
}

#[cfg(target_os = "linux")]
mod notifier {
    use ksni::menu::StandardItem;
    use ksni::{Category, MenuItem, Status, ToolTip, TrayMethods as _};
    use tokio::sync::mpsc;

    use super::{Standing, Wish};

    struct Item {
        standing: Standing,
        wishes: mpsc::Sender<Wish>,
    }

    impl Item {
        fn wish(&self, wish: Wish) {
            // Where so many wishes wait one more is not needed.
            let _ = self.wishes.try_send(wish);
        }

        fn words(&self) -> String {
            match self.standing {
                (_, false) => "No connection to the desk".to_owned(),
                (0, true) => "Nobody waits".to_owned(),
                (1, true) => "One customer waits".to_owned(),
                (count, true) => format!("{count} customers wait"),
            }
        }

        fn entry(label: &str, wish: Wish) -> MenuItem<Self> {
            let entry = StandardItem {
                label: label.to_owned(),
                activate: Box::new(move |item: &mut Self| item.wish(wish)),
                ..StandardItem::default()
            };
            entry.into()
        }
    }

    impl ksni::Tray for Item {
        fn id(&self) -> String {
            "deskbell-desktop".to_owned()
        }

        fn category(&self) -> Category {
            Category::Communications
        }

        fn title(&self) -> String {
            "Deskbell".to_owned()
        }

        fn status(&self) -> Status {
            match self.standing {
                (0, true) => Status::Active,
                _ => Status::NeedsAttention,
            }
        }

        fn icon_name(&self) -> String {
            match self.standing {
                (_, false) => "network-offline",
                (0, true) => "mail-read",
                _ => "mail-unread",
            }
            .to_owned()
        }

        fn attention_icon_name(&self) -> String {
            self.icon_name()
        }

        fn tool_tip(&self) -> ToolTip {
            ToolTip {
                title: "Deskbell".to_owned(),
                description: self.words(),
                ..ToolTip::default()
            }
        }

        fn activate(&mut self, _x: i32, _y: i32) {
            self.wish(Wish::Open);
        }

        fn menu(&self) -> Vec<MenuItem<Self>> {
            let words = StandardItem {
                label: self.words(),
                enabled: false,
                ..StandardItem::default()
            };
            vec![
                words.into(),
                MenuItem::Separator,
                Self::entry("Open the desk", Wish::Open),
                Self::entry("Test the bell", Wish::Test),
                MenuItem::Separator,
                Self::entry("Quit: nothing rings here any more", Wish::Quit),
            ]
        }
    }

    /// Shows it where the desktop has a tray, now or later.
    pub(super) async fn work(mut changes: mpsc::Receiver<Standing>, wishes: mpsc::Sender<Wish>) {
        let item = Item {
            standing: (0, false),
            wishes,
        };
        let handle = match item.assume_sni_available(true).spawn().await {
            Ok(handle) => handle,
            Err(error) => {
                tracing::info!(%error, "this desktop has no tray");
                return;
            }
        };
        while let Some(standing) = changes.recv().await {
            if handle
                .update(|item| item.standing = standing)
                .await
                .is_none()
            {
                return;
            }
        }
        handle.shutdown().await;
    }
}
