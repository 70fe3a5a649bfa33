//! A desktop for the tests: a session bus, a screen that nobody sees, something that shows notifications, and a sound card
//! that is recorded. Everything in a folder of its own, gone when dropped.

pub(crate) mod ear;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long something may take that happens by itself: many times what it takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The API token of the daemon's configuration, with every right.
pub(crate) const ADMIN: &str = "bootstrap-token-of-the-tests";
/// What the real desktop needs, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("dbus-daemon", "dbus"),
    ("Xvfb", "xvfb"),
    ("dunst", "dunst"),
    ("pulseaudio", "pulseaudio"),
    ("parec", "pulseaudio-utils"),
];

/// Whether everything is there that a desktop needs; says what is not.
pub(crate) fn has_a_desktop() -> bool {
    let found = |program: &str| {
        ["/usr/bin", "/usr/local/bin", "/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
    };
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !found(program))
        .map(|(_, package)| *package)
        .collect();
    let plugin = |folder: fs::DirEntry| {
        folder
            .path()
            .join("alsa-lib/libasound_module_pcm_pulse.so")
            .exists()
    };
    if !fs::read_dir("/usr/lib")
        .is_ok_and(|mut folders| folders.any(|folder| folder.is_ok_and(plugin)))
    {
        missing.push("libasound2-plugins");
    }
    if !missing.is_empty() {
        // Where nobody listens, nobody misses it.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the real desktop; these packages are missing: {}",
            missing.join(" ")
        );
    }
    missing.is_empty()
}

