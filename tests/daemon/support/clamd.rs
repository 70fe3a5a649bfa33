//! A strict stand-in for ClamAV's daemon: it takes `zPING` and `zINSTREAM` exactly as clamd documents them, notes what
//! does not keep to that, and finds the test file of the antivirus vendors (EICAR) by its bytes, also where they stand in
//! base64. It looks into nothing else: what a real scanner unpacks is the scanner's.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The name under which it finds EICAR.
pub(crate) const FOUND: &str = "Eicar-Test-Signature";

/// The test file, put together here so that no scanner trips over this source.
pub(crate) fn eicar() -> Vec<u8> {
    let halves = [
        "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STAND",
        "ARD-ANTIVIRUS-TEST-FILE!$H+H*",
    ];
    halves.concat().into_bytes()
}

/// What it does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers, and takes at most so many bytes.
    Scans(usize),
    /// Takes everything and never answers.
    Silent,
    /// Takes nothing and never answers.
    Stuck,
    /// Takes so many bytes of what is sent and cuts the line.
    CutsAfter(usize),
    /// Takes everything and answers this.
    Says(&'static str),
    /// Answers this at once and cuts the line.
    SaysAtOnce(&'static str),
}

#[derive(Debug)]
struct State {
    mood: Mood,
    scanned: Vec<usize>,
    faults: Vec<String>,
}

/// The stand-in.
#[derive(Clone, Debug)]
pub(crate) struct Clamd {
    address: String,
    state: Arc<Mutex<State>>,
}

trait Line: Read + Write + Send {}

impl<L: Read + Write + Send> Line for L {}

impl Clamd {
    /// One at a port of loopback.
    pub(crate) fn on_tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        Self::serving(address, move || {
            Ok(Box::new(listener.accept()?.0) as Box<dyn Line>)
        })
    }

    /// One at a socket in a folder.
    pub(crate) fn on_unix(folder: &Path) -> Self {
        let path = folder.join("clamd.ctl");
        let listener = UnixListener::bind(&path).expect("a socket");
        Self::serving(path.display().to_string(), move || {
            Ok(Box::new(listener.accept()?.0) as Box<dyn Line>)
        })
    }

    fn serving(
        address: String,
        accept: impl Fn() -> io::Result<Box<dyn Line>> + Send + 'static,
    ) -> Self {
        let clamd = Self {
            address,
            state: Arc::new(Mutex::new(State {
                mood: Mood::Scans(usize::MAX),
                scanned: Vec::new(),
                faults: Vec::new(),
            })),
        };
        let serving = clamd.clone();
        // It ends with the process; nothing is left of it.
        thread::spawn(move || {
            while let Ok(mut line) = accept() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(&mut *line));
            }
        });
        clamd
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Where it is, as the configuration names it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it does from now on.
    pub(crate) fn is(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// The sizes of the files that it looked through.
    pub(crate) fn scanned(&self) -> Vec<usize> {
        self.state().scanned.clone()
    }

    /// What did not keep to the protocol.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    fn serve(&self, line: &mut dyn Line) {
        let mood = self.state().mood;
        match mood {
            Mood::Stuck => thread::sleep(Duration::from_secs(3600)),
            Mood::CutsAfter(bytes) => {
                // What does not come is as good as cut.
                let _ = line.read_exact(&mut vec![0; bytes]);
            }
            Mood::SaysAtOnce(words) => {
                let _ = line.write_all(words.as_bytes());
            }
            Mood::Scans(_) | Mood::Silent | Mood::Says(_) => {
                if let Err(fault) = self.talk(line, mood) {
                    self.state().faults.push(fault);
                }
            }
        }
    }

    fn talk(&self, line: &mut dyn Line, mood: Mood) -> Result<(), String> {
        let mut command = Vec::new();
        while !command.ends_with(b"\0") {
            if command.len() > 16 {
                return Err(format!("no command: {command:?}"));
            }
            command.push(byte(line)?);
        }
        let answer = match command.as_slice() {
            b"zPING\0" => "PONG".to_owned(),
            b"zINSTREAM\0" => match stream(line, mood)? {
                Some(file) => {
                    self.state().scanned.push(file.len());
                    match holds_eicar(&file) {
                        true => format!("stream: {FOUND} FOUND"),
                        false => "stream: OK".to_owned(),
                    }
                }
                None => "INSTREAM size limit exceeded. ERROR".to_owned(),
            },
            _ => return Err(format!("an unknown command: {command:?}")),
        };
        match mood {
            Mood::Silent => thread::sleep(Duration::from_secs(3600)),
            // The client may have given up.
            Mood::Says(words) => drop(line.write_all(words.as_bytes())),
            _ => drop(line.write_all(format!("{answer}\0").as_bytes())),
        }
        Ok(())
    }
}

fn byte(line: &mut dyn Line) -> Result<u8, String> {
    let mut byte = [0];
    line.read_exact(&mut byte)
        .map_err(|error| format!("it broke off: {error}"))?;
    Ok(byte[0])
}

/// The stretches of a file, put together; `None` where it is larger than is taken.
fn stream(line: &mut dyn Line, mood: Mood) -> Result<Option<Vec<u8>>, String> {
    let mut file = Vec::new();
    loop {
        let mut length = [0; 4];
        line.read_exact(&mut length)
            .map_err(|error| format!("a file broke off: {error}"))?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 {
            return Ok(Some(file));
        }
        if length > 1024 * 1024 {
            return Err(format!("a stretch of {length} bytes"));
        }
        let from = file.len();
        file.resize(from + length, 0);
        line.read_exact(&mut file[from..])
            .map_err(|error| format!("a stretch broke off: {error}"))?;
        if matches!(mood, Mood::Scans(most) if file.len() > most) {
            return Ok(None);
        }
    }
}

fn holds_eicar(file: &[u8]) -> bool {
    let holds = |file: &[u8], wanted: &[u8]| file.windows(wanted.len()).any(|part| part == wanted);
    let unfolded: Vec<u8> = file
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    // The last characters depend on what follows in the file.
    let encoded = BASE64.encode(&eicar()[..66]);
    holds(file, &eicar()) || holds(&unfolded, encoded.as_bytes())
}
