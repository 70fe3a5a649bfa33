//! `[[hooks.command]]`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const GOOD: &str = r#"
[hooks]
retry = ["1s"]
[[hooks.command]]
id = "lamp"
program = "/bin/sh"
args = ["-c", "exit 0", ""]
events = ["bell.rung", "message.created"]
channels = ["shop-page"]
escalation = true
timeout_s = 30
environment = { LAMP = "kitchen", KEY = { env = "LAMP_KEY" } }
[[hooks.command]]
id = "till"
program = "/bin/sh"
events = ["message.created"]
enabled = false
"#;

#[test]
fn commands_are_read() {
    let config = Shop::new(GOOD)
        .with("LAMP_KEY", "of the lamp's maker")
        .config();
    let [lamp, till] = config.hooks.commands.as_slice() else {
        panic!("two commands");
    };
    assert_eq!(lamp.args, ["-c", "exit 0", ""]);
    assert_eq!(lamp.events.len(), 2);
    assert_eq!(lamp.channels.as_ref().map(|slugs| slugs.len()), Some(1));
    assert!(lamp.escalation && lamp.enabled && !till.enabled && !till.escalation);
    assert_eq!(
        (lamp.timeout, till.timeout),
        (Duration::from_secs(30), Duration::from_secs(10))
    );
    assert_eq!(lamp.environment["KEY"].expose(), "of the lamp's maker");
    assert!(!format!("{config:?}").contains("of the lamp"));
    assert!(
        config
            .warnings
            .iter()
            .all(|warning| !warning.contains("kitchen"))
    );
    let told = config
        .warnings
        .iter()
        .any(|warning| warning.contains("root"));
    assert_eq!(told, rustix::process::geteuid().is_root());
}

#[test]
fn o05_no_variable_makes_or_changes_a_command() {
    for variable in [
        "DESKBELL__HOOKS__COMMAND",
        "DESKBELL__HOOKS__COMMAND__0__PROGRAM",
        "DESKBELL__HOOKS__COMMAND__LAMP__PROGRAM",
    ] {
        let shop = Shop::new(GOOD)
            .with("LAMP_KEY", "x")
            .with(variable, "[{ id = \"x\", program = \"/bin/sh\" }]");
        let errors = shop.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("unknown"), "{errors:?}");
    }
}

fn errors(entry: &str) -> Vec<String> {
    Shop::new(&format!("[[hooks.command]]\n{entry}")).errors()
}

