//! Standard input, read by a thread of its own: a run must be able to end while no line comes.
//! It must not know what the bytes mean.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, bounded};

const CHUNK_BYTES: usize = 64 << 10;
/// Chunks read ahead.
const AHEAD: usize = 4;

/// The bytes of standard input.
pub struct Stdin {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: io::Cursor<Vec<u8>>,
}

/// Tells whether [`Stdin`] has something to say.
pub struct Ready(Receiver<io::Result<Vec<u8>>>);

impl Stdin {
    /// Begins to read. The thread ends with the input, or with the process: a read cannot be called
    /// off.
    pub fn open() -> io::Result<(Self, Ready)> {
        let (send, chunks) = bounded(AHEAD);
        thread::Builder::new().name("stdin".into()).spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = io::stdin().lock().read(&mut chunk).map(|count| {
                    chunk.truncate(count);
                    chunk
                });
                let over = !matches!(&read, Ok(chunk) if !chunk.is_empty());
                if send.send(read).is_err() || over {
                    return;
                }
            }
        })?;

        let ready = Ready(chunks.clone());
        Ok((Stdin { chunks, chunk: io::Cursor::new(Vec::new()) }, ready))
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.position() == self.chunk.get_ref().len() as u64 {
            match self.chunks.recv() {
                Ok(chunk) => self.chunk = io::Cursor::new(chunk?),
                Err(_) => return Ok(0),
            }
        }
        self.chunk.read(buffer)
    }
}

impl Ready {
    /// Waits until a read has an answer, be it the end; false, when none came in time.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut select = Select::new();
        select.recv(&self.0);
        select.ready_timeout(timeout).is_ok()
    }
}
