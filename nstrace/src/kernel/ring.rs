//! The reader of the ring buffer: a thread that only copies records out, so that the ring never waits for the pipeline.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use bytes::{Bytes, BytesMut};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fd::OwnedFd,
};

/// Bytes copied into one batch before it is handed on.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait for the pipeline before the thread stops draining and the ring fills (and counts its losses).
const QUEUED_BATCHES: usize = 256;

/// Records as they were in the ring, each 4 bytes of length and its bytes.
#[derive(Debug)]
pub struct Batch {
    bytes: Bytes,
}

impl Batch {
    /// Each record's bytes.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.bytes;
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<4>()?;
            let (record, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = after;
            Some(record)
        })
    }
}

/// The running thread.
#[derive(Debug)]
pub struct RingReader {
    batches: Receiver<std::io::Result<Batch>>,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl RingReader {
    /// Starts draining `ring`.
    pub fn start(ring: RingBuf<MapData>) -> anyhow::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stop_seen = stop.try_clone()?;
        let (sender, batches) = sync_channel(QUEUED_BATCHES);
        let thread =
            std::thread::Builder::new().name("ring".to_owned()).spawn(move || drain(ring, &stop_seen, &sender))?;
        Ok(Self { batches, stop, thread: Some(thread) })
    }

    /// The next batch, or None when none came in time.
    pub fn next(&self, wait: Duration) -> anyhow::Result<Option<Batch>> {
        match self.batches.recv_timeout(wait) {
            Ok(batch) => Ok(Some(batch?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the ring buffer reader has ended unexpectedly"),
        }
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        // Writing 8 bytes to an eventfd that nobody else writes cannot fail in a way that matters here.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        // A thread that waits for room in the channel sees it closed instead.
        let (_, closed) = sync_channel(0);
        self.batches = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn drain(mut ring: RingBuf<MapData>, stop: &OwnedFd, sender: &SyncSender<std::io::Result<Batch>>) {
    loop {
        loop {
            let mut batch = BytesMut::with_capacity(16 << 10);
            while batch.len() < BATCH_BYTES
                && let Some(record) = ring.next()
            {
                let len = u32::try_from(record.len()).unwrap_or(0);
                batch.extend_from_slice(&len.to_le_bytes());
                batch.extend_from_slice(&record[..len as usize]);
            }
            if batch.is_empty() {
                break;
            }
            if sender.send(Ok(Batch { bytes: batch.freeze() })).is_err() {
                return;
            }
        }
        let mut fds = [PollFd::new(&ring, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let _ = sender.send(Err(error.into()));
                return;
            }
        }
        if fds[1].revents().contains(PollFlags::IN) {
            return;
        }
    }
}
