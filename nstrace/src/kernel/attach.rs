//! Loading and attaching one hook through aya.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf,
    programs::{BtfTracePoint, FEntry, FExit, KProbe, Program, ProgramError, TracePoint},
};

use super::facts::{Attach, Hook};

/// Why the kernel refused a hook.
#[derive(Debug)]
pub struct Refusal {
    /// One clause for `doctor`.
    pub reason: String,
    /// What the verifier printed; empty when it was not the verifier.
    pub verifier: String,
}

impl Refusal {
    /// From what bpf(2) and the verifier said.
    pub(super) fn at_load(error: &std::io::Error, verifier: String) -> Self {
        let last = verifier.lines().rev().map(str::trim).find(|l| {
            !l.is_empty()
                && !l.starts_with("processed ")
                && !l.starts_with("stack depth ")
                && !l.starts_with("verification time ")
        });
        let reason = match last {
            Some(line) => format!("refused by the verifier: {error}: {line}"),
            None => format!("refused at load: {error}"),
        };
        Self { reason, verifier }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => Self::at_load(&io_error, verifier_log.to_string()),
            ProgramError::SyscallError(error) => {
                Self { reason: format!("{}: {}", error.call, error.io_error), verifier: String::new() }
            }
            other => {
                // aya nests its errors; the innermost is the kernel's word.
                let mut reason = other.to_string();
                let mut source = std::error::Error::source(&other);
                while let Some(inner) = source {
                    reason = format!("{reason}: {inner}");
                    source = inner.source();
                }
                Self { reason, verifier: String::new() }
            }
        }
    }
}

/// Loads the hook's program if it is not loaded yet, and attaches it.
pub fn attach(ebpf: &mut Ebpf, btf: &aya::Btf, hook: Hook) -> Result<(), Refusal> {
    if hook.attach == Attach::NsfsHandle {
        return Ok(());
    }
    let program = ebpf.program_mut(hook.program).ok_or_else(|| Refusal {
        reason: format!("the object has no program {}", hook.program),
        verifier: String::new(),
    })?;
    match hook.attach {
        Attach::TpBtf(tracepoint) => {
            let program: &mut BtfTracePoint = program.try_into()?;
            once(program.load(tracepoint, btf))?;
            program.attach()?;
        }
        Attach::Fentry(function) => {
            let program: &mut FEntry = program.try_into()?;
            once(program.load(function, btf))?;
            program.attach()?;
        }
        Attach::Fexit(function) => {
            let program: &mut FExit = program.try_into()?;
            once(program.load(function, btf))?;
            program.attach()?;
        }
        Attach::Kprobe(function) | Attach::Kretprobe(function) => {
            let program: &mut KProbe = program.try_into()?;
            once(program.load())?;
            program.attach(function, 0)?;
        }
        Attach::Syscall(path) | Attach::Event(path) => {
            let program: &mut TracePoint = program.try_into()?;
            once(program.load())?;
            let (category, name) = path.split_once('/').unwrap_or(("syscalls", path));
            program.attach(category, name)?;
        }
        Attach::NsfsHandle => {}
    }
    Ok(())
}

/// One program may serve several places: loading it again is not an error.
fn once(loaded: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match loaded {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        other => other,
    }
}

/// Unloads a program, and with it every attachment it has.
pub fn unload(ebpf: &mut Ebpf, name: &str) {
    if let Some(program) = ebpf.program_mut(name) {
        unload_program(program);
    }
}

/// How many programs are unloaded at a time.
const UNLOADERS: usize = 8;

/// Unloads all programs, several at a time: of each kprobe that goes the kernel waits until nobody can be in it any more, and one
/// wait may do for several.
pub fn unload_all(ebpf: &mut Ebpf) {
    let programs = Mutex::new(ebpf.programs_mut());
    // In a statement of its own: the lock must not be held meanwhile.
    let next = || programs.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..UNLOADERS {
            scope.spawn(|| {
                while let Some((_, program)) = next() {
                    unload_program(program);
                }
            });
        }
    });
}

fn unload_program(program: &mut Program) {
    // Only fails for a program that is not loaded.
    let _ = match program {
        Program::BtfTracePoint(p) => p.unload(),
        Program::FEntry(p) => p.unload(),
        Program::FExit(p) => p.unload(),
        Program::KProbe(p) => p.unload(),
        Program::TracePoint(p) => p.unload(),
        _ => Ok(()),
    };
}
