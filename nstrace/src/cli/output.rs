//! Standard output: a line a write, so that readers never see half of one, and clear answers about how it failed.

use std::io::{self, IsTerminal as _, Write};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

/// Unbuffered standard output.
///
/// Rust programs start with SIGPIPE ignored, so a closed pipe is an error (`BrokenPipe`) and not the end of the process.
/// A terminal that went away is reported in the same way.
#[derive(Debug)]
pub struct Stdout {
    stdout: io::Stdout,
    /// Asked at the start: a terminal that has gone does not answer any more.
    is_terminal: bool,
}

impl Stdout {
    #[expect(clippy::new_without_default, reason = "it asks the system")]
    pub fn new() -> Self {
        let stdout = io::stdout();
        Self { is_terminal: stdout.is_terminal(), stdout }
    }

    /// Writes a document.
    ///
    /// # Errors
    /// As [`super::exit::Failure`] tells them apart.
    pub fn text(&mut self, text: &[u8]) -> Result<(), super::exit::Failure> {
        Ok(self.write_all(text)?)
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(&self.stdout, bytes) {
                // Somebody who shares this file description made it non-blocking.
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&self.stdout, PollFlags::OUT)], None)?;
                }
                Err(Errno::IO) if self.is_terminal => return Err(io::ErrorKind::BrokenPipe.into()),
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
