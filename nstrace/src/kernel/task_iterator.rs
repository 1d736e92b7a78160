//! All tasks at once, by BPF iterator: the same records as live, with 64-bit ids and exact start times.

use std::io::Read;

use anyhow::Context;
use aya::{Ebpf, programs::Iter};
use nstrace_common::record::{Header, size_of_kind};
use zerocopy::FromBytes;

/// Reads `iter/task`: the bytes of `record::TaskState` and `record::Namespace` records, one after the other.
///
/// Takes no reference on any namespace and makes no nsfs inode.
pub fn read_tasks(ebpf: &mut Ebpf, btf: &aya::Btf) -> anyhow::Result<Vec<u8>> {
    let program: &mut Iter =
        ebpf.program_mut("iter_task").context("the object has no program iter_task")?.try_into()?;
    match program.load("task", btf) {
        Ok(()) | Err(aya::programs::ProgramError::AlreadyLoaded) => {}
        Err(error) => return Err(error.into()),
    }
    let link = program.attach()?;
    let mut file = program.take_link(link)?.into_file()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Splits what [`read_tasks`] gave into records. Ends early at a record of unknown kind, which cannot come from our object.
pub fn iterator_records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, _) = Header::read_from_prefix(rest).ok()?;
        let (record, after) = rest.split_at_checked(size_of_kind(header.kind)?)?;
        rest = after;
        Some(record)
    })
}