#[test]
fn f44_broken_commands_are_told() {
    let cases: [(&str, &[&str]); 9] = [
        (
            "x = 1",
            &[
                "deskbell.toml:1:1: hooks.command[0].id: is missing: a name, such as \"light\"",
                "deskbell.toml:1:1: hooks.command[0].program: is missing: the program's absolute path",
                "deskbell.toml:1:1: hooks.command[0].events: is missing: what it hears, such as [\"message.created\"]",
                "deskbell.toml:2:1: hooks.command[0].x: unknown key; known here: id, program, args, events, channels, escalation, timeout_s, environment, enabled",
            ],
        ),
        (
            "id = \"a\"\nprogram = \"lamp\"\nevents = [\"message.created\"]",
            &[
                "deskbell.toml:3:11: hooks.command[0].program: must be an absolute path, such as \"/usr/local/bin/notify\"; nothing is looked up, and no shell runs it",
            ],
        ),
        (
            "id = \"a\"\nprogram = \"/no/such\"\nevents = [\"message.created\"]",
            &[
                "deskbell.toml:3:11: hooks.command[0].program: /no/such: No such file or directory (os error 2)",
            ],
        ),
        (
            "id = \"a\"\nprogram = \"/usr/bin\"\nevents = [\"message.created\"]",
            &["deskbell.toml:3:11: hooks.command[0].program: /usr/bin is not a file"],
        ),
        (
            "id = \"a\"\nprogram = \"/bin/sh\"\nevents = []\nchannels = []",
            &[
                "deskbell.toml:4:10: hooks.command[0].events: names nothing; leave the key out, or name at least one",
                "deskbell.toml:5:12: hooks.command[0].channels: names nothing; leave the key out, or name at least one",
            ],
        ),
        (
            "id = \"a\"\nprogram = \"/bin/sh\"\nevents = [\"message.create\"]\ntimeout_s = 31",
            &[
                "deskbell.toml:4:11: hooks.command[0].events[0]: must be one of message.created, message.updated, conversation.created, conversation.updated, contact.created, contact.updated, contact.deleted, channel.health, bell.rung, bell.acknowledged; did you mean message.created?",
                "deskbell.toml:5:13: hooks.command[0].timeout_s: must be from 1 to 30",
            ],
        ),
        (
            "id = \"a\"\nprogram = \"/bin/sh\"\nevents = [\"bell.rung\"]\nargs = \"-c x\"\nenvironment = \"A=b\"",
            &[
                "deskbell.toml:5:8: hooks.command[0].args: expected a list, each item a text in quotes, found a text",
                "deskbell.toml:6:15: hooks.command[0].environment: expected a table, such as { LAMP = \"kitchen\" }, found a text",
            ],
        ),
        (
            "id = \"a\"\nprogram = \"/bin/sh\"\nevents = [\"bell.rung\"]\nargs = [\"a\\u0000b\"]\n[hooks.command.environment]\nDESKBELL_ID = \"x\"\n\"1\" = \"x\"\nA = 1",
            &[
                "deskbell.toml:5:9: hooks.command[0].args[0]: holds a NUL, which no argument can",
                "deskbell.toml:7:1: hooks.command[0].environment.DESKBELL_ID: begins with DESKBELL_, whose variables Deskbell sets",
                "deskbell.toml:8:1: hooks.command[0].environment.1: must be 1 to 100 of A-Z, a-z, 0-9 and \"_\", and not begin with a digit",
                "deskbell.toml:9:5: hooks.command[0].environment.A: expected a secret: a text in quotes, { env = \"NAME\" } or { file = \"/path\" }, found a whole number",
            ],
        ),
        (
            "id = \"a\"\nprogram = \"/bin/sh\"\nevents = [\"bell.rung\"]\n[[hooks.command]]\nid = \"a\"\nprogram = \"/bin/sh\"\nevents = [\"bell.rung\"]",
            &[
                "deskbell.toml:6:6: hooks.command[1].id: \"a\" is already the id of the command at FOLDER/deskbell.toml:2:6",
            ],
        ),
    ];
    for (entry, wanted) in cases {
        // The folder's name is left out at the beginning of an error only.
        let told: Vec<String> = errors(entry);
        let wanted: Vec<String> = wanted
            .iter()
            .map(|error| error.replace("FOLDER/", ""))
            .collect();
        assert_eq!(told, wanted, "{entry}");
    }
    let not_lists = [
        (
            "[hooks]\ncommand = \"/bin/sh\"",
            "deskbell.toml:2:11: hooks.command: expected a list of commands, each written [[hooks.command]], found a text",
        ),
        (
            "[hooks]\ncommand = [1]",
            "deskbell.toml:2:12: hooks.command[0]: expected a command written [[hooks.command]], found a whole number",
        ),
    ];
    for (file, wanted) in not_lists {
        assert_eq!(Shop::new(file).errors(), [wanted]);
    }
    let many = "[[hooks.command]]\n".repeat(21);
    assert_eq!(
        Shop::new(&many).errors(),
        ["deskbell.toml:1:1: hooks.command: has more than 20 commands"]
    );
}

#[test]
fn o05_a_program_that_others_may_change_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("made");
    let program = inner.join("lamp");
    let link = folder.path().join("link");
    std::fs::write(&program, "#!/bin/sh\n").expect("written");
    std::os::unix::fs::symlink(&program, &link).expect("made");
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its own");
    };
    set(&program, 0o755);
    assert_eq!(super::super::check_program(&program), Ok(()));
    assert_eq!(super::super::check_program(&link), Ok(()));
    let refused = |words: &str| {
        for path in [&program, &link] {
            let error = super::super::check_program(path).expect_err("refused");
            assert!(error.contains(words), "{error}");
        }
    };
    set(&program, 0o757);
    refused("can be written by every user");
    set(&program, 0o644);
    refused("cannot be executed");
    set(&program, 0o755);
    set(&inner, 0o777);
    refused("could put another program there");
    // As in /tmp: only its owner renames what is there.
    set(&inner, 0o1777);
    assert_eq!(super::super::check_program(&program), Ok(()));
}
