//! Secrets of the configuration never leave it.

use super::*;

/// K03: whatever is wrong around a secret, its value is in no error, in no warning and in no `Debug`.
#[test]
fn k03_secrets_are_never_shown() {
    const CANARY: &str = "canary-7f3a9c-do-not-show";
    let page =
        "[[channels]]\nid = \"p\"\nconnector = \"messenger\"\napp_id = \"1\"\npage_id = \"2\"\n";
    let bot = "[[channels]]\nid = \"b\"\nconnector = \"telegram\"\n";
    let files = [
        // Good ones.
        format!("[auth]\nbootstrap_token = \"{CANARY}\"\n[secrets]\nkey = \"{CANARY}\"\n"),
        format!("[store]\nurl = \"postgres://u:{CANARY}@h/x\"\n{page}app_secret = \"{CANARY}\"\n"),
        format!("{page}app_secret = {{ env = \"CANARY\" }}\n"),
        format!("{page}app_secret = {{ file = \"canary\" }}\n"),
        // Refused by the connector, by another key, by syntax, by type, by form.
        format!("{bot}bot_token = \"{CANARY}\"\n"),
        format!("listen = 1\n{page}app_secret = \"{CANARY}\"\n"),
        format!("{page}app_secret = {CANARY}\n"),
        format!("{page}app_secret = \"{CANARY}\n"),
        format!("{page}app_secret = \"{CANARY}\" x\n"),
        format!("{page}app_secret = [\"{CANARY}\"]\n"),
        format!("{page}app_secret = {{ value = \"{CANARY}\" }}\n"),
        format!("{page}app_secret = {{ env = \"{CANARY}\" }}\n"),
        format!("{page}app_sceret = \"{CANARY}\"\n"),
        format!("{page}human_agent = \"{CANARY}\"\n"),
        format!("{bot}bot_token = \"1:{CANARY}\"\nmode = \"{CANARY}\"\n"),
        format!("public_url = \"https://u:{CANARY}@h.example\"\n"),
        format!("public_url = \"{CANARY}\"\n"),
        format!(
            "listen = \"{CANARY}\"\ntrusted_proxies = [\"{CANARY}\"]\n[bell]\nmax_age = \"{CANARY}\""
        ),
        format!(
            "[store]\nengine = \"{CANARY}\"\n[log]\nlevel = \"{CANARY}\"\nformat = \"{CANARY}\"\n"
        ),
        format!("[[channels]]\nid = \"{CANARY}!\"\nconnector = \"{CANARY}\"\n"),
    ];
    for file in files {
        let shop = Shop::new(&file)
            .with("CANARY", CANARY)
            .with("DESKBELL__AUTH__BOOTSTRAP_TOKEN", CANARY);
        shop.write("canary", CANARY.as_bytes());
        let shown = match shop.load() {
            Ok(config) => {
                assert!(
                    config
                        .secrets()
                        .any(|secret| secret.expose().contains(CANARY))
                );
                format!("{config:?} {:?}", config.warnings)
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                format!("{errors:?} {}", shop.told(&errors).join("\n"))
            }
        };
        assert!(!shown.contains(CANARY), "{file}\n{shown}");
    }
}

#[test]
fn k03_a_readable_file_with_secrets_in_it_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let literal = Shop::new("[auth]\nbootstrap_token = \"dbk_12345678901234567890\"\n");
    let by_name = Shop::new("[auth]\nbootstrap_token = { env = \"TOKEN\" }\n")
        .with("TOKEN", "dbk_12345678901234567890");
    let mode = |shop: &Shop, mode: u32| {
        let file = shop.folder.path().join("deskbell.toml");
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(file, permissions).expect("set");
        shop.config().warnings
    };
    let warnings = mode(&literal, 0o644);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("every user of this machine can read it"));
    assert!(warnings[0].contains("(auth.bootstrap_token)"));
    assert!(mode(&literal, 0o640).is_empty());
    assert!(mode(&by_name, 0o644).is_empty());
}

