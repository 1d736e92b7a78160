//! Standard output: a line a write, so that readers never see half of one, and clear answers about how it failed.

use std::io::{self, Write};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::Errno,
};

/// Where a stream's lines go.
pub trait Sink: Write {
    /// True when nobody will ever read what is written: found without writing, so that a quiet stream ends too.
    fn is_gone(&self) -> bool;
}

/// Unbuffered standard output.
///
/// Rust programs start with SIGPIPE ignored, so a closed pipe is an error (`BrokenPipe`) and not the end of the process.
/// A terminal that went away is reported in the same way.
#[derive(Debug)]
pub struct Stdout {
    stdout: io::Stdout,
}

impl Stdout {
    #[expect(clippy::new_without_default, reason = "there is one standard output, no default of many")]
    pub fn new() -> Self {
        Self { stdout: io::stdout() }
    }

    /// EIO of a device is a terminal that hung up (it does not even answer isatty(3) any more); of a file, a broken disk.
    fn is_device(&self) -> bool {
        fstat(&self.stdout).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice)
    }

    /// Writes a document.
    ///
    /// # Errors
    /// As [`super::exit::Failure`] tells them apart.
    pub fn text(&mut self, text: &[u8]) -> Result<(), super::exit::Failure> {
        Ok(self.write_all(text)?)
    }
}

impl Sink for Stdout {
    fn is_gone(&self) -> bool {
        let mut stdout = [PollFd::new(&self.stdout, PollFlags::empty())];
        // A pipe without readers is in error, a terminal that went away hangs up; files are neither.
        poll(&mut stdout, Some(&Timespec::default())).is_ok()
            && stdout[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
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
                Err(Errno::IO) if self.is_device() => return Err(io::ErrorKind::BrokenPipe.into()),
                result => return Ok(result?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
