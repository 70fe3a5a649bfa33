//! Whose secret opens which channel, and where each entry goes.

use serde_json::json;

use crate::support::{APP_SECRET, Daemon, PAGE, config, envelope, message, messenger, now_ms};

fn delivery(page: &str, mid: &str) -> String {
    let mut event = message("2001", mid, "where do I go?", now_ms());
    event["recipient"]["id"] = json!(page);
    envelope(page, &[event])
}

async fn ids_of(daemon: &Daemon, channel: &str) -> Vec<String> {
    let feed = daemon.all(&format!("feed?channel={channel}"), 200).await;
    let mut ids: Vec<_> = feed
        .iter()
        .map(|item| item["external_id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn w07_of_ten_apps_each_opens_only_its_own_channel() {
    const APPS: usize = 10;
    let folder = tempfile::tempdir().expect("a folder");
    let channels: String = (0..APPS)
        .map(|app| {
            messenger(
                &format!("page-{app}"),
                &format!("70000{app}"),
                &format!("80000{app}"),
                &format!("secret-of-app-{app}"),
            )
        })
        .collect();
    let daemon = Daemon::start(folder.path(), &config(&channels));
    let mut refused = 0;
    for channel in 0..APPS {
        for signer in 0..APPS {
            // What the signer's app would deliver for the channel's Page, and for its own.
            for page in [channel, signer] {
                let body = delivery(
                    &format!("80000{page}"),
                    &format!("m_{channel}_{signer}_{page}"),
                );
                let status = daemon
                    .deliver(
                        &format!("page-{channel}"),
                        &format!("secret-of-app-{signer}"),
                        body,
                    )
                    .await;
                assert_eq!(
                    status,
                    if channel == signer { 200 } else { 401 },
                    "channel {channel}, app {signer}"
                );
            }
            refused += usize::from(channel != signer);
        }
    }
    assert_eq!(refused, 90);
    for channel in 0..APPS {
        assert_eq!(
            ids_of(&daemon, &format!("page-{channel}")).await,
            [format!("m_{channel}_{channel}_{channel}")]
        );
    }
    // An app that signs properly for a Page of another app reaches nobody.
    for channel in 0..APPS {
        let other = (channel + 1) % APPS;
        let body = delivery(&format!("80000{other}"), &format!("m_foreign_{channel}"));
        assert_eq!(
            daemon
                .deliver(
                    &format!("page-{channel}"),
                    &format!("secret-of-app-{channel}"),
                    body
                )
                .await,
            200
        );
        let counted = daemon
            .metric(&format!(
                "deskbell_foreign_events_total{{channel=\"page-{channel}\"}}"
            ))
            .await;
        assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
    }
    assert_eq!(daemon.all("feed", 200).await.len(), APPS);
}

#[tokio::test]
async fn w07_several_pages_of_one_app_share_an_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let second = messenger("second-page", "4242424242", "5647382910", APP_SECRET);
    // The app's secret was renewed, and only this channel has the new one.
    let third = messenger(
        "third-page",
        "4242424242",
        "6758493021",
        "renewed-app-secret",
    );
    let stranger = messenger(
        "other-app",
        "5353535353",
        "7869504132",
        "secret-of-another-app",
    );
    let daemon = Daemon::start(folder.path(), &config(&(second + &third + &stranger)));
    for (url, secret) in [
        ("shop-page", APP_SECRET),
        ("second-page", APP_SECRET),
        ("third-page", "renewed-app-secret"),
    ] {
        for page in [PAGE, "5647382910", "6758493021"] {
            assert_eq!(
                daemon
                    .deliver(url, secret, delivery(page, &format!("m_{url}_{page}")))
                    .await,
                200
            );
        }
    }
    for (channel, page) in [
        ("shop-page", PAGE),
        ("second-page", "5647382910"),
        ("third-page", "6758493021"),
    ] {
        let mut expected: Vec<_> = ["shop-page", "second-page", "third-page"]
            .map(|url| format!("m_{url}_{page}"))
            .into();
        expected.sort();
        assert_eq!(ids_of(&daemon, channel).await, expected, "{channel}");
    }
    // One delivery with entries for all, for nobody, and for the channel of another app.
    let entry = |page: &str, mid: &str| {
        let mut event = message("2002", mid, "in one envelope", now_ms());
        event["recipient"]["id"] = json!(page);
        json!({ "id": page, "time": now_ms(), "messaging": [event] })
    };
    let entries = [
        entry(PAGE, "m_mixed_1"),
        entry("9999999999", "m_nobody"),
        entry("5647382910", "m_mixed_2"),
        entry("7869504132", "m_other_app"),
        entry("6758493021", "m_mixed_3"),
    ];
    let body = json!({ "object": "page", "entry": entries }).to_string();
    assert_eq!(daemon.deliver("second-page", APP_SECRET, body).await, 200);
    for (channel, mid) in [
        ("shop-page", "m_mixed_1"),
        ("second-page", "m_mixed_2"),
        ("third-page", "m_mixed_3"),
    ] {
        assert!(
            ids_of(&daemon, channel).await.iter().any(|id| id == mid),
            "{channel}"
        );
    }
    assert!(ids_of(&daemon, "other-app").await.is_empty());
    assert_eq!(daemon.all("feed", 200).await.len(), 12);
    let foreign = daemon
        .metric("deskbell_foreign_events_total{channel=\"second-page\"}")
        .await;
    assert!((foreign - 2.0).abs() < f64::EPSILON, "{foreign}");
    // The same id at two Pages is two messages.
    assert_eq!(
        daemon
            .deliver("shop-page", APP_SECRET, delivery(PAGE, "m_same"))
            .await,
        200
    );
    assert_eq!(
        daemon
            .deliver("shop-page", APP_SECRET, delivery("5647382910", "m_same"))
            .await,
        200
    );
    assert_eq!(daemon.all("feed", 200).await.len(), 14);
}