/// Says on the terminal what a test found out; the test runner does not swallow it.
pub(crate) fn say(words: &str) {
    // Where nobody listens, nobody misses it.
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Waits until something is so.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "this never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program that ends when dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).spawn();
        Self {
            child: child.unwrap_or_else(|error| panic!("{} starts: {error}", program.display())),
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A desktop.
pub(crate) struct Desktop {
    programs: Vec<Program>,
    dunst: Option<Program>,
    sound: Option<Program>,
    display: String,
    pub(crate) folder: tempfile::TempDir,
}

impl Desktop {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        for name in ["run", "bin", "config"] {
            fs::create_dir(path.join(name)).expect("a folder");
        }
        private(&path.join("run"));
        let sound = "pcm.!default { type pulse }\nctl.!default { type pulse }\n";
        fs::write(path.join(".asoundrc"), sound).expect("written");
        // What opens addresses: it writes them down.
        script(
            &path.join("bin/xdg-open"),
            "echo \"$1\" >> \"$HOME/opened\"\n",
        );
        // What chooses from a menu: what the test has written before.
        script(
            &path.join("bin/menu"),
            "grep -m1 -F \"$(cat \"$HOME/choice\")\"\n",
        );
        let menu = path.join("bin/menu");
        let dunst = format!(
            "[global]\ndmenu = {}\nnotification_limit = 20\nmarkup = full\n",
            menu.display()
        );
        fs::write(path.join("dunstrc"), dunst).expect("written");
        let mut desktop = Self {
            programs: Vec::new(),
            dunst: None,
            sound: None,
            display: String::new(),
            folder,
        };
        desktop.start_screen();
        // A bus that starts nothing by itself: what is not there is not there.
        let bus = format!(
            "<busconfig><type>session</type><listen>{}</listen><policy context=\"default\"><allow send_destination=\"*\" \
             eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            desktop.bus()
        );
        fs::write(desktop.path("bus.conf"), bus).expect("written");
        let config = format!("--config-file={}", desktop.path("bus.conf").display());
        desktop.add("dbus-daemon", &["--nofork", "--nopidfile", &config]);
        wait_for("the session bus", || desktop.path("run/bus").exists());
        desktop.start_dunst();
        desktop.start_sound();
        desktop
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bus(&self) -> String {
        format!("unix:path={}", self.path("run/bus").display())
    }

    /// A command that lives in this desktop, and knows nothing of the one that it is started from.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.folder.path());
        command
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.path("run"));
        command
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"));
        command
            .env("DBUS_SESSION_BUS_ADDRESS", self.bus())
            .env("DISPLAY", &self.display);
        command.env(
            "PATH",
            format!(
                "{}:/usr/local/bin:/usr/bin:/bin",
                self.path("bin").display()
            ),
        );
        command.env("LANG", "C.UTF-8").env("TZ", "UTC");
        command
    }

    fn log(&self, name: &str) -> fs::File {
        let path = self.path(&format!("{name}.log"));
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("a log")
    }

    fn add(&mut self, program: &str, arguments: &[&str]) {
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdout(self.log(program))
            .stderr(self.log(program));
        self.programs.push(Program::start(&mut command));
    }

    fn start_screen(&mut self) {
        // It takes a number that is free and prints it.
        let mut command = self.command("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "800x600x24",
            "-nolisten",
            "tcp",
        ]);
        command.stdout(self.log("display")).stderr(self.log("Xvfb"));
        self.programs.push(Program::start(&mut command));
        let display = self.path("display.log");
        let number = || fs::read_to_string(&display).unwrap_or_default();
        wait_for("the screen", || number().ends_with('\n'));
        self.display = format!(":{}", number().trim());
    }

    fn start_dunst(&mut self) {
        let mut command = self.command("dunst");
        command
            .arg("-print")
            .arg("-config")
            .arg(self.path("dunstrc"));
        command
            .stdout(self.log("dunst"))
            .stderr(self.log("dunst-errors"));
        self.dunst = Some(Program::start(&mut command));
        wait_for("what shows notifications", || {
            self.dunstctl(&["count", "displayed"]).is_some()
        });
    }

    fn start_sound(&mut self) {
        let mut command = self.command("pulseaudio");
        command.args([
            "-n",
            "--exit-idle-time=-1",
            "--daemonize=no",
            "--disallow-exit",
        ]);
        command.args([
            "-L",
            "module-null-sink sink_name=desk",
            "-L",
            "module-native-protocol-unix",
        ]);
        command
            .stdout(self.log("pulseaudio"))
            .stderr(self.log("pulseaudio"));
        self.sound = Some(Program::start(&mut command));
        wait_for("the sound card", || {
            let about = self.command("pactl").arg("info").output();
            about.is_ok_and(|about| about.status.success())
        });
    }

    /// Takes the sound card away.
    pub(crate) fn unplug_sound(&mut self) {
        self.sound.take().expect("it is there").kill();
    }

    /// Ends what shows notifications, and starts another.
    pub(crate) fn restart_dunst(&mut self) {
        self.dunst.take().expect("it is there").kill();
        self.start_dunst();
    }

    /// Ends what shows notifications, and nothing comes in its place.
    pub(crate) fn stop_dunst(&mut self) {
        self.dunst.take().expect("it is there").kill();
    }

    fn dunstctl(&self, arguments: &[&str]) -> Option<String> {
        let output = self
            .command("dunstctl")
            .args(arguments)
            .output()
            .expect("dunstctl starts");
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// How many notifications are on the screen.
    pub(crate) fn on_screen(&self) -> usize {
        let count = self
            .dunstctl(&["count", "displayed"])
            .expect("dunst answers");
        count
            .split_whitespace()
            .last()
            .and_then(|count| count.parse().ok())
            .unwrap_or_default()
    }

    /// Every notification that was shown, oldest first: title, body, urgency.
    pub(crate) fn shown(&self) -> Vec<(String, String, String)> {
        let text = fs::read_to_string(self.path("dunst.log")).unwrap_or_default();
        let field = |block: &str, name: &str, end: &str| {
            let rest = block
                .split_once(&format!("\t{name}: "))
                .map_or("", |(_, rest)| rest);
            rest.split(end)
                .next()
                .unwrap_or_default()
                .trim_matches('\'')
                .to_owned()
        };
        let blocks = text
            .split("\n}")
            .filter(|block| block.contains("appname: 'Deskbell'"));
        blocks
            .map(|block| {
                (
                    field(block, "summary", "\n"),
                    field(block, "body", "\n\ticon:"),
                    field(block, "urgency", "\n"),
                )
            })
            .collect()
    }

    /// How often a notification was shown whose title has these words.
    pub(crate) fn times_shown(&self, words: &str) -> usize {
        self.shown()
            .iter()
            .filter(|(title, ..)| title.contains(words))
            .count()
    }

    /// Presses the button with this name on one of the notifications, by the menu of what shows them.
    pub(crate) fn press(&self, button: &str) {
        fs::write(self.path("choice"), button).expect("written");
        self.dunstctl(&["context"]).expect("dunst answers");
    }

    /// The addresses that were opened.
    pub(crate) fn opened(&self) -> String {
        fs::read_to_string(self.path("opened")).unwrap_or_default()
    }

    /// Pairs by hand: as a program with a token, whose rings are everybody's.
    pub(crate) fn signs_in_as_a_program(&self, server: &str, token: &str) {
        let folder = self.path("config/deskbell-desktop");
        fs::create_dir_all(&folder).expect("a folder");
        let account = json!({ "server": server, "token": token });
        fs::write(folder.join("account.json"), account.to_string()).expect("written");
    }

    /// Writes the settings.
    pub(crate) fn set(&self, settings: &str) {
        let folder = self.path("config/deskbell-desktop");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("config.toml"), settings).expect("written");
    }

    /// A command of the companion.
    pub(crate) fn companion(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_deskbell-desktop"));
        command.args(arguments);
        command
    }

    /// Starts the companion.
    pub(crate) fn start_companion(&self) -> Program {
        let mut command = self.companion(&["run"]);
        command.env("DESKBELL_LOG", "debug");
        command
            .stdout(self.log("companion"))
            .stderr(self.log("companion"));
        Program::start(&mut command)
    }

    /// What the companion wrote to its log.
    pub(crate) fn companion_log(&self) -> String {
        fs::read_to_string(self.path("companion.log")).unwrap_or_default()
    }

    /// Waits until the companion says these words once more than `before`.
    pub(crate) fn companion_says(&self, words: &str, times: usize) {
        wait_for(words, || {
            self.companion_log().matches(words).count() >= times
        });
    }
}

