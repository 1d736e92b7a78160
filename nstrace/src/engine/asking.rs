//! Asking the engines about containers as they appear. An engine may take its time, and who reads the ring has none: the
//! questions are asked in a thread.

use std::{
    collections::HashMap,
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use super::{Engines, Named};

/// When an engine is asked about a container: after it was first met, and after each answer without a name. A container has a
/// cgroup before its engine calls it running.
const TRIES: [Duration; 5] = [
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// Between two rounds of questions: each of them reads `/proc`.
const PAUSE: Duration = Duration::from_secs(1);
/// Containers that wait for an answer.
const MOST: usize = 4096;

/// A running thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Asking {
    wanted: Sender<Named>,
    answers: Receiver<Vec<Named>>,
}

impl Asking {
    /// `ask` asks all engines once.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(ask: impl Fn() -> Engines + Send + 'static) -> io::Result<Self> {
        let (wanted, questions) = mpsc::channel();
        let (told, answers) = mpsc::channel();
        std::thread::Builder::new().name("engines".to_owned()).spawn(move || run(&questions, &told, ask))?;
        Ok(Self { wanted, answers })
    }

    /// Asks about a container, of which only this is known.
    pub fn about(&self, bare: Named) {
        // A thread that is gone answers nothing.
        let _ = self.wanted.send(bare);
    }

    /// What was answered since the last call; does not wait.
    pub fn answers(&self) -> Vec<Named> {
        self.answers.try_iter().flatten().collect()
    }

    /// What is answered within this time, if nothing was yet.
    pub fn wait(&self, most: Duration) -> Vec<Named> {
        self.answers.recv_timeout(most).unwrap_or_default()
    }
}

fn run(questions: &Receiver<Named>, answers: &Sender<Vec<Named>>, ask: impl Fn() -> Engines) {
    let mut waiting = Waiting::default();
    loop {
        let received = match waiting.next() {
            None => questions.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => questions.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(bare) => waiting.add(bare, Instant::now()),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let known = waiting.round(&ask(), Instant::now());
                if !known.is_empty() && answers.send(known).is_err() {
                    return;
                }
            }
        }
    }
}

/// Who waits for an answer, and when to ask again.
#[derive(Debug, Default)]
struct Waiting {
    /// By id: what is known, how often it was asked for, when it is next.
    containers: HashMap<String, (Named, usize, Instant)>,
    /// No round before this.
    pause: Option<Instant>,
}

impl Waiting {
    fn add(&mut self, bare: Named, now: Instant) {
        if self.containers.len() < MOST {
            self.containers.entry(bare.id.clone()).or_insert((bare, 0, now + TRIES[0]));
        }
    }

    /// When the next round is due.
    fn next(&self) -> Option<Instant> {
        let due = self.containers.values().map(|(_, _, due)| *due).min()?;
        Some(self.pause.map_or(due, |pause| pause.max(due)))
    }

    /// Takes what was told of those who are due at `now`; whoever was not named waits for his next turn, while he has one.
    fn round(&mut self, told: &Engines, now: Instant) -> Vec<Named> {
        self.pause = Some(now + PAUSE);
        let mut known = Vec::new();
        self.containers.retain(|_, (bare, tries, due)| {
            if *due > now {
                return true;
            }
            let whole = told.complete(bare);
            if whole.name.is_some() || whole.image.is_some() {
                known.push(whole);
                return false;
            }
            *tries += 1;
            match TRIES.get(*tries) {
                Some(delay) => *due = now + *delay,
                // What is known without a name is worth nothing that the cgroup's path did not tell.
                None => return false,
            }
            true
        });
        known.sort_by(|a, b| a.id.cmp(&b.id));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(id: &str) -> Named {
        Named { runtime: "docker".to_owned(), id: id.to_owned(), ..Named::default() }
    }

    fn web() -> Named {
        Named { name: Some("web".to_owned()), image: Some("nginx".to_owned()), ..bare("ab12") }
    }

    #[test]
    fn asked_until_it_has_a_name() {
        let start = Instant::now();
        let mut waiting = Waiting::default();
        assert_eq!(waiting.next(), None);
        waiting.add(bare("ab12"), start);
        waiting.add(bare("ab12"), start + TRIES[0]);
        let due = waiting.next().expect("one waits");
        assert_eq!(due, start + TRIES[0]);
        assert_eq!(waiting.round(&Engines::default(), due), []);
        // Not sooner than after the pause.
        let due = waiting.next().expect("it waits on");
        assert_eq!(due, start + TRIES[0] + PAUSE.max(TRIES[1]));
        assert_eq!(waiting.round(&Engines::of(vec![web()]), due), [web()]);
        assert_eq!(waiting.next(), None);
    }

    #[test]
    fn given_up_some_time() {
        let mut now = Instant::now();
        let mut waiting = Waiting::default();
        waiting.add(bare("ab12"), now);
        let mut rounds = 0;
        while let Some(due) = waiting.next() {
            assert!(due > now || rounds == 0);
            now = due;
            assert_eq!(waiting.round(&Engines::default(), now), []);
            rounds += 1;
        }
        assert_eq!(rounds, TRIES.len());
        (0..2 * MOST).for_each(|n| waiting.add(bare(&n.to_string()), now));
        assert_eq!(waiting.containers.len(), MOST);
    }

    #[test]
    fn the_thread_answers() {
        let asking = Asking::start(|| Engines::of(vec![web()])).expect("a thread");
        asking.about(bare("ab12"));
        assert_eq!(asking.wait(Duration::from_secs(60)), [web()]);
        assert_eq!(asking.answers(), []);
    }
}
