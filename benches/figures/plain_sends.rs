//! What the kernel asks for a send to a reader on this machine, without any daemon: the floor under what a client of the
//! live stream costs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};

use crate::daemon::cpu_us_in;
use crate::table::float;

/// CPU of one thread that sends `bytes` to each of `readers` in turn, `rounds` times, in microseconds a send.
pub(crate) fn a_send_us(readers: usize, bytes: usize, rounds: usize) -> Result<f64> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..readers {
        theirs.push(TcpStream::connect(address)?);
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        ours.push(stream);
    }
    let reader = std::thread::spawn(move || -> std::io::Result<()> {
        let mut text = vec![0; bytes];
        for _ in 0..rounds {
            for stream in &mut theirs {
                stream.read_exact(&mut text)?;
            }
        }
        Ok(())
    });
    let message = vec![b'.'; bytes];
    let before = thread_cpu_us()?;
    for _ in 0..rounds {
        for stream in &mut ours {
            stream.write_all(&message)?;
        }
    }
    let used = thread_cpu_us()? - before;
    reader.join().ok().context("the reader panicked")??;
    Ok(used / float(readers * rounds))
}

/// CPU that this thread has used.
fn thread_cpu_us() -> Result<f64> {
    cpu_us_in(&std::fs::read_to_string("/proc/thread-self/stat")?)
}