fn private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("set");
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, format!("#!/bin/sh\n{text}")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

/// A real daemon.
pub(crate) struct Daemon {
    program: Program,
    pub(crate) url: String,
    folder: PathBuf,
}

impl Daemon {
    /// Where it is: named by `DESKBELL_BIN`, or built beside this test.
    fn binary() -> PathBuf {
        #[expect(clippy::disallowed_methods, reason = "a switch of the tests")]
        let named = std::env::var_os("DESKBELL_BIN");
        let built = || {
            let test = std::env::current_exe().expect("this test is a program");
            test.ancestors()
                .nth(2)
                .expect("it is in a folder")
                .join("deskbell")
        };
        let binary = named.map_or_else(built, PathBuf::from);
        assert!(
            binary.exists(),
            "{} is not there; build it first: cargo build",
            binary.display()
        );
        binary
    }

    /// Starts one in `folder`, on a port that was free a moment ago; it keeps it over its restarts.
    pub(crate) async fn start(folder: &Path) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let config = format!(
            "listen = \"{address}\"\n[auth]\nbootstrap_token = \"{ADMIN}\"\n[bell]\nsteps = [\"0s\", \"20s\", \"300s\"]\n\
             [[channels]]\nid = \"site\"\nconnector = \"webchat\"\nname = \"Our shop's website\"\n"
        );
        fs::write(folder.join("deskbell.toml"), config).expect("written");
        let url = format!("http://{address}");
        let program = Self::serve(folder, &url);
        let daemon = Self {
            program,
            url,
            folder: folder.to_owned(),
        };
        // Where nobody can be rung that is an alarm of its own.
        let somebody = json!({ "email": "owner@example.com", "name": "Owner", "role": "agent",
            "password": "a long and invented one", "channels": "all" });
        daemon.post("/api/v1/users", somebody).await;
        daemon
    }

    fn serve(folder: &Path, url: &str) -> Program {
        let log = || {
            let options = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join("daemon.log"));
            options.expect("a log")
        };
        let mut command = Command::new(Self::binary());
        command
            .arg("serve")
            .current_dir(folder)
            .stdout(log())
            .stderr(log());
        let program = Program::start(&mut command);
        let address = url.trim_start_matches("http://").to_owned();
        let begun = Instant::now();
        while !is_ready(&address) {
            let log = || fs::read_to_string(folder.join("daemon.log")).unwrap_or_default();
            assert!(
                begun.elapsed() < Duration::from_secs(180),
                "the daemon never came: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.program.child.kill().expect("it runs");
        self.program.child.wait().expect("it ends");
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) {
        self.program = Self::serve(&self.folder, &self.url);
    }

    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = client()
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(reqwest::Method::GET, path, ADMIN, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self
            .call(reqwest::Method::POST, path, ADMIN, Some(body))
            .await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// A visitor of the website.
    pub(crate) async fn visitor(&self) -> Visitor {
        let (status, session) = self
            .call(
                reqwest::Method::POST,
                "/chat/site/session",
                "",
                Some(json!({})),
            )
            .await;
        assert!((200..300).contains(&status), "{status} {session}");
        Visitor {
            token: session["token"].as_str().expect("a token").to_owned(),
        }
    }

    /// The rings of conversations that ring.
    pub(crate) async fn ringing(&self) -> Vec<Value> {
        let list = self.get("/api/v1/bell?state=ringing").await;
        let rings = list["data"].as_array().expect("a list").iter();
        rings
            .filter(|ring| ring["conversation_id"].is_string())
            .cloned()
            .collect()
    }

    /// The ring of the only conversation that rings, once it does.
    pub(crate) async fn the_ring(&self) -> String {
        let begun = Instant::now();
        loop {
            if let [ring] = &self.ringing().await[..] {
                return ring["id"].as_str().expect("an id").to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "nothing rings alone");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the ledger knows of a ring on desktops, once it knows anything: results and details.
    pub(crate) async fn attempts(&self, ring: &str) -> Vec<(String, String)> {
        let begun = Instant::now();
        loop {
            let ring = self.get(&format!("/api/v1/bell/{ring}")).await;
            let attempts = ring["attempts"].as_array().expect("a list").iter();
            let of_desktops = attempts.filter(|attempt| attempt["device"] == "desktop");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let found: Vec<_> = of_desktops
                .map(|one| (text(&one["result"]), text(&one["detail"])))
                .collect();
            if !found.is_empty() {
                return found;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no desktop has told anything: {ring}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How often something is done: as the variable of the environment says, or else `short`.
pub(crate) fn how_many(variable: &str, short: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests")]
    let said = std::env::var(variable);
    said.map_or(short, |number| number.parse().expect("a number"))
}

/// Whether a daemon says that it is ready.
fn is_ready(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut socket = std::net::TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            socket,
            "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// A visitor of the website.
pub(crate) struct Visitor {
    token: String,
}

impl Visitor {
    pub(crate) async fn writes(&self, daemon: &Daemon, id: &str, text: &str) {
        let body = json!({ "text": text, "client_id": id });
        let (status, answer) = daemon
            .call(
                reqwest::Method::POST,
                "/chat/site/messages",
                &self.token,
                Some(body),
            )
            .await;
        assert!((200..300).contains(&status), "{status} {answer}");
    }
}

/// A client for the tests.
pub(crate) fn client() -> reqwest::Client {
    // An error says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client")
}