#[test]
fn one_newline_at_the_end_of_a_secret_file_is_left_out() {
    for (written, read) in [
        ("of the app", "of the app"),
        ("of the app\n", "of the app"),
        ("of the app\r\n", "of the app"),
        ("of the app\n\n", "of the app\n"),
        (" of the app ", " of the app "),
    ] {
        let shop = Shop::new("[secrets]\nkey = { file = \"key\" }\n");
        shop.write("key", written.as_bytes());
        let key = shop.config().secrets.key.expect("a key");
        assert_eq!(key.expose(), read, "{written:?}");
    }
}

#[test]
fn every_secret_that_is_missing_is_told() {
    let shop = Shop::new(
        r#"[auth]
bootstrap_token = { env = "TOKEN" }
[secrets]
key = { file = "missing" }
[store]
url = { file = "folder" }
[[channels]]
id = "page"
connector = "messenger"
app_id = "1"
page_id = "2"
app_secret = { env = "EMPTY" }
page_access_token = { file = "empty" }
verify_token = { file = "binary" }
"#,
    )
    .with("EMPTY", " ");
    shop.write("empty", b"\n");
    shop.write("binary", &[0xff, 0xfe]);
    std::fs::create_dir(shop.folder.path().join("folder")).expect("a folder");
    assert_eq!(
        shop.errors(),
        [
            "deskbell.toml:2:27: auth.bootstrap_token: the environment variable TOKEN is not set",
            "deskbell.toml:4:16: secrets.key: cannot read \"missing\": No such file or directory (os error 2)",
            "deskbell.toml:6:16: store.url: cannot read \"folder\": it is not a regular file",
            "deskbell.toml:12:22: channels[0].app_secret: the environment variable EMPTY is empty",
            "deskbell.toml:13:30: channels[0].page_access_token: the file \"empty\" is empty",
            "deskbell.toml:14:25: channels[0].verify_token: cannot read \"binary\": it is not UTF-8 text",
        ]
    );
}

#[test]
fn k02_former_keys_are_a_list_of_secrets() {
    let exposed = |shop: &Shop| -> Vec<String> {
        let keys = shop.config().secrets.previous_keys;
        keys.iter().map(|key| key.expose().to_owned()).collect()
    };
    let shop = Shop::new(
        "[secrets]\nkey = \"a\"\nprevious_keys = [\"b\", { env = \"OLD\" }, { file = \"old\" }]\n",
    )
    .with("OLD", "c");
    shop.write("old", b"d\n");
    assert_eq!(exposed(&shop), ["b", "c", "d"]);
    for (value, keys) in [
        ("b, c", vec!["b", "c"]),
        ("[\"b\", { env = \"OLD\" }]", vec!["b", "c"]),
        ("", vec![]),
    ] {
        let shop = Shop::new("")
            .with("DESKBELL__SECRETS__PREVIOUS_KEYS", value)
            .with("OLD", "c");
        assert_eq!(exposed(&shop), keys, "{value}");
    }
    let wrong = [
        ("\"b\"", "secrets.previous_keys: expected a list"),
        ("[\"b\", \"\"]", "secrets.previous_keys[1]: is empty"),
        (
            "[{ env = \"NONE\" }]",
            "secrets.previous_keys[0]: the environment variable NONE is not set",
        ),
    ];
    for (value, words) in wrong {
        let errors = Shop::new(&format!("[secrets]\nprevious_keys = {value}\n")).errors();
        assert!(errors.len() == 1 && errors[0].contains(words), "{errors:?}");
    }
    let many = vec!["\"canary\""; 17].join(",");
    let errors = Shop::new(&format!("[secrets]\nprevious_keys = [{many}]\n")).errors();
    assert!(errors[0].contains("more than 16") && !errors[0].contains("canary"));
}

#[test]
fn a_secret_file_has_a_limit() {
    let shop = Shop::new("[secrets]\nkey = { file = \"key\" }\n");
    shop.write("key", &vec![b'a'; 65_536]);
    assert!(shop.errors().is_empty());
    shop.write("key", &vec![b'a'; 65_537]);
    assert_eq!(
        shop.errors(),
        ["deskbell.toml:2:16: secrets.key: cannot read \"key\": it is longer than 65536 bytes"]
    );
}
