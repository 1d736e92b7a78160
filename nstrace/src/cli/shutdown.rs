//! Being asked to stop: Ctrl-C, SIGTERM, a terminal that hangs up.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the last lines may take when nobody reads the output any more.
const GRACE: Duration = Duration::from_secs(5);

/// Whether this process was asked to stop, and whether it has. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    requested: Arc<AtomicBool>,
    hung_up: Arc<AtomicBool>,
    finished: Arc<AtomicBool>,
}

impl Shutdown {
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// The terminal is gone: nobody is left to tell anything.
    pub fn hung_up(&self) -> bool {
        self.hung_up.load(Ordering::Acquire)
    }

    /// All output is written: from now on nothing can hang on its reader.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    /// One that SIGINT, SIGTERM and SIGHUP request. A second one, or an output that stays blocked, ends the process.
    ///
    /// # Errors
    /// When no thread, runtime or signal handler can be had.
    pub fn on_signals() -> anyhow::Result<Self> {
        let shutdown = Self::default();
        let listening = shutdown.listen();
        listening.map_err(|error| anyhow::anyhow!("cannot handle signals: {error}: raise the limits of threads"))?;
        Ok(shutdown)
    }

    fn listen(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            // Handlers are in place before anything is attached.
            let _inside = runtime.enter();
            Signals {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: signal(SignalKind::hangup())?,
            }
        };
        let shutdown = self.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                signals.next(&shutdown).await;
                shutdown.request();
                let again = tokio::time::timeout(GRACE, signals.next(&shutdown)).await;
                if again.is_ok() {
                    std::process::exit(i32::from(super::exit::COMPLETE));
                }
                if !shutdown.finished.load(Ordering::Acquire) {
                    super::say("the output takes no more lines: stopped without the last ones");
                    std::process::exit(i32::from(super::exit::ERROR));
                }
            });
        })?;
        Ok(())
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    async fn next(&mut self, shutdown: &Shutdown) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => shutdown.hung_up.store(true, Ordering::Release),
        }
    }
}
