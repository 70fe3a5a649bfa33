//! Command hooks of the real daemon: programs of this machine, which the configuration names.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hooks::{arrives, call, until_deliveries};
use crate::support::command::run;
use crate::support::{APP_SECRET, Daemon, PAGE, config, envelope, message, now_ms, say, switch};

/// A folder for a daemon, its commands and what they write.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a program of the shell's; `OUT` in its environment is this folder. Gives its path.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its own");
        path
    }

    /// An entry of the configuration.
    pub(crate) fn entry(&self, id: &str, program: &Path, more: &str) -> String {
        let events = if more.contains("events") {
            ""
        } else {
            "events = [\"message.created\"]\n"
        };
        format!(
            "[[hooks.command]]\nid = \"{id}\"\nprogram = {program:?}\n{events}environment = {{ OUT = {:?} }}\n{more}\n",
            self.path()
        )
    }

    /// Starts a daemon with these commands.
    pub(crate) fn start(&self, retry: &str, entries: &[String]) -> Daemon {
        Daemon::start(self.path(), &self.config(retry, entries))
    }

    pub(crate) fn config(&self, retry: &str, entries: &[String]) -> String {
        config(&format!(
            "\n[hooks]\nretry = [{retry}]\n{}",
            entries.join("")
        ))
    }

    /// What a file holds; nothing where it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Waits until a file holds what is wanted.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.read(name);
            if wanted(&text) {
                return text;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{name}: {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The hook of a command.
pub(crate) async fn hook_of(daemon: &Daemon, command: &str) -> Value {
    let hooks = daemon.all("hooks", 50).await;
    let is_it = |hook: &&Value| hook["command"] == command;
    hooks.iter().find(is_it).cloned().unwrap_or_default()
}

/// The id of the hook of a command.
pub(crate) async fn id_of(daemon: &Daemon, command: &str) -> String {
    let hook = hook_of(daemon, command).await;
    hook["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_command_hears_events_and_its_output_and_code_are_kept() {
    let place = Place::new();
    let script = r#"cat > "$OUT/in"; tr '\0' '\n' < /proc/self/environ > "$OUT/environ.part"
        ls /proc/self/fd > "$OUT/open"; pwd > "$OUT/pwd"; printf '%s\n' "$@" > "$OUT/args"
        mv "$OUT/environ.part" "$OUT/environ"
        echo "the lamp is on"; echo "and warm" >&2; n=$(cat "$OUT/code" || echo 0); exit "$n""#;
    let program = place.program("lamp", script);
    let more = "args = [\"--lamp\", \"kitchen $HOME\"]";
    let daemon = place.start(
        "\"100ms\", \"100ms\"",
        &[place.entry("lamp", &program, more)],
    );
    let hook = hook_of(&daemon, "lamp").await;
    let id = hook["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&hook["kind"], &hook["url"], &hook["enabled"]),
        (&json!("command"), &json!(program), &json!(true))
    );
    arrives(&daemon, "p1", "Is it warm?").await;
    let environ = place.until("environ", |text| !text.is_empty()).await;
    let told: Value = serde_json::from_str(&place.read("in")).expect("JSON");
    assert_eq!(told["data"]["message"]["text"], "Is it warm?");
    assert_eq!(place.read("args"), "--lamp\nkitchen $HOME\n");
    assert_eq!(place.read("pwd"), "/\n");
    // Nothing is open but what this test itself was given, and would give to anything.
    let list = place.program("list", "ls /proc/self/fd");
    let ours = Command::new(list)
        .stdin(std::process::Stdio::piped())
        .output();
    let ours = String::from_utf8(ours.expect("it runs").stdout).expect("text");
    assert_eq!(place.read("open"), ours, "the daemon leaves nothing open");
    // The whole environment; a shell adds PWD and the like.
    let mut variables: BTreeMap<&str, &str> = environ
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    for added in ["PWD", "OLDPWD", "SHLVL", "_"] {
        variables.remove(added);
    }
    let out = place.path().display().to_string();
    let webhook_id = told["id"].as_str().expect("an id");
    let wanted = BTreeMap::from([
        ("PATH", "/usr/bin:/bin"),
        ("DESKBELL_EVENT", "message.created"),
        ("DESKBELL_HOOK", "lamp"),
        ("DESKBELL_ID", webhook_id),
        ("DESKBELL_HOPS", "1"),
        ("OUT", &out),
    ]);
    assert_eq!(variables, wanted);
    let log = until_deliveries(&daemon, &id, "the log", |all| {
        all.len() == 1 && all[0]["state"] == "delivered"
    })
    .await;
    let attempt = &log[0]["attempts"][0];
    assert_eq!(
        (&attempt["status"], &attempt["error"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(log[0]["webhook_id"], webhook_id);
    let answer = attempt["answer"].as_str().expect("its output");
    assert!(
        answer.contains("the lamp is on") && answer.contains("and warm"),
        "{answer}"
    );

    // Any other code is a failure: tried again under the same id, and given up in the end.
    std::fs::write(place.file("code"), "3").expect("written");
    arrives(&daemon, "p1", "Still?").await;
    let log = until_deliveries(&daemon, &id, "given up", |all| all[0]["state"] == "dead").await;
    assert_eq!(log[0]["tries"], 3);
    let attempt = &log[0]["attempts"][2];
    assert_eq!(
        (&attempt["status"], &attempt["error"]),
        (&json!(3), &json!("ended with exit code 3"))
    );
    std::fs::write(place.file("code"), "0").expect("written");
    let again = json!({ "delivery_id": log[0]["id"] });
    let (status, _) = call(&daemon, "POST", &format!("hooks/{id}/replay"), Some(&again)).await;
    assert_eq!(status, 200);
    until_deliveries(&daemon, &id, "told again", |all| {
        all[0]["state"] == "delivered"
    })
    .await;
    let (status, tested) = call(&daemon, "POST", &format!("hooks/{id}/test"), None).await;
    assert_eq!((status, &tested["delivered"]), (200, &json!(true)));
    let told: Value = serde_json::from_str(&place.read("in")).expect("JSON");
    assert_eq!(told["type"], "test");
}

#[tokio::test]
async fn the_file_alone_says_what_a_command_is() {
    let place = Place::new();
    let program = place.program("lamp", "exit 0");
    let on = place.entry("lamp", &program, "");
    let daemon = place.start("\"1s\"", std::slice::from_ref(&on));
    let id = id_of(&daemon, "lamp").await;
    let path = format!("hooks/{id}");
    for (method, path, body) in [
        ("PATCH", path.clone(), Some(json!({ "enabled": false }))),
        ("PATCH", path.clone(), Some(json!({ "url": "/bin/sh" }))),
        ("DELETE", path.clone(), None),
        ("POST", format!("{path}/rotate"), None),
    ] {
        let (status, problem) = call(&daemon, method, &path, body.as_ref()).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert_eq!(status, 409, "{method} {path}: {problem}");
        assert!(detail.contains("configuration file"), "{problem}");
    }
    let new = json!({ "kind": "command", "url": "/bin/sh", "events": ["message.created"] });
    let (status, problem) = call(&daemon, "POST", "hooks", Some(&new)).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/kind"))
    );
    daemon.stop();

    // Without its entry it is off, with its log, until somebody deletes it; with it, it is the same hook.
    let off = Daemon::start(place.path(), &place.config("\"1s\"", &[]));
    let hook = hook_of(&off, "lamp").await;
    assert_eq!((&hook["id"], &hook["enabled"]), (&json!(id), &json!(false)));
    assert!(
        hook["disabled_reason"]
            .as_str()
            .is_some_and(|why| why.contains("file"))
    );
    arrives(&off, "p1", "nobody hears this").await;
    off.stop();
    let on_again = place.start("\"1s\"", &[on]);
    let hook = hook_of(&on_again, "lamp").await;
    assert_eq!((&hook["id"], &hook["enabled"]), (&json!(id), &json!(true)));
    arrives(&on_again, "p1", "but this").await;
    until_deliveries(&on_again, &id, "one", |all| {
        all.len() == 1 && all[0]["state"] == "delivered"
    })
    .await;
    on_again.stop();
    let off = Daemon::start(place.path(), &place.config("\"1s\"", &[]));
    assert_eq!(call(&off, "DELETE", &path, None).await.0, 204);
    assert_eq!(hook_of(&off, "lamp").await, Value::Null);
}

#[tokio::test]
async fn what_a_command_is_told_of_a_ring_is_in_the_ledger() {
    let place = Place::new();
    let program = place.program("lamp", "exit 0");
    let more = "events = [\"bell.rung\"]";
    let daemon = place.start("\"1s\"", &[place.entry("lamp", &program, more)]);
    arrives(&daemon, "p1", "hello").await;
    let begun = Instant::now();
    loop {
        let bell = daemon.get("bell").await["data"].to_string();
        if bell.contains("\"device\":\"hook\"") {
            assert!(bell.contains("\"detail\":\"lamp\""), "{bell}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{bell}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_restored_desk_runs_nothing_until_somebody_says_so() {
    let place = Place::new();
    let program = place.program("note", "echo \"$DESKBELL_EVENT\" >> \"$OUT/ran\"");
    let daemon = place.start("\"1s\"", &[place.entry("note", &program, "")]);
    arrives(&daemon, "p1", "one").await;
    place.until("ran", |text| text.lines().count() == 1).await;
    let said = run(place.path(), &["backup", "desk.tar"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    daemon.stop();
    std::fs::rename(place.file("data"), place.file("data-before")).expect("moved");
    std::fs::create_dir(place.file("data")).expect("made");
    let key = "deskbell.key";
    std::fs::copy(
        place.file("data-before").join(key),
        place.file("data").join(key),
    )
    .expect("copied");
    let said = run(place.path(), &["restore", "desk.tar"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let daemon = Daemon::start_as_it_is(place.path());
    let id = id_of(&daemon, "note").await;
    arrives(&daemon, "p1", "two").await;
    let (status, problem) = call(&daemon, "POST", &format!("hooks/{id}/test"), None).await;
    assert_eq!(status, 409, "{problem}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(place.read("ran").lines().count(), 1, "it is held");
    let said = run(place.path(), &["resume"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    place.until("ran", |text| text.lines().count() >= 2).await;
}

/// Texts that would do something if anything read them as more than text; the number makes each another one.
fn nasty(number: usize, canary: &Path) -> String {
    let canary = canary.display();
    let forms = [
        format!("$(touch {canary})"),
        format!("`touch {canary}`"),
        format!("; touch {canary} ;"),
        format!("' ; touch {canary} ; '"),
        format!("\" ; touch {canary} ; \""),
        format!("\\\" $(touch {canary})"),
        format!("| touch {canary}"),
        format!("&& touch {canary} &"),
        format!("x\ntouch {canary}\n"),
        format!("$({{IFS}}touch${{IFS}}{canary})"),
        format!("\"}}' ; touch {canary} #"),
        format!("> {canary}"),
        format!("<({canary})"),
        "--help".to_owned(),
        "-rf /".to_owned(),
        "%s%s%n%x".to_owned(),
        "../../../../etc/passwd".to_owned(),
        "${PATH} $0 $@ $* ~ !! * ?".to_owned(),
        "LD_PRELOAD=/tmp/x.so DESKBELL_HOOK=other".to_owned(),
        "žluťoučký 🐎 \u{202e}txet\u{202c} \u{200b}".to_owned(),
        "\\x00\\0\\n\\u0000 \\".to_owned(),
        "'\"'\"'".to_owned(),
        "</script><script>alert(1)</script>".to_owned(),
        "{\"type\":\"test\",\"id\":\"x\"}".to_owned(),
        "a".repeat(1_900),
    ];
    format!("{number} {}", forms[number % forms.len()])
}

/// A message whose id says nothing of its text: an id may not be long, or hold lines.
pub(crate) async fn comes(daemon: &Daemon, person: &str, number: usize, text: &str) {
    let event = message(person, &format!("m-{number}"), text, now_ms());
    let body = envelope(PAGE, &[event]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o05_no_text_becomes_an_argument_or_a_command() {
    let all = switch("DESKBELL_COMMAND_TEXTS", 500);
    let place = Place::new();
    let canary = place.file("canary");
    let record = r#"printf '%s\0' "$0" "$@" > "$OUT/$DESKBELL_ID.args"
        cat > "$OUT/$DESKBELL_ID.part"; mv "$OUT/$DESKBELL_ID.part" "$OUT/$DESKBELL_ID.in""#;
    let program = place.program("record", record);
    let args = "args = [\"--file\", \"a b $(id) `id` 'x'\", \"\"]";
    let daemon = place.start(
        "\"1s\", \"1s\", \"1s\"",
        &[place.entry("record", &program, args)],
    );
    let mut texts = BTreeMap::new();
    for number in 0..all {
        let text = nasty(number, &canary);
        comes(&daemon, &format!("p{}", number % 50), number, &text).await;
        texts.insert(number, text.trim().to_owned());
    }
    let id = id_of(&daemon, "record").await;
    let begun = Instant::now();
    loop {
        let hook = format!("hooks/{id}/deliveries?state=delivered");
        let done = daemon.all(&hook, 200).await.len();
        if done == all {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "{done} of {all}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let argv = format!("{}\0--file\0a b $(id) `id` 'x'\0\0", program.display());
    let mut seen = BTreeMap::new();
    for entry in std::fs::read_dir(place.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("args") => {
                let args = std::fs::read_to_string(&path).expect("text");
                assert_eq!(args, argv, "the arguments are those of the configuration");
            }
            Some("in") => {
                let raw = std::fs::read_to_string(&path).expect("text");
                let told: Value = serde_json::from_str(&raw).expect("JSON");
                let text = told["data"]["message"]["text"].as_str().expect("a text");
                let number: usize = text
                    .split(' ')
                    .next()
                    .and_then(|number| number.parse().ok())
                    .expect("its number");
                seen.insert(number, text.trim().to_owned());
            }
            _ => {}
        }
    }
    assert_eq!(seen, texts, "each text comes as it was written");
    assert!(!canary.exists(), "a text was run");
    say(&format!("{all} texts in {:?}", begun.elapsed()));
}

/// The planted evil: a command that runs what it reads is caught by the canary.
#[tokio::test]
async fn o05_the_canary_sees_a_text_that_is_run() {
    let place = Place::new();
    let canary = place.file("canary");
    let shell = place.entry("shell", Path::new("/bin/sh"), "");
    let daemon = place.start("", &[shell]);
    comes(&daemon, "p1", 0, &nasty(0, &canary)).await;
    let begun = Instant::now();
    while !canary.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it sees nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What `strace` wrote of the programs that were begun: the file and the arguments, as it shows them.
fn begun_programs(trace: &str) -> Vec<String> {
    trace
        .lines()
        .filter(|line| line.contains("execve(") && line.trim_end().ends_with("= 0"))
        .filter_map(|line| {
            let (_, rest) = line.split_once("execve(")?;
            let (what, _) = rest.split_once("], ")?;
            Some(format!("{what}]"))
        })
        .collect()
}

#[tokio::test]
async fn o05_strace_shows_the_arguments_of_the_configuration_and_nothing_else() {
    let place = Place::new();
    let out = place.file("out $(id) 'x'");
    let args = format!("args = [\"-a\", {out:?}]");
    let tee = Path::new("/usr/bin/tee");
    std::fs::write(
        place.file("deskbell.toml"),
        place.config("", &[place.entry("tee", tee, &args)]),
    )
    .expect("written");
    let mut traced = Command::new("strace");
    traced.args(["-D", "-f", "-qq", "--seccomp-bpf", "-s", "4096"]);
    traced
        .args(["-e", "trace=execve", "-o"])
        .arg(place.file("trace"));
    traced.arg(crate::support::BINARY);
    let may = Command::new("strace")
        .args([
            "-D",
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            "trace=execve",
            "true",
        ])
        .status();
    if !matches!(may, Ok(status) if status.success()) {
        say("SKIPPED: `strace` is not installed, or may not trace here");
        return;
    }
    let daemon = Daemon::start_by(traced, place.path())
        .unwrap_or_else(|log| panic!("it does not start: {log}"));
    let canary = place.file("canary");
    for number in 0..13 {
        comes(&daemon, "p1", number, &nasty(number, &canary)).await;
    }
    let id = id_of(&daemon, "tee").await;
    until_deliveries(&daemon, &id, "all", |all| {
        all.iter().filter(|one| one["state"] == "delivered").count() == 13
    })
    .await;
    let name = out.file_name().expect("a name").to_string_lossy();
    assert_eq!(place.read(&name).lines().count(), 13);
    let begun = begun_programs(&place.read("trace"));
    let keeper = "\"/proc/self/exe\", [\"deskbell\", \"keep-command\"]".to_owned();
    let program = format!("\"/usr/bin/tee\", [\"/usr/bin/tee\", \"-a\", {out:?}]");
    let mut counts = BTreeMap::<String, usize>::new();
    // The first is the daemon itself.
    for one in begun.into_iter().skip(1) {
        *counts.entry(one).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from([(keeper, 13), (program, 13)]));
    assert!(!canary.exists());
}
