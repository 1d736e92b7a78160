//! The reader of the ring buffer: a thread that only copies records out, so that the ring never waits for the pipeline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
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

/// What the reader hands on.
#[derive(Debug)]
pub enum Drained {
    Records(Batch),
    /// Everything that was in the ring when this [`RingReader::sync`] was asked for has been handed on.
    Until(u64),
}

/// What the thread and its owner share.
#[derive(Debug)]
struct Request {
    /// Wakes the thread up.
    wake: OwnedFd,
    /// Number of the last sync asked for.
    sync: AtomicU64,
    stop: AtomicBool,
}

/// The running thread.
#[derive(Debug)]
pub struct RingReader {
    drained: Receiver<std::io::Result<Drained>>,
    request: Arc<Request>,
    thread: Option<JoinHandle<()>>,
}

impl RingReader {
    /// Starts draining `ring`.
    pub fn start(ring: RingBuf<MapData>) -> anyhow::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let request = Arc::new(Request { wake, sync: AtomicU64::new(0), stop: AtomicBool::new(false) });
        let (sender, drained) = sync_channel(QUEUED_BATCHES);
        let seen = Arc::clone(&request);
        let thread = std::thread::Builder::new().name("ring".to_owned()).spawn(move || drain(ring, &seen, &sender))?;
        Ok(Self { drained, request, thread: Some(thread) })
    }

    /// The next of it, or None when nothing came in time.
    pub fn next(&self, wait: Duration) -> anyhow::Result<Option<Drained>> {
        match self.drained.recv_timeout(wait) {
            Ok(drained) => Ok(Some(drained?)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the ring buffer reader has ended unexpectedly"),
        }
    }

    /// Asks for a [`Drained::Until`] of the returned number.
    pub fn sync(&self) -> u64 {
        let number = self.request.sync.fetch_add(1, Ordering::SeqCst) + 1;
        self.request.wake();
        number
    }
}

impl Request {
    fn wake(&self) {
        // An eventfd that nobody else writes takes 8 bytes at any time short of 2^64 wake-ups.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for RingReader {
    fn drop(&mut self) {
        self.request.stop.store(true, Ordering::SeqCst);
        self.request.wake();
        // A thread that waits for room in the channel sees it closed instead.
        let (_, closed) = sync_channel(0);
        self.drained = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn drain(mut ring: RingBuf<MapData>, request: &Request, sender: &SyncSender<std::io::Result<Drained>>) {
    let mut synced = 0;
    loop {
        let asked = request.sync.load(Ordering::SeqCst);
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
            if sender.send(Ok(Drained::Records(Batch { bytes: batch.freeze() }))).is_err() {
                return;
            }
        }
        if asked > synced {
            synced = asked;
            if sender.send(Ok(Drained::Until(asked))).is_err() {
                return;
            }
        }
        let mut fds = [PollFd::new(&ring, PollFlags::IN), PollFd::new(&request.wake, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                let _ = sender.send(Err(error.into()));
                return;
            }
        }
        if request.stop.load(Ordering::SeqCst) {
            return;
        }
        // Resets it; nothing to read is as good.
        let _ = rustix::io::read(&request.wake, &mut [0; 8]);
    }
}
